"""Staging: `trace` records a function as a `WengertList` without running it."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from types import CodeType
from typing import Any

from volta.core import tree
from volta.core.context import STAGING
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
from volta.core.wengert import Entry, Literal, WengertList, needed, operands_of
from volta.transforms.arguments import (
    array_leaves,
    as_array,
    name_of,
    split_modules,
    split_static,
)

__all__ = ["StageTrace", "abstract", "identity", "trace"]


class StageTrace(Trace):
    """Records operations on types; broadcasts and casts become entries of their own.

    Attributes
    ----------
    at : (code, int) or None
        Where in the user's code the next entries are said to be; None for where it runs now.
    origin : str or None
        The operation whose derivative they are part of.
    """

    __slots__ = ("at", "captured", "entries", "fresh", "held", "origin", "places", "types")
    stages = True

    def __init__(self, fun: Any, transform: str = "trace") -> None:
        super().__init__(transform, fun)
        self.entries: list[Entry] = []
        self.types: dict[int, ArrayType] = {}
        self.places: dict[int, Abstract] = {}
        self.captured: dict[int, Any] = {}
        self.held: dict[int, tuple[int, Any]] = {}  # id of a captured array to its variable
        self.fresh = count().__next__
        self.at: tuple[CodeType | None, int] | None = None
        self.origin: str | None = None

    def variable(self, place: Abstract) -> int:
        """New variable of a type, a library and a device."""
        var = self.fresh()
        self.places[var] = place
        self.types[var] = place.type
        return var

    def input(self, like: Any) -> Tracer:
        """Tracer of an input like an array, or like an `Abstract` one."""
        place = abstract(like)
        return Tracer(self, self.variable(place), place)

    def operand(self, a: Any) -> Any:
        """Operand for a list: a variable, a literal, or a newly captured array."""
        if type(a) in SCALARS:
            return Literal(a)
        if type(a) is Tracer:
            if a.trace is self:
                return a.var
            a = unwrap_constants(a)
        if type(a) is Tracer:
            a = concrete(a, "trace") if a.trace is None else Tracer(a.trace, a.var, a.value)
        key = identity(a)
        if key not in self.held:
            var = self.variable(abstract(a))
            self.captured[var] = a
            self.held[key] = (var, a)
        return self.held[key][0]

    def record(
        self, primitive: Primitive, operands: tuple[Any, ...], params: dict[str, Any], places: Any
    ) -> tuple[int, ...]:
        """Append an entry; returns the variables of its results."""
        results = tuple(map(self.variable, places))
        code, offset = self.at or here()
        self.entries.append(
            Entry(
                primitive,
                operands,
                params,
                results,
                None,
                None,
                None,
                None,
                code,
                offset,
                self.origin,
            )
        )
        return results

    @contextmanager
    def deriving(self, entry: Any, cts: dict[int, Any]) -> Iterator[None]:
        """Have what the rule of an entry does stand at the entry's line."""
        before = self.at, self.origin
        self.at, self.origin = entry[-2:], entry[0].name
        try:
            yield
        finally:
            self.at, self.origin = before

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Infer the type of the result and record an entry."""
        types = self.types_of(primitive, args)
        out = primitive.infer(args, types, params)
        operands = [self.operand(a) for a in args]
        if primitive.elementwise:
            self.spell_out(primitive, operands, types, out)
        kinds = (out,) if primitive.results == 1 else tuple(out)
        library, device = _home(primitive.name, args, params)
        places = [Abstract(k, library, device) for k in kinds]
        results = self.record(primitive, tuple(operands), params, places)
        made = tuple(Tracer(self, r, p) for r, p in zip(results, places, strict=True))
        return made[0] if primitive.results == 1 else made

    def types_of(self, primitive: Primitive, args: tuple[Any, ...]) -> list[ArrayType]:
        """Types of operands, by which they are promoted."""
        return [typeof(a) for a in args]

    def read(self, value: Any, asked: str, part: bool = True) -> Any:
        """Value of a variable that depends on captured arrays alone, from theirs."""
        var = next(v for v, place in self.places.items() if place is value)
        entries = needed(self.entries, (var,))
        made = {*self.captured, *(r for e in entries for r in e.results)}
        if not made.issuperset((var, *(o for e in entries for o in operands_of(e)))):
            return super().read(value, asked, part)
        args = self.name, (), entries, (var,), self.types, self.places, self.captured, list
        token = STAGING.set(None)  # what is read is computed, not staged
        try:
            return concrete(WengertList(*args).replay(())[0], asked, part)
        finally:
            STAGING.reset(token)

    def spell_out(
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
                operand = self.changed(operand, "astype", {"dtype": common}, kind)
            if kind.shape != out.shape:
                kind = ArrayType(out.shape, kind.dtype)
                operand = self.changed(operand, "broadcast_to", {"shape": out.shape}, kind)
            operands[i] = operand

    def changed(self, operand: int, name: str, params: dict[str, Any], kind: ArrayType) -> int:
        """Record a cast or broadcast of a variable; returns the variable of the result."""
        was = self.places[operand]
        place = Abstract(kind, was.library, was.device)
        return self.record(REGISTRY[name], (operand,), params, (place,))[0]

    def finish(
        self,
        inputs: Sequence[int],
        outputs: Sequence[Any],
        rebuild: Callable[[list[Any]], Any] = list,
    ) -> WengertList:
        """The list of what was recorded, from input variables to what is returned."""
        operands = tuple(map(self.operand, outputs))
        return WengertList(
            self.name,
            tuple(inputs),
            self.entries,
            operands,
            self.types,
            self.places,
            self.captured,
            rebuild,
        )


def identity(a: Any) -> Any:
    """What tells a captured array from others: of a handle, which is made anew, what it holds."""
    if type(a) is not Tracer:
        return id(a)
    return a.trace.serial, a.var if type(a.var) is int else (id(a.var), id(a.value))


def abstract(like: Any) -> Abstract:
    """Type, library and device of an array, or of what stands for one."""
    if type(like) is Abstract:
        return like
    library = library_under(like)
    device = like.device if type(like) is Tracer else library.device(like)
    return Abstract(typeof(like), library, device)


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

    @functools.wraps(fun, updated=())
    def traced(*args: Any, **kwargs: Any) -> WengertList:
        dynamic, join_static = split_static(where, args, static_argnums)
        pieces = [split_modules(a) for a in dynamic]
        leaves, spec = array_leaves((tuple(p for p, _ in pieces), kwargs), where)
        stage = StageTrace(fun)
        inputs = [stage.input(leaf) for leaf in leaves]
        variables = tuple(x.var for x in inputs)
        with Running(stage):
            found, named = tree.unflatten(spec, inputs)
            joined = [join(a) for (_, join), a in zip(pieces, found, strict=True)]
            result = settled(fun(*join_static(joined), **named))
        outputs, out_spec = tree.flatten(result)
        for o in outputs:
            if type(o) not in SCALARS:
                as_array(o, where)
        return stage.finish(variables, outputs, functools.partial(tree.unflatten, out_spec))

    return traced
