"""Loops of known length: `scan`.

The body is staged once. A loop is one primitive that carries the body's list; its derivatives and
its lanes are loops again, over the lists of `lists`.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.derivatives import Carried
from volta.core.errors import ShapeError
from volta.core.keywords import suggesting
from volta.core.primitive import Primitive
from volta.core.trace import located, ops
from volta.core.types import ArrayType
from volta.core.wengert import WengertList
from volta.transforms.arguments import array_leaves, name_of, path_of
from volta.transforms.lists import (
    Pushed,
    Split,
    batch_of,
    depends,
    hoisted,
    jvp_of,
    kept,
    marked,
    split,
    stage,
    zeros_of,
)
from volta.transforms.loops import begun, check_kept, same_structure

__all__ = ["common_length", "run_steps", "scan"]

# The primitive ----------------------------------------------------------------------------------
#
# Its operands are what the body closes over, the first carry, and arrays of one element a step. The
# body takes the same, with one element of each of those; it returns the next carry and what is
# stacked. `consts` and `carries` say how many there are of the first two.


def _type(
    *types: ArrayType, body: WengertList, consts: int, carries: int, length: int, reverse: bool
) -> tuple[ArrayType, ...]:
    outs = [body.types[o] for o in body.outputs]
    stacked = [ArrayType((length, *t.shape), t.dtype) for t in outs[carries:]]
    return (*outs[:carries], *stacked)


def _value(
    xp: Any,
    *operands: Any,
    body: WengertList,
    consts: int,
    carries: int,
    length: int,
    reverse: bool,
) -> tuple[Any, ...]:
    step = body.run
    first = operands[:consts]
    carry = list(operands[consts : consts + carries])
    xs = operands[consts + carries :]
    order = range(length - 1, -1, -1) if reverse else range(length)
    stacks: list[list[Any]] = [[] for _ in body.outputs[carries:]]
    for i in order:
        out = step(*first, *carry, *[x[i, ...] for x in xs])
        carry = out[:carries]
        for stack, y in zip(stacks, out[carries:], strict=True):
            stack.append(y)
    return (
        *carry,
        *(
            _stacked(xp, s, body, o, reverse)
            for s, o in zip(stacks, body.outputs[carries:], strict=True)
        ),
    )


def _stacked(xp: Any, parts: list[Any], body: WengertList, output: Any, reverse: bool) -> Any:
    if not parts:
        place = body.places[output]
        return ops.zeros_like_type(place, ArrayType((0, *place.type.shape), place.type.dtype))
    if reverse:
        parts.reverse()
    return np.asarray(parts) if type(parts[0]) is np.ndarray else xp.stack(parts)


class _Parts:
    """Operands, results or what belongs to them, by their part in the loop."""

    def __init__(self, values: Sequence[Any], consts: int, carries: int) -> None:
        self.consts = list(values[:consts])
        self.carry = list(values[consts : consts + carries])
        self.rest = list(values[consts + carries :])


def _present(values: Sequence[Any]) -> list[Any]:
    return [v for v in values if v is not None]


def _closed_under(mask: _Parts, grown: Callable[[list[bool]], Sequence[bool]]) -> list[bool]:
    """Mask of the body's inputs in which a carry is what it becomes after any number of steps."""
    carry = mask.carry
    while True:
        whole = [*mask.consts, *carry, *mask.rest]
        after = grown(whole)[: len(carry)]
        more = [a or b for a, b in zip(carry, after, strict=True)]
        if more == carry:
            return whole
        carry = more


def _jvp(
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    hidden: bool,
    *,
    body: WengertList,
    consts: int,
    carries: int,
    **loop: Any,
) -> tuple[Any, Any, bool]:
    given = _Parts([t is not None for t in tangents], consts, carries)
    whole = _closed_under(given, lambda m: depends(body, m))
    moves = _Parts(whole, consts, carries).carry
    outs = len(body.outputs)
    wanted = [*moves, *[False] * (outs - carries)]
    pushed = jvp_of(body, whole, wanted, hidden)
    if pushed.hides and not hidden:  # so are the tangents of the next step
        pushed = jvp_of(body, whole, wanted, True)
    both = kept(pushed.list, "scan", lambda: _beside(pushed, whole, consts, carries))
    ps, ts = _Parts(primals, consts, carries), _Parts(tangents, consts, carries)
    starts = [
        zeros_of(p) if t is None else t
        for p, t, m in zip(ps.carry, ts.carry, moves, strict=True)
        if m
    ]
    found = _scan(
        *(*ps.consts, *_present(ts.consts)),
        *(*ps.carry, *starts),
        *(*ps.rest, *_present(ts.rest)),
        body=both,
        consts=consts + len(_present(ts.consts)),
        carries=carries + len(starts),
        **loop,
    )
    ends = carries + len(starts)
    values = (*found[:carries], *found[ends : ends + outs - carries])
    moved = iter((*found[carries:ends], *found[ends + outs - carries :]))
    return values, tuple(next(moved) if a else None for a in pushed.active), pushed.hides


