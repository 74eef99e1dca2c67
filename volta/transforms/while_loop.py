"""Loops of unknown length: `while_loop`.

Reverse mode keeps the first value and the number of steps. Going back it runs the loop again in
pieces, and those in pieces, and keeps only where pieces begin: some hundred values for a million
steps.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.derivatives import Carried
from volta.core.errors import ShapeError, TraceError
from volta.core.keywords import suggesting
from volta.core.primitive import REGISTRY, Primitive
from volta.core.trace import Abstract, at_line, located, ops
from volta.core.tracer import Tracer, concrete
from volta.core.types import DTYPES, ArrayType
from volta.core.wengert import NO, WengertList
from volta.transforms.arguments import name_of
from volta.transforms.cond import takers
from volta.transforms.lists import (
    batch_of,
    depends,
    jvp_of,
    kept,
    known,
    marked,
    push,
    record,
    split,
    stage,
    total,
    with_inputs,
    zeros_of,
)
from volta.transforms.loops import begun, check_kept, same_structure
from volta.transforms.trace import abstract

__all__ = ["while_loop"]

# The primitive ----------------------------------------------------------------------------------
#
# Its operands are what the condition closes over, what the body closes over, and the value. Its
# results are the last value and the number of steps.

_COUNT = ArrayType((), DTYPES["int32"])


def _type(
    *types: ArrayType, test: WengertList, body: WengertList, tests: int, consts: int
) -> tuple[ArrayType, ...]:
    return (*(body.types[o] for o in body.outputs), _COUNT)


def _value(
    xp: Any, *operands: Any, test: WengertList, body: WengertList, tests: int, consts: int
) -> tuple[Any, ...]:
    ask, step = test.run, body.run
    asked, first = operands[:tests], operands[tests : tests + consts]
    value = list(operands[tests + consts :])
    count = 0
    while bool(ask(*asked, *value)[0]):
        value = step(*first, *value)
        count += 1
    place = body.places[body.outputs[0]]
    number = ops.full((), count, dtype=_COUNT.dtype, xp=place.library.xp, device=place.device)
    return (*value, concrete(number, "while_loop"))


def _closed_under(mask: Sequence[bool], consts: int, grown: Any) -> list[bool]:
    """Mask of the body's inputs in which the value is what it becomes after any number of steps."""
    whole = list(mask)
    while True:
        more = [a or b for a, b in zip(whole[consts:], grown(whole), strict=True)]
        if more == whole[consts:]:
            return whole
        whole = [*whole[:consts], *more]


def _varying(body: WengertList, needed: Sequence[Any], consts: int) -> list[bool]:
    """Operands of the body that vary where those that are not None do."""
    return _closed_under([v is not None for v in needed], consts, lambda m: depends(body, m))


def _jvp(
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    hidden: bool,
    *,
    test: WengertList,
    body: WengertList,
    tests: int,
    consts: int,
) -> tuple[Any, Any, bool]:
    directions = tangents[tests:]
    mask = _varying(body, directions, consts)
    pushed = jvp_of(body, mask, mask[consts:], hidden)
    if pushed.hides and not hidden:  # so are the tangents of the next step
        pushed = jvp_of(body, mask, mask[consts:], True)
    moving = [i for i, m in enumerate(mask) if m and i >= consts]
    steady = [t for t in directions[:consts] if t is not None]
    starts = [
        zeros_of(primals[tests + i]) if directions[i] is None else directions[i] for i in moving
    ]
    places = [body.places[body.inputs[i]] for i in moving]
    found = _while(
        *primals[: tests + consts],
        *steady,
        *primals[tests + consts :],
        *starts,
        test=kept(
            test, ("while", tuple(moving)), lambda: with_inputs(test, [*test.inputs, *places])
        ),
        body=kept(pushed.list, "while", lambda: _beside(pushed.list, mask, consts)),
        tests=tests,
        consts=consts + len(steady),
    )
    size = len(body.outputs)
    moved = dict(zip((i - consts for i in moving), found[size:-1], strict=True))
    return (*found[:size], found[-1]), (*map(moved.get, range(size)), None), pushed.hides


