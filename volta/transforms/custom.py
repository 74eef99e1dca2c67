"""Functions with derivatives, transposes and lanes of their own: `custom_rule` and its kin.

A function with rules is one primitive that carries the function and its rules. A rule that is
missing follows from those that are there: forward mode from a reverse rule, by transposing it, and
reverse mode from a forward rule; a function that only has a rule for lanes is differentiated
itself.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.context import STAGING
from volta.core.derivatives import Carried
from volta.core.errors import RuleError, ShapeError, TraceError
from volta.core.primitive import Primitive
from volta.core.trace import Abstract, located, ops
from volta.core.tracer import Tracer
from volta.core.types import SCALARS, ArrayType, is_inexact, typeof
from volta.core.wengert import WengertList
from volta.transforms.arguments import as_array, name_of, path_of
from volta.transforms.lists import Back, of_place, push, record, stage, zeros_of
from volta.transforms.trace import StageTrace, abstract
from volta.transforms.vmap import BATCHING, again

__all__ = ["custom_jvp", "custom_rule", "custom_vjp"]

Function = Callable[..., Any]


class custom_rule:  # noqa: N801 - a decorator
    """A function with rules of its own for derivatives, transposition and lanes.

    Parameters
    ----------
    fun : callable
        Function of trees of arrays.
    nondiff_argnums : int or sequence of int
        Positional arguments that are no arrays, or not differentiated: functions, sizes, options.
        Rules get them first, as they are, however the call passes them.
    nondiff_argnames : str or sequence of str
        Further such arguments, by name. Those that can only go by name are passed by name, to the
        function and to `fwd` alone.

    Notes
    -----
    Any of the rules may be given, in any combination; they compose with each other and with all
    transforms. Without a rule for forward mode it is the transpose of the reverse rule, and the
    other way round; without either the function is differentiated as it stands. Rules are
    themselves differentiated for higher orders. Where lanes have no rule, function and rules are
    mapped.

    The function and its rules must not close over arrays that the same transform traces: pass them
    as arguments.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> @volta.custom_rule
    ... def clipped(x):
    ...     return F.clip(x, -1.0, 1.0)
    >>> clipped.defvjp(lambda x: (clipped(x), None), lambda _, ct: (ct,))  # straight through
    >>> volta.grad(lambda x: F.sum(clipped(x)))(np.asarray([0.5, 3.0]))
    array([1., 1.])
    >>> volta.jvp(clipped, (np.asarray([0.5, 3.0]),), (np.asarray([1.0, 2.0]),))[1]
    array([1., 2.])
    """

    transform = "custom_rule"

    def __init__(
        self,
        fun: Function,
        nondiff_argnums: int | Sequence[int] = (),
        nondiff_argnames: str | Sequence[str] = (),
    ) -> None:
        functools.update_wrapper(self, fun, updated=())
        self.fun = fun
        numbers = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else nondiff_argnums
        names = (nondiff_argnames,) if isinstance(nondiff_argnames, str) else nondiff_argnames
        places = {name: n for n, name in enumerate(self._positional)} if names else {}
        self.nondiff_argnums = tuple(
            dict.fromkeys([*numbers, *(places[name] for name in names if name in places)])
        )
        self.nondiff_argnames = tuple(name for name in names if name not in places)
        self.jvp_rule: Function | None = None
        self.fwd: Function | None = None
        self.bwd: Function | None = None
        self.vmap_rule: Function | None = None
        self.transpose_rule: Function | None = None

    @functools.cached_property
    def _positional(self) -> tuple[str, ...]:
        """Names of the parameters that can go by position; none where Python does not know."""
        try:
            parameters = inspect.signature(self.fun).parameters.values()
        except (TypeError, ValueError):
            return ()
        kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        return tuple(p.name for p in parameters if p.kind in kinds)

    @property
    def where(self) -> str:
        """Transform and function, for messages."""
        return f"{self.transform}({name_of(self.fun)})"

    # the rules ------------------------------------------------------------------------------
    def defjvp(self, rule: Function) -> Function:
        """Set the rule of forward mode.

        Parameters
        ----------
        rule : callable
            ``rule(*nondiff, primals, tangents) -> (out, tangent of out)``, linear in the tangents;
            those of arguments that do not vary are zeros.

        Returns
        -------
        callable
            `rule`.
        """
        self.jvp_rule = rule
        return rule

    def defjvps(self, *rules: Function | None) -> None:
        """Set the rule of forward mode by one function an argument.

        Parameters
        ----------
        *rules : callable or None
            ``rule(tangent, out, *args) -> tangent of out``, summed; None where there is none.
        """

        def rule(*given: Any) -> Any:
            *fixed, primals, tangents = given
            out = self(*_merged(self.nondiff_argnums, fixed, primals))
            terms = [
                r(t, out, *primals) for r, t in zip(rules, tangents, strict=True) if r is not None
            ]
            if not terms:
                return out, tree.map(ops.zeros_like, out)
            return out, tree.map(lambda *ts: functools.reduce(ops.add, ts), *terms)

        self.jvp_rule = rule

    def defvjp(self, fwd: Function, bwd: Function) -> None:
        """Set the rule of reverse mode.

        Parameters
        ----------
        fwd : callable
            ``fwd(*args) -> (out, residuals)``.
        bwd : callable
            ``bwd(*nondiff, residuals, ct) -> tuple`` of cotangents, one for each differentiated
            argument, None for none of it, or of a part of it.
        """
        self.fwd, self.bwd = fwd, bwd

    def defvmap(self, rule: Function) -> Function:
        """Set the rule of lanes.

        Parameters
        ----------
        rule : callable
            ``rule(*nondiff, axis_size, in_batched, *args) -> (out, out_batched)``: arguments have
            the lanes as their first axis where `in_batched`, a tree of bools like `args`, says so;
            `out_batched` says it of `out`.

        Returns
        -------
        callable
            `rule`.
        """
        self.vmap_rule = rule
        return rule

    def deftranspose(self, rule: Function) -> Function:
        """Say that the function is linear in its arguments together, and give its transpose.

        Parameters
        ----------
        rule : callable
            ``rule(*nondiff, ct) -> tuple`` of cotangents, one for each argument.

        Returns
        -------
        callable
            `rule`.
        """
        self.transpose_rule = rule
        return rule

    # calls ----------------------------------------------------------------------------------
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the function."""
        self._check_complete()
        call, operands = _Call.of(self, args, kwargs)
        traced = any(type(x) is Tracer and x.trace is not None for x in operands)
        if not traced and STAGING.get() is None:
            return self.fun(*args, **kwargs)
        found = _custom(*operands, call=call)
        return tree.unflatten(call.spec_of_out, found)

    def _check_complete(self) -> None:
        return


