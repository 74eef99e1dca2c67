"""One row or more for each primitive, from which the laws in tests/laws are run.

A row says how to call the operation and on what. Operands are float64 (or what the row says);
`diff` are those with derivatives. `errors` are calls that must fail, each with its message.
Exemptions stand in the row, with a reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np

import volta
import volta.functional as F
from volta.core.errors import (
    BroadcastError,
    DimensionError,
    DTypeError,
    ShapeError,
)
from volta.functional.indexing import _embed_add, _embed_slice

_rng = np.random.default_rng(0)


def real(*shape, low=-2.0, high=2.0):
    """Uniform numbers, away from the kinks at the integers and halves."""
    x = _rng.uniform(low, high, shape)
    near = np.abs(x * 2 - np.round(x * 2)) < 0.1
    return np.asarray(np.where(near, x + 0.12, x))


def cplx(*shape):
    return _rng.normal(size=shape) + 1j * _rng.normal(size=shape)


def ints(*shape, low=0, high=10):
    return np.asarray(_rng.integers(low, high, shape))


def truth(*shape):
    return np.asarray(_rng.random(shape) < 0.5)


@dataclass
class Sample:
    primitive: str
    fun: Callable[..., Any]
    args: tuple[np.ndarray, ...]
    diff: tuple[int, ...] = ()
    errors: tuple[tuple[Callable[[], Any], type[Exception], str], ...] = ()
    name: str = ""
    order: int = 2  # highest derivative checked
    strict: str = ""  # why array-api-strict cannot run it
    torch: str = ""  # why torch cannot run it
    vmap: str = ""  # why it has no vmap law
    tolerance: float = 1e-6

    def __post_init__(self):
        self.name = self.name or self.primitive

    def __repr__(self):
        return self.name


def _f(name):
    return getattr(F, name)


def _arrays(*shapes):
    return tuple(np.zeros(s) for s in shapes)


def _no_broadcast(fun):
    return (
        lambda: fun(*_arrays((2, 3), (4,))),
        BroadcastError,
        r"the shapes must broadcast together; got \(2, 3\) and \(4,\)",
    )


def _bad_dtype(fun, *args):
    return (lambda: fun(*args), DTypeError, "the dtype must be")


SAMPLES: list[Sample] = []


def add(primitive, fun, *args, **options):
    """Append a row; every floating or complex operand is differentiated unless `diff` says."""
    options.setdefault(
        "diff", tuple(i for i, a in enumerate(args) if np.asarray(a).dtype.kind in "fc")
    )
    SAMPLES.append(Sample(primitive, fun, args, **options))


# Elementwise, one operand -------------------------------------------------------------------------

for _name, _domain in {
    "acos": (-0.9, 0.9),
    "acosh": (1.2, 3.0),
    "asin": (-0.9, 0.9),
    "asinh": (-2.0, 2.0),
    "atan": (-2.0, 2.0),
    "atanh": (-0.9, 0.9),
    "cos": (-2.0, 2.0),
    "cosh": (-2.0, 2.0),
    "exp": (-2.0, 2.0),
    "exp2": (-2.0, 2.0),
    "expm1": (-2.0, 2.0),
    "log": (0.2, 3.0),
    "log10": (0.2, 3.0),
    "log1p": (-0.8, 2.0),
    "log2": (0.2, 3.0),
    "negative": (-2.0, 2.0),
    "positive": (-2.0, 2.0),
    "reciprocal": (0.2, 2.0),
    "sin": (-2.0, 2.0),
    "sinh": (-2.0, 2.0),
    "sqrt": (0.2, 3.0),
    "square": (-2.0, 2.0),
    "tan": (-1.2, 1.2),
    "tanh": (-2.0, 2.0),
}.items():
    add(_name, _f(_name), real(2, 3, low=_domain[0], high=_domain[1]))
    add(_name, _f(_name), 0.4 * cplx(2, 3), name=f"{_name}-complex")

add("abs", F.abs, real(2, 3))
add("abs", F.abs, cplx(2, 3), name="abs-complex")
add("conj", F.conj, cplx(2, 3))
add("real", F.real, cplx(2, 3))
add("imag", F.imag, cplx(2, 3))
add("sign", F.sign, cplx(2, 3), name="sign-complex")
add("relu", F.relu, real(2, 3))
add("sigmoid", F.sigmoid, real(2, 3))
for _name in ("ceil", "floor", "round", "trunc", "sign", "stop_gradient"):
    add(_name, _f(_name), real(2, 3), diff=())
for _name in ("isfinite", "isinf", "isnan"):
    add(_name, _f(_name), np.asarray([1.0, np.inf, np.nan]), diff=())
add("signbit", F.signbit, real(2, 3), diff=())
add("logical_not", F.logical_not, truth(2, 3))
add(
    "bitwise_invert",
    F.bitwise_invert,
    ints(2, 3),
    errors=(_bad_dtype(F.bitwise_invert, np.ones(2)),),
)

# Elementwise, two operands ------------------------------------------------------------------------

for _name, _low in {
    "add": -2.0,
    "atan2": 0.3,
    "divide": 0.3,
    "hypot": 0.3,
    "logaddexp": -2.0,
    "maximum": -2.0,
    "minimum": -2.0,
    "multiply": -2.0,
    "pow": 0.3,
    "remainder": 0.3,
    "subtract": -2.0,
}.items():
    add(
        _name,
        _f(_name),
        real(2, 3, low=_low),
        real(3, low=_low),
        errors=(_no_broadcast(_f(_name)),),
    )
    add(_name, _f(_name), real(2, 1, low=_low), real(3, 2, 1, low=_low), name=f"{_name}-outer")
    add(
        _name,
        lambda x, f=_f(_name): f(x, 1.25),
        real(2, 3, low=_low),
        name=f"{_name}-scalar",
    )
    add(
        _name,
        lambda x, f=_f(_name): f(1.25, x),
        real(2, 3, low=_low),
        name=f"{_name}-reflected",
    )
for _name in ("add", "subtract", "multiply", "divide", "pow"):
    add(_name, _f(_name), cplx(2, 3), cplx(3), name=f"{_name}-complex", tolerance=1e-5)
    add(_name, _f(_name), real(2, 3, low=0.3), cplx(3), name=f"{_name}-mixed", tolerance=1e-5)
add("copysign", F.copysign, real(2, 3), real(3), diff=(0,), errors=(_no_broadcast(F.copysign),))
add("pow", lambda x: F.pow(x, 2), real(2, 3), name="pow-square")
add("pow", lambda x: F.pow(x, 3), real(2, 3), name="pow-cube")
for _name in ("floor_divide", "nextafter"):
    add(
        _name,
        _f(_name),
        real(2, 3),
        real(3, low=0.5),
        diff=(),
        errors=(_no_broadcast(_f(_name)),),
    )
for _name in ("equal", "greater", "greater_equal", "less", "less_equal", "not_equal"):
    add(_name, _f(_name), ints(2, 3), ints(3), errors=(_no_broadcast(_f(_name)),))
for _name in ("logical_and", "logical_or", "logical_xor"):
    add(_name, _f(_name), truth(2, 3), truth(3), errors=(_no_broadcast(_f(_name)),))
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    add(
        _name,
        _f(_name),
        ints(2, 3),
        ints(3),
        errors=(_no_broadcast(_f(_name)), _bad_dtype(_f(_name), np.ones(2), np.ones(2))),
    )
for _name in ("bitwise_left_shift", "bitwise_right_shift"):
    add(
        _name,
        _f(_name),
        ints(2, 3),
        ints(3, high=4),
        errors=(_bad_dtype(_f(_name), np.ones(2), np.ones(2)),),
    )

# Choices ------------------------------------------------------------------------------------------

add(
    "where",
    F.where,
    truth(2, 3),
    real(3),
    real(2, 1),
    errors=(
        (lambda: F.where(np.ones(2, bool), *_arrays(3, 3)), BroadcastError, "where: the shapes"),
    ),
)
add("where", lambda c, x: F.where(c, x, 0), truth(2, 3), real(2, 3), name="where-scalar")
add("_clip", lambda x: F.clip(x, -0.7, 0.8), real(3, 4), name="clip-scalars")
add("_clip", F.clip, real(3, 4), real(4, low=-1, high=0), real(3, 1, low=0, high=1), name="clip")

# Reductions ---------------------------------------------------------------------------------------

for _name in ("sum", "mean", "prod", "max", "min"):
    _axis_error = (
        lambda f=_f(_name): f(np.ones((2, 3)), axis=2),
        DimensionError,
        r"axis must be from -2 to 1; got 2",
    )
    _twice_error = (
        lambda f=_f(_name): f(np.ones((2, 3)), axis=(0, -2)),
        ShapeError,
        "each axis must be named once",
    )
    add(_name, _f(_name), real(2, 3), errors=(_axis_error, _twice_error))
    add(_name, lambda x, f=_f(_name): f(x, axis=1), real(2, 3, 2), name=f"{_name}-axis")
    add(
        _name,
        lambda x, f=_f(_name): f(x, axis=(0, -1), keepdims=True),
        real(2, 3, 2),
        name=f"{_name}-keepdims",
    )
    add(_name, lambda x, f=_f(_name): f(x, axis=()), real(2, 3), name=f"{_name}-no-axis")
add("sum", F.sum, cplx(2, 3), name="sum-complex")
add("sum", F.sum, ints(2, 3), name="sum-int")
add("mean", F.mean, cplx(2, 3), name="mean-complex")
add("prod", F.prod, cplx(2, 3), name="prod-complex")
add("prod", F.prod, np.asarray([2.0, 0.0, 3.0, 0.5]), name="prod-zero")
add("prod", F.prod, np.asarray([2.0, 0.0, 3.0, 0.0, 0.7]), name="prod-two-zeros")
_cumulative_errors = (
    (
        lambda: F.cumulative_sum(np.ones((2, 3))),
        DimensionError,
        r"cumulative_sum: axis must be given unless the array has one axis; got \(2, 3\)",
    ),
    (lambda: F.cumulative_sum(np.ones(2), axis=1), DimensionError, "axis must be from -1 to 0"),
)
add("cumulative_sum", F.cumulative_sum, real(5), errors=_cumulative_errors)
add(
    "cumulative_sum",
    lambda x: F.cumulative_sum(x, axis=1, include_initial=True),
    real(2, 3, 2),
    name="cumulative_sum-initial",
)
add(
    "cumulative_sum",
    lambda x: F.cumulative_sum(x, axis=-2),
    cplx(3, 2),
    name="cumulative_sum-complex",
)
add("cumulative_sum", F.cumulative_sum, ints(4), name="cumulative_sum-int")
for _name in ("max", "min", "argmax", "argmin"):
    _empty = (
        lambda f=_f(_name): f(np.ones((0, 3)), axis=0),
        ShapeError,
        "there must be an element along axis",
    )
    add(_name, _f(_name), real(2, 3), diff=(), errors=(_empty,), name=f"{_name}-empty-error")
for _name in ("argmax", "argmin"):
    add(_name, lambda x, f=_f(_name): f(x, axis=-1, keepdims=True), real(2, 3), diff=())
for _name in ("all", "any", "count_nonzero"):
    add(_name, lambda x, f=_f(_name): f(x, axis=0), ints(2, 3, high=2))
add("softmax", lambda x: F.softmax(x, axis=0), real(3, 2))
add(
    "log_softmax",
    F.log_softmax,
    real(2, 3),
    errors=((lambda: F.log_softmax(np.ones(2), axis=1), DimensionError, "log_softmax: axis"),),
)

# Manipulation -------------------------------------------------------------------------------------

add(
    "reshape",
    lambda x: F.reshape(x, (3, -1)),
    real(2, 3, 2),
    errors=(
        (
            lambda: F.reshape(np.ones(6), (4, 2)),
            ShapeError,
            r"the number of elements must stay the same; got shapes \(6,\) and \(4, 2\)",
        ),
        (lambda: F.reshape(np.ones(6), (4, -1)), ShapeError, "one length may be -1"),
    ),
)
add(
    "permute_dims",
    lambda x: F.permute_dims(x, (2, 0, 1)),
    real(2, 3, 2),
    errors=(
        (lambda: F.permute_dims(np.ones((2, 3)), (0,)), ShapeError, "every axis must be named"),
        (
            lambda: F.permute_dims(np.ones((2, 3)), (0, 0)),
            ShapeError,
            "each axis must be named once",
        ),
    ),
)
add(
    "broadcast_to",
    lambda x: F.broadcast_to(x, (4, 2, 3)),
    real(2, 1),
    errors=((lambda: F.broadcast_to(np.ones(3), (2,)), ShapeError, "broadcast_to"),),
)
add(
    "concat",
    lambda x, y, z: F.concat([x, y, z], axis=1),
    real(2, 1),
    real(2, 3),
    real(2, 2),
    errors=(
        (lambda: F.concat(_arrays((2, 3), (3, 3)), axis=1), ShapeError, "must agree except along"),
        (lambda: F.concat([]), ShapeError, "at least one array"),
    ),
)
add("concat", lambda x, y: F.concat([x, y]), real(2), cplx(3), name="concat-mixed")
add("unstack", lambda x: F.unstack(x, axis=1), real(2, 3))
add("flip", lambda x: F.flip(x, axis=(0, 2)), real(2, 3, 2))
add("roll", lambda x: F.roll(x, (1, -2), axis=(0, 1)), real(2, 3))
for _name in ("tril", "triu"):
    add(
        _name,
        lambda x, f=_f(_name): f(x, k=1),
        real(2, 3, 3),
        errors=((lambda f=_f(_name): f(np.ones(3)), ShapeError, "must have two axes or more"),),
    )
add("astype", lambda x: F.astype(x, F.float32), real(2, 3), tolerance=1e-3, order=1)
add("astype", lambda x: F.astype(x, F.complex128), real(2, 3), name="astype-complex")
add("astype", lambda x: F.astype(x, F.int32), real(2, 3), diff=(), name="astype-int")
add(
    "transfer",
    lambda x: F.to_device(F.to_device(x, xp=array_api_strict), xp=np),
    real(2, 3),
    strict="moving to NumPy changes the library",
    torch="moving to NumPy changes the library",
    name="transfer",
)

# Indexing -----------------------------------------------------------------------------------------

_index_error = (
    lambda: volta.lift(np.ones((2, 3)))[2],
    DimensionError,
    "indices must be from -2 to 1",
)
_many_error = (lambda: volta.lift(np.ones(2))[0, 0], DimensionError, "no more indices than axes")
_key_error = (lambda: volta.lift(np.ones(2))[1.5], DTypeError, "a key must hold")
add(
    "basic_slice",
    lambda x: volta.lift(x)[1:, ..., ::-1, None, 0],
    real(3, 2, 3, 2),
    errors=(_index_error, _many_error, _key_error),
)
add("basic_slice", lambda x: volta.lift(x)[-1, 3:0:-2], real(3, 4), name="basic_slice-negative")


def _assign(key):
    def fun(x, v):
        x = F.asarray(volta.lift(x), copy=True)
        x[key] = v
        return x

    return fun


add(
    "embed_slice",
    lambda v: _embed_slice(v, key=(slice(None, None, -2), 0), shape=(4, 2)),
    real(2),
)
add(
    "embed_add",
    lambda v, i: _embed_add(v, i, axes=(1,), shape=(2, 4)),
    real(3, 2),
    np.asarray([2, 0, 2]),
)
add("slice_update", _assign((slice(1, None), 0)), real(3, 2), real(2))
add(
    "slice_update",
    _assign((Ellipsis, slice(None, None, -2))),
    real(3, 4),
    real(3, 1),
    name="slice_update-step",
)
add(
    "gather",
    lambda x, i: volta.lift(x)[:, i],
    real(3, 4, 2),
    ints(2, 2, high=4),
    errors=(
        (
            lambda: F.take(np.ones(3), np.asarray([3])),
            DimensionError,
            "indices must be from -3 to 2",
        ),
        (lambda: F.take(np.ones(3), np.asarray([0.5])), DTypeError, "indices must be integers"),
    ),
)
add(
    "gather",
    lambda x, i, j: volta.lift(x)[i, :, j],
    real(3, 2, 4),
    ints(2, high=3),
    ints(3, 1, high=4) - 4,
    name="gather-apart",
)
add(
    "gather",
    lambda x, i: F.take_along_axis(x, i, axis=1),
    real(3, 4),
    ints(3, 2, high=4),
    name="take_along_axis",
)
add("scatter", lambda x, v, i: _assign(i)(x, v), real(4, 2), real(3, 2), np.asarray([2, 0, 2]))
add(
    "scatter",
    lambda x, v, i: _assign((slice(None), i))(x, v),
    real(2, 4),
    real(2, 2, 1),
    np.asarray([[1], [3]]),
    name="scatter-axis",
)

# Products -----------------------------------------------------------------------------------------

_inner = (
    lambda: F.matmul(*_arrays((3, 4), (5, 2))),
    ShapeError,
    r"the last axis of x1 must equal the second-last one of x2; got shapes \(3, 4\) and \(5, 2\)",
)
_rank0 = (lambda: F.matmul(*_arrays((), (2,))), ShapeError, "both arrays must have an axis")
for _a, _b in [
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 2, 3), (3, 2)),
    ((2, 3), (2, 3, 2)),
    ((2, 1, 2, 3), (3, 3, 2)),
    ((2, 2, 3), (3,)),
    ((3,), (2, 3, 2)),
]:
    add(
        "matmul",
        F.matmul,
        real(*_a),
        real(*_b),
        name=f"matmul-{len(_a)}-{len(_b)}-{_a[0]}",
        errors=(_inner, _rank0),
    )
add("matmul", F.matmul, cplx(2, 3), cplx(3, 2), name="matmul-complex")
add("matmul", F.matmul, real(2, 3), cplx(3, 2), name="matmul-mixed")

# Creation -----------------------------------------------------------------------------------------

for _name, _make in {
    "full": lambda x: F.multiply(F.full((2,), 3.0, dtype=F.float64), x),
    "arange": lambda x: F.multiply(F.arange(2, dtype=F.float64), x),
    "linspace": lambda x: F.multiply(F.linspace(0.0, 1.0, 2, dtype=F.float64), x),
    "eye": lambda x: F.multiply(F.eye(2, dtype=F.float64), x),
}.items():
    add(_name, _make, real(2))

# Losses -------------------------------------------------------------------------------------------

_labels = ints(4, high=3)
add(
    "class_losses",
    lambda x, t: F.cross_entropy(x, t, reduction="none"),
    real(4, 3),
    _labels,
    errors=(
        (
            lambda: F.cross_entropy(np.ones((2, 3)), np.asarray([0, 3])),
            DimensionError,
            "cross_entropy: classes must be from 0 to 2; got 0 to 3",
        ),
        (
            lambda: F.cross_entropy(np.ones((2, 3)), np.asarray([0])),
            ShapeError,
            r"without its class axis; got \(1,\) and \(2, 3\)",
        ),
    ),
)
add(
    "class_losses",
    lambda x, t: F.cross_entropy(x, t, ignore_index=1),
    real(2, 3, 2),
    np.asarray([[0, 1], [2, 2]]),
    name="class_losses-ignored",
)

# Random -------------------------------------------------------------------------------------------

_key = np.asarray([0, 42], dtype=np.uint32)
for _name, _draw in {
    "random_split": lambda key: F.random.split(key, 3),
    "random_bits": lambda key: F.random.bits(key, (2, 3)),
    "random_unit": lambda key: F.random.uniform(key, (2, 3), F.float64),
    "random_normal": lambda key: F.random.normal(key, (2, 3), F.float64),
}.items():
    add(_name, _draw, _key)
add("random_seed", F.random.key, np.asarray(7))
add("random_fold_in", F.random.fold_in, _key, np.asarray(3))
add(
    "random_between",
    lambda key, low, high: F.random.uniform(key, (2, 3), F.float64, low, high),
    _key,
    real(3, low=-2.0, high=-1.0),
    real(2, 1, low=1.0, high=2.0),
)
