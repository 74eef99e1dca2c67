"""The tracer's most frequent operators, bound to the public functions themselves.

Written out in the class body as well, where they are read; here they lose one call in three.
"""

from typing import Final

from volta.core.tracer import Tracer
from volta.functional.elementwise import add, divide, multiply, negative, pow, subtract
from volta.functional.indexing import getitem
from volta.functional.products import matmul

__all__: list[str] = []

_OPERATORS: Final = {
    "__add__": add,
    "__getitem__": getitem,
    "__matmul__": matmul,
    "__mul__": multiply,
    "__neg__": negative,
    "__pow__": pow,
    "__sub__": subtract,
    "__truediv__": divide,
}
for _name, _function in _OPERATORS.items():
    setattr(Tracer, _name, _function)