class custom_jvp(custom_rule):  # noqa: N801 - a decorator
    """A function with a rule of its own for forward mode; see `custom_rule`, which takes any rule.

    Reverse mode follows from the rule.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> @volta.custom_jvp
    ... def log1pexp(x):
    ...     return F.log1p(F.exp(x))
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t / (1 + F.exp(-x))
    >>> round(float(volta.grad(log1pexp)(np.asarray(100.0))), 6)
    1.0
    """

    transform = "custom_jvp"

    def _check_complete(self) -> None:
        if self.jvp_rule is None:
            msg = f"{self.where}: needs a rule before it is called; got none. Call defjvp."
            raise RuleError(msg)


class custom_vjp(custom_rule):  # noqa: N801 - a decorator
    """A function with a rule of its own for reverse mode; see `custom_rule`, which takes any rule.

    Forward mode follows from the rule.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> @volta.custom_vjp
    ... def clip_gradient(x):
    ...     return x
    >>> clip_gradient.defvjp(lambda x: (x, None), lambda _, ct: (F.clip(ct, -1.0, 1.0),))
    >>> volta.grad(lambda x: F.sum(5.0 * clip_gradient(x)))(np.asarray([1.0, 2.0]))
    array([1., 1.])
    """

    transform = "custom_vjp"

    def _check_complete(self) -> None:
        if self.bwd is None:
            msg = f"{self.where}: needs rules before it is called; got none. Call defvjp."
            raise RuleError(msg)


