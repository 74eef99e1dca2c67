"""Making arrays.

Every function takes `xp=`, an array namespace (NumPy by default), or a library's device object.
While a transform runs the results are constants: handles that convert freely and accept item
assignment, even of traced values.
"""

import math
import operator
import sys
from typing import Any, Final

import numpy as np

from volta.core.context import RUNNING, default_dtype_of
from volta.core.dispatch import NUMPY, Library, common_library, library_for
from volta.core.errors import DeviceError, DTypeError
from volta.core.trace import Abstract, live, located, ops
from volta.core.tracer import Tracer, concrete, library_under, made, meeting_place
from volta.core.types import (
    SCALARS,
    Array,
    ArrayType,
    DType,
    as_dtype,
    is_weak,
    promote,
    typeof,
)
from volta.functional.axes import normalize_shape
from volta.functional.declare import composite, primitive, structural
from volta.functional.manipulation import broadcast_arrays, reshape

__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]

# NumPy's characters of its dtypes that are Volta's.
_NUMBERS: Final = "?bhilqBHILQefdFD"


# Where and what ---------------------------------------------------------------------------------


def _library(xp: Any, device: Any) -> Library:
    """Library asked for by a namespace, or by a device object of its own."""
    if xp is not None:
        return library_for(xp)
    if device is None:
        return NUMPY
    package = type(device).__module__.partition(".")[0]
    if package in ("builtins", "numpy"):
        if device != "cpu":
            msg = f"device: NumPy arrays are on 'cpu'; got {device!r}. Pass xp= as well."
            raise located(DeviceError(msg))
        return NUMPY
    if package == "jaxlib":
        return library_for(sys.modules["jax"].numpy)
    return library_for(sys.modules[package])


def _home(x: Any) -> tuple[Library, Any]:
    """Library and device of an array or tracer, or of what stands for one."""
    if type(x) is Abstract:
        return x.library, x.device
    library = library_under(x)
    return library, x.device if type(x) is Tracer else library.device(x)


def _number(value: Any, function: str) -> Any:
    """Python number of an array that holds one."""
    if type(value) in SCALARS:
        return value
    kind = {"bool": bool, "float": float, "complex": complex}.get(_kind_of(value), int)
    return kind(concrete(value, function))


def _as_number(value: Any, kind: DType) -> Any:
    """A traced boolean as a number of dtype `kind`, anything else as it is."""
    traced = type(value) is Tracer and as_dtype(value.dtype).kind == "bool"
    return ops.astype(value, kind) if traced else value


def _kind_of(value: Any) -> str:
    return type(value).__name__ if type(value) in SCALARS else as_dtype(value.dtype).kind


def _made(array: Any) -> Any:
    """What a creation function returns: a constant while a transform runs."""
    return made(array) if RUNNING.get() else array


def _creation(name: str, shape: Any, value: Any) -> Any:
    """Primitive without operands; `shape` gives its type, `value` its kernel over `xp`."""

    def kernel(*, library: Library, device: Any, dtype: DType, **params: Any) -> Any:
        options = {} if library is NUMPY or device is None else {"device": device}
        return value(library.xp, dtype=library.dtype(dtype), **params, **options)

    apply: Any = primitive(
        name,
        type_rule=lambda *, library, device, dtype, **params: ArrayType(shape(**params), dtype),
        batch=lambda *args, **params: apply(**params),
        derivatives=(),
        kernels={"numpy": kernel},
    )
    apply.primitive.kernels[None] = kernel  # there is no operand to tell the library by
    return apply


def _full_value(xp: Any, *, shape: Any, fill_value: Any, dtype: Any, **options: Any) -> Any:
    try:
        return xp.full(shape, fill_value, dtype=dtype, **options)
    except RuntimeError:
        if isinstance(fill_value, int):
            raise
        # torch's full refuses a float beyond the range of `dtype`; its asarray rounds it.
        return xp.full(shape, xp.asarray(fill_value, dtype=dtype).item(), dtype=dtype, **options)


_full = _creation("full", lambda shape, fill_value: shape, _full_value)