def _beside(pushed: WengertList, mask: list[bool], consts: int) -> WengertList:
    """List of a step in which tangents of what is closed over stand behind it."""
    n, fixed = len(mask), sum(mask[:consts])
    arrays, tangents = pushed.inputs[:n], pushed.inputs[n:]
    order = [*arrays[:consts], *tangents[:fixed], *arrays[consts:], *tangents[fixed:]]
    return pushed.between(order, pushed.outputs)


def _fwd(
    needed: Sequence[Any],
    *operands: Any,
    test: WengertList,
    body: WengertList,
    tests: int,
    consts: int,
) -> tuple[Any, Any]:
    out = _while(*operands, test=test, body=body, tests=tests, consts=consts)
    return out, (operands[tests:], out[-1])


def _bwd(
    residuals: Any,
    cts: tuple[Any, ...],
    needed: Sequence[Any],
    hidden: bool,
    *,
    test: WengertList,
    body: WengertList,
    tests: int,
    consts: int,
) -> tuple[list[Any], bool]:
    operands, count = residuals
    mask = tuple(_varying(body, needed[tests:], consts))
    hides = hidden or split(body, mask).bwd()[2]
    seeds = [
        zeros_of(body.places[o]) if ct is None else ct
        for o, ct, m in zip(body.outputs, cts, mask[consts:], strict=False)
        if m
    ]
    found = iter(_pull(count, *operands, *seeds, body=body, consts=consts, mask=mask, gaps=hides))
    grads = [next(found) if m else None for m in mask]
    return [
        None if v is None else g for v, g in zip(needed, [None] * tests + grads, strict=True)
    ], hides


# The way back -----------------------------------------------------------------------------------
#
# Operands are the number of steps, those of the body at the first step, and the cotangents of the
# value in `mask`; results the cotangents of the body's operands in `mask`. `gaps` says that
# cotangents have zeros where something did not look.

_PIECE = 64  # steps whose values are kept at once, and pieces that a longer stretch is cut into


def _went_back(
    count: Any,
    *operands: Any,
    body: WengertList,
    consts: int,
    mask: tuple[bool, ...],
    gaps: bool,
) -> list[Any]:
    steps = known(count)
    if steps is None:  # lanes have numbers of their own
        steps = _most(count)
        operands, body, consts, mask = _for_lanes(count, operands, body, consts, mask)
    body = kept(body, "again", lambda: body.between(body.inputs, body.outputs, NO))
    n = len(body.inputs)
    first, value, given = operands[:consts], operands[consts:n], iter(operands[n:])
    cts = [next(given) if m else None for m in mask[consts:]]
    needed = [m or None for m in mask]
    sums: list[Any] = [zeros_of(x) if m else None for x, m in zip(first, mask, strict=False)]
    scan: Any = REGISTRY["scan"]

    def options(by: int) -> dict[str, Any]:
        carries = n - consts
        return {"body": body, "consts": consts, "carries": carries, "length": by, "reverse": False}

    pending = [(value, int(steps))]  # stretches, the last to be gone back first on top
    while pending:
        start, by = pending.pop()
        if by <= _PIECE:
            kept_ = scan.pair.fwd(needed, *first, *start, **options(by))[1]
            grads, _ = scan.pair.bwd(kept_, cts, needed, gaps, **options(by))
            sums = [s if s is None else ops.add(s, g) for s, g in zip(sums, grads, strict=False)]
            cts = grads[consts:]
            continue
        piece = _PIECE
        while piece * _PIECE < by:
            piece *= _PIECE
        while by > piece:
            pending.append((start, piece))
            start, by = scan(*first, *start, **options(piece)), by - piece
        pending.append((start, by))
    return [g for g in (*sums, *cts) if g is not None]


