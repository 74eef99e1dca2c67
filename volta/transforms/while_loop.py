"""Loops of unknown length: `while_loop`.

Reverse mode keeps the first value and the number of steps. Going back it runs the loop again in
pieces, and those in pieces, and keeps only where pieces begin: some hundred values for a million
steps.
"""

from collections.abc import Callable, Sequence
from typing import Any

from volta.core import tree
from volta.core.derivatives import Carried
from volta.core.errors import ShapeError
from volta.core.keywords import suggesting
from volta.core.primitive import REGISTRY, Primitive
from volta.core.trace import located, ops
from volta.core.tracer import concrete
from volta.core.types import DTYPES, SCALARS, ArrayType, typeof
from volta.core.wengert import WengertList
from volta.transforms.arguments import array_leaves, name_of, path_of
from volta.transforms.jvp import jvp
from volta.transforms.lists import batch_of, depends, jvp_of, kept, stage, zeros_of
from volta.transforms.trace import abstract
from volta.transforms.vjp import vjp

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


def _grown(body: WengertList, mask: list[bool], consts: int, after: Any) -> list[bool]:
    """Mask in which the value is what it becomes after any number of steps."""
    while True:
        found = after(mask)
        grown = mask[:consts] + [a or b for a, b in zip(mask[consts:], found, strict=True)]
        if grown == mask:
            return mask
        mask = grown


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
    given = [t is not None for t in tangents[tests:]]
    mask = _grown(body, given, consts, lambda m: depends(body, m))
    pushed = jvp_of(body, mask, mask[consts:], hidden)
    if pushed.hides and not hidden:
        pushed = jvp_of(body, mask, mask[consts:], True)
    n = len(body.inputs)
    moving = [i for i in range(consts, n) if mask[i]]
    steady = [i for i in range(consts) if mask[i]]
    slot = dict(zip((i for i in range(n) if mask[i]), pushed.list.inputs[n:], strict=True))
    arranged = kept(
        pushed.list,
        "while",
        lambda: pushed.list.between(
            [
                *pushed.list.inputs[:consts],
                *(slot[i] for i in steady),
                *pushed.list.inputs[consts:n],
                *(slot[i] for i in moving),
            ],
            pushed.list.outputs,
        ),
    )
    directions = tangents[tests:]
    starts = [
        zeros_of(primals[tests + i]) if directions[i] is None else directions[i] for i in moving
    ]
    places = [body.places[body.inputs[i]] for i in moving]
    wider = kept(test, ("while", tuple(moving)), lambda: _ignoring(test, places))
    found = _while(
        *primals[: tests + consts],
        *(directions[i] for i in steady),
        *primals[tests + consts :],
        *starts,
        test=wider,
        body=arranged,
        tests=tests,
        consts=consts + len(steady),
    )
    size = n - consts
    moved = dict(zip((i - consts for i in moving), found[size:-1], strict=True))
    return (*found[:size], found[-1]), (*map(moved.get, range(size)), None), pushed.hides


def _ignoring(test: WengertList, places: Sequence[Any]) -> WengertList:
    """Condition that takes further arrays and does not look at them."""
    like = [*(test.places[v] for v in test.inputs), *places]
    n = len(test.inputs)
    return stage(lambda *flat: test.replay(flat[:n]), like, "while_loop", test)[0]


def _fwd(
    needed: Sequence[Any],
    *operands: Any,
    test: WengertList,
    body: WengertList,
    tests: int,
    consts: int,
) -> tuple[Any, Any]:
    out = _while(*operands, test=test, body=body, tests=tests, consts=consts)
    return out, (operands[tests:], out[-1], out[:-1])


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
    operands, count, outs = residuals
    given = [v is not None for v in needed[tests:]]
    mask = _grown(body, given, consts, lambda m: depends(body, m))
    seeds = [
        (zeros_of(o) if ct is None else ct)
        for o, ct, m in zip(outs, cts, mask[consts:], strict=False)
        if m
    ]
    found = iter(_pull(count, *operands, *seeds, body=body, consts=consts, mask=tuple(mask)))
    grads = [next(found) if m else None for m in mask]
    return [None] * tests + [g if n else None for g, n in zip(grads, given, strict=True)], hidden


