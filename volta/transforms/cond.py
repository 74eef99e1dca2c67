"""Branches: `cond` and `switch`.

All branches are staged and must agree in what they return; one of them runs.
"""

from collections.abc import Callable, Sequence
from typing import Any

from volta.core import tree
from volta.core.derivatives import Carried
from volta.core.errors import DTypeError, ShapeError, TraceError
from volta.core.keywords import suggesting
from volta.core.primitive import Primitive
from volta.core.trace import located, ops
from volta.core.tracer import concrete
from volta.core.types import DTYPES, ArrayType, typeof
from volta.core.wengert import WengertList
from volta.transforms.arguments import array_leaves, as_array, name_of, path_of
from volta.transforms.lists import batch_of, depends, jvp_of, kept, split, stage, zeros_of
from volta.transforms.trace import abstract

__all__ = ["cond", "switch"]

Lists = tuple[WengertList, ...]

# The primitive ----------------------------------------------------------------------------------
#
# Its operands are the number of a branch, an integer array of shape (), and what all branches take.


def _type(_index: ArrayType, *types: ArrayType, branches: Lists) -> tuple[ArrayType, ...]:
    return tuple(branches[0].types[o] for o in branches[0].outputs)


def _value(xp: Any, index: Any, *operands: Any, branches: Lists) -> tuple[Any, ...]:
    return tuple(branches[int(index)].run(*operands))


def _switch(index: Any, *operands: Any, branches: Lists) -> tuple[Any, ...]:
    """Results of one branch; where its number is known, only that is looked at."""
    try:
        chosen = int(concrete(index, "switch", part=False))
    except TraceError:
        return _branch(index, *operands, branches=branches)  # type: ignore[no-any-return]
    return tuple(branches[chosen].replay(operands))


def _jvp(
    primals: tuple[Any, ...], tangents: tuple[Any, ...], hidden: bool, *, branches: Lists
) -> tuple[Any, Any, bool]:
    mask = [t is not None for t in tangents[1:]]
    active = _any(depends(b, mask) for b in branches)
    pushed = [jvp_of(b, mask, active, hidden) for b in branches]
    n = len(active)
    lists = tuple(p.list for p in pushed)
    found = _switch(*primals, *(t for t in tangents if t is not None), branches=lists)
    moved = iter(found[n:])
    hides = hidden or any(p.hides for p in pushed)
    return found[:n], tuple(next(moved) if a else None for a in active), hides


def _any(masks: Any) -> list[bool]:
    return [any(m) for m in zip(*masks, strict=True)]


def _fwd(needed: Sequence[Any], index: Any, *operands: Any, branches: Lists) -> tuple[Any, Any]:
    mask = tuple(v is not None for v in needed[1:])
    parts = [split(b, mask) for b in branches]
    n = len(branches[0].outputs)
    try:
        chosen = int(concrete(index, "switch", part=False))
    except TraceError:
        pass
    else:
        part = parts[chosen]
        found = part.fwd.replay(operands)
        kept_ = [*(operands[i] for i in part.inputs), *(found[i] for i in part.extra)]
        return tuple(found[:n]), (index, kept_, found[:n], chosen)
    # which branch will run is not known yet: all of them return what each would keep
    inputs = sorted({i for p in parts for i in p.inputs})
    lists = kept(branches[0], ("kept", mask, branches), lambda: _padded(parts, n))
    found = _branch(index, *operands, branches=lists)
    kept_ = [*(operands[i] for i in inputs), *found[n:]]
    return found[:n], (index, kept_, found[:n], None)


def _padded(parts: list[Any], n: int) -> Lists:
    """Branches that return, after the results, what every branch keeps: zeros for the others."""
    places = [[p.fwd.places[p.fwd.outputs[i]] for i in p.extra] for p in parts]

    def branch(own: int) -> WengertList:
        part = parts[own]

        def fun(*operands: Any) -> Any:
            found = part.fwd.replay(operands)
            mine = [found[i] for i in part.extra]
            others = ([zeros_of(p) for p in ps] for ps in places)
            rest = [mine if k == own else zeros for k, zeros in enumerate(others)]
            return [*found[:n], *(x for xs in rest for x in xs)]

        return stage(fun, [part.fwd.places[v] for v in part.fwd.inputs], "cond", part.wengert)[0]

    return tuple(map(branch, range(len(parts))))


