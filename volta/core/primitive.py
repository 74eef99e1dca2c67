"""Primitives: one object per operation, with everything known about it.

A `Primitive` holds the operation's name, its kernels, its type rule, its derivative entries and
its batching rule. Derivative entries, one per operand, say how the operation varies with it:

`Partial`   the elementwise derivative ∂; the driver multiplies, so it serves both modes;
`Linear`    linear in this operand alone: the tangent goes in its slot, a transpose comes back;
`Joint`     linear in a group of operands together (add, where's branches);
`Variadic`  `Joint` for every operand of an operation that takes any number (concat);
`Pair`      rules for the whole operation, forward and reverse;
`ZERO`      no dependence to first order;
`Missing`   no rule: an error when a tangent or cotangent arrives.

A rule's parameters are the result and the operands (`Partial`) or the cotangent and the operands
(transposes). What a rule names is kept for it; a parameter whose name begins with an underscore
is not kept and arrives as None. Operands in which the rule is linear arrive as their types, or as
arrays where another rule needs them so: ask them for shape, ndim and dtype only.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, TypeVar

import numpy as np

from volta.core.context import RUNNING
from volta.core.dispatch import Library, common_library, library_of
from volta.core.errors import DeviceError, DTypeError, RuleError, VoltaError
from volta.core.trace import at_line, live, ops
from volta.core.tracer import Tracer, bind, link, refresh
from volta.core.types import DTYPES, SCALARS, ArrayType, typeof

__all__ = [
    "REGISTRY",
    "ZERO",
    "Joint",
    "Linear",
    "Missing",
    "Pair",
    "Partial",
    "Plan",
    "Primitive",
    "Unspecified",
    "Variadic",
    "as_result",
    "binary_call",
    "located",
    "nary_call",
    "public",
    "unary_call",
]

Kernel = Callable[..., Any]

REGISTRY: Final[dict[str, "Primitive"]] = {}


class Unspecified(DTypeError):  # noqa: N818 - it says what the standard leaves open
    """Dtypes for which the standard says nothing: the array's library decides, or refuses."""


def _kept(rule: Callable[..., Any]) -> tuple[int, ...]:
    """Positions among the rule's parameters after the first that it wants kept."""
    code = rule.__code__
    names = code.co_varnames[1 : code.co_argcount]
    return tuple(i for i, name in enumerate(names) if not name.startswith("_"))


def _rest(rule: Callable[..., Any]) -> bool:
    """Whether the rule wants the operands past those it names kept."""
    code = rule.__code__
    if not code.co_flags & inspect.CO_VARARGS:
        return False
    return not code.co_varnames[code.co_argcount + code.co_kwonlyargcount].startswith("_")


def _takes(rule: Callable[..., Any]) -> int | None:
    """How many operands the rule takes after its first parameter; None for all."""
    code = rule.__code__
    return None if code.co_flags & inspect.CO_VARARGS else code.co_argcount - 1


class Partial:
    """Elementwise derivative: ``rule(out, *operands) -> ∂``, a factor, or a mask that selects.

    `choice` says that ∂ is the weight with which the operand was chosen (`maximum`): constant
    between the choices, finite, and 0 where the operand was not looked at, so that there even an
    infinite cotangent is none.
    """

    __slots__ = ("choice", "keeps", "keeps_out", "rest", "rule", "takes")

    def __init__(self, rule: Callable[..., Any], *, choice: bool = False) -> None:
        self.choice = choice
        self.rule, self.takes, self.rest = rule, _takes(rule), _rest(rule)
        self.keeps = _kept(rule)
        self.keeps_out = not rule.__code__.co_varnames[0].startswith("_")


class Linear:
    """Linear in this operand: ``transpose(ct, *operands, **params) -> ct of the operand``."""

    __slots__ = ("keeps", "rest", "rule", "takes")
    keeps_out = False

    def __init__(self, transpose: Callable[..., Any]) -> None:
        self.rule, self.takes, self.rest = transpose, _takes(transpose), _rest(transpose)
        self.keeps = _kept(transpose)


class Joint(Linear):
    """Linear in this operand together with the other `Joint` ones; transpose as for `Linear`."""

    __slots__ = ()


