"""NumPy functions called on traced arrays: ``np.sin(x)`` runs as ``volta.functional.sin(x)``.

What has no counterpart raises, so that no derivative is lost silently.
"""

import functools
import inspect
from typing import Any, Final, NoReturn

import numpy as np

from volta.core import tree
from volta.core.dispatch import NUMPY
from volta.core.errors import TraceError
from volta.core.trace import at_line, ops
from volta.core.tracer import Tracer, concrete, constant, library_under, made
from volta.functional.declare import composite
from volta.functional.numpy_functions import FUNCTIONS, UFUNCS, UncoveredError

__all__ = ["array_function", "array_ufunc"]

# NumPy's old names of ufuncs to the standard's
_NAMES: Final = {
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
_SHARED: Final = ("expm1", "log1p")  # by NumPy and SciPy
_REDUCTIONS: Final = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}
_ACCUMULATIONS: Final = {
    "add": "cumulative_sum",
    "logaddexp": "cumulative_logsumexp",
    "maximum": "cumulative_max",
    "minimum": "cumulative_min",
    "multiply": "cumulative_prod",
}


def _refuse(what: str) -> NoReturn:
    msg = (
        f"{what}: must have a counterpart in volta.functional to take a traced array; got a call"
        f"{at_line()} without one."
    )
    raise TraceError(msg)


def _traced(arguments: Any) -> bool:
    """Whether a traced array is among them, and not only constants."""
    return any(type(x) is Tracer and x.trace is not None for x in tree.leaves(arguments))


def _foreign(arguments: Any) -> bool:
    """Whether a constant among them holds another library's array, unknown to NumPy's functions."""
    return any(type(x) is Tracer and library_under(x) is not NUMPY for x in tree.leaves(arguments))


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
    from volta import functional

    out = kwargs.get("out", ())
    own = not out and _foreign(inputs)
    if not own and not _traced((inputs, kwargs)) and not any(type(o) is Tracer for o in out):
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
    if method == "accumulate" and name in _ACCUMULATIONS and kwargs.keys() <= {"axis"}:
        return getattr(ops, _ACCUMULATIONS[name])(*inputs, axis=kwargs.get("axis", 0))
    function = UFUNCS.get(name) or getattr(ops, _NAMES.get(name, name), None)
    origin = "numpy"
    if ufunc is not getattr(np, name, None):  # SciPy's have names like these too
        origin = "scipy.special"
        function = getattr(functional.special, name, function if name in _SHARED else None)
    if kwargs or function is None or method not in ("__call__", "outer"):
        _refuse(f"{origin}.{name}{'' if method == '__call__' else '.' + method}")
    if method == "outer":
        left, right = inputs
        inputs = ops.reshape(left, (*left.shape, *(1,) * right.ndim)), right
    return function(*inputs)


@composite
def array_function(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``numpy.function(*args, **kwargs)`` through the op set."""
    if not _traced((args, kwargs)):
        return _on_arrays(function, args, kwargs)
    name = f"{function.__module__}.{function.__name__}"
    found = FUNCTIONS.get((function.__module__, function.__name__))
    if found is None:
        _refuse(name)
    known = _parameters(found)
    kwargs = {
        k: v for k, v in kwargs.items() if v is not np._NoValue and (v is not None or k in known)
    }
    unknown = [f"{k}=" for k in kwargs if k not in known and "kwargs" not in known]
    if unknown:
        _refuse(f"{name} with {', '.join(unknown)}")
    try:
        return found(*args, **kwargs)
    except UncoveredError as error:
        _refuse(f"{name} with {error}")
    except TypeError as error:
        if "positional argument" in str(error):
            _refuse(f"{name} with these arguments")
        raise


# Methods ------------------------------------------------------------------------------------------

_METHODS: Final = (
    *("all", "any", "argmax", "argmin", "argsort", "clip", "cumprod", "cumsum", "diagonal", "dot"),
    *("nonzero", "prod", "ravel", "repeat", "round", "searchsorted", "squeeze", "std", "swapaxes"),
    "take",
)


def _method(name: str) -> Any:
    """NumPy's method of a traced NumPy array: the function of that name."""
    function = FUNCTIONS["numpy", name]

    @functools.wraps(function)
    def method(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        if library_under(self) is not NUMPY:  # others mean other things by the same names
            msg = f"a traced array of {library_under(self).name} has no method {name!r}"
            raise AttributeError(msg)
        return array_function(getattr(np, name), (self, *args), kwargs)

    return method


def _transpose(self: Tracer, *axes: Any) -> Any:
    whole = len(axes) == 1 and not isinstance(axes[0], int)
    return FUNCTIONS["numpy", "transpose"](self, (axes[0] if whole else axes) or None)


def _conjugate(self: Tracer) -> Any:
    return ops.conj(self)


for _name in _METHODS:
    setattr(Tracer, _name, _method(_name))
for _name, _function in {
    "conj": _conjugate,
    "conjugate": _conjugate,
    "flatten": _method("ravel"),
    "transpose": _transpose,
}.items():
    setattr(Tracer, _name, _function)


@functools.cache
def _parameters(function: Any) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)
