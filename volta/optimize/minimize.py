"""SciPy's `minimize` on trees."""

import importlib
from collections.abc import Callable
from typing import Any, Final

from volta.core.keywords import suggesting
from volta.optimize.scipy_fun import scipy_fun

__all__ = ["minimize"]

_NO_GRADIENT: Final = ("nelder-mead", "powell", "cobyla", "cobyqa")
_PRODUCTS: Final = ("newton-cg", "trust-ncg", "trust-krylov", "trust-constr")
_HESSIAN: Final = ("dogleg", "trust-exact")


@suggesting
def minimize(
    fun: Callable[..., Any], x0: Any, *args: Any, method: str | None = None, **options: Any
) -> Any:
    """Minimize a function of a tree by `scipy.optimize.minimize`.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)``, from a tree to one real number, made of Volta's operations.
    x0 : tree
        Where it begins: real floating arrays of any library.
    *args : object
        Further arguments, which are not varied.
    method : str, optional
        One of SciPy's. It gets the gradient, and the Hessian or products with it, if it uses them.
    **options : object
        The others of SciPy: `bounds`, `constraints`, `tol`, `callback`, `options`, for vectors as
        in `scipy_fun`.

    Returns
    -------
    scipy.optimize.OptimizeResult
        Its `x` is a tree like `x0`, the rest as SciPy returns it: look at `success`.

    Raises
    ------
    DTypeError
        If an array of `x0` is not real floating.
    TraceError
        If one is traced by a transform that differentiates: see `implicit.minimize`.
    ImportError
        If SciPy is not installed.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> def loss(params, target):
    ...     return F.sum((params["w"] - target) ** 2)
    >>> found = volta.optimize.minimize(loss, {"w": np.zeros(2)}, np.asarray([1.0, 2.0]))
    >>> found.success, np.round(found.x["w"], 6)
    (True, array([1., 2.]))
    """
    try:
        optimize = importlib.import_module("scipy.optimize")
    except ImportError as error:
        msg = "optimize.minimize: needs SciPy; got none. Install it with pip install scipy."
        raise ImportError(msg) from error
    flat = scipy_fun(fun, x0, *args)
    name = "" if method is None else method.lower()
    if name not in _NO_GRADIENT:
        options.setdefault("jac", flat.jac)
    if name in _PRODUCTS:
        options.setdefault("hessp", flat.hessp)
    if name in _HESSIAN:
        options.setdefault("hess", flat.hess)
    found = optimize.minimize(flat.fun, flat.x0, method=method, **options)
    found.x = flat.unravel(found.x)
    return found
