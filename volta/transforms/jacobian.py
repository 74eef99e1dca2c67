"""Jacobians and Hessians, whole (`jacfwd`, `jacrev`, `hessian`) or times a vector.

A whole one is the product with every vector of the standard basis at once, by `vmap`.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from volta.core import tree
from volta.core.dispatch import NUMPY
from volta.core.errors import DTypeError
from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.core.tracer import Tracer, library_under
from volta.core.types import SCALARS, typeof
from volta.transforms.arguments import (
    array_leaves,
    chosen_arguments,
    name_of,
    split_modules,
)
from volta.transforms.jvp import jvp
from volta.transforms.vjp import grad, vjp
from volta.transforms.vmap import vmap

__all__ = ["ggn_vp", "hessian", "hvp", "jacfwd", "jacobian", "jacrev", "vhp"]


# The standard basis -----------------------------------------------------------------------------


def _basis(leaves: Sequence[Any], start: int, stop: int) -> list[Any]:
    """Rows `start` to `stop` of the unit matrix, as directions in the space of all `leaves`."""
    rows = stop - start
    basis = []
    offset = 0
    for leaf in leaves:
        size = math.prod(leaf.shape)
        where = {"xp": (library := library_under(leaf))}
        if library is not NUMPY:
            where["device"] = leaf.device if type(leaf) is Tracer else library.device(leaf)
        unit = ops.eye(rows, size, k=start - offset, dtype=leaf.dtype, **where)
        basis.append(ops.reshape(unit, (rows, *leaf.shape)))
        offset += size
    return basis


def _rows_of_basis(n: int, chunk_size: int | None) -> Iterator[tuple[int, int]]:
    step = chunk_size or max(n, 1)
    for start in range(0, max(n, 1), step):
        yield start, min(start + step, n)


def _count(leaves: Sequence[Any]) -> int:
    return sum(math.prod(leaf.shape) for leaf in leaves)


def _blocks(whole: Any, leaves: Sequence[Any], axis: int) -> list[Any]:
    """Parts of the axis that stands for all `leaves`, each with the shape of its leaf there."""
    shape = tuple(whole.shape)
    blocks = []
    start = 0
    for leaf in leaves:
        stop = start + math.prod(leaf.shape)
        part = whole
        if stop - start != shape[axis]:
            part = ops.getitem(whole, (*(slice(None),) * axis, slice(start, stop)))
        blocks.append(ops.reshape(part, (*shape[:axis], *leaf.shape, *shape[axis + 1 :])))
        start = stop
    return blocks


# What is differentiated -------------------------------------------------------------------------


class _Chosen:
    """The chosen arguments of a call, and the function of these alone."""

    __slots__ = ("fun", "leaves", "primals", "spec")

    def __init__(
        self,
        where: str,
        fun: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: int | Sequence[int],
    ) -> None:
        positions, _ = chosen_arguments(where, args, kwargs, argnums, None)
        split = [split_modules(args[i]) for i in positions]
        primals = tuple(part for part, _ in split)
        self.leaves, spec = array_leaves(primals, where)
        self.primals = tree.unflatten(spec, self.leaves)
        single = not isinstance(argnums, tuple | list | range)
        self.spec = tree.structure(primals[0]) if single else spec

        @functools.wraps(fun, updated=())
        def of_chosen(*given: Any) -> Any:
            full = list(args)
            for i, (_, join), part in zip(positions, split, given, strict=True):
                full[i] = join(part)
            return fun(*full, **kwargs)

        self.fun = of_chosen


@functools.cache
def _keep_freed_memory() -> None:
    """Have the C library keep freed memory, up to twice the largest block freed, for what follows.

    By default glibc returns it to the system, which hands it out anew page by page. For arrays of
    0.1 to 30 MB, such as the lanes of a Hessian, that takes as long as the arithmetic. The block
    is never touched, so this takes no memory itself; 32 MiB is the most that glibc looks at.
    """
    np.empty(31 << 20, np.uint8)


def _checked_options(where: str, chunk_size: int | None) -> None:
    if chunk_size is not None and (type(chunk_size) is not int or chunk_size < 1):
        msg = f"{where}: chunk_size must be an int of at least 1; got {chunk_size!r}."
        raise located(ValueError(msg))


_BOTH: Final = ("float", "complex")
_NAMES: Final = {
    ("float",): "real floating",
    ("complex",): "complex",
    _BOTH: "real or complex floating",
}


def _check(
    leaves: Sequence[Any],
    spec: tree.PyTreeSpec,
    kinds: tuple[str, ...],
    where: str,
    what: str,
    otherwise: str,
) -> None:
    """Raise if a leaf has a dtype of another kind; `what` says whether they are inputs.

    `otherwise` is what to call for complex ones, if it is not to be with ``holomorphic=True``.
    """
    for i, leaf in enumerate(leaves):
        dtype = typeof(leaf).dtype
        if dtype.kind not in kinds:
            advice = ""
            if dtype.kind == "complex":
                advice = f" Pass holomorphic=True, or use {otherwise}."
            elif kinds == ("complex",):
                advice = " Leave holomorphic out."
            msg = (
                f"{where}: {what}s must be {_NAMES[kinds]}; got {dtype.name} at "
                f"{what}{tree.keystr(spec.paths()[i])}.{advice}"
            )
            raise DTypeError(msg)


@suggesting
def jacfwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Return a function that computes the Jacobian of `fun` column by column, in forward mode.

    Parameters
    ----------
    fun : callable
        Function of trees of arrays, returning a tree of arrays; with `has_aux` a pair ``(out,
        aux)``.
    argnums : int or sequence of int
        Positional arguments to differentiate; each a tree of real floating arrays.
    has_aux : bool
        Whether `fun` also returns auxiliary results.
    holomorphic : bool
        Whether `fun` is holomorphic: inputs and outputs complex, the result ``∂out/∂z``.
    chunk_size : int, optional
        Most columns to compute at once, which bounds the memory.

    Returns
    -------
    callable
        Same arguments as `fun`. Returns the Jacobian: the tree of the output, with at each leaf
        the tree of the argument (for a sequence of argnums a tuple of such trees) of arrays of
        shape ``out.shape + in.shape``; with `has_aux` a pair ``(Jacobian, aux)``.

    Raises
    ------
    DTypeError
        If an input or output has no derivative, by its dtype.
    ValueError
        If argnums do not fit the call, or `chunk_size` is no positive int.

    Notes
    -----
    ``J[o, i] = ∂outₒ/∂inᵢ``. One pass through `fun` with as many tangents as there are inputs; so
    it is the better choice where inputs are fewer than outputs, and `jacrev` where they are more.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> volta.jacfwd(lambda x: F.stack([x[0] * x[1], x[0] ** 2]))(np.asarray([2.0, 3.0]))
    array([[3., 2.],
           [4., 0.]])
    """
    where = f"jacfwd({name_of(fun)})"
    _checked_options(where, chunk_size)

    @functools.wraps(fun, updated=())
    def jacfwd_fn(*args: Any, **kwargs: Any) -> Any:
        chosen = _Chosen(where, fun, args, kwargs, argnums)
        leaves = chosen.leaves
        _check(
            leaves, chosen.spec, ("complex",) if holomorphic else ("float",), where, "input", "jvp"
        )
        spec = tree.structure(chosen.primals)

        def push(*directions: Any) -> Any:
            tangents = tree.unflatten(spec, list(directions))
            found = jvp(chosen.fun, chosen.primals, tangents, has_aux)
            return (found[1], found[2]) if has_aux else (found[1], None)

        n = _count(leaves)
        if n > 1:
            _keep_freed_memory()
        columns = []
        aux: Any = None
        for start, stop in _rows_of_basis(n, chunk_size):
            basis = _basis(leaves, start, stop)
            if n == 1:
                found, aux = push(*_at(basis, leaves))
                found = tree.map(lambda t: ops.expand_dims(t, axis=-1), _arrays(found))
            else:
                found, aux = vmap(push, out_axes=(-1, None), axis_size=stop - start)(*basis)
            columns.append(tree.flatten(found))
        first, out_spec = columns[0]
        _check(first, out_spec, ("complex",) if holomorphic else _BOTH, where, "output", "")
        blocks = []
        for parts in zip(*[found for found, _ in columns], strict=True):
            whole = parts[0] if len(parts) == 1 else ops.concat(parts, axis=-1)
            here = _blocks(whole, leaves, whole.ndim - 1)
            blocks.append(tree.unflatten(chosen.spec, here))
        result = tree.unflatten(out_spec, blocks)
        return (result, aux) if has_aux else result

    return jacfwd_fn


