"""Programs as source text for NumPy alone: what `volta.emit_source` is made of.

In reading order: `program` writes the module, `spelling` an operation, `control` loops and
branches, `constants` arrays, `text` other values; `bundle` holds what else the module defines,
`copying` takes functions of Volta from their files, and `standins` are what takes the place of
Volta's core in them.
"""

__all__: list[str] = []
