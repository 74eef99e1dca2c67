"""The tracer: a handle that stands for an array inside a transform.

A handle is mutable (`x[i] = v` and `x += y` rebind it); lists hold variables, never handles. A
handle without a trace is a *constant*: it holds a raw array, converts freely, and becomes traced
when a traced value is assigned into it.

Views. An array and the views of it are a family, which counts the writes to any of them. A basic
slice follows its base and writes through to it, as NumPy's does. Other views (reshape, transpose,
…) are snapshots: a write to one while another member lives, or a read of one after the family was
written to, raises.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NoReturn, final

import numpy as np

from volta.core import tree
from volta.core.context import AXES, RUNNING, STAGING
from volta.core.dispatch import NUMPY, Library, apart_from, has_float64, joined, library_of
from volta.core.errors import DeviceError, DTypeError, ShapeError, TraceError
from volta.core.trace import Abstract, Trace, at_line, located, ops
from volta.core.types import DTYPES, SCALARS, DType, as_dtype

__all__ = [
    "Tracer",
    "apart",
    "bind",
    "check_foreign",
    "concrete",
    "constant",
    "escaped",
    "library_under",
    "made",
    "meeting_place",
    "settled",
    "unwrap_constants",
    "widest",
]

_API_VERSIONS: Final = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")


class Family:
    """What handles that share memory have in common.

    An array and those views of it that are no slices hold it; for a slice its base does.

    Attributes
    ----------
    version : int
        How often the memory was written to.
    """

    __slots__ = ("version",)

    def __init__(self, version: int = 0) -> None:
        self.version = version


def family_of(x: "Tracer") -> Family:
    """Family of an array, or of the array that a slice is one of; founded on first sight."""
    view = x.view
    if view is not None and len(view) == 4:
        x = view[3]
    if x.family is None:
        x.family = Family()
    return x.family


def _holders(x: "Tracer") -> int:
    """How many references there are to the family of `x`: one a handle, and those of this call."""
    return sys.getrefcount(x.family)


# How a view hangs on its family: the family's version when it was taken, and then, of a basic
# slice, its base, its key and the first base that is none; of another view, what took it.
_Slice = tuple[int, "Tracer", tuple[Any, ...], "Tracer"]
_Snapshot = tuple[int, str]


def refresh(x: "Tracer") -> None:
    """Bring a view up to date with its family before it is read."""
    view = x.view
    if len(view) == 4:
        version, _, _, root = view
        if root.view is not None:
            refresh(root)
        now = root.family.version
        if version != now:
            stale = [x]  # and the slices it is one of, the outermost last
            while stale[-1].view[1] is not root:
                stale.append(stale[-1].view[1])
            for part in reversed(stale):
                _, base, key, _ = part.view
                new = ops.basic_slice(base, key=key)
                part.trace, part.var, part.value = new.trace, new.var, new.value
                part.view = (now, base, key, root)
    elif x.family is not None and view[0] != x.family.version:
        msg = (
            f"{view[1]}: its result must not be used after the array it views was written to; "
            f"got such a use{at_line()}. Take the view again after the write."
        )
        raise TraceError(msg)


def _rebind(x: "Tracer", new: Any) -> None:
    """Make the handle `x` stand for `new`, through to its base if it is a slice of one."""
    view = x.view
    if view is not None and len(view) == 4:
        _, base, key, _ = view
        _rebind(base, ops.slice_update(base, new, key))
        refresh(x)
        return
    if view is not None and _holders(x) > _ALONE:
        msg = (
            f"assignment: must not go to a view made by {view[1]} while its base is "
            f"alive; got one{at_line()}. Write to the base, or to a copy (functional.asarray(x, "
            "copy=True))."
        )
        raise TraceError(msg)
    for trace in AXES.get():
        trace.writes(x)
    x.view = None
    if type(new) is Tracer:
        x.trace, x.var, x.value = new.trace, new.var, new.value
    else:
        x.trace, x.var, x.value = None, None, new
    family_of(x).version += 1


@final
class Tracer:
    """Array inside a transform: a mutable, Array-API-compliant handle.

    Attributes
    ----------
    trace : Trace or None
        The trace it belongs to; None for a constant.
    var : object
        What the trace knows it by: a variable of a list (vjp, staging), a tangent (jvp).
    value : array
        Its concrete or batched value, itself perhaps an older tracer; `Abstract` when staged.
    view : object
        None, or how a view hangs on its family.
    family : Family or None
        What it shares with views of it, once one was taken or it was written to; None for a slice.
    """

    __slots__ = ("__weakref__", "family", "trace", "value", "var", "view")
    __array_priority__ = 1e6
    __hash__ = None  # type: ignore[assignment]  # arrays compare elementwise

    trace: Any
    var: Any
    value: Any
    view: Any  # a _Slice, a _Snapshot or None
    family: Family | None

    def __init__(self, trace: Any, var: Any, value: Any) -> None:
        self.trace = trace
        self.var = var
        self.value = value
        self.view = None
        self.family = None

    # attributes ------------------------------------------------------------------------------
    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        if self.view is not None:
            refresh(self)
        shape = self.value.shape
        if type(shape) is not tuple:
            shape = tuple(shape)
        trace = self.trace
        return shape[trace.lead :] if trace is not None and trace.lead else shape

    @property
    def dtype(self) -> Any:
        """Dtype, as the library underneath names it."""
        return self.value.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        n: int = self.value.ndim
        trace = self.trace
        return n if trace is None else n - trace.lead

    @property
    def size(self) -> int:
        """Number of elements."""
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def device(self) -> Any:
        """Device the value is on."""
        value = self.value
        while type(value) is Tracer:
            value = value.value
        if type(value) is Abstract:
            return value.device
        return library_of(value, "device").device(value)

    @property
    def T(self) -> "Tracer":  # noqa: N802 - the standard's name
        """Transpose of a matrix."""
        if self.ndim != 2:
            msg = f"T: the array must have two axes; got shape {self.shape}. Use mT."
            raise ShapeError(msg)
        return ops.permute_dims(self, (1, 0))  # type: ignore[no-any-return]  # ops is dynamic

    @property
    def mT(self) -> "Tracer":  # noqa: N802 - the standard's name
        """Transpose of the last two axes."""
        return ops.matrix_transpose(self)  # type: ignore[no-any-return]  # ops is dynamic

    @property
    def at(self) -> Any:
        """Parts of it to be changed in a new array, as JAX's arrays have them."""
        return ops.at(self)

    @property
    def real(self) -> Any:
        """Real part."""
        return ops.real(self) if as_dtype(self.dtype).kind == "complex" else self

    @property
    def imag(self) -> Any:
        """Imaginary part."""
        return ops.imag(self)

    # conversion ------------------------------------------------------------------------------
    def __bool__(self) -> bool:
        return bool(concrete(self, "bool"))

    def __int__(self) -> int:
        return int(concrete(self, "int"))

    def __index__(self) -> int:
        return concrete(self, "index").__index__()  # type: ignore[no-any-return]  # raw array

    def __float__(self) -> float:
        return float(_constant_value(self, "float"))

    def __complex__(self) -> complex:
        return complex(_constant_value(self, "complex"))

    def item(self) -> Any:
        """Python number of a constant of one element; raises on a traced array."""
        return _constant_value(self, "item").item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(_constant_value(self, "numpy.asarray"), dtype=dtype, copy=copy)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: Any = None,
        copy: bool | None = None,
    ) -> Any:
        asked = {
            "stream": stream,
            "max_version": max_version,
            "dl_device": dl_device,
            "copy": copy,
        }
        given = {k: v for k, v in asked.items() if v is not None}
        return _constant_value(self, "__dlpack__").__dlpack__(**given)

    def __dlpack_device__(self) -> Any:
        return _constant_value(self, "__dlpack_device__").__dlpack_device__()

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """Array with the same values on `device`; differentiable."""
        return ops.to_device(self, device)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        if api_version is not None and api_version not in _API_VERSIONS:
            msg = (
                f"__array_namespace__: api_version must be one of {_API_VERSIONS}; got "
                f"{api_version!r}."
            )
            raise located(ValueError(msg))
        return ops.namespace(library_under(self))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return ops.array_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return ops.array_function(func, args, kwargs)

    # containers ------------------------------------------------------------------------------
    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            msg = f"len: the array must have an axis; got shape ().{_as_an_index(self)}"
            raise located(TypeError(msg))
        return shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            msg = "iter: the array must have an axis; got shape ()."
            raise located(TypeError(msg))
        return (self[i] for i in range(self.shape[0]))

    def __getitem__(self, key: Any) -> Any:
        return ops.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.view is not None:
            refresh(self)
            if _chooses_nothing(key):
                return  # where a write would be refused, this is none
        _rebind(self, ops.setitem(self, key, value))

    def __copy__(self) -> "Tracer":
        if self.view is not None:
            refresh(self)
        return Tracer(self.trace, self.var, self.value)

    def __deepcopy__(self, memo: Any) -> "Tracer":
        return self.__copy__()

    def __reduce__(self) -> NoReturn:
        msg = "pickle: a traced array cannot be stored; got one. Return it from the function first."
        raise TraceError(msg)

    def __repr__(self) -> str:
        if self.trace is None:
            return f"Constant({concrete(self, 'repr')!r})"
        kind = f"{as_dtype(self.dtype).name}[{', '.join(map(str, self.shape))}]"
        return f"Traced<{kind} by {self.trace.name}>"

    def __format__(self, spec: str) -> str:
        if self.trace is None:
            return format(concrete(self, "format"), spec)
        return repr(self) if spec else str(self)

    # a few methods that code written for NumPy expects ----------------------------------------
    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Sum over axes."""
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Mean over axes."""
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Maximum over axes."""
        return ops.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Minimum over axes."""
        return ops.min(self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: Any) -> Any:
        """Array of another shape."""
        whole = len(shape) == 1 and isinstance(shape[0], tuple | list)
        return ops.reshape(self, shape[0] if whole else shape)

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """Array of another dtype."""
        return ops.astype(self, dtype, copy=copy)

    def copy(self) -> Any:
        """Array that shares no handle with this one."""
        return self.__copy__()

    # operators -------------------------------------------------------------------------------
    def __add__(self, other: Any) -> Any:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return ops.add(other, self)

    def __iadd__(self, other: Any) -> Any:
        return _update(self, ops.add, other)

    def __sub__(self, other: Any) -> Any:
        return ops.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return ops.subtract(other, self)

    def __isub__(self, other: Any) -> Any:
        return _update(self, ops.subtract, other)

    def __mul__(self, other: Any) -> Any:
        return ops.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return ops.multiply(other, self)

    def __imul__(self, other: Any) -> Any:
        return _update(self, ops.multiply, other)

    def __truediv__(self, other: Any) -> Any:
        return ops.divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return ops.divide(other, self)

    def __itruediv__(self, other: Any) -> Any:
        return _update(self, ops.divide, other)

    def __floordiv__(self, other: Any) -> Any:
        return ops.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return ops.floor_divide(other, self)

    def __ifloordiv__(self, other: Any) -> Any:
        return _update(self, ops.floor_divide, other)

    def __mod__(self, other: Any) -> Any:
        return ops.remainder(self, other)

    def __rmod__(self, other: Any) -> Any:
        return ops.remainder(other, self)

    def __imod__(self, other: Any) -> Any:
        return _update(self, ops.remainder, other)

    def __pow__(self, other: Any) -> Any:
        return ops.pow(self, other)

    def __rpow__(self, other: Any) -> Any:
        return ops.pow(other, self)

    def __ipow__(self, other: Any) -> Any:
        return _update(self, ops.pow, other)

    def __matmul__(self, other: Any) -> Any:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return ops.matmul(other, self)

    def __imatmul__(self, other: Any) -> Any:
        return _update(self, ops.matmul, other)

    def __and__(self, other: Any) -> Any:
        return ops.bitwise_and(self, other)

    def __rand__(self, other: Any) -> Any:
        return ops.bitwise_and(other, self)

    def __iand__(self, other: Any) -> Any:
        return _update(self, ops.bitwise_and, other)

    def __or__(self, other: Any) -> Any:
        return ops.bitwise_or(self, other)

    def __ror__(self, other: Any) -> Any:
        return ops.bitwise_or(other, self)

    def __ior__(self, other: Any) -> Any:
        return _update(self, ops.bitwise_or, other)

    def __xor__(self, other: Any) -> Any:
        return ops.bitwise_xor(self, other)

    def __rxor__(self, other: Any) -> Any:
        return ops.bitwise_xor(other, self)

    def __ixor__(self, other: Any) -> Any:
        return _update(self, ops.bitwise_xor, other)

    def __lshift__(self, other: Any) -> Any:
        return ops.bitwise_left_shift(self, other)

    def __rlshift__(self, other: Any) -> Any:
        return ops.bitwise_left_shift(other, self)

    def __ilshift__(self, other: Any) -> Any:
        return _update(self, ops.bitwise_left_shift, other)

    def __rshift__(self, other: Any) -> Any:
        return ops.bitwise_right_shift(self, other)

    def __rrshift__(self, other: Any) -> Any:
        return ops.bitwise_right_shift(other, self)

    def __irshift__(self, other: Any) -> Any:
        return _update(self, ops.bitwise_right_shift, other)

    def __neg__(self) -> Any:
        return ops.negative(self)

    def __pos__(self) -> Any:
        return ops.positive(self)

    def __abs__(self) -> Any:
        return ops.abs(self)

    def __invert__(self) -> Any:
        return ops.bitwise_invert(self)

    def __eq__(self, other: object) -> Any:
        return ops.equal(self, other)

    def __ne__(self, other: object) -> Any:
        return ops.not_equal(self, other)

    def __lt__(self, other: Any) -> Any:
        return ops.less(self, other)

    def __le__(self, other: Any) -> Any:
        return ops.less_equal(self, other)

    def __gt__(self, other: Any) -> Any:
        return ops.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return ops.greater_equal(self, other)


