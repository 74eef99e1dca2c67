"""OpenBLAS by the address of its functions, for products of matrices in native code.

It is that of the ``scipy-openblas64`` package, apart from NumPy's own: it runs on one thread, and
`workers` share products. OpenBLAS's threads wait for each other, and so for one that another
process holds up.
"""

import ctypes
import functools
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from volta.compile.native import machine

__all__ = ["FUNCTIONS", "available"]

FUNCTIONS: Final = {"float32": "scipy_cblas_sgemm64_", "float64": "scipy_cblas_dgemm64_"}


@functools.cache
def available() -> bool:
    """Whether native code can call `FUNCTIONS`: the package is there, and loads."""
    library = _library()
    if library is None:
        return False
    for name in FUNCTIONS.values():
        address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        assert address is not None
        machine.define(name, address)
    return True


def _library() -> Any:
    spec = importlib.util.find_spec("scipy_openblas64")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "lib"
    names = [p for p in sorted(folder.glob("libscipy_openblas64_*")) if p.suffix != ".a"]
    try:
        with _one_thread():
            return ctypes.CDLL(str(names[0]))
    except (IndexError, OSError):
        return None


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have OpenBLAS start no threads when it is loaded, where it reads this variable."""
    name = "OPENBLAS_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