def _length(start: float, stop: float, step: float) -> int:
    if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int):
        return max(0, -((start - stop) // step))
    return max(0, math.ceil((stop - start) / step))  # rounded as NumPy and torch round it


_arange = _creation(
    "arange",
    lambda start, stop, step: (_length(start, stop, step),),
    lambda xp, *, start, stop, step, **options: xp.arange(start, stop, step, **options),
)
_linspace = _creation(
    "linspace",
    lambda start, stop, num, endpoint: (num,),
    lambda xp, *, start, stop, num, endpoint, **options: xp.linspace(
        start, stop, num, endpoint=endpoint, **options
    ),
)
_eye = _creation(
    "eye",
    lambda n_rows, n_cols, k: (n_rows, n_cols),
    lambda xp, *, n_rows, n_cols, k, **options: xp.eye(n_rows, n_cols, k=k, **options),
)


# For rules: raw, or staged where a list is current ------------------------------------------------


@composite
def zeros_like_type(like: Any, kind: Any) -> Any:
    """Zeros of the shape and dtype of `kind`, in the library and on the device of `like`."""
    library, device = _home(like)
    return _full(
        shape=tuple(kind.shape),
        fill_value=0,
        dtype=as_dtype(kind.dtype),
        library=library,
        device=device,
    )


@composite
def arange_like(like: Any, n: int) -> Any:
    """The integers 0 to n − 1, in the library and on the device of `like`."""
    library, device = _home(like)
    return _arange(start=0, stop=n, step=1, dtype=library.index, library=library, device=device)


@composite
def like_index(like: Any, positions: Any) -> Any:
    """Host array of ints in the library and on the device of `like`."""
    library, device = _home(like)
    return library.asarray(positions, device=device)


@composite
def numbers_like(like: Any, numbers: Any) -> Any:
    """Host array in the library, on the device and of the dtype of `like`.

    It is rounded on the host: a device may lack the dtype in which the numbers were computed.
    """
    library, device = _home(like)
    return library.asarray(numbers.astype(as_dtype(like.dtype).dtype), device=device)


# Constant arrays ----------------------------------------------------------------------------------


@structural(_full)
def full(
    shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, xp: Any = None
) -> Any:
    """Array of one value.

    Parameters
    ----------
    shape : int or tuple of int
    fill_value : number, or array of shape ()
    dtype : dtype, optional
        By default the default dtype of the value's kind (float32 for a float).
    device, xp : optional
        Where: a device, an array namespace.

    Returns
    -------
    array, of shape `shape`

    Raises
    ------
    ShapeError
        If a length is negative.
    DTypeError
        If the library lacks the dtype.

    Examples
    --------
    >>> F.full(2, 7.0)
    array([7., 7.], dtype=float32)
    """
    if type(fill_value) in SCALARS:
        kind = type(fill_value).__name__
        array = _at_once(shape, fill_value, dtype, kind, device, xp)
        if array is not None:
            return array
    return _filled(shape, fill_value, dtype, _library(xp, device), device)


def _filled(shape: Any, value: Any, dtype: Any, library: Library, device: Any) -> Any:
    lengths = normalize_shape("full", shape)
    if type(value) is Tracer and value.trace is not None:
        return ops.broadcast_to(value if dtype is None else ops.astype(value, dtype), lengths)
    if type(value) not in SCALARS:
        dtype = value.dtype if dtype is None else dtype
        value = _number(value, "full")
    kind = default_dtype_of(_kind_of(value)) if dtype is None else as_dtype(dtype)
    return _made(_full(shape=lengths, fill_value=value, dtype=kind, library=library, device=device))


def _at_once(shape: Any, value: Any, dtype: Any, kind: str, device: Any, xp: Any) -> Any:
    """NumPy's array of one value, of zeros for None, at less cost than by the primitive.

    None where it is for another library, or NumPy refuses.
    """
    if xp is not None or device is not None or live.staging or type(shape) not in (tuple, int):
        return None
    wanted = default_dtype_of(kind) if dtype is None else as_dtype(dtype)
    try:
        if value is None:
            array = np.zeros(shape, wanted.dtype)
        else:
            array = np.empty(shape, wanted.dtype)
            array.fill(value)
    except Exception:
        return None
    return made(array) if RUNNING.get() else array


def zeros(shape: Any, *, dtype: Any = None, device: Any = None, xp: Any = None) -> Any:
    """Array of zeros; arguments as for `full`.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : dtype, optional
        By default the default real dtype, float32.
    device, xp : optional
        Where.

    Returns
    -------
    array, of shape `shape`

    Raises
    ------
    ShapeError
        If a length is negative.

    Examples
    --------
    >>> F.zeros((1, 2))
    array([[0., 0.]], dtype=float32)
    """
    array = _at_once(shape, None, dtype, "float", device, xp)
    if array is not None:
        return array
    kind = default_dtype_of("float") if dtype is None else dtype
    return _filled(shape, 0, kind, _library(xp, device), device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None, xp: Any = None) -> Any:
    """Array of ones; arguments as for `full`.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : dtype, optional
        By default the default real dtype, float32.
    device, xp : optional
        Where.

    Returns
    -------
    array, of shape `shape`

    Raises
    ------
    ShapeError
        If a length is negative.

    Examples
    --------
    >>> F.ones(2)
    array([1., 1.], dtype=float32)
    """
    array = _at_once(shape, 1, dtype, "float", device, xp)
    if array is not None:
        return array
    kind = default_dtype_of("float") if dtype is None else dtype
    return _filled(shape, 1, kind, _library(xp, device), device)


def empty(shape: Any, *, dtype: Any = None, device: Any = None, xp: Any = None) -> Any:
    """Array to be written to; it holds zeros, so that nothing undefined can be read.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : dtype, optional
        By default the default real dtype, float32.
    device, xp : optional
        Where.

    Returns
    -------
    array, of shape `shape`

    Raises
    ------
    ShapeError
        If a length is negative.

    Examples
    --------
    >>> F.empty((2, 3)).shape
    (2, 3)
    """
    return zeros(shape, dtype=dtype, device=device, xp=xp)


@composite
def full_like(
    x: Array, /, fill_value: Any, *, dtype: Any = None, device: Any = None, shape: Any = None
) -> Any:
    """Array of one value, like another in shape, dtype, library and device.

    Parameters
    ----------
    x : array
    fill_value : number, or array of shape ()
    dtype : dtype, optional
        By default that of `x`.
    device : device, optional
        By default that of `x`.
    shape : int or tuple of int, optional
        By default that of `x`.

    Returns
    -------
    array

    Raises
    ------
    ShapeError
        If a length is negative.

    Examples
    --------
    >>> F.full_like(np.zeros(2), 7)
    array([7., 7.])
    """
    if type(x) is np.ndarray and type(fill_value) in SCALARS and shape is None:
        wanted = x.dtype if dtype is None else dtype
        array = _at_once(x.shape, fill_value, wanted, "", device, None)
        if array is not None:
            return array
    if type(fill_value) is Tracer:
        meeting_place((x, fill_value), "full_like")
    library, home = _home(x)
    return _filled(
        tuple(x.shape) if shape is None else shape,
        fill_value,
        x.dtype if dtype is None else dtype,
        library,
        home if device is None else device,
    )


@composite
def zeros_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Array of zeros, like another; see `full_like`.

    Parameters
    ----------
    x : array
    dtype, device : optional
        By default those of `x`.

    Returns
    -------
    array, shape of `x`

    Raises
    ------
    DTypeError
        If the library lacks the dtype.

    Examples
    --------
    >>> F.zeros_like(np.ones(2))
    array([0., 0.])
    """
    if type(x) is np.ndarray:
        wanted = x.dtype if dtype is None else dtype
        array = _at_once(x.shape, None, wanted, "", device, None)
        if array is not None:
            return array
    return full_like(x, 0, dtype=dtype, device=device)


@composite
def ones_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Array of ones, like another; see `full_like`.

    Parameters
    ----------
    x : array
    dtype, device : optional
        By default those of `x`.

    Returns
    -------
    array, shape of `x`

    Raises
    ------
    DTypeError
        If the library lacks the dtype.

    Examples
    --------
    >>> F.ones_like(np.zeros(2))
    array([1., 1.])
    """
    return full_like(x, 1, dtype=dtype, device=device)


@composite
def empty_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Any:
    """Array to be written to, like another; it holds zeros.

    Parameters
    ----------
    x : array
    dtype, device : optional
        By default those of `x`.

    Returns
    -------
    array, shape of `x`

    Raises
    ------
    DTypeError
        If the library lacks the dtype.

    Examples
    --------
    >>> F.empty_like(np.ones((2, 3))).shape
    (2, 3)
    """
    if type(x) is np.ndarray:
        wanted = x.dtype if dtype is None else dtype
        array = _at_once(x.shape, None, wanted, "", device, None)
        if array is not None:
            return array
    return full_like(x, 0, dtype=dtype, device=device)


@composite
def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None, xp: Any = None) -> Any:
    """Array over the memory of another library's array, through the DLPack protocol.

    Parameters
    ----------
    x : object with ``__dlpack__`` and ``__dlpack_device__``
        A traced array keeps its derivative and its library.
    device : device, optional
        By default that of `x`.
    copy : bool, optional
        True copies, False never does; by default only where there is no other way.
    xp : namespace, optional
        Library of the result, by default NumPy.

    Returns
    -------
    array
        Of the shape and dtype of `x`.

    Raises
    ------
    TypeError
        If `x` does not speak the protocol.
    BufferError
        If the data cannot be taken over as asked.

    Examples
    --------
    >>> F.from_dlpack(np.asarray([1.0, 2.0]))
    array([1., 2.])
    """
    if type(x) is Tracer and x.trace is not None:
        moved = x if device is None else ops.to_device(x, device)
        return ops.asarray(moved, copy=copy)
    if not hasattr(x, "__dlpack__"):
        msg = f"from_dlpack: the object must have the method __dlpack__; got {type(x).__name__}."
        raise located(TypeError(msg))
    options = {} if device is None else {"device": device}
    if copy is not None:
        options["copy"] = copy
    return _made(_library(xp, device).xp.from_dlpack(x, **options))


# Ranges -------------------------------------------------------------------------------------------


@structural(_arange)
def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    xp: Any = None,
) -> Any:
    """Evenly spaced numbers from `start` up to, not including, `stop`.

    Parameters
    ----------
    start, stop : number
        With one of them alone it is `stop`, and `start` is 0.
    step : number
        Not zero.
    dtype : dtype, optional
        By default int64 for ints, the default real dtype for floats.
    device, xp : optional
        Where.

    Returns
    -------
    array, shape (⌈(stop − start) / step⌉,)

    Raises
    ------
    ValueError
        If `step` is zero.

    Examples
    --------
    >>> F.arange(3)
    array([0, 1, 2])
    """
    if stop is None:
        start, stop = 0, start
    if type(start) is type(stop) is type(step) is int and step and xp is None and device is None:
        kind = default_dtype_of("int") if dtype is None else as_dtype(dtype)
        if not live.staging and kind.kind == "int":  # the common case, at less cost
            array = np.arange(start, stop, step, dtype=kind.dtype)
            return made(array) if RUNNING.get() else array
    if step == 0:
        msg = "arange: step must not be zero; got 0."
        raise located(ValueError(msg))
    floating = any(_kind_of(v) == "float" for v in (start, stop, step))
    kind = default_dtype_of("float" if floating else "int") if dtype is None else as_dtype(dtype)
    return _made(
        _arange(
            start=start,
            stop=stop,
            step=step,
            dtype=kind,
            library=_library(xp, device),
            device=device,
        )
    )


