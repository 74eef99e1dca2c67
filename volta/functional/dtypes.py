"""Data types: the dtype objects, conversion, and questions about dtypes."""

from typing import Any, Final

from volta.core.derivatives import Linear
from volta.core.dispatch import library_of
from volta.core.errors import DTypeError
from volta.core.trace import located, ops
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
    "complex64",
    "complex128",
    "float16",
    "float32",
    "float64",
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
        if isinstance(k, str) and k in _KINDS:
            if found.kind in _KINDS[k]:
                return True
        elif isinstance(k, str) and k not in DTYPES:
            msg = f"isdtype: kind must be one of {', '.join(_KINDS)} or a dtype; got {k!r}."
            raise ValueError(msg)
        elif found is as_dtype(k):
            return True
    return False


_KINDS: Final = {
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
        if type(a) in SCALARS or hasattr(a, "shape"):
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
