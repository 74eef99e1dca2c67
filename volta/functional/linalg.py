"""Linear algebra: the standard's extension of that name, products of matrices included."""

from volta.functional.manipulation import matrix_transpose
from volta.functional.products import matmul, tensordot, vecdot

__all__ = ["matmul", "matrix_transpose", "tensordot", "vecdot"]
