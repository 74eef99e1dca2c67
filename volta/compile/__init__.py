"""Compiling lists: what a list can do without, and the program written for the rest.

Read `passes` (list to list), then `calls` and `memory` (what NumPy is called for an entry, where
results go), `assembly` (slices put together), `donation` (results in the memory of inputs), `numpy`
(a list to a Python program of such calls), and `program`, which puts them together.

What becomes native code: `kernel` (loops of scalars, in which `functions` are written), `stages`
(what of them is computed when), `formulas` (entries written out in simpler ones), `schedule` (which
entries become one kernel). The code itself is written in `native`.
"""

__all__: list[str] = []
