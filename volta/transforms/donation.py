"""Donated arguments of jitted functions: arrays in whose memory results are returned.

Nothing is written to one before it is known that all of them can be used.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import numpy as np

from volta.compile.donation import matched
from volta.compile.numpy import takes
from volta.compile.program import homes_in
from volta.core import tree
from volta.core.errors import DonationError
from volta.core.trace import located
from volta.core.types import ArrayType
from volta.core.wengert import Literal
from volta.transforms.arguments import is_module
from volta.transforms.segments import Segment
from volta.transforms.signature import Call, is_number_leaf

__all__ = ["Donated", "are_apart", "check_not_static", "donated_by"]


class Donated:
    """The arrays that calls of one kind donate.

    Attributes
    ----------
    names : dict of int to str
        Their places among the leaves of a call, and what they are called in messages.
    labels : sequence of str
        What all leaves are called.
    """

    def __init__(self, where: str, names: dict[int, str], labels: Sequence[str]) -> None:
        self.where, self.names, self.labels = where, names, labels

    @property
    def places(self) -> tuple[int, ...]:
        """Places of the arrays donated."""
        return tuple(self.names)

    def check(self, leaves: Sequence[Any], arrays: Sequence[Any]) -> None:
        """Raise unless a program may write to the arrays donated, given all leaves as arrays."""
        for i, name in self.names.items():
            wrong = _unusable(leaves[i])
            if wrong:
                self._refuse(
                    "a donated array must be NumPy's own, writable, row-major, aligned and in "
                    f"native byte order; got {name}, which is {wrong}",
                    "Pass a copy, or do not donate it",
                )
        others = [(self.labels[i], x) for i, x in enumerate(arrays) if i not in self.names]
        self._check_apart(arrays, others)

    def finish(self, segment: Segment, known: dict[int, Any]) -> Any:
        """What a call returns that has come to its last segment."""
        self.check_results(segment)
        held = [("an array that the function closes over", c) for c in segment.closed_over]
        self._check_apart(known, held)
        return segment.finish(known)

    def described(self, segment: Segment) -> str:
        """What becomes of them at the end of a segment; empty if that is not known yet."""
        homes = segment.giving and homes_in(segment.giving[0])
        if not homes:
            return ""
        copied = [self.names[d] for d in homes.copied.values()]
        counts = {
            "written in place": len(homes.placed),
            "returned": len(self.names) - len(homes.placed) - len(copied),
            "copied to at the end": len(copied),
        }
        text = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return f"donated: {text}" + (f" ({', '.join(copied)})" if copied else "")

    def _check_apart(self, arrays: Any, others: Sequence[tuple[str, Any]]) -> None:
        donated = [(name, arrays[i]) for i, name in self.names.items()]
        for other, y in (*others, *donated):
            if not isinstance(y, np.ndarray):
                self._refuse(_ALONE.format(f"a {_class_of(y)} in {other}"), _LEAVE)
        if are_apart([x for _, x in donated], [x for _, x in others]):
            return
        for k, (name, x) in enumerate(donated):
            for other, y in (*donated[k + 1 :], *others):
                if x is y or np.may_share_memory(x, y, _WORK):  # type: ignore[arg-type]  # any int
                    self._refuse(
                        "a donated array must share no memory with another array that the call "
                        f"reads; got {name} and {other}",
                        "Pass a copy of one of them",
                    )

    def check_results(self, segment: Segment) -> None:
        """Raise unless each of them has the type of a result of its own."""
        assert segment.giving is not None
        wengert, donation = segment.giving
        if "fits" in wengert.__dict__:
            return
        if not takes(wengert):
            self._refuse(_ALONE.format("another library's in the function"), _LEAVE)
        found = matched(donation.given, wengert.outputs, wengert.types)
        for i in donation.given:
            if i not in found:
                types = [wengert.types[o] for o in wengert.outputs if type(o) is not Literal]
                self._refuse(
                    "a donated array must have the shape and dtype of a result that can take its "
                    f"memory; got {wengert.types[i]} at {self.names[i]}, and results "
                    f"{_listed(types)}",
                    "Do not donate it",
                )
        wengert.__dict__["fits"] = True

    def _refuse(self, what: str, hint: str) -> NoReturn:
        raise located(DonationError(f"{self.where}: {what}. {hint}."))


_ALONE: Final = "donated arrays must meet NumPy's arrays alone; got {}"
_LEAVE: Final = "Leave donate_argnums and donate_argnames out"
_WORK: Final = 10_000  # for finding out whether strided arrays meet; beyond, they count as meeting


def _unusable(x: Any) -> str | None:
    """What is wrong with an array that nothing can be written to."""
    if type(x) is not np.ndarray:
        return f"a {_class_of(x)}"
    flags = x.flags
    if flags.carray and x.dtype.isnative:
        return None
    if not flags.writeable:
        return "read-only"
    if not flags.c_contiguous:
        return "not row-major"
    return "not aligned" if x.dtype.isnative else f"of dtype {x.dtype.str}"


def _class_of(x: Any) -> str:
    return f"{type(x).__module__}.{type(x).__qualname__}"


def _listed(types: Sequence[ArrayType]) -> str:
    shown = [*dict.fromkeys(map(str, types))]
    more = ", …" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more or "without arrays"


_SHOWN: Final = 6  # types in a message


def are_apart(donated: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether NumPy arrays have owners of their own; without, they may share memory or not."""
    owners = [id(x) if x.flags.owndata else _owner(x) for x in (*donated, *others)]
    first, rest = {*owners[: len(donated)]}, owners[len(donated) :]
    return len(first) == len(donated) and first.isdisjoint(rest) and 0 not in owners


