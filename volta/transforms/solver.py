"""Solvers that users write: staged where that is possible, called with raw arrays where not."""

from collections.abc import Callable, Sequence
from typing import Any

from volta.core import tree
from volta.core.errors import RuleError, ShapeError, TraceError
from volta.core.trace import located, ops
from volta.core.tracer import Tracer, concrete
from volta.core.types import ArrayType, typeof
from volta.core.wengert import Literal, WengertList
from volta.transforms.arguments import as_array, path_of
from volta.transforms.linearize import linear_transpose
from volta.transforms.lists import stage
from volta.transforms.trace import abstract

__all__ = ["Flat", "Solver", "check_like", "raw", "split_aux"]

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

    def run(self, apply: Callable[..., Flat], consts: Flat, held: Flat, arrays: Flat) -> Flat:
        """Solution, and what else the solver returns."""
        if self.list is not None:
            return list(self.list.run(*held[self.slot], *consts, *arrays))
        return self.called(apply, arrays)

    def called(self, apply: Callable[..., Flat], arrays: Flat) -> Flat:
        """The same by the function itself, on concrete values."""
        return [raw(self.where, x) for x in self.solve(apply, arrays)]

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
    where: str,
    what: str,
    result: Any,
    spec: tree.PyTreeSpec,
    kinds: Sequence[ArrayType],
    *,
    given: bool = False,
) -> Flat:
    """Leaves of a result that must be of this structure and of these types.

    What a solver has `given` to a function may have other dtypes, and is converted.
    """
    found, got = tree.flatten(result)
    if got != spec:
        msg = f"{where}: {what} must keep the structure of its argument; got {got} and {spec}."
        raise located(ShapeError(msg))
    leaves = [as_array(x, where) for x in found]
    for i, (leaf, kind) in enumerate(zip(leaves, kinds, strict=True)):
        if typeof(leaf) != kind and not (given and _casts(typeof(leaf), kind)):
            path = path_of(spec, i).replace("input", "argument" if given else "result", 1)
            msg = f"{where}: {what} must keep types; got {typeof(leaf)} and {kind} at {path}."
            raise located(ShapeError(msg))
    if not given:
        return leaves
    return [ops.astype(x, k.dtype, copy=False) for x, k in zip(leaves, kinds, strict=True)]


def _casts(kind: ArrayType, wanted: ArrayType) -> bool:
    """Whether a real array of one type can stand for one of another."""
    real = kind.dtype.kind != "complex" or wanted.dtype.kind == "complex"
    return kind.shape == wanted.shape and real


def split_aux(where: str, what: str, made: Any, has_aux: bool) -> tuple[Any, Any]:
    """Solution and further results of a solver."""
    if not has_aux:
        return made, ()
    if not isinstance(made, tuple) or len(made) != 2:
        msg = f"{where}: {what} must return a pair with has_aux=True; got {type(made).__name__}."
        raise TypeError(msg)
    return made[0], made[1]
