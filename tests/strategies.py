"""What property tests draw: arrays, shapes that broadcast, axes, keys; and the array libraries."""

from dataclasses import dataclass
from typing import Any

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
from hypothesis import strategies as st

import volta
from volta.core.tracer import Tracer
from volta.core.types import DTYPES, typeof

BOOL = ("bool",)
INT = ("int8", "int16", "int32", "int64")
UINT = ("uint8", "uint16", "uint32", "uint64")
FLOAT = ("float32", "float64")
COMPLEX = ("complex64", "complex128")
REAL = (*INT, *UINT, *FLOAT)
NUMERIC = (*REAL, *COMPLEX)
FLOATING = (*FLOAT, *COMPLEX)
STANDARD = (*BOOL, *NUMERIC)
HALVES = ("float16", "bfloat16")
MODES = ("vjp", "jvp", "vmap", "trace")


# Libraries ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Library:
    """An array library as the tests use it: to its arrays and back."""

    name: str
    xp: Any
    kind: type
    dtypes: tuple[str, ...]

    def __repr__(self):
        return self.name

    def asarray(self, x):
        """Array of this library with the values of a NumPy array, a copy."""
        if self.name == "numpy":
            return x.copy()
        if x.dtype == ml_dtypes.bfloat16:
            return self.xp.asarray(x.astype(np.float32)).bfloat16()
        return self.xp.asarray(np.ascontiguousarray(x).reshape(x.shape))

    def host(self, x):
        """NumPy array with the values of an array of this library."""
        if self.name != "torch" or isinstance(x, np.ndarray):
            return np.asarray(x)
        x = x.detach().resolve_conj().resolve_neg()
        if str(x.dtype) == "torch.bfloat16":
            return x.float().numpy().astype(ml_dtypes.bfloat16)
        return x.numpy()


def library(name):
    """Library by name; skips the test where it is not installed."""
    if name == "numpy":
        return Library("numpy", np, np.ndarray, STANDARD)
    if name == "array_api_strict":
        return Library(name, array_api_strict, type(array_api_strict.asarray(0.0)), STANDARD)
    torch = pytest.importorskip("torch")
    # torch has the other unsigned dtypes for storage, without operations
    kept = tuple(d for d in STANDARD if d not in UINT[1:])
    return Library(name, torch, torch.Tensor, kept)


def numpy_dtype(name):
    return np.dtype(getattr(ml_dtypes, name, name))


def quiet():
    """Overflow, 0/0 and the like are answers here, for NumPy and for what is built on it."""
    return np.errstate(all="ignore")


# Arrays -------------------------------------------------------------------------------------------

shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)
full_shapes = st.lists(st.integers(1, 3), max_size=3).map(tuple)
seeds = st.integers(0, 2**16)

_SPECIAL = np.asarray([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, 2.0, 1e-30, -1e30])


def fill(seed, shape, dtype, low=-3.0, high=3.0, special=0.0):
    """Array of numbers from `low` to `high`, a share of them special; booleans are even odds."""
    rng = np.random.default_rng(seed)
    wanted = numpy_dtype(dtype)
    kind = DTYPES[str(dtype)].kind
    if kind == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if kind in ("int", "uint"):
        low = max(int(np.ceil(low)), 0) if kind == "uint" else int(np.ceil(low))
        return np.asarray(rng.integers(low, int(high) + 1, shape)).astype(wanted)

    def part():
        x = rng.uniform(low, high, shape)
        if special:
            x = np.where(rng.random(shape) < special, rng.choice(_SPECIAL, shape), x)
        return x

    with quiet():
        x = part() + 1j * part() if kind == "complex" else part()
        return np.asarray(x).astype(wanted)


def away_from_integers(x):
    """`x` moved off the integers and halves, where rounding and choices have their kinks."""
    near = np.abs(2 * x - np.round(2 * x)) < 0.1
    return np.asarray(np.where(near, x + 0.12, x))


