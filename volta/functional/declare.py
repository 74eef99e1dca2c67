"""Constructors of primitives: what families of operations have in common.

`unary`, `binary` and `elementwise` turn a documented signature into a primitive and its public
function; `structural` publishes a thin public function beside a `Primitive`. The sections of a
docstring that a whole family shares are written here, once.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final, TypeVar

from volta.core.derivatives import Partial
from volta.core.primitive import Primitive, Unspecified, dressed, public
from volta.core.trace import ops
from volta.core.types import DTYPES, ArrayType, broadcast_shapes, promote

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
    "binary",
    "composite",
    "elementwise",
    "elementwise_type",
    "paired",
    "primitive",
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
        dtypes = [t.dtype for t in types[unpromoted:]]
        dtype = promote(dtypes)
        if dtype is None or dtype.kind not in kinds:
            got = " and ".join(d.name for d in dtypes)
            msg = f"{name}: the dtype must be {_KIND_NAMES[kinds]} by the standard; got {got}."
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
    """

    def declare(function: Function) -> Function:
        name = function.__name__
        operands = list(inspect.signature(function).parameters)
        entries = pair or tuple(Partial(d) if inspect.isfunction(d) else d for d in derivatives)
        primitive = Primitive(
            name,
            type_rule=elementwise_type(name, kinds, result, unpromoted),
            batch=lambda *args, **params: batch_elementwise(primitive, *args, **params),
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
        return public(primitive, dressed(primitive.call, function))

    return declare


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