def _beside(pushed: Pushed, mask: list[bool], consts: int, carries: int) -> WengertList:
    """List of a step in which the tangents of each part stand behind the part."""
    inputs, outputs = pushed.list.inputs, pushed.list.outputs
    n, outs = len(mask), len(pushed.active)
    following = iter(inputs[n:])
    p_in = _Parts(inputs[:n], consts, carries)
    t_in = _Parts([next(following) if m else None for m in mask], consts, carries)
    following = iter(outputs[outs:])
    t_out = [next(following) if a else None for a in pushed.active]
    return pushed.list.between(
        [
            *(*p_in.consts, *_present(t_in.consts)),
            *(*p_in.carry, *_present(t_in.carry)),
            *(*p_in.rest, *_present(t_in.rest)),
        ],
        [
            *(*outputs[:carries], *_present(t_out[:carries])),
            *(*outputs[carries:outs], *_present(t_out[carries:])),
        ],
    )


def _fwd(
    needed: Sequence[Any],
    *operands: Any,
    body: WengertList,
    consts: int,
    carries: int,
    **loop: Any,
) -> tuple[Any, Any]:
    given = _Parts([v is not None for v in needed], consts, carries)
    parts = split(body, _closed_under(given, lambda m: depends(body, m)))
    outs, last = len(body.outputs), consts + carries
    # what is kept of a step: some of the carry, and results of the body that are not stacked anyway
    before = [i for i in parts.inputs if consts <= i < last]
    extra = [i for i in parts.extra if i < carries or i >= outs]
    fwd = parts.fwd
    inputs, outputs = fwd.inputs, fwd.outputs
    stacking = [
        *outputs[:outs],
        *(inputs[i] for i in before),
        *(outputs[i] for i in extra),
    ]
    arranged = kept(fwd, "scan", lambda: fwd.between(inputs, stacking))
    found = _scan(*operands, body=arranged, consts=consts, carries=carries, **loop)
    stacks = dict(zip(before, found[outs:], strict=False))
    made = dict(enumerate(found[:outs])) | dict(
        zip(extra, found[outs + len(before) :], strict=True)
    )
    held = [stacks[i] if i in stacks else operands[i] for i in parts.inputs]
    return tuple(found[:outs]), (parts, [*held, *(made[i] for i in parts.extra)])


def _bwd(
    residuals: Any,
    cts: tuple[Any, ...],
    needed: Sequence[Any],
    hidden: bool,
    *,
    body: WengertList,
    consts: int,
    carries: int,
    length: int,
    reverse: bool,
) -> tuple[list[Any], bool]:
    parts, held = residuals
    back = _back(parts, consts, carries, hidden)
    if back.hides and not hidden:  # so are the cotangents of the step before
        back = _back(parts, consts, carries, True)

    def ct(i: int) -> Any:
        """Cotangent of a result."""
        if cts[i] is not None:
            return cts[i]
        place = body.places[body.outputs[i]]
        kind = place.type
        shape = kind.shape if i < carries else (length, *kind.shape)
        return ops.zeros_like_type(place, ArrayType(shape, kind.dtype))

    found = _scan(
        *(held[k] for k in back.steady),
        *(zeros_of(body.places[body.inputs[i]]) for i in back.sums),
        *(ct(i - consts) for i in back.carried),
        *(held[k] for k in back.moving),
        *(ct(i) for i in back.stacked),
        body=back.list,
        consts=len(back.steady),
        carries=len(back.sums) + len(back.carried),
        length=length,
        reverse=not reverse,
    )
    grads: dict[int, Any] = dict(zip((*back.sums, *back.carried, *back.rest), found, strict=True))
    return [None if v is None else grads[i] for i, v in enumerate(needed)], back.hides or hidden


def _back(parts: Split, consts: int, carries: int, hidden: bool) -> "_Back":
    return kept(parts.fwd, ("scan", hidden), lambda: _Back(parts, consts, carries, hidden))  # type: ignore[no-any-return]