def _update(x: Tracer, operation: Callable[..., Any], other: Any) -> Any:
    """`x` op= `other`: rebind the handle, keeping its shape and dtype.

    Where the library would give the name a new object (NumPy's scalars, which is what its
    arithmetic returns for rank 0; arrays without in-place operators), so does this.
    """
    new = operation(x, other)
    library = library_under(x)
    written = x.view is not None or (x.family is not None and x.family.version > 0)
    if not library.in_place or (library is NUMPY and not written and x.shape == ()):
        return new
    if tuple(new.shape) != x.shape:
        msg = (
            f"{operation.__name__}: the result of an in-place operation must keep the shape; got "
            f"{x.shape} and {tuple(new.shape)}{at_line()}."
        )
        raise ShapeError(msg)
    old_dtype, new_dtype = as_dtype(x.dtype), as_dtype(new.dtype)
    if old_dtype is not new_dtype:
        order = ("bool", "uint", "int", "float", "complex")
        if order.index(new_dtype.kind) > order.index(old_dtype.kind):
            msg = (
                f"{operation.__name__}: the result of an in-place operation must fit the dtype; "
                f"got {old_dtype.name} and {new_dtype.name}{at_line()}."
            )
            raise DTypeError(msg)
        new = ops.astype(new, x.dtype)
    _rebind(x, new)
    return x


