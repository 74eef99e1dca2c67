"""Bad shapes, axes, dtypes, libraries and indices: one error on every library, in every transform.

A row is a call and the error that it must raise, with the function's name and the facts in the
message. Many rows follow from what is known of a function already: its signature has an axis, its
type rule is that of elementwise operations, or it has a row in tests/samples, whose operands are
given other dtypes and divided among two libraries. The others are written below, by chapter. A test
fails if a public function lacks a row of a kind that its signature asks for, without a reason.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from coverage_table import family, functions, rows_of
from strategies import leaves, library, quiet, raw, running, under

import volta
import volta.functional as F
from volta.core.errors import (
    BroadcastError,
    DeviceError,
    DimensionError,
    DTypeError,
    ShapeError,
    VoltaError,
)
from volta.core.primitive import REGISTRY
from volta.core.types import DTYPES, ArrayType, typeof

pytestmark = pytest.mark.core

LIBRARIES = ("numpy", "array_api_strict", "torch", "jax", "dask")
MODES = ("raw", "vjp", "jvp", "vmap", "trace")
FUNCTIONS = {name: f for name, f in functions().items() if f is not None}


@dataclass(frozen=True)
class Row:
    """A call of a public function that must fail."""

    of: str  # the function, below volta.functional
    kind: str  # what is bad: shape, axis, dtype, library or index
    call: Callable[..., Any]
    args: tuple[Any, ...]  # NumPy's arrays become the library's
    error: Any  # the class, or None: the library may take it, in every transform then
    message: str
    skip: dict[str, str]  # library or mode: why not there

    @property
    def name(self):
        """What the message begins with."""
        return self.of.rpartition(".")[2]

    @property
    def chapter(self):
        return family(self.of, FUNCTIONS[self.of])

    def __repr__(self):
        return f"{self.of}-{self.kind}"


ROWS: list[Row] = []


def row(of, kind, call, args, error, message, **skip):
    ROWS.append(Row(of, kind, call, args, error, message, skip))


def full(*shape, dtype="float64"):
    return np.ones(shape, dtype)


def ints(*numbers):
    return np.asarray(numbers, dtype=np.int64)


def parameters(name):
    return inspect.signature(FUNCTIONS[name]).parameters


# From type rules, signatures and tests/samples ----------------------------------------------------

ELEMENTWISE = {
    name: f.primitive
    for name, f in FUNCTIONS.items()
    if getattr(f, "primitive", None) in REGISTRY.values()
    and f.primitive.elementwise
    and f.primitive.name == name.rpartition(".")[2]
}


def accepted(primitive, count):
    """Dtype that the type rule takes for every operand."""
    for dtype in ("float64", "bool", "int64", "complex128"):
        try:
            primitive.type_rule(*[ArrayType((), DTYPES[dtype])] * count)
        except DTypeError:
            continue
        return dtype
    return None


for _name, _primitive in ELEMENTWISE.items():
    if (_count := len(parameters(_name))) > 1:
        _dtype = accepted(_primitive, _count)
        _first = full(2, 3, dtype="bool" if _name == "where" else _dtype)
        row(
            _name,
            "shape",
            FUNCTIONS[_name],
            (_first, *[full(4, dtype=_dtype)] * (_count - 1)),
            BroadcastError,
            r"the shapes must broadcast together; got \(2, 3\) and .*\(4,\)",
        )

BETWEEN = {  # arguments between the array and the axis
    "cosine_similarity": (full(2, 3),),
    "quantile": (0.5,),
    "roll": (1,),
    "take": (ints(0),),
    "take_along_axis": (full(2, 3, dtype="int64"),),
    "top_k": (1,),
    "vecdot": (full(2, 3),),
    "linalg.cross": (full(2, 3),),
    "linalg.vecdot": (full(2, 3),),
    "repeat": (2,),
}
AXES_BELOW = {  # with other words or arguments
    "weight_norm",
    "gumbel_softmax",
    *("concat", "expand_dims", "linalg.tensordot", "one_hot", "permute_dims", "random.categorical"),
    *("random.choice", "random.permutation", "squeeze", "stack", "tensordot"),
}


def axis_of(name):
    return next((p for p in ("axis", "axes") if p in parameters(name)), None)


for _name, _function in FUNCTIONS.items():
    if (_axis := axis_of(_name)) and _name not in AXES_BELOW:
        _two = (2,) if _name.endswith("fftn") else 2
        row(
            _name,
            "axis",
            lambda *a, f=_function, named={_axis: _two}: f(*a, **named),
            (full(2, 3), *BETWEEN.get(_name, ())),
            DimensionError,
            "axis must be from -2 to 1; got 2 for an array of 2 axes",
        )

OTHER_DTYPES = ("complex128", "bool", "int64", "float64")
DIRECTLY = {  # whose rows in tests/samples call other functions too
    **dict.fromkeys(("linalg.cholesky", "linalg.eigh", "linalg.eigvalsh"), (np.eye(3),)),
    "fft.rfftn": (full(2, 4),),
    **{f"nan{n}": (full(2, 3),) for n in ("max", "mean", "min", "prod", "std", "sum", "var")},
}
NO_DTYPE = {  # why no dtype is wrong
    "asarray": "it takes any; a list of other things has a row below",
    "full": "the value is a number",
    "full_like": "it takes any",
    "linspace": "start and stop are numbers",
}
NEVER_MEET = {  # why arrays of two libraries may be among the operands
    "asarray": "a row of lists stands below",
    "broadcast_arrays": "each result is of its operand's library",
    "full": "the value is a number",
    "full_like": "a row stands below",
    "linspace": "start and stop are numbers",
    "meshgrid": "each result is of its operand's library",
}


def first_row(name):
    """The first row of a function in tests/samples that has arrays."""
    return next((r for r in rows_of(name) if r.args), None)


def retyped(a, dtype):
    with quiet():
        return (a if dtype == "complex128" else a.real).astype(dtype)


for _name in FUNCTIONS:
    _row = first_row(_name)
    _fun, _args = _row and _row.fun, _row and _row.args
    if _name in DIRECTLY:
        _fun, _args = FUNCTIONS[_name], DIRECTLY[_name]
    if _args and _name not in NO_DTYPE:
        _kind = _args[0].dtype.kind
        for _dtype in OTHER_DTYPES:
            if np.dtype(_dtype).kind != _kind:
                _changed = (retyped(a, _dtype) if a.dtype.kind == _kind else a for a in _args)
                row(_name, f"dtype-{_dtype}", _fun, tuple(_changed), None, _dtype)
    if _row and len(_row.args) > 1 and _name not in NEVER_MEET:
        row(_name, "library", _row.fun, _row.args, DeviceError, "must meet")


# Creation, conversion, dtypes ---------------------------------------------------------------------

M, V = full(2, 3), full(3)
CUBE = full(2, 2, 3)
NEGATIVE = r"lengths must not be negative; got "
for _name in ("zeros", "ones", "empty"):
    row(_name, "shape", lambda f=FUNCTIONS[_name]: f((2, -1)), (), ShapeError, NEGATIVE)
row("full", "shape", lambda: F.full((2, -1), 1.0), (), ShapeError, NEGATIVE)
row("eye", "shape", lambda: F.eye(2, -1), (), ShapeError, NEGATIVE)
row("linspace", "shape", lambda: F.linspace(0, 1, -1), (), ShapeError, NEGATIVE)
row("linspace", "dtype", lambda: F.linspace(0, 1j, 3, dtype=F.float64), (), DTypeError, "float64")
row("full_like", "shape", lambda x: F.full_like(x, 1, shape=-1), (M,), ShapeError, NEGATIVE)
row(
    "full_like",
    "library",
    lambda x, y: F.full_like(x, F.sum(y)),
    (M, V),
    DeviceError,
    "must meet",
    raw="without a transform the value is a number",
)
row("asarray", "library", lambda x, y: F.asarray([x, y]), (V, V), DeviceError, "must meet")
row("asarray", "dtype", lambda: F.asarray(["a"]), (), DTypeError, "must hold numbers .*; got <U1")
row("astype", "dtype", lambda x: F.astype(x, "float7"), (M,), DTypeError, "float7")
row("finfo", "dtype", lambda: F.finfo("int64"), (), DTypeError, "int64")
row("iinfo", "dtype", lambda: F.iinfo("float64"), (), DTypeError, "float64")
row("can_cast", "dtype", lambda: F.can_cast("float7", "float64"), (), DTypeError, "float7")
row("isdtype", "dtype", lambda: F.isdtype("float7", "real floating"), (), DTypeError, "float7")
row("result_type", "dtype", lambda: F.result_type("float7"), (), DTypeError, "float7")

# Manipulation and padding -------------------------------------------------------------------------

TOGETHER = r"must broadcast together; got \(2, 3\) and \(4,\)"
row("broadcast_arrays", "shape", F.broadcast_arrays, (M, full(4)), BroadcastError, TOGETHER)
row(
    "broadcast_shapes",
    "shape",
    lambda: F.broadcast_shapes((2, 3), (4,)),
    (),
    BroadcastError,
    TOGETHER,
)
for _name, _args, _error, _message in [
    ("broadcast_to", (M, (4, 3)), ShapeError, r"\(2, 3\) .*\(4, 3\)"),
    ("reshape", (M, (5,)), ShapeError, r"\(2, 3\) .*\(5,\)"),
    ("squeeze", (M, 0), ShapeError, r"length 1; got axis 0 of shape \(2, 3\)"),
    ("permute_dims", (M, (0,)), ShapeError, r"\(0,\)"),
    ("moveaxis", (M, (0, 1), (0,)), ShapeError, r"\(0, 1\) and \(0,\)"),
    ("matrix_transpose", (V,), ShapeError, r"\(3,\)"),
    ("tril", (V,), ShapeError, r"\(3,\)"),
    ("triu", (V,), ShapeError, r"\(3,\)"),
    ("tile", (M, (2, -1)), ShapeError, r"-1"),
    ("repeat", (V, [1, 2]), ShapeError, r"one for each of 3 elements; got .*1.*2"),
    ("pad", (M, [(1, 1), (1, 1), (1, 1)]), ShapeError, r"pair for each axis; got .* 2 axes"),
    ("shrink", (M, [(0, 1)]), ShapeError, r"\(2, 3\)|2 axes"),
    ("stride", (M, [1]), ShapeError, r"\(2, 3\)|2 axes"),
]:
    row(_name, "shape", FUNCTIONS[_name], _args, _error, _message)
row("concat", "shape", lambda x, y: F.concat([x, y]), (M, full(2, 4)), ShapeError, r"3.*4")
row("stack", "shape", lambda x, y: F.stack([x, y]), (M, full(2, 4)), ShapeError, r"3.*4")
row("roll", "shape", lambda x: F.roll(x, (1, 2), axis=0), (M,), ShapeError, r"\(1, 2\)|2")
row(
    "shrink", "index", lambda x: F.shrink(x, [(0, 4)]), (V,), DimensionError, "0 to 3 .* got 0 to 4"
)
OUTSIDE = "axis must be from -2 to 1; got 2 for an array of 2 axes"
row(
    "gumbel_softmax",
    "axis",
    lambda x: F.gumbel_softmax(x, axis=2, key=np.asarray([1, 2], np.uint32)),
    (M,),
    DimensionError,
    OUTSIDE,
)
row("concat", "axis", lambda x: F.concat([x, x], axis=2), (M,), DimensionError, OUTSIDE)
row("squeeze", "axis", F.squeeze, (M, 2), DimensionError, OUTSIDE)
row("permute_dims", "axis", F.permute_dims, (M, (0, 2)), DimensionError, OUTSIDE)
row("moveaxis", "axis", F.moveaxis, (M, 2, 0), DimensionError, OUTSIDE)
row("stack", "axis", lambda x: F.stack([x, x], axis=3), (M,), DimensionError, "to 2; got 3")
row("expand_dims", "axis", lambda x: F.expand_dims(x, axis=3), (M,), DimensionError, "2; got 3")

# Places in an array -------------------------------------------------------------------------------

FAR = r"indices must be from -3 to 2 along axis [01]; got 7"  # dask counts the lanes' axis
row("take", "index", F.take, (V, ints(0, 7)), DimensionError, FAR)
row("take_along_axis", "index", F.take_along_axis, (V, ints(0, 7)), DimensionError, FAR)
row("take", "shape", F.take, (M, ints(0)), DimensionError, r"axis must be given .*\(2, 3\)")
row("take", "dtype", F.take, (V, full(2)), DTypeError, "must be integers; got .*float64")
row("take_along_axis", "shape", F.take_along_axis, (M, ints(0)), ShapeError, r"\(1,\) .*\(2, 3\)")
row("take_along_axis", "dtype", F.take_along_axis, (V, full(2)), DTypeError, "float64")
row("one_hot", "shape", lambda x: F.one_hot(x, -1), (ints(0),), ShapeError, NEGATIVE)
row("one_hot", "axis", lambda x: F.one_hot(x, 2, axis=2), (ints(0),), DimensionError, "got 2")
row("one_hot", "dtype", lambda x: F.one_hot(x, 2), (V,), DTypeError, "float64")
row("at", "index", lambda x, i: F.at(x)[i].add(1.0), (V, ints(0, 7)), DimensionError, FAR)
row("at", "shape", lambda x: F.at(x)[:2].set(x), (V,), ShapeError, r"\(3,\)")
row("at", "dtype", lambda x: F.at(x)[0].set(1j), (V,), DTypeError, "float64|complex")
row(
    "searchsorted",
    "shape",
    F.searchsorted,
    (M, V),
    ShapeError,
    r"must have one axis; got shape \(2",
)
row(
    "searchsorted",
    "index",
    lambda x, i: F.searchsorted(x, 1.0, sorter=i),
    (V, ints(0, 7, 1)),
    DimensionError,
    FAR,
)
row("nonzero", "shape", F.nonzero, (full(),), ShapeError, r"must have an axis; got shape \(\)")
row("isin", "dtype", lambda: F.isin(1, 2), (), DTypeError, "must be an array; got 1 and 2")
for _mode in ("max", "mean", "min", "prod", "sum"):
    _function = FUNCTIONS[f"segment_{_mode}"]
    _name = f"segment_{_mode}"
    row(_name, "shape", _function, (V, ints(0, 1)), ShapeError, r"got shapes \(2,\) and \(3,\)")
    row(_name, "dtype", _function, (V, V), DTypeError, "must be integers; got .*float64")
    row(
        _name,
        "index",
        lambda x, i, f=_function: f(x, i, 2),
        (V, ints(0, 1, 7)),
        DimensionError,
        r"must be from (0|-2) to 1.*; got 7",
        dask="dask finds out when it computes; its own rows of scatter stand for it",
    )
for _name in ("cross_entropy", "nll_loss"):
    _function = FUNCTIONS[_name]
    row(_name, "shape", _function, (M, ints(0)), ShapeError, r"\(1,\) and \(2, 3\)")
    row(
        _name,
        "index",
        _function,
        (M, ints(0, 7)),
        DimensionError,
        "classes must be from 0 to 2|got 7",
    )
    row(_name, "dtype", _function, (M, M[0]), (DTypeError, ShapeError), r"float64|\(3,\)")
for _name, _gates in (("rnn_cell", 1), ("lstm_cell", 4), ("gru_cell", 3)):
    _function = FUNCTIONS[_name]
    _call = (lambda x, h, *w: F.lstm_cell(x, (h, h), *w)) if _gates == 4 else _function
    _weights = full(2 * _gates, 3), full(2 * _gates, 2)
    row(_name, "shape", _call, (full(4), full(2), *_weights), ShapeError, r"hidden\), and.*\[4\]")
row("rotary_embedding", "shape", F.rotary_embedding, (M,), ShapeError, r"got \(2, 3\)")
row("rotary_embedding", "dtype", F.rotary_embedding, (full(2, 4) > 0,), None, "")
Q = full(2, 4, 3)
for _name, _function in (
    ("scaled_dot_product_attention", F.scaled_dot_product_attention),
    ("dot_product_attention", F.dot_product_attention),
):
    row(_name, "shape", _function, (Q, full(2, 4, 5), Q), ShapeError, r"features; got .*3\).*5\)")
    row(_name, "dtype", _function, (Q, Q, full(2, 4, 3, dtype="int64")), DTypeError, "int64")
for _name in (
    *("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "log_cosh_loss", "quantile_loss"),
    *("poisson_nll_loss", "kl_divergence_gaussian", "binary_cross_entropy", "kl_div", "dice_loss"),
    *("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss", "soft_margin_loss"),
    *("sigmoid_focal_loss", "tversky_loss", "hinge_embedding_loss"),
):
    row(_name, "shape", FUNCTIONS[_name], (M, V), ShapeError, r"\(2, 3\) and \(3,\)")
for _name in ("margin_ranking_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss"):
    row(_name, "shape", FUNCTIONS[_name], (M, M, V), ShapeError, r"\(2, 3\), \(2, 3\) and \(3,\)")
for _name, _args, _message in [
    ("gaussian_nll_loss", (M, M, V), r"\(3,\) and \(2, 3\)"),
    ("cosine_embedding_loss", (M, M, V), r"\(2, 3\) and \(3,\)"),
    ("multi_margin_loss", (M, ints(1)), r"\(1,\) and \(2, 3\)"),
    ("multilabel_margin_loss", (M, ints(1)), r"\(2, 3\) and \(1,\)"),
    ("pairwise_distance", (full(), full()), r"\(\) and \(\)"),
    ("ctc_loss", (V, ints(1), 3, 1), r"got \(3,\)"),
    ("prelu", (M, full(2)), r"\(2,\) and \(2, 3\)"),
    ("glu", (V,), r"axis 0 must be even; got 3"),
]:
    row(_name, "shape", FUNCTIONS[_name], _args, ShapeError, _message)
row(
    "cosine_similarity",
    "shape",
    lambda x, y: F.cosine_similarity(x, y, 0),
    (M, full(4)),
    BroadcastError,
    TOGETHER,
)
row(
    "multi_margin_loss",
    "index",
    F.multi_margin_loss,
    (M, ints(0, 7)),
    DimensionError,
    "classes must be from 0 to 2; got 0 to 7|got 7",
    dask="dask finds out when it computes",
)
row(
    "multilabel_margin_loss",
    "index",
    F.multilabel_margin_loss,
    (V, ints(0, 7, -1)),
    DimensionError,
    "classes must be from -1 to 2; got -1 to 7|got 7",
    dask="dask finds out when it computes",
)
row(
    "ctc_loss",
    "index",
    lambda x, y: F.ctc_loss(x, y, (2,), (1,)),
    (full(2, 1, 3), full(1, 1, dtype="int64") * 7),
    DimensionError,
    "targets must be from 0 to 2; got 7 to 7|got 7",
    dask="dask finds out when it computes",
)

# Products, reductions, sorting, calculus ----------------------------------------------------------

INNER = r"x1 must equal .* x2; got shapes \(2, 3\) and \(2, 3\)"
for _space in ("", "linalg."):
    row(f"{_space}matmul", "shape", F.matmul, (M, M), ShapeError, INNER)
    row(
        f"{_space}tensordot", "shape", lambda x: F.tensordot(x, x, axes=1), (M,), ShapeError, "3.*2"
    )
    row(
        f"{_space}tensordot", "axis", lambda x: F.tensordot(x, x, axes=3), (M,), VoltaError, "got 2"
    )
    row(f"{_space}vecdot", "shape", F.vecdot, (M, full(2, 4)), ShapeError, r"3.*4")
    row(f"{_space}matrix_transpose", "shape", F.matrix_transpose, (V,), ShapeError, r"\(3,\)")
row("mulacc", "shape", F.mulacc, (M, M, full(4)), BroadcastError, r"\(2, 3\) and \(4,\)")
row(
    "einsum",
    "shape",
    lambda x: F.einsum("ij,jk", x, x),
    (M,),
    ShapeError,
    "one length; got 3 and 2",
)
row("einsum", "dtype", lambda x: F.einsum("ij", x, optimize=1.5), (M,), DTypeError, "got 1.5")
EMPTY = full(2, 0)
for _name in ("max", "min", "argmax", "argmin", "median"):
    row(_name, "shape", lambda x, f=FUNCTIONS[_name]: f(x, axis=1), (EMPTY,), ShapeError, "0")
for _name in ("nanmax", "nanmin"):
    row(_name, "shape", lambda x, f=FUNCTIONS[_name]: f(x, axis=1), (EMPTY,), ShapeError, "0")
row("average", "shape", lambda x, w: F.average(x, weights=w), (M, full(4)), ShapeError, r"\(4,\)")
row("top_k", "shape", lambda x: F.top_k(x, 4), (M,), ShapeError, "k must be from 0 to 3, .* got 4")
row("quantile", "shape", lambda x: F.quantile(x, 0.5, axis=1), (EMPTY,), ShapeError, r"\(2, 0\)")
for _name in ("sum", "prod", "logsumexp", "max", "min", "maximum", "extrema"):
    if (_cumulative := f"cumulative_{_name}") in FUNCTIONS:
        row(_cumulative, "shape", FUNCTIONS[_cumulative], (M,), VoltaError, r"\(2, 3\)")
row("diff", "shape", lambda x, y: F.diff(x, append=y), (M, full(5, 1)), ShapeError, r"2.*5")
row("interp", "shape", F.interp, (V, V, full(2)), ShapeError, r"\(3,\) and \(2,\)")
row("polyval", "shape", F.polyval, (full(), V), ShapeError, r"must have an axis")
for _name in ("convolve", "correlate"):
    row(_name, "shape", FUNCTIONS[_name], (M, V), ShapeError, r"\(2, 3\) and \(3,\)")
_SIGNAL = {1: full(1, 2, 4), 2: full(1, 2, 4, 4), 3: full(1, 2, 4, 4, 4)}
for _nd, _signal in _SIGNAL.items():
    for _name in (f"conv{_nd}d", f"conv_transpose{_nd}d"):
        row(_name, "shape", FUNCTIONS[_name], (_signal, full(3)), ShapeError, r"\(3,\)")
for _name in (n for n in FUNCTIONS if re.search(r"_(un)?pool\dd$", n)):
    _options = {"output_size": 1}
    if "fractional" in _name:
        _options |= {"kernel_size": 1, "_random_samples": full(1, 1)}
    if "adaptive" not in _name and "fractional" not in _name:
        _options = {"kernel_size": 2, **({"norm_type": 2} if _name.startswith("lp") else {})}
    row(
        _name,
        "shape",
        (lambda x, f=FUNCTIONS[_name], o=_options: f(x, np.zeros(3, np.int64), **o))
        if "unpool" in _name
        else partial(FUNCTIONS[_name], **_options),
        (V,),
        ShapeError,
        r"must have the axes \(n, channels, .*got shape \(3,\)",
    )
for _nd in (1, 2, 3):
    row(
        f"max_unpool{_nd}d",
        "index",
        lambda x, i, f=FUNCTIONS[f"max_unpool{_nd}d"]: f(x, i, 2),
        (full(1, *(1,) * _nd), ints(9).reshape(1, *(1,) * _nd)),
        DimensionError,
        r"must be from (0|-\d) to .*; got 9",
        dask="dask finds out when it computes; its own rows of scatter stand for it",
    )
row("conv_algo", "shape", lambda: F.conv_algo((1, 2, 4), (1, 3, 2)), (), ShapeError, r"\(1, 3, 2\)")
row("conv_algo", "dtype", lambda: F.conv_algo((1, 2, 4), (1, 2, 2), dtype="x"), (), DTypeError, "x")

# Normalization, embedding, dropout, images --------------------------------------------------------

IMAGE = full(2, 3, 4, 4)
for _name, _args, _message in [
    ("layer_norm", (M, 4), r"normalized_shape; got shape \(2, 3\) and \(4,\)"),
    ("rms_norm", (M, 3, full(4)), r"normalized_shape, \(3,\); got shape \(4,\)"),
    ("batch_norm", (M, full(4), full(4)), r"shape \(3,\); got shape \(4,\) for x of .*\(2, 3\)"),
    ("group_norm", (M, 2), r"must divide the channels; got 2 and \(2, 3\)"),
    ("instance_norm", (M,), r"must have 3 axes or more, .*; got \(2, 3\)"),
    ("local_response_norm", (V, 2), r"must have 2 axes or more, .*; got \(3,\)"),
    ("weight_norm", (M, full(3)), r"g must have shape \(2, 1\) for v of \(2, 3\); got \(3,\)"),
    ("embedding", (ints(0), V), r"weight must have two axes, .*; got shape \(3,\)"),
    ("embedding_bag", (ints(0), M), r"two axes, or one and offsets; got shape \(1,\) without"),
    ("dropout1d", (V,), r"must have 3 or 2 axes; got shape \(3,\)"),
    ("dropout2d", (M,), r"must have 4 or 3 axes; got shape \(2, 3\)"),
    ("dropout3d", (M,), r"must have 5 or 4 axes; got shape \(2, 3\)"),
    ("feature_alpha_dropout", (V,), r"must have 2 axes or more, .*; got shape \(3,\)"),
    ("unfold", (M, 2), r"must have 3 or 4 axes, .*; got \(2, 3\)"),
    ("fold", (M, 3, 2), r"a multiple of 4 rows and 4 columns, .*; got shape \(2, 3\)"),
    ("pixel_shuffle", (IMAGE, 2), r"a multiple of 2²; got shape \(2, 3, 4, 4\)"),
    ("pixel_unshuffle", (IMAGE, 3), r"must be multiples of 3; got shape \(2, 3, 4, 4\)"),
    ("channel_shuffle", (IMAGE, 2), r"a multiple of 2; got shape \(2, 3, 4, 4\)"),
    ("interpolate", (M, 2), r"must have 3 or more axes for 'nearest'; got \(2, 3\)"),
    ("grid_sample", (IMAGE, full(2, 1, 1, 3)), r"\(2, 3, 4, 4\) and \(2, 1, 1, 3\)"),
    ("affine_grid", (M, (2, 1, 4, 4)), r"got shape \(2, 3\) and \(2, 1, 4, 4\)"),
    ("bilinear", (M, M, full(1, 3, 2)), r"got \(2, 3\), \(2, 3\) and \(1, 3, 2\)"),
]:
    row(_name, "shape", FUNCTIONS[_name], _args, ShapeError, _message)
row(
    "normalize",
    "shape",
    lambda x: F.normalize(x, axis=(0, 0)),
    (M,),
    ShapeError,
    r"axis.*\(0, 0\)|twice",
)
row(
    "weight_norm", "axis", lambda v, g: F.weight_norm(v, g, axis=2), (M, M), DimensionError, OUTSIDE
)
for _name in ("embedding", "embedding_bag"):
    row(
        _name,
        "index",
        FUNCTIONS[_name],
        (ints(0, 7).reshape(1, 2), M),
        DimensionError,
        "row numbers must be from 0 to 1; got 7|got 7",
    )
    row(_name, "dtype", FUNCTIONS[_name], (M, M), DTypeError, "array of integers; got .*float64")

# fft, linalg, special, random ---------------------------------------------------------------------

for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    row(
        f"fft.{_name}", "shape", lambda x, f=_name: getattr(F.fft, f)(x, n=0), (V,), ShapeError, "0"
    )
for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    row(
        f"fft.{_name}",
        "shape",
        lambda x, f=_name: getattr(F.fft, f)(x, s=(2,), axes=(0, 1)),
        (M,),
        ShapeError,
        r"one length for each axis; got \(2,\) and \(0, 1\)",
    )
for _name in ("fftfreq", "rfftfreq"):
    row(f"fft.{_name}", "shape", lambda f=_name: getattr(F.fft, f)(0), (), ShapeError, "got 0")
    row(
        f"fft.{_name}",
        "dtype",
        lambda f=_name: getattr(F.fft, f)(3, dtype="int64"),
        (),
        DTypeError,
        "int64",
    )
_square = ("cholesky", "det", "eig", "eigh", "eigvals", "eigvalsh", "expm", "inv", "slogdet")
for _name in _square:
    _function = FUNCTIONS[f"linalg.{_name}"]
    row(f"linalg.{_name}", "shape", _function, (M,), ShapeError, r"one length; got shape \(2, 3\)")
for _name in ("diagonal", "matrix_norm", "matrix_rank", "pinv", "qr", "svd", "svdvals", "trace"):
    _function = FUNCTIONS[f"linalg.{_name}"]
    row(f"linalg.{_name}", "shape", _function, (V,), ShapeError, r"two axes.*got shape \(3,\)")
for _name, _args, _message in [
    ("matrix_power", (M, 2), r"\(2, 3\)"),
    ("cross", (M, full(2, 2)), r"\(2, 3\) and \(2, 2\)"),
    ("outer", (M, V), r"\(2, 3\) and \(3,\)"),
    ("solve", (np.eye(3), M), r"\(3, 3\) and \(2, 3\)"),
    ("solve_triangular", (np.eye(3), M), r"\(3, 3\) and \(2, 3\)"),
    ("lstsq", (M, V), r"\(2, 3\) and \(3,\)"),
]:
    row(f"linalg.{_name}", "shape", FUNCTIONS[f"linalg.{_name}"], _args, ShapeError, _message)
row(
    "linalg.multi_dot",
    "shape",
    lambda x: F.linalg.multi_dot([x, x]),
    (M,),
    ShapeError,
    r"\(2, 3\) and \(2, 3\)",
)
row(
    "linalg.matrix_rank", "dtype", F.linalg.matrix_rank, (ints(1, 2),), VoltaError, "int64|two axes"
)
_three = ("bdtr", "bdtrc", "bdtri", "fdtr", "fdtrc", "fdtri", "gdtr", "gdtrc", "gdtrix")
for _name in (*_three, "nbdtr", "nbdtrc", "nbdtri"):
    row(
        f"special.{_name}",
        "shape",
        FUNCTIONS[f"special.{_name}"],
        (M, full(4), M),
        BroadcastError,
        "must broadcast together; got .*4",
    )
for _name in ("chdtr", "chdtrc", "chdtri", "pdtr", "pdtrc", "pdtri", "zeta"):
    _function = FUNCTIONS[f"special.{_name}"]
    row(f"special.{_name}", "shape", _function, (M, full(4)), BroadcastError, TOGETHER)
row("special.polygamma", "shape", lambda x: F.special.polygamma(-1, x), (V,), ShapeError, "got -1")

_KEY = np.asarray([1, 2], dtype=np.uint32)
_GIVEN = {  # arguments without a default; the others are arrays of shape (3,)
    "shape": (3,),
    "minval": 0,
    "maxval": 5,
    "d": 2,
    "n": 2,
    "data": 1,
    "cov": np.eye(3),
    "lower": 0 * V,
    "left": 0 * V,
    "right": 2 * V,
}
for _name in FUNCTIONS:
    _space, _, _short = _name.rpartition(".")
    if _space == "random" and _short != "key":
        _open = [n for n, p in parameters(_name).items() if p.default is p.empty]
        _more = tuple(_GIVEN.get(n, V) for n in _open[1:])
        _call = FUNCTIONS[_name]
        _short_key = _KEY[:1]
        row(_name, "shape", _call, (_short_key, *_more), ShapeError, r"uint32 .*got shape \(1,\)")
        row(_name, "dtype", _call, (ints(1, 2), *_more), DTypeError, "uint32 .*got int64")
for _name, _more in {
    "categorical": (M,),
    "permutation": (M,),
    "choice": (M, (2,), True, None),
}.items():
    row(
        f"random.{_name}",
        "axis",
        lambda key, x, *more, f=_name: getattr(F.random, f)(key, x, *more, axis=2),
        (_KEY, *_more),
        DimensionError,
        OUTSIDE,
    )


# Running a row ------------------------------------------------------------------------------------


def outcome(row, mode, args, lib):
    """Dtypes of the results, or what was raised."""
    try:
        outs = leaves(row.call(*args) if mode == "raw" else under(mode, row.call, args))
        for out in outs:
            np.asarray(lib.host(raw(out)))  # dask computes, and finds out, only here
        return [typeof(raw(out)).dtype for out in outs if hasattr(out, "dtype")]
    except Exception as error:
        return error


def arguments(row, lib):
    """Operands, of two libraries where that is what is bad."""
    other = library("torch" if lib.name == "array_api_strict" else "array_api_strict")
    found = []
    for i, a in enumerate(row.args):
        chosen = other if i and row.kind == "library" else lib
        found.append(chosen.asarray(a) if isinstance(a, np.ndarray) else a)
    return tuple(found)


def joins(row, mode, lib):
    """Whether operands of NumPy join the other library, because no transform follows them."""
    untraced = mode == "raw" or (mode in ("vjp", "jvp") and row.args[0].dtype.kind not in "fc")
    floored = re.match(r"special\.(n?b|p)dtr", row.of)  # of which no derivative is left
    untraced = untraced or (floored and mode in ("vjp", "jvp"))
    return row.kind == "library" and lib.name == "numpy" and untraced


def wrong(row, mode, out, lib):
    """What is wrong with an outcome, or ""."""
    if not isinstance(out, Exception):
        return f"{mode}: no error but {out}" if row.error else ""
    name = row.name
    late = mode == "trace" or lib == "dask"  # where indices are seen when it computes
    if row.error is None and mode == "trace":
        name = r"\w+"
    elif row.of == "at" or late:
        name = rf"(at\.\w+|{name}|gather|scatter\w*|setitem)"
    told = rf"^({name}|dtype): .*({row.message})"
    if isinstance(out, row.error or DTypeError) and re.search(told, str(out)):
        return ""
    return f"{mode}: {type(out).__name__}: {out}"


FIRST: dict[tuple[str, str], Row] = {}  # of each chapter and kind, of what raises
for _row in ROWS:
    if _row.error:
        FIRST.setdefault((_row.chapter, _row.kind), _row)


def is_slow(row, lib):
    """Whether another row of the chapter stands for this one: most of dtypes compute to the end."""
    if lib == "numpy" or (row.error and lib in ("torch", "array_api_strict")):
        return False
    return row is not FIRST.get((row.chapter, row.kind))


CASES = [
    pytest.param(r, lib, marks=[pytest.mark.slow] if is_slow(r, lib) else [], id=f"{r!r}-{lib}")
    for r in ROWS
    for lib in LIBRARIES
]


@pytest.mark.parametrize(("row", "name"), CASES)
def test_bad_input_raises_one_error(row, name):
    if name in row.skip:
        pytest.skip(row.skip[name])
    with running(name), quiet():
        lib = library(name)
        args = arguments(row, lib)
        modes = MODES if any(isinstance(a, np.ndarray) for a in row.args) else ("raw",)
        modes = [m for m in modes if m not in row.skip and not joins(row, m, lib)]
        outs = {mode: outcome(row, mode, args, lib) for mode in modes}
    if row.error or isinstance(outs["raw"], Exception):
        problems = [w for mode, out in outs.items() if (w := wrong(row, mode, out, name))]
        assert not problems, "\n".join(problems)
        return
    # derivatives and batching rules are of other functions, which may refuse a dtype
    refused = [outs.pop(m, outs["raw"]) for m in ("jvp", "vmap")]
    assert all(isinstance(o, DTypeError) or o == outs["raw"] for o in refused), refused
    # dask guesses dtypes from small arrays, not always right; JAX's own of booleans are weak
    if name != "dask" and not (name == "jax" and row.of in ("special.fdtr", "special.fdtrc")):
        assert all(out == outs["raw"] for out in outs.values()), outs


# Completeness -------------------------------------------------------------------------------------

ANY_SHAPE = {
    *("all", "any", "count_nonzero", "log_softmax", "logsumexp", "mean", "prod", "softmax", "std"),
    *("special.log_softmax", "special.logsumexp", "special.softmax", "sum", "var"),
    *("nanmean", "nanprod", "nanstd", "nansum", "nanvar"),
    *("argsort", "flip", "sort", "unstack", "fft.fftshift", "fft.ifftshift", "linalg.vector_norm"),
    *("isin", "unique_all", "unique_counts", "unique_inverse", "unique_values"),
    *("asarray", "astype", "expand_dims", "to_device", "empty_like", "ones_like", "zeros_like"),
    *("meshgrid", "linalg.kron", "special.multigammaln"),
    *("alpha_dropout", "dropout"),
    *("clip", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "special.expit"),
    *("celu", "elu", "gelu", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish"),
    *("hardtanh", "logsigmoid", "mish", "relu6", "rrelu", "selu", "softmin", "softshrink"),
    *("softsign", "squareplus", "tanhshrink", "threshold"),
}
ANY_DTYPE = {
    *("empty_like", "ones_like", "zeros_like", "nonzero", "to_device"),
    *("unique_all", "unique_counts", "unique_inverse", "unique_values"),
    *NO_DTYPE,
}
ANOTHER = {  # the same function, whose rows are there
    "linalg.matrix_transpose": "matrix_transpose",
    "linalg.tensordot": "tensordot",
    "linalg.vecdot": "vecdot",
    "special.psi": "special.digamma",
    "special.exp2": "exp2",
    "special.log_softmax": "log_softmax",
    "special.logsumexp": "logsumexp",
    "special.softmax": "softmax",
}
NO_ARRAYS = {  # what has none, but in rows above where its other arguments can be wrong
    *("alibi_bias", "causal_mask", "sinusoidal_encoding"),
    *("arange", "broadcast_shapes", "can_cast", "empty", "eye", "finfo", "full", "iinfo"),
    *("isdtype", "linspace", "ones", "result_type", "zeros", "fft.fftfreq", "fft.rfftfreq"),
    "conv_options",  # whose arguments have tests of their own
    "from_dlpack",  # reads whatever exports memory, which checks it
    "random.key",
}
INDEXED = {
    *("at", "cross_entropy", "ctc_loss", "multi_margin_loss", "multilabel_margin_loss"),
    *("nll_loss", "searchsorted", "take", "take_along_axis"),
    *(f"segment_{mode}" for mode in ("max", "mean", "min", "prod", "sum")),
    *("embedding", "embedding_bag", "max_unpool1d", "max_unpool2d", "max_unpool3d"),
}


def needed(name):
    """Kinds of rows that a function must have."""
    if name in NO_ARRAYS:
        return set()
    row = first_row(name)
    unary = name in ELEMENTWISE and len(parameters(name)) == 1
    found = set() if unary or name in ANY_SHAPE else {"shape"}
    found |= set() if name in ANY_DTYPE else {"dtype"}
    found |= {"axis"} if axis_of(name) else set()
    found |= {"library"} if row and len(row.args) > 1 and name not in NEVER_MEET else set()
    return found | ({"index"} if name in INDEXED else set())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_rows_of_each_kind(name):
    same = ANOTHER.get(name, name)
    assert FUNCTIONS[name] is FUNCTIONS[same]
    found = {r.kind.partition("-")[0] for r in ROWS if r.of in (name, same)}
    assert needed(same) <= found


def test_reasons_are_of_functions_that_exist():
    assert {*ANY_SHAPE, *ANY_DTYPE, *NO_ARRAYS, *NEVER_MEET, *INDEXED, *ANOTHER} <= set(FUNCTIONS)


def test_an_index_outside_a_lane_is_told_by_the_lanes_axis():
    x, i = full(2, 3), np.asarray([[0], [7]])
    for call in (F.take, lambda x, i: F.at(x)[i].add(1.0), F.take_along_axis):
        for axes, args in ((0, (x, i)), ((0, None), (x, i[1]))):
            with pytest.raises(DimensionError, match=r"from -3 to 2 along axis 0; got 7"):
                volta.vmap(call, in_axes=axes)(*args)