class Variadic(Linear):
    """Linear in all operands together: ``transpose(ct, needed, *types, **params)``.

    Returns one cotangent an operand, which may be None where `needed`, a tuple of bool, is false.
    """

    __slots__ = ()


class Zero:
    """The derivative is zero, or the result is not differentiable by its dtype."""

    __slots__ = ()
    keeps: tuple[int, ...] = ()
    keeps_out = False


ZERO: Final = Zero()


class Missing:
    """There is no rule, for `reason`."""

    __slots__ = ("reason",)
    keeps: tuple[int, ...] = ()
    keeps_out = False

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def refuse(self, name: str, mode: str) -> NoReturn:
        """Raise the error that names the operation and the reason."""
        msg = f"{name}: needs a {mode}-mode derivative rule; got none, because {self.reason}."
        raise RuleError(msg)


class Pair:
    """Derivative of a whole operation.

    Parameters
    ----------
    jvp : callable
        ``jvp(primals, tangents, **params) -> (out, tangent of out)``; absent tangents are None.
    fwd : callable
        ``fwd(*primals, **params) -> (out, residuals)``.
    bwd : callable
        ``bwd(residuals, ct, needed, **params) -> cotangents``, one per operand, None where not
        `needed`; with several results `ct` is a tuple in which absent ones are None.
    """

    __slots__ = ("bwd", "fwd", "jvp")

    def __init__(
        self, jvp: Callable[..., Any], fwd: Callable[..., Any], bwd: Callable[..., Any]
    ) -> None:
        self.jvp, self.fwd, self.bwd = jvp, fwd, bwd


class Plan:
    """What differentiation with respect to given operands needs, found once and cached.

    Attributes
    ----------
    steps : tuple of (int, entry, callable)
        Operand, its derivative entry, and the entry's rule taking as many operands as are saved.
    active : tuple of int
        Operands of the steps.
    keep_out : bool
        Whether the result is kept.
    saved : tuple of (int, bool)
        Operands of which something is kept, and whether it is the value (else the type).
    blank : tuple of None
        What is saved of the operands before anything is put in.
    whole : tuple of bool or None
        For two operands of which only values are kept: which.
    joint : tuple of int
        Operands in which the operation is linear together.
    """

    __slots__ = (
        "active",
        "blank",
        "joint",
        "keep_out",
        "masks",
        "saved",
        "steps",
        "variadic",
        "whole",
    )

    def __init__(self, primitive: "Primitive", mask: int, arity: int) -> None:
        entries = primitive.entries(arity)
        steps = [(i, e) for i, e in enumerate(entries) if mask >> i & 1 and e is not ZERO]
        self.variadic = type(primitive.derivatives) is Variadic
        self.masks = primitive.masks
        self.active = tuple(i for i, _ in steps)
        self.joint = tuple(i for i, e in enumerate(entries) if isinstance(e, Joint | Variadic))
        self.keep_out = any(e.keeps_out for _, e in steps)
        rules = [(i, e) for i, e in steps if type(e) is not Missing]
        wanted = {k for _, e in rules for k in e.keeps}
        for _, e in rules:
            if e.rest:
                wanted.update(range(e.rule.__code__.co_argcount - 1, arity))
        if self.variadic:
            wanted = set(range(arity))
        # an operand's own linear rule wants its type; another rule may want its value as well
        by_type = set(self.joint) | {
            i
            for i, e in rules
            if type(e) is Linear and not any(j != i and i in other.keeps for j, other in rules)
        }
        self.saved = tuple((i, i not in by_type) for i in sorted(wanted))
        takes = [arity if e.takes is None else e.takes for _, e in rules]
        width = max(takes, default=0)
        self.blank = (None,) * width
        self.whole = (
            tuple((i, True) in self.saved for i in range(width))
            if width == 2 and all(whole for _, whole in self.saved)
            else None
        )
        self.steps: tuple[tuple[int, Any, Any], ...] = tuple(
            (i, e, None if type(e) is Missing else _taking(e, width)) for i, e in steps
        )


