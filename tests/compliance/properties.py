"""The standard's functions, operators, methods and attributes: a property of each.

A row draws the arguments of a call, which `test_conformance` makes of array-api-strict and of
Volta on every kind of array. Arrays come from hypothesis's strategies for the Array API.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import array_api_strict as strict
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra.array_api import make_strategies_namespace
from strategies import (
    BOOL,
    COMPLEX,
    FLOAT,
    FLOATING,
    INT,
    MANIPULATIONS,
    NUMERIC,
    REAL,
    STANDARD,
    UINT,
    axes_of,
    matrix_shapes,
)

xps = make_strategies_namespace(strict, api_version="2025.12")
INTEGER = (*INT, *UINT)
Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class DType:
    """A dtype in arguments: each namespace has its own object."""

    name: str


@dataclass(frozen=True)
class Host:
    """A NumPy array in arguments that stays one beside traced arrays."""

    array: np.ndarray


@dataclass(frozen=True)
class Row:
    draw: Callable[[Any], Call]
    call: Callable[..., Any]
    ulps: float = 0  # 0 is equality; torch always has some
    scale: float = 0  # size of the terms that results are sums of, for the absolute error
    signs: bool = True  # whether zeros have the sign of the standard
    own: bool = False  # whether the defaults of dtypes are the namespace's
    tame: bool = False  # whether torch and complex numbers are compared on tame operands alone
    check: Callable[..., None] | None = None  # (args, kwargs, found, wanted) in place of equality
    skip: dict[str, str] = field(default_factory=dict)  # namespace: reason


ROWS: dict[str, Row] = {}
# names without a property, each with its reason
REASONS: dict[str, str] = {}


def add(names: Any, draw: Callable[..., Any], **options: Any) -> None:
    """Rows of functions that are called alike; `draw` may take the name as well."""
    for name in names.split() if isinstance(names, str) else names:
        options.setdefault("call", None)
        call = options["call"] or function(name)
        takes_name = draw.__code__.co_argcount > 1
        own = (lambda d, name=name: draw(d, name)) if takes_name else draw
        ROWS[name] = Row(own, call, **{k: v for k, v in options.items() if k != "call"})


def function(name):
    def call(xp, *args, **kwargs):
        return operator.attrgetter(name)(xp)(*args, **kwargs)

    return call


# Numbers ------------------------------------------------------------------------------------------


def _special(name):
    if name == "bool":
        return [True, False]
    if name in INTEGER:
        low, high = np.iinfo(name).min, np.iinfo(name).max
        return sorted({0, 1, 2, 3, max(low, -1), max(low, -2), low, low + 1, high - 1, high})
    limits = np.finfo(name)
    sizes = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 1e10, np.inf, float(limits.max), float(limits.tiny)]
    sizes.append(float(limits.smallest_subnormal))
    return [*sizes, *(-v for v in sizes), np.nan]


def _anything(name):
    if name in COMPLEX:
        part = _anything("float32" if name == "complex64" else "float64")
        return st.builds(complex, part, part)
    return st.one_of(st.sampled_from(_special(name)), xps.from_dtype(getattr(strict, name)))


def _small(name):
    """Eighths from -8 to 8, integers from -8 to 8: sums and products of few are exact."""
    if name == "bool":
        return st.booleans()
    if name in INTEGER:
        return st.integers(0 if name in UINT else -8, 8)
    part = st.integers(-64, 64).map(lambda k: k / 8)
    return st.builds(complex, part, part) if name in COMPLEX else part


def _with_specials(name):
    """Like `_small` with infinities and NaN among real numbers."""
    rare = st.sampled_from([np.inf, -np.inf, np.nan, -0.0])
    return st.one_of(_small(name), _small(name), rare) if name in FLOAT else _small(name)


ANYTHING = {name: _anything(name) for name in STANDARD}
SMALL = {name: _small(name) for name in STANDARD}
WITH_SPECIALS = {name: _with_specials(name) for name in STANDARD}
shapes = xps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
full_shapes = xps.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)


def array(d, dtype, shape=shapes, elements=ANYTHING):
    """NumPy array, drawn as one of array-api-strict."""
    shape = d(shape) if isinstance(shape, st.SearchStrategy) else shape
    return np.asarray(d(xps.arrays(getattr(strict, dtype), shape, elements=elements[dtype]))).copy()


def one_of(d, *values):
    return d(st.sampled_from(values))


def some_dtype(d, dtypes):
    return one_of(d, *dtypes)


def _promoting(dtypes):
    found = []
    for a in dtypes:
        for b in dtypes:
            try:
                strict.result_type(getattr(strict, a), getattr(strict, b))
            except TypeError:
                continue
            found.append((a, b))
    return found


PAIRS = {dtypes: _promoting(dtypes) for dtypes in (BOOL, INTEGER, FLOAT, REAL)}
PAIRS.update({dtypes: _promoting(dtypes) for dtypes in (FLOATING, NUMERIC, STANDARD)})
PAIRS[BOOL + INTEGER] = _promoting(BOOL + INTEGER)


def two_shapes(d, count=2):
    return d(
        xps.mutually_broadcastable_shapes(count, max_dims=3, min_side=0, max_side=3)
    ).input_shapes


def scalar_for(d, name, elements=ANYTHING):
    """Python scalar of a kind that an array of the dtype meets in the standard."""
    kinds = {"bool": (name,), "complex64": ("complex64", "float32"), "float32": ("float32", "int8")}
    kinds |= {"complex128": ("complex128", "float64", "int8"), "float64": ("float64", "int8")}
    return d(elements[one_of(d, *kinds.get(name, (name,)))])


# Elementwise --------------------------------------------------------------------------------------

UNARY = {
    **dict.fromkeys(("abs", "negative", "positive", "sign", "square", "round"), NUMERIC),
    **dict.fromkeys(("conj", "real", "isfinite", "isinf", "isnan"), NUMERIC),
    **dict.fromkeys(("ceil", "floor", "trunc"), REAL),
    **dict.fromkeys(("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh"), FLOATING),
    **dict.fromkeys(("exp", "expm1", "log", "log10", "log1p", "log2", "reciprocal"), FLOATING),
    **dict.fromkeys(("sin", "sinh", "sqrt", "tan", "tanh"), FLOATING),
    "imag": COMPLEX,
    "signbit": FLOAT,
    "logical_not": BOOL,
    "bitwise_invert": (*BOOL, *INTEGER),
}
ROUNDED = (
    *("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp", "expm1", "log"),
    *("log10", "log1p", "log2", "sin", "sinh", "tan", "tanh", "atan2", "hypot", "logaddexp", "pow"),
)
BINARY = {
    **dict.fromkeys(("add", "multiply", "subtract", "pow"), NUMERIC),
    **dict.fromkeys(("maximum", "minimum", "floor_divide", "remainder"), REAL),
    **dict.fromkeys(("less", "less_equal", "greater", "greater_equal"), REAL),
    **dict.fromkeys(("equal", "not_equal"), STANDARD),
    **dict.fromkeys(("atan2", "copysign", "hypot", "logaddexp", "nextafter"), FLOAT),
    "divide": FLOATING,
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor"), BOOL),
    **dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor"), (*BOOL, *INTEGER)),
    **dict.fromkeys(("bitwise_left_shift", "bitwise_right_shift"), INTEGER),
}


def unary(d, name):
    return (array(d, some_dtype(d, UNARY[name])),), {}


def second_elements(name, a, b):
    """What the second operand is drawn from, so that the standard has an answer."""
    if name.startswith("bitwise_") and name.endswith("shift"):
        bits = min(np.iinfo(a).bits, np.iinfo(b).bits)
        return st.integers(0, bits - 1)
    if b in INTEGER and a in INTEGER:
        if name == "pow":  # no negative powers of integers
            return st.integers(0, 5)
        if name in ("floor_divide", "remainder"):  # nor division by 0; -1 overflows below
            return ANYTHING[b].filter(lambda v: v not in (0, -1))
    if name == "floor_divide":
        return first_elements(name, b, a)
    return ANYTHING[b]


def first_elements(name, a, b):
    if name == "pow" and (a in COMPLEX or b in COMPLEX):
        # as if by exp(x2 log(x1)): 0 to the power of 0 may be NaN, and is so on torch
        return ANYTHING[a].filter(lambda v: v != 0)
    if name == "floor_divide" and a in FLOAT:
        # beside infinities the standard leaves a choice; the oracle, NumPy's way, is not Volta's
        return ANYTHING[a].filter(lambda v: not np.isinf(v))
    return ANYTHING[a]


def binary(d, name):
    a, b = some_dtype(d, PAIRS[BINARY[name]])
    form = one_of(d, "arrays", "arrays", "right", "left")
    if form == "arrays":
        one, other = two_shapes(d)
        x = array(d, a, one, {a: first_elements(name, a, b)})
        return (x, array(d, b, other, {b: second_elements(name, a, b)})), {}
    first, second = first_elements(name, a, a), second_elements(name, a, a)
    if form == "right":
        return (array(d, a, elements={a: first}), scalar_for(d, a, {**ANYTHING, a: second})), {}
    x = array(d, a, elements={a: second})
    return (scalar_for(d, a, {k: first_elements(name, a, k) for k in ANYTHING}), x), {}


# torch's own kernels differ with complex infinities and rounding, and the standard leaves most open
for _name in UNARY:  # the oracle rounds signs of complex numbers twice
    add(_name, unary, ulps=4 if _name in (*ROUNDED, "sign") else 0, tame=True)
for _name in BINARY:
    add(_name, binary, ulps=4 if _name in ROUNDED else 0, tame=True)


def clip(d):
    dtype = some_dtype(d, REAL)
    shape, *others = two_shapes(d, 3)
    least, most = (array(d, dtype, s, SMALL) for s in others)
    most = np.asarray(np.maximum(least, most))  # of crossed bounds the standard does not say
    bounds = []
    for bound in (least, most):
        forms = (None, bound) if bound.ndim else (None, bound, bound.item())
        bounds.append(one_of(d, *forms))
    return (array(d, dtype, shape), *bounds), {}


add("clip", clip, signs=False)


def where(d):
    shape, one, other = two_shapes(d, 3)
    a, b = some_dtype(d, PAIRS[STANDARD])
    x, y = array(d, a, one), array(d, b, other)
    form = one_of(d, "arrays", "arrays", "left", "right")
    if form == "left":
        x = scalar_for(d, b)
    elif form == "right":
        y = scalar_for(d, a)
    return (array(d, "bool", shape), x, y), {}


add("where", where)


# Creation -----------------------------------------------------------------------------------------


def maybe_dtype(d, dtypes):
    name = one_of(d, None, *dtypes)
    return {} if name is None else {"dtype": DType(name)}


def shape_argument(d):
    return d(st.one_of(shapes, st.integers(0, 4)))


def filled(d):
    return (shape_argument(d),), maybe_dtype(d, STANDARD)


def full(d):
    dtype = some_dtype(d, STANDARD)
    # without a dtype it is the default of the value's kind
    given = {} if dtype in ("bool", "int64", "float64", "complex128") else {"dtype": DType(dtype)}
    if d(st.booleans()):
        given = {"dtype": DType(dtype)}
    value = d(SMALL[dtype])
    return (shape_argument(d), value), given


def like(d, name):
    x = array(d, some_dtype(d, STANDARD))
    given = maybe_dtype(d, STANDARD)
    if name != "full_like":
        return (x,), given
    dtype = given["dtype"].name if given else str(x.dtype)
    return (x, d(SMALL[dtype])), given


def undefined(args, kwargs, found, wanted):
    """The standard defines no values: dtypes and shapes have been compared."""


add("zeros ones", filled, own=True)
add("empty", filled, own=True, check=undefined)
add("full", full, own=True)
add("zeros_like ones_like full_like", like)
add("empty_like", like, check=undefined)


def arange(d):
    dtype = some_dtype(d, ("int32", "int64", "float32", "float64"))
    if dtype in FLOAT:
        start, stop = (d(st.integers(-16, 16)) / 4 for _ in range(2))
        step = one_of(d, -2.5, -1.0, -0.25, 0.25, 0.5, 3.0)
    else:
        start, stop, step = d(st.integers(-9, 9)), d(st.integers(-9, 9)), one_of(d, -3, -1, 1, 2)
    given = {"dtype": DType(dtype)} if dtype.endswith("32") or d(st.booleans()) else {}
    args = one_of(d, (start,), (start, stop), (start, stop, step))
    return args, given


def linspace(d):
    dtypes = FLOATING
    given = maybe_dtype(d, dtypes)
    part = st.integers(-32, 32).map(lambda k: k / 8)
    start, stop = d(part), d(part)
    if given and given["dtype"].name in COMPLEX:
        start = start + 1j
    given["endpoint"] = d(st.booleans())
    return (start, stop, d(st.integers(0, 6))), given


def eye(d):
    args = (d(st.integers(0, 4)),)
    if d(st.booleans()):
        args = (*args, one_of(d, None, 0, 1, 3, 5))
    return args, {"k": d(st.integers(-5, 5)), **maybe_dtype(d, STANDARD)}


def nested(d, dtype, shape):
    return d(SMALL[dtype]) if not shape else [nested(d, dtype, shape[1:]) for _ in range(shape[0])]


def asarray(d):
    form = one_of(d, "array", "list", "scalar")
    if form == "array":
        x = array(d, some_dtype(d, STANDARD))
        given = {"copy": one_of(d, None, True)}
        if d(st.booleans()):
            given["dtype"] = DType(some_dtype(d, castable(str(x.dtype))))
            x = representable(x, given["dtype"].name)
        return (x,), given
    dtype = some_dtype(d, ("bool", "int64", "float64", "complex128"))
    # of an empty list the standard tells no dtype
    shape = d(full_shapes.filter(len)) if form == "list" else ()
    given = {"dtype": DType(dtype)} if d(st.booleans()) else {}
    return (nested(d, dtype, shape),), given


def meshgrid(d):
    count = d(st.integers(1, 3))
    dtype = some_dtype(d, STANDARD)
    sizes = st.tuples(st.integers(0, 3))
    return (
        tuple(array(d, dtype, sizes) for _ in range(count)),
        {"indexing": one_of(d, "xy", "ij")},
    )


def triangle(d):
    shape = d(xps.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=3))
    return (array(d, some_dtype(d, STANDARD), shape),), {"k": d(st.integers(-4, 4))}


def any_array(d):
    return (array(d, some_dtype(d, STANDARD)),), {}


add("arange eye", lambda d, name: {"arange": arange, "eye": eye}[name](d), own=True)
add("linspace", linspace, own=True, ulps=4, scale=4)
add("asarray", asarray, own=True)
add("meshgrid", meshgrid)
add("tril triu", triangle)
TRACED = ("vjp.numpy", "jvp.numpy", "vmap.numpy", "vjp.torch")


# Dtypes -------------------------------------------------------------------------------------------


def castable(name):
    """Dtypes that the standard lets an array of this dtype become."""
    return COMPLEX if name in COMPLEX else STANDARD


def representable(x, name):
    """The nearest numbers that the dtype holds, as the standard leaves others open."""
    with np.errstate(all="ignore"):
        if name in INTEGER and x.dtype.kind == "f":
            x = np.nan_to_num(np.clip(x, -100, 100))
        if name in INTEGER:
            bounds = np.iinfo(name)
            own = np.iinfo(x.dtype) if x.dtype.kind in "iu" else bounds
            low, high = max(bounds.min, own.min), min(bounds.max, own.max)
            x = x if x.dtype.kind == "b" else np.clip(x, low, high)
        return np.asarray(x)


def astype(d):
    x = array(d, some_dtype(d, STANDARD))
    dtype = some_dtype(d, castable(str(x.dtype)))
    return (representable(x, dtype), DType(dtype)), {"copy": d(st.booleans())}


KINDS = (
    *("bool", "signed integer", "unsigned integer", "integral", "real floating"),
    *("complex floating", "numeric", ("bool", "integral")),
)


def dtype_argument(d, dtypes=STANDARD):
    name = some_dtype(d, dtypes)
    return array(d, name) if d(st.booleans()) else DType(name)


def result_type(d):
    a, b = some_dtype(d, PAIRS[STANDARD])
    args = [array(d, v) if d(st.booleans()) else DType(v) for v in (a, b)]
    if d(st.booleans()):
        args.insert(d(st.integers(0, 2)), scalar_for(d, a, SMALL))
    return tuple(args), {}


def can_cast(d):
    # of dtypes that do not promote the standard does not say
    a, b = some_dtype(d, PAIRS[STANDARD])
    return (array(d, a) if d(st.booleans()) else DType(a), DType(b)), {}


def limits_of(d, name):
    return (dtype_argument(d, INTEGER if name == "iinfo" else FLOATING),), {}


LIMITS = {
    "finfo": ("bits", "eps", "max", "min", "smallest_normal", "dtype"),
    "iinfo": ("bits", "max", "min", "dtype"),
}


def limits(name):
    def call(xp, x):
        found = getattr(xp, name)(x)
        return tuple(getattr(found, field) for field in LIMITS[name])

    return call


add("astype", astype)
add("can_cast", can_cast)
add("isdtype", lambda d: ((DType(some_dtype(d, STANDARD)), one_of(d, *KINDS)), {}))
add("result_type", result_type)
for _name in LIMITS:
    add(_name, limits_of, call=limits(_name))
for _name in STANDARD:
    REASONS[_name] = "a dtype: drawn by every property"
for _name in ("e", "inf", "nan", "newaxis", "pi"):
    REASONS[_name] = "a constant: tests/functional/test_namespace"


# Manipulation -------------------------------------------------------------------------------------


def moved(d, name):
    shape = d(shapes)
    found = MANIPULATIONS[name](d, shape)
    assume(found is not None)
    args, kwargs = found
    return (array(d, some_dtype(d, STANDARD), shape), *args), kwargs


def several(d, name):
    count = d(st.integers(1, 3))
    same = d(st.booleans()) or name == "stack"
    dtypes = [*some_dtype(d, PAIRS[STANDARD])] * 2
    shape = list(d(shapes if name == "stack" else shapes.filter(len)))
    axis = d(st.integers(-len(shape) - (name == "stack"), len(shape) - (name != "stack")))
    if name == "concat" and one_of(d, False, False, True):
        axis, same = None, True
    arrays = []
    for i in range(count):
        own = list(shape)
        if not same:
            own[axis] = d(st.integers(0, 3))
        arrays.append(array(d, dtypes[i], tuple(own)))
    return (arrays,), {"axis": axis}


def broadcast_arrays(d):
    count = d(st.integers(1, 3))
    return tuple(array(d, some_dtype(d, STANDARD), s) for s in two_shapes(d, count)), {}


def take(d):
    shape = d(full_shapes.filter(len))
    axis = d(st.integers(-len(shape), len(shape) - 1))
    n = shape[axis]
    dtype = some_dtype(d, ("int32", "int64"))
    index = array(d, dtype, (d(st.integers(0, 4)),), {dtype: st.integers(-n, n - 1)})
    given = {} if len(shape) == 1 and d(st.booleans()) else {"axis": axis}
    return (array(d, some_dtype(d, STANDARD), shape), index), given


def take_along_axis(d):
    shape = d(full_shapes.filter(len))
    axis = d(st.integers(-len(shape), len(shape) - 1))
    n = shape[axis]
    own = tuple(one_of(d, m, m, 1) for m in shape)
    own = (*own[: axis % len(shape)], d(st.integers(0, 4)), *own[axis % len(shape) + 1 :])
    index = array(d, "int64", own, {"int64": st.integers(-n, n - 1)})
    return (array(d, some_dtype(d, STANDARD), shape), index), {"axis": axis}


def diff(d):
    shape = d(full_shapes.filter(len))
    axis = d(st.integers(-len(shape), len(shape) - 1))
    dtype = some_dtype(d, NUMERIC)
    given = {"axis": axis, "n": d(st.integers(0, 3))}
    for name in ("prepend", "append"):
        if d(st.booleans()):
            own = list(shape)
            own[axis] = d(st.integers(0, 2))
            given[name] = array(d, dtype, tuple(own), SMALL)
    return (array(d, dtype, shape, SMALL),), given


add([n for n in MANIPULATIONS if n not in ("tril", "triu")], moved)
add("concat stack", several)
add("broadcast_arrays", broadcast_arrays)
add("broadcast_shapes", lambda d: (two_shapes(d, d(st.integers(1, 4))), {}))
add("take", take)
add("take_along_axis", take_along_axis)
add("diff", diff)


# Reductions ---------------------------------------------------------------------------------------


def reduction(d, name):
    dtypes = {"max": REAL, "min": REAL, "mean": FLOATING, "std": FLOAT, "var": FLOAT}
    dtypes |= {"all": STANDARD, "any": STANDARD, "count_nonzero": STANDARD}
    dtype = some_dtype(d, dtypes.get(name, NUMERIC))
    # what has no neutral element is not defined for zero elements
    shape = d(full_shapes if name in ("max", "min", "mean", "std", "var") else shapes)
    exact = name in ("all", "any", "count_nonzero", "max", "min")
    x = array(d, dtype, shape, ANYTHING if exact else WITH_SPECIALS)
    given = {"axis": d(axes_of(len(shape))), "keepdims": d(st.booleans())}
    if name in ("sum", "prod"):
        wider = {"int8": "int32", "uint8": "uint32", "float32": "float64"}
        wider |= {"complex64": "complex128", "int16": "int16"}
        if dtype in wider and d(st.booleans()):
            given["dtype"] = DType(wider[dtype])
    if name in ("std", "var"):
        count = math.prod(shape[a] for a in np.arange(len(shape))[axes_tuple(given["axis"], shape)])
        given["correction"] = one_of(d, 0, 0.0, 0.5, 1) if count > 1 else 0
    return (x,), given


def axes_tuple(axis, shape):
    return (
        list(range(len(shape))) if axis is None else [axis] if isinstance(axis, int) else list(axis)
    )


def cumulative(d, name):
    dtype = some_dtype(d, NUMERIC)
    shape = d(shapes.filter(len))
    given = {"axis": d(st.integers(-len(shape), len(shape) - 1))}
    if len(shape) == 1 and d(st.booleans()):
        given = {}
    if d(st.booleans()):
        given["include_initial"] = d(st.booleans())
    if dtype in ("int8", "float32") and d(st.booleans()):
        given["dtype"] = DType("int32" if dtype == "int8" else "float64")
    return (array(d, dtype, shape, WITH_SPECIALS),), given


def extremum(d):
    shape = d(full_shapes)
    given = {"axis": d(axes_of(len(shape), several=False)), "keepdims": d(st.booleans())}
    return (array(d, some_dtype(d, REAL), shape),), given


add("all any count_nonzero max min", reduction, signs=False)
add("sum prod mean std var", reduction, signs=False, ulps=8, scale=64)
add("cumulative_sum cumulative_prod", cumulative, signs=False, ulps=8, scale=64)
add("argmax argmin", extremum)


# Searching, sorting, sets -------------------------------------------------------------------------

_SHAPE_FROM_VALUES = {"vmap.numpy": "the number of results depends on values, under vmap an error"}
ORDERED = {name: s.filter(lambda v: v == v) for name, s in ANYTHING.items()}  # NaN has no place


def sorting(d, name):
    shape = d(shapes.filter(len))
    given = {"axis": d(st.integers(-len(shape), len(shape) - 1))}
    given |= {"descending": d(st.booleans()), "stable": d(st.booleans())}
    return (array(d, some_dtype(d, REAL), shape, ORDERED),), given


def same_order(args, kwargs, found, wanted):
    """Stable orders are one; others lead to the same values."""
    if kwargs["stable"]:
        np.testing.assert_array_equal(found, wanted)
    pick = [np.take_along_axis(args[0], i, kwargs["axis"]) for i in (found, wanted)]
    np.testing.assert_array_equal(*pick)


def searchsorted(d):
    a, b = some_dtype(d, PAIRS[REAL])
    x = np.sort(array(d, a, (d(st.integers(0, 4)),), ORDERED))
    given = {"side": one_of(d, "left", "right")}
    if d(st.booleans()):
        order = np.asarray(d(st.permutations(range(x.size))), np.int64)
        x, given["sorter"] = x[np.argsort(order)], order
    if one_of(d, False, False, True):
        return (x, scalar_for(d, a, ORDERED)), given
    return (x, array(d, b, elements=ORDERED)), given


def unique(args, kwargs, found, wanted):
    """Distinct elements, in any order, and what goes with each."""
    parts, expected = ((v,) if isinstance(v, np.ndarray) else v for v in (found, wanted))
    order, other = (np.lexsort((v[0].imag, v[0].real)) for v in (parts, expected))
    np.testing.assert_array_equal(parts[0][order], expected[0][other])
    for name, part, want in zip(getattr(found, "_fields", ()), parts, expected, strict=False):
        if name == "inverse_indices":
            np.testing.assert_array_equal(parts[0][part], args[0])
        else:
            np.testing.assert_array_equal(part[order], want[other])


def isin(d):
    a, b = some_dtype(d, PAIRS[INTEGER])
    x, y = array(d, a, elements=SMALL), array(d, b, elements=SMALL)
    form = one_of(d, "arrays", "arrays", "left", "right")
    x = 3 if form == "left" else x
    y = 3 if form == "right" else y
    return (x, y), {"invert": d(st.booleans())}


add("sort", sorting, signs=False)
add("argsort", sorting, check=same_order)
add("searchsorted", searchsorted)
add(
    "nonzero",
    lambda d: ((array(d, some_dtype(d, STANDARD), shapes.filter(len)),), {}),
    skip=_SHAPE_FROM_VALUES,
)
add(
    "unique_all unique_counts unique_inverse unique_values",
    lambda d: ((array(d, some_dtype(d, STANDARD), elements=SMALL),), {}),
    check=unique,
    skip=_SHAPE_FROM_VALUES,
)


def call_isin(xp, x, y, *, invert):
    if xp is strict:  # whose own ignores `invert`
        return xp.isin(x, y) ^ xp.asarray(invert)
    return xp.isin(x, y, invert=invert)


add("isin", isin, call=call_isin)


# Products and linear algebra ----------------------------------------------------------------------


def product(d, name):
    a, b = some_dtype(d, PAIRS[NUMERIC])
    one, other = matrix_shapes(d)
    return (array(d, a, one, SMALL), array(d, b, other, SMALL)), {}


def vecdot(d, name):
    a, b = some_dtype(d, PAIRS[NUMERIC])
    one, other = two_shapes(d)
    n = d(st.integers(0, 3))
    axis = -1
    return (array(d, a, (*one, n), SMALL), array(d, b, (*other, n), SMALL)), {"axis": axis}


def tensordot(d, name):
    a, b = some_dtype(d, PAIRS[NUMERIC])
    shared = d(xps.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
    left, right = (
        d(xps.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=2)) for _ in range(2)
    )
    x, y = array(d, a, (*left, *shared), SMALL), array(d, b, (*shared, *right), SMALL)
    count = len(shared)
    if d(st.booleans()):
        return (x, y), {"axes": count}
    axes = (list(range(x.ndim - count, x.ndim)), list(range(-y.ndim, -y.ndim + count)))
    return (x, y), {"axes": axes}


def matrices(d, dtypes=FLOATING, square=False, least=0, elements=SMALL):
    lead = d(xps.array_shapes(min_dims=0, max_dims=1, min_side=0, max_side=2))
    m = d(st.integers(least, 3))
    n = m if square else d(st.integers(least, 3))
    return array(d, some_dtype(d, dtypes), (*lead, m, n), elements)


def dominant(x):
    """A matrix that is far from singular."""
    return np.asarray(x + 40 * np.eye(x.shape[-1], dtype=x.dtype), dtype=x.dtype)


def definite(d, name):
    x = matrices(d, square=True)
    x = np.asarray(x @ np.conj(np.swapaxes(x, -1, -2)) + np.eye(x.shape[-1]), dtype=x.dtype)
    return (x,), {"upper": d(st.booleans())} if name == "linalg.cholesky" else {}


def hermitian(d):
    x = matrices(d, square=True, least=1)
    return ((x + np.conj(np.swapaxes(x, -1, -2))).astype(x.dtype),), {}


def invertible(d):
    return (dominant(matrices(d, square=True)),), {}


def solve(d):
    x = dominant(matrices(d, FLOATING, square=True, least=1))
    dtype = str(x.dtype)
    n = x.shape[-1]
    if d(st.booleans()):
        y = array(d, dtype, (n,), SMALL)
    else:
        y = array(d, dtype, (*x.shape[:-1], d(st.integers(0, 2))), SMALL)
    return (x, y), {}


def rectangular(d, name):
    x = matrices(d, least=1)
    given = {}
    if name == "linalg.svd":
        given = {"full_matrices": d(st.booleans())}
    if name == "linalg.qr":  # which has a derivative where the columns are independent
        x = np.asarray(x + 40 * np.eye(*x.shape[-2:], dtype=x.dtype), dtype=x.dtype)
        given = {"mode": one_of(d, "reduced", "complete")}
    if name == "linalg.matrix_norm":
        given = {"keepdims": d(st.booleans())}
        given["ord"] = one_of(d, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
    return (x,), given


def power(d):
    x = dominant(matrices(d, square=True))
    return (x, d(st.integers(-2, 3))), {}


def cross(d):
    a, b = some_dtype(d, PAIRS[NUMERIC])
    lead = d(xps.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=2))
    axis = d(st.integers(-len(lead) - 1, -1))
    shape = [*lead, 3]
    shape[axis], shape[-1] = shape[-1], shape[axis]
    return (array(d, a, tuple(shape), SMALL), array(d, b, tuple(shape), SMALL)), {"axis": axis}


def outer(d):
    a, b = some_dtype(d, PAIRS[NUMERIC])
    return tuple(array(d, t, (d(st.integers(0, 3)),), SMALL) for t in (a, b)), {}


def diagonal(d, name):
    x = matrices(d, NUMERIC if name == "linalg.trace" else STANDARD)
    given = {"offset": d(st.integers(-3, 3))}
    if name == "linalg.trace" and x.dtype == np.float32 and d(st.booleans()):
        given["dtype"] = DType("float64")
    return (x,), given


def vector_norm(d):
    shape = d(full_shapes)
    given = {"axis": d(axes_of(len(shape))), "keepdims": d(st.booleans())}
    given["ord"] = one_of(d, 0, 1, 2, 2.0, 3, -1, -2, 0.5, math.inf, -math.inf)
    return (array(d, some_dtype(d, FLOATING), shape, SMALL),), given


def _h(x):
    return np.conj(np.swapaxes(x, -1, -2))


def close(x, y, dtype, scale=64):
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(x, y, rtol=64 * eps, atol=64 * eps * scale)


def same_eigen(args, kwargs, found, wanted):
    """Eigenvalues of Hermitian matrices in ascending order; vectors that make up the matrix."""
    x, (values, vectors) = args[0], found
    close(values, wanted[0], x.dtype)
    close((vectors * values[..., None, :]) @ _h(vectors), x, x.dtype)
    close(_h(vectors) @ vectors, np.broadcast_to(np.eye(x.shape[-1]), x.shape), x.dtype, 4)


def same_pairs(args, kwargs, found, wanted):
    """Eigenvalues in any order; vectors that they belong to."""
    x = args[0]
    values, vectors = found if isinstance(found, tuple) else (found, None)
    expected = wanted[0] if isinstance(wanted, tuple) else wanted
    for one, other in zip(
        values.reshape(-1, x.shape[-1]), expected.reshape(-1, x.shape[-1]), strict=True
    ):
        distance = np.abs(one[:, None] - other)
        # eigenvalues move by roots of the rounding where several are equal
        assert np.all(distance.min(0) < 0.05 + 1e-3 * np.abs(other))
    if vectors is not None:
        close(x @ vectors, vectors * values[..., None, :], x.dtype, 256)


def same_singular(args, kwargs, found, wanted):
    x, (u, s, vh) = args[0], found
    close(s, wanted[1], x.dtype)
    k = s.shape[-1]
    close((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x, x.dtype)
    for q in (_h(u) @ u, vh @ _h(vh)):
        close(q, np.broadcast_to(np.eye(q.shape[-1]), q.shape), x.dtype, 4)


def same_qr(args, kwargs, found, wanted):
    x, (q, r) = args[0], found
    close(q @ r, x, x.dtype)
    close(
        _h(q) @ q,
        np.broadcast_to(np.eye(q.shape[-1]), (*x.shape[:-2], *(q.shape[-1],) * 2)),
        x.dtype,
        4,
    )
    close(np.triu(r), r, x.dtype)


for _prefix in ("", "linalg."):
    add([f"{_prefix}matmul"], product, signs=False, ulps=8, scale=192)
    add([f"{_prefix}vecdot"], vecdot, signs=False, ulps=8, scale=192)
    add([f"{_prefix}tensordot"], tensordot, signs=False, ulps=8, scale=192)
    add([f"{_prefix}matrix_transpose"], lambda d: ((matrices(d, STANDARD),), {}))
add("linalg.cholesky", definite, ulps=64, scale=64, signs=False)
add("linalg.cross", cross, ulps=8, scale=128, signs=False)
add("linalg.outer", outer, ulps=4, signs=False, scale=128)
add("linalg.det", invertible, ulps=64, scale=1e5, signs=False)
add("linalg.inv", invertible, ulps=64, scale=1, signs=False)
add("linalg.slogdet", invertible, ulps=64, scale=4, signs=False)
add("linalg.solve", solve, ulps=64, scale=8, signs=False)
add("linalg.diagonal", diagonal)
add("linalg.trace", diagonal, ulps=4, signs=False, scale=64)
add("linalg.eigh", hermitian, check=same_eigen)
add("linalg.eigvalsh", hermitian, ulps=64, scale=64, signs=False)
add(
    "linalg.eig linalg.eigvals",
    lambda d: ((matrices(d, square=True, least=1),), {}),
    check=same_pairs,
)
add("linalg.svd", rectangular, check=same_singular)
add("linalg.svdvals", rectangular, ulps=64, scale=64, signs=False)
add("linalg.qr", rectangular, check=same_qr)
add("linalg.matrix_norm", rectangular, ulps=64, scale=64, signs=False)
add("linalg.matrix_power", power, ulps=64, scale=1e6, signs=False)
# matrices of eighths are of full rank or clearly not
add("linalg.matrix_rank", rectangular)
add("linalg.pinv", invertible, ulps=64, scale=1, signs=False)
add("linalg.vector_norm", vector_norm, ulps=16, scale=64, signs=False)


# Fourier transforms -------------------------------------------------------------------------------


def transform(d, name):
    kind = name.rpartition(".")[2]
    dtypes = FLOAT if kind in ("rfft", "rfftn", "ihfft") else COMPLEX
    # the inverses of real transforms need two elements to tell their length
    shape = d(xps.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=4))
    given = {"norm": one_of(d, "backward", "ortho", "forward")}
    x = array(d, some_dtype(d, dtypes), shape, SMALL)
    if not kind.endswith("n"):
        given["axis"] = d(st.integers(-len(shape), len(shape) - 1))
        if d(st.booleans()):
            given["n"] = d(st.integers(1, 5))
        return (x,), given
    if d(st.booleans()):
        count = d(st.integers(1, len(shape)))
        given["axes"] = tuple(range(-count, 0))
        if d(st.booleans()):
            given["s"] = tuple(d(st.integers(1, 5)) for _ in range(count))
    return (x,), given


def frequencies(d):
    given = {"d": one_of(d, 1.0, 0.5, 3.0)}
    given |= maybe_dtype(d, FLOAT)
    return (d(st.integers(1, 7)),), given


def shift(d):
    shape = d(full_shapes.filter(len))
    return (array(d, some_dtype(d, FLOATING), shape),), {"axes": d(axes_of(len(shape)))}


add(
    [f"fft.{i}{n}" for i in ("", "i") for n in ("fft", "fftn", "rfft", "rfftn", "hfft")],
    transform,
    ulps=16,
    scale=64,
    signs=False,
)
add("fft.fftfreq fft.rfftfreq", frequencies, own=True, ulps=4)
add("fft.fftshift fft.ifftshift", shift)


# Array objects ------------------------------------------------------------------------------------

FUNCTION_OF = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "pow": "pow",
    "truediv": "divide",
    "matmul": "matmul",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "xor": "bitwise_xor",
    "eq": "equal",
    "ne": "not_equal",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
    "ge": "greater_equal",
}
OPERATORS = {name: getattr(operator, f"__{name}__") for name in FUNCTION_OF}
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def operands(d, name):
    if name == "matmul":
        return product(d, name)[0]
    return binary(d, FUNCTION_OF[name])[0]


def straight(name):
    def draw(d):
        x, y = operands(d, name)
        if not isinstance(x, np.ndarray):  # the scalar belongs to the reflected operator
            x, y = np.asarray(y), x
            assume(name not in ("lshift", "rshift", "pow", "floordiv", "mod"))
        return (x, y), {}

    return draw


def reflected(name):
    """A scalar or a NumPy array on the left, which no longer knows what to do."""

    def draw(d):
        x, y = operands(d, name)
        if not isinstance(y, np.ndarray):
            y = np.full(x.shape, y, x.dtype) if x.dtype.kind != "f" else np.full_like(x, 2)
        if isinstance(x, np.ndarray):
            x = Host(x)
        return (x, y), {}

    return draw


def in_place(name):
    """The result has the shape and the dtype of the first operand."""

    def draw(d):
        if name == "matmul":
            x = matrices(d, NUMERIC)
            n = x.shape[-1]
            return (x, array(d, str(x.dtype), (n, n), SMALL)), {}
        x, y = operands(d, name)
        if not isinstance(x, np.ndarray):
            x, y = y, d(second_for(name, y))
        if isinstance(y, np.ndarray):
            if np.result_type(x, y) != x.dtype:
                y = array(d, str(x.dtype), y.shape, {str(x.dtype): second_for(name, x)})
            if np.broadcast_shapes(x.shape, y.shape) != x.shape:
                x = np.broadcast_to(x, np.broadcast_shapes(x.shape, y.shape)).copy()
        return (x, y), {}

    return draw


def second_for(name, x):
    return second_elements(FUNCTION_OF[name], str(x.dtype), str(x.dtype))


def rebound(function):
    """An in-place operator; the array is the same object afterwards, an alias changes too."""

    def call(xp, x, y):
        alias = x
        alias = function(alias, y)
        assert alias is x or (xp is strict and function is operator.imatmul)
        return x

    return call


IN_PLACE = {n: getattr(operator, f"i{n}") for n in OPERATORS if n not in COMPARISONS}


def options_of(name):
    if name == "matmul":
        return {"signs": False, "ulps": 8, "scale": 192}
    return {"ulps": 4 if name == "pow" else 0, "tame": True}


def applied(op):
    return lambda _, x, y: op(x, y)


for _name, _operator in OPERATORS.items():
    ROWS[f"Array.__{_name}__"] = Row(straight(_name), applied(_operator), **options_of(_name))
    if _name in COMPARISONS:
        continue
    ROWS[f"Array.__r{_name}__"] = Row(reflected(_name), applied(_operator), **options_of(_name))
    ROWS[f"Array.__i{_name}__"] = Row(
        in_place(_name), rebound(IN_PLACE[_name]), **options_of(_name)
    )


def method(name, draw, call, **options):
    ROWS[f"Array.{name}"] = Row(draw, call, **options)


def of(name):
    return lambda d: unary(d, name)


method("__abs__", of("abs"), lambda xp, x: abs(x), tame=True)
method("__neg__", of("negative"), lambda xp, x: -x)
method("__pos__", of("positive"), lambda xp, x: +x)
method("__invert__", of("bitwise_invert"), lambda xp, x: ~x)
for _name in ("shape", "ndim", "size", "dtype", "T", "mT"):
    method(
        _name,
        {"T": lambda d: ((array(d, some_dtype(d, STANDARD), (2, d(st.integers(0, 3)))),), {})}.get(
            _name, lambda d: ((matrices(d, STANDARD),), {})
        ),
        lambda xp, x, name=_name: getattr(x, name),
    )


def scalar_of(dtypes):
    return lambda d: ((array(d, some_dtype(d, dtypes), ()),), {})


# of what carries a derivative or lanes these would lose them, so they raise
# (tests/core/test_tracer); integers carry none under `vjp` and `jvp`
_LANES = {"vmap.numpy": "of lanes it raises, as they may differ"}
method("__bool__", scalar_of(STANDARD), lambda xp, x: bool(x))
method("__int__", scalar_of((*BOOL, *INTEGER)), lambda xp, x: int(x))
method("__index__", scalar_of(INTEGER), lambda xp, x: operator.index(x))
method("__float__", scalar_of((*BOOL, *INTEGER)), lambda xp, x: float(x), skip=_LANES)
method("__complex__", scalar_of((*BOOL, *INTEGER)), lambda xp, x: complex(x), skip=_LANES)


def integers(d):
    return (array(d, some_dtype(d, INTEGER)),), {}


method("__dlpack__", integers, lambda xp, x: np.from_dlpack(x), skip=_LANES)
method("__dlpack_device__", integers, lambda xp, x: int(x.__dlpack_device__()[0]), skip=_LANES)
method("device", any_array, lambda xp, x: x.device == xp.zeros(1).device)
method("to_device", any_array, lambda xp, x: x.to_device(x.device))
method(
    "__array_namespace__",
    lambda d: unary(d, "square"),
    lambda xp, x: x.__array_namespace__(api_version="2025.12").square(x),
    tame=True,
)
add("from_dlpack", any_array, skip=dict.fromkeys(TRACED, "it raises for what carries a derivative"))
REASONS["__array_namespace_info__"] = "tests/functional/test_inspection"


def basic_or_mask(d):
    shape = d(full_shapes)
    x = array(d, some_dtype(d, STANDARD), shape)
    if one_of(d, False, False, True):
        return x, array(d, "bool", shape)
    return x, d(xps.indices(shape, allow_newaxis=True))


def getitem(d):
    """Basic keys, masks and, with integers beside them, arrays of integers."""
    if one_of(d, True, True, False):
        return basic_or_mask(d), {}
    shape = d(full_shapes.filter(len))
    spread = d(xps.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=3))
    key = tuple(
        array(d, "int64", spread, {"int64": st.integers(-n, n - 1)})
        if i == 0 or d(st.booleans())
        else d(st.integers(-n, n - 1))
        for i, n in enumerate(shape)
    )
    return (array(d, some_dtype(d, STANDARD), shape), key), {}


def setitem(d):
    x, key = basic_or_mask(d)
    if isinstance(key, tuple):
        key = tuple(k for k in key if k is not None)
    elif key is None:
        key = ...
    form = one_of(d, "scalar", "array", "one")
    if form == "scalar":
        return (x, key, d(SMALL[str(x.dtype)])), {}
    whole = form == "array" and not isinstance(key, np.ndarray)
    return (x, key, array(d, str(x.dtype), x[key].shape if whole else ())), {}


def assigned(xp, x, key, value):
    x[key] = value
    return x


method("__getitem__", getitem, lambda xp, x, key: x[key])
method("__setitem__", setitem, assigned)
