"""Sparse Jacobians and Hessians: where they can be nonzero, colours, and few derivatives."""

from volta.sparse.compressed import Coloring, coloring, hessian, jacobian
from volta.sparse.pattern import pattern

__all__ = ["Coloring", "coloring", "hessian", "jacobian", "pattern"]