def _taking(entry: Any, width: int) -> Callable[..., Any]:
    """Rule of an entry, as a function of its first argument and `width` operands."""
    rule, takes = entry.rule, entry.takes
    if takes is None or takes == width:
        return rule  # type: ignore[no-any-return]  # a function
    return lambda first, *saved, **params: rule(first, *saved[:takes], **params)


class Primitive:
    """An operation.

    Parameters
    ----------
    name : str
        Unique name; by default the library's function of that name is the kernel.
    type_rule : callable
        ``type_rule(*types, **params) -> ArrayType`` (a tuple of them with several results); the
        judge of shapes and dtypes, raising Volta's errors.
    batch : callable
        ``batch(size, batched, *operands, **params) -> out``: the operation over a leading batch
        axis that those operands have where `batched` is true; results have it too.
    derivatives : sequence of entries, Variadic or Pair
        How the operation varies with each operand; operands past the last entry have `ZERO`.
    value : callable, optional
        Portable kernel ``value(xp, *operands, **params)`` over an Array API namespace.
    kernels : dict, optional
        Library name to a kernel ``kernel(*operands, **params)`` of its own.
    elementwise : bool
        Operands broadcast and promote; rules need not know.
    masks : bool
        The transposes put zeros where the operation did not look, so that what follows must not
        multiply them by an infinite derivative.
    view : bool
        On NumPy the result may share memory with the first operand.
    results : int
        Number of results; 0 when it depends on the parameters (always a tuple then).
    unpromoted : int
        Leading operands of an elementwise operation that do not take part in promotion.
    """

    __slots__ = (
        "apply",
        "batch",
        "derivatives",
        "elementwise",
        "kernels",
        "masks",
        "name",
        "own_kernels",
        "pair",
        "plans",
        "results",
        "type_rule",
        "unpromoted",
        "value",
        "view",
    )

    def __init__(
        self,
        name: str,
        *,
        type_rule: Callable[..., Any],
        batch: Callable[..., Any],
        derivatives: Sequence[Any] | Variadic | Pair,
        value: Callable[..., Any] | None = None,
        kernels: dict[str, Kernel] | None = None,
        elementwise: bool = False,
        masks: bool = False,
        view: bool = False,
        results: int = 1,
        unpromoted: int = 0,
    ) -> None:
        if name in REGISTRY:
            msg = f"{name}: a primitive's name must be unique"
            raise ValueError(msg)
        self.name, self.type_rule, self.batch = name, type_rule, batch
        self.derivatives, self.value, self.own_kernels = derivatives, value, kernels or {}
        self.elementwise, self.masks, self.view = elementwise, masks, view
        self.results, self.unpromoted = results, unpromoted
        self.pair = derivatives if type(derivatives) is Pair else None
        self.kernels: dict[Any, Kernel] = {}  # array type, or a pair of operand types
        self.plans: dict[
            int, Plan
        ] = {}  # operands differentiated, as a bit mask under a leading one
        self.apply: Kernel = self.__call__  # replaced by a shorter path where there is one
        REGISTRY[name] = self

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _named, (self.name,)

    def entries(self, arity: int) -> tuple[Any, ...]:
        """Derivative entry of each of `arity` operands."""
        if type(self.derivatives) is Variadic:
            return (self.derivatives,) * arity
        entries = tuple(self.derivatives)  # type: ignore[arg-type]  # a Pair never comes here
        return entries + (ZERO,) * (arity - len(entries))

    def plan(self, mask: int, arity: int) -> Plan:
        """Plan for differentiating with respect to the operands in a bit mask."""
        key = mask | 1 << arity
        found = self.plans.get(key)
        if found is None:
            found = self.plans[key] = Plan(self, mask, arity)
        return found

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Apply the operation to raw arrays or tracers; parameters go by keyword."""
        first = None
        plain = not live.staging
        for a in args:
            t = type(a)
            if t is Tracer:
                if len(args) > 1 or not plain:
                    return bind(self, args, params)
                if a.view is not None:
                    refresh(a)
                trace = a.trace
                if trace is None or not trace.open:
                    return bind(self, args, params)
                out = trace.process_one(self, a, params)
                if self.view:
                    link(self, a, out, params)
                return out
            if t is not first and t not in SCALARS:
                if first is None:
                    first = t
                else:
                    plain = False
        kernel = self.kernels.get(first) if plain else None
        if kernel is None:
            return bind(self, args, params) if live.staging else self.evaluate(args, params)
        try:
            out = kernel(*args, **params)
        except Exception as error:
            raise self.explain(error, args, params) from error
        return out if type(out) is first else as_result(out)

    # raw arrays --------------------------------------------------------------------------------
    def evaluate(self, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Run the kernel of the raw operands' library; `args` holds no tracer."""
        first = None
        for a in args:
            t = type(a)
            if t is not first and t not in SCALARS:
                if first is None:
                    first = t
                else:
                    first = None
                    break
        try:
            kernel = self.kernels[first]
        except KeyError:
            kernel, args = self._find(args)
        try:
            out = kernel(*args, **params)
        except Exception as error:
            raise self.explain(error, args, params) from error
        return as_result(out)

    def _find(self, args: tuple[Any, ...]) -> tuple[Kernel, tuple[Any, ...]]:
        library, joined = common_library(args, self.name)
        kernel = self.kernel_of(library)
        types = {type(a) for a in joined} - SCALARS
        if len(types) == 1:
            self.kernels[types.pop()] = kernel
        return kernel, joined

    def kernel_of(self, library: Library) -> Kernel:
        """The operation as a function on raw arrays of `library`."""
        kernel = self.own_kernels.get(library.name)
        if kernel is not None:
            return kernel
        value = self.value
        if value is not None:
            xp = library.xp
            return lambda *args, **params: value(xp, *args, **params)
        found: Kernel | None = getattr(library.xp, self.name, None)
        if found is None:
            msg = f"{self.name}: the array library must have this function; got {library.name}."
            raise RuleError(msg)
        if library.name == "torch" and self.name in _TORCH_OWN:
            return _torch_kernel(getattr(sys.modules["torch"], self.name), found)
        return found

    def explain(self, error: Exception, args: tuple[Any, ...], params: dict[str, Any]) -> Exception:
        """Volta's own error for a kernel's failure, by the type rule; else `error` itself."""
        if isinstance(error, VoltaError):
            return located(error)
        try:
            self.type_rule(*map(typeof, args), **params)
        except VoltaError as own:
            return located(own)
        devices = {str(library_of(a, self.name).device(a)) for a in args if type(a) not in SCALARS}
        if len(devices) > 1:
            msg = (
                f"{self.name}: arrays must be on one device; got {' and '.join(sorted(devices))}. "
                "Move one with volta.tree.to(x, device=…)."
            )
            return located(DeviceError(msg))
        return error

    def infer(self, args: Sequence[Any], types: Sequence[ArrayType], params: dict[str, Any]) -> Any:
        """Type of the result, asking the library of `args` where the standard is silent."""
        try:
            return self.type_rule(*types, **params)
        except Unspecified as silent:
            kind = self._ask_library(args, types, params)
            if kind is None:
                raise located(silent) from None
            return kind
        except VoltaError as error:
            raise located(error) from None

    def _ask_library(
        self, args: Sequence[Any], types: Sequence[ArrayType], params: dict[str, Any]
    ) -> ArrayType | None:
        """Type of the result, its dtype from the library of `args`; None if that refuses too."""
        from volta.core.tracer import library_under, meeting_place

        library = library_under(meeting_place(args, self.name))
        small = [
            a
            if type(a) in SCALARS
            else library.xp.ones((1,) * t.ndim, dtype=library.dtype(t.dtype))
            for a, t in zip(args, types, strict=True)
        ]
        try:
            dtype = typeof(self.kernel_of(library)(*small, **params)).dtype
        except Exception:
            return None
        for accepted in (dtype, DTYPES["float64"], DTYPES["int64"]):  # for the rule of the shape
            try:
                kinds = [ArrayType(t.shape, accepted) for t in types]
                return ArrayType(self.type_rule(*kinds, **params).shape, dtype)
            except Unspecified:
                continue
        return None