def _merged(numbers: tuple[int, ...], fixed: Sequence[Any], rest: Sequence[Any]) -> list[Any]:
    """Positional arguments from those that are fixed, by their numbers, and the others."""
    total = len(fixed) + len(rest)
    places = {n % total: a for n, a in zip(numbers, fixed, strict=True)}
    others = iter(rest)
    return [places[i] if i in places else next(others) for i in range(total)]


class _Call:
    """One call of a function with rules: what the primitive carries.

    Of its operands, the arrays among the leaves of the differentiated arguments, it keeps none.

    Attributes
    ----------
    numbers : dict of int to number
        Leaves that are Python numbers, by their places: they are part of the call.
    places : list of Abstract
        What stands for the operands.
    spec_of_out : PyTreeSpec
        Structure of the result, once the function was run.
    """

    def __init__(
        self,
        rule: custom_rule,
        fixed: list[Any],
        keywords: dict[str, Any],
        numbers: dict[int, Any],
        places: list[Abstract],
        spec: tree.PyTreeSpec,
    ) -> None:
        self.rule, self.fixed, self.keywords = rule, fixed, keywords
        self.numbers, self.places, self.spec = numbers, places, spec
        self.spec_of_out: Any = None
        self.list: WengertList | None = None

    @classmethod
    def of(
        cls, rule: custom_rule, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple["_Call", list[Any]]:
        """A call and its operands."""
        keywords: dict[str, Any] = {}
        if kwargs or (rule.nondiff_argnums and len(args) < len(rule._positional)):
            args, keywords = _by_position(rule, args, kwargs)
        fixed = [args[n] for n in rule.nondiff_argnums]
        numbers = {n % len(args) for n in rule.nondiff_argnums}
        rest = [a for i, a in enumerate(args) if i not in numbers]
        leaves, spec = tree.flatten(tuple(rest))
        given = {i: x for i, x in enumerate(leaves) if type(x) in SCALARS}
        operands = [as_array(x, rule.where) for x in leaves if type(x) not in SCALARS]
        places = [abstract(x) for x in operands]
        return cls(rule, fixed, keywords, given, places, spec), operands

    def __str__(self) -> str:
        return self.rule.where

    @property
    def axis_names(self) -> frozenset[Any]:
        """Axes of the collectives in the function, if it is staged."""
        return frozenset() if self.list is None else self.list.axis_names

    def in_lanes(self, size: int, batched: tuple[bool, ...], operands: tuple[Any, ...]) -> "_Call":
        """The call of many lanes at once."""
        rule, places = _Lanes(self, size, batched), [abstract(x) for x in operands]
        return _Call(rule, self.fixed, self.keywords, self.numbers, places, self.spec)

    def args(self, operands: Sequence[Any], number: Any = None) -> tuple[Any, ...]:
        """Differentiated arguments from their arrays; `number` takes the place of numbers."""
        rest = iter(operands)
        leaves = [
            (self.numbers[i] if number is None else number(self.numbers[i]))
            if i in self.numbers
            else next(rest)
            for i in range(self.spec.num_leaves)
        ]
        return tree.unflatten(self.spec, leaves)  # type: ignore[no-any-return]  # a tuple

    def all_args(self, operands: Sequence[Any]) -> list[Any]:
        return _merged(self.rule.nondiff_argnums, self.fixed, self.args(operands))

    def leaves(self, out: Any) -> tuple[Any, ...]:
        """Leaves of a result, whose structure is remembered."""
        found, self.spec_of_out = tree.flatten(out)
        return tuple(as_array(x, self.rule.where) for x in found)

    def run(self, *operands: Any) -> tuple[Any, ...]:
        """The function itself."""
        return self.leaves(self.rule.fun(*self.all_args(operands), **self.keywords))

    def shares(self, grads: Any, what: str) -> list[Any]:
        """Cotangents of the operands from a rule's tuple of those of the arguments."""
        parts = self.spec.children()
        grads = tuple(grads) if isinstance(grads, list) else grads
        if not isinstance(grads, tuple) or len(grads) != len(parts):
            got = f"{len(grads)}" if isinstance(grads, tuple) else type(grads).__name__
            msg = (
                f"{self.rule.where}: {what} must return a tuple with a cotangent for each of the "
                f"{len(parts)} arguments; got {got}. Return None for those without a derivative."
            )
            raise located(ShapeError(msg))
        found: list[Any] = []
        for i, (grad, part) in enumerate(zip(grads, parts, strict=True)):
            leaves = _up_to(part, grad)
            if leaves is None:
                msg = (
                    f"{self.rule.where}: {what} must return cotangents of the structure of the "
                    f"arguments; got {tree.structure(grad)} and {part} for argument {i}."
                )
                raise located(ShapeError(msg))
            found += leaves
        found = [g for i, g in enumerate(found) if i not in self.numbers]
        return [
            of_place(g, p) if type(g) in SCALARS and not p.shape else g
            for g, p in zip(found, self.places, strict=True)
        ]


def _up_to(spec: tree.PyTreeSpec, grads: Any) -> list[Any] | None:
    """Leaves of cotangents, in which None stands for any subtree; None if they do not fit."""
    if grads is None:
        return [None] * spec.num_leaves
    if spec.is_leaf():
        return [grads] if tree.structure(grads).is_leaf() else None
    nodes, one_level = tree.flatten(grads, is_leaf=lambda node: node is not grads)
    if one_level.type is not spec.type or one_level.entries() != spec.entries():
        return None
    found: list[Any] = []
    for part, node in zip(spec.children(), nodes, strict=True):
        leaves = _up_to(part, node)
        if leaves is None:
            return None
        found += leaves
    return found


def _by_position(
    rule: custom_rule, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments by position, with defaults if a fixed one has its own, and fixed ones by name."""
    bound = inspect.signature(rule.fun).bind(*args, **kwargs)  # raises what a call would
    names = rule._positional
    fixed = {names[n] for n in rule.nondiff_argnums if -len(names) <= n < len(names)}
    if not fixed.issubset(bound.arguments):
        bound.apply_defaults()
    keywords = {k: v for k, v in kwargs.items() if k in rule.nondiff_argnames}
    others = [k for k in bound.kwargs if k in kwargs and k not in keywords]
    if others:
        msg = (
            f"{rule.where}: arguments by name must be parameters that can go by position, or in "
            f"nondiff_argnames; got {', '.join(others)}."
        )
        raise located(TypeError(msg))
    return bound.args, keywords


# The primitive ----------------------------------------------------------------------------------


def _type(*types: ArrayType, call: _Call) -> tuple[ArrayType, ...]:
    if call.list is None:
        call.list, _ = stage(call.run, call.places, call.rule.transform, call.rule.fun)
        if any(type(c) is Tracer for c in call.list.constants):
            msg = (
                f"{call.rule.where}: must not close over a traced array where it is staged; got "
                "one. Pass it as an argument."
            )
            raise located(TraceError(msg))
    return tuple(call.list.types[o] for o in call.list.outputs)


def _filled(call: _Call, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Tangents of the arguments, zeros for those that do not vary."""
    whole = [zeros_of(p) if t is None else t for p, t in zip(primals, tangents, strict=True)]
    return call.args(whole, lambda number: type(number)(0))


def _jvp(
    primals: tuple[Any, ...], tangents: tuple[Any, ...], hidden: bool, *, call: _Call
) -> tuple[Any, Any, bool]:
    rule = call.rule
    if rule.jvp_rule is not None:
        return *_by_rule(call, primals, tangents), hidden
    if rule.transpose_rule is not None:
        filled = [zeros_of(p) if t is None else t for p, t in zip(primals, tangents, strict=True)]
        return _custom(*primals, call=call), _custom(*filled, call=call), hidden
    if rule.bwd is not None:
        return _transposed(call, primals, tangents, hidden)
    return push(call.run, primals, tangents, hidden)


def _by_rule(
    call: _Call, primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Results and their tangents by the rule of forward mode."""
    rule = call.rule
    made = rule.jvp_rule(*call.fixed, call.args(primals), _filled(call, primals, tangents))  # type: ignore[misc]  # it has one
    out, t = _two(rule, made, "the forward rule")
    values = call.leaves(out)
    moved, spec = tree.flatten(t)
    if spec != call.spec_of_out:
        msg = (
            f"{rule.where}: the forward rule must return a tangent of the structure of the "
            f"result; got {spec} and {call.spec_of_out}."
        )
        raise located(ShapeError(msg))
    moved = [as_array(m, rule.where) for m in moved]
    _check_types(rule, "the forward rule", moved, values, call.spec_of_out)
    return values, tuple(moved)


def _transposed(
    call: _Call, primals: Sequence[Any], tangents: Sequence[Any], hidden: bool
) -> tuple[Any, Any, bool]:
    """Forward mode: cotangents are linear in those of the result; their transpose goes forwards."""
    values, residuals = _run_fwd(call, primals)
    moving = [i for i, t in enumerate(tangents) if t is not None]
    active = [is_inexact(typeof(v).dtype) for v in values]
    zeros = [zeros_of(v) for v in values]

    def back(*seeds: Any) -> list[Any]:
        shares = _run_bwd(call, residuals, seeds)
        return [zeros_of(primals[i]) if shares[i] is None else shares[i] for i in moving]

    transpose = record(back, zeros, active)[2]
    found, hides = transpose([tangents[i] for i in moving], hidden)
    rest = iter(found)
    return values, tuple(next(rest) if a else None for a in active), hides


def _fwd(needed: Sequence[Any], *primals: Any, call: _Call) -> tuple[Any, Any]:
    """Results, and a function from cotangents of them to those of operands."""
    rule = call.rule
    kinds = [None if v is None else typeof(p) for v, p in zip(needed, primals, strict=True)]
    back: Any
    if rule.bwd is not None:
        values, residuals = _run_fwd(call, primals)
        back = residuals
    elif rule.transpose_rule is not None:
        values, back = _custom(*primals, call=call), None
    else:
        values, back = _linearized(call, primals, needed)
    return tuple(values), (back, list(map(abstract, values)), kinds)


def _linearized(
    call: _Call, primals: Sequence[Any], needed: Sequence[Any]
) -> tuple[Any, tuple[Back, Any]]:
    """Results, and the way back of the function itself, or of its rule of forward mode.

    With the way back comes what the rule closes over.
    """
    mask = [v is not None for v in needed]
    values: Any
    if call.rule.jvp_rule is None:
        values, _, back = record(call.run, primals, mask)
        return values, (back, ())
    with np.errstate(all="ignore"):  # an infinite derivative is an answer, not an accident
        values, own, pushed = _list_of_tangents(call, primals, mask)
        zeros = [zeros_of(p) for p, m in zip(primals, mask, strict=True) if m]
        linear = record(pushed, zeros, [True] * len(zeros))[2]

    def transpose(cts: Sequence[Any], hidden: bool) -> tuple[list[Any], bool]:
        return linear([ct for ct, mine in zip(cts, own, strict=True) if mine], hidden)

    return values, (transpose, pushed.constants)


def _list_of_tangents(
    call: _Call, primals: Sequence[Any], mask: list[bool]
) -> tuple[tuple[Any, ...], list[bool], WengertList]:
    """The rule of forward mode at given primals: results, which have a tangent, and their list."""
    stager = StageTrace(call.rule.fun, call.rule.transform)
    inputs = [stager.input(p) if m else None for p, m in zip(primals, mask, strict=True)]
    try:
        values, tangents = _by_rule(call, primals, inputs)
        own = [type(t) is Tracer and t.trace is stager for t in tangents]
        if any(type(v) is Tracer and v.trace is stager for v in values):  # of a loop over both
            values, _ = _by_rule(call, primals, [None] * len(primals))
        moved = [t for t, mine in zip(tangents, own, strict=True) if mine]
        return values, own, stager.finish([x.var for x in inputs if x is not None], moved)
    finally:
        stager.open = False


def _bwd(
    residuals: Any, cts: tuple[Any, ...], needed: Sequence[Any], hidden: bool, *, call: _Call
) -> tuple[list[Any], bool]:
    back, places, kinds = residuals
    rule = call.rule
    if rule.bwd is None and rule.transpose_rule is None:
        found, hides = back[0](cts, hidden)
        rest = iter(found)
        shares = [None if v is None else next(rest) for v in needed]
    else:
        hides = hidden
        seeds = [zeros_of(p) if ct is None else ct for p, ct in zip(places, cts, strict=True)]
        shares = (_run_transpose if rule.bwd is None else _run_bwd)(call, back, seeds)
    grads = [None if v is None else s for s, v in zip(shares, needed, strict=True)]
    for g, kind in zip(grads, kinds, strict=True):
        if g is not None and typeof(g) != kind:
            msg = (
                f"{rule.where}: a cotangent must have its argument's type; got {typeof(g)} "
                f"and {kind}."
            )
            raise located(ShapeError(msg))
    return grads, hides


def _run_fwd(call: _Call, primals: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
    """Results and residuals, by the user's function."""
    made = call.rule.fwd(*call.all_args(primals), **call.keywords)  # type: ignore[misc]  # it has one
    out, residuals = _two(call.rule, made, "fwd")
    return call.leaves(out), residuals


def _run_bwd(call: _Call, residuals: Any, seeds: Sequence[Any]) -> list[Any]:
    ct = tree.unflatten(call.spec_of_out, list(seeds))
    return call.shares(call.rule.bwd(*call.fixed, residuals, ct), "bwd")  # type: ignore[misc]  # it has one


def _run_transpose(call: _Call, _: None, seeds: Sequence[Any]) -> list[Any]:
    ct = tree.unflatten(call.spec_of_out, list(seeds))
    return call.shares(call.rule.transpose_rule(*call.fixed, ct), "the transpose rule")  # type: ignore[misc]  # it has one


def _two(rule: custom_rule, made: Any, what: str) -> tuple[Any, Any]:
    if not isinstance(made, tuple | list) or len(made) != 2:
        got = len(made) if isinstance(made, tuple | list) else type(made).__name__
        msg = f"{rule.where}: {what} must return a pair; got {got}."
        raise located(TypeError(msg))
    return made[0], made[1]


def _check_types(
    rule: custom_rule, what: str, moved: Sequence[Any], values: Sequence[Any], spec: Any
) -> None:
    for i, (t, v) in enumerate(zip(moved, values, strict=True)):
        if is_inexact(typeof(v).dtype) and typeof(t) != typeof(v):
            path = path_of(spec, i).replace("input", "result", 1)
            msg = (
                f"{rule.where}: {what} must return tangents of the type of the result; got "
                f"{typeof(t)} and {typeof(v)} at {path}."
            )
            raise located(ShapeError(msg))


def _batch(size: int, batched: tuple[bool, ...], *operands: Any, call: _Call) -> tuple[Any, ...]:
    lanes = call.in_lanes(size, batched, operands)
    found = tuple(_custom(*operands, call=lanes))
    call.spec_of_out = lanes.spec_of_out
    return found


class _Lanes(custom_rule):
    """Rules of many lanes of a call, from those of one; results all have the lanes' axis."""

    def __init__(self, call: _Call, size: int, batched: tuple[bool, ...]) -> None:
        rule = call.rule
        super().__init__(rule.fun, rule.nondiff_argnums, rule.nondiff_argnames)
        self.transform = rule.transform
        flags = call.args(batched, lambda _: False)
        axes = call.args([0 if b else None for b in batched], lambda _: None)
        numbers, fixed = rule.nondiff_argnums, call.fixed
        lanes = BATCHING.get()

        def gathered(shares: Sequence[Any]) -> tuple[Any, ...]:
            """Cotangents of the arguments from those of each lane: summed where lanes share one."""
            summed = [
                s if s is None or b else ops.sum(s, axis=(0,))
                for s, b in zip(shares, batched, strict=True)
            ]
            return call.args(summed, lambda _: None)

        def mapped(fun: Function, in_axes: Any, out_axes: Any = 0) -> Function:
            return again(fun, in_axes, out_axes, lanes)

        def rest(args: Sequence[Any]) -> list[Any]:
            """Arguments without the fixed ones."""
            where = {n % len(args) for n in numbers} if numbers else set()
            return [a for i, a in enumerate(args) if i not in where]

        def whole(args: Sequence[Any]) -> list[Any]:
            return _merged(numbers, fixed, args)

        keywords = call.keywords
        if rule.vmap_rule is not None:
            user = rule.vmap_rule

            def fun(*args: Any, **_: Any) -> Any:
                made = user(*fixed, size, flags, *rest(args))
                out, spread = _two(rule, made, "the rule of lanes")
                return _spread_out(rule.where, out, spread, size)

            self.fun = fun
        else:
            one = rule.fun
            self.fun = lambda *args, **_: mapped(
                lambda *a: one(*whole(a), **keywords), tuple(axes)
            )(*rest(args))
        functools.update_wrapper(self, rule.fun, updated=())
        if rule.jvp_rule is not None:
            push = rule.jvp_rule
            self.jvp_rule = lambda *given: mapped(
                lambda primals, tangents: push(*fixed, primals, tangents), (axes, axes)
            )(*given[-2:])
        if rule.bwd is not None:
            first, back = rule.fwd, rule.bwd
            self.fwd = lambda *args, **_: mapped(
                lambda *a: first(*whole(a), **keywords),  # type: ignore[misc]  # it has one
                tuple(axes),
            )(*rest(args))
            self.bwd = lambda *given: gathered(
                mapped(lambda r, ct: call.shares(back(*fixed, r, ct), "bwd"), (0, 0))(*given[-2:])
            )
        if rule.transpose_rule is not None:
            transpose = rule.transpose_rule
            self.transpose_rule = lambda *given: gathered(
                mapped(lambda ct: call.shares(transpose(*fixed, ct), "the transpose rule"), (0,))(
                    given[-1]
                )
            )


def _spread_out(where: str, out: Any, spread: Any, size: int) -> Any:
    """Results that all have the axis of lanes, from a rule's that may not."""
    leaves, spec = tree.flatten(out)
    marks, marks_spec = tree.flatten(spread)
    if isinstance(spread, bool):
        marks = marks * len(leaves)
    elif marks_spec != spec:
        msg = (
            f"{where}: the rule of lanes must say of each result whether it has lanes; got "
            f"{marks_spec} for {spec}."
        )
        raise located(ShapeError(msg))
    found = []
    for x, m in zip(leaves, marks, strict=True):
        x = as_array(x, where)
        if m and tuple(x.shape[:1]) != (size,):
            msg = f"{where}: results of the rule of lanes must have {size} lanes; got {typeof(x)}."
            raise located(ShapeError(msg))
        found.append(x if m else ops.broadcast_to(x, (size, *x.shape)))
    return tree.unflatten(spec, found)


_custom = Primitive(
    "custom_rule",
    type_rule=lambda *types, call: _type(*types, call=call),
    batch=_batch,
    derivatives=Carried(_jvp, _fwd, _bwd),
    value=lambda xp, *operands, call: call.run(*operands),
    results=0,
)
