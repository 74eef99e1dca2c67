"""Loops and branches as Python's own, whose bodies are functions.

Each of `CONTROL` takes the writer, an entry, the types of its list, and the names of its operands
and results, and gives lines.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from volta.core.primitive import REGISTRY
from volta.core.types import ArrayType
from volta.core.wengert import Entry, WengertList
from volta.emission import standins
from volta.emission.text import indented
from volta.transforms.trace import trace

if TYPE_CHECKING:
    from volta.emission.program import Writer

__all__ = ["CONTROL"]

Types = dict[int, ArrayType]
Names = list[str]


def _assigned(targets: Sequence[str], values: Sequence[str]) -> list[str]:
    """Lines that give values their names, but for those that nothing reads."""
    return [f"{t} = {v}" for t, v in zip(targets, values, strict=True) if t != "_"]


def _called(results: Sequence[str], function: str, args: Sequence[str]) -> str:
    target = f"{', '.join(results)} = " if results else ""
    return f"{target}{function}({', '.join(args)})"


def _scan(writer: "Writer", e: Entry, types: Types, given: Names, results: Names) -> list[str]:
    """A loop of known length."""
    consts, carries, length = (e.params[k] for k in ("consts", "carries", "length"))
    first, start, xs = (
        given[:consts],
        given[consts : consts + carries],
        given[consts + carries :],
    )
    step, lines = writer.function("step", e.params["body"], [*first, *["carry"] * carries, *xs])
    carry = [writer.fresh("carry") for _ in start]
    ends, kept = results[:carries], results[carries:]
    stacks = ["_" if r == "_" else writer.fresh("stack") for r in kept]
    parts = ["_" if r == "_" else writer.fresh("part") for r in kept]
    i = writer.fresh("i")
    order = f"reversed(range({length}))" if e.params["reverse"] else f"range({length})"
    loop = [_called([*carry, *parts], step, [*first, *carry, *(f"{x}[{i}, ...]" for x in xs)])]
    loop += [f"{s}.append({p})" for s, p in zip(stacks, parts, strict=True) if s != "_"]
    lines += _assigned(carry, start)
    lines += _assigned(stacks, ["[]"] * len(stacks))
    lines += indented(f"for {i} in {order}:", loop)
    lines += _assigned(ends, carry)
    turned = "[::-1]" if e.params["reverse"] else ""
    for v, r, s in zip(e.results[carries:], kept, stacks, strict=True):
        if r != "_":
            shape, dtype = types[v].shape[1:], writer.bundle.dtype(types[v].dtype.dtype)
            call = f"{writer.helper(standins.stacked)}({s}{turned}, {shape}, {dtype})"
            lines.append(f"{r} = {call}  # {types[v]}")
    return lines


def _while_loop(
    writer: "Writer", e: Entry, types: Types, given: Names, results: Names
) -> list[str]:
    """A loop of unknown length; its last result is the number of steps."""
    tests, consts = e.params["tests"], e.params["consts"]
    asked, first, start = given[:tests], given[tests : tests + consts], given[tests + consts :]
    likes = ["value"] * len(start)
    going, lines = writer.function("going", e.params["test"], [*asked, *likes])
    step, more = writer.function("step", e.params["body"], [*first, *likes])
    value = [writer.fresh("value") for _ in start]
    lines += [*more, *_assigned(value, start)]
    loop = [_called(value, step, [*first, *value])]
    count = "_"
    if results[-1] != "_":
        count = writer.fresh("count")
        lines.append(f"{count} = 0")
        loop.append(f"{count} += 1")
    lines += indented(f"while {going}({', '.join([*asked, *value])}):", loop)
    return [*lines, *_assigned(results, [*value, f"np.asarray({count}, np.int32)"])]


def _switch(writer: "Writer", e: Entry, types: Types, given: Names, results: Names) -> list[str]:
    """One of several branches, whose number is the first operand."""
    index, *operands = given
    made = [writer.function("branch", b, operands) for b in e.params["branches"]]
    lines = [line for _, own in made for line in own]
    for k, (name, _) in enumerate(made):
        call = _called(results, name, operands)
        if len(made) == 1:
            return [*lines, call]
        word = f"{'elif' if k else 'if'} {index} == {k}" if k < len(made) - 1 else "else"
        lines += indented(f"{word}:", [call])
    return lines


def _carried(writer: "Writer", e: Entry, types: Types, given: Names, results: Names) -> list[str]:
    """A function that is called once."""
    name, lines = writer.function("part", e.params["body"], given)
    return [*lines, _called(results, name, given)]


# The way back through a loop of unknown length ----------------------------------------------------


def _while_loop_back(
    writer: "Writer", e: Entry, types: Types, given: Names, results: Names
) -> list[str]:
    """Pieces of the loop once more, and back through them; see `standins.went_back`."""
    consts, mask = e.params["consts"], e.params["mask"]
    kinds = [e.params["body"].types[v] for v in e.params["body"].inputs]
    count, first = given[0], given[1 : 1 + consts]
    value, cts = given[1 + consts : 1 + len(kinds)], given[1 + len(kinds) :]
    length, start, seeds = (writer.fresh(n) for n in ("length", "start", "cts"))
    back, onward = _pieces(e, kinds, _Name(length))
    commented, writer.commented = writer.commented, False  # these lists are staged just now
    name, lines = writer.function("piece", back, given[1:], [length])
    piece = writer.fresh("back")
    call = _tuple(name, [length, *first, f"*{start}", f"*{seeds}"], back)
    lines += indented(f"def {piece}({length}, {start}, {seeds}):", [f"return {call}"])
    name, more = writer.function("piece", onward, given[1 : 1 + len(kinds)], [length])
    writer.commented = commented
    forth = writer.fresh("onward")
    call = _tuple(name, [length, *first, f"*{start}"], onward)
    lines += [*more, *indented(f"def {forth}({length}, {start}):", [f"return {call}"])]
    zeros = [
        f"np.zeros({k.shape}, {writer.bundle.dtype(k.dtype.dtype)})"
        for k, m in zip(kinds[:consts], mask, strict=False)
        if m
    ]
    listed = (f"[{', '.join(part)}]" for part in (value, cts, zeros))
    call = ", ".join([count, piece, forth, *listed])
    target = ", ".join(results) + "," * (len(results) == 1)
    return [*lines, f"{target} = {writer.helper(standins.went_back)}({call})"]


def _tuple(function: str, args: Sequence[str], wengert: WengertList) -> str:
    """Call of the function of a list, as a tuple of what that returns."""
    call = f"{function}({', '.join(args)})"
    return f"({call},)" if len(wengert.outputs) == 1 else call


class _Name(str):
    """A name among parameters, in place of a number."""

    __slots__ = ()


def _pieces(e: Entry, kinds: Sequence[ArrayType], length: _Name) -> tuple[WengertList, WengertList]:
    """Lists of some steps with their way back, and of some steps alone.

    They are staged for one step: the number stands in nothing but the loops, where `length` takes
    its place.
    """
    consts, mask = e.params["consts"], e.params["mask"]
    n = len(kinds)
    scan: Any = REGISTRY["scan"]
    options: dict[str, Any] = {
        "body": e.params["body"],
        "consts": consts,
        "carries": n - consts,
        "length": 1,
        "reverse": False,
    }

    def back(*operands: Any) -> list[Any]:
        given = iter(operands[n:])
        cts = [next(given) if m else None for m in mask[consts:]]
        kept = scan.pair.fwd([m or None for m in mask], *operands[:n], **options)[1]
        grads, _ = scan.pair.bwd(kept, cts, [m or None for m in mask], e.params["gaps"], **options)
        return [g for g in grads if g is not None]

    def onward(*operands: Any) -> list[Any]:
        return list(scan.call(*operands, **options))

    like = [np.zeros(k.shape, k.dtype.dtype) for k in kinds]
    cts = [x for x, m in zip(like[consts:], mask[consts:], strict=True) if m]
    return _lengthened(trace(back)(*like, *cts), length), _lengthened(trace(onward)(*like), length)


def _lengthened(wengert: WengertList, length: _Name) -> WengertList:
    entries = [
        e._replace(params={**e.params, "length": length}) if e.primitive.name == "scan" else e
        for e in wengert.entries
    ]
    constants = dict(zip(wengert.captured, wengert.constants, strict=True))
    args = wengert.name, wengert.inputs, entries, wengert.outputs, wengert.types, wengert.places
    return WengertList(*args, constants, wengert.rebuild)


CONTROL: Final[dict[str, Callable[..., list[str]]]] = {
    "checkpoint": _carried,
    "jit": _carried,
    "scan": _scan,
    "switch": _switch,
    "while_loop": _while_loop,
    "while_loop_back": _while_loop_back,
}