class _Back:
    """Body of the loop back: cotangents of the carry and sums of those of what is closed over.

    Attributes
    ----------
    list : WengertList
        Takes what is kept of consts; sums, cotangents of the carry; and of a step what is kept and
        the cotangents of what was stacked. Returns sums, cotangents of the carry, and those of
        `rest`, the operands that have an element a step.
    sums, carried, rest : list of int
        Operands of which they are.
    stacked : list of int
        Results that were stacked and have a cotangent.
    steady, moving : list of int
        Places among what is kept: of consts, and of what differs between steps.
    """

    def __init__(self, parts: Split, consts: int, carries: int, hidden: bool) -> None:
        body, last = parts.wengert, consts + carries
        self.bwd, present, self.hides = parts.bwd(hidden)
        varied = [i for i, m in enumerate(parts.mask) if m]
        self.sums = [i for i in varied if i < consts]
        self.carried = [i for i in varied if consts <= i < last]
        self.rest = [i for i in varied if i >= last]
        self.has = [i for i, p in zip(varied, present, strict=True) if p]
        self.seeds = [i for i, a in enumerate(parts.active) if a]
        self.stacked = [i for i in self.seeds if i >= carries]
        self.steady = [k for k, i in enumerate(parts.inputs) if i < consts]
        self.moving = [k for k in range(len(parts.kept)) if k not in self.steady]
        self.places = [body.places[v] for v in body.inputs]
        held = [self.bwd.places[v] for v in self.bwd.inputs]
        like = [
            *(held[k] for k in self.steady),
            *(self.places[i] for i in (*self.sums, *self.carried)),
            *(held[k] for k in self.moving),
            *(body.places[body.outputs[i]] for i in self.stacked),
        ]
        self.consts = consts
        self.list, _ = stage(self.step, like, "vjp", body)

    def step(self, *flat: Any) -> list[Any]:
        """One step back."""
        rest = iter(flat)
        held = {k: next(rest) for k in self.steady}
        sums = {i: next(rest) for i in self.sums}
        cts = {i - self.consts: next(rest) for i in self.carried}
        held |= {k: next(rest) for k in self.moving}
        cts |= {i: next(rest) for i in self.stacked}
        kept_ = [held[k] for k in range(len(held))]
        grads = dict(
            zip(self.has, self.bwd.replay([*kept_, *(cts[i] for i in self.seeds)]), strict=True)
        )
        totals = [ops.add(t, grads[i]) if i in grads else t for i, t in sums.items()]
        own = [
            grads[i] if i in grads else zeros_of(self.places[i])
            for i in (*self.carried, *self.rest)
        ]
        return [*totals, *own]


def _batch(
    size: int,
    batched: tuple[bool, ...],
    *operands: Any,
    body: WengertList,
    consts: int,
    carries: int,
    **loop: Any,
) -> tuple[Any, ...]:
    given = _Parts(list(batched), consts, carries)
    whole = _closed_under(given, lambda m: batch_of(body, m, size)[1])
    mask = _Parts(whole, consts, carries)
    wanted = [*mask.carry, *[False] * (len(body.outputs) - carries)]
    lanes, spreads = batch_of(body, whole, size, wanted)
    parts = _Parts(operands, consts, carries)

    def spread(x: Any) -> Any:
        return ops.broadcast_to(x, (size, *x.shape))

    found = _scan(
        *parts.consts,
        *(
            spread(c) if now and not was else c
            for c, was, now in zip(parts.carry, given.carry, mask.carry, strict=True)
        ),
        *(ops.moveaxis(x, 0, 1) if b else x for x, b in zip(parts.rest, mask.rest, strict=True)),
        body=lanes,
        consts=consts,
        carries=carries,
        **loop,
    )
    stacked = zip(found[carries:], spreads[carries:], strict=True)
    moved = (ops.moveaxis(y, 1, 0) if s else y for y, s in stacked)
    return marked((*found[:carries], *moved), spreads)


_scan = Primitive(
    "scan",
    type_rule=lambda *types, **params: _type(*types, **params),
    batch=_batch,
    derivatives=Carried(_jvp, _fwd, _bwd),
    value=_value,
    results=0,
)


# The functions ----------------------------------------------------------------------------------