def _named(name: str) -> Primitive:
    return REGISTRY[name]


def located(error: VoltaError) -> VoltaError:
    """`error` with the user's line in its message, if a transform runs."""
    if RUNNING.get() and error.args and "(line:" not in error.args[0]:
        error.args = (f"{error.args[0]} (line:{at_line().removeprefix(' at')})",)
    return error


# Operations whose wrapper in array-api-compat costs as much again as torch's own function, and is
# needed for promotion alone
_TORCH_OWN: Final = frozenset(("add", "divide", "matmul", "multiply", "subtract"))


def _torch_kernel(own: Kernel, standard: Kernel) -> Kernel:
    def kernel(x1: Any, x2: Any) -> Any:
        if type(x2) is float or (type(x1) is type(x2) and x1.dtype is x2.dtype):
            return own(x1, x2)
        return standard(x1, x2)

    return kernel


def as_result(out: Any) -> Any:
    """Result of a kernel; NumPy returns scalars for rank 0, Volta arrays."""
    return np.asarray(out) if isinstance(out, np.generic) else out


Function = TypeVar("Function", bound=Callable[..., Any])


def public(primitive: Primitive, function: Function) -> Function:
    """Publish `function` as the op-set function of its name; returns it."""
    setattr(ops, function.__name__, function)
    function.primitive = primitive  # type: ignore[attr-defined]  # for tests and tools
    return function


