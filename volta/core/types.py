"""Dtypes, array types and the standard's promotion table.

A `DType` is Volta's own name for a dtype; every library's dtype objects are read by `as_dtype`.
An `ArrayType` is what a type rule sees of an array: shape and dtype, no values.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from volta.core.errors import BroadcastError, DTypeError, ShapeError

__all__ = [
    "DTYPES",
    "HALVES",
    "SCALARS",
    "Array",
    "ArrayLike",
    "ArrayType",
    "DType",
    "as_dtype",
    "broadcast_shapes",
    "check_lengths",
    "is_inexact",
    "promote",
    "typeof",
    "weak_dtype",
]


class Array(Protocol):
    """Any array of the Array API standard: NumPy's, torch's, …, or a traced one."""

    @property
    def shape(self) -> Any:
        """Lengths of the axes."""

    @property
    def dtype(self) -> Any:
        """Dtype, as the library names it."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        ...

    def __neg__(self) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __rtruediv__(self, other: Any, /) -> Any: ...
    def __getitem__(self, key: Any, /) -> Any: ...


ArrayLike = Array | complex  # an operand: an array or, weakly, a Python number


class DType:
    """A dtype by its standard name, whatever library an array comes from.

    Attributes
    ----------
    name : str
        The Array API name, such as ``"float32"``.
    kind : str
        One of ``"bool"``, ``"int"``, ``"uint"``, ``"float"``, ``"complex"``.
    itemsize : int
        Size of an element in bytes.
    """

    def __init__(self, name: str, kind: str, itemsize: int) -> None:
        self.name, self.kind, self.itemsize = name, kind, itemsize

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype, which lets NumPy accept this object wherever it takes a dtype."""
        if self.name == "bfloat16":
            import ml_dtypes  # 80 ms at import, so only where a bfloat16 array occurs

            half: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
            return half
        return np.dtype(self.name)

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DType):
            return self is other
        try:
            return as_dtype(other) is self
        except DTypeError:
            return False

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return as_dtype, (self.name,)


DTYPES: Final = {
    name: DType(name, kind, size)
    for name, kind, size in [
        ("bool", "bool", 1),
        *((f"int{8 * n}", "int", n) for n in (1, 2, 4, 8)),
        *((f"uint{8 * n}", "uint", n) for n in (1, 2, 4, 8)),
        ("float16", "float", 2),
        ("bfloat16", "float", 2),
        ("float32", "float", 4),
        ("float64", "float", 8),
        ("complex64", "complex", 8),
        ("complex128", "complex", 16),
    ]
}
SCALARS: Final = frozenset((bool, int, float, complex))
_SCALAR_KINDS: Final = {bool: "bool", int: "int", float: "float", complex: "complex"}

# Class of dtype object → the objects met so far → Volta's own. By class first, because some
# libraries' dtypes hash like NumPy's and warn when compared with them.
_TABLES: Final[dict[type, dict[Any, DType]]] = {}


def as_dtype(dtype: Any, /) -> DType:
    """Read any library's dtype object.

    Parameters
    ----------
    dtype : dtype object, str or type
        ``np.float32``, ``torch.float32``, ``"float32"``, ``volta.functional.float32``, …

    Returns
    -------
    DType

    Raises
    ------
    DTypeError
        If `dtype` names none of Volta's dtypes.

    Examples
    --------
    >>> as_dtype("float32").itemsize
    4
    """
    if type(dtype) is DType:
        return dtype
    table = _TABLES.get(type(dtype))
    if table is not None:
        found = table.get(dtype)
        if found is not None:
            return found
    return _read_dtype(dtype)


def _read_dtype(dtype: Any) -> DType:
    found = DTYPES.get(str(dtype).rsplit(".", 1)[-1])
    if found is None and dtype is not None:  # which NumPy takes for float64
        try:
            found = DTYPES.get(np.dtype(dtype).name)
        except (TypeError, ValueError, SyntaxError):  # the last two of a str
            found = None
    if found is None:
        msg = f"dtype: must be one of {', '.join(DTYPES)}; got {dtype!r}."
        raise DTypeError(msg)
    _TABLES.setdefault(type(dtype), {})[dtype] = found
    return found


class ArrayType(NamedTuple):
    """Shape and dtype of an array."""

    shape: tuple[int, ...]
    dtype: DType

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return math.prod(self.shape) * self.dtype.itemsize


def typeof(x: Any, /) -> ArrayType:
    """Type of an array, traced or not.

    Parameters
    ----------
    x : array or number
        A Python number has the type of its weak dtype, of rank 0.

    Returns
    -------
    ArrayType

    Raises
    ------
    DTypeError
        If `x` has a dtype that is none of Volta's.

    Examples
    --------
    >>> str(typeof(np.zeros((2, 3))))
    'float64[2, 3]'
    """
    if type(x) is np.ndarray:  # as as_dtype does, at less cost
        dtype = x.dtype
        return _new_type(ArrayType, (x.shape, _NUMPY_KINDS.get(type(dtype)) or as_dtype(dtype)))
    kind = _SCALAR_KINDS.get(type(x))
    if kind is not None:
        return ArrayType((), _WEAK[kind])
    return ArrayType(tuple(x.shape), as_dtype(x.dtype))


_NUMPY_KINDS: Final = {type(np.dtype(d.name)): d for d in DTYPES.values() if d.name != "bfloat16"}
_new_type: Final = tuple.__new__  # a third of the cost of the named tuple's own constructor


# Stand-ins for the dtypes of Python scalars: compared by identity in `promote`, never seen outside.
_WEAK: Final = {
    kind: DType(f"{kind} scalar", kind, 0) for kind in ("bool", "int", "float", "complex")
}
_RANK: Final = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}
HALVES: Final = frozenset((DTYPES["float16"], DTYPES["bfloat16"]))


def weak_dtype(kind: str) -> DType:
    """What stands for the dtype of Python scalars of a kind: ``"bool"``, ``"int"``, …."""
    return _WEAK[kind]


def is_weak(dtype: DType) -> bool:
    """Whether `dtype` stands for a Python scalar."""
    return dtype.itemsize == 0


def is_inexact(dtype: DType) -> bool:
    """Whether arrays of `dtype` have derivatives: real or complex floating."""
    return dtype.kind in ("float", "complex")


def promote(dtypes: Iterable[DType]) -> DType | None:
    """Result dtype of operands by the standard's table, or None where the standard is silent.

    Parameters
    ----------
    dtypes : iterable of DType
        Those of the operands; the weak dtypes of Python scalars included.

    Returns
    -------
    DType or None

    References
    ----------
    Array API standard 2025.12, "Type Promotion Rules".
    """
    strong: DType | None = None
    weak: DType | None = None
    for dtype in dtypes:
        if dtype.itemsize == 0:
            weak = dtype if weak is None or _RANK[dtype.kind] > _RANK[weak.kind] else weak
        elif strong is None or strong is dtype:
            strong = dtype
        else:
            strong = _promote_pair(strong, dtype)
            if strong is None:
                return None
    if strong is None or weak is None:
        return strong
    if weak.kind == "complex" and strong.kind == "float" and strong.itemsize >= 4:
        return DTYPES["complex64" if strong.itemsize == 4 else "complex128"]
    if weak.kind == "bool":
        return strong if strong.kind == "bool" else None
    if strong.kind == "bool" or _RANK[weak.kind] > _RANK[strong.kind]:
        return None
    return strong


def _promote_pair(a: DType, b: DType) -> DType | None:
    if a.kind == b.kind:
        if a.itemsize == b.itemsize:  # float16 with bfloat16
            return None
        return a if a.itemsize > b.itemsize else b
    kinds = {a.kind, b.kind}
    if kinds == {"int", "uint"}:
        signed, unsigned = (a, b) if a.kind == "int" else (b, a)
        if unsigned.itemsize < signed.itemsize:
            return signed
        return DTYPES.get(f"int{16 * unsigned.itemsize}")
    if kinds == {"float", "complex"}:
        real, cplx = (a, b) if a.kind == "float" else (b, a)
        if real in HALVES:
            return None
        return DTYPES["complex64" if max(2 * real.itemsize, cplx.itemsize) == 8 else "complex128"]
    return None


def check_lengths(name: str, shape: Sequence[Any]) -> None:
    """Raise unless every length is known; dask has NaN for those it has not computed."""
    if any(n != n for n in shape):
        msg = (
            f"{name}: the lengths of all axes must be known; got shape {tuple(shape)}. Call the "
            "array's compute_chunk_sizes() first."
        )
        raise ShapeError(msg)


def broadcast_shapes(name: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Shape that `shapes` broadcast to; `name` is the operation a `BroadcastError` speaks of."""
    ndim = max(map(len, shapes), default=0)
    result = [1] * ndim
    for shape in shapes:
        offset = ndim - len(shape)
        for axis, size in enumerate(shape, offset):
            if size != 1 and result[axis] != size:
                if result[axis] != 1:
                    listed = " and ".join(map(str, shapes))
                    msg = (
                        f"{name}: the shapes must broadcast together; got {listed}, "
                        f"which differ at axis {axis - ndim}. "
                        "Make these lengths equal, or one of them 1."
                    )
                    raise BroadcastError(msg)
                result[axis] = size
    return tuple(result)