@st.composite
def broadcastable(draw, count, base=shapes):
    """`count` shapes that broadcast together."""
    full = draw(base)
    found = []
    for _ in range(count):
        skipped = draw(st.integers(0, len(full)))
        found.append(tuple(draw(st.sampled_from((n, n, 1))) for n in full[skipped:]))
    return found


@st.composite
def axes_of(draw, ndim, *, several=True):
    """An axis argument for `ndim` axes: None, an axis, or a tuple of them."""
    single = st.integers(-ndim, ndim - 1) if ndim else st.none()
    choices = [st.none(), single]
    if several:
        choices.append(
            st.lists(st.integers(0, max(ndim - 1, 0)), unique=True, max_size=ndim).flatmap(
                lambda axes: st.tuples(*(st.sampled_from((a, a - ndim)) for a in axes))
            )
            if ndim
            else st.just(())
        )
    return draw(st.one_of(choices))


# Transforms ---------------------------------------------------------------------------------------


def is_inexact(x):
    return hasattr(x, "dtype") and typeof(x).dtype.kind in ("float", "complex")


def leaves(out):
    return tuple(out) if isinstance(out, tuple | list) else (out,)


def raw(x):
    return x.value if type(x) is Tracer and x.trace is None else x


def under(mode, fun, args):
    """Types and values of the results of ``fun(*args)`` as a transform computes them.

    Arguments without a derivative are constants under `vjp` and `jvp`.
    """
    varied = [i for i, a in enumerate(args) if is_inexact(a)]

    def of_varied(*xs):
        full = [volta.lift(a) if hasattr(a, "dtype") else a for a in args]
        for i, x in zip(varied, xs, strict=True):
            full[i] = x
        return fun(*full)

    primals = tuple(args[i] for i in varied)
    if mode == "vjp":
        out = leaves(volta.vjp(of_varied, *primals)[0])
    elif mode == "jvp":
        out, tangents = volta.jvp(of_varied, primals, primals)
        out = leaves(out)
        for o, t in zip(out, leaves(tangents), strict=True):
            if is_inexact(raw(o)):
                assert typeof(t) == typeof(o)
    elif mode == "vmap":
        arrays = [i for i, a in enumerate(args) if hasattr(a, "dtype")]

        def of_arrays(*xs):
            full = list(args)
            for i, x in zip(arrays, xs, strict=True):
                full[i] = x
            return fun(*full)

        stacked = [args[i][None, ...] for i in arrays]
        out = tuple(o[0, ...] for o in leaves(volta.vmap(of_arrays)(*stacked)))
    else:
        arrays = [i for i, a in enumerate(args) if hasattr(a, "dtype")]

        def of_inputs(*xs):
            full = list(args)
            for i, x in zip(arrays, xs, strict=True):
                full[i] = x
            return fun(*full)

        inputs = [args[i] for i in arrays]
        staged = volta.trace(of_inputs)(*inputs)
        staged.check()
        out = leaves(staged(*inputs))
        for operand, value in zip(staged.outputs, out, strict=True):
            assert staged.types[operand] == typeof(value)
    return tuple(np.asarray(o) if isinstance(o, np.generic) else raw(o) for o in out)


def assert_same(got, expected, lib, *, ulps=None):
    """Type and values of an array of `lib` against those of one of the oracle, NaN included.

    NumPy computes for array-api-strict too; torch rounds in its own way.
    """
    got = raw(got)
    assert isinstance(got, lib.kind), type(got)
    expected = expected if isinstance(expected, lib.kind) else np.asarray(expected)
    kind = typeof(got)
    assert kind == typeof(expected)
    x, y = lib.host(got), lib.host(expected)
    if kind.dtype.kind not in ("float", "complex"):
        np.testing.assert_array_equal(x, y)
        return
    ulps = (64 if lib.name == "torch" else 0) if ulps is None else ulps
    tolerance = ulps * float(ml_dtypes.finfo(x.dtype).eps)
    if kind.dtype.itemsize == 2:
        x, y = x.astype(np.float32), y.astype(np.float32)
    with quiet():
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True)
