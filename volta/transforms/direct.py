"""The short way of a call that is like the last one, for programs that are one list."""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.program import compiled, donating
from volta.core import tree
from volta.core.call import written
from volta.core.context import RUNNING
from volta.core.wengert import Literal
from volta.transforms.donation import are_apart
from volta.transforms.segments import Program
from volta.transforms.signature import Call

__all__ = ["OTHER", "Direct", "direct_way"]


class Direct(NamedTuple):
    """A short way for calls that are like the last one.

    Attributes
    ----------
    program : Program
    settings : list
        What such a call has in common with that one, besides its arguments.
    run : callable
        From what the function is bound to, the arguments and the named ones to the result, or to
        `OTHER` where they are of another kind.
    """

    program: Program
    settings: list[Any]
    run: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


OTHER: Final = object()


def direct_way(program: Program, call: Call, last: Direct | None) -> Direct | None:
    """The short way of a program that is one list, of NumPy's arrays alone, and that `call` ran.

    A function is written that takes the arguments apart, compares the leaves, calls the compiled
    list and puts the result together: a tenth of what it takes to look a call up.
    """
    if last is not None and last.program is program:
        return last
    segment = program.root
    plain = all(type(x) is np.ndarray for x in call.leaves) and program.inputs.raw
    if segment is None or segment.body is None or program.modules or RUNNING.get() or not plain:
        return None
    leaves = [f"a{i}" for i in range(len(call.leaves))]
    space: dict[str, Any] = {"ndarray": np.ndarray, "other": OTHER}
    tests = []
    for name, x in zip(leaves, call.leaves, strict=True):
        space[f"d{name}"] = x.dtype
        tests.append(
            f"type({name}) is ndarray and {name}.dtype is d{name} and {name}.shape == {x.shape}"
        )
    space |= {f"c{v}": array for v, array in segment.held.items()}
    read = {v: f"c{v}" for v in segment.held} | dict(enumerate(leaves))
    if segment.giving is None:
        space["compiled"] = compiled(segment.body)
        given = ", ".join(read[v] for v in segment.needs)
        read |= {v: f"out[{i}]" for i, v in enumerate(segment.makes)}
        returned = []
        for i, o in enumerate(segment.outputs):
            if type(o) is Literal:
                space[f"n{i}"] = o.value
            returned.append(f"n{i}" if type(o) is Literal else read[o])
    else:
        wengert, donation = segment.giving
        space |= {"compiled": donating(wengert, donation), "are_apart": are_apart}
        given = ", ".join(read[v] for v in wengert.inputs)
        donated = [leaves[i] for i in donation.given]
        others = [name for name in read.values() if name not in donated]
        tests += [f"{name}.flags.carray" for name in donated]
        tests.append(f"are_apart([{', '.join(donated)}], [{', '.join(others)}])")
        returned = [f"out[{i}]" for i in range(len(wengert.outputs))]
    lines = [
        "def run(owner, args, kwargs):",
        *(f"    {line}" for line in _taken_apart(call, leaves, space)),
        f"    if not ({' and '.join(tests) or 'True'}):",
        "        return other",
        f"    out = compiled({given})" if segment.body.entries or segment.giving else "",
        f"    return {_put_together(segment.rebuild, returned, space)}",
    ]
    run = written("\n".join(lines) + "\n", space, again=False)
    return Direct(program, list(call.key[3]), run)


# Trees --------------------------------------------------------------------------------------------
# What is written here is of trees with the numbers of the leaves in their places.


class _UnknownNodeError(Exception):
    """A node that is none of Python's containers."""


def _taken_apart(call: Call, leaves: list[str], space: dict[str, Any]) -> list[str]:
    """Lines that give the leaves of arguments their names, or return `OTHER`.

    They are written for Python's containers; what has other nodes is left to `tree.flatten`.
    """
    spec = call.key[0]
    try:
        lines = [*_parts(tree.unflatten(spec, range(len(leaves))), "whole", leaves, space)]
    except _UnknownNodeError:
        space |= {"flatten": tree.flatten, "spec": spec}
        return [
            "leaves, found = flatten((owner, args, kwargs))",
            "if found != spec: return other",
            f"[{', '.join(leaves)}] = leaves",
        ]
    lines = [f"    {line}" for line in lines]
    return ["whole = owner, args, kwargs", "try:", *lines, "except KeyError: return other"]


def _parts(node: Any, name: str, leaves: list[str], space: dict[str, Any]) -> Iterator[str]:
    """Lines that look at a node and those in it; `name` is a local one."""
    kind = type(node)
    if node is None:
        yield f"if {name} is not None: return other"
        return
    _check_known(kind)
    space[f"t{name}"] = kind
    yield f"if type({name}) is not t{name} or len({name}) != {len(node)}: return other"
    items = node.items() if kind is dict else enumerate(node)
    for i, (key, part) in enumerate(items):
        space[f"k{name}_{i}"] = key
        text = f"{name}[{key!r}]" if type(key) in (int, str) else f"{name}[k{name}_{i}]"
        below = leaves[part] if type(part) is int else f"{name}_{i}"
        yield f"{below} = {text}"
        if type(part) is not int:
            yield from _parts(part, below, leaves, space)


def _put_together(
    rebuild: Callable[[list[Any]], Any], parts: list[str], space: dict[str, Any]
) -> str:
    """Expression for a tree of parts."""

    def text(node: Any, name: str) -> str:
        kind: Any = type(node)
        if type(node) is int:
            return parts[node]
        if node is None:
            return "None"
        _check_known(kind)
        below = [f"{name}_{i}" for i in range(len(node))]
        if kind is dict:
            space.update((f"k{b}", key) for b, key in zip(below, node, strict=True))
            values = zip(below, map(text, node.values(), below), strict=True)
            return f"{{{', '.join(f'k{b}: {value}' for b, value in values)}}}"
        inner = "".join(f"{part}, " for part in map(text, node, below))
        if kind is tuple:
            return f"({inner})"
        space[f"t{name}"] = kind
        return f"[{inner}]" if kind is list else f"t{name}({inner})"

    try:
        return text(rebuild([*range(len(parts))]), "out_")
    except _UnknownNodeError:
        space["rebuild"] = rebuild
        return f"rebuild([{', '.join(parts)}])"


def _check_known(kind: type) -> None:
    """Raise unless nodes of a kind are taken apart and put together as Python's containers are."""
    named = issubclass(kind, tuple) and hasattr(kind, "_fields")
    named = named and all(getattr(kind, n) is getattr(tuple, n) for n in ("__getitem__", "__len__"))
    if kind not in (tuple, list, dict) and not named:
        raise _UnknownNodeError
