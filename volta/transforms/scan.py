"""Loops of known length: `scan`.

The body is staged once. A loop is one primitive that carries the body's list; its derivatives and
its lanes are loops again, over the lists of `lists`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.derivatives import Carried
from volta.core.errors import ShapeError
from volta.core.keywords import suggesting
from volta.core.primitive import Primitive
from volta.core.trace import Abstract, located, ops
from volta.core.types import SCALARS, ArrayType, promote, typeof
from volta.core.wengert import WengertList
from volta.transforms.arguments import array_leaves, name_of, path_of
from volta.transforms.lists import (
    Split,
    batch_of,
    depends,
    jvp_of,
    kept,
    split,
    stage,
    zeros_of,
)
from volta.transforms.trace import abstract

__all__ = ["common_length", "scan"]

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
    length: int,
    reverse: bool,
) -> tuple[Any, Any, bool]:
    given = _Parts([t is not None for t in tangents], consts, carries)
    whole = _closed_under(given, lambda m: depends(body, m))
    n = len(whole)
    mask = _Parts(whole, consts, carries)
    pushed = jvp_of(body, whole, [*mask.carry, *[False] * (len(body.outputs) - carries)], hidden)
    if pushed.hides and not hidden:
        wanted = [*mask.carry, *[False] * (len(body.outputs) - carries)]
        pushed = jvp_of(body, whole, wanted, True)
    inputs, outputs = pushed.list.inputs, pushed.list.outputs
    slots: list[Any] = [None] * n
    following = iter(inputs[n:])
    for i, m in enumerate(whole):
        slots[i] = next(following) if m else None
    t_in = _Parts(slots, consts, carries)
    p_in = _Parts(inputs[:n], consts, carries)
    outs = len(body.outputs)
    t_outs = iter(outputs[outs:])
    t_out = [next(t_outs) if a else None for a in pushed.active]
    arranged = kept(
        pushed.list,
        "scan",
        lambda: pushed.list.between(
            [
                *p_in.consts,
                *_present(t_in.consts),
                *p_in.carry,
                *_present(t_in.carry),
                *p_in.rest,
                *_present(t_in.rest),
            ],
            [
                *outputs[:carries],
                *_present(t_out[:carries]),
                *outputs[carries:outs],
                *_present(t_out[carries:]),
            ],
        ),
    )
    ps, ts = _Parts(primals, consts, carries), _Parts(tangents, consts, carries)
    starts = [
        (zeros_of(p) if t is None else t) if m else None
        for p, t, m in zip(ps.carry, ts.carry, mask.carry, strict=True)
    ]
    found = _scan(
        *ps.consts,
        *_present(ts.consts),
        *ps.carry,
        *_present(starts),
        *ps.rest,
        *_present(ts.rest),
        body=arranged,
        consts=consts + len(_present(ts.consts)),
        carries=carries + len(_present(starts)),
        length=length,
        reverse=reverse,
    )
    moving = len(_present(starts))
    values = (*found[:carries], *found[carries + moving : outs + moving])
    moved = iter((*found[carries : carries + moving], *found[outs + moving :]))
    return values, tuple(next(moved) if a else None for a in pushed.active), pushed.hides


def _fwd(
    needed: Sequence[Any],
    *operands: Any,
    body: WengertList,
    consts: int,
    carries: int,
    length: int,
    reverse: bool,
) -> tuple[Any, Any]:
    given = _Parts([v is not None for v in needed], consts, carries)
    whole = _closed_under(given, lambda m: depends(body, m))
    parts = split(body, whole)
    outs = len(body.outputs)
    # what is kept of a step: some of the carry, and results of the body that are not stacked anyway
    carried = [i for i in parts.inputs if consts <= i < consts + carries]
    extra = [i for i in parts.extra if i < carries or i >= outs]
    fwd = parts.fwd
    arranged = kept(
        fwd,
        "scan",
        lambda: fwd.between(
            fwd.inputs,
            [
                *fwd.outputs[:outs],
                *(fwd.inputs[i] for i in carried),
                *(fwd.outputs[i] for i in extra),
            ],
        ),
    )
    found = _scan(
        *operands, body=arranged, consts=consts, carries=carries, length=length, reverse=reverse
    )
    stacks = dict(zip(carried, found[outs : outs + len(carried)], strict=True))
    more = dict(zip(extra, found[outs + len(carried) :], strict=True))
    steady = {i: operands[i] for i in parts.inputs if i < consts or i >= consts + carries}
    residuals = (
        parts,
        [stacks[i] if i in stacks else steady[i] for i in parts.inputs],
        [more[i] if i in more else found[i] for i in parts.extra],
        [typeof(o) for o in operands[consts : consts + carries]],
        found[:outs],
    )
    return tuple(found[:outs]), residuals


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
    parts, inputs, extra, _, outs = residuals
    back = kept(
        body, ("scan back", parts.mask, hidden), lambda: _Back(parts, consts, carries, hidden)
    )
    if back.hides and not hidden:
        hidden = True
        back = kept(
            body, ("scan back", parts.mask, True), lambda: _Back(parts, consts, carries, True)
        )
    place = dict(zip(parts.inputs, inputs, strict=True))

    def filled(i: int) -> Any:
        return zeros_of(outs[i]) if cts[i] is None else cts[i]

    steady = [place[i] for i in parts.inputs if i < consts]
    sums = [zeros_of(back.places[i]) for i in back.sums]
    stacks = [
        *(place[i] for i in parts.inputs if i >= consts),
        *extra,
        *(filled(i) for i in back.stacked),
    ]
    found = _scan(
        *steady,
        *sums,
        *(filled(i) for i in back.carried),
        *stacks,
        body=back.list,
        consts=len(steady),
        carries=len(sums) + len(back.carried),
        length=length,
        reverse=not reverse,
    )
    grads: list[Any] = [None] * (consts + carries + len(body.inputs) - consts - carries)
    order = [*back.sums, *(consts + i for i in back.carried), *back.rest]
    for i, g in zip(order, found, strict=True):
        grads[i] = g if needed[i] is not None else None
    return grads, back.hides or hidden


class _Back:
    """Body of the loop back: cotangents of the carry and sums of those of what is closed over.

    Attributes
    ----------
    list : WengertList
        Takes what is kept of consts; sums, cotangents of the carry; and of a step what is kept and
        the cotangents of what was stacked. Returns sums, cotangents of the carry, and those of
        `rest`, the operands that have an element a step.
    sums, rest : list of int
        Operands of which they are.
    carried, stacked : list of int
        Results of which there are cotangents.
    """

    def __init__(self, parts: Split, consts: int, carries: int, hidden: bool) -> None:
        body = parts.wengert
        bwd, present, self.hides = parts.bwd(hidden)
        places = [bwd.places[v] for v in bwd.inputs]
        self.places = [body.places[v] for v in body.inputs]
        varied = [i for i, m in enumerate(parts.mask) if m]
        has = [i for i, p in zip(varied, present, strict=True) if p]
        seeds = [i for i, a in enumerate(parts.active) if a]
        self.sums = [i for i in varied if i < consts]
        self.carried = [i - consts for i in varied if consts <= i < consts + carries]
        self.rest = [i for i in varied if i >= consts + carries]
        self.stacked = [i for i in seeds if i >= carries]
        steady = [k for k, i in enumerate(parts.inputs) if i < consts]
        moving = [k for k in range(len(parts.kept)) if k not in steady]
        n, m = len(steady), len(self.sums) + len(self.carried)

        def step(*flat: Any) -> Any:
            held = dict(zip(steady, flat[:n], strict=True))
            totals = flat[n : n + len(self.sums)]
            carry = dict(zip(self.carried, flat[n + len(self.sums) : n + m], strict=True))
            rest = flat[n + m :]
            held |= dict(zip(moving, rest[: len(moving)], strict=True))
            stacked = dict(zip(self.stacked, rest[len(moving) :], strict=True))
            cts = [carry[i] if i < carries else stacked[i] for i in seeds]
            made = bwd.replay([*(held[k] for k in range(len(held))), *cts])
            grads = dict(zip(has, made, strict=True))

            def grad(i: int) -> Any:
                return grads[i] if i in grads else zeros_of(self.places[i])

            return [
                *(
                    ops.add(t, grads[i]) if i in grads else t
                    for t, i in zip(totals, self.sums, strict=True)
                ),
                *(grad(consts + i) for i in self.carried),
                *(grad(i) for i in self.rest),
            ]

        like = [
            *(places[k] for k in steady),
            *(self.places[i] for i in self.sums),
            *(self.places[consts + i] for i in self.carried),
            *(places[k] for k in moving),
            *(body.places[body.outputs[i]] for i in self.stacked),
        ]
        self.list, _ = stage(step, like, "vjp", body)


def _batch(
    size: int,
    batched: tuple[bool, ...],
    *operands: Any,
    body: WengertList,
    consts: int,
    carries: int,
    length: int,
    reverse: bool,
) -> tuple[Any, ...]:
    given = _Parts(list(batched), consts, carries)
    whole = _closed_under(given, lambda m: batch_of(body, m, size)[1])
    mask = _Parts(whole, consts, carries)
    outs = len(body.outputs)
    lanes, _ = batch_of(body, whole, size, [*mask.carry, *[True] * (outs - carries)])
    parts = _Parts(operands, consts, carries)
    carry = [
        ops.broadcast_to(c, (size, *c.shape)) if now and not was else c
        for c, was, now in zip(parts.carry, given.carry, mask.carry, strict=True)
    ]
    xs = [ops.moveaxis(x, 0, 1) if b else x for x, b in zip(parts.rest, mask.rest, strict=True)]
    found = _scan(
        *parts.consts,
        *carry,
        *xs,
        body=lanes,
        consts=consts,
        carries=carries,
        length=length,
        reverse=reverse,
    )
    return (
        *(
            c if m else ops.broadcast_to(c, (size, *c.shape))
            for c, m in zip(found[:carries], mask.carry, strict=True)
        ),
        *(ops.moveaxis(y, 1, 0) for y in found[carries:]),
    )


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
        dtype that the first step makes of it.
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
        If `f` asks an array that depends on its arguments for a concrete value.
    TypeError
        If there is neither `xs` nor `length`, or `f` returns no pair.

    Notes
    -----
    The reverse sweep keeps of each step what the derivatives of its operations read.

    Examples
    --------
    >>> import numpy as np, volta
    >>> total, sums = volta.scan(lambda c, x: (c + x, c + x), 0.0, np.asarray([1.0, 2.0, 3.0]))
    >>> float(total), sums.tolist()
    (6.0, [1.0, 3.0, 6.0])
    """
    where = f"scan({name_of(f)})"
    elements, xs_spec = array_leaves(xs, where)
    steps = common_length(where, elements, xs_spec, length)
    leaves, spec = tree.flatten(init)
    carry, _ = array_leaves(init, where)
    like = [_element(x) for x in elements]
    weak = [type(leaf) in SCALARS for leaf in leaves]
    carry = _in_their_library(carry, weak, like)
    n = len(carry)
    body, out_spec, carry = _body(f, where, spec, xs_spec, carry, weak, like)
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
    return tree.unflatten(spec, found[:n]), tree.unflatten(out_spec, found[n:])