def _chooses_nothing(key: Any) -> bool:
    """Whether `key` is a mask that is known to be False everywhere."""
    if not hasattr(key, "shape") or as_dtype(key.dtype).kind != "bool":
        return False
    while type(key) is Tracer and key.trace is not None and key.trace.lead:
        key = key.value  # in no lane, then
    try:
        return not library_under(key).xp.any(concrete(key, "mask"))
    except TraceError:
        return False


def constant(value: Any) -> Any:
    """Handle without a trace around a raw array; a tracer is returned as it is."""
    return value if type(value) is Tracer else Tracer(None, None, value)


def made(value: Any) -> Any:
    """Constant around an array that its maker may write to, one of rank 0 included."""
    x = constant(value)
    if x is not value:
        x.family = Family(1)  # what was written to is no scalar: see `_update`
    return x


_ALONE: Final = _holders(made(None))  # asked, because interpreters differ in what a call counts


def concrete(x: Any, asked: str, part: bool = True) -> Any:
    """Raw array that a handle stands for now; raises TraceError where there is none.

    With `part` false also where it is not the same in all lanes of a vmap.
    """
    while type(x) is Tracer:
        if x.view is not None:
            refresh(x)
        trace, x = x.trace, x.value
        if trace is not None and (trace.lead or trace.stages):
            x = trace.read(x, asked, part)
    return x


