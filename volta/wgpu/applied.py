"""How primitives are applied to arrays of devices.

All functions of `volta.wgpu` but those that make arrays are `volta.functional`'s: each primitive
asks `kernel_of` for the function that applies it. That records the primitive, if it is a loop over
scalars or one of `operations`; else it is computed as its portable value says, in others.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from volta.compile.kernel import Builder, Scalar, Unsupported
from volta.core.context import RUNNING, STAGING
from volta.core.errors import DeviceError, DTypeError, RuleError, VoltaError
from volta.core.primitive import REGISTRY, Primitive, Unspecified
from volta.core.trace import located, ops
from volta.core.types import DTYPES, ArrayType, promote, typeof
from volta.wgpu.array import Array
from volta.wgpu.creation import arange, asarray, default_device, full
from volta.wgpu.device import Device
from volta.wgpu.kernels.pooling import is_looped
from volta.wgpu.operations import OPERATIONS, REQUIRES, WITHIN
from volta.wgpu.pending import Pending, Value, pending_of
from volta.wgpu.scalars import Expressions

__all__ = ["kernel_of", "requires"]

_IN_OTHERS: Final[ContextVar[tuple[Primitive, ...]]] = ContextVar(
    "volta.wgpu.in_others", default=()
)
_REDUCTIONS: Final = ("sum", "mean", "prod", "max", "min", "all", "any")


def kernel_of(primitive: Primitive) -> Callable[..., Any]:
    """The function that applies a primitive to arrays of devices."""
    return partial(_applied, primitive)


def _applied(primitive: Primitive, *args: Any, **params: Any) -> Any:
    device = _meeting(primitive, args)
    if primitive.name in _THE_SAME:
        return args[0]
    pending = pending_of(device)
    operands = [a.value if type(a) is Array else a for a in args]
    types = [a.kind if type(a) is Value else typeof(a) for a in operands]
    if primitive.name in _PICKS:
        with _apart():
            out = _compared(primitive, pending, args, params)
        if out is not None:
            return out
    if _is_recorded(primitive, pending, operands, types, params):
        kind = _kind(primitive, types, params, pending)
        pending.check(kind.dtype)
        if 0 in kind.shape:
            return Array(device, pending.full(kind.shape, 0, kind.dtype))
        if primitive.elementwise or primitive.name in ("concat", "matmul"):
            operands = _promoted(primitive, pending, operands, types)
        return Array(device, pending.record(primitive, operands, params, kind))
    with _apart():
        return _in_others(primitive, args, params, types)


@contextmanager
def _apart() -> Iterator[None]:
    """Have functions give arrays alone, no constants of the transform that is running."""
    running, staging = RUNNING.set(0), STAGING.set(None)
    try:
        yield
    finally:
        STAGING.reset(staging)
        RUNNING.reset(running)


def _meeting(primitive: Primitive, args: Sequence[Any]) -> Device:
    """The device of arrays."""
    found = None
    for a in args:
        if type(a) is Array:
            if found is not None and a.device is not found:
                msg = (
                    f"{primitive.name}: arrays must be on one device; got {found} and {a.device}. "
                    "Move one with volta.tree.to(x, device=…)."
                )
                raise located(DeviceError(msg))
            found = a.device
    return default_device() if found is None else found


def _is_recorded(
    primitive: Primitive, pending: Pending, operands: Any, types: Any, params: Any
) -> bool:
    """Whether a primitive is recorded as it is."""
    name = primitive.name
    if primitive.elementwise:
        dtypes = tuple(t.dtype for t in types)
        literals = tuple(None if type(o) in (Value, float) else o for o in operands)
        key = primitive, dtypes, literals, *params.items()
        found = _ELEMENTWISE.get((pending.target.kinds, key))
        if found is None:
            found = _is_loop(primitive, pending, operands, types, params)
            if len(_ELEMENTWISE) >= _KNOWN:  # numbers are part of the keys
                _ELEMENTWISE.clear()
            _ELEMENTWISE[pending.target.kinds, key] = found
        return found
    if name in _MOVES:
        return True
    if name in _REDUCTIONS:
        return 0 not in types[0].shape
    if "windows" in params:
        return is_looped(name, params["windows"])
    return name in OPERATIONS


_ELEMENTWISE: Final[dict[Any, bool]] = {}
_KNOWN: Final = 4096  # operations that it has, at most
_THE_SAME: Final = ("conj", "positive", "real", "stop_gradient")  # of what is not complex
_MOVES: Final = ("astype", "basic_slice", "broadcast_to", "flip", "permute_dims", "reshape")


def _is_loop(
    primitive: Primitive, pending: Pending, operands: Any, types: Any, params: Any
) -> bool:
    """Whether an elementwise primitive can be computed by scalar operations of kernels."""
    dtype = promote(t.dtype for t in types[primitive.unpromoted :])
    if dtype is None:
        return True  # the type rule says what is wrong
    builder = Builder(pending.target)
    xp = builder.namespace
    try:
        args = [
            builder.load(i, t.dtype if i < primitive.unpromoted else dtype)
            if type(o) is Value
            else o
            for i, (o, t) in enumerate(zip(operands, types, strict=True))
        ]
        function: Any = primitive.value
        if function is None or primitive.name in pending.target.functions:
            out = getattr(xp, primitive.name)(*args, **params)
        else:
            out = function(xp, *args, **params)
        expressions = Expressions(builder.nodes)
        for n in builder.nodes:
            if n.op != "load":
                write = partial(expressions.called, "n") if n.op == "call" else expressions.text
                write(n, ["x"] * len(n.operands))
    except (Unsupported, AttributeError, LookupError, TypeError, ValueError, OverflowError):
        return False
    return type(out) is Scalar


_PICKS: Final = ("gather", "scatter")
_FEW: Final = 256  # elements of a row of which one is picked by comparing all


def requires(condition: Array, told: str) -> None:
    """Have an error be raised at the next look at an element, unless all of a condition are true.

    Parameters
    ----------
    condition : Array of bool
    told : str
        What the error says.
    """
    if condition.size:
        kind = ArrayType((), DTYPES["uint32"])
        pending_of(condition.device).record(REQUIRES, (condition.value,), {"told": told}, kind)


def _compared(primitive: Primitive, pending: Pending, args: Any, params: Any) -> Any:
    """A gather or scatter of one element of each row, by comparing numbers of all with its own.

    So it is part of the kernels around it. None if it is another operation.
    """
    name, mode = primitive.name, params.get("mode")
    x, *indices = args
    values = indices.pop(0) if name == "scatter" else None
    if mode not in (None, "add", "set") or params["axes"] != tuple(range(x.ndim)):
        return None
    if any(type(a) is not Array for a in args) or any(i.ndim != x.ndim for i in indices):
        return None
    free = [a for a, i in enumerate(indices) if not pending.counts(i.value, a, x.shape[a])]
    if len(free) != 1:
        return None
    (axis,) = free
    index, n = indices[axis], x.shape[axis]
    if index.shape[axis] != 1 or not n or x.dtype.kind == "bool" or (name == "gather" and n > _FEW):
        return None
    kind = ArrayType(index.shape, DTYPES["uint32"])
    told = f"{name}: an index must be within its axis; got another, for {x.shape}."
    known = pending.record(WITHIN, (index.value,), {"length": n, "told": told}, kind)
    places = arange(n, dtype=kind.dtype, device=x.device)
    places = ops.reshape(places, tuple(n if a == axis else 1 for a in range(x.ndim)))
    is_chosen = ops.equal(Array(x.device, known), places)
    if mode == "set":
        return ops.where(is_chosen, values, x)
    nothing = -0.0 if x.dtype.kind == "float" else 0
    if mode == "add":
        return ops.add(x, ops.where(is_chosen, values, nothing))
    found = ops.sum(ops.where(is_chosen, x, nothing), axis=axis, keepdims=True)
    return ops.astype(found, x.dtype, copy=False)


_TOTALS: Final = ("cumulative_prod", "cumulative_sum", "prod", "sum")


def _kind(primitive: Primitive, types: Any, params: Any, pending: Pending) -> ArrayType:
    """The type of a result; of indices, counts and sums 32 bits where a device has no more."""
    if primitive.name in _TOTALS and types[0].dtype.kind == "uint":
        types = [ArrayType(types[0].shape, DTYPES["uint64"])]
    try:
        kind: ArrayType = primitive.type_rule(*types, **params)
    except Unspecified as silent:
        raise located(DTypeError(*silent.args)) from None
    except VoltaError as error:
        raise located(error) from None
    name = kind.dtype.name
    if name in ("int64", "uint64") and name not in pending.target.kinds:
        return ArrayType(kind.shape, DTYPES[name.replace("64", "32")])
    return kind


def _promoted(primitive: Primitive, pending: Pending, operands: Any, types: Any) -> list[Any]:
    """Operands of one dtype."""
    first = primitive.unpromoted
    dtype = promote(t.dtype for t in types[first:])
    found = list(operands)
    for i in range(first, len(found)):
        if type(found[i]) is Value and types[i].dtype is not dtype and dtype is not None:
            kind = ArrayType(types[i].shape, dtype)
            params = {"dtype": dtype}
            found[i] = pending.record(REGISTRY["astype"], (found[i],), params, kind)
    return found


def _in_others(primitive: Primitive, args: Any, params: Any, types: Any) -> Any:
    """What a primitive is in others, as its portable value says."""
    import volta.wgpu

    portable = _PORTABLE.get(primitive.name)
    if portable is not None:
        return portable(*args, **params)
    running = _IN_OTHERS.get()
    if primitive.value is None or primitive in running:
        raise _no_kernel(primitive, types)
    token = _IN_OTHERS.set((*running, primitive))
    try:
        return primitive.value(volta.wgpu, *args, **params)
    except AttributeError as error:
        if error.obj is not volta.wgpu:
            raise
        raise _no_kernel(primitive, types) from None  # of an extension that is left out
    finally:
        _IN_OTHERS.reset(token)


def _no_kernel(primitive: Primitive, types: Any) -> RuleError:
    kinds = ", ".join(map(str, types))
    msg = f"{primitive.name}: volta.wgpu must have a kernel for it; got {kinds}."
    return located(RuleError(msg))


# Operations in others, which libraries have as they are ---------------------------------------


def _unstack(x: Array, *, axis: int) -> tuple[Any, ...]:
    return tuple(x[(*(slice(None),) * axis, i)] for i in range(x.shape[axis]))


def _count_nonzero(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    found = x if x.dtype.kind == "bool" else ops.not_equal(x, 0)
    counted = asarray(0, device=x.device).dtype
    return ops.sum(ops.astype(found, counted), axis=axis, keepdims=keepdims)


def _triangle(upper: bool) -> Callable[..., Any]:
    def triangle(x: Array, *, k: int) -> Any:
        rows, columns = (
            arange(n, dtype=DTYPES["int32"], device=x.device) for n in (x.shape[-2], x.shape[-1])
        )
        above = columns - rows[:, None]
        return ops.where(above >= k if upper else above <= k, x, ops.zeros_like(x))

    return triangle


_NOTHING: Final[dict[str, Any]] = {"sum": 0, "prod": 1, "all": True, "any": False, "mean": math.nan}


def _of_nothing(name: str) -> Callable[..., Any]:
    """A reduction of an array without elements."""

    def reduced(x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Any:
        primitive = REGISTRY[name]
        params = {"axis": axis, "keepdims": keepdims}
        kind = _kind(primitive, [x.value.kind], params, pending_of(x.device))
        return full(kind.shape, _NOTHING.get(name, 0), dtype=kind.dtype, device=x.device)

    return reduced


_PORTABLE: Final[dict[str, Callable[..., Any]]] = {
    **{name: _of_nothing(name) for name in _REDUCTIONS},
    "count_nonzero": _count_nonzero,
    "tril": _triangle(upper=False),
    "triu": _triangle(upper=True),
    "unstack": _unstack,
}
