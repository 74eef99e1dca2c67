"""Computing again instead of keeping: `checkpoint`."""

import functools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Final

from volta.core import tree
from volta.core.context import RUNNING
from volta.core.derivatives import Linear
from volta.core.keywords import suggesting
from volta.core.primitive import Primitive
from volta.core.types import ArrayType
from volta.transforms.arguments import apart_numbers, name_of, split_modules, split_static
from volta.transforms.carrying import carrying
from volta.transforms.lists import stage
from volta.transforms.trace import abstract

__all__ = ["checkpoint", "checkpoint_name", "checkpoint_policies"]

# Policies ---------------------------------------------------------------------------------------


def _everything(primitive: Any, **params: Any) -> bool:
    return True


def _nothing(primitive: Any, **params: Any) -> bool:
    return False


def _dots(primitive: Any, **params: Any) -> bool:
    return primitive.name in ("matmul", "vecdot", "tensordot", "mulacc")


def _named(names: frozenset[str], primitive: Any, params: dict[str, Any]) -> bool:
    return primitive.name == "checkpoint_name" and params["name"] in names


def _only_names(*names: str) -> Callable[..., bool]:
    return lambda primitive, **params: _named(frozenset(names), primitive, params)


def _all_but_names(*names: str) -> Callable[..., bool]:
    return lambda primitive, **params: not _named(frozenset(names), primitive, params)


def _names_but(*names: str) -> Callable[..., bool]:
    return lambda primitive, **params: (
        primitive.name == "checkpoint_name" and params["name"] not in names
    )


def _either(*policies: Callable[..., bool]) -> Callable[..., bool]:
    return lambda primitive, **params: any(p(primitive, **params) for p in policies)


# What of a checkpointed function's operations is kept: each is a function of the primitive and its
# parameters, or makes one of names that `checkpoint_name` gave.
checkpoint_policies: Final = SimpleNamespace(
    everything_saveable=_everything,
    nothing_saveable=_nothing,
    dots_saveable=_dots,
    save_only_these_names=_only_names,
    save_anything_except_these_names=_all_but_names,
    save_any_names_but_these=_names_but,
    save_from_both_policies=_either,
)


# The primitives ---------------------------------------------------------------------------------

_call = carrying("checkpoint")

_name: Any = Primitive(
    "checkpoint_name",
    type_rule=lambda x, *, name: ArrayType(x.shape, x.dtype),
    batch=lambda size, batched, x, *, name: _name(x, name=name),
    derivatives=(Linear(lambda ct, *, name: ct),),
    value=lambda xp, x, *, name: x,
)


# The functions ----------------------------------------------------------------------------------


def checkpoint_name(x: Any, name: str) -> Any:
    """Return `x`, with a name by which a policy of `checkpoint` knows it.

    Parameters
    ----------
    x : tree
        Of arrays.
    name : str

    Returns
    -------
    tree

    Examples
    --------
    >>> import numpy as np, volta
    >>> volta.checkpoint_name(np.ones(2), "hidden")
    array([1., 1.])
    """
    return tree.map(lambda leaf: _name(leaf, name=name) if hasattr(leaf, "dtype") else leaf, x)


@suggesting
def checkpoint(
    fun: Callable[..., Any],
    *,
    prevent_cse: bool = True,
    policy: Callable[..., bool] | None = None,
    static_argnums: int | Sequence[int] = (),
) -> Callable[..., Any]:
    """Return `fun`, computed again in the reverse sweep instead of kept for it.

    Parameters
    ----------
    fun : callable
        Function of trees of arrays. Under a transform it is staged, on types; what it closes over
        is differentiated too.
    prevent_cse : bool
        Whether compiled code must not take the second computation for the first.
    policy : callable, optional
        ``policy(primitive, **params) -> bool``: whether the results of an operation are kept all
        the same; see `checkpoint_policies`. By default only the arguments are kept.
    static_argnums : int or sequence of int
        Positional arguments passed as they are, not as traced arrays.

    Returns
    -------
    callable
        Same arguments and results as `fun`.

    Raises
    ------
    TraceError
        If `fun`, under a transform, asks a traced array for a concrete value.

    References
    ----------
    A. Griewank and A. Walther, "Algorithm 799: revolve", ACM TOMS 26 (2000).

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> layer = volta.checkpoint(lambda x: F.sin(F.sin(x)))
    >>> round(float(volta.grad(lambda x: F.sum(layer(x)))(np.asarray(0.5))), 6)
    0.778644
    """
    where = f"checkpoint({name_of(fun)})"
    kept_by = _nothing if policy is None else policy

    def keeps(primitive: Any, params: dict[str, Any]) -> bool:
        return kept_by(primitive, **params)

    @functools.wraps(fun, updated=())
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        if not RUNNING.get():
            return fun(*args, **kwargs)
        dynamic, join_static = split_static(where, args, static_argnums)
        pieces = [split_modules(a) for a in dynamic]
        arrays, back, _ = apart_numbers((tuple(p for p, _ in pieces), kwargs), where)

        def flat(*arrays: Any) -> Any:
            found, named = back(arrays)
            joined = [join(a) for (_, join), a in zip(pieces, found, strict=True)]
            return fun(*join_static(joined), **named)

        body, out_spec = stage(flat, [abstract(x) for x in arrays], "checkpoint", fun)
        found = _call(*body.constants, *arrays, body=body.closed(), policy=keeps)
        return tree.unflatten(out_spec, found)

    return checkpointed