def _constant_value(x: Tracer, asked: str) -> Any:
    """Raw array of a constant; raises where the conversion would lose a derivative."""
    if x.view is not None:
        refresh(x)
    if x.trace is None:
        return x.value
    msg = (
        f"{asked}: would cut the array off from {x.trace.name}, silently losing its derivative; "
        f"got a traced array{at_line()}. Apply volta.stop_gradient first if that is meant, or "
        "use the function of volta.functional."
    )
    if index := _as_an_index(x):
        msg = f"{asked}: needs a concrete value; got an array traced by {x.trace.name}{at_line()}."
        raise TraceError(msg + index)
    if asked in ("float", "complex", "item", "numpy.asarray"):
        msg += " To assign it into an array, create that array with volta.functional (F.zeros)."
    raise TraceError(msg)


_INTEGERS: Final = ("int", "uint")


def _as_an_index(x: Tracer) -> str:
    """What to do, for messages, where a library reads an integer that is staged: for an index."""
    if x.trace is None or not x.trace.stages or x.shape or as_dtype(x.dtype).kind not in _INTEGERS:
        return ""
    return (
        " To index an array that is not traced with one that is, use functional.take, or "
        "volta.lift(array)[index]."
    )


def check_foreign(trace: Trace, primitive: Any, params: dict[str, Any], made: Any) -> None:
    """Check that no rule that computes below `trace` has made of its tracers what it returns.

    Raises
    ------
    TraceError
        If one has: the derivative in what it closes over would be lost.
    """
    if any(type(x) is Tracer and x.trace is trace for x in tree.leaves(made)):
        msg = (
            f"{params.get('call', primitive.name)}: must not close over an array traced by "
            f"{trace.name}; got one{at_line()}. Pass it as an argument."
        )
        raise TraceError(msg)


