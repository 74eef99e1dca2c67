"""What the kernels of special functions share: libraries' own functions, and a portable form.

A portable kernel is a function ``f(xp, *arrays)`` of arrays of one real floating dtype. It is made
of operations that work on every element alike, without a branch on values, so that it runs on lazy
arrays too: where two formulas meet, both are computed and one is chosen.
"""

import functools
import importlib
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from volta.core.dispatch import library_of
from volta.core.types import SCALARS, as_dtype

__all__ = ["Native", "Trusted", "exponential_nodes", "polynomial", "portable"]

Kernel = Callable[..., Any]

_HOMES: Final = {
    "numpy": "scipy.special",
    "torch": "torch.special",
    "jax.numpy": "jax.scipy.special",
    "cupy": "cupyx.scipy.special",
}


class Native(dict[str, Kernel]):
    """The libraries' own functions of a name, looked up when the first array of each comes.

    Parameters
    ----------
    name : str
        As in SciPy, which is used for NumPy's arrays where it is installed.
    **renamed : str or None
        By library, another name; None where the library's function is not to be used.
    """

    def __init__(self, name: str, **renamed: str | None) -> None:
        super().__init__()
        self.name, self.renamed = name, renamed

    def get(self, library: str, default: Any = None) -> Any:
        """Kernel of a library, or `default` if it has none of its own."""
        name = self.renamed.get(library.partition(".")[0], self.name)
        if name is None or library not in _HOMES:
            return default
        try:
            found = getattr(importlib.import_module(_HOMES[library]), name, None)
        except ImportError:
            found = None
        return default if found is None else _of_one_dtype(name, found)


class Trusted(Native):
    """Libraries' functions, of which SciPy's is used only where it is exact.

    Parameters
    ----------
    name : str
    value : callable
        The portable kernel, for NumPy's arrays elsewhere.
    exact : callable
        Where SciPy's function is exact, of its result and operands.
    """

    def __init__(self, name: str, value: Kernel, exact: Callable[..., Any]) -> None:
        super().__init__(name)
        self.value, self.exact = value, exact

    def get(self, library: str, default: Any = None) -> Any:
        """Kernel of a library, or `default` if it has none of its own."""
        found = super().get(library)
        if found is None or library != "numpy":
            return found or default

        def kernel(*args: Any) -> Any:
            out = found(*args)
            return out if np.all(self.exact(out, *args)) else self.value(np, *args)

        return kernel


def _of_one_dtype(name: str, function: Kernel) -> Kernel:
    """A library's function for operands that it may not promote itself, and for 16-bit floats."""

    def kernel(*args: Any) -> Any:
        first = args[0]
        dtype = getattr(first, "dtype", None)
        if dtype is not None and dtype.itemsize > 2:
            for a in args:
                if type(a) in SCALARS or a.dtype != dtype:
                    break
            else:
                return function(*args)
        array = next(a for a in args if type(a) not in SCALARS)
        xp = library_of(array, name).xp
        arrays, dtype = _promoted(xp, args)
        out = function(*arrays)
        return out if dtype is None else xp.astype(xp.asarray(out), dtype, copy=False)

    return kernel


def portable(function: Kernel) -> Kernel:
    """Portable kernel for operands of any real dtypes, without warnings of what is not chosen."""

    @functools.wraps(function)
    def value(xp: Any, *args: Any) -> Any:
        arrays, dtype = _promoted(xp, args)
        if hasattr(arrays[0], "__dask_graph__"):
            out = _by_blocks(function, arrays)
        else:
            with np.errstate(all="ignore"):
                out = function(xp, *arrays)
        return out if dtype is None else xp.astype(xp.asarray(out), dtype, copy=False)

    value.__dict__["in_64_bits"] = True  # in native code, as SciPy's are
    return value


def _by_blocks(function: Kernel, arrays: list[Any]) -> Any:
    """One task a block of dask's arrays: a graph of some thousand steps takes minutes to make."""
    name = getattr(function, "__name__", "kernel").strip("_<>")

    def of_blocks(*blocks: Any) -> Any:
        xp = library_of(blocks[0], name).xp
        with np.errstate(all="ignore"):
            return xp.asarray(function(xp, *map(xp.asarray, blocks)))

    of_blocks.__name__ = name
    return sys.modules["dask"].array.core.elemwise(of_blocks, *arrays, dtype=arrays[0].dtype)


def _promoted(xp: Any, args: tuple[Any, ...]) -> tuple[list[Any], Any]:
    """Operands as arrays of one floating dtype, and that to return: None if it is the same."""
    arrays = [a for a in args if type(a) not in SCALARS]
    dtype = arrays[0].dtype if len(arrays) == 1 else xp.result_type(*arrays)
    kind = as_dtype(dtype)
    if kind.kind not in ("float", "complex"):
        dtype = xp.asarray(0.0).dtype
    if kind.kind == "complex":
        raise TypeError(dtype)
    half = kind.kind == "float" and kind.itemsize == 2
    wide = xp.float32 if half else dtype
    like = arrays[0]
    return [
        xp.zeros_like(like, dtype=wide) + a
        if type(a) in SCALARS
        else (a if a.dtype == wide else xp.astype(a, wide))
        for a in args
    ], (dtype if half else None)


def polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """``Σ coefficients[k] xᵏ`` by Horner's rule."""
    total = x * 0 + coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = total * x + c
    return total


@functools.cache
def exponential_nodes() -> tuple[tuple[float, float], ...]:
    """Nodes and weights of ``∫₀^∞ f(u) du`` for an f that decays like ``e⁻ᵘ`` or faster.

    The substitution ``u = exp(τ − e^{−τ})`` and the trapezoidal rule in τ, the double exponential
    formula of H. Takahasi and M. Mori, "Double exponential formulas for numerical integration",
    Publ. RIMS 9 (1974), section 3. Its nodes crowd at 0, so that scales far below 1 are seen too.
    """
    step = 0.08
    found = []
    for k in range(round(-3.7 / step), round(4.0 / step)):
        tau = k * step
        u = math.exp(tau - math.exp(-tau))
        found.append((u, step * u * (1 + math.exp(-tau))))
    return tuple(found)
