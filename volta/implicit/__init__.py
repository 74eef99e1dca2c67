"""Solutions of equations, differentiated by the implicit function theorem around any solver.

`solutions` has the functions, `adjoint` how they are differentiated, `linear` the solvers of the
linear equations that this takes.
"""

from volta.implicit.adjoint import ImplicitAdjoint, RecursiveCheckpointAdjoint
from volta.implicit.linear import cg, dense, gmres, normal_cg
from volta.implicit.solutions import fixed_point, minimize, root

__all__ = [
    "ImplicitAdjoint",
    "RecursiveCheckpointAdjoint",
    "cg",
    "dense",
    "fixed_point",
    "gmres",
    "minimize",
    "normal_cg",
    "root",
]