def library_under(x: Any, operation: str = "array") -> Library:
    """Library of the raw array at the bottom of `x`; `operation` is what an error speaks of."""
    while type(x) is Tracer:
        x = x.value
    return x.library if type(x) is Abstract else library_of(x, operation)


def widest(x: Any) -> DType:
    """Widest real dtype where `x` is: float64, or float32 where that is missing."""
    library = library_under(x)
    device = x.device if type(x) in (Tracer, Abstract) else library.device(x)
    return DTYPES["float64" if has_float64(library.xp, device) else "float32"]


def unwrap_constants(leaf: Any) -> Any:
    """Raw array of a constant, once no transform runs; anything else as it is.

    Raises
    ------
    TraceError
        If `leaf` was left over from a transform that has ended.
    """
    if type(leaf) is Tracer:
        if leaf.trace is None:
            return leaf if RUNNING.get() else concrete(leaf, "return")
        if not leaf.trace.open:
            escaped(leaf.trace, "return")
    return leaf


def meeting_place(args: Sequence[Any], operation: str) -> Any:
    """Operand whose library and device an operation runs on: host data joins other arrays.

    Raises
    ------
    DeviceError
        If a traced host array meets another library's: its derivative would come back from there.
        If arrays of two libraries other than NumPy meet.
    """
    place = traced = None
    library: Any = NUMPY
    for a in args:
        if type(a) in SCALARS:
            continue
        own = library_under(a, operation)
        host = own is NUMPY
        traced = traced or (host and type(a) is Tracer and a.trace is not None)
        if place is None or (library is NUMPY and not host):
            place, library = a, own
        elif own is not library and not host:
            raise apart_from(library, own, operation)
    if traced and library is not NUMPY:
        msg = (
            f"{operation}: a traced array must meet arrays of its own library; got numpy and "
            f"{library.name}. Move one with volta.tree.to(x, xp=…)."
        )
        error = DeviceError(msg)
        error.place = place
        raise located(error)
    return place


