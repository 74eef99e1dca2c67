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
is not kept and arrives as None, one whose name ends in ``_shape`` arrives as that operand's shape.
Operands in which the rule is linear arrive as their types, or as arrays where another rule needs
them so: ask them for shape, ndim and dtype only.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, TypeVar

from volta.core.call import as_result, caller, pair_recorder, recorder, shape_of, weak, written
from volta.core.context import RUNNING
from volta.core.dispatch import Library, common_library, library_of
from volta.core.errors import DeviceError, DTypeError, RuleError, VoltaError
from volta.core.trace import at_line, ops
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
    "dressed",
    "located",
    "public",
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


def _shapes(rule: Callable[..., Any]) -> tuple[int, ...]:
    """Positions, counted likewise, of which it wants the shape alone."""
    code = rule.__code__
    names = code.co_varnames[1 : code.co_argcount]
    return tuple(i for i, name in enumerate(names) if name.endswith("_shape"))


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


def _takes_params(rule: Callable[..., Any]) -> bool:
    code = rule.__code__
    return code.co_kwonlyargcount > 0 or bool(code.co_flags & inspect.CO_VARKEYWORDS)


class Partial:
    """Elementwise derivative: ``rule(out, *operands) -> ∂``, a factor, or a mask that selects.

    `choice` says that the rule returns a pair of masks (`maximum`): where the operand was chosen,
    and where another was too, so that each has a half. Where it was not chosen even an infinite
    cotangent is none.
    """

    __slots__ = ("choice", "keeps", "keeps_out", "rest", "rule", "shapes", "takes")

    def __init__(self, rule: Callable[..., Any], *, choice: bool = False) -> None:
        self.choice = choice
        self.rule, self.takes, self.rest = rule, _takes(rule), _rest(rule)
        self.keeps, self.shapes = _kept(rule), _shapes(rule)
        self.keeps_out = not rule.__code__.co_varnames[0].startswith("_")


class Linear:
    """Linear in this operand: ``transpose(ct, *operands, **params) -> ct of the operand``."""

    __slots__ = ("keeps", "rest", "rule", "shapes", "takes")
    keeps_out = False

    def __init__(self, transpose: Callable[..., Any]) -> None:
        self.rule, self.takes, self.rest = transpose, _takes(transpose), _rest(transpose)
        self.keeps, self.shapes = _kept(transpose), _shapes(transpose)


class Joint(Linear):
    """Linear in this operand together with the other `Joint` ones; transpose as for `Linear`."""

    __slots__ = ()


class Variadic(Linear):
    """Linear in all operands together: ``transpose(ct, needed, *shapes, **params)``.

    Returns one cotangent an operand, which may be None where it is None in the tuple `needed`.
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
    fwd : callable or None
        ``fwd(*primals, **params) -> (out, residuals)``; None where the result alone is kept.
    bwd : callable
        ``bwd(residuals, ct, needed, **params) -> cotangents``, one per operand, None where
        `needed` is; with several results `ct` is a tuple in which absent ones are None.
    """

    __slots__ = ("bwd", "fwd", "jvp")

    def __init__(
        self, jvp: Callable[..., Any], fwd: Callable[..., Any] | None, bwd: Callable[..., Any]
    ) -> None:
        self.jvp, self.fwd, self.bwd = jvp, fwd, bwd


VALUE, TYPE, SHAPE = range(3)  # what of an operand is kept