# The way back -----------------------------------------------------------------------------------
#
# Operands are the number of steps, those of the body at the first step, and the cotangents of the
# value in `mask`; results the cotangents of the body's operands in `mask`.

_PIECE = 64  # steps whose values are kept at once, and pieces that a longer stretch is cut into


def _went_back(
    count: Any, *operands: Any, body: WengertList, consts: int, mask: tuple[bool, ...]
) -> list[Any]:
    steps = int(concrete(count, "while_loop (reverse mode)"))
    n = len(body.inputs)
    first, value, cts = operands[:consts], operands[consts:n], list(operands[n:])
    sums: list[Any] = [None] * sum(mask[:consts])
    scan: Any = REGISTRY["scan"]

    def ahead(value: Sequence[Any], by: int) -> Any:
        options = {"consts": consts, "carries": n - consts, "length": by, "reverse": False}
        return scan(*first, *value, body=body, **options)

    def back(value: Sequence[Any], by: int) -> None:
        """Take the cotangents from the end of a stretch to its beginning."""
        nonlocal cts
        varied = [x for x, m in zip((*first, *value), mask, strict=True) if m]

        def stretch(*varied: Any) -> Any:
            rest = iter(varied)
            whole = [next(rest) if m else x for x, m in zip((*first, *value), mask, strict=True)]
            options = {"consts": consts, "carries": n - consts, "length": by, "reverse": False}
            out = scan(*whole, body=body, **options)
            return [o for o, m in zip(out, mask[consts:], strict=True) if m]

        grads = vjp(stretch, *varied)[1](cts)
        shares, cts = grads[: len(sums)], list(grads[len(sums) :])
        for i, share in enumerate(shares):
            sums[i] = share if sums[i] is None else ops.add(sums[i], share)

    pending = [(value, steps)]  # stretches, the last to be gone back first on top
    while pending:
        start, by = pending.pop()
        if by <= _PIECE:
            if by:
                back(start, by)
            continue
        piece = _PIECE
        while piece * _PIECE < by:
            piece *= _PIECE
        while by > piece:
            pending.append((start, piece))
            start, by = ahead(start, piece), by - piece
        pending.append((start, by))
    zeros = [zeros_of(x) for x, m in zip(first, mask, strict=False) if m]
    return [*(z if s is None else s for s, z in zip(sums, zeros, strict=True)), *cts]


def _pull_type(
    _count: ArrayType, *types: ArrayType, body: WengertList, consts: int, mask: tuple[bool, ...]
) -> tuple[ArrayType, ...]:
    return tuple(t for t, m in zip(types, mask, strict=False) if m)


def _pull_jvp(
    primals: tuple[Any, ...], tangents: tuple[Any, ...], hidden: bool, **params: Any
) -> tuple[Any, Any, bool]:
    moving = [i for i, t in enumerate(tangents) if t is not None]

    def fun(*varied: Any) -> Any:
        held = dict(zip(moving, varied, strict=True))
        return _went_back(*(held.get(i, p) for i, p in enumerate(primals)), **params)

    directions = [tangents[i] for i in moving]
    out, t = jvp(fun, [primals[i] for i in moving], directions)
    return tuple(out), tuple(t), hidden


def _pull_fwd(needed: Sequence[Any], *primals: Any, **params: Any) -> tuple[Any, Any]:
    moving = [i for i, v in enumerate(needed) if v is not None]

    def fun(*varied: Any) -> Any:
        held = dict(zip(moving, varied, strict=True))
        return _went_back(*(held.get(i, p) for i, p in enumerate(primals)), **params)

    out, pull = vjp(fun, *(primals[i] for i in moving))
    return tuple(out), (pull, moving, out)


