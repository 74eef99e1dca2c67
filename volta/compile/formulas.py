"""Entries written out in simpler ones, of which kernels are made.

Softmax, normalization and the losses of classes are one entry each, computed by a kernel of several
lines. Written out by their portable values they become part of the loops around them. So do
elements picked along an axis, and those added there: each is compared with its place. The place of
the largest element is the first of those that are equal to it.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np

from volta.compile.kernel import KINDS, with_operators
from volta.compile.standin import StandIn
from volta.core.dispatch import NUMPY
from volta.core.primitive import REGISTRY
from volta.core.types import DTYPES, ArrayType, as_dtype, broadcast_shapes, typeof
from volta.core.wengert import Entry, Literal, operands_of

__all__ = ["Requirement", "evaluated", "is_formula", "written_out"]

_LONG: Final = 256  # elements of which one is picked as fast by itself
_SHORT: Final = 64  # elements of which NumPy finds the largest no faster
_COUNTED: Final = 1 << 16  # elements of which the largest is found in a cache


class Requirement(StandIn):
    """What stands for a primitive in an entry that asks whether operands are what they must be.

    Its operands are the answer and the integers among those of the entry that it was part of.
    """

    name, results, effect = "require", 0, True

    def __init__(self, entry: Entry, types: dict[int, ArrayType]) -> None:
        self.entry = entry._replace(code=None)  # which the one that asks has
        self.types = {v: types[v] for v in operands_of(entry)}

    def check(self, answer: Any, *integers: Any) -> None:
        """Raise what the entry does, unless the answer is yes."""
        if answer:
            return
        known = dict(zip(_integers(self.entry, self.types), integers, strict=True))
        args = [
            o.value if type(o) is Literal else known[o] if o in known else self._blank(o)
            for o in self.entry.operands
        ]
        self.entry.primitive.kernel_of(NUMPY)(*args, **self.entry.params)
        msg = f"{self.entry.primitive.name} took {integers}"
        raise AssertionError(msg)

    def _blank(self, v: int) -> Any:
        return np.zeros(self.types[v].shape, self.types[v].dtype.dtype)


def _integers(e: Entry, types: dict[int, ArrayType]) -> list[int]:
    return [v for v in operands_of(e) if types[v].dtype.kind in ("int", "uint")]


def written_out(
    entries: Iterable[Entry],
    outputs: Iterable[Any],
    types: dict[int, ArrayType],
    constants: dict[int, Any],
) -> tuple[list[Entry], dict[int, Any]]:
    """Entries of which some are written out, and the constants that these read.

    Types of new variables are added to `types`.
    """
    entries = list(entries)
    read = {*outputs, *(o for e in entries for o in operands_of(e))}
    formulas = _Formulas(types, constants, read)
    for e in entries:
        formulas.put(e)
    return formulas.made, formulas.constants


def is_formula(e: Entry, types: dict[int, ArrayType]) -> bool:
    """Whether NumPy evaluates a formula for an entry, of arrays of one dtype."""
    dtypes = {types[v].dtype for v in (*operands_of(e), *e.results)}
    known = len(dtypes) == 1 and dtypes <= {DTYPES["float32"], DTYPES["float64"]}
    return known and _formula_of(e) is not None


def _formula_of(e: Entry) -> Callable[..., Any] | None:
    """The formula that the kernel for NumPy evaluates, if it is made of one."""
    return getattr(e.primitive.kernel_of(NUMPY), "formula", None)


def evaluated(e: Entry, types: dict[int, ArrayType]) -> list[Entry]:
    """Entries that a formula consists of, with the same values, or the entry itself.

    It is that where it chooses, as NumPy does so in more than one step (see `Blocks.overwrites`),
    and where it asks for what there is not. New types are added to `types`.
    """
    formulas = _Formulas(types, {}, set())
    formulas.entry = e
    formula: Any = _formula_of(e)
    try:
        formulas.give((formula(formulas, *formulas.arrays(), **e.params),))
    except AttributeError:
        return [e]
    chooses = any(step.primitive.name == "where" for step in formulas.made)
    return [e] if chooses else formulas.made


class _Array:
    """An array of a list, with the operators of arrays."""

    __slots__ = ("dtype", "namespace", "shape", "var")

    def __init__(self, namespace: "_Formulas", var: int) -> None:
        self.namespace, self.var = namespace, var
        self.shape, self.dtype = namespace.types[var]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> Any:
        return self.namespace.basic_slice(self, key)

    def __matmul__(self, other: Any) -> Any:
        return self.namespace.matmul(self, other)


with_operators(_Array)


class _Formulas:
    """A namespace whose functions list entries.

    Attributes
    ----------
    scores : int
        Elements that attention has at a time: as many as stay in a cache.
    made : list of Entry
    constants : dict of int to array
        That `made` reads.
    known : dict of int to array
        Variables whose values do not change from call to call.
    """

    scores = 1 << 22

    def __init__(
        self, types: dict[int, ArrayType], constants: dict[int, Any], read: set[Any]
    ) -> None:
        self.types, self.read = types, read
        self.made: list[Entry] = []
        self.constants: dict[int, Any] = {}
        self.known = dict(constants)
        self.fresh = itertools.count(max(types, default=0) + 1)
        self.entry: Any = None  # that is written out

    def put(self, e: Entry) -> None:
        """Add an entry, or what it is in simpler ones."""
        write = _WRITTEN.get(e.primitive.name)
        self.entry = e
        if write is None or not self._takes(e) or not write(self, e):
            if e.primitive.name == "reshape" and e.operands[0] in self.known:
                self.known[e.results[0]] = self.known[e.operands[0]].reshape(e.params["shape"])
            self.made.append(e)

    def _takes(self, e: Entry) -> bool:
        kinds = [self.types[v] for v in (*operands_of(e), *e.results)]
        return all(k.dtype.name in KINDS and math.prod(k.shape) for k in kinds)

    def is_last(self, axes: Sequence[int]) -> bool:
        """Whether the last axis of the entry's first operand with two places is among `axes`."""
        shape = self.types[self.entry.operands[0]].shape
        last = max((a for a, n in enumerate(shape) if n > 1), default=None)
        return last in {a % len(shape) for a in axes}

    def arrays(self) -> list[Any]:
        """Operands of the entry."""
        return [o.value if type(o) is Literal else _Array(self, o) for o in self.entry.operands]

    def give(self, results: Sequence[Any]) -> None:
        """Have what was listed be the results of the entry."""
        new = {
            x.var: v for x, v in zip(results, self.entry.results, strict=True) if type(x) is _Array
        }
        for i in range(len(self.made) - 1, -1, -1):
            e = self.made[i]
            if not new.keys() & {*e.results, *operands_of(e)}:
                continue
            operands = tuple(o if type(o) is Literal else new.get(o, o) for o in e.operands)
            result = tuple(new.get(r, r) for r in e.results)
            self.made[i] = e._replace(operands=operands, result=result)

    # the namespace -------------------------------------------------------------------------------
    def __getattr__(self, name: str) -> Any:
        if name in DTYPES:
            return DTYPES[name]
        if name in _ELEMENTWISE:
            return functools.partial(self._elementwise, name)
        if name in _REDUCTIONS:
            return functools.partial(self._reduction, name)
        raise AttributeError(name)

    def _list(self, primitive: Any, args: Sequence[Any], params: Any, kind: ArrayType) -> _Array:
        v = next(self.fresh)
        self.types[v] = kind
        self._append(primitive, args, params, (v,))
        return _Array(self, v)

    def _append(self, primitive: Any, args: Sequence[Any], params: Any, result: Any) -> None:
        operands = tuple(self._operand(a) for a in args)
        e = self.entry._replace(primitive=primitive, operands=operands, params=params)
        self.made.append(e._replace(result=result, origin=e.origin or self.entry.primitive.name))

    def _operand(self, x: Any) -> Any:
        if type(x) is _Array:
            return x.var
        if type(x) is not np.ndarray:
            return Literal(x)
        v = next(self.fresh)
        self.types[v], self.constants[v] = typeof(x), x
        return v

    def _elementwise(self, name: str, *args: Any) -> _Array:
        shape = broadcast_shapes(name, *(a.shape for a in args if hasattr(a, "shape")))
        arrays = [a for a in args if type(a) is _Array]
        dtype = DTYPES["bool"] if name in _COMPARISONS else arrays[-1].dtype
        return self._list(REGISTRY[name], args, {}, ArrayType(shape, dtype))

    def _reduction(self, name: str, x: _Array, *, axis: Any, keepdims: bool = False) -> _Array:
        axes = tuple(a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,)))
        kept = [1 if a in axes else n for a, n in enumerate(x.shape)]
        shape = kept if keepdims else [n for a, n in enumerate(x.shape) if a not in axes]
        kind = ArrayType(tuple(shape), x.dtype)
        return self._list(REGISTRY[name], (x,), {"axis": axes, "keepdims": keepdims}, kind)

    def arange(self, stop: int, *, dtype: Any) -> Any:
        """Numbers from 0."""
        return np.arange(stop, dtype=as_dtype(dtype).dtype)

    def counted(self, x: _Array, axis: int) -> _Array:
        """Places along an axis, as int32, that broadcast with `x`."""
        shape = tuple(n if a == axis else 1 for a, n in enumerate(x.shape))
        places = np.arange(x.shape[axis], dtype=np.int32).reshape(shape)
        return _Array(self, self._operand(places))

    def astype(self, x: _Array, dtype: Any) -> _Array:
        """As another dtype."""
        return self._list(REGISTRY["astype"], (x,), {"dtype": dtype}, ArrayType(x.shape, dtype))

    def is_computed(self, x: _Array) -> bool:
        """Whether a kernel may compute an array, which then need not be stored."""
        return any(x.var in e.results and e.primitive.elementwise for e in self.made)

    def reshape(self, x: Any, shape: tuple[int, ...]) -> Any:
        """The same elements in another shape."""
        if type(x) is np.ndarray:
            return x.reshape(shape)
        return self._list(REGISTRY["reshape"], (x,), {"shape": shape}, ArrayType(shape, x.dtype))

    def expand_dims(self, x: Any, *, axis: int) -> Any:
        """With one more axis."""
        axis %= x.ndim + 1
        return self.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))

    def squeeze(self, x: Any, *, axis: int) -> Any:
        """Without an axis of length one."""
        axis %= x.ndim
        return self.reshape(x, (*x.shape[:axis], *x.shape[axis + 1 :]))

    def basic_slice(self, x: Any, key: Any) -> Any:
        """A part of an array, all axes of which before those named are whole."""
        key = (slice(None),) * (x.ndim - len(key) + 1) + key[1:] if key[0] is ... else key
        shape = np.broadcast_to(np.int8(0), x.shape)[key].shape
        if math.prod(shape) == math.prod(x.shape):
            return x if shape == x.shape else self.reshape(x, shape)
        return self._list(REGISTRY["basic_slice"], (x,), {"key": key}, ArrayType(shape, x.dtype))

    def matrix_transpose(self, x: Any) -> Any:
        """With the last two axes exchanged."""
        axes = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
        shape = tuple(x.shape[a] for a in axes)
        kind = ArrayType(shape, x.dtype)
        return self._list(REGISTRY["permute_dims"], (x,), {"axes": axes}, kind)

    def matmul(self, x: Any, y: Any) -> Any:
        """Product of matrices, or stacks of them."""
        lead = broadcast_shapes("matmul", x.shape[:-2], y.shape[:-2])
        kind = ArrayType((*lead, x.shape[-2], y.shape[-1]), x.dtype)
        return self._list(REGISTRY["matmul"], (x, y), {}, kind)

    def concat(self, arrays: Sequence[Any], *, axis: int) -> Any:
        """Arrays one after another."""
        axis %= arrays[0].ndim
        shape = list(arrays[0].shape)
        shape[axis] = sum(x.shape[axis] for x in arrays)
        kind = ArrayType(tuple(shape), arrays[0].dtype)
        return self._list(REGISTRY["concat"], arrays, {"axis": axis}, kind)

    def full_like(self, x: Any, value: Any) -> Any:
        """The number that is one for all elements."""
        return value

    def zeros_like(self, x: Any) -> Any:
        """The number that is one for all elements."""
        return False if x.dtype.kind == "bool" else 0

    def ones_like(self, x: Any) -> Any:
        """The number that is one for all elements."""
        return True if x.dtype.kind == "bool" else 1

    def requires(self, condition: _Array, told: str = "") -> None:
        """Have the program raise the entry's own error unless the condition holds everywhere."""
        answer = self.all(condition, axis=tuple(range(condition.ndim)))
        integers = [_Array(self, v) for v in _integers(self.entry, self.types)]
        self._append(Requirement(self.entry, self.types), (answer, *integers), {}, ())


