"""Primitives that run a list, and are differentiated and batched as their list is.

`checkpoint` and `jit` are such: they differ in what of the list is kept for the way back, and in
what runs it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from volta.core.derivatives import Carried
from volta.core.primitive import Primitive
from volta.core.wengert import WengertList
from volta.transforms.lists import Policy, batch_of, jvp_of, marked, split, zeros_of

__all__ = ["carrying"]


def _run(body: WengertList) -> Callable[..., Any]:
    return body.run


def carrying(name: str, run: Callable[[WengertList], Callable[..., Any]] = _run) -> Primitive:
    """Primitive of a name, of as many operands as the list `body` among its parameters has inputs.

    Parameters
    ----------
    name : str
    run : callable
        From a list to the function of its inputs that returns a list of its outputs.

    Returns
    -------
    Primitive
        Its parameter `policy` says of which operations the way back keeps the results; see `split`.
    """

    def jvp(
        primals: tuple[Any, ...],
        tangents: tuple[Any, ...],
        hidden: bool,
        *,
        body: WengertList,
        policy: Policy | None,
    ) -> tuple[Any, Any, bool]:
        pushed = jvp_of(body, [t is not None for t in tangents], (), hidden)
        directions = [t for t in tangents if t is not None]
        found = primitive.call(*primals, *directions, body=pushed.list, policy=policy)
        n = len(body.outputs)
        moved = iter(found[n:])
        return found[:n], tuple(next(moved) if a else None for a in pushed.active), pushed.hides

    def fwd(
        needed: Sequence[Any], *operands: Any, body: WengertList, policy: Policy | None
    ) -> tuple[Any, Any]:
        parts = split(body, [v is not None for v in needed], policy)
        found = primitive.call(*operands, body=parts.fwd, policy=policy)
        saved = [*(operands[i] for i in parts.inputs), *(found[i] for i in parts.extra)]
        n = len(body.outputs)
        return tuple(found[:n]), (parts, saved)

    def bwd(
        residuals: Any,
        cts: tuple[Any, ...],
        needed: Sequence[Any],
        hidden: bool,
        *,
        body: WengertList,
        policy: Policy | None,
    ) -> tuple[list[Any], bool]:
        parts, saved = residuals
        back, present, hides = parts.bwd(hidden)
        seeds = [
            zeros_of(body.places[o]) if ct is None else ct
            for o, ct, a in zip(body.outputs, cts, parts.active, strict=True)
            if a
        ]
        found = iter(primitive.call(*saved, *seeds, body=back, policy=policy))
        has = iter(present)
        return [next(found) if v is not None and next(has) else None for v in needed], hides

    def batch(
        size: int,
        batched: tuple[bool, ...],
        *operands: Any,
        body: WengertList,
        policy: Policy | None,
    ) -> tuple[Any, ...]:
        lanes, spread = batch_of(body, batched, size)
        return marked(primitive.call(*operands, body=lanes, policy=policy), spread)

    primitive = Primitive(
        name,
        type_rule=lambda *types, **params: tuple(
            params["body"].types[o] for o in params["body"].outputs
        ),
        batch=batch,
        derivatives=Carried(jvp, fwd, bwd),
        value=lambda xp, *operands, body, policy: tuple(run(body)(*operands)),
        results=0,
    )
    return primitive
