"""Staging: `trace` records a function as a `WengertList` without running it."""

import functools
from collections.abc import Callable
from itertools import count
from typing import Any

from volta.core import tree
from volta.core.dispatch import NUMPY, Library
from volta.core.keywords import suggesting
from volta.core.primitive import REGISTRY, Primitive
from volta.core.trace import Abstract, Running, Trace, here
from volta.core.tracer import (
    Tracer,
    concrete,
    library_under,
    meeting_place,
    settled,
    unwrap_constants,
)
from volta.core.types import SCALARS, ArrayType, promote, typeof
from volta.core.wengert import Entry, Literal, WengertList
from volta.transforms.arguments import array_leaves, as_array, name_of, split_modules

__all__ = ["trace"]


class StageTrace(Trace):
    """Records operations on types; broadcasts and casts become entries of their own."""

    __slots__ = ("captured", "entries", "fresh", "held", "types")
    stages = True

    def __init__(self, fun: Any) -> None:
        super().__init__("trace", fun)
        self.entries: list[Entry] = []
        self.types: dict[int, ArrayType] = {}
        self.captured: dict[int, Any] = {}
        self.held: dict[int, tuple[int, Any]] = {}  # id of a captured array to its variable
        self.fresh = count().__next__

    def variable(self, kind: ArrayType) -> int:
        """New variable of a type."""
        var = self.fresh()
        self.types[var] = kind
        return var

    def input(self, value: Any) -> Tracer:
        """Tracer of an input, of the type of `value`."""
        kind = typeof(value)
        device = value.device if type(value) is Tracer else library_under(value).device(value)
        return Tracer(self, self.variable(kind), Abstract(kind, library_under(value), device))

    def operand(self, a: Any) -> Any:
        """Operand for a list: a variable, a literal, or a newly captured array."""
        if type(a) in SCALARS:
            return Literal(a)
        if type(a) is Tracer:
            if a.trace is self:
                return a.var
            a = unwrap_constants(a)
            a = concrete(a, "trace") if a.trace is None else Tracer(a.trace, a.var, a.value)
        if id(a) not in self.held:
            var = self.variable(typeof(a))
            self.captured[var] = a
            self.held[id(a)] = (var, a)
        return self.held[id(a)][0]

    def record(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any], kinds: Any
    ) -> tuple[int, ...]:
        """Append an entry; returns the variables of its results."""
        results = tuple(map(self.variable, kinds))
        code, offset = here()
        self.entries.append(
            Entry(primitive, operands, params, results, None, None, None, None, code, offset)
        )
        return results

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Infer the type of the result and record an entry."""
        types = [typeof(a) for a in args]
        out = primitive.infer(args, types, params)
        operands = [self.operand(a) for a in args]
        if primitive.elementwise:
            self._spell_out(primitive, operands, types, out)
        kinds = (out,) if primitive.results == 1 else tuple(out)
        results = self.record(primitive, tuple(operands), params, kinds)
        library, device = _home(primitive.name, args, params)
        made = tuple(
            Tracer(self, r, Abstract(k, library, device))
            for r, k in zip(results, kinds, strict=True)
        )
        return made[0] if primitive.results == 1 else made

    def _spell_out(
        self, primitive: Primitive, operands: list[Any], types: list[ArrayType], out: ArrayType
    ) -> None:
        """Insert the casts and broadcasts that the operation implies."""
        first = primitive.unpromoted
        common = promote(t.dtype for t in types[first:])
        for i, (operand, kind) in enumerate(zip(operands, types, strict=True)):
            if type(operand) is Literal:
                continue
            if i >= first and common is not None and kind.dtype is not common:
                kind = ArrayType(kind.shape, common)
                (operand,) = self.record(REGISTRY["astype"], (operand,), {"dtype": common}, (kind,))
            if kind.shape != out.shape:
                kind = ArrayType(out.shape, kind.dtype)
                (operand,) = self.record(
                    REGISTRY["broadcast_to"], (operand,), {"shape": out.shape}, (kind,)
                )
            operands[i] = operand


def _home(name: str, args: tuple[Any, ...], params: dict[str, Any]) -> tuple[Library, Any]:
    """Library and device of a result: those of the first array, or what a creation asks for."""
    if "library" in params:
        return params["library"], params.get("device")
    place = meeting_place(args, name)
    if place is None:
        return NUMPY, "cpu"
    library = library_under(place)
    return library, place.device if type(place) is Tracer else library.device(place)


@suggesting
def trace(
    fun: Callable[..., Any], static_argnums: int | tuple[int, ...] = ()
) -> Callable[..., WengertList]:
    """Return a function that shows what `fun` does to arrays like its arguments.

    Parameters
    ----------
    fun : callable
        Function of trees of arrays.
    static_argnums : int or tuple of int
        Positional arguments passed as they are, not as traced arrays.

    Returns
    -------
    callable
        Same arguments as `fun`; returns a `WengertList`, one entry an operation, which prints
        with types and source lines, and runs when called with the arguments' leaves.

    Raises
    ------
    TraceError
        If the function asks a traced array for a concrete value.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> print(volta.trace(lambda x: F.exp(x) + 1)(np.zeros(3)))  # doctest: +ELLIPSIS
    trace(<lambda>)(%0: float64[3]):
      %1: float64[3] = exp(%0)     # ...
      %2: float64[3] = add(%1, 1)  # ...
      return %2
    """
    where = f"trace({name_of(fun)})"
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)

    @functools.wraps(fun, updated=())
    def traced(*args: Any, **kwargs: Any) -> WengertList:
        if any(not -len(args) <= n < len(args) for n in numbers):
            msg = (
                f"{where}: static_argnums must number positional arguments of the call; got "
                f"static_argnums={static_argnums!r} and {len(args)} positional arguments."
            )
            raise ValueError(msg)
        static = {n % len(args) for n in numbers}
        split = [split_modules(a) for i, a in enumerate(args) if i not in static]
        leaves, spec = array_leaves((tuple(p for p, _ in split), kwargs), where)
        stage = StageTrace(fun)
        inputs = [stage.input(leaf) for leaf in leaves]
        variables = tuple(x.var for x in inputs)
        with Running(stage):
            dynamic, call_kwargs = tree.unflatten(spec, inputs)
            rest = iter([join(a) for (_, join), a in zip(split, dynamic, strict=True)])
            result = settled(
                fun(*[a if i in static else next(rest) for i, a in enumerate(args)], **call_kwargs)
            )
        outputs, out_spec = tree.flatten(result)
        for o in outputs:
            if type(o) not in SCALARS:
                as_array(o, where)
        return WengertList(
            stage.name,
            variables,
            stage.entries,
            tuple(stage.operand(o) for o in outputs),
            stage.types,
            stage.captured,
            lambda found: tree.unflatten(out_spec, found),
        )

    return traced
