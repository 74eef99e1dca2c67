"""What the transforms share: reading arguments, results and messages."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.context import default_dtype_of
from volta.core.dispatch import LIBRARIES, NUMPY, library_of
from volta.core.errors import DTypeError
from volta.core.trace import located
from volta.core.tracer import Tracer, concrete
from volta.core.types import SCALARS, as_dtype, check_lengths, is_inexact

__all__ = [
    "apart_numbers",
    "array_leaves",
    "as_array",
    "check_inexact",
    "chosen_arguments",
    "is_module",
    "name_of",
    "path_of",
    "split_modules",
    "split_static",
]


def name_of(fun: Callable[..., Any]) -> str:
    """Name of a function for messages."""
    return getattr(fun, "__name__", type(fun).__name__)


def as_array(leaf: Any, where: str) -> Any:
    """Array or tracer for a leaf: numbers become NumPy arrays.

    Raises
    ------
    DTypeError
        If the leaf is neither array nor number; `where` says whose leaf it is.
    ShapeError
        If the length of an axis is unknown.
    """
    if type(leaf) is np.ndarray:
        return leaf
    if type(leaf) is Tracer:
        return concrete(leaf, where) if leaf.trace is None else leaf
    if type(leaf) in SCALARS:
        return NUMPY.xp.asarray(leaf, NUMPY.dtype(default_dtype_of(type(leaf).__name__)))
    try:
        library = library_of(leaf, where)
    except DTypeError:
        msg = (
            f"{where}: every leaf must be an array or a number; got {type(leaf).__name__}. Pass "
            "what is none of these beside the tree, or close over it."
        )
        raise DTypeError(msg) from None
    if library.name == "dask.array":
        check_lengths(where, leaf.shape)
    return NUMPY.xp.asarray(leaf) if library is NUMPY else leaf


def array_leaves(argument: Any, where: str) -> tuple[list[Any], tree.PyTreeSpec]:
    """Leaves of an argument as arrays, and its structure."""
    leaves, spec = tree.flatten(argument)
    return [as_array(leaf, where) for leaf in leaves], spec


def apart_numbers(
    argument: Any, where: str
) -> tuple[list[Any], Callable[[Sequence[Any]], Any], bool]:
    """Arrays of an argument, the way back from such arrays to it, and whether it has numbers.

    Python numbers stay what they are: they are weak in promotion, and no array is.
    """
    leaves, spec = tree.flatten(argument)
    numbers = {i: x for i, x in enumerate(leaves) if type(x) in SCALARS}
    arrays = [as_array(x, where) for x in leaves if type(x) not in SCALARS]

    def back(arrays: Sequence[Any]) -> Any:
        rest = iter(arrays)
        whole = (numbers[i] if i in numbers else next(rest) for i in range(spec.num_leaves))
        return tree.unflatten(spec, whole)

    return arrays, back, bool(numbers)


def is_module(node: Any) -> bool:
    """Whether a node is a module, whose parameters are what a derivative is taken of."""
    return hasattr(type(node), "__volta_split__")


def _same(x: Any) -> Any:
    return x


def split_modules(argument: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Argument with each module in it replaced by its parameters, and the way back."""
    if type(argument) in LIBRARIES or type(argument) is Tracer:
        return argument, _same
    nodes, spec = tree.flatten(argument, is_leaf=is_module)
    if not any(map(is_module, nodes)):
        return argument, _same
    pairs = [n.__volta_split__() if is_module(n) else (n, _same) for n in nodes]

    def back(replaced: Any) -> Any:
        parts = spec.flatten_up_to(replaced)
        return tree.unflatten(spec, [join(p) for (_, join), p in zip(pairs, parts, strict=True)])

    return tree.unflatten(spec, [p for p, _ in pairs]), back


def chosen_arguments(
    where: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    argnums: int | Sequence[int],
    argnames: str | Sequence[str] | None,
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Positions and names of the arguments to differentiate, checked against the call."""
    wanted: Sequence[Any] = argnums if isinstance(argnums, tuple | list | range) else (argnums,)
    positions = []
    for n in wanted:
        if not isinstance(n, int) or not -len(args) <= n < len(args):
            msg = (
                f"{where}: argnums must number positional arguments of the call; got "
                f"argnums={argnums!r} and {len(args)} positional arguments. "
                "Count from 0; arguments passed by keyword go in argnames."
            )
            raise located(ValueError(msg))
        positions.append(n % len(args))
    if len(set(positions)) != len(positions):
        msg = f"{where}: argnums must name each argument once; got {argnums!r}."
        raise located(ValueError(msg))
    names = (
        () if argnames is None else (argnames,) if isinstance(argnames, str) else tuple(argnames)
    )
    for name in names:
        if name not in kwargs:
            msg = (
                f"{where}: argnames must name keyword arguments of the call; got {name!r} and "
                f"keywords {sorted(kwargs)}."
            )
            raise located(ValueError(msg))
    return tuple(positions), names


def path_of(spec: tree.PyTreeSpec, i: int) -> str:
    """Where leaf `i` is among the inputs, for messages."""
    return "input" + tree.keystr(spec.paths()[i])


def check_inexact(
    leaf: Any, spec: tree.PyTreeSpec, i: int, where: str, *, holomorphic: bool, allow_int: bool
) -> bool:
    """Whether leaf `i` carries a derivative; raises where its dtype cannot."""
    dtype = as_dtype(leaf.dtype)
    if is_inexact(dtype) and not holomorphic:
        return True
    path = path_of(spec, i)
    if holomorphic and dtype.kind != "complex":
        msg = f"{where}: with holomorphic=True inputs must be complex; got {dtype.name} at {path}."
        raise DTypeError(msg)
    if is_inexact(dtype):
        return True
    if not allow_int:
        msg = (
            f"{where}: inputs must be real or complex floating; got {dtype.name} at {path}. "
            "Convert it, leave it out of argnums, or pass allow_int=True for zeros."
        )
        raise DTypeError(msg)
    return False


def split_static(
    where: str, args: tuple[Any, ...], numbers: int | Sequence[int]
) -> tuple[list[Any], Callable[[Sequence[Any]], list[Any]]]:
    """Positional arguments that are no static ones, and the way back to all of them."""
    wanted = (numbers,) if isinstance(numbers, int) else tuple(numbers)
    if any(not -len(args) <= n < len(args) for n in wanted):
        msg = (
            f"{where}: static_argnums must number positional arguments of the call; got "
            f"static_argnums={numbers!r} and {len(args)} positional arguments."
        )
        raise located(ValueError(msg))
    static = {n % len(args) for n in wanted}

    def back(dynamic: Sequence[Any]) -> list[Any]:
        rest = iter(dynamic)
        return [a if i in static else next(rest) for i, a in enumerate(args)]

    return [a for i, a in enumerate(args) if i not in static], back
