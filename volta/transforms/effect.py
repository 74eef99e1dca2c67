"""Calls of functions for what they do: a primitive without results.

A list keeps it although nothing reads them. `debug.callback` and its kin rest on it.
"""

from collections.abc import Callable
from typing import Any, Final

from volta.core.context import AXES
from volta.core.primitive import Primitive
from volta.core.trace import ops

__all__ = ["effect"]


def _batch(
    size: int, batched: tuple[bool, ...], *operands: Any, call: Callable[..., None]
) -> tuple[()]:
    """Call for one lane after the other."""
    for i in range(size):
        effect(
            *(ops.getitem(x, (i, ...)) if b else x for x, b in zip(operands, batched, strict=True)),
            call=call,
        )
    return ()


def _value(xp: Any, *operands: Any, call: Callable[..., None]) -> tuple[()]:
    happens = [trace.effect() for trace in AXES.get()]  # each counts it
    if all(happens):
        call(*operands)
    return ()


# ``effect(*arrays, call=fun)`` calls ``fun(*arrays)``, with raw arrays, when they are computed
effect: Final = Primitive(
    "debug_callback",
    type_rule=lambda *types, call: (),
    batch=_batch,
    derivatives=(),
    value=_value,
    results=0,
    effect=True,
)
