"""What property tests draw: arrays, shapes that broadcast, axes, keys; and the array libraries."""

from contextlib import contextmanager, suppress
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
BESIDE = r" Pass what is none of these beside the tree, or close over it\."
LINE = r" \(line: [\w.]+:\d+\)$"  # how messages end


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
        if self.name == "jax":
            return self.xp.asarray(x)
        if self.name == "dask":
            return self.xp.from_array(x.copy(), chunks=2)  # so that most have several chunks
        if x.dtype == ml_dtypes.bfloat16:
            return self.xp.asarray(x.astype(np.float32)).bfloat16()
        device = {"device": "cuda"} if self.name == "cuda" else {}
        return self.xp.asarray(np.ascontiguousarray(x).reshape(x.shape), **device)

    def host(self, x):
        """NumPy array with the values of an array of this library."""
        if self.name == "cupy" and not isinstance(x, np.ndarray):
            return x.get()
        if self.name not in ("torch", "cuda") or isinstance(x, np.ndarray):
            return np.asarray(x)
        x = x.detach().cpu().resolve_conj().resolve_neg()
        if str(x.dtype) == "torch.bfloat16":
            return x.float().numpy().astype(ml_dtypes.bfloat16)
        return x.numpy()


def library(name):
    """Library by name; skips the test where it is not installed."""
    if name == "numpy":
        return Library("numpy", np, np.ndarray, STANDARD)
    if name == "array_api_strict":
        return Library(name, array_api_strict, type(array_api_strict.asarray(0.0)), STANDARD)
    if name == "jax":
        jax = pytest.importorskip("jax")
        return Library(name, jax.numpy, jax.Array, STANDARD)
    if name == "dask":
        array = pytest.importorskip("dask.array")
        return Library(name, array, array.Array, STANDARD)
    if name == "cupy":
        cupy = pytest.importorskip("cupy")
        return Library(name, cupy, cupy.ndarray, STANDARD)
    torch = pytest.importorskip("torch")
    # torch has the other unsigned dtypes for storage, without operations
    kept = tuple(d for d in STANDARD if d not in UINT[1:])
    return Library(name, torch, torch.Tensor, kept)


def on_devices():
    """Names of the libraries whose arrays are on a device here: CuPy, and torch with CUDA."""
    found = []
    with suppress(ImportError):
        import torch

        found += ["cuda"] if torch.cuda.is_available() else []
    with suppress(ImportError):
        import cupy

        found += ["cupy"] if cupy.cuda.is_available() else []
    return found


@contextmanager
def running(name):
    """JAX with 64 bits and without compiling, dask in this thread; nothing for the others."""
    if name == "jax":
        jax = pytest.importorskip("jax")
        before = jax.config.jax_enable_x64
        jax.config.update("jax_enable_x64", True)
        with jax.disable_jit():  # compiling every function would take three times as long
            yield
        jax.config.update("jax_enable_x64", before)
    elif name == "dask":
        # what warns does so when it is computed, outside of the function that allows it
        with pytest.importorskip("dask").config.set(scheduler="synchronous"), quiet():
            yield
    else:
        yield


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


# Arguments ----------------------------------------------------------------------------------------


def matrix_shapes(draw):
    """Operands of every pair of ranks, with leading axes that broadcast."""
    m, k, n = (draw(st.integers(0, 3)) for _ in range(3))
    rank1, rank2 = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    lead = draw(st.lists(st.integers(0, 2), min_size=2, max_size=2))
    one, other = (
        tuple(draw(st.sampled_from((d, 1))) for d in lead)[4 - rank :] for rank in (rank1, rank2)
    )
    return (
        (k,) if rank1 == 1 else (*one, m, k),
        (k,) if rank2 == 1 else (*other, k, n),
    )


def permutation(draw, n):
    axes = draw(st.permutations(range(n)))
    return tuple(draw(st.sampled_from((a, a - n))) for a in axes)


def lengths(draw, size):
    """A shape of `size` elements, one length perhaps -1."""
    factors = []
    while size > 1:
        f = draw(st.sampled_from([d for d in range(2, size + 1) if size % d == 0]))
        factors.append(f)
        size //= f
    factors += [1] * draw(st.integers(0, 2))
    if size == 0:
        return (0, *factors)
    if factors and draw(st.booleans()):
        factors[draw(st.integers(0, len(factors) - 1))] = -1
    return tuple(factors)


def _roll(draw, shape):
    axis = draw(axes_of(len(shape)).filter(lambda axis: axis != ()))  # NumPy takes no empty one
    count = len(axis) if isinstance(axis, tuple) else 1
    shifts = draw(st.lists(st.integers(-5, 5), min_size=count, max_size=count))
    return (tuple(shifts) if isinstance(axis, tuple) else shifts[0],), {"axis": axis}


