"""A function of a tree, and its derivatives, as SciPy's solvers call them: `scipy_fun`."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from volta import tree
from volta.core.errors import DTypeError, TraceError
from volta.core.keywords import suggesting
from volta.core.trace import located
from volta.core.tracer import Tracer, concrete
from volta.core.types import SCALARS, as_dtype, typeof
from volta.transforms import grad, linearize, vjp, vmap
from volta.transforms.arguments import array_leaves, name_of, path_of
from volta.transforms.trace import abstract

__all__ = ["ScipyFun", "scipy_fun"]


@suggesting
def scipy_fun(fun: Callable[..., Any], x0: Any, *args: Any) -> "ScipyFun":
    """Put a function and its derivatives into the form that SciPy's solvers take.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``, from a tree to one real number (`minimize`), or to a tree of m real
        numbers (`least_squares`, `root`), made of Volta's operations.
    x0 : tree
        Where the solver begins: real floating arrays of any library, n numbers in all.
    *args : object
        Further arguments, which are not varied.

    Returns
    -------
    ScipyFun
        Its `x0` is a vector, its `fun`, `jac`, `hess` and `hessp` take one; `unravel` makes a tree
        of it.

    Raises
    ------
    DTypeError
        If an array of `x0` is not real floating.
    TraceError
        If one is traced by a transform that differentiates: see `implicit.minimize`.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> from scipy.optimize import minimize
    >>> def loss(params):
    ...     return F.sum((params["w"] - 3.0) ** 2) + F.sum((params["b"] + 1.0) ** 4)
    >>> p = volta.optimize.scipy_fun(loss, {"w": np.zeros(2), "b": np.zeros(1)})
    >>> found = minimize(p.fun, p.x0, jac=p.jac, hess=p.hess, method="trust-exact")
    >>> {name: np.round(x, 1) for name, x in p.unravel(found.x).items()}
    {'w': array([3., 3.]), 'b': array([-1.])}
    """
    return ScipyFun(fun, x0, *args)


class ScipyFun:
    """A function of vectors of 64-bit numbers, made by `scipy_fun`.

    Everything at one x is computed once: `fun` runs the function and keeps what its derivative
    needs, `jac` only goes back through that; `hess` and `hessp` share one derivative of the
    gradient. The last x is remembered, by its value.

    Attributes
    ----------
    x0 : numpy.ndarray, shape (n,)
        Where the solver begins.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> p = volta.optimize.scipy_fun(lambda x: F.sum(x**2), np.asarray([1.0, 2.0]))
    >>> p.fun(p.x0), p.jac(p.x0), p.hessp(p.x0, p.x0)
    (5.0, array([2., 4.]), array([2., 4.]))
    """

    def __init__(self, fun: Callable[..., Any], x0: Any, *args: Any) -> None:

        def of_x(x: Any) -> Any:
            return tree.map(_array_of, fun(x, *args))

        of_x.__name__ = name_of(fun)
        self._fun = of_x
        where = f"scipy_fun({name_of(fun)})"
        leaves, self._spec = array_leaves(x0, where)
        for i, leaf in enumerate(leaves):
            if typeof(leaf).dtype.kind != "float":
                msg = (
                    f"{where}: arrays of x0 must be real floating; got {typeof(leaf).dtype.name} "
                    f"at {path_of(self._spec, i)}."
                )
                raise DTypeError(msg)
            _check_untraced(leaf, f"{where}: x0", path_of(self._spec, i))
        leaves = [concrete(leaf, where) for leaf in leaves]
        self._where = where
        self._places = [abstract(leaf) for leaf in leaves]
        self.x0 = self.ravel(leaves)
        self._x: Any = None
        self._known: dict[str, Any] = {}
        self._tall = False  # more results than unknowns: then columns cost less than rows

    def ravel(self, params: Any) -> Any:
        """Put a tree into a vector.

        Parameters
        ----------
        params : tree
            Like `x0` was, or any tree of real arrays.

        Returns
        -------
        numpy.ndarray, shape (n,), float64
        """
        parts = [_host(leaf).reshape(-1) for leaf in tree.leaves(params)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def unravel(self, x: Any) -> Any:
        """Make a tree of a vector.

        Parameters
        ----------
        x : array, shape (n,)

        Returns
        -------
        tree
            Like `x0` was, of its library, shapes and dtypes.
        """
        found, start = [], 0
        x = np.asarray(x, dtype=np.float64)
        for place in self._places:
            part = x[start : (start := start + math.prod(place.shape))].reshape(place.shape)
            found.append(place.library.asarray(part.copy(), place.dtype, place.device))
        return tree.unflatten(self._spec, found)

    def fun(self, x: Any) -> Any:
        """Value of the function.

        Parameters
        ----------
        x : array, shape (n,)

        Returns
        -------
        float or numpy.ndarray, shape (m,)
        """
        value = self._at(x, "value", self._evaluate)[0]
        return value.copy() if isinstance(value, np.ndarray) else value

    def jac(self, x: Any) -> Any:
        """Gradient, or for a function with m results the Jacobian.

        Parameters
        ----------
        x : array, shape (n,)

        Returns
        -------
        numpy.ndarray, shape (n,) or (m, n)
        """
        return self._at(x, "jac", self._differentiate).copy()

    def value_and_grad(self, x: Any) -> tuple[Any, Any]:
        """Value and gradient together, for ``jac=True``.

        Parameters
        ----------
        x : array, shape (n,)

        Returns
        -------
        value : float or numpy.ndarray, shape (m,)
        gradient : numpy.ndarray, shape (n,) or (m, n)
        """
        return self.fun(x), self.jac(x)

    def hess(self, x: Any) -> Any:
        """Hessian of a function with one result.

        Parameters
        ----------
        x : array, shape (n,)

        Returns
        -------
        numpy.ndarray, shape (n, n)
        """
        return self._at(x, "hess", self._second).copy()

    def hessp(self, x: Any, p: Any) -> Any:
        """Product of the Hessian with a vector, without the Hessian.

        Parameters
        ----------
        x, p : array, shape (n,)

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        push = self._at(x, "push", self._linearized)
        return self.ravel(push(self.unravel(p)))

    # what is computed once ------------------------------------------------------------------
    def _at(self, x: Any, what: str, make: Callable[[Any], Any]) -> Any:
        """What `make` makes at x, once."""
        x = np.asarray(x, dtype=np.float64)
        if self._x is None or not np.array_equal(x, self._x, equal_nan=True):
            self._x, self._known = x.copy(), {}
        if what not in self._known:
            self._known[what] = make(x)
        return self._known[what]

    def _evaluate(self, x: Any) -> tuple[Any, Callable[[], Any]]:
        """Value, and a function that makes the gradient or Jacobian from what it kept."""
        like = self.unravel(x)
        mode = linearize if self._tall else vjp
        out, derivative = mode(self._fun, like)
        leaves = tree.leaves(out)
        if len(leaves) == 1 and not leaves[0].shape:
            seed = tree.map(lambda o: _like(abstract(o), np.ones(())), out)
            return float(leaves[0]), lambda: self.ravel(derivative(seed)[0])
        value, n = self.ravel(out), x.shape[0]
        m = value.shape[0]
        if self._tall:
            return value, lambda: _rows(derivative, like, n, m).T
        self._tall = m > n
        return value, lambda: _rows(lambda ct: derivative(ct)[0], out, m, n)

    def _differentiate(self, x: Any) -> Any:
        return self._at(x, "value", self._evaluate)[1]()

    def _linearized(self, x: Any) -> Any:
        return linearize(grad(self._fun), self.unravel(x))[1]

    def _second(self, x: Any) -> Any:
        push = self._at(x, "push", self._linearized)
        return _rows(push, self.unravel(x), x.shape[0], x.shape[0])