def _most(count: Any) -> Any:
    """Most steps of any lane."""
    while type(count) is Tracer:
        if count.trace is not None and count.trace.stages:
            msg = (
                "while_loop: reverse mode that is differentiated again needs the number of steps; "
                f"got one that is not known yet, since {count.trace.name} is staged{at_line()}. "
                "Differentiate forwards first, by jvp or jacfwd, or use a loop of known length, "
                "scan or fori_loop."
            )
            raise TraceError(msg)
        count = count.value
    return _largest(count)


def _largest(count: Any) -> Any:
    """Largest of some numbers of steps; 0 if there are none."""
    return ops.zeros_like_type(count, _COUNT) if 0 in count.shape else ops.max(count)


def _for_lanes(
    count: Any, operands: tuple[Any, ...], body: WengertList, consts: int, mask: tuple[bool, ...]
) -> tuple[tuple[Any, ...], WengertList, int, tuple[bool, ...]]:
    """Operands and body of a loop back in which lanes that have arrived stand still."""
    counted = kept(body, "counted", lambda: _counted(body, consts))
    zero = zeros_of(counted.places[counted.inputs[consts + 1]])
    operands = (count, *operands[:consts], zero, *operands[consts:])
    return operands, counted, consts + 1, (False, *mask[:consts], False, *mask[consts:])


def _counted(body: WengertList, consts: int) -> WengertList:
    """Body that takes the number of steps before the rest and the step's before the value."""
    places = [body.places[v] for v in body.inputs]
    number = Abstract(_COUNT, places[0].library, places[0].device)
    like = [number, *places[:consts], number, *places[consts:]]

    def step(count: Any, *flat: Any) -> Any:
        held, i, value = flat[:consts], flat[consts], flat[consts + 1 :]
        going = ops.less(i, count)
        if not total(body):
            going, branch = ops.astype(going, _COUNT.dtype), REGISTRY["switch"]
            return [ops.add(i, 1), *branch(going, *held, *value, branches=(stands, body))]
        after = body.replay((*held, *value))
        return [ops.add(i, 1), *(ops.where(going, a, v) for a, v in zip(after, value, strict=True))]

    stands, _ = stage(lambda *flat: list(flat[consts:]), places, "while_loop", body)

    return stage(step, like, "while_loop", body)[0]


def _pull_type(
    _count: ArrayType,
    *types: ArrayType,
    body: WengertList,
    consts: int,
    mask: tuple[bool, ...],
    gaps: bool,
) -> tuple[ArrayType, ...]:
    return tuple(t for t, m in zip(types, mask, strict=False) if m)


def _pull_jvp(
    primals: tuple[Any, ...], tangents: tuple[Any, ...], hidden: bool, **params: Any
) -> tuple[Any, Any, bool]:
    return push(functools.partial(_went_back, **params), primals, tangents, hidden)


def _pull_fwd(needed: Sequence[Any], *primals: Any, **params: Any) -> tuple[Any, Any]:
    mask = [v is not None for v in needed]
    values, _, back = record(functools.partial(_went_back, **params), primals, mask)
    return tuple(values), back


def _pull_bwd(
    back: Any, cts: tuple[Any, ...], needed: Sequence[Any], hidden: bool, **params: Any
) -> tuple[list[Any], bool]:
    grads, hides = back(cts, hidden)
    found = iter(grads)
    return [None if v is None else next(found) for v in needed], hides