_NONE: Final[dict[str, Any]] = {}  # the parameters of every operation without any


def unary_call(primitive: Primitive, like: Function) -> Function:
    """The public function of an elementwise operation of one operand: the shortest path."""
    kernels, evaluate, direct = primitive.kernels, primitive.evaluate, not primitive.view

    def call(x: Any, /) -> Any:
        t = type(x)
        if t is Tracer or live.staging:
            if direct and t is Tracer and not live.staging:
                if x.view is not None:
                    refresh(x)
                trace = x.trace
                if trace is not None and trace.open:
                    return trace.process_one(primitive, x, _NONE)
            return bind(primitive, (x,), _NONE)
        kernel = kernels.get(t)
        if kernel is None:
            return evaluate((x,), _NONE)
        try:
            out = kernel(x)
        except Exception as error:
            raise primitive.explain(error, (x,), {}) from error
        return out if type(out) is t else as_result(out)

    primitive.apply = call
    return dressed(call, like)


def binary_call(primitive: Primitive, like: Function) -> Function:
    """The public function of an elementwise operation of two operands."""
    kernels, evaluate = primitive.kernels, primitive.evaluate

    def call(x1: Any, x2: Any, /) -> Any:
        t = type(x1)
        t2 = type(x2)
        if t is Tracer:
            if x1.view is not None:
                refresh(x1)
            trace = x1.trace
            alone = t2 is not Tracer or (x2.trace is trace and x2.view is None)
            if alone and trace is not None and trace.open and not live.staging:
                return trace.process_two(primitive, x1, x2)
            return bind(primitive, (x1, x2), _NONE)
        if t2 is Tracer:
            if x2.view is not None:
                refresh(x2)
            trace = x2.trace
            if trace is not None and trace.open and not live.staging:
                return trace.process_two(primitive, x1, x2)
            return bind(primitive, (x1, x2), _NONE)
        if live.staging:
            return bind(primitive, (x1, x2), _NONE)
        if t2 is not t:
            if t in SCALARS:
                t = t2
            elif t2 not in SCALARS:
                return evaluate((x1, x2), _NONE)
        kernel = kernels.get(t)
        if kernel is None:
            return evaluate((x1, x2), _NONE)
        try:
            out = kernel(x1, x2)
        except Exception as error:
            raise primitive.explain(error, (x1, x2), {}) from error
        return out if type(out) is t else as_result(out)

    primitive.apply = call
    return dressed(call, like)


def nary_call(primitive: Primitive, like: Function) -> Function:
    """The public function of an elementwise operation of more operands."""
    call = primitive.__call__
    return dressed(lambda *args: call(*args), like)


def dressed(call: Any, like: Function) -> Function:
    """`call` with the name, signature and docstring of `like`."""
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        setattr(call, name, getattr(like, name))
    call.__signature__ = inspect.signature(like)
    call.__wrapped__ = like  # doctest finds the line of the docstring through it
    return call  # type: ignore[no-any-return]  # a function