def _arrays(found: Any) -> Any:
    return tree.map(lambda t: ops.asarray(t) if type(t) in SCALARS else t, found)


def _at(basis: list[Any], leaves: Sequence[Any]) -> list[Any]:
    """The only row of a basis, in the shapes of the leaves."""
    return [ops.reshape(b, leaf.shape) for b, leaf in zip(basis, leaves, strict=True)]


@suggesting
def jacrev(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Return a function that computes the Jacobian of `fun` row by row, in reverse mode.

    Parameters
    ----------
    fun, argnums, has_aux, holomorphic
        As for `jacfwd`; without `holomorphic` inputs may be complex where outputs are real.
    chunk_size : int, optional
        Most rows to compute at once, which bounds the memory.

    Returns
    -------
    callable
        As for `jacfwd`.

    Raises
    ------
    DTypeError
        If an input or output has no derivative, by its dtype.
    ValueError
        If argnums do not fit the call, or `chunk_size` is no positive int.

    Notes
    -----
    ``J[o, i] = ∂outₒ/∂inᵢ``; of complex inputs and real outputs ``∂out/∂x − i ∂out/∂y``, as `grad`.
    One pass through `fun`, and one sweep back with as many cotangents as there are outputs.

    Examples
    --------
    >>> import numpy as np, volta
    >>> jacobian = volta.jacrev(lambda p: {"sum": p["a"] + p["b"]})
    >>> jacobian({"a": np.ones(2), "b": np.ones(())})
    {'sum': {'a': array([[1., 0.],
           [0., 1.]]), 'b': array([1., 1.])}}
    """
    where = f"jacrev({name_of(fun)})"
    _checked_options(where, chunk_size)

    @functools.wraps(fun, updated=())
    def jacrev_fn(*args: Any, **kwargs: Any) -> Any:
        chosen = _Chosen(where, fun, args, kwargs, argnums)
        leaves = chosen.leaves
        kinds = ("complex",) if holomorphic else _BOTH
        _check(leaves, chosen.spec, kinds, where, "input", "vjp")
        out, vjp_fn, *aux = vjp(chosen.fun, *chosen.primals, has_aux=has_aux)
        outputs, out_spec = array_leaves(out, where)
        kinds = ("complex",) if holomorphic else ("float",)
        _check(outputs, out_spec, kinds, where, "output", "vjp")

        def pull(*cotangents: Any) -> Any:
            return tree.leaves(vjp_fn(tree.unflatten(out_spec, list(cotangents))))

        m = _count(outputs)
        if m > 1:
            _keep_freed_memory()
        rows = []
        for start, stop in _rows_of_basis(m, chunk_size):
            basis = _basis(outputs, start, stop)
            if m == 1:
                pulled = pull(*_at(basis, outputs))
                rows.append([ops.expand_dims(g, axis=0) for g in pulled])
            else:
                rows.append(vmap(pull, axis_size=stop - start)(*basis))
        blocks = []
        for parts in zip(*rows, strict=True):
            whole = parts[0] if len(parts) == 1 else ops.concat(parts)
            blocks.append(_blocks(whole, outputs, 0))
        found = [tree.unflatten(chosen.spec, [b[i] for b in blocks]) for i in range(len(outputs))]
        result = tree.unflatten(out_spec, found)
        return (result, *aux) if has_aux else result

    return jacrev_fn


jacobian = jacrev


@suggesting
def hessian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Return a function that computes the matrix of second derivatives of `fun`.

    Parameters
    ----------
    fun, argnums, has_aux, holomorphic
        As for `jacfwd`.
    chunk_size : int, optional
        Most columns to compute at once, which bounds the memory.

    Returns
    -------
    callable
        Same arguments as `fun`. Returns the tree of the output, with at each leaf a tree of trees
        of the argument, of arrays of shape ``out.shape + in.shape + in.shape``; with `has_aux` a
        pair ``(Hessian, aux)``.

    Raises
    ------
    DTypeError
        If an input or output has no derivative, by its dtype.
    ValueError
        If argnums do not fit the call, or `chunk_size` is no positive int.

    Notes
    -----
    ``H[i, j] = ∂²out/∂inᵢ∂inⱼ``, forward over reverse mode: ``jacfwd(jacrev(fun))``. It costs as
    many products with a vector as there are inputs; where those will do, see `hvp`.

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.hessian(lambda x: x[0] ** 2 * x[1])(np.asarray([2.0, 3.0]))
    array([[6., 4.],
           [4., 0.]])
    """
    rows = jacrev(fun, argnums, has_aux, holomorphic)
    return jacfwd(rows, argnums, has_aux, holomorphic, chunk_size=chunk_size)


# Products with a vector -------------------------------------------------------------------------


def _gradient(fun: Callable[..., Any], primals: Any, where: str) -> Callable[..., Any]:
    if not isinstance(primals, tuple | list):
        msg = f"{where}: primals must be a tuple or list; got {type(primals).__name__}."
        raise located(TypeError(msg))
    return grad(fun, 0 if len(primals) == 1 else tuple(range(len(primals))))


@suggesting
def hvp(fun: Callable[..., Any], primals: Any, tangents: Any) -> Any:
    """Gradient of `fun`, and its Hessian times a vector.

    Parameters
    ----------
    fun : callable
        Function of trees of real floating arrays, returning one real number.
    primals : tuple or list of tree
        Point of evaluation.
    tangents : tuple or list of tree
        The vector, of the structure, shapes and dtypes of `primals`.

    Returns
    -------
    grads : tree
        Gradient at `primals`: for one primal a tree like it, for several a tuple of such trees.
    hvp : tree
        ``H v``, of the same structure.

    Raises
    ------
    TypeError
        If `fun` does not return one number, or `primals` or `tangents` is no tuple or list.
    ShapeError, DTypeError
        If the vector's structure, shapes or dtypes are not those of `primals`.

    Notes
    -----
    ``(Hv)ᵢ = Σⱼ ∂²f/∂xᵢ∂xⱼ vⱼ``, exactly, at the cost of a few gradients: forward over reverse
    mode. `torch.func.hvp` returns the value of `fun` in place of the gradient.

    References
    ----------
    B. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994),
    https://doi.org/10.1162/neco.1994.6.1.147, section 3.

    Examples
    --------
    >>> import numpy as np, volta
    >>> x, v = np.asarray([2.0, 3.0]), np.asarray([1.0, 0.0])
    >>> volta.hvp(lambda x: x[0] ** 2 * x[1], (x,), (v,))
    (array([12.,  4.]), array([6., 4.]))
    """
    return jvp(_gradient(fun, primals, f"hvp({name_of(fun)})"), primals, tangents)


@suggesting
def vhp(fun: Callable[..., Any], primals: Any, cotangents: Any) -> Any:
    """Gradient of `fun`, and a vector times its Hessian, by reverse over reverse mode.

    Parameters
    ----------
    fun, primals
        As for `hvp`.
    cotangents : tuple or list of tree
        The vector, of the structure, shapes and dtypes of `primals`.

    Returns
    -------
    grads, vhp : tree
        As from `hvp`: ``vᵀ H``, which is ``H v``. `hvp` is faster, and needs less memory.

    Raises
    ------
    TypeError
        If `fun` does not return one number, or `primals` or `cotangents` is no tuple or list.
    ShapeError, DTypeError
        If the vector's structure, shapes or dtypes are not those of `primals`.

    Examples
    --------
    >>> import numpy as np, volta
    >>> x, v = np.asarray([2.0, 3.0]), np.asarray([1.0, 0.0])
    >>> volta.vhp(lambda x: x[0] ** 2 * x[1], (x,), (v,))
    (array([12.,  4.]), array([6., 4.]))
    """
    where = f"vhp({name_of(fun)})"
    gradient = _gradient(fun, primals, where)
    if not isinstance(cotangents, tuple | list) or len(cotangents) != len(primals):
        got = type(cotangents).__name__
        if isinstance(cotangents, tuple | list):
            got = f"{len(cotangents)}"
        msg = (
            f"{where}: cotangents must be a tuple or list, one for each of {len(primals)} primals; "
            f"got {got}."
        )
        raise located(TypeError(msg))
    vector = tuple(split_modules(c)[0] for c in cotangents)
    grads, vjp_fn = vjp(gradient, *primals)
    found = vjp_fn(vector[0] if len(vector) == 1 else vector)
    return grads, found[0] if len(vector) == 1 else found


@suggesting
def ggn_vp(fun: Callable[..., Any], loss: Callable[..., Any], primals: Any, tangents: Any) -> Any:
    """Gauss-Newton matrix of ``loss(fun(…))`` times a vector.

    Parameters
    ----------
    fun : callable
        The model: function of trees of real floating arrays, returning a tree of such arrays.
    loss : callable
        Function of what `fun` returns, returning one real number.
    primals : tuple or list of tree
        Point of evaluation.
    tangents : tuple or list of tree
        The vector, of the structure, shapes and dtypes of `primals`.

    Returns
    -------
    tree
        ``Jᵀ H J v``: for one primal a tree like it, for several a tuple of such trees.

    Raises
    ------
    TypeError
        If `loss` does not return one number, or `primals` or `tangents` is no tuple or list.
    ShapeError, DTypeError
        If the vector's structure, shapes or dtypes are not those of `primals`.

    Notes
    -----
    J is the Jacobian of `fun` and H the Hessian of `loss` at its result. Of the Hessian of the
    whole, ``Jᵀ H J + Σₖ ∂loss/∂zₖ ∇²zₖ``, this is the first term; it is positive semidefinite where
    `loss` is convex. With a squared error it is ``Jᵀ J`` of Gauss and Newton, and with the
    likelihood of an exponential family in its natural parameters the Fisher information.

    References
    ----------
    N. Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent",
    Neural Computation 14 (2002), https://doi.org/10.1162/08997660260028683, section 3.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> x, v = np.asarray([2.0, 3.0]), np.asarray([1.0, 0.0])
    >>> volta.ggn_vp(lambda x: x[0] * x[1], lambda z: z**2 / 2, (x,), (v,))
    array([9., 6.])
    """
    out, directions = jvp(fun, primals, tangents)
    _, bent = jvp(grad(loss), (out,), (directions,))
    _, vjp_fn = vjp(fun, *primals)
    found = vjp_fn(bent)
    return found[0] if len(primals) == 1 else found