def settled(result: Any) -> Any:
    """`result` of a function whose transform still runs: views in it catch up with their bases."""
    for leaf in (result,) if type(result) is Tracer else tree.leaves(result):
        if type(leaf) is Tracer and leaf.view is not None:
            refresh(leaf)
    return result


def apart(x: Any) -> Any:
    """`x`, made of views but known to share memory with no other array."""
    if type(x) is Tracer:
        x.view = x.family = None
    return x


def bind(
    primitive: Any, args: tuple[Any, ...], params: dict[str, Any], axis: Trace | None = None
) -> Any:
    """Apply `primitive` where an operand is a handle, or a staging list is current.

    `axis` is the trace of the batch axis that a collective is over.
    """
    top: Trace | None = STAGING.get()
    if axis is not None and (top is None or axis.serial > top.serial):
        top = axis
    handles = hosts = False
    for a in args:
        if type(a) is np.ndarray:
            hosts = True
        elif type(a) is Tracer:
            handles = True
            if a.view is not None:
                refresh(a)
            trace = a.trace
            if trace is None:
                hosts = hosts or type(a.value) is np.ndarray
            elif top is None or trace.serial > top.serial:
                top = trace
    if top is None:
        if not handles:  # a list is current in some other thread
            return primitive.evaluate(args, params)
        out = primitive.evaluate(tuple([a.value if type(a) is Tracer else a for a in args]), params)
        if primitive.results == 1:
            out = Tracer(None, None, out)
        else:
            out = tuple(Tracer(None, None, o) for o in out)
    elif not top.open:
        escaped(top, primitive.name)
    else:
        if hosts:
            args = _beside(args, primitive.name)
        out = top.process(primitive, args, params)
    if primitive.view and handles and type(args[0]) is Tracer:
        link(primitive, args[0], out, params)
    return out


def _beside(args: tuple[Any, ...], operation: str) -> tuple[Any, ...]:
    """Operands of which host arrays have joined the library that they meet.

    Rules compute with them, and not all that they compute with is an operation of Volta's.
    """
    place = meeting_place(args, operation)
    library = library_under(place)
    if library is NUMPY:
        return args
    device = place.device if type(place) is Tracer else library.device(place)
    raw = (a.value if type(a) is Tracer and a.trace is None else a for a in args)
    return tuple(a if type(a) in (Tracer, *SCALARS) else joined(a, library, device) for a in raw)


def link(primitive: Any, base: Tracer, out: Any, params: dict[str, Any]) -> None:
    """Note that `out` is a view of `base`, by an operation that makes views."""
    family = base.family or family_of(base)
    if primitive.name == "basic_slice":
        if type(out) is Tracer:
            view = base.view
            root = base if view is None or len(view) != 4 else view[3]
            out.view = (family.version, base, params["key"], root)
        return
    view = (family.version, primitive.name)
    for o in out if type(out) is tuple else (out,):
        if type(o) is Tracer and o is not base:
            o.family, o.view = family, view


def escaped(trace: Trace, operation: str) -> NoReturn:
    """Raise for a tracer whose transform has ended."""
    msg = (
        f"{operation}: arrays must be used while their transform runs; got one left over from "
        f"{trace.name}{at_line()}. Return it from the function (has_aux=True for extra results)."
    )
    raise TraceError(msg)
