"""Functions of trees for SciPy's solvers: `scipy_fun`, and `minimize` on top of it."""

from volta.optimize.minimize import minimize
from volta.optimize.scipy_fun import ScipyFun, scipy_fun

__all__ = ["ScipyFun", "minimize", "scipy_fun"]
