"""Data types: the dtype objects, conversion, and questions about dtypes."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from volta.core.derivatives import Linear
from volta.core.dispatch import library_of
from volta.core.errors import DTypeError
from volta.core.trace import live, located, ops
from volta.core.tracer import Tracer, library_under
from volta.core.types import (
    DTYPES,
    SCALARS,
    Array,
    ArrayType,
    DType,
    as_dtype,
    is_inexact,
    promote,
    typeof,
)
from volta.functional.declare import primitive, structural
from volta.functional.elementwise import stop_gradient

__all__ = [
    "astype",
    "bfloat16",
    "bool",
    "can_cast",
    "complex64",
    "complex128",
    "finfo",
    "float16",
    "float32",
    "float64",
    "iinfo",
    "int8",
    "int16",
    "int32",
    "int64",
    "isdtype",
    "result_type",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]

bool: Final = DTYPES["bool"]
int8: Final = DTYPES["int8"]
int16: Final = DTYPES["int16"]
int32: Final = DTYPES["int32"]
int64: Final = DTYPES["int64"]
uint8: Final = DTYPES["uint8"]
uint16: Final = DTYPES["uint16"]
uint32: Final = DTYPES["uint32"]
uint64: Final = DTYPES["uint64"]
float16: Final = DTYPES["float16"]
bfloat16: Final = DTYPES["bfloat16"]
float32: Final = DTYPES["float32"]
float64: Final = DTYPES["float64"]
complex64: Final = DTYPES["complex64"]
complex128: Final = DTYPES["complex128"]


def _astype_value(xp: Any, x: Any, *, dtype: DType) -> Any:
    return xp.astype(x, library_of(x, "astype").dtype(dtype))


_astype: Any = primitive(
    "astype",
    type_rule=lambda x, *, dtype: ArrayType(x.shape, dtype),
    batch=lambda size, batched, x, *, dtype: _astype(x, dtype=dtype),
    derivatives=(Linear(lambda ct: ct),),
    value=_astype_value,
    kernels={"numpy": lambda x, *, dtype: x.astype(dtype.dtype)},
    promotes=True,
)


_REAL: Final = "?bBhHiIlLqQefd"  # NumPy's characters of dtypes that become any other


@structural(_astype)
def astype(x: Array, dtype: Any, /, *, copy: Any = True, device: Any = None) -> Any:
    """Convert to a dtype.

    Parameters
    ----------
    x : array
    dtype : dtype
        Of any library.
    copy : bool
        Whether to copy when `x` has the dtype already.
    device : device, optional
        To move to.

    Returns
    -------
    array
        Of that dtype, in the library of `x`. The derivative is zero where `dtype` is not
        floating.

    Raises
    ------
    DTypeError
        If `dtype` is none, the library lacks it, or it would drop an imaginary part.

    Examples
    --------
    >>> F.astype(np.asarray([1.7]), F.int64)
    array([1])
    """
    wanted = as_dtype(dtype)
    plain = type(x) is np.ndarray and x.dtype.char in _REAL
    if plain and copy is True and device is None and not live.staging:  # at less cost
        return x.astype(wanted.dtype)  # type: ignore[attr-defined]  # NumPy's array
    old = typeof(x).dtype
    if device is not None:
        x = ops.to_device(x, device)
    if old is wanted:
        if not copy:
            return x
        return ops.asarray(x, copy=True)
    if old.kind == "complex" and wanted.kind != "complex":
        msg = (
            f"astype: a complex array must stay complex; got {old.name} and "
            f"{wanted.name}. Use real."
        )
        raise located(DTypeError(msg))
    if not is_inexact(wanted) and type(x) is Tracer:
        x = stop_gradient(x)
    return _astype(x, dtype=wanted)


def isdtype(dtype: Any, kind: Any) -> Any:
    """Whether a dtype is of a kind.

    Parameters
    ----------
    dtype : dtype
        Of any library.
    kind : str, dtype, or tuple of them
        ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``,
        ``"real floating"``, ``"complex floating"``, ``"numeric"``, or a dtype.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        If `kind` is no kind.

    Examples
    --------
    >>> F.isdtype(np.float32, "real floating")
    True
    """
    found = as_dtype(dtype)
    for k in kind if isinstance(kind, tuple) else (kind,):
        if isinstance(k, str) and k in KINDS:
            if found.kind in KINDS[k]:
                return True
        elif isinstance(k, str) and k not in DTYPES:
            msg = f"isdtype: kind must be one of {', '.join(KINDS)} or a dtype; got {k!r}."
            raise located(ValueError(msg))
        elif found is as_dtype(k):
            return True
    return False


KINDS: Final = {
    "bool": ("bool",),
    "signed integer": ("int",),
    "unsigned integer": ("uint",),
    "integral": ("int", "uint"),
    "real floating": ("float",),
    "complex floating": ("complex",),
    "numeric": ("int", "uint", "float", "complex"),
}


def result_type(*arrays_and_dtypes: Any) -> Any:
    """Dtype that operands promote to.

    Parameters
    ----------
    *arrays_and_dtypes : array, dtype or number

    Returns
    -------
    dtype
        Of the first array's library; Volta's own if there is no array.

    Raises
    ------
    DTypeError
        If the standard does not promote them.

    Examples
    --------
    >>> F.result_type(F.int8, F.uint8)
    int16
    """
    library = None
    dtypes = []
    for a in arrays_and_dtypes:
        if type(a) in SCALARS or _is_array(a):
            dtypes.append(typeof(a).dtype)
            if library is None and type(a) not in SCALARS:
                library = library_under(a)
        else:
            dtypes.append(as_dtype(a))
    found = promote(dtypes)
    if found is None:
        msg = (
            "result_type: the dtypes must promote by the standard; got "
            f"{' and '.join(d.name for d in dtypes)}."
        )
        raise DTypeError(msg)
    return found if library is None else library.dtype(found)


def can_cast(from_: Any, to: Any, /) -> Any:
    """Whether promotion alone takes one dtype to another, without loss of kind or range.

    Parameters
    ----------
    from_ : array or dtype
    to : dtype
        Of any library.

    Returns
    -------
    bool
        Where the standard does not promote the two, NumPy's answer for a dtype of NumPy, else
        False.

    Raises
    ------
    DTypeError
        If one is no dtype.

    Examples
    --------
    >>> F.can_cast(F.int8, F.int16), F.can_cast(F.int64, F.float32)
    (True, False)
    """
    wanted = as_dtype(to)
    found = typeof(from_).dtype if _is_array(from_) else as_dtype(from_)
    promoted = promote((found, wanted))
    if promoted is None and isinstance(to, np.dtype):  # NumPy's rule, where the standard has none
        return np.can_cast(found.dtype, to)
    return promoted is wanted


@dataclass(frozen=True, slots=True)
class FloatInfo:
    """Machine limits of a floating dtype, as Python numbers.

    Attributes
    ----------
    bits : int
    eps : float
        Distance from 1 to the next larger number.
    max, min : float
        Largest and smallest finite number.
    smallest_normal : float
        Smallest positive number of full precision.
    dtype : dtype
        Real, of the library that was asked about.
    """

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: Any


@dataclass(frozen=True, slots=True)
class IntInfo:
    """Machine limits of an integer dtype, as Python numbers.

    Attributes
    ----------
    bits : int
    max, min : int
        Largest and smallest number.
    dtype : dtype
        Of the library that was asked about.
    """

    bits: int
    max: int
    min: int
    dtype: Any


def finfo(type: Any, /) -> FloatInfo:
    """Machine limits of a floating dtype.

    Parameters
    ----------
    type : array or dtype
        Of real or complex floating dtype, of which the parts count then.

    Returns
    -------
    FloatInfo
        With ``bits``, ``eps``, ``max``, ``min``, ``smallest_normal`` and ``dtype``.

    Raises
    ------
    DTypeError
        If it is not floating.

    Examples
    --------
    >>> F.finfo(F.float32).eps
    1.1920928955078125e-07
    """
    found, own = _asked("finfo", type, ("float", "complex"), "floating")
    if found.kind == "complex":
        found = DTYPES["float32" if found.itemsize == 8 else "float64"]
        own = library_under(type).dtype(found) if _is_array(type) else found
    if found is bfloat16:  # 8 bits of exponent, 7 of fraction; NumPy does not know it
        largest = (2 - 2.0**-7) * 2.0**127
        return FloatInfo(16, 2.0**-7, largest, -largest, 2.0**-126, own)
    limits = np.finfo(found.dtype)
    return FloatInfo(
        bits=limits.bits,
        eps=float(limits.eps),
        max=float(limits.max),
        min=float(limits.min),
        smallest_normal=float(limits.smallest_normal),
        dtype=own,
    )


def iinfo(type: Any, /) -> IntInfo:
    """Machine limits of an integer dtype.

    Parameters
    ----------
    type : array or dtype
        Of integer dtype.

    Returns
    -------
    IntInfo
        With ``bits``, ``max``, ``min`` and ``dtype``.

    Raises
    ------
    DTypeError
        If it is not an integer dtype.

    Examples
    --------
    >>> F.iinfo(F.int8).min
    -128
    """
    found, own = _asked("iinfo", type, ("int", "uint"), "integer")
    limits = np.iinfo(found.dtype)
    return IntInfo(limits.bits, int(limits.max), int(limits.min), own)


def _is_array(x: Any) -> Any:
    """Whether `x` is an array; dtype objects and scalar types have some of its attributes."""
    return hasattr(x, "shape") and hasattr(x, "dtype") and not isinstance(x, type)


def _asked(name: str, type: Any, kinds: tuple[str, ...], called: str) -> tuple[DType, Any]:
    """Dtype that is asked about, and the same as the object that was given."""
    own = type.dtype if _is_array(type) else type
    found = as_dtype(own)
    if found.kind not in kinds:
        msg = f"{name}: the dtype must be {called}; got {found.name}."
        raise DTypeError(msg)
    return found, own
