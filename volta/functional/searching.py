"""Places in an array: where a number belongs among sorted ones, and which elements are not zero."""

from typing import Any

from volta.core.derivatives import ZERO
from volta.core.errors import DTypeError, ShapeError
from volta.core.primitive import Unspecified
from volta.core.trace import located, ops
from volta.core.tracer import concrete, library_under
from volta.core.types import DTYPES, SCALARS, Array, ArrayType, as_dtype
from volta.functional.declare import composite, in_one_task, primitive, structural
from volta.functional.indexing import take
from volta.functional.manipulation import broadcast_to, concat, reshape
from volta.functional.sorting import argsort

__all__ = ["nonzero", "searchsorted"]


def _searchsorted_type(x1: ArrayType, x2: ArrayType, *, side: str) -> ArrayType:
    if x1.ndim != 1:
        msg = f"searchsorted: x1 must have one axis; got shape {x1.shape}."
        raise ShapeError(msg)
    for x in (x1, x2):
        if x.dtype.kind not in ("int", "uint", "float"):
            msg = (
                "searchsorted: the dtype must be real-valued by the standard; got "
                f"{x1.dtype.name} and {x2.dtype.name}."
            )
            raise Unspecified(msg)
    return ArrayType(x2.shape, DTYPES["int64"])


def _torch_searchsorted(x1: Any, x2: Any, *, side: str) -> Any:
    import torch

    if x1.ndim != 1:
        raise ValueError(x1.ndim)  # torch takes it; the type rule tells
    dtype = torch.promote_types(x1.dtype, x2.dtype)
    x1, x2 = x1.to(dtype).contiguous(), x2.to(dtype).contiguous()
    return torch.searchsorted(x1, x2, side=side)


def _jax_searchsorted(x1: Any, x2: Any, *, side: str) -> Any:
    library = library_under(x1)
    out = library.xp.searchsorted(x1, x2, side=side)  # of int32, whatever JAX's default is
    return out.astype(library.dtype(library.index))


def _searchsorted_batch(size: int, batched: Any, x1: Any, x2: Any, *, side: str) -> Any:
    if not batched[0]:
        return _searchsorted(x1, x2, side=side)
    if not batched[1]:
        x2 = broadcast_to(x2, (size, *x2.shape))
    wanted = reshape(x2, (size, -1))
    # the rank among all, equal ones of the other array after or before, less that among its own
    both = [wanted, x1] if side == "left" else [x1, wanted]
    start = 0 if side == "left" else x1.shape[1]
    ranks = _ranks(concat(both, axis=1))[:, start : start + wanted.shape[1]]
    return reshape(ranks - _ranks(wanted), tuple(x2.shape))


def _ranks(x: Any) -> Any:
    return argsort(argsort(x, axis=1), axis=1)


_searchsorted: Any = primitive(
    "searchsorted",
    type_rule=_searchsorted_type,
    batch=_searchsorted_batch,
    derivatives=(ZERO, ZERO),
    kernels={
        "torch": _torch_searchsorted,
        "jax.numpy": _jax_searchsorted,
        "dask.array": in_one_task("searchsorted"),
    },
)


@structural(_searchsorted)
def searchsorted(x1: Array, x2: Any, /, *, side: str = "left", sorter: Array | None = None) -> Any:
    """Places where numbers belong in a sorted array.

    Parameters
    ----------
    x1 : array, shape (n,)
        In ascending order; of real-valued dtype.
    x2 : array, shape (...), or number
    side : str
        ``"left"``: before elements equal to the number, ``x1[i − 1] < x2 <= x1[i]``;
        ``"right"``: after them, ``x1[i − 1] <= x2 < x1[i]``.
    sorter : array of int, shape (n,), optional
        Indices that sort `x1`.

    Returns
    -------
    array of int64, shape of `x2`
        From 0 to n.

    Raises
    ------
    ShapeError
        If `x1` has not one axis.
    DimensionError
        If an index in `sorter` is outside `x1`.
    ValueError
        If there is no such side.

    Examples
    --------
    >>> F.searchsorted(np.asarray([1, 2, 2, 3]), np.asarray([2, 5]), side="right")
    array([3, 4])
    """
    if side not in ("left", "right"):
        msg = f"searchsorted: side must be 'left' or 'right'; got {side!r}."
        raise located(ValueError(msg))
    if type(x2) in SCALARS:
        x2 = _number(x1, x2)
    if sorter is not None:
        x1 = take(x1, sorter)
    return _searchsorted(x1, x2, side=side)


def _number(x: Any, value: Any) -> Any:
    """A Python number as an array that meets `x`; as a float if `x` cannot hold it."""
    kind = as_dtype(x.dtype).kind
    if isinstance(value, complex) or (isinstance(value, float) and kind != "float"):
        msg = f"searchsorted: the dtype of x1 must hold x2; got {x.dtype} and {value}."
        raise located(DTypeError(msg))
    return ops.full_like(x, value, shape=())


@composite
def nonzero(x: Array, /) -> Any:
    """Indices of the elements that are not zero, an array for each axis.

    Parameters
    ----------
    x : array
        With an axis; its values must be known, so inside `vmap` all
        lanes must share them.

    Returns
    -------
    tuple of array of int64, shape (number of elements found,)
        In row-major order.

    Raises
    ------
    ShapeError
        If `x` has no axis.
    TraceError
        If the values are not known.

    Examples
    --------
    >>> F.nonzero(np.asarray([[0, 7], [3, 0]]))
    (array([0, 1]), array([1, 0]))
    """
    if not x.ndim:
        msg = "nonzero: the array must have an axis; got shape (). Reshape it to (1,) first."
        raise located(ShapeError(msg))
    raw = concrete(x, "nonzero")
    return tuple(library_under(raw).xp.nonzero(raw))