_COMPARISONS: Final = (
    *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
    *("bitwise_and", "bitwise_or"),
)
_ELEMENTWISE: Final = (
    *_COMPARISONS,
    *("add", "subtract", "multiply", "divide", "negative", "exp", "log", "sqrt", "where"),
    *("abs", "expm1", "log1p", "maximum", "minimum", "square", "tanh"),
)
_REDUCTIONS: Final = ("all", "max", "mean", "min", "sum")


# What is written out ------------------------------------------------------------------------------


def _by_value(xp: _Formulas, e: Entry) -> bool:
    axes = e.params["axes"] if "axes" in e.params else (e.params["axis"],)
    uncentred = not e.params.get("centred", True)
    if not xp.is_last(axes) or (uncentred and e.results[1] in xp.read):
        return False  # the centre of what is not centred would be a number, and no array
    value: Any = e.primitive.value
    out = value(xp, *xp.arrays(), **e.params)
    xp.give(out if isinstance(out, tuple) else (out,))
    return True


def _attention(xp: _Formulas, e: Entry) -> bool:
    q, k, v, bias = xp.arrays()
    kinds = {x.dtype for x in (q, k, v, bias)}
    if len(kinds) != 1 or xp.types[e.results[0]].dtype not in kinds:
        return False
    value: Any = e.primitive.value
    xp.give(value(xp, q, k, v, bias, **e.params))
    return True


