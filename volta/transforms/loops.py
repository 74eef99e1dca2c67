"""What loops begin with, and what they keep from step to step."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from volta.core import tree
from volta.core.dispatch import NUMPY
from volta.core.errors import DeviceError, ShapeError
from volta.core.trace import Abstract, located
from volta.core.types import DTYPES, SCALARS, ArrayType, is_inexact, promote, typeof
from volta.core.wengert import WengertList
from volta.transforms.arguments import as_array, path_of
from volta.transforms.lists import fitted, holds, moved, of_place, stage
from volta.transforms.trace import abstract

__all__ = ["Loop", "begun", "check_kept", "same_structure"]

_KINDS = (bool, int, float, complex)


class Loop(NamedTuple):
    """First values, arrays with an element a step, and the list of a step."""

    init: list[Any]
    xs: list[Any]
    body: WengertList


def begun(
    step: Callable[..., Any], init: Sequence[Any], xs: Sequence[Any], where: str, f: Any
) -> Loop:
    """First values of a loop as arrays, in the library that it computes with, and a step's list.

    `step` takes the values, then an element of each of `xs`, and returns the next values first.
    A number gets the dtype that a step makes of it; where that is a number too, the one of the
    floating arrays that a step returns. Numbers, and NumPy arrays that no transform traces, join
    the library that they meet.
    """
    init = [x if type(x) in SCALARS else as_array(x, where) for x in init]
    home = _home(x for x in (*init, *xs) if type(x) not in SCALARS)
    try:
        return _begun(step, init, xs, where, f, home)
    except DeviceError as error:  # of an array that the step closes over
        if home is not None or error.place is None:
            raise
        home = abstract(error.place)
    return _begun(step, init, xs, where, f, home)


def _begun(
    step: Callable[..., Any],
    init: Sequence[Any],
    xs: Sequence[Any],
    where: str,
    f: Any,
    home: Abstract | None,
) -> Loop:
    """The same, in a library that is known, or found where a step returns arrays of it."""
    transform = where.partition("(")[0]
    init, xs = moved(init, home), moved(xs, home)
    elements = [_element(x) for x in xs]

    def listed(init: Sequence[Any]) -> WengertList:
        def with_numbers(*flat: Any) -> Any:
            rest = iter(flat)
            return step(*[x if type(x) in SCALARS else next(rest) for x in init], *rest)

        like = [abstract(x) for x in init if type(x) not in SCALARS]
        return stage(with_numbers, [*like, *elements], transform, f)[0]

    if any(type(x) in SCALARS for x in init):
        try:
            tried = listed(init)
        except Exception:  # the step asked of a number what only arrays have
            tried = listed(moved([as_array(x, where) for x in init], home))
        home = home or _home([*tried.constants, *map(tried.places.get, tried.outputs)])
        init = moved([_strong(x, i, tried, where) for i, x in enumerate(init)], home)
        xs = moved(xs, home)
        elements = [_element(x) for x in xs]
    body = listed(init)
    return Loop(init, xs, fitted(body, [abstract(x) for x in init]))


def _element(x: Any) -> Abstract:
    """What stands for an element of an array along its first axis."""
    place = abstract(x)
    kind = place.type
    return Abstract(ArrayType(kind.shape[1:], kind.dtype), place.library, place.device)


def _home(arrays: Iterable[Any]) -> Abstract | None:
    """Place of the first array that is not NumPy's."""
    return next((p for p in map(abstract, arrays) if p.library is not NUMPY), None)


def _strong(x: Any, i: int, step: WengertList, where: str) -> Any:
    """First value `i` as an array; a number has its dtype from what a step returns."""
    if type(x) not in SCALARS:
        return x
    if i not in step.numbers:
        place = step.places[step.outputs[i]]
        return as_array(of_place(x, place) if holds(place.type.dtype, x) else x, where)
    kind = type(step.numbers[i])
    x = kind(x) if _KINDS.index(kind) > _KINDS.index(type(x)) else x
    kinds = [step.types[o].dtype for j, o in enumerate(step.outputs) if j not in step.numbers]
    floats = [
        DTYPES[f"float{4 * d.itemsize}"] if d.kind == "complex" else d
        for d in kinds
        if is_inexact(d)
    ]
    dtype = promote([typeof(x).dtype, *floats]) if type(x) in (float, complex) else None
    return as_array(x, where) if dtype is None else NUMPY.asarray(x, NUMPY.dtype(dtype))


def same_structure(where: str, what: str, spec: tree.PyTreeSpec, after: Any) -> list[Any]:
    """Leaves of the next value of a loop, whose structure must be that of the one before."""
    leaves, after_spec = tree.flatten(after)
    if after_spec != spec:
        msg = (
            f"{where}: a step must keep the structure of the {what}; got {spec} and then "
            f"{after_spec}. Return what the step was given."
        )
        raise located(ShapeError(msg))
    return leaves


def check_kept(
    where: str, what: str, spec: tree.PyTreeSpec, before: Sequence[Any], step: WengertList
) -> None:
    """Check that a step returns the types of the values it is given."""
    for i, (x, o) in enumerate(zip(before, step.outputs, strict=False)):
        kind, after = typeof(x), step.types[o]
        if kind != after:
            path = path_of(spec, i).replace("input", what, 1)
            msg = (
                f"{where}: a step must keep the types of the {what}; got {kind} and then {after} "
                f"at {path}. Make the first {what} of the second type, or convert in the step."
            )
            raise located(ShapeError(msg))