def common_length(
    where: str, elements: list[Any], spec: tree.PyTreeSpec, length: int | None = None
) -> int:
    """Length of the first axis of arrays, checked to be one."""
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
        raise TypeError(msg)
    return found


def _element(x: Any) -> Abstract:
    """What stands for an element of an array along its first axis."""
    place = abstract(x)
    kind = place.type
    return Abstract(ArrayType(kind.shape[1:], kind.dtype), place.library, place.device)


def _in_their_library(carry: list[Any], weak: list[bool], like: list[Abstract]) -> list[Any]:
    """A carry in which Python numbers are arrays of the library of the others."""
    places = [abstract(c) for c, w in zip(carry, weak, strict=True) if not w] or like
    if not places or not any(weak):
        return carry
    return [
        ops.full(
            (), c.item(), dtype=typeof(c).dtype, xp=places[0].library.xp, device=places[0].device
        )
        if w
        else c
        for c, w in zip(carry, weak, strict=True)
    ]


def _body(
    f: Any,
    where: str,
    spec: tree.PyTreeSpec,
    xs_spec: tree.PyTreeSpec,
    carry: list[Any],
    weak: list[bool],
    like: list[Abstract],
) -> tuple[WengertList, tree.PyTreeSpec, list[Any]]:
    """List of a step, structure of what is stacked, and the carry in the dtypes that it keeps."""
    n = len(carry)
    found: dict[str, Any] = {}

    def step(*flat: Any) -> Any:
        result = f(tree.unflatten(spec, flat[:n]), tree.unflatten(xs_spec, flat[n:]))
        if not isinstance(result, tuple) or len(result) != 2:
            msg = f"{where}: a step must return a pair (carry, y); got {type(result).__name__}."
            raise TypeError(msg)
        after, after_spec = tree.flatten(result[0])
        if after_spec != spec:
            msg = (
                f"{where}: a step must keep the structure of the carry; got {spec} and then "
                f"{after_spec}."
            )
            raise ShapeError(msg)
        ys, found["ys"] = tree.flatten(result[1])
        return [*after, *ys]

    body, _ = stage(step, [*map(abstract, carry), *like], "scan", f)
    kinds = [body.types[o] for o in body.outputs[:n]]
    before = [typeof(c) for c in carry]
    if kinds != before and any(weak):
        carry = [
            ops.astype(c, _wider(b, k), copy=False) if w else c
            for c, b, k, w in zip(carry, before, kinds, weak, strict=True)
        ]
        after = [typeof(c) for c in carry]
        if after != before:
            return _body(f, where, spec, xs_spec, carry, [False] * n, like)
    for i, (b, k) in enumerate(zip(before, kinds, strict=True)):
        if b != k:
            path = path_of(spec, i).replace("input", "carry", 1)
            msg = (
                f"{where}: a step must keep the types of the carry; got {b} and then {k} at {path}."
            )
            raise located(ShapeError(msg))
    return body, found["ys"], carry


def _wider(before: ArrayType, after: ArrayType) -> Any:
    both = promote((before.dtype, after.dtype))
    return before.dtype if both is None else both
