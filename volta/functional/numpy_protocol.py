"""NumPy functions called on traced arrays: ``np.sin(x)`` runs as ``volta.functional.sin(x)``.

What has no counterpart raises, so that no derivative is lost silently.
"""

from typing import Any, Final, NoReturn

import numpy as np

from volta.core import tree
from volta.core.errors import TraceError
from volta.core.trace import at_line, ops
from volta.core.tracer import Tracer, concrete, constant, made
from volta.functional.declare import composite

__all__ = ["array_function", "array_ufunc"]

# NumPy's old names of ufuncs to the standard's
_UFUNCS: Final = {
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "conjugate": "conj",
    "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "power": "pow",
    "right_shift": "bitwise_right_shift",
    "rint": "round",
    "true_divide": "divide",
}
_REDUCTIONS: Final = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}


def _refuse(what: str) -> NoReturn:
    msg = (
        f"{what}: must have a counterpart in volta.functional to take a traced array; got a call"
        f"{at_line()} without one."
    )
    raise TraceError(msg)


def _traced(arguments: Any) -> bool:
    """Whether a traced array is among them, and not only constants."""
    return any(type(x) is Tracer and x.trace is not None for x in tree.leaves(arguments))


def _on_arrays(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """NumPy's own function on what constants hold; its arrays are constants again."""

    def raw(x: Any) -> Any:
        return concrete(x, function.__name__) if type(x) is Tracer else x

    args, kwargs = tree.map(raw, (args, kwargs))
    out = function(*args, **kwargs)
    given = tree.leaves(kwargs.get("out"))

    def wrapped(x: Any) -> Any:
        if isinstance(x, np.generic):
            return constant(np.asarray(x))
        return made(x) if isinstance(x, np.ndarray) and not any(x is o for o in given) else x

    return tree.map(wrapped, out)


@composite
def array_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``ufunc(*inputs)`` through the op set."""
    out = kwargs.get("out", ())
    if not _traced((inputs, kwargs)) and not any(type(o) is Tracer for o in out):
        return _on_arrays(getattr(ufunc, method), inputs, kwargs)
    if kwargs.pop("out", None) is not None:
        msg = (
            f"{ufunc.__name__}: cannot write a traced value into an array that NumPy made; got "
            f"an in-place operation{at_line()}. Create the array with volta.functional (F.zeros), "
            "or write x = x + y."
        )
        raise TraceError(msg)
    name = ufunc.__name__
    if method == "reduce" and name in _REDUCTIONS:
        axis = kwargs.pop("axis", 0)
        keepdims = kwargs.pop("keepdims", False)
        if not kwargs:
            return getattr(ops, _REDUCTIONS[name])(*inputs, axis=axis, keepdims=keepdims)
    function = getattr(ops, _UFUNCS.get(name, name), None)
    if method != "__call__" or kwargs or function is None:
        _refuse(f"numpy.{name}{'' if method == '__call__' else '.' + method}")
    return function(*inputs)


def _reduction(name: str) -> Any:
    def call(a: Any, axis: Any = None, keepdims: Any = False, **rest: Any) -> Any:
        if any(v is not None and v is not np._NoValue for v in rest.values()):
            _refuse(f"numpy.{name} with {', '.join(rest)}")
        return getattr(ops, name)(a, axis=axis, keepdims=bool(keepdims))

    return call


def _concatenate(arrays: Any, axis: Any = 0) -> Any:
    return ops.concat(tuple(arrays), axis=axis)


def _transpose(a: Any, axes: Any = None) -> Any:
    return ops.permute_dims(a, tuple(range(a.ndim))[::-1] if axes is None else axes)


def _dot(a: Any, b: Any) -> Any:
    if not getattr(a, "ndim", 0) or not getattr(b, "ndim", 0):
        return ops.multiply(a, b)
    return ops.tensordot(a, b, axes=((-1,), (-2 if b.ndim > 1 else 0,)))


_FUNCTIONS: Final[dict[str, Any]] = {
    **{
        n: _reduction(n)
        for n in ("sum", "mean", "max", "min", "prod", "all", "any", "argmax", "argmin")
    },
    "amax": _reduction("max"),
    "amin": _reduction("min"),
    "broadcast_to": lambda array, shape: ops.broadcast_to(array, shape),
    "clip": lambda a, a_min=None, a_max=None, *, min=None, max=None: ops.clip(
        a, min if a_min is None else a_min, max if a_max is None else a_max
    ),
    "concatenate": _concatenate,
    "dot": _dot,
    "expand_dims": lambda a, axis: ops.expand_dims(a, axis=axis),
    "flip": lambda m, axis=None: ops.flip(m, axis=axis),
    "moveaxis": lambda a, source, destination: ops.moveaxis(a, source, destination),
    "ones_like": lambda a: ops.ones_like(a),
    "ravel": lambda a: ops.reshape(a, (-1,)),
    "repeat": lambda a, repeats, axis=None: ops.repeat(a, repeats, axis=axis),
    "reshape": lambda a, shape: ops.reshape(a, shape),
    "roll": lambda a, shift, axis=None: ops.roll(a, shift, axis=axis),
    "squeeze": lambda a, axis: ops.squeeze(a, axis),
    "stack": lambda arrays, axis=0: ops.stack(tuple(arrays), axis=axis),
    "std": lambda a, axis=None, ddof=0, keepdims=False: ops.std(
        a, axis=axis, correction=ddof, keepdims=keepdims
    ),
    "take": lambda a, indices, axis=None: ops.take(
        ops.reshape(a, (-1,)) if axis is None else a, indices, axis=0 if axis is None else axis
    ),
    "tensordot": lambda a, b, axes=2: ops.tensordot(a, b, axes=axes),
    "transpose": _transpose,
    "var": lambda a, axis=None, ddof=0, keepdims=False: ops.var(
        a, axis=axis, correction=ddof, keepdims=keepdims
    ),
    "where": lambda condition, x, y: ops.where(condition, x, y),
    "zeros_like": lambda a: ops.zeros_like(a),
}


@composite
def array_function(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``numpy.function(*args, **kwargs)`` through the op set."""
    if not _traced((args, kwargs)):
        return _on_arrays(function, args, kwargs)
    found = _FUNCTIONS.get(function.__name__)
    if found is None or not function.__module__.startswith("numpy"):
        _refuse(f"numpy.{function.__name__}")
    try:
        return found(*args, **kwargs)
    except TypeError as error:
        if "unexpected keyword" in str(error) or "positional argument" in str(error):
            _refuse(f"numpy.{function.__name__} with these arguments")
        raise