def _moveaxis(draw, shape):
    n = len(shape)
    count = draw(st.integers(0, n))
    source, destination = permutation(draw, n)[:count], permutation(draw, n)[:count]
    if count == 1 and draw(st.booleans()):
        return (source[0], destination[0]), {}
    return (source, destination), {}


def _squeeze(draw, shape):
    ones = [i for i, n in enumerate(shape) if n == 1]
    axes = draw(st.lists(st.sampled_from(ones), unique=True)) if ones else []
    return (tuple(a - draw(st.sampled_from((0, len(shape)))) for a in axes),), {}


def _expand(draw, shape):
    n = len(shape) + 1
    return (), {"axis": draw(st.integers(-n, n - 1))}


def _repeat(draw, shape):
    axis = draw(axes_of(len(shape), several=False))
    return (draw(st.integers(0, 3)),), {"axis": axis}


def _tile(draw, shape):
    return (tuple(draw(st.lists(st.integers(0, 2), max_size=4))),), {}


def _broadcast(draw, shape):
    full = tuple(draw(st.integers(0, 3)) if n == 1 else n for n in shape)
    return ((*draw(shapes)[:2], *full),), {}


def _matrix(draw, shape):
    return None if len(shape) < 2 else ((), {})


def _triangle(draw, shape):
    return None if len(shape) < 2 else ((), {"k": draw(st.integers(-4, 4))})


# One row a function: (draw, shape) -> (arguments after the array, keywords), or None if the shape
# does not suit. The functions of array-api-strict take the same.
MANIPULATIONS = {
    "reshape": lambda draw, shape: ((lengths(draw, int(np.prod(shape))),), {}),
    "permute_dims": lambda draw, shape: ((permutation(draw, len(shape)),), {}),
    "matrix_transpose": _matrix,
    "moveaxis": _moveaxis,
    "expand_dims": _expand,
    "squeeze": _squeeze,
    "broadcast_to": _broadcast,
    "repeat": _repeat,
    "tile": _tile,
    "flip": lambda draw, shape: ((), {"axis": draw(axes_of(len(shape)))}),
    "roll": _roll,
    "tril": _triangle,
    "triu": _triangle,
    "unstack": lambda draw, shape: (
        ((), {"axis": draw(st.integers(-len(shape), len(shape) - 1))}) if shape else None
    ),
}


# Keys ---------------------------------------------------------------------------------------------


def _slice(draw, n):
    bound = st.one_of(st.none(), st.integers(-n - 1, n + 1))
    return slice(draw(bound), draw(bound), draw(st.sampled_from((None, 1, 2, -1, -2))))


def basic_key(draw, shape, *, new_axes=True):
    """Ints, slices, an ellipsis and None, as the standard has them and more."""
    used = draw(st.integers(0, len(shape)))
    dots = draw(st.sampled_from((None, *range(used + 1))))
    key = []
    for place in range(used + 1):
        if new_axes and draw(st.integers(0, 4)) == 0:
            key.append(None)
        if place == dots:
            key.append(...)
        if place == used:
            break
        axis = place if dots is None or place < dots else len(shape) - used + place
        n = shape[axis]
        if n and draw(st.booleans()):
            key.append(draw(st.integers(-n, n - 1)))
        else:
            key.append(_slice(draw, n))
    return key[0] if len(key) == 1 and draw(st.booleans()) else tuple(key)


def array_key(draw, shape):
    """Any key that NumPy takes: index arrays that broadcast, masks, lists and bools among it."""
    spread = draw(st.sampled_from([(), (2,), (2, 3), (1, 3)]))
    masked = False
    parts = []
    axis = 0
    while axis < len(shape):
        n = shape[axis]
        kind = draw(st.sampled_from(["slice", "int", "array", "array", "mask", "list", "none"]))
        if kind == "none":
            parts.append(None)
            continue
        if kind == "slice" or n == 0:
            parts.append(_slice(draw, n))
        elif kind == "int":
            parts.append(draw(st.integers(-n, n - 1)))
        elif kind == "mask" and not masked:
            masked = True  # one mask with two elements, which broadcasts with the index arrays
            mask = np.zeros(n, bool)
            mask[[0, -1]] = True
            if mask.sum() == 2 and spread in ((2,), ()):
                parts.append(mask)
            else:
                parts.append(_slice(draw, n))
        else:
            own = tuple(draw(st.sampled_from((m, 1))) for m in spread[draw(st.integers(0, 1)) :])
            if own and own[-1] != 1 and masked and spread != (2,):
                own = ()
            index = fill(draw(seeds), own, draw(st.sampled_from(["int64", "int8"])), -n, n - 1)
            parts.append(index.tolist() if kind == "list" and index.ndim == 1 else index)
        axis += 1
    if draw(st.booleans()):
        at = draw(st.integers(0, len(parts)))
        parts.insert(at, ...)
    if len(parts) == 1 and draw(st.booleans()):
        return parts[0]
    return tuple(parts)


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
