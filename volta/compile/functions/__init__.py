"""Functions of real scalars in terms of exact operations, for kernels.

Each takes a namespace of scalars (`kernel.Namespace`) and float32 or float64 nodes, those of
`division` integers, too. None branches, so that they are vectors' code as they stand. Errors, in
units in the last place, are asserted in tests/compile/test_functions.py: at most 4 in float32 and
2 in float64, at denormals, infinities, NaN and both zeros too.

`named` lists them. `arithmetic` holds what the others are written in. The polynomials interpolate
their functions at Chebyshev points. How arguments are reduced: W. J. Cody and W. Waite, "Software
manual for the elementary functions", 1980; logarithms: P. T. P. Tang, "Table-driven implementation
of the logarithm function", 1990, section 2, without the table.
"""

__all__: list[str] = []