def _hot(xp: _Formulas, e: Entry, x: Any, indices: Sequence[int]) -> tuple[int, Any] | None:
    """Axis along which an entry takes one element of each row, and where that is."""
    if e.params["axes"] != tuple(range(x.ndim)):
        return None
    free = [a for a, v in enumerate(indices) if not _counts(xp.known.get(v), x.shape, a)]
    if len(free) != 1 or not xp.is_last(free):
        return None
    (axis,) = free
    index: Any = _Array(xp, indices[axis])
    n = x.shape[axis]
    if index.ndim != x.ndim or index.shape[axis] != 1:
        return None
    xp.requires((index >= -n) & (index < n))
    index = xp.where(index < 0, index + n, index)
    places = xp.arange(n, dtype=index.dtype)
    return axis, index == places.reshape(tuple(n if a == axis else 1 for a in range(x.ndim)))


def _counts(known: Any, shape: tuple[int, ...], axis: int) -> bool:
    """Whether an index array is the place along an axis."""
    if known is None or known.ndim != len(shape) or known.size != shape[axis]:
        return False
    return known.shape[axis] == shape[axis] and bool((known.ravel() == np.arange(known.size)).all())


def _gather(xp: _Formulas, e: Entry) -> bool:
    x, *_ = xp.arrays()
    if x.dtype.kind == "bool" or not all(n <= _LONG for n in x.shape[-1:]):
        return False
    found = _hot(xp, e, x, e.operands[1:])
    if found is None:
        return False
    axis, hot = found
    xp.give((xp.sum(xp.where(hot, x, _nothing(x)), axis=axis, keepdims=True),))
    return True