@suggesting
def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Any, Any]:
    """Carry a value along the leading axis of arrays, and stack what each step returns.

    Parameters
    ----------
    f : callable
        ``f(carry, x) -> (carry, y)``: one step. It is staged once, on types; what it closes over
        is differentiated too.
    init : tree
        First carry. The carry keeps its structure, shapes and dtypes; a Python number takes the
        dtype that the first step makes of it, and one that stays a number that of the floating
        arrays which the step returns.
    xs : tree, optional
        Of arrays of one length, shape (length, ...); a step gets one element of each.
    length : int, optional
        Number of steps; needed where there is no `xs`.
    reverse : bool
        Whether to go from the last element to the first; results are stacked in the order of `xs`.
    unroll : int
        Steps to write out in compiled code; makes no difference to results.

    Returns
    -------
    carry : tree
        The last carry.
    ys : tree
        What the steps returned, stacked along a new leading axis.

    Raises
    ------
    ShapeError
        If lengths differ, or a step does not keep the carry's structure or types.
    TraceError
        If `f` asks an array that depends on its arguments for a concrete value; arrays that it
        closes over it may ask.
    TypeError
        If there is neither `xs` nor `length`, `length` is no integer, or `f` returns no pair.
    ValueError
        If `length` is negative.

    Notes
    -----
    The reverse sweep keeps of each step what the derivatives of its operations read. What a step
    computes of closed-over arrays alone is computed once, before the loop.

    Examples
    --------
    >>> import numpy as np, volta
    >>> total, sums = volta.scan(lambda c, x: (c + x, c + x), 0.0, np.asarray([1.0, 2.0, 3.0]))
    >>> float(total), sums.tolist()
    (6.0, [1.0, 3.0, 6.0])
    """
    return run_steps(f"scan({name_of(f)})", f, f, init, xs, length, reverse)


def run_steps(
    where: str,
    name: Any,
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any,
    length: int | None = None,
    reverse: bool = False,
    what: str = "carry",
) -> tuple[Any, Any]:
    """What `scan` does, for messages that speak of `where`, of `name` and of `what` is carried."""
    elements, xs_spec = array_leaves(xs, where)
    steps = common_length(where, elements, xs_spec, length)
    leaves, spec = tree.flatten(init)
    step = _Step(f, where, what, spec, xs_spec)
    carry, elements, body = begun(step, leaves, elements, where, name)
    n = len(carry)
    check_kept(where, what, spec, carry, body)
    if steps:  # of no step there is no derivative either
        body = hoisted(body)
    found = _scan(
        *body.constants,
        *carry,
        *elements,
        body=body.closed(),
        consts=len(body.constants),
        carries=n,
        length=steps,
        reverse=reverse,
    )
    return tree.unflatten(spec, found[:n]), tree.unflatten(step.ys_spec, found[n:])


def common_length(
    where: str, elements: list[Any], spec: tree.PyTreeSpec, length: int | None = None
) -> int:
    """Length of the first axis of arrays, checked to be one."""
    if length is not None and not hasattr(length, "__index__"):
        msg = f"{where}: length must be an integer; got {length!r}."
        raise located(TypeError(msg))
    length = length if length is None else operator.index(length)
    if length is not None and length < 0:
        msg = f"{where}: length must be at least 0; got {length}."
        raise located(ValueError(msg))
    found = length
    first = "length"
    for i, x in enumerate(elements):
        path = path_of(spec, i).replace("input", "xs", 1)
        if not x.shape:
            msg = f"{where}: arrays of xs must have a leading axis; got shape () at {path}."
            raise ShapeError(msg)
        if found is None:
            found, first = int(x.shape[0]), path
        elif x.shape[0] != found:
            msg = (
                f"{where}: xs must have one length; got {found} for {first} and {x.shape[0]} at "
                f"{path}."
            )
            raise ShapeError(msg)
    if found is None:
        msg = f"{where}: needs arrays to scan over, or a length; got neither."
        raise located(TypeError(msg))
    return found


class _Step:
    """A step on flat lists: of the leaves of the carry and of x, to those of the carry and of y."""

    def __init__(
        self, f: Any, where: str, what: str, spec: tree.PyTreeSpec, xs_spec: tree.PyTreeSpec
    ) -> None:
        self.f, self.where, self.what = f, where, what
        self.spec, self.xs_spec = spec, xs_spec
        self.ys_spec: Any = None

    def __call__(self, *flat: Any) -> list[Any]:
        n = self.spec.num_leaves
        result = self.f(tree.unflatten(self.spec, flat[:n]), tree.unflatten(self.xs_spec, flat[n:]))
        if not isinstance(result, tuple) or len(result) != 2:
            got = (
                f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
            )
            msg = f"{self.where}: a step must return a pair (carry, y); got {got}."
            raise located(TypeError(msg))
        ys, self.ys_spec = tree.flatten(result[1])
        return [*same_structure(self.where, self.what, self.spec, result[0]), *ys]
