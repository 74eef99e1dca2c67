"""Constructors of primitives: what families of operations have in common.

`unary`, `binary` and `elementwise` turn a documented signature into a primitive and its public
function; `structural` publishes a thin public function beside a `Primitive`. The sections of a
docstring that a whole family shares are written here, once.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np

from volta.core.call import written
from volta.core.derivatives import Partial
from volta.core.dispatch import NUMPY
from volta.core.primitive import REGISTRY, Primitive, Unspecified, dressed, public
from volta.core.trace import live, ops
from volta.core.tracer import Tracer
from volta.core.types import (
    DTYPES,
    Array,
    ArrayType,
    as_dtype,
    broadcast_shapes,
    promote,
    typeof,
)

Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = [
    "ALL",
    "BOOLEAN",
    "FLOATING",
    "INTEGER",
    "NUMERIC",
    "REAL",
    "REAL_FLOATING",
    "batch_elementwise",
    "beside_arrays",
    "binary",
    "composite",
    "elementwise",
    "elementwise_type",
    "in_one_task",
    "paired",
    "primitive",
    "shortcut",
    "structural",
    "unary",
]

ALL: Final = ("bool", "int", "uint", "float", "complex")
NUMERIC: Final = ("int", "uint", "float", "complex")
REAL: Final = ("int", "uint", "float")
FLOATING: Final = ("float", "complex")
REAL_FLOATING: Final = ("float",)
INTEGER: Final = ("bool", "int", "uint")
BOOLEAN: Final = ("bool",)

_KIND_NAMES: Final = {
    ALL: "any",
    NUMERIC: "numeric",
    REAL: "real-valued",
    FLOATING: "real or complex floating",
    REAL_FLOATING: "real floating",
    ("int", "uint"): "integer",
    ("complex",): "complex floating",
    INTEGER: "integer or boolean",
    BOOLEAN: "boolean",
}


def elementwise_type(
    name: str, kinds: tuple[str, ...], result: str, unpromoted: int = 0
) -> Callable[..., ArrayType]:
    """Type rule of an elementwise operation.

    Parameters
    ----------
    name : str
    kinds : tuple of str
        Kinds of dtype that the standard defines the operation for.
    result : str
        ``"same"`` (the promoted dtype), ``"bool"``, or ``"real"`` (of a complex one).
    unpromoted : int
        Leading operands outside promotion.
    """

    def type_rule(*types: ArrayType, **_: Any) -> ArrayType:
        shape = broadcast_shapes(name, *(t.shape for t in types))
        for t in types[:unpromoted]:
            if t.dtype.kind != "bool":
                msg = f"{name}: the condition must be boolean by the standard; got {t.dtype.name}."
                raise Unspecified(msg)
        dtypes = [t.dtype for t in types[unpromoted:]]
        dtype = promote(dtypes)
        if dtype is None or dtype.kind not in kinds:
            got = " and ".join(d.name for d in dtypes)
            msg = (
                f"{name}: the dtype must be {_KIND_NAMES[kinds]} by the standard; got {got}. "
                "Convert with functional.astype."
            )
            raise Unspecified(msg)
        if result == "bool":
            dtype = DTYPES["bool"]
        elif result == "real" and dtype.kind == "complex":
            dtype = DTYPES["float32" if dtype.itemsize == 8 else "float64"]
        return ArrayType(shape, dtype)

    return type_rule


def batch_elementwise(
    primitive: Callable[..., Any], size: int, batched: tuple[bool, ...], *args: Any, **params: Any
) -> Any:
    """Batching rule of an elementwise operation: align the axes after the batch axis."""
    if len(args) == 1:
        return primitive(*args, **params)
    if len(args) == 2:  # the common cases, at less cost
        x1, x2 = args
        first, second = batched
        if first and x1.ndim >= getattr(x2, "ndim", 0) + (not second):
            if not second or x1.ndim == x2.ndim:
                return primitive(x1, x2, **params)
        elif second and not first and x2.ndim > getattr(x1, "ndim", 0):
            return primitive(x1, x2, **params)
    ranks = [getattr(a, "ndim", 0) - b for a, b in zip(args, batched, strict=True)]
    ndim = max(ranks)
    aligned = [
        ops.reshape(a, (size, *(1,) * (ndim - rank), *a.shape[1:])) if b and rank < ndim else a
        for a, b, rank in zip(args, batched, ranks, strict=True)
    ]
    return primitive(*aligned, **params)


def elementwise(
    *derivatives: Any,
    kinds: tuple[str, ...] = NUMERIC,
    result: str = "same",
    pair: Any = None,
    value: Callable[..., Any] | None = None,
    kernels: dict[str, Callable[..., Any]] | None = None,
    masks: bool = False,
    view: bool = False,
    unpromoted: int = 0,
    arrays: bool = False,
) -> Callable[[Function], Function]:
    """Declare an elementwise operation by decorating its documented, empty signature.

    Parameters
    ----------
    *derivatives : function or derivative entry
        One an operand; a bare function is a `Partial`.
    kinds, result, unpromoted
        See `elementwise_type`.
    pair : Pair, optional
        Instead of `derivatives`.
    value, kernels, masks, view
        See `Primitive`.
    arrays : bool
        Whether derivatives compute with an operand alone: see `beside_arrays`.
    """

    def declare(function: Function) -> Function:
        name = function.__name__
        operands = list(inspect.signature(function).parameters)
        entries = pair or tuple(Partial(d) if inspect.isfunction(d) else d for d in derivatives)
        made = Primitive(
            name,
            type_rule=elementwise_type(name, kinds, result, unpromoted),
            batch=lambda *args, **params: batch_elementwise(made.call, *args, **params),
            derivatives=entries,
            value=value,
            kernels=kernels,
            elementwise=True,
            masks=masks,
            view=view,
            unpromoted=unpromoted,
            operands=len(operands),
            wrapped=False,
        )
        function.__doc__ = _document(function.__doc__ or "", operands, kinds, result)
        call = beside_arrays(made.call, unpromoted) if arrays else made.call
        return public(made, dressed(call, function))

    return declare


def beside_arrays(function: Callable[..., Any], leading: int = 0) -> Callable[..., Any]:
    """`function`, with numbers among its operands made arrays where others are arrays.

    For functions that compute with an operand alone, in themselves or in their derivatives. A
    function of a Python number has the default dtype, float32, and is NumPy's, which would decide
    the precision and the library of what follows. The first `leading` operands stay as they are.
    """

    @functools.wraps(function)
    def called(*operands: Any) -> Any:
        found = [a for a in operands[leading:] if hasattr(a, "dtype")]
        if not found or len(found) == len(operands) - leading:
            return function(*operands)
        dtype = promote([as_dtype(a.dtype) for a in found])
        if dtype is None or dtype.kind != "float":
            return function(*operands)
        traced = any(type(a) is Tracer for a in found)

        def made(a: Any) -> Any:
            if type(a) not in (int, float):
                return a
            array = ops.full_like(found[0], a, dtype=dtype, shape=())
            return array if traced or type(array) is not Tracer else array.value

        return function(*operands[:leading], *map(made, operands[leading:]))

    return called


unary = binary = elementwise


def _document(text: str, operands: list[str], kinds: tuple[str, ...], result: str) -> str:
    """Docstring with the sections that follow from the declaration, between summary and notes."""
    summary, *rest = inspect.cleandoc(text).split("\n\n", 1)
    dtype = {"same": "the promoted dtype", "bool": "bool", "real": "the real dtype of the result"}
    names = ", ".join(operands)
    numbers = "" if len(operands) == 1 else "; Python numbers take the other operand's"
    one = len(operands) == 1
    shape = "(...)" if one else "broadcastable together"
    returns = "the dtype of `" + operands[0] + "`" if one and result == "same" else dtype[result]
    errors = "DTypeError\n    If the array's library has no such function for the dtype."
    if not one:
        errors = "BroadcastError\n    If the shapes do not broadcast together.\n" + errors
    sections = (
        f"Parameters\n----------\n{names} : array, shape {shape}\n"
        f"    Of {_KIND_NAMES[kinds]} dtype{numbers}.\n\n"
        f"Returns\n-------\narray, shape {'(...)' if one else 'of the broadcast'}\n"
        f"    Of {returns}.\n\nRaises\n------\n{errors}"
    )
    return "\n\n".join([summary, sections, *rest]) + "\n"


def primitive(name: str, **options: Any) -> Any:
    """Declare a `Primitive`; returns the function that applies it."""
    return Primitive(name, **options).call


def in_one_task(name: str) -> Callable[..., Any]:
    """Kernel of a primitive for dask: NumPy's, of whole arrays, when it is computed.

    For operations that dask lacks, or has only of arrays in certain chunks.
    """

    def kernel(*args: Any, **params: Any) -> Any:
        dask = sys.modules["dask"]
        primitive = REGISTRY[name]
        kinds = primitive.infer(args, [typeof(a) for a in args], params)
        single = type(kinds) is ArrayType
        task = dask.delayed(primitive.kernel_of(NUMPY), nout=None if single else len(kinds))
        out = task(*args, **params)

        def made(part: Any, kind: ArrayType) -> Any:
            dtype = kind.dtype.dtype
            meta = np.empty((0,) * kind.ndim, dtype)
            return dask.array.from_delayed(part, kind.shape, dtype=dtype, meta=meta)

        if single:
            return made(out, kinds)
        return tuple(made(part, kind) for part, kind in zip(out, kinds, strict=True))

    return kernel


def structural(apply: Any) -> Callable[[Function], Function]:
    """Publish the decorated function as the op-set function over the primitive `apply`."""
    return lambda function: public(apply.primitive, function)


def paired(apply: Any) -> Callable[[Function], Function]:
    """Publish a primitive without parameters by its documented, empty signature."""
    return lambda function: public(apply.primitive, dressed(apply, function))


def composite(function: Function) -> Function:
    """Publish a function that is a composition of others."""
    setattr(ops, function.__name__, function)
    return function


def shortcut(
    kernel: Callable[..., Any],
    dtypes: str | None = "fdFD",
    result: type | None = None,
    condition: str = "True",
) -> Callable[[Function], Function]:
    """Have NumPy compute the whole of the decorated function, where nothing is traced.

    Small arrays would wait longer for Python than for the kernels that the function is made of.

    Parameters
    ----------
    kernel : callable
        Takes what the function takes. Where it raises, the function itself is called, which tells
        what is wrong.
    dtypes : str, optional
        NumPy's characters of the dtypes for which it is the same function; all by default of
        None. By default those in which nothing need be summed in another dtype. Several arrays
        must be of one.
    result : type, optional
        Named tuple for the arrays that the kernel gives; by default it gives one array.
    condition : str
        What must hold besides: an expression in the function's parameters. Where it raises, it
        does not hold.
    """
    made = "asarray(out) if type(out) is not ndarray and isinstance(out, scalar) else out"
    made = made if result is None else "new(result, out + ())"  # a bare tuple is copied sooner

    def declare(function: Function) -> Function:
        parameters = inspect.signature(function).parameters.values()
        arrays = [p.name for p in parameters if p.annotation is Array]
        first, *others = arrays
        conditions = [
            f"type({first}) is ndarray",
            *(f"type({a}) is ndarray" for a in others),
            *([] if dtypes is None else [f"{first}.dtype.char in dtypes"]),
            *([] if dtypes is None else [f"{a}.dtype is {first}.dtype" for a in others]),
            "not live.staging",
        ]
        positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        bare = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
        head = [*bare, *(["/"] if bare else []), *positional[len(bare) :]]
        head += ["*", *named] if named else []
        passed = ", ".join([*positional, *(f"{n}={n}" for n in named)])
        source = (
            f"def call({', '.join(head)}):\n"
            f"    if {' and '.join(conditions)}:\n"
            "        try:\n"
            f"            if {condition}:\n"
            f"                out = kernel({passed})\n"
            f"                return {made}\n"
            "        except Exception:\n"
            "            pass\n"
            f"    return function({passed})\n"
        )
        call: Any = written(
            source,
            {
                "asarray": np.asarray,
                "dtypes": dtypes,
                "function": function,
                "kernel": kernel,
                "live": live,
                "ndarray": np.ndarray,
                "new": tuple.__new__,
                "result": result,
                "scalar": np.generic,
            },
        )
        given = [p for p in parameters if p.default is not p.empty]
        call.__defaults__ = tuple(p.default for p in given if p.kind is not p.KEYWORD_ONLY)
        call.__kwdefaults__ = {p.name: p.default for p in given if p.kind is p.KEYWORD_ONLY}
        return dressed(call, function)

    return declare
