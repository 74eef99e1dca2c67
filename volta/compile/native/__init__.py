"""Native code, by LLVM: functions of Python's that compute on NumPy's arrays.

Three kinds of code are written as LLVM's text: kernels (`loops`, in `vectors`), products of
matrices (`products`, by `blas`) and convolutions (`convolutions`). `arrays` is what they have in
common, the function that Python calls; `llvm` makes a module of them, `machine` its code, which
`cache` keeps. `workers` are threads that share long ones.
"""

__all__: list[str] = []
