"""Primitives: one object per operation, with everything known about it.

A `Primitive` holds the operation's name, its kernels, its type rule, its derivative entries
(see `derivatives`) and its batching rule.
"""

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from volta.core.call import as_result, caller, weak
from volta.core.derivatives import ZERO, Carried, Pair, Variadic
from volta.core.dispatch import NUMPY, Library, common_library, library_of
from volta.core.errors import DeviceError, DTypeError, RuleError, VoltaError
from volta.core.plan import Plan, carried_puller, pair_puller, pair_recorder
from volta.core.trace import located, ops
from volta.core.types import DTYPES, SCALARS, ArrayType, check_lengths, is_weak, typeof

__all__ = [
    "REGISTRY",
    "Primitive",
    "Unspecified",
    "dressed",
    "public",
]

Kernel = Callable[..., Any]

REGISTRY: Final[dict[str, "Primitive"]] = {}


class Unspecified(DTypeError):  # noqa: N818 - it says what the standard leaves open
    """Dtypes for which the standard says nothing: the array's library decides, or refuses."""


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
        axis that those operands have where `batched` is true; results have it too, but for those
        of several that are `transforms.lanes.Same`.
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
    effect : bool
        Whether it does more than return its results: a list keeps it where nothing reads them.

    Attributes
    ----------
    call : callable
        Applies the operation: what `__call__` does, without its cost.
    carries : bool
        Whether its derivative is `Carried`.
    record_pair : callable or None
        Appends an entry of a `Pair` to a trace's list; see `pair_recorder`.
    """

    __slots__ = (
        "arity",
        "batch",
        "call",
        "carries",
        "derivatives",
        "effect",
        "elementwise",
        "kernels",
        "masks",
        "name",
        "own_kernels",
        "pair",
        "params",
        "plans",
        "promotes",
        "pull_pair",
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
        effect: bool = False,
    ) -> None:
        if name in REGISTRY:
            msg = f"{name}: a primitive's name must be unique"
            raise ValueError(msg)
        self.name, self.type_rule, self.batch = name, type_rule, batch
        self.derivatives, self.value = derivatives, value
        self.own_kernels = {} if kernels is None else kernels
        self.elementwise, self.masks, self.view = elementwise, masks, view
        self.results, self.unpromoted = results, unpromoted
        self.pair: Any = derivatives if isinstance(derivatives, Pair) else None
        self.carries = type(derivatives) is Carried
        self.kernels: dict[Any, Kernel] = {}  # by array type
        self.plans: dict[int, Plan] = {}  # by the operands, as bits under a leading one
        self.arity, self.params = _signature(type_rule)
        if operands is not None:
            self.arity, self.params = operands, ()
        several = elementwise and (self.arity is None or self.arity > 1)
        self.promotes = several if promotes is None else promotes
        self.wrapped, self.effect = wrapped, effect
        self.pull_pair = self.record_pair = None
        if self.pair is not None:
            self.pull_pair = carried_puller(self) if self.carries else pair_puller(self)
            self.record_pair = pair_recorder(self)
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
        if library.kernel_of is not None:
            return library.kernel_of(self)
        kernel = self.own_kernels.get(library.name)
        if kernel is not None:
            return kernel
        value, xp = self.value, library.xp
        found: Kernel | None = getattr(xp, self.name, None)
        if library.name == "torch" and self.name in _TORCH_OWN:
            kernel_over, own = _TORCH_OWN[self.name]
            return kernel_over(getattr(sys.modules["torch"], own), found)
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
        if isinstance(error, FloatingPointError | ZeroDivisionError | MemoryError):
            return error
        if self.effect or "call" in params:
            return error  # of the user's function
        try:
            types = [typeof(a) for a in args]
            for kind in types:
                check_lengths(self.name, kind.shape)
            self.type_rule(*types, **params)
        except Unspecified as silent:
            return located(DTypeError(*silent.args))
        except VoltaError as own:
            return located(own)
        devices = {str(library_of(a, self.name).device(a)) for a in args if type(a) not in SCALARS}
        if len(devices) > 1:
            msg = (
                f"{self.name}: arrays must be on one device; got {' and '.join(sorted(devices))}. "
                "Move one with volta.tree.to(x, device=…)."
            )
            return located(DeviceError(msg))
        if _REFUSED.search(f"{type(error).__name__}: {error}"):
            dtypes = " and ".join(dict.fromkeys(t.dtype.name for t in types))
            library = next(
                (library_of(a, self.name) for a in args if type(a) not in SCALARS), NUMPY
            )
            msg = (
                f"{self.name}: the array library must take the dtype; got {dtypes} in "
                f"{library.name}, which says: {error}"
            )
            return located(DTypeError(msg))
        return error

    def infer(self, args: Sequence[Any], types: Sequence[ArrayType], params: dict[str, Any]) -> Any:
        """Type of the result, asking the library of `args` where the standard is silent."""
        try:
            return self.type_rule(*types, **params)
        except Unspecified as silent:
            kind = self._ask_library(args, types, params)
            if kind is None:
                raise located(DTypeError(*silent.args)) from None
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
            else _ONES[t.dtype.kind]  # a number that is traced
            if is_weak(t.dtype)
            else library.xp.ones((1,) * t.ndim, dtype=library.dtype(t.dtype))
            for a, t in zip(args, types, strict=True)
        ]
        try:
            dtype = typeof(self.kernel_of(library)(*small, **params)).dtype
        except Exception:
            return None
        others = (DTYPES[name] for name in ("float64", "int64", "complex128"))
        for accepted in (dtype, *others):  # for the rule of the shape
            try:
                kinds = [
                    ArrayType(t.shape, DTYPES["bool"] if i < self.unpromoted else accepted)
                    for i, t in enumerate(types)
                ]
                return ArrayType(self.type_rule(*kinds, **params).shape, dtype)
            except DTypeError:
                continue
        return None


# Errors by which libraries refuse a dtype; torch's are of a class that says nothing.
_REFUSED: Final = re.compile(
    "^TypeError|^NotImplementedError|^RuntimeError.*([sS]upport|implemented|bool tensor|input type)"
)


def _signature(type_rule: Callable[..., Any]) -> tuple[int | None, tuple[str, ...] | None]:
    """Number of operands and names of parameters; None where the signature leaves them open."""
    code = type_rule.__code__
    names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    arity = None if code.co_flags & inspect.CO_VARARGS else code.co_argcount
    return arity, None if code.co_flags & inspect.CO_VARKEYWORDS else names


def _named(name: str) -> Primitive:
    if name not in REGISTRY:  # its chapter is imported later
        ops.declare_all()
    return REGISTRY[name]


def _if_alike(own: Kernel, standard: Any) -> Kernel:
    def kernel(x1: Any, x2: Any) -> Any:
        if (type(x1) is type(x2) and x1.dtype is x2.dtype) or type(x2) in SCALARS:
            return own(x1, x2)
        return standard(x1, x2)

    return kernel


def _over_axes(own: Kernel, standard: Kernel) -> Kernel:
    def kernel(x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
        try:
            (dim,) = axis  # at less cost than asking for its length
        except ValueError:
            dim = None
        if dim is None:
            return standard(x, axis=axis, keepdims=keepdims)
        if not x.ndim:
            raise IndexError(axis)  # torch takes it
        return own(x, dim, True) if keepdims else own(x, dim)

    return kernel


# Operations whose wrapper in array-api-compat costs as much again as torch's own function, and
# where it is needed: for promotion, which torch leaves out of matrix products (silently where there
# are no elements); nowhere; where there is not one axis. Longer names, such as `torch.multiply`,
# are aliases that cost 0.1 µs more.
_TORCH_OWN: Final[dict[str, tuple[Callable[[Kernel, Any], Kernel], str]]] = {
    "add": (_if_alike, "add"),
    "divide": (_if_alike, "div"),
    "matmul": (_if_alike, "matmul"),
    "multiply": (_if_alike, "mul"),
    "reshape": (lambda own, _: lambda x, *, shape: own(x, shape), "reshape"),
    "subtract": (_if_alike, "sub"),
    "sum": (_over_axes, "sum"),
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


# Python numbers, by the kinds of their weak dtypes
_ONES: Final = {"bool": True, "int": 1, "float": 1.0, "complex": 1j}