class Plan:
    """What differentiation with respect to given operands needs, found once and cached.

    Attributes
    ----------
    steps : tuple of (int, callable, bool, bool, entry)
        Operand; rule of its derivative entry, taking as many operands as are kept; whether it
        takes the parameters; whether the entry is a `Partial`; the entry.
    active : tuple of int
        Operands of the steps.
    keep_out : bool
        Whether the result is kept.
    width : int
        How many operands the rules take.
    bare : bool
        Whether that is one, and what is kept of it is not packed in a tuple.
    saved : tuple of (int, int)
        Operands of which something is kept, and what: `VALUE`, `TYPE` or `SHAPE`.
    record : callable
        Appends an entry to a trace's list; see `recorder`.
    joint : tuple of int
        Operands in which the operation is linear together.
    """

    __slots__ = (
        "active",
        "bare",
        "joint",
        "keep_out",
        "masks",
        "record",
        "saved",
        "steps",
        "variadic",
        "width",
    )

    record: Callable[..., Any]

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
        values = {k for _, e in rules for k in e.keeps if k not in e.shapes} - by_type
        shapes = wanted if self.variadic else {k for _, e in rules for k in e.shapes} - values
        self.saved = tuple(
            (i, SHAPE if i in shapes else TYPE if i in by_type else VALUE) for i in sorted(wanted)
        )
        takes = [arity if e.takes is None else e.takes for _, e in rules]
        self.width = max(takes, default=0)
        self.bare = self.width == 1 and not self.variadic
        self.steps: tuple[tuple[int, Any, bool, bool, Any], ...] = tuple(
            (i, None, False, False, e)
            if type(e) is Missing
            else (
                i,
                _adapted(e, self.width, self.saved),
                _takes_params(e.rule),
                type(e) is Partial,
                e,
            )
            for i, e in steps
        )

        def first(*args: Any) -> Any:
            self.record = recorder(self, primitive, mask, arity)
            return self.record(*args)

        self.record = first  # written when needed


def _adapted(entry: Any, width: int, saved: Any) -> Callable[..., Any]:
    """Rule of an entry as a function of its first argument and what is kept of `width` operands."""
    rule: Callable[..., Any] = entry.rule
    by_value = {i for i, what in saved if what == VALUE}
    taken = range(width if entry.takes is None else entry.takes)
    if len(taken) == width and by_value.isdisjoint(entry.shapes):
        return rule
    kept = "".join(f", s{i}" for i in range(width))
    own = "".join(
        f", shape_of(s{i})" if i in by_value and i in entry.shapes else f", s{i}" for i in taken
    )
    params = ", **params" if _takes_params(rule) else ""
    source = f"def adapted(first{kept}{params}):\n    return rule(first{own}{params})\n"
    return written(source, {"rule": rule, "shape_of": shape_of})


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
    operands : int, optional
        Number of operands, where the type rule's signature does not tell.
    promotes : bool, optional
        Whether the result may have another dtype than an operand, to which the driver converts
        that operand's cotangent back; by default for elementwise operations of several operands.
    wrapped : bool
        Whether users call it through another function, and not `call` itself.

    Attributes
    ----------
    call : callable
        Applies the operation: what `__call__` does, without its cost.
    record_pair : callable or None
        Appends an entry of a `Pair` to a trace's list; see `pair_recorder`.
    """

    __slots__ = (
        "arity",
        "batch",
        "call",
        "derivatives",
        "elementwise",
        "kernels",
        "masks",
        "name",
        "own_kernels",
        "pair",
        "params",
        "plans",
        "promotes",
        "record_pair",
        "results",
        "type_rule",
        "unpromoted",
        "value",
        "view",
        "wrapped",
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
        operands: int | None = None,
        promotes: bool | None = None,
        wrapped: bool = True,
    ) -> None:
        if name in REGISTRY:
            msg = f"{name}: a primitive's name must be unique"
            raise ValueError(msg)
        self.name, self.type_rule, self.batch = name, type_rule, batch
        self.derivatives, self.value, self.own_kernels = derivatives, value, kernels or {}
        self.elementwise, self.masks, self.view = elementwise, masks, view
        self.results, self.unpromoted = results, unpromoted
        self.pair = derivatives if type(derivatives) is Pair else None
        self.kernels: dict[Any, Kernel] = {}  # by array type
        self.plans: dict[int, Plan] = {}  # by the operands, as bits under a leading one
        self.arity, self.params = _signature(type_rule)
        if operands is not None:
            self.arity, self.params = operands, ()
        several = elementwise and (self.arity is None or self.arity > 1)
        self.promotes = several if promotes is None else promotes
        self.wrapped = wrapped
        self.record_pair = None if self.pair is None else pair_recorder(self)
        self.call: Any = caller(self)
        self.call.primitive = self
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

    def plan(self, key: int) -> Plan:
        """Plan for differentiating with respect to the operands in a bit mask.

        `key` has a leading one above the bits of the operands, which says how many there are.
        """
        found = self.plans.get(key)
        if found is None:
            arity = key.bit_length() - 1
            found = self.plans[key] = Plan(self, key - (1 << arity), arity)
        return found

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Apply the operation to raw arrays or tracers; parameters go by keyword."""
        return self.call(*args, **params)

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
        if self.elementwise:
            args = weak(*args)
        try:
            out = kernel(*args, **params)
        except Exception as error:
            told = self.explain(error, args, params)
            if told is error:
                raise
            raise told from error
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
        value, xp = self.value, library.xp
        found: Kernel | None = getattr(xp, self.name, None)
        if library.name == "torch" and self.name in _TORCH_OWN:
            return _TORCH_OWN[self.name](getattr(sys.modules["torch"], self.name), found)
        if value is not None:
            return lambda *args, **params: value(xp, *args, **params)
        if found is None:
            msg = f"{self.name}: the array library must have this function; got {library.name}."
            raise RuleError(msg)
        return found

    def explain(self, error: Exception, args: tuple[Any, ...], params: dict[str, Any]) -> Exception:
        """Volta's own error for a kernel's failure, by the type rule; else `error` itself."""
        if isinstance(error, VoltaError):
            return located(error)
        if isinstance(error, ArithmeticError | MemoryError):
            return error
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