def _pull_batch(
    size: int,
    batched: tuple[bool, ...],
    count: Any,
    *operands: Any,
    body: WengertList,
    consts: int,
    mask: tuple[bool, ...],
    gaps: bool,
) -> tuple[Any, ...]:
    flags = list(batched[1:])
    if batched[0]:
        operands, body, consts, mask = _for_lanes(count, operands, body, consts, mask)
        count = _largest(count)
        flags = [True, *flags[: consts - 1], False, *flags[consts - 1 :]]
    n = len(body.inputs)
    values = [v or m for v, m in zip(flags[:n], mask, strict=True)]  # cotangents are the lanes' own
    values = _closed_under(values, consts, lambda m: batch_of(body, m, size)[1])
    lanes, _ = batch_of(body, values, size, values[consts:])

    def spread(x: Any, now: bool, wanted: bool) -> Any:
        return ops.broadcast_to(x, (size, *x.shape)) if wanted and not now else x

    wanted = [*values, *[True] * (len(operands) - n)]
    whole = map(spread, operands, flags, wanted)
    found = _pull(count, *whole, body=lanes, consts=consts, mask=mask, gaps=gaps)
    return tuple(found)


_pull = Primitive(
    "while_loop_back",
    type_rule=lambda *types, **params: _pull_type(*types, **params),
    batch=_pull_batch,
    derivatives=Carried(_pull_jvp, _pull_fwd, _pull_bwd),
    value=lambda xp, *operands, **params: tuple(_went_back(*operands, **params)),
    results=0,
)


# Lanes ------------------------------------------------------------------------------------------


def _batch(
    size: int,
    batched: tuple[bool, ...],
    *operands: Any,
    test: WengertList,
    body: WengertList,
    tests: int,
    consts: int,
) -> tuple[Any, ...]:
    asked, flags = list(batched[:tests]), list(batched[tests:])
    mask = _closed_under(flags, consts, lambda m: batch_of(body, m, size)[1])
    parted = batch_of(test, [*asked, *mask[consts:]], size)[1][0]
    if parted:  # lanes end at different steps: all carry the axis, and their own count
        mask = [*mask[:consts], *[True] * (len(mask) - consts)]
    ask, _ = batch_of(test, [*asked, *mask[consts:]], size)
    step, _ = batch_of(body, mask, size, mask[consts:])

    def spread(x: Any) -> Any:
        return ops.broadcast_to(x, (size, *x.shape))

    closed = operands[: tests + consts]
    value = [
        spread(x) if now and not was else x
        for x, was, now in zip(
            operands[tests + consts :], flags[consts:], mask[consts:], strict=True
        )
    ]
    if parted:
        place = step.places[step.outputs[0]]
        counts = ops.zeros_like_type(place, ArrayType((size,), _COUNT.dtype))
        any_goes, some = kept(
            step, ("together", ask), lambda: _together(ask, step, tests, consts, size, mask)
        )
        inner = {"test": any_goes, "body": some, "tests": tests, "consts": tests + consts}
        with np.errstate(all="ignore"):  # nobody sees what becomes of lanes that have arrived
            return tuple(_while(*closed[:tests], *closed, *value, counts, **inner)[:-1])
    found = _while(*closed, *value, test=ask, body=step, tests=tests, consts=consts)
    return marked(found, [*mask[consts:], False])


def _together(
    test: WengertList,
    body: WengertList,
    tests: int,
    consts: int,
    size: int,
    mask: Sequence[bool],
) -> tuple[WengertList, WengertList]:
    """Condition and body of lanes that end at different steps: those that have stand still.

    Both end with the lanes' numbers of steps; the body begins with what the condition closes over.
    `mask` says which operands of `body` have the lanes.
    """
    asked = [test.places[v] for v in test.inputs[:tests]]
    places = [body.places[v] for v in body.inputs]
    place = places[-1]
    counts = Abstract(ArrayType((size,), _COUNT.dtype), place.library, place.device)
    some = takers(body, mask, size, 1, counts)

    def any_goes(*flat: Any) -> Any:
        return ops.any(test.replay(flat[:-1])[0])

    def step(*flat: Any) -> Any:
        value, count = flat[tests + consts : -1], flat[-1]
        going = test.replay((*flat[:tests], *value))[0]
        number = ops.astype(going, _COUNT.dtype)
        after = some.replay((number, *flat[tests:-1]))
        chosen = [
            ops.where(ops.reshape(going, (size, *(1,) * (a.ndim - 1))), a, v)
            for a, v in zip(after, value, strict=True)
        ]
        return [*chosen, ops.add(count, number)]

    like = [*asked, *places[consts:], counts]
    return (
        stage(any_goes, like, "vmap", test)[0],
        stage(step, [*asked, *places, counts], "vmap", body)[0],
    )