def _pull_bwd(
    residuals: Any, cts: tuple[Any, ...], needed: Sequence[Any], hidden: bool, **params: Any
) -> tuple[list[Any], bool]:
    pull, moving, out = residuals
    grads = pull([zeros_of(o) if ct is None else ct for o, ct in zip(out, cts, strict=True)])
    found = dict(zip(moving, grads, strict=True))
    return [found.get(i) for i in range(len(needed))], hidden


def _pull_batch(
    size: int,
    batched: tuple[bool, ...],
    count: Any,
    *operands: Any,
    body: WengertList,
    consts: int,
    mask: tuple[bool, ...],
) -> tuple[Any, ...]:
    """Lanes take as many steps as the slowest; those that have arrived stand still."""
    n = len(body.inputs)
    flags = list(batched[1:])
    if not batched[0]:
        values = _grown(body, flags[:n], consts, lambda m: batch_of(body, m, size)[1])
        lanes = batch_of(body, values, size, values[consts:])[0]
        still, extra = operands, 0
    else:
        counted = kept(body, "counted", lambda: _counted(body, consts))
        flags = [True, *flags[:consts], False, *flags[consts:]]
        values = _grown(
            counted, flags[: n + 2], consts + 1, lambda m: batch_of(counted, m, size)[1]
        )
        lanes = batch_of(counted, values, size, values[consts + 1 :])[0]
        zero = ops.zeros_like_type(counted.places[counted.inputs[consts + 1]], _COUNT)
        still = (count, *operands[:consts], zero, *operands[consts:])
        count, extra = ops.max(count), 1
        consts, n = consts + 1, n + 2
        mask = (False, *mask[: consts - 1], False, *mask[consts - 1 :])
    values = [v or m for v, m in zip(values, mask, strict=True)]  # each lane has its own cotangent
    lanes = batch_of(counted if extra else body, values, size, values[consts:])[0]

    def spread(x: Any, now: bool, wanted: bool) -> Any:
        return ops.broadcast_to(x, (size, *x.shape)) if wanted and not now else x

    whole = [spread(x, f, v) for x, f, v in zip(still[:n], flags, values, strict=False)]
    cts = [spread(ct, f, True) for ct, f in zip(still[n:], flags[n:], strict=True)]
    return tuple(_pull(count, *whole, *cts, body=lanes, consts=consts, mask=mask))


def _counted(body: WengertList, consts: int) -> WengertList:
    """Body that takes the number of steps before the rest and the step's before the value."""
    places = [body.places[v] for v in body.inputs]
    first = places[0]
    number = type(first)(_COUNT, first.library, first.device)
    like = [number, *places[:consts], number, *places[consts:]]

    def step(count: Any, *flat: Any) -> Any:
        held, i, value = flat[:consts], flat[consts], flat[consts + 1 :]
        after = body.replay((*held, *value))
        going = i < count
        return [i + 1, *(ops.where(going, a, v) for a, v in zip(after, value, strict=True))]

    return stage(step, like, "while_loop", body)[0]


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
    mask = _grown(body, flags, consts, lambda m: batch_of(body, m, size)[1])
    whole, together = batch_of(test, [*asked, *mask[consts:]], size)
    if together[0]:  # lanes end at different steps: all carry the axis, and their own count
        mask = mask[:consts] + [True] * (len(mask) - consts)
        whole, _ = batch_of(test, [*asked, *mask[consts:]], size)
    lanes, _ = batch_of(body, mask, size, mask[consts:])
    value = [
        ops.broadcast_to(x, (size, *x.shape)) if now and not was else x
        for x, was, now in zip(
            operands[tests + consts :], flags[consts:], mask[consts:], strict=True
        )
    ]
    first = operands[tests : tests + consts]
    if not together[0]:
        found = _while(
            *operands[:tests], *first, *value, test=whole, body=lanes, tests=tests, consts=consts
        )
        spread = [*mask[consts:], False]
        return tuple(
            o if s else ops.broadcast_to(o, (size, *o.shape))
            for o, s in zip(found, spread, strict=True)
        )
    ask, step = kept(
        lanes, ("together", whole), lambda: _together(whole, lanes, tests, consts, size)
    )
    counts = ops.zeros_like_type(lanes.places[lanes.outputs[0]], ArrayType((size,), _COUNT.dtype))
    found = _while(
        *operands[:tests],
        *operands[:tests],
        *first,
        *value,
        counts,
        test=ask,
        body=step,
        tests=tests,
        consts=tests + consts,
    )
    return tuple(found[:-1])