def _signature(type_rule: Callable[..., Any]) -> tuple[int | None, tuple[str, ...] | None]:
    """Number of operands and names of parameters; None where the signature leaves them open."""
    code = type_rule.__code__
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    arity = None if code.co_flags & inspect.CO_VARARGS else code.co_argcount
    return arity, None if code.co_flags & inspect.CO_VARKEYWORDS else names


def _named(name: str) -> Primitive:
    return REGISTRY[name]


def located(error: VoltaError) -> VoltaError:
    """`error` with the user's line in its message, if a transform runs."""
    if RUNNING.get() and error.args and "(line:" not in error.args[0]:
        error.args = (f"{error.args[0]} (line:{at_line().removeprefix(' at')})",)
    return error


def _if_alike(own: Kernel, standard: Any) -> Kernel:
    def kernel(x1: Any, x2: Any) -> Any:
        if (type(x1) is type(x2) and x1.dtype is x2.dtype) or type(x2) in SCALARS:
            return own(x1, x2)
        return standard(x1, x2)

    return kernel


def _over_axes(own: Kernel, standard: Kernel) -> Kernel:
    def kernel(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
        if len(axis) == 1:
            return own(x, axis[0], keepdims)
        return standard(x, axis=axis, keepdims=keepdims)

    return kernel


def _unless_refused(own: Kernel, standard: Any) -> Kernel:
    def kernel(x1: Any, x2: Any) -> Any:
        try:
            return own(x1, x2)
        except RuntimeError:
            return standard(x1, x2)

    return kernel


# Operations whose wrapper in array-api-compat costs as much again as torch's own function, and
# where it is needed: for promotion, which torch leaves out of matrix products; nowhere; where there
# is not one axis
_TORCH_OWN: Final = {
    **dict.fromkeys(("add", "divide", "multiply", "subtract"), _if_alike),
    "matmul": _unless_refused,
    "reshape": lambda own, standard: lambda x, *, shape: own(x, shape),
    "sum": _over_axes,
}


Function = TypeVar("Function", bound=Callable[..., Any])


def public(primitive: Primitive, function: Function) -> Function:
    """Publish `function` as the op-set function of its name; returns it."""
    setattr(ops, function.__name__, function)
    function.primitive = primitive  # type: ignore[attr-defined]  # for tests and tools
    return function


def dressed(call: Any, like: Function) -> Function:
    """Return `call` with the name, signature and docstring of `like`."""
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__"):
        setattr(call, name, getattr(like, name))
    call.__signature__ = inspect.signature(like)
    call.__wrapped__ = like  # doctest finds the line of the docstring through it
    return call  # type: ignore[no-any-return]  # a function
