"""The op set: differentiable functions on arrays of any library, with the Array API's names.

Chapters are named as in the standard. Every function takes raw arrays or traced ones, returns
the type it was given, and never writes to an operand.
"""

import importlib
import math
from typing import TYPE_CHECKING, Any, Final

from volta.core.later import importing_later as _importing_later
from volta.core.trace import ops as _ops
from volta.functional import namespace as _namespace  # noqa: F401 - registers itself
from volta.functional import operators as _operators  # noqa: F401 - likewise
from volta.functional.creation import *  # noqa: F403 - __all__ of each chapter is the op set
from volta.functional.creation import __all__ as _creation
from volta.functional.dtypes import *  # noqa: F403
from volta.functional.dtypes import __all__ as _dtypes
from volta.functional.elementwise import *  # noqa: F403
from volta.functional.elementwise import __all__ as _elementwise
from volta.functional.indexing import *  # noqa: F403
from volta.functional.indexing import __all__ as _indexing
from volta.functional.inspection import (
    __array_namespace_info__ as __array_namespace_info__,
)
from volta.functional.manipulation import *  # noqa: F403
from volta.functional.manipulation import __all__ as _manipulation
from volta.functional.products import *  # noqa: F403
from volta.functional.products import __all__ as _products
from volta.functional.reduction import *  # noqa: F403
from volta.functional.reduction import __all__ as _reduction

if TYPE_CHECKING:  # what is imported when it is first named
    from volta.functional import fft as fft
    from volta.functional import linalg as linalg
    from volta.functional import random as random
    from volta.functional import special as special
    from volta.functional.activation import *  # noqa: F403
    from volta.functional.adaptive_pooling import *  # noqa: F403
    from volta.functional.attention import *  # noqa: F403
    from volta.functional.calculus import *  # noqa: F403
    from volta.functional.contraction import *  # noqa: F403
    from volta.functional.convolution import *  # noqa: F403
    from volta.functional.correlation import *  # noqa: F403
    from volta.functional.ctc import *  # noqa: F403
    from volta.functional.cumulative import *  # noqa: F403
    from volta.functional.exponential_unit import *  # noqa: F403
    from volta.functional.gating import *  # noqa: F403
    from volta.functional.lookup import *  # noqa: F403
    from volta.functional.loss import *  # noqa: F403
    from volta.functional.nan_reduction import *  # noqa: F403
    from volta.functional.normalization import *  # noqa: F403
    from volta.functional.padding import *  # noqa: F403
    from volta.functional.pooling import *  # noqa: F403
    from volta.functional.position import *  # noqa: F403
    from volta.functional.probability_loss import *  # noqa: F403
    from volta.functional.ranking_loss import *  # noqa: F403
    from volta.functional.rearrangement import *  # noqa: F403
    from volta.functional.rectifier import *  # noqa: F403
    from volta.functional.recurrent import *  # noqa: F403
    from volta.functional.regression_loss import *  # noqa: F403
    from volta.functional.regularization import *  # noqa: F403
    from volta.functional.resampling import *  # noqa: F403
    from volta.functional.searching import *  # noqa: F403
    from volta.functional.segment import *  # noqa: F403
    from volta.functional.sets import *  # noqa: F403
    from volta.functional.sorting import *  # noqa: F403
    from volta.functional.update import *  # noqa: F403

e: Final = math.e
inf: Final = math.inf
nan: Final = math.nan
pi: Final = math.pi
newaxis: Final = None

__array_api_version__ = "2025.12"

_EXTENSIONS: Final = ("fft", "linalg", "random", "special")
_CHAPTERS: Final = (
    "activation",
    "adaptive_pooling",
    "attention",
    "calculus",
    "contraction",
    "convolution",
    "correlation",
    "ctc",
    "cumulative",
    "exponential_unit",
    "gating",
    "lookup",
    "loss",
    "nan_reduction",
    "normalization",
    "padding",
    "pooling",
    "position",
    "probability_loss",
    "ranking_loss",
    "rearrangement",
    "rectifier",
    "recurrent",
    "regression_loss",
    "regularization",
    "resampling",
    "searching",
    "segment",
    "sets",
    "sorting",
    "update",
)
_OWN: Final = (
    *_creation,
    *_dtypes,
    *_elementwise,
    *_indexing,
    *_manipulation,
    *_products,
    *_reduction,
    "e",
    "inf",
    "nan",
    "newaxis",
    "pi",
)

_later: Final = _importing_later(__name__, _EXTENSIONS, _CHAPTERS, _OWN)

if not TYPE_CHECKING:  # checkers see the imports above, and that other names do not exist
    __getattr__ = _later


def __dir__() -> list[str]:
    names: list[str] = _later("__all__")
    return names


def _declared_later(name: str) -> Any:
    """Function that `ops` does not have yet."""
    if not name.startswith("_"):
        _later("__all__")
        importlib.import_module("volta.functional.numpy_protocol")
    if name in vars(_ops):
        return vars(_ops)[name]
    msg = f"the op set has no {name!r}"
    raise AttributeError(msg)


def _declare_all() -> None:
    """Import what is left, so that every primitive exists and `ops` has all its functions."""
    for name in (*_EXTENSIONS, *_CHAPTERS, "numpy_protocol"):
        importlib.import_module(f"volta.functional.{name}")


_ops.__getattr__, _ops.declare_all = _declared_later, _declare_all