def _owner(x: Any) -> int:
    """Identity of the array that owns the memory of a view; 0 if that is none of NumPy's."""
    while type(x.base) is np.ndarray:
        x = x.base
    return id(x) if x.flags.owndata else 0


# Which arrays -------------------------------------------------------------------------------------


def donated_by(
    where: str,
    call: Call,
    numbers: Sequence[int],
    names: Sequence[str],
    static: Sequence[int],
    parameters: Mapping[int, str],
) -> Donated | None:
    """The arrays that a call donates, if there are any.

    `numbers` and `names` are those of the arguments donated, `static` the numbers of static ones,
    and `parameters` the names of parameters by their places.
    """
    args, kwargs = call.args, call.kwargs
    count = len(args)
    if any(not -count <= n < count for n in numbers):
        msg = (
            f"{where}: donate_argnums must number positional arguments of the call; got "
            f"donate_argnums={tuple(numbers)!r} and {count} positional arguments."
        )
        raise located(ValueError(msg))
    fixed = {n % count for n in static}
    shown = [parameters.get(n, f"argument {n}") for n in range(count)]
    chosen = {n % count for n in numbers}
    check_not_static(where, [shown[n] for n in sorted(chosen & fixed)])
    arguments = {shown[n]: args[n] for n in chosen} | {k: kwargs[k] for k in names if k in kwargs}
    for name, x in arguments.items():
        _check_modules(where, name, x)
    moving = [name for n, name in enumerate(shown) if n not in fixed]
    labels, donated = [], {}
    for i, (part, *path) in enumerate(call.key[0].paths()):
        name = "the module"
        if part:
            place, *path = path
            name = moving[place] if part == 1 else place
        labels.append(name + tree.keystr(tuple(path)))
        leaf = call.leaves[i]
        if name in arguments and not (is_number_leaf(leaf) or isinstance(leaf, np.generic)):
            donated[i] = labels[i]
    return Donated(where, donated, labels) if donated else None


def check_not_static(where: str, both: Sequence[Any]) -> None:
    """Raise if arguments are static and donated."""
    if both:
        msg = (
            f"{where}: a static argument must not be donated, as it holds no traced arrays; got "
            f"{', '.join(map(str, both))} for both. Leave it out of one."
        )
        raise located(DonationError(msg))


def _check_modules(where: str, name: str, x: Any) -> None:
    module = next(filter(is_module, tree.leaves(x, is_leaf=is_module)), None)
    if module is not None:
        msg = (
            f"{where}: a donated argument must hold no module, which would keep its arrays; got "
            f"{type(module).__name__} in {name}. Donate its parameters(), and have the function "
            "call nn.functional_call."
        )
        raise located(DonationError(msg))