def _together(
    test: WengertList, body: WengertList, tests: int, consts: int, size: int
) -> tuple[WengertList, WengertList]:
    """Condition and body of lanes that end at different steps: those that have stand still."""
    asked = [test.places[v] for v in test.inputs[:tests]]
    places = [body.places[v] for v in body.inputs]
    first = places[-1]
    counts = type(first)(ArrayType((size,), _COUNT.dtype), first.library, first.device)
    value = [*places[consts:], counts]

    def any_goes(*flat: Any) -> Any:
        return ops.any(test.replay(flat[:-1])[0])

    def step(*flat: Any) -> Any:
        held, count = flat[tests + consts : -1], flat[-1]
        going = test.replay((*flat[:tests], *held))[0]
        after = body.replay((*flat[tests : tests + consts], *held))
        chosen = [
            ops.where(ops.reshape(going, (size, *(1,) * (a.ndim - 1))), a, v)
            for a, v in zip(after, held, strict=True)
        ]
        return [*chosen, count + ops.astype(going, count.dtype)]

    return (
        stage(any_goes, [*asked, *value], "vmap", test)[0],
        stage(step, [*asked, *places[:consts], *value], "vmap", body)[0],
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
        If the functions ask an array that depends on the value for a concrete value.

    Notes
    -----
    Differentiable in both modes. Reverse mode keeps the first value and the number of steps n, and
    runs the loop again in pieces of 64, 64², … steps: at most 64 ⌈log₆₄ n⌉ values at a time, for
    ⌈log₆₄ n⌉ further runs.

    Under `vmap` lanes that have arrived stand still until the last one has.

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
    value, _ = array_leaves(init_val, where)
    weak = [type(leaf) in SCALARS for leaf in leaves]
    body = _body(body_fun, where, spec, value)
    kinds = [body.types[o] for o in body.outputs]
    if any(weak) and kinds != [typeof(v) for v in value]:  # numbers take the dtype that they get
        value = [
            ops.astype(v, k.dtype, copy=False) if w else v
            for v, k, w in zip(value, kinds, weak, strict=True)
        ]
        body = _body(body_fun, where, spec, value)
        kinds = [body.types[o] for o in body.outputs]
    for i, (v, k) in enumerate(zip(value, kinds, strict=True)):
        if typeof(v) != k:
            path = path_of(spec, i).replace("input", "value", 1)
            msg = (
                f"{where}: a step must keep the types of the value; got {typeof(v)} and then {k} "
                f"at {path}."
            )
            raise located(ShapeError(msg))
    if not value:
        msg = f"{where}: the value must hold an array; got {init_val!r}."
        raise ShapeError(msg)

    def asked(*flat: Any) -> Any:
        return cond_fun(tree.unflatten(spec, flat))

    test, _ = stage(asked, [abstract(v) for v in value], "while_loop", cond_fun)
    answers = [test.types[o] for o in test.outputs]
    if [a.shape for a in answers] != [()] or answers[0].dtype.kind != "bool":
        msg = (
            f"while_loop({name_of(cond_fun)}): the condition must be one bool, shape (); got "
            f"{' and '.join(map(str, answers)) or 'nothing'}."
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


def _body(body_fun: Any, where: str, spec: tree.PyTreeSpec, value: list[Any]) -> WengertList:
    def step(*flat: Any) -> Any:
        after, after_spec = tree.flatten(body_fun(tree.unflatten(spec, flat)))
        if after_spec != spec:
            msg = (
                f"{where}: a step must keep the structure of the value; got {spec} and then "
                f"{after_spec}."
            )
            raise ShapeError(msg)
        return after

    return stage(step, [abstract(v) for v in value], "while_loop", body_fun)[0]
