"""Branches: `cond` and `switch`.

All branches are staged and must agree in what they return; one of them runs.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.derivatives import Carried
from volta.core.dispatch import NUMPY
from volta.core.errors import DeviceError, DTypeError, ShapeError
from volta.core.keywords import suggesting
from volta.core.primitive import Primitive
from volta.core.trace import Abstract, located, ops
from volta.core.types import DTYPES, ArrayType, typeof
from volta.core.wengert import WengertList, alternatives
from volta.transforms.arguments import apart_numbers, array_leaves, as_array, name_of, path_of
from volta.transforms.lists import (
    Split,
    batch_of,
    depends,
    fitted,
    jvp_of,
    kept,
    known,
    marked,
    moved,
    split,
    stage,
    total,
    with_inputs,
    zeros_of,
)
from volta.transforms.trace import abstract, identity

__all__ = ["cond", "switch"]

Lists = tuple[WengertList, ...]

# The primitive ----------------------------------------------------------------------------------
#
# Its operands are the number of a branch, an integer array of shape (), and what all branches take.


def _type(_index: ArrayType, *types: ArrayType, branches: Lists) -> tuple[ArrayType, ...]:
    return tuple(branches[0].types[o] for o in branches[0].outputs)


def _value(xp: Any, index: Any, *operands: Any, branches: Lists) -> tuple[Any, ...]:
    return tuple(branches[int(index)].run(*operands))


def _switch(index: Any, *operands: Any, branches: Lists) -> list[Any]:
    """Results of one branch; where its number is known, only that is looked at."""
    chosen = known(index)
    if chosen is None:
        return list(_branch(index, *operands, branches=branches))
    return branches[int(chosen)].replay(operands)


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
    return tuple(found[:n]), tuple(next(moved) if a else None for a in active), hides


def _any(masks: Any) -> list[bool]:
    return [any(m) for m in zip(*masks, strict=True)]


def _fwd(needed: Sequence[Any], index: Any, *operands: Any, branches: Lists) -> tuple[Any, Any]:
    mask = tuple(v is not None for v in needed[1:])
    n = len(branches[0].outputs)
    chosen = known(index)
    if chosen is not None:
        part = split(branches[int(chosen)], mask)
        found = part.fwd.replay(operands)
        saved = [*(operands[i] for i in part.inputs), *(found[i] for i in part.extra)]
        return tuple(found[:n]), (index, part, saved)
    # which branch will run is not known yet: all of them return what each would keep
    parts = [split(b, mask) for b in branches]
    lists = kept(branches[0], ("kept", mask, branches), lambda: _padded(parts, n))
    found = _branch(index, *operands, branches=lists)
    saved = [*(operands[i] for i in _inputs(parts)), *found[n:]]
    return tuple(found[:n]), (index, parts, saved)


def _inputs(parts: list[Split]) -> list[int]:
    """Places of the inputs that one of the branches keeps."""
    return sorted({i for p in parts for i in p.inputs})


def _extra(part: Split) -> list[Abstract]:
    """What stands for the arrays that a branch keeps, beyond the inputs."""
    return [part.fwd.places[part.fwd.outputs[i]] for i in part.extra]


def _padded(parts: list[Split], n: int) -> Lists:
    """Branches that return, after the results, what every branch keeps: zeros for the others."""

    def branch(own: Split) -> WengertList:
        def fun(*operands: Any) -> list[Any]:
            found = own.fwd.replay(operands)
            mine = [found[i] for i in own.extra]
            rest = (mine if p is own else map(zeros_of, _extra(p)) for p in parts)
            return [*found[:n], *(x for xs in rest for x in xs)]

        like = [own.fwd.places[v] for v in own.fwd.inputs]
        return stage(fun, like, "vjp", own.wengert)[0]

    return tuple(map(branch, parts))


def _bwd(
    residuals: Any, cts: tuple[Any, ...], needed: Sequence[Any], hidden: bool, *, branches: Lists
) -> tuple[list[Any], bool]:
    index, parts, saved = residuals
    places = [branches[0].places[o] for o in branches[0].outputs]
    seeds = [zeros_of(p) if ct is None else ct for p, ct in zip(places, cts, strict=True)]
    if type(parts) is Split:
        back, present, hides = parts.bwd(hidden)
        active = [s for s, a in zip(seeds, parts.active, strict=True) if a]
        made = iter(back.replay([*saved, *active]))
        found = iter([next(made) if p else None for p in present])
    else:
        key = ("back", parts[0].mask, branches, hidden)
        lists = kept(branches[0], key, lambda: _backwards(parts, hidden, places))
        found = iter(_branch(index, *saved, *seeds, branches=lists))
        hides = any(p.bwd(hidden)[2] for p in parts)
    return [None if v is None else next(found) for v in needed], hides


def _backwards(parts: list[Split], hidden: bool, seeds: list[Abstract]) -> Lists:
    """Branches of the way back; each takes what all of them kept."""
    inputs = _inputs(parts)
    body = parts[0].wengert
    operands = [body.places[v] for v in body.inputs]
    varied = [p for p, m in zip(operands, parts[0].mask, strict=True) if m]
    like = [*(operands[i] for i in inputs), *(x for p in parts for x in _extra(p)), *seeds]

    def branch(own: Split) -> WengertList:
        back, present, _ = own.bwd(hidden)

        def fun(*flat: Any) -> list[Any]:
            rest = iter(flat)
            place = {i: next(rest) for i in inputs}
            mine = [[next(rest) for _ in p.extra] for p in parts][parts.index(own)]
            cts = [c for c, a in zip(rest, own.active, strict=True) if a]
            found = iter(back.replay([*(place[i] for i in own.inputs), *mine, *cts]))
            return [next(found) if p else zeros_of(x) for x, p in zip(varied, present, strict=True)]

        return stage(fun, like, "vjp", own.wengert)[0]

    return tuple(map(branch, parts))


def _batch(
    size: int, batched: tuple[bool, ...], index: Any, *operands: Any, branches: Lists
) -> tuple[Any, ...]:
    """Where lanes go different ways, all branches run, and each lane takes its own results."""
    mask = list(batched[1:])
    spread = _any(batch_of(b, mask, size)[1] for b in branches)
    if batched[0]:
        spread = [True] * len(spread)
    lanes = tuple(batch_of(b, mask, size, spread)[0] for b in branches)
    if not batched[0]:
        return marked(_switch(index, *operands, branches=lanes), spread)
    given: tuple[Any, ...] = operands
    if not all(map(total, lanes)):
        lanes = tuple(takers(b, mask, size, k, abstract(index)) for k, b in enumerate(lanes))
        given = index, *operands
    with np.errstate(all="ignore"):  # nobody sees what a branch makes of other lanes
        results = alternatives(lanes, given)
    chosen = list(results[0])
    for k, found in enumerate(results[1:], 1):
        for i, (was, new) in enumerate(zip(chosen, found, strict=True)):
            here = ops.reshape(ops.equal(index, k), (size, *(1,) * (new.ndim - 1)))
            chosen[i] = ops.where(here, new, was)
    return tuple(chosen)


def takers(
    branch: WengertList, mask: Sequence[bool], size: int, k: int, index: Abstract
) -> WengertList:
    """List of a branch of lanes, numbered `k`, that takes first which branch each lane takes.

    What it returns for lanes that take another is anything. A branch that may refuse their operands
    sees in place of them those of a lane of its own, and does not run if it has none.
    """
    places = [branch.places[v] for v in branch.inputs]
    if total(branch) or not size:
        return with_inputs(branch, [index, *branch.inputs])

    def fun(index: Any, *operands: Any) -> list[Any]:
        here = ops.equal(index, k)
        lanes = ops.arange(size, xp=places[0].library.xp, device=places[0].device)
        source = ops.where(here, lanes, ops.argmax(ops.astype(here, DTYPES["int32"])))
        given = [
            ops.take(x, source, axis=0) if b else x for x, b in zip(operands, mask, strict=True)
        ]
        some = ops.astype(ops.any(here), DTYPES["int32"])
        return list(_branch(some, *given, branches=(nothing, branch)))

    def make() -> WengertList:
        return stage(fun, [index, *places], "vmap", branch)[0]

    results = [branch.places[o] for o in branch.outputs]
    nothing, _ = stage(lambda *_: [zeros_of(p) for p in results], places, "vmap", branch)
    return kept(branch, ("takers", tuple(mask), k, index.type), make)  # type: ignore[no-any-return]


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
        too. They must return the same structure, shapes and dtypes; a Python number takes the dtype
        of what the other returns.
    *operands : tree
        Arguments of either. Python numbers are passed as they are, or as arrays to functions that
        cannot do with numbers.

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
    its own results: a function that may refuse what other lanes hold, such as an index, gets
    operands of its own lanes only. A Python ``if`` runs each for its own lanes alone.

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
        raise located(ValueError(msg))
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
    def staged(arrays: list[Any], back: Callable[[Sequence[Any]], Any]) -> list[Any]:
        like, transform = [abstract(x) for x in arrays], where.partition("(")[0]
        return [stage(lambda *flat, f=f: f(*back(flat)), like, transform, f) for f in funs]

    arrays, back, numbers = apart_numbers(operands, where)
    try:
        found = staged(arrays, back)
    except Exception as error:
        if type(error) is DeviceError and error.place is not None:  # a branch closes over it
            arrays = moved(arrays, abstract(error.place))
        elif numbers:  # perhaps a branch asked of one what only arrays have
            arrays, spec = array_leaves(operands, where)
            back = functools.partial(tree.unflatten, spec)
        else:
            raise
        found = staged(arrays, back)
    specs = [spec for _, spec in found]
    branches = _alike([branch for branch, _ in found])
    for branch, spec, f in zip(branches[1:], specs[1:], funs[1:], strict=True):
        _check_alike(where, (branches[0], specs[0], funs[0]), (branch, spec, f))
    held = {identity(c): c for branch in branches for c in branch.constants}
    lists = tuple(_sharing(branch, held) for branch in branches)
    return tree.unflatten(specs[0], _branch(index, *held.values(), *arrays, branches=lists))


def _alike(branches: list[WengertList]) -> list[WengertList]:
    """Branches in which numbers and NumPy arrays that some return follow what the others do."""
    if len({len(b.outputs) for b in branches}) > 1:
        return branches
    wanted = []
    for i, outputs in enumerate(zip(*[b.outputs for b in branches], strict=True)):
        places = [b.places[o] for b, o in zip(branches, outputs, strict=True) if i not in b.numbers]
        away = [p for p in places if p.library is not NUMPY]
        wanted.append((*away, *places, None)[0])
    return [fitted(b, wanted) for b in branches]


def _sharing(branch: WengertList, held: dict[Any, Any]) -> WengertList:
    """A branch that takes first what any of them closes over."""
    keys = map(identity, branch.constants)
    own: dict[Any, int] = dict(zip(keys, branch.captured, strict=True))
    first = [own[key] if key in own else abstract(c) for key, c in held.items()]
    return with_inputs(branch, [*first, *branch.inputs])


def _check_alike(where: str, first: Any, other: Any) -> None:
    (one, spec, f), (two, other_spec, g) = first, other
    if spec != other_spec:
        msg = (
            f"{where}: branches must return the same structure; got {spec} from {name_of(f)} and "
            f"{other_spec} from {name_of(g)}. Have each return what the other does."
        )
        raise located(ShapeError(msg))
    for i, (a, b) in enumerate(zip(one.outputs, two.outputs, strict=True)):
        if one.types[a] != two.types[b]:
            path = path_of(spec, i).replace("input", "result", 1)
            msg = (
                f"{where}: branches must return the same types; got {one.types[a]} from "
                f"{name_of(f)} and {two.types[b]} from {name_of(g)} at {path}. Make them alike "
                "with functional.broadcast_to or astype."
            )
            raise located(ShapeError(msg))
