"""What a model is made of, as a table."""

import functools
import math
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta import tree
from volta.core.errors import VoltaError
from volta.core.tracer import library_under
from volta.core.types import SCALARS, typeof
from volta.nn.module import Module
from volta.nn.structure import children_of, modules_of
from volta.transforms import trace
from volta.transforms.forecast import forecast
from volta.transforms.lines import quantity, table

__all__ = ["Summary", "summary"]


class SummaryRow(NamedTuple):
    """One call of a module."""

    name: str
    kind: str
    outputs: str
    parameters: int
    flops: int | None


class Summary(NamedTuple):
    """What `summary` found; prints as a table.

    Attributes
    ----------
    rows : tuple of SummaryRow
        Calls of modules in the order in which they begin, the model first: its dotted name, its
        class, shapes and dtypes of its results, the number of elements of its own parameters, and
        the operations of the call on numbers, those of modules inside included; None where they
        cannot be told.
    parameters, trainable, buffers : int
        Number of elements of all parameters, of those that are not frozen, and of all buffers.
    size : int
        Bytes of all of them.

    Examples
    --------
    >>> found = volta.nn.summary(volta.nn.Linear(3, 2, key=F.random.key(0)), (5, 3))
    >>> found.parameters, found.rows[0].flops
    (8, 70)
    """

    rows: tuple[SummaryRow, ...]
    parameters: int
    trainable: int
    buffers: int
    size: int

    def __str__(self) -> str:
        head = ("layer", "class", "result", "parameters", "FLOPs")
        lines = [
            (
                "  " * row.name.count(".") + ("  " + row.name if row.name else "model"),
                row.kind,
                row.outputs,
                f"{row.parameters:,}" if row.parameters else "",
                "?" if row.flops is None else quantity(row.flops),
            )
            for row in self.rows
        ]
        body = table([head, *lines], right=(3, 4))
        frozen = self.parameters - self.trainable
        total = f"{self.parameters:,} parameters"
        total += f", of which {frozen:,} are frozen" if frozen else ""
        total += f"; {self.buffers:,} elements of buffers" if self.buffers else ""
        return "\n".join([*body, f"{total}; {quantity(self.size, 'B')}"])

    def __repr__(self) -> str:
        return str(self)


COMPUTED: Final = ".parametrizations"  # modules that belong to the field that they compute

# Calls that are made now: name by identity of the module, and the list that they are added to.
_CALLS: Final[ContextVar[Any]] = ContextVar("volta.nn.summary", default=None)


@functools.cache
def _watched(cls: Any) -> Any:
    """Subclass that notes its calls."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        names, calls = _CALLS.get()
        at = len(calls)
        calls.append(None)
        out = cls.__call__(self, *args, **kwargs)
        calls[at] = names[id(self)], (args, kwargs), out
        return out

    return type(cls.__name__, (cls,), {"__call__": call, "__module__": cls.__module__})


def summary(model: Module, *inputs: Any, dtype: Any = None, **named: Any) -> Summary:
    """Tell what a model is made of: layers, shapes of their results, parameters, operations.

    Nothing is computed; the model is called in evaluation mode on shapes.

    Parameters
    ----------
    model : Module
    *inputs : tuple of int, or tree of arrays
        Arguments of a call: a tuple of integers is the shape of an array.
    dtype : dtype, optional
        Of the arrays that are given by shape; by default that of the first parameter.
    **named
        More arguments of the call, passed as they are.

    Returns
    -------
    Summary
        Prints as a table.

    Examples
    --------
    >>> keys = F.random.split(F.random.key(0))
    >>> model = volta.nn.Sequential(
    ...     volta.nn.Linear(3, 8, key=keys[0]), volta.nn.Tanh(), volta.nn.Linear(8, 2, key=keys[1])
    ... )
    >>> print(volta.nn.summary(model, (5, 3)))
    layer  class       result         parameters  FLOPs
    model  Sequential  float32[5, 2]                490
      0    Linear      float32[5, 8]          32    280
      1    Tanh        float32[5, 8]                 40
      2    Linear      float32[5, 2]          18    170
    50 parameters; 200 B
    """
    leaves, spec = tree.flatten(model)
    copied = tree.unflatten(spec, leaves).eval()
    names = {}
    for name, module in modules_of(copied):
        if COMPUTED in f".{name}":
            continue
        names[id(module)] = name
        kind: Any = type(module)
        object.__setattr__(module, "__class__", _watched(kind))
    arrays = [_input(model, x, dtype) for x in inputs]
    calls: list[Any] = []
    token = _CALLS.set((names, calls))
    try:
        trace(lambda *xs: copied(*xs, **named))(*arrays)
    finally:
        _CALLS.reset(token)
    modules = dict(modules_of(tree.unflatten(spec, leaves).eval()))
    rows = tuple(
        SummaryRow(
            name,
            type(modules[name]).__name__,
            ", ".join(str(typeof(x)) for x in tree.leaves(out) if hasattr(x, "shape")),
            _own(modules[name]),
            _flops(modules[name], given),
        )
        for name, given, out in calls
    )
    parameters, buffers = model.state_dict(), model.buffers()
    sizes = {n: math.prod(x.shape) for n, x in parameters.items()}
    stored = sum(n for name, n in sizes.items() if name in buffers)
    return Summary(
        rows,
        sum(sizes.values()) - stored,
        sum(sizes[n] for n in model.parameters()),
        stored,
        sum(n * typeof(parameters[name]).dtype.itemsize for name, n in sizes.items()),
    )


def _input(model: Module, x: Any, dtype: Any) -> Any:
    if not isinstance(x, tuple) or not all(type(n) is int for n in x):
        return x
    first = next(iter(model.parameters().values()), None)
    if dtype is None and first is not None:
        dtype = first.dtype
    return F.zeros(x, dtype=dtype, xp=None if first is None else library_under(first))


def _own(module: Module) -> int:
    """Number of elements of the parameters of a module, less those of modules inside."""
    inside = {f"{name}." for name, _ in children_of(module) if COMPUTED not in f".{name}"}
    buffers = module.buffers()
    return sum(
        math.prod(x.shape)
        for name, x in module.state_dict().items()
        if name not in buffers and not name.startswith(tuple(inside))
    )


def _flops(module: Module, given: tuple[Any, Any]) -> int | None:
    """Operations of a call on arrays of the types that were given."""
    leaves, spec = tree.flatten(given)
    places = [i for i, x in enumerate(leaves) if hasattr(x, "shape") and type(x) not in SCALARS]
    arrays = [F.zeros(tuple(leaves[i].shape), dtype=leaves[i].dtype) for i in places]

    def run(*arrays: Any) -> Any:
        own = list(leaves)
        for i, x in zip(places, arrays, strict=True):
            own[i] = x
        args, kwargs = tree.unflatten(spec, own)
        return module(*args, **kwargs)

    try:
        return forecast(run)(*arrays).flops
    except VoltaError:  # values that are read, which zeros have not
        return None