def _check_untraced(x: Any, what: str, path: str) -> None:
    """Refuse what has a derivative; lanes of a vmap may part."""
    while type(x) is Tracer:
        if x.trace is not None and not x.trace.lead:
            msg = (
                f"{what} must not be traced, because SciPy would cut it off from {x.trace.name}, "
                f"silently losing its derivative; got a traced array at {path}. Use "
                "implicit.minimize for the derivative of a minimum, or volta.stop_gradient."
            )
            raise located(TraceError(msg))
        x = x.value


def _rows(linear: Callable[[Any], Any], like: Any, m: int, n: int) -> Any:
    """Matrix whose rows are a linear function of unit vectors like `like`, m numbers in all."""
    leaves, spec = tree.flatten(like)
    parts, start = [], 0
    one = np.eye(m)
    for leaf in leaves:
        place = abstract(leaf)
        size = math.prod(place.shape)
        rows = one[:, start : start + size].reshape(m, *place.shape)
        parts.append(_like(place, rows))
        start += size
    if not m:
        return np.zeros((m, n))
    found = tree.leaves(vmap(linear)(tree.unflatten(spec, parts)))
    return np.concatenate([_host(x).reshape(m, -1) for x in found], axis=1)


def _array_of(x: Any) -> Any:
    """A number as an array."""
    return np.asarray(x, np.float64) if type(x) in SCALARS else x


def _like(place: Any, x: Any) -> Any:
    return place.library.asarray(x, place.dtype, place.device)


def _host(x: Any) -> Any:
    """Values of a real array of any library, in NumPy and 64 bits."""
    if type(x) is np.ndarray:
        return np.asarray(x, dtype=np.float64)
    wide = x if as_dtype(x.dtype).itemsize > 2 else tree.to(x, dtype="float32")
    return np.asarray(tree.to(wide, xp=np), dtype=np.float64)