def _scatter(xp: _Formulas, e: Entry) -> bool:
    x, v, *_ = xp.arrays()
    if e.params["mode"] not in ("add", "set") or x.dtype is not v.dtype or v.dtype.kind == "bool":
        return False
    found = _hot(xp, e, x, e.operands[2:])
    if found is None:
        return False
    _, hot = found
    adds = e.params["mode"] == "add"
    xp.give((x + xp.where(hot, v, _nothing(x)) if adds else xp.where(hot, v, x),))
    return True


def _arg_extremum(xp: _Formulas, e: Entry) -> bool:
    (x,) = xp.arrays()
    axis, keepdims = e.params["axis"], e.params["keepdims"]
    most = _COUNTED if xp.is_computed(x) else _SHORT
    if not xp.is_last((axis,)) or x.dtype.kind == "bool" or x.shape[axis] > most:
        return False
    best = (xp.max if e.primitive.name == "argmax" else xp.min)(x, axis=axis, keepdims=True)
    found = x == best
    if x.dtype.kind == "float":
        found = found | (x != x)
    first = xp.min(xp.where(found, xp.counted(x, axis), _COUNTED), axis=axis, keepdims=keepdims)
    xp.give((xp.astype(first, xp.types[e.results[0]].dtype),))
    return True


def _nothing(x: Any) -> Any:
    """What changes no number that it is added to, not −0 either."""
    return -0.0 if x.dtype.kind == "float" else 0


_WRITTEN: Final[dict[str, Callable[[_Formulas, Entry], bool]]] = {
    **dict.fromkeys(("class_losses", "log_softmax", "softmax", "standardize"), _by_value),
    **dict.fromkeys(("argmax", "argmin"), _arg_extremum),
    "attention": _attention,
    "gather": _gather,
    "scatter": _scatter,
}
