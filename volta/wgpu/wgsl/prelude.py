"""Functions of scalars that kernels call, as WGSL text.

`prelude` returns the text of the functions that a kernel names and of those that they call.
They are written in operations that are exact or rounded once on every driver seen, and decide
what is NaN, infinite or 0 by bits: WGSL lets a driver assume that there is neither NaN nor
infinity. docs/decisions/wgsl-functions.md says more.

The zero
--------
Drivers reassociate sums of floats and fold what they know. Where a rounding error is to be had, and
where a constant is NaN or infinite, bits go through an exclusive or with `v_zero`, a private
variable that is 0 and that no compiler knows. **The entry point must set it** from a uniform, an
immediate or a buffer, before it calls anything::

    v_zero = parameters.zero;

Left as it is initialized it is a constant 0 to a compiler, and results are wrong. Its declaration
is part of the text where a function uses it; a kernel finds out by ``"v_zero" in text``.

Families, in order of reading: `bits`, `exponential`, `logarithm`, `power`, `trigonometry`, `error`,
`gamma`, `division`, `integers`, `rounding`, `wide`. Functions of floats take and return f32, but
for the last ones; the names are those of the Array API with the prefix ``v_``.
"""

from collections.abc import Iterable
from typing import Final

from volta.wgpu.wgsl import (
    bits,
    division,
    error,
    exponential,
    gamma,
    integers,
    logarithm,
    power,
    rounding,
    trigonometry,
    wide,
)
from volta.wgpu.wgsl.declared import Function

__all__ = ["FUNCTIONS", "prelude"]

_FAMILIES: Final = (
    *(bits, exponential, logarithm, power),
    *(trigonometry, error, gamma, division, integers, rounding, wide),
)
_ZERO: Final = Function("v_zero", "var<private> v_zero: u32;", ())
FUNCTIONS: Final = {
    function.name: function
    for function in (_ZERO, *(f for family in _FAMILIES for f in family.FUNCTIONS))
}


def prelude(names: Iterable[str]) -> str:
    """WGSL text of functions and of what they call, each after what it calls.

    Parameters
    ----------
    names : iterable of str
        Such as ``v_exp``.

    Raises
    ------
    KeyError
        If there is no function of that name.
    """
    found: dict[str, Function] = {}
    for name in names:
        if name not in FUNCTIONS:
            message = f"prelude: there must be a function of each name; got {name!r}"
            raise KeyError(message)
        _collect(name, found)
    return "\n".join(function.text for function in found.values())


def _collect(name: str, found: dict[str, Function]) -> None:
    if name in found:
        return
    function = FUNCTIONS[name]
    for call in function.calls:
        _collect(call, found)
    found[name] = function