@structural(_linspace)
def linspace(
    start: Any,
    stop: Any,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Any = None,
    endpoint: bool = True,
    xp: Any = None,
) -> Any:
    """Evenly spaced numbers over an interval.

    Parameters
    ----------
    start, stop : number
    num : int
        How many; not negative.
    dtype : dtype, optional
        By default the default real dtype, float32.
    device, xp : optional
        Where.
    endpoint : bool
        Whether the last number is `stop`.

    Returns
    -------
    array, shape (num,)

    Raises
    ------
    ShapeError
        If `num` is negative.

    Examples
    --------
    >>> F.linspace(0, 1, 3)
    array([0. , 0.5, 1. ], dtype=float32)
    """
    (num,) = normalize_shape("linspace", num)
    scalar = "complex" if "complex" in (_kind_of(start), _kind_of(stop)) else "float"
    kind = default_dtype_of(scalar) if dtype is None else as_dtype(dtype)
    if scalar == "complex" != kind.kind:
        msg = f"linspace: the dtype must hold start and stop, which are complex; got {kind.name}."
        raise located(DTypeError(msg))
    traced = [v for v in (start, stop) if type(v) is Tracer and v.trace is not None]
    if traced:
        if xp is None and device is None and library_under(traced[0]) is not NUMPY:
            library, device = _home(meeting_place((start, stop), "linspace"))
            xp = library.xp
        steps = arange(num, dtype=kind, device=device, xp=xp)
        start, stop = (_as_number(v, kind) for v in (start, stop))
        width = (stop - start) / max(num - 1 if endpoint else num, 1)
        return ops.astype(ops.add(ops.multiply(steps, width), start), kind, copy=False)
    return _made(
        _linspace(
            start=_number(start, "linspace"),
            stop=_number(stop, "linspace"),
            num=num,
            endpoint=endpoint,
            dtype=kind,
            library=_library(xp, device),
            device=device,
        )
    )


