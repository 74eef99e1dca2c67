"""The short way of a call that is like the last one, for programs that are one list."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.program import compiled, donating
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
    spec, settings
        What such a call has in common with that one, besides its leaves.
    run : callable
        From the leaves to the result, or to `OTHER` where they are of another kind.
    """

    program: Program
    spec: Any
    settings: list[Any]
    run: Callable[[list[Any]], Any]


OTHER: Final = object()


def direct_way(program: Program, call: Call, last: Direct | None) -> Direct | None:
    """The short way of a program that is one list, of NumPy's arrays alone, and that `call` ran.

    A function is written that compares the leaves, calls the compiled list and puts the result
    together: a tenth of what it takes to look a call up.
    """
    if last is not None and last.program is program:
        return last
    segment = program.root
    plain = all(type(x) is np.ndarray for x in call.leaves) and program.inputs.raw
    if segment is None or segment.body is None or program.modules or RUNNING.get() or not plain:
        return None
    leaves = [f"a{i}" for i in range(len(call.leaves))]
    space: dict[str, Any] = {"ndarray": np.ndarray, "other": OTHER, "rebuild": segment.rebuild}
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
        found = f"[{', '.join(returned)}]"
    else:
        wengert, donation = segment.giving
        space |= {"compiled": donating(wengert, donation), "are_apart": are_apart}
        given = ", ".join(read[v] for v in wengert.inputs)
        donated = [leaves[i] for i in donation.given]
        others = [name for name in read.values() if name not in donated]
        tests += [f"{name}.flags.carray" for name in donated]
        tests.append(f"are_apart([{', '.join(donated)}], [{', '.join(others)}])")
        found = "out"
    lines = [
        "def run(leaves):",
        f"    [{', '.join(leaves)}] = leaves",
        f"    if not ({' and '.join(tests) or 'True'}):",
        "        return other",
        f"    out = compiled({given})" if segment.body.entries or found == "out" else "",
        f"    return rebuild({found})",
    ]
    run = written("\n".join(lines) + "\n", space, again=False)
    return Direct(program, call.key[0], list(call.key[3]), run)
