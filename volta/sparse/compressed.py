"""Jacobians and Hessians from few derivatives: `coloring`, `jacobian`, `hessian`."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from volta.core.errors import ShapeError
from volta.core.keywords import suggesting
from volta.core.trace import located
from volta.core.tracer import library_under
from volta.core.types import as_dtype
from volta.functional import reshape, to_device
from volta.sparse.colors import color_columns, color_symmetric
from volta.sparse.pattern import find_pattern, one_array
from volta.sparse.programs import host
from volta.sparse.sets import scipy_sparse
from volta.transforms.arguments import name_of
from volta.transforms.jvp import jvp
from volta.transforms.vjp import grad, vjp
from volta.transforms.vmap import vmap

__all__ = ["Coloring", "coloring", "hessian", "jacobian"]


class Coloring:
    """How to get a sparse matrix of derivatives from few of its products; made by `coloring`.

    Attributes
    ----------
    mode : str
        ``"fwd"``: columns are coloured, for `jvp`; ``"rev"``: rows, for `vjp`; ``"symmetric"``:
        a Hessian's, for `jvp` of `grad`.
    colors : int
        Number of colours: of products that are needed.
    groups : NumPy array of int
        Colour of each column, or row.
    pattern : scipy.sparse.csr_array of bool
        Where the matrix may be nonzero.

    Examples
    --------
    >>> volta.sparse.coloring(lambda x: x[1:] * x[:-1], np.ones(100))
    <coloring of a 99 x 100 matrix, 198 entries: fwd, 2 colors>
    """

    __slots__ = ("colors", "groups", "mode", "pattern")

    def __init__(self, mode: str, pattern: Any, groups: Any, colors: int) -> None:
        self.mode, self.pattern, self.groups, self.colors = mode, pattern, groups, colors

    def __repr__(self) -> str:
        rows, columns = self.pattern.shape
        return (
            f"<coloring of a {rows} x {columns} matrix, {self.pattern.nnz} entries: {self.mode}, "
            f"{self.colors} colors>"
        )


@suggesting
def coloring(
    fun: Callable[..., Any],
    x: Any,
    sparsity: Any = None,
    *,
    of: str = "jacobian",
    mode: str | None = None,
    local: bool = False,
) -> Coloring:
    """Find which columns of a Jacobian, or Hessian, can be computed together.

    Parameters
    ----------
    fun : callable
        Function of one array: of one array for a Jacobian, of one number for a Hessian.
    x : array
        Its argument; unless `local`, only shape and dtype matter, and the plan serves others.
    sparsity : array or scipy.sparse array, optional
        Where the matrix may be nonzero, shape (m, n), for the flattened result and argument; by
        default what `pattern` finds.
    of : str
        ``"jacobian"`` or ``"hessian"``.
    mode : str, optional
        ``"fwd"`` or ``"rev"``; by default the one with fewer colours, forward if both have as
        many. A Hessian has no choice.
    local : bool
        Whether the pattern is to hold at `x` only.

    Returns
    -------
    Coloring
        For `jacobian` and `hessian`, in place of their `sparsity`.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    ShapeError
        If `sparsity` has another shape than the matrix, or a Hessian's is not symmetric.
    ValueError
        If `of` or `mode` is unknown.

    Examples
    --------
    >>> def chained(x):
    ...     return F.sum((x[1:] - x[:-1] ** 2) ** 2)
    >>> plan = volta.sparse.coloring(chained, np.zeros(1000), of="hessian")
    >>> plan.colors
    3
    >>> volta.sparse.hessian(chained, plan)(np.ones(1000)).nnz
    2998
    """
    where = f"coloring({name_of(fun)})"
    if of not in ("jacobian", "hessian"):
        msg = f"{where}: of must be 'jacobian' or 'hessian'; got {of!r}."
        raise located(ValueError(msg))
    if mode not in (None, "fwd", "rev"):
        msg = f"{where}: mode must be 'fwd' or 'rev'; got {mode!r}."
        raise located(ValueError(msg))
    return _plan(fun, one_array(x, where), sparsity, of, mode, local, where)


def _plan(
    fun: Callable[..., Any],
    x: Any,
    sparsity: Any,
    of: str,
    mode: str | None,
    local: bool,
    where: str,
) -> Coloring:
    n = prod(x.shape)
    if sparsity is None:
        target = grad(fun) if of == "hessian" else fun
        found = find_pattern(target, x, local, where.partition("(")[0])
        if of == "hessian":
            found = found.multiply(found.T).tocsr()  # either is a bound, so both are
    else:
        given = sparsity if scipy_sparse().issparse(sparsity) else host(sparsity)
        found = scipy_sparse().csr_array(given).astype(bool)
        found.eliminate_zeros()
        rows = n if of == "hessian" else found.shape[0]
        if found.shape != (rows, n):
            shape = f"({n}, {n})" if of == "hessian" else f"(…, {n})"
            msg = f"{where}: sparsity must have shape {shape}; got {found.shape}."
            raise ShapeError(msg)
        if of == "hessian" and (found != found.T).nnz:
            msg = f"{where}: the sparsity of a Hessian must be symmetric; got one that is not."
            raise ShapeError(msg)
    found.sort_indices()
    if of == "hessian":
        return Coloring("symmetric", found, *color_symmetric(found))
    return _cheaper(found, mode)


def _cheaper(found: Any, mode: str | None) -> Coloring:
    """Colour columns or rows, whichever takes fewer colours."""
    fullest_row = int(np.diff(found.indptr).max(initial=0))  # columns take at least so many
    fullest_column = int(np.diff(found.tocsc().indptr).max(initial=0))
    if mode is None and fullest_column < fullest_row:
        by_rows = Coloring("rev", found, *color_columns(found.T))
        if by_rows.colors < fullest_row:
            return by_rows
        by_columns = Coloring("fwd", found, *color_columns(found))
        return by_columns if by_columns.colors <= by_rows.colors else by_rows
    if mode == "rev":
        return Coloring("rev", found, *color_columns(found.T))
    by_columns = Coloring("fwd", found, *color_columns(found))
    if mode == "fwd" or by_columns.colors <= fullest_column:
        return by_columns
    by_rows = Coloring("rev", found, *color_columns(found.T))
    return by_columns if by_columns.colors <= by_rows.colors else by_rows


@suggesting
def jacobian(
    fun: Callable[..., Any], sparsity: Any = None, *, local: bool = False
) -> Callable[..., Any]:
    """Return a function that computes the Jacobian of `fun` as a sparse matrix.

    Columns that have no row in common are computed by one `jvp`, or rows by one `vjp`, whichever
    takes fewer, all of them together under `vmap`.

    Parameters
    ----------
    fun : callable
        Function of one real array, of n elements, returning one, of m.
    sparsity : array, scipy.sparse array or Coloring, optional
        Where the Jacobian may be nonzero, shape (m, n), or the plan that `coloring` made of it;
        by default found at every call.
    local : bool
        Whether the pattern that is found is to hold at the point only (see `pattern`).

    Returns
    -------
    callable
        From an array to a ``scipy.sparse.csr_array`` of shape (m, n) and the dtype of the result,
        with ``∂fun(x)ᵢ / ∂xⱼ`` for the flattened arrays. Its entries are those of the pattern; some
        may be zero.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    DTypeError
        If the input or the result is not real floating.
    ShapeError
        If `sparsity` has another shape than the Jacobian.
    TypeError
        If there is not one array in and one array out.
    ValueError
        If the plan is one for a Hessian.
    TraceError
        If `fun` asks for a concrete value: pass ``local=True``, or the sparsity.

    Notes
    -----
    The result is on the host. A pattern that is too small gives wrong numbers.

    Examples
    --------
    >>> def differences(x):
    ...     return x[1:] ** 2 - x[:-1]
    >>> volta.sparse.jacobian(differences)(np.asarray([1.0, 2.0, 3.0])).toarray()
    array([[-1.,  4.,  0.],
           [ 0., -1.,  6.]])
    """
    where = f"jacobian({name_of(fun)})"

    def jacobian_fn(x: Any) -> Any:
        x = one_array(x, where)
        plan = sparsity
        if not isinstance(plan, Coloring):
            plan = _plan(fun, x, sparsity, "jacobian", None, local, where)
        if plan.mode == "symmetric":
            msg = f"{where}: the coloring must be of a Jacobian; got one of a Hessian."
            raise located(ValueError(msg))
        _check_width(plan, x, where)
        if plan.mode == "rev":
            return _by_rows(fun, x, plan, where)
        return _by_columns(fun, x, plan, where)

    return jacobian_fn


@suggesting
def hessian(
    fun: Callable[..., Any], sparsity: Any = None, *, local: bool = False
) -> Callable[..., Any]:
    """Return a function that computes the Hessian of `fun` as a sparse matrix.

    Parameters
    ----------
    fun : callable
        Function of one real array, of n elements, returning one number, shape ().
    sparsity : array, scipy.sparse array or Coloring, optional
        Where the Hessian may be nonzero, shape (n, n) and symmetric, or the plan that
        ``coloring(…, of="hessian")`` made of it; by default found at every call.
    local : bool
        Whether the pattern that is found is to hold at the point only (see `pattern`).

    Returns
    -------
    callable
        From an array to a symmetric ``scipy.sparse.csr_array`` of shape (n, n), with
        ``∂²fun(x) / ∂xᵢ∂xⱼ`` for the flattened array.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    DTypeError
        If the input is not real floating.
    ShapeError
        If `sparsity` has another shape than the Hessian, or is not symmetric.
    TypeError
        If there is not one array in, or not one number out.
    ValueError
        If the plan is one for a Jacobian.
    TraceError
        As for `jacobian`.

    Notes
    -----
    The Hessian times the sum of the columns of one colour is the `jvp` of the gradient. Symmetry
    makes fewer colours do than for a Jacobian of the same pattern: of the two entries at (i, j)
    and (j, i) only one has to be alone. A matrix full in the first row and column and on the
    diagonal takes two colours.

    Examples
    --------
    >>> def energy(x):
    ...     return F.sum(x**3) + x[0] * F.sum(x[1:])
    >>> volta.sparse.hessian(energy)(np.asarray([1.0, 2.0, 3.0])).toarray()
    array([[ 6.,  1.,  1.],
           [ 1., 12.,  0.],
           [ 1.,  0., 18.]])
    """
    where = f"hessian({name_of(fun)})"

    def hessian_fn(x: Any) -> Any:
        x = one_array(x, where)
        plan = sparsity
        if not isinstance(plan, Coloring):
            plan = _plan(fun, x, sparsity, "hessian", None, local, where)
        if plan.mode != "symmetric":
            msg = f"{where}: the coloring must be of a Hessian; got one of mode {plan.mode!r}."
            raise located(ValueError(msg))
        _check_width(plan, x, where)
        return _by_columns(grad(fun), x, plan, where)

    return hessian_fn


def _check_width(plan: Coloring, x: Any, where: str) -> None:
    if plan.pattern.shape[1] != prod(x.shape):
        msg = (
            f"{where}: the coloring must be of as many columns as the input has elements; got "
            f"{plan.pattern.shape[1]} and shape {tuple(x.shape)}."
        )
        raise ShapeError(msg)


def _by_columns(fun: Callable[..., Any], x: Any, plan: Coloring, where: str) -> Any:
    if not plan.colors:
        return _empty(plan, x)
    seeds = _seeds(plan, x)
    products = vmap(lambda t: jvp(fun, (x,), (t,))[1])(seeds)
    products = _flat(products, plan, plan.pattern.shape[0], where)
    rows = np.repeat(np.arange(plan.pattern.shape[0]), np.diff(plan.pattern.indptr))
    columns = plan.pattern.indices
    if plan.mode == "symmetric":
        codes = rows * plan.colors + plan.groups[columns]
        _, which, times = np.unique(codes, return_inverse=True, return_counts=True)
        hidden = times[which] > 1  # then (j, i) is alone
        rows, columns = np.where(hidden, columns, rows), np.where(hidden, rows, columns)
    return _filled(plan, products[plan.groups[columns], rows])


def _by_rows(fun: Callable[..., Any], x: Any, plan: Coloring, where: str) -> Any:
    if not plan.colors:
        return _empty(plan, x)
    out, pull = vjp(fun, x)
    m = plan.pattern.shape[0]
    if prod(out.shape) != m:
        _wrong_height(where, m, tuple(out.shape))
    products = _on_host(reshape(vmap(lambda ct: pull(ct)[0])(_seeds(plan, out)), (plan.colors, -1)))
    rows = np.repeat(np.arange(m), np.diff(plan.pattern.indptr))
    return _filled(plan, products[plan.groups[rows], plan.pattern.indices])


def _seeds(plan: Coloring, like: Any) -> Any:
    """For each colour the sum of its unit vectors, of the type and place of an array."""
    numbers = plan.groups == np.arange(plan.colors)[:, None]
    seeds = numbers.reshape(plan.colors, *like.shape)
    library = library_under(like)
    seeds = seeds.astype(as_dtype(like.dtype).dtype)
    return to_device(seeds, library.device(like), xp=library) if library.name != "numpy" else seeds


def _flat(products: Any, plan: Coloring, m: int, where: str) -> Any:
    size = prod(products.shape[1:])
    if size != m:
        _wrong_height(where, m, tuple(products.shape[1:]))
    return _on_host(reshape(products, (plan.colors, m)))


def _on_host(x: Any) -> Any:
    found = host(x)
    return np.asarray(x) if found is None else found  # a traced array refuses, with the reason


def _wrong_height(where: str, m: int, shape: tuple[int, ...]) -> None:
    msg = (
        f"{where}: the pattern must have as many rows as the result has elements; got {m} and "
        f"shape {shape}."
    )
    raise ShapeError(msg)


def _filled(plan: Coloring, data: Any) -> Any:
    parts = (data, plan.pattern.indices.copy(), plan.pattern.indptr.copy())
    return scipy_sparse().csr_array(parts, shape=plan.pattern.shape)


def _empty(plan: Coloring, x: Any) -> Any:
    return scipy_sparse().csr_array(plan.pattern.shape, dtype=as_dtype(x.dtype).dtype)