@structural(_eye)
def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: Any = None,
    device: Any = None,
    xp: Any = None,
) -> Any:
    """Ones on a diagonal, zeros elsewhere.

    Parameters
    ----------
    n_rows, n_cols : int
        Lengths of the axes; by default a square matrix.
    k : int
        Diagonal: 0 the main one, positive ones above it.
    dtype : dtype, optional
        By default the default real dtype, float32.
    device, xp : optional
        Where.

    Returns
    -------
    array, shape (n_rows, n_cols)

    Raises
    ------
    ShapeError
        If a length is negative.

    Examples
    --------
    >>> F.eye(2)
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    rows, cols = normalize_shape("eye", (n_rows, n_rows if n_cols is None else n_cols))
    kind = default_dtype_of("float") if dtype is None else as_dtype(dtype)
    return _made(
        _eye(
            n_rows=rows,
            n_cols=cols,
            k=operator.index(k),
            dtype=kind,
            library=_library(xp, device),
            device=device,
        )
    )


@composite
def meshgrid(*arrays: Array, indexing: str = "xy") -> tuple[Any, ...]:
    """Coordinates of a grid, one array an axis.

    Parameters
    ----------
    *arrays : array, shape (n,)
        Coordinates along each axis.
    indexing : "xy" or "ij"
        Whether the first two axes of the results are exchanged ("xy") or not.

    Returns
    -------
    tuple of array

    Raises
    ------
    ValueError
        If `indexing` is neither.

    Examples
    --------
    >>> [g.shape for g in F.meshgrid(np.arange(2), np.arange(3), indexing="ij")]
    [(2, 3), (2, 3)]
    """
    if indexing not in ("xy", "ij"):
        msg = f"meshgrid: indexing must be 'xy' or 'ij'; got {indexing!r}."
        raise located(ValueError(msg))
    n = len(arrays)
    places = list(range(n))
    if indexing == "xy" and n > 1:
        places[:2] = [1, 0]
    return broadcast_arrays(
        *(
            reshape(a, tuple(-1 if axis == place else 1 for axis in range(n)))
            for a, place in zip(arrays, places, strict=True)
        )
    )


# Conversion ---------------------------------------------------------------------------------------


@composite
def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None, xp: Any = None
) -> Any:
    """Array from numbers, nested lists, or another array.

    Parameters
    ----------
    obj : number, nested list or tuple, array
        Lists may hold traced arrays, which are stacked.
    dtype : dtype, optional
        By default that of an array, and the default dtype of numbers (float32, int64, …).
    device, xp : optional
        Where; by default the library of an array, else NumPy.
    copy : bool, optional
        True always copies; False raises where a copy is needed; None copies if needed.

    Returns
    -------
    array

    Raises
    ------
    DTypeError
        If `obj` holds anything else.
    ValueError
        If `copy` is False and a copy is needed.

    Examples
    --------
    >>> F.asarray([1.0, 2.0])
    array([1., 2.], dtype=float32)
    """
    if type(obj) is np.ndarray and obj.dtype.char in _NUMBERS:  # at less cost
        if dtype is None and not copy and device is None and xp is None:
            return _made(obj)
    elif isinstance(obj, list | tuple):
        if copy is False:
            msg = "asarray: copy=False needs an array; got a list."
            raise located(ValueError(msg))
        return _from_list(obj, dtype, device, xp)
    if type(obj) in SCALARS:
        library = _library(xp, device)
        return _filled((), obj, dtype, library, device)
    x: Any = obj
    if type(obj) is not Tracer:
        if not hasattr(obj, "__array_namespace__") and not hasattr(obj, "shape"):
            msg = (
                "asarray: the object must be an array, a number or nested lists; got "
                f"{type(obj).__name__}."
            )
            raise located(DTypeError(msg))
        x = np.asarray(obj) if isinstance(obj, np.generic) else obj
        typeof(x), library_under(x)  # raise for what is no array of numbers
        x = _made(x)
    if xp is not None or device is not None:
        x = ops.to_device(x, device, xp=xp)
    if dtype is not None and typeof(x).dtype is not as_dtype(dtype):
        if copy is False:
            msg = f"asarray: copy=False cannot convert; got {x.dtype} and {as_dtype(dtype).name}."
            raise located(ValueError(msg))
        return ops.astype(x, dtype)
    if not copy:
        return x
    if type(x) is Tracer:
        return Tracer(x.trace, x.var, _copied(x.value) if x.trace is None else x.value)
    return _copied(x)


def _copied(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return x.copy()
    return x.clone() if hasattr(x, "detach") else library_under(x).xp.asarray(x, copy=True)


def _from_list(obj: Any, dtype: Any, device: Any, xp: Any) -> Any:
    leaves = list(_flat(obj))
    arrays = [v for v in leaves if hasattr(v, "shape")]
    if dtype is None and arrays:
        dtype = _dtype_beside_numbers(leaves)
    if any(type(v) is Tracer for v in leaves):
        if xp is None and device is None:
            library, device = _home(meeting_place(arrays, "asarray"))
            xp = None if library is NUMPY else library.xp
            device = None if library is NUMPY else device
        return ops.stack([_part(v, dtype, device, xp) for v in obj])
    arrays = [v for v in leaves if type(v) not in SCALARS and not isinstance(v, str | bytes)]
    if any(library_under(a) is not NUMPY for a in arrays):
        library = _library(xp, device)
        if xp is None and device is None:
            library, device = _home(arrays[0])
            common_library(tuple(arrays), "asarray")
        return ops.stack([asarray(v, dtype=dtype, device=device, xp=library.xp) for v in obj])
    library = _library(xp, device)
    host = np.asarray(obj)
    if host.dtype.kind not in "biufc":
        msg = f"asarray: lists must hold numbers and be rectangular; got {host.dtype}."
        raise located(DTypeError(msg))
    if dtype is None:
        dtype = default_dtype_of(
            {"b": "bool", "i": "int", "u": "int", "f": "float", "c": "complex"}[host.dtype.kind]
        )
    dtype = None if dtype is None else library.dtype(dtype)
    return _made(library.asarray(host, dtype=dtype, device=None if library is NUMPY else device))


def _dtype_beside_numbers(leaves: list[Any]) -> DType | None:
    """Dtype of arrays and numbers, which are weak; None where the library decides."""
    types = [typeof(v).dtype for v in leaves if hasattr(v, "shape") or type(v) in SCALARS]
    wanted, strong = promote(types), promote(t for t in types if not is_weak(t))
    if wanted is not None:
        return wanted
    if strong is None:
        numpy = all(library_under(v) is NUMPY for v in leaves if hasattr(v, "shape"))
        own = [v if type(v) in SCALARS else v.dtype for v in leaves]
        return as_dtype(np.result_type(*own)) if numpy else None
    kinds = [t.kind for t in types if is_weak(t)]
    beyond = [k for k in ("complex", "float", "int") if k in kinds]  # and so beyond the arrays'
    return default_dtype_of(beyond[0]) if beyond else strong


def _part(obj: Any, dtype: Any, device: Any, xp: Any) -> Any:
    """An array as it is, numbers and lists where `xp` and `device` say."""
    if hasattr(obj, "shape"):
        return asarray(obj, dtype=dtype)
    return asarray(obj, dtype=dtype, device=device, xp=xp)


def _flat(obj: Any) -> Any:
    for v in obj:
        if isinstance(v, list | tuple):
            yield from _flat(v)
        else:
            yield v