def _bwd(
    residuals: Any, cts: tuple[Any, ...], needed: Sequence[Any], hidden: bool, *, branches: Lists
) -> tuple[list[Any], bool]:
    index, saved, outs, chosen = residuals
    mask = tuple(v is not None for v in needed[1:])
    parts = [split(b, mask) for b in branches]
    seeds = [zeros_of(o) if ct is None else ct for o, ct in zip(outs, cts, strict=True)]
    varied = [i for i, m in enumerate(mask) if m]
    grads: list[Any] = [None] * len(needed)
    if chosen is not None:
        back, present, hides = parts[chosen].bwd(hidden)
        active = [s for s, a in zip(seeds, parts[chosen].active, strict=True) if a]
        found = iter(back.replay([*saved, *active]))
        for i, p in zip(varied, present, strict=True):
            grads[i + 1] = next(found) if p else None
        return grads, hides
    key = ("back", mask, branches, hidden)
    lists, hides = kept(
        branches[0], key, lambda: _backwards(parts, mask, hidden, list(map(abstract, seeds)))
    )
    found = _branch(index, *saved, *seeds, branches=lists)
    for i, g in zip(varied, found, strict=True):
        grads[i + 1] = g
    return grads, hides


def _backwards(
    parts: list[Any], mask: tuple[bool, ...], hidden: bool, seeds: list[Any]
) -> tuple[Lists, bool]:
    """Branches of the way back; each takes what all of them kept."""
    inputs = sorted({i for p in parts for i in p.inputs})
    body = parts[0].wengert
    operands = [body.places[v] for v in body.inputs]
    extras = [[p.fwd.places[p.fwd.outputs[i]] for i in p.extra] for p in parts]
    starts = [len(inputs)]
    for e in extras:
        starts.append(starts[-1] + len(e))
    hides = False

    def branch(own: int) -> WengertList:
        nonlocal hides
        part = parts[own]
        back, present, hides_ = part.bwd(hidden)
        hides = hides or hides_

        def fun(*flat: Any) -> Any:
            place = dict(zip(inputs, flat, strict=False))
            mine = flat[starts[own] : starts[own + 1]]
            cts = [c for c, a in zip(flat[starts[-1] :], part.active, strict=True) if a]
            found = iter(back.replay([*(place[i] for i in part.inputs), *mine, *cts]))
            varied = (operands[i] for i, m in enumerate(mask) if m)
            return [next(found) if p else zeros_of(x) for x, p in zip(varied, present, strict=True)]

        like = [*(operands[i] for i in inputs), *(x for e in extras for x in e), *seeds]
        return stage(fun, like, "vjp", part.wengert)[0]

    return tuple(map(branch, range(len(parts)))), hides


def _batch(
    size: int, batched: tuple[bool, ...], index: Any, *operands: Any, branches: Lists
) -> tuple[Any, ...]:
    """Where lanes go different ways, all branches run, and each lane takes its own results."""
    mask = list(batched[1:])
    every = [True] * len(branches[0].outputs)
    lanes = tuple(batch_of(b, mask, size, every)[0] for b in branches)
    if not batched[0]:
        return _switch(index, *operands, branches=lanes)
    results = [b.replay(operands) for b in lanes]
    chosen = list(results[0])
    for k, found in enumerate(results[1:], 1):
        for i, (was, new) in enumerate(zip(chosen, found, strict=True)):
            here = ops.reshape(ops.equal(index, k), (size, *(1,) * (new.ndim - 1)))
            chosen[i] = ops.where(here, new, was)
    return tuple(chosen)


_branch = Primitive(
    "switch",
    type_rule=lambda *types, **params: _type(*types, **params),
    batch=_batch,
    derivatives=Carried(_jvp, _fwd, _bwd),
    value=_value,
    results=0,
)


# The functions ----------------------------------------------------------------------------------