_while = Primitive(
    "while_loop",
    type_rule=lambda *types, **params: _type(*types, **params),
    batch=_batch,
    derivatives=Carried(_jvp, _fwd, _bwd),
    value=_value,
    results=0,
)


# The function -----------------------------------------------------------------------------------


@suggesting
def while_loop(
    cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any
) -> Any:
    """Apply `body_fun` again and again, as long as `cond_fun` holds.

    Parameters
    ----------
    cond_fun : callable
        ``cond_fun(val) -> bool``, an array of shape (). Staged once, on types.
    body_fun : callable
        ``body_fun(val) -> val``: one step, staged once; what it closes over is differentiated too.
    init_val : tree
        First value; it keeps its structure, shapes and dtypes.

    Returns
    -------
    tree
        The first value for which the condition does not hold.

    Raises
    ------
    ShapeError
        If a step does not keep the value's structure or types, or the condition is no single bool.
    TraceError
        If the functions ask an array that depends on the value for a concrete value; arrays that
        they close over they may ask.

    Notes
    -----
    Differentiable in both modes. Reverse mode keeps the first value and the number of steps n, and
    runs the loop again in pieces of 64, 64², … steps: at most 64 ⌈log₆₄ n⌉ values at a time, for
    ⌈log₆₄ n⌉ further runs.

    Under `vmap` lanes that have arrived stand still until the last one has.

    The derivative of the way back needs the number of steps: second order by way of reverse mode
    raises `TraceError` in the body of another loop, a checkpoint or a `trace`. Forward mode first
    does not.

    References
    ----------
    A. Griewank, "Achieving logarithmic growth of temporal and spatial complexity in reverse
    automatic differentiation", Optimization Methods and Software 1 (1992), section 3.

    Examples
    --------
    >>> import numpy as np, volta
    >>> root = lambda a: volta.while_loop(
    ...     lambda x: abs(x * x - a) > 1e-12, lambda x: (x + a / x) / 2, np.asarray(1.0)
    ... )
    >>> round(float(root(np.asarray(2.0))), 6), round(float(volta.grad(root)(np.asarray(2.0))), 6)
    (1.414214, 0.353553)
    """
    where = f"while_loop({name_of(body_fun)})"
    leaves, spec = tree.flatten(init_val)
    if not leaves:  # nothing that could change
        if cond_fun(init_val):
            msg = f"{where}: the value must hold an array for the loop to end; got {init_val!r}."
            raise located(ShapeError(msg))
        return init_val

    def step(*flat: Any) -> list[Any]:
        return same_structure(where, "value", spec, body_fun(tree.unflatten(spec, flat)))

    value, _, body = begun(step, leaves, (), where, body_fun)
    like = [abstract(v) for v in value]
    check_kept(where, "value", spec, value, body)
    test, _ = stage(
        lambda *flat: cond_fun(tree.unflatten(spec, flat)), like, "while_loop", cond_fun
    )
    answers = [test.types[o] for o in test.outputs]
    if [a.shape for a in answers] != [()] or answers[0].dtype.kind != "bool":
        msg = (
            f"while_loop({name_of(cond_fun)}): the condition must be one bool, shape (); got "
            f"{' and '.join(map(str, answers)) or 'nothing'}. Reduce it with functional.any or all."
        )
        raise located(ShapeError(msg))
    found = _while(
        *test.constants,
        *body.constants,
        *value,
        test=test.closed(),
        body=body.closed(),
        tests=len(test.constants),
        consts=len(body.constants),
    )
    return tree.unflatten(spec, found[:-1])
