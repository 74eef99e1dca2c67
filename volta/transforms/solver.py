"""Solvers that users write: staged where that is possible, called with raw arrays where not."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.dispatch import NUMPY
from volta.core.errors import RuleError, ShapeError, TraceError
from volta.core.trace import Abstract, located, ops
from volta.core.tracer import Tracer, concrete
from volta.core.types import SCALARS, ArrayType, typeof
from volta.core.wengert import Literal, WengertList
from volta.transforms.arguments import as_array, path_of
from volta.transforms.linearize import linear_transpose
from volta.transforms.lists import stage
from volta.transforms.trace import abstract

__all__ = ["Flat", "Solver", "called", "check_like", "converted", "raw", "split_aux"]

Flat = list[Any]


class Solver:
    """A solver of an equation, staged where that is possible.

    Then what it closes over are further operands, and it runs for many lanes at once. A solver
    that needs concrete values gets them, and must not close over traced arrays.

    Parameters
    ----------
    where : str
    solve : callable
        ``solve(apply, arrays) -> list``: from the function of the equation and arrays, a
        right-hand side or a guess, to the solution and what else the solver returns.
    over : callable
        ``over(consts, arrays) -> apply``.
    consts, arrays : list of array or Abstract
        What the equation reads, and those arrays.
    name : callable
        Function that the user wrote.
    """

    def __init__(
        self,
        where: str,
        solve: Callable[[Any, Flat], Flat],
        over: Callable[[Flat, Flat], Callable[..., Flat]],
        consts: Flat,
        arrays: Flat,
        name: Callable[..., Any],
    ) -> None:
        self.where, self.solve, self.over, self.leaves = where, solve, over, len(arrays)
        self.list: WengertList | None = None
        self.constants: Flat = []
        self.slot = slice(0, 0)  # of the constants among what solvers read
        m = len(consts)

        def flat(*given: Any) -> Flat:
            return solve(over(list(given[:m]), list(given[m:])), list(given[m:]))

        like = [abstract(x) for x in (*consts, *arrays)]
        try:
            found, _ = stage(flat, like, where, name)
        except Exception:
            return  # what is wrong, and not only unknown to staging, will show when it runs
        self.list, self.constants = found.closed(), list(found.constants)

    def extra(self) -> list[ArrayType] | None:
        """Types of what it returns besides the solution; None if that is not known."""
        if self.list is None:
            return None
        return [typeof_output(self.list, o) for o in self.list.outputs[self.leaves :]]

    @property
    def axis_names(self) -> frozenset[Any]:
        """Axes of the collectives in it, if it is staged."""
        return frozenset() if self.list is None else self.list.axis_names

    def run(self, apply: Callable[..., Flat], consts: Flat, held: Flat, arrays: Flat) -> Flat:
        """Solution, and what else the solver returns."""
        if self.list is not None:
            return list(self.list.run(*held[self.slot], *consts, *arrays))
        return called(self.where, self.solve, apply, arrays)

    def transposed(
        self, apply: Callable[..., Flat], consts: Flat, held: Flat, arrays: Flat
    ) -> Flat:
        """Solution of the transposed equation, by transposing the solver.

        Raises
        ------
        RuleError
            If it does not consist of linear operations.
        """
        if self.list is None:
            msg = f"{self.where}: a solver must be staged to be transposed."
            raise RuleError(msg)
        listed, first = self.list, [*held[self.slot], *consts]

        def fun(*b: Any) -> Flat:
            return listed.replay([*first, *b])[: self.leaves]

        return list(linear_transpose(fun, *arrays)(list(arrays)))


def called(
    where: str, solve: Callable[[Any, Flat], Flat], apply: Callable[..., Flat], arrays: Flat
) -> Flat:
    """What a solver returns, called with concrete values."""
    return [raw(where, x) for x in solve(apply, arrays)]


def typeof_output(wengert: WengertList, output: Any) -> ArrayType:
    """Type of what a list returns."""
    return typeof(output.value) if type(output) is Literal else wengert.types[output]


def raw(where: str, x: Any) -> Any:
    """Array that a solver on raw arrays returned."""
    if type(x) is Tracer:
        if x.trace is not None:
            msg = (
                f"{where}: a solver that needs concrete values must not close over a traced array; "
                f"got a result traced by {x.trace.name}. Pass the array as a parameter, or apply "
                "volta.stop_gradient to it."
            )
            raise TraceError(msg)
        x = concrete(x, where)
    return x


def check_like(
    where: str, what: str, result: Any, spec: tree.PyTreeSpec, places: Sequence[Abstract]
) -> Flat:
    """Leaves of a function's result, which must be of this structure and of these types."""
    leaves = [as_array(x, where) for x in _leaves(where, what, result, spec)]
    for i, (leaf, place) in enumerate(zip(leaves, places, strict=True)):
        if typeof(leaf) != place.type:
            path = path_of(spec, i).replace("input", "result", 1)
            msg = (
                f"{where}: {what} must return the types of its argument; got {typeof(leaf)} and "
                f"{place.type} at {path}."
            )
            raise located(ShapeError(msg))
    return leaves


def converted(
    where: str, what: str, result: Any, spec: tree.PyTreeSpec, places: Sequence[Abstract]
) -> Flat:
    """Leaves of what a solver hands on, in these libraries and of these dtypes.

    Solvers compute with numbers, in NumPy and in 64 bits, whatever they were given.
    """
    leaves = []
    for i, (x, place) in enumerate(zip(_leaves(where, what, result, spec), places, strict=True)):
        number = type(x) in SCALARS
        x = np.asarray(x) if number else as_array(x, where)
        kind, wanted = typeof(x), place.type
        if kind.shape != wanted.shape and math.prod(kind.shape) == math.prod(wanted.shape) == 1:
            x = ops.reshape(x, wanted.shape)  # SciPy makes (1,) of ()
            kind = typeof(x)
        lost = kind.dtype.kind == "complex" != wanted.dtype.kind
        if kind.shape != wanted.shape or lost:
            path = path_of(spec, i).replace("input", "solution", 1)
            msg = (
                f"{where}: {what} must have the types of the unknown; got {kind} and {wanted} at "
                f"{path}."
            )
            raise located(ShapeError(msg))
        if type(x) is np.ndarray and place.library is not NUMPY:
            x = place.library.asarray(x, place.dtype, place.device)
        leaves.append(ops.astype(x, wanted.dtype, copy=False))
    return leaves


def _leaves(where: str, what: str, result: Any, spec: tree.PyTreeSpec) -> Flat:
    found, got = tree.flatten(result)
    if got != spec:
        msg = f"{where}: {what} must have the structure of the unknown; got {got} and {spec}."
        raise located(ShapeError(msg))
    return found


def split_aux(where: str, what: str, made: Any, has_aux: bool) -> tuple[Any, Any]:
    """Solution and further results of a solver."""
    if not has_aux:
        return made, ()
    if not isinstance(made, tuple) or len(made) != 2:
        msg = f"{where}: {what} must return a pair with has_aux=True; got {type(made).__name__}."
        raise located(TypeError(msg))
    return made[0], made[1]