@suggesting
def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    """Apply one of two functions.

    Parameters
    ----------
    pred : bool or array, shape ()
        Which: True for `true_fun`. Numbers count as True where they are not 0.
    true_fun, false_fun : callable
        Functions of `operands`. Both are staged, on types; what they close over is differentiated
        too. They must return the same structure, shapes and dtypes.
    *operands : tree
        Arguments of either.

    Returns
    -------
    tree
        What the chosen function returns.

    Raises
    ------
    ShapeError
        If `pred` is no single value, or the functions do not return the same types.
    TraceError
        If a function asks an array that depends on its arguments for a concrete value.

    Notes
    -----
    Under `vmap` with a `pred` that differs between lanes both functions run, and each lane takes
    its own results; a Python ``if`` runs each for its own lanes only.

    Examples
    --------
    >>> import numpy as np, volta
    >>> half = lambda x: volta.cond(x > 1, lambda x: x / 2, lambda x: x, x)
    >>> volta.vmap(half)(np.asarray([0.5, 3.0]))
    array([0.5, 1.5])
    """
    where = f"cond({name_of(true_fun)}, {name_of(false_fun)})"
    chosen = as_array(pred, where)
    kind = typeof(chosen)
    if kind.shape:
        msg = f"{where}: pred must be one value, shape (); got shape {kind.shape}."
        raise located(ShapeError(msg))
    if kind.dtype.kind != "bool":
        chosen = ops.not_equal(chosen, 0)
    index = ops.astype(chosen, DTYPES["int32"])
    return _chosen(where, index, (false_fun, true_fun), operands)


@suggesting
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Apply one of several functions.

    Parameters
    ----------
    index : int or array, shape (), of integer dtype
        Which; clamped to 0 … ``len(branches)`` − 1.
    branches : sequence of callable
        Functions of `operands`, as for `cond`.
    *operands : tree
        Arguments of either.

    Returns
    -------
    tree
        What the chosen function returns.

    Raises
    ------
    ShapeError
        If `index` is no single value, or the functions do not return the same types.
    DTypeError
        If `index` is no integer.
    ValueError
        If there are no branches.

    Examples
    --------
    >>> import numpy as np, volta
    >>> float(volta.switch(1, [abs, lambda x: x * x, lambda x: x**3], np.asarray(-3.0)))
    9.0
    """
    if not branches:
        msg = "switch: needs at least one branch; got none."
        raise ValueError(msg)
    where = f"switch({', '.join(map(name_of, branches))})"
    number = as_array(index, where)
    kind = typeof(number)
    if kind.shape:
        msg = f"{where}: index must be one value, shape (); got shape {kind.shape}."
        raise located(ShapeError(msg))
    if kind.dtype.kind not in ("int", "uint"):
        msg = f"{where}: index must be an integer; got {kind.dtype.name}."
        raise located(DTypeError(msg))
    number = ops.astype(ops.clip(number, 0, len(branches) - 1), DTYPES["int32"])
    return _chosen(where, number, tuple(branches), operands)


def _chosen(
    where: str, index: Any, funs: tuple[Callable[..., Any], ...], operands: tuple[Any, ...]
) -> Any:
    leaves, spec = array_leaves(operands, where)
    like = [abstract(x) for x in leaves]
    staged = [
        stage(lambda *flat, f=f: f(*tree.unflatten(spec, flat)), like, where.partition("(")[0], f)
        for f in funs
    ]
    (first, out_spec), *others = staged
    for (other, other_spec), f in zip(others, funs[1:], strict=True):
        _check_alike(where, (first, out_spec, funs[0]), (other, other_spec, f))
    # each branch takes what any of them closes over
    held = {id(c): c for branch, _ in staged for c in branch.constants}
    order = list(held)
    everything = [*map(abstract, held.values()), *like]

    def closed(branch: WengertList) -> WengertList:
        inner = branch.closed()
        own = [order.index(id(c)) for c in branch.constants]
        n = len(order)

        def fun(*flat: Any) -> Any:
            return inner.replay([*(flat[i] for i in own), *flat[n:]])

        return stage(fun, everything, where.partition("(")[0], branch)[0]

    lists = tuple(closed(b) if held else b for b, _ in staged)
    found = _branch(index, *held.values(), *leaves, branches=lists)
    return tree.unflatten(out_spec, found)


def _check_alike(where: str, first: Any, other: Any) -> None:
    (one, spec, f), (two, other_spec, g) = first, other
    if spec != other_spec:
        msg = (
            f"{where}: branches must return the same structure; got {spec} from {name_of(f)} and "
            f"{other_spec} from {name_of(g)}."
        )
        raise located(ShapeError(msg))
    for i, (a, b) in enumerate(zip(one.outputs, two.outputs, strict=True)):
        if one.types[a] != two.types[b]:
            path = path_of(spec, i).replace("input", "result", 1)
            msg = (
                f"{where}: branches must return the same types; got {one.types[a]} from "
                f"{name_of(f)} and {two.types[b]} from {name_of(g)} at {path}."
            )
            raise located(ShapeError(msg))
