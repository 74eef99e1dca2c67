"""The op set: differentiable functions on arrays of any library, with the Array API's names.

Chapters are named as in the standard. Every function takes raw arrays or traced ones, returns
the type it was given, and never writes to an operand.
"""

import importlib
import math
from typing import TYPE_CHECKING, Any, Final

from volta.functional import fft as fft
from volta.functional import linalg as linalg
from volta.functional import namespace as _namespace  # noqa: F401 - registers itself
from volta.functional import numpy_protocol as _numpy_protocol  # noqa: F401 - likewise
from volta.functional import operators as _operators  # noqa: F401 - likewise
from volta.functional import random as random
from volta.functional.activation import *  # noqa: F403 - __all__ of each chapter is the op set
from volta.functional.activation import __all__ as _activation
from volta.functional.attention import *  # noqa: F403
from volta.functional.attention import __all__ as _attention
from volta.functional.calculus import *  # noqa: F403
from volta.functional.calculus import __all__ as _calculus
from volta.functional.convolution import *  # noqa: F403
from volta.functional.convolution import __all__ as _convolution
from volta.functional.correlation import *  # noqa: F403
from volta.functional.correlation import __all__ as _correlation
from volta.functional.creation import *  # noqa: F403
from volta.functional.creation import __all__ as _creation
from volta.functional.ctc import *  # noqa: F403
from volta.functional.ctc import __all__ as _ctc
from volta.functional.cumulative import *  # noqa: F403
from volta.functional.cumulative import __all__ as _cumulative
from volta.functional.dropout import *  # noqa: F403
from volta.functional.dropout import __all__ as _dropout
from volta.functional.dtypes import *  # noqa: F403
from volta.functional.dtypes import __all__ as _dtypes
from volta.functional.einsum import *  # noqa: F403
from volta.functional.einsum import __all__ as _einsum
from volta.functional.elementwise import *  # noqa: F403
from volta.functional.elementwise import __all__ as _elementwise
from volta.functional.embedding import *  # noqa: F403
from volta.functional.embedding import __all__ as _embedding
from volta.functional.exponential_unit import *  # noqa: F403
from volta.functional.exponential_unit import __all__ as _exponential_unit
from volta.functional.gating import *  # noqa: F403
from volta.functional.gating import __all__ as _gating
from volta.functional.indexing import *  # noqa: F403
from volta.functional.indexing import __all__ as _indexing
from volta.functional.inspection import (
    __array_namespace_info__ as __array_namespace_info__,
)
from volta.functional.loss import *  # noqa: F403
from volta.functional.loss import __all__ as _loss
from volta.functional.manipulation import *  # noqa: F403
from volta.functional.manipulation import __all__ as _manipulation
from volta.functional.nan_reduction import *  # noqa: F403
from volta.functional.nan_reduction import __all__ as _nan_reduction
from volta.functional.normalization import *  # noqa: F403
from volta.functional.normalization import __all__ as _normalization
from volta.functional.padding import *  # noqa: F403
from volta.functional.padding import __all__ as _padding
from volta.functional.position import *  # noqa: F403
from volta.functional.position import __all__ as _position
from volta.functional.probability_loss import *  # noqa: F403
from volta.functional.probability_loss import __all__ as _probability_loss
from volta.functional.products import *  # noqa: F403
from volta.functional.products import __all__ as _products
from volta.functional.ranking_loss import *  # noqa: F403
from volta.functional.ranking_loss import __all__ as _ranking_loss
from volta.functional.rearrangement import *  # noqa: F403
from volta.functional.rearrangement import __all__ as _rearrangement
from volta.functional.rectifier import *  # noqa: F403
from volta.functional.rectifier import __all__ as _rectifier
from volta.functional.recurrent import *  # noqa: F403
from volta.functional.recurrent import __all__ as _recurrent
from volta.functional.reduction import *  # noqa: F403
from volta.functional.reduction import __all__ as _reduction
from volta.functional.regression_loss import *  # noqa: F403
from volta.functional.regression_loss import __all__ as _regression_loss
from volta.functional.resampling import *  # noqa: F403
from volta.functional.resampling import __all__ as _resampling
from volta.functional.searching import *  # noqa: F403
from volta.functional.searching import __all__ as _searching
from volta.functional.segment import *  # noqa: F403
from volta.functional.segment import __all__ as _segment
from volta.functional.sets import *  # noqa: F403
from volta.functional.sets import __all__ as _sets
from volta.functional.sorting import *  # noqa: F403
from volta.functional.sorting import __all__ as _sorting
from volta.functional.update import *  # noqa: F403
from volta.functional.update import __all__ as _update

if TYPE_CHECKING:
    from volta.functional import special as special

e: Final = math.e
inf: Final = math.inf
nan: Final = math.nan
pi: Final = math.pi
newaxis: Final = None

__array_api_version__ = "2025.12"
__all__ = [
    *_activation,
    *_attention,
    *_calculus,
    *_convolution,
    *_correlation,
    *_creation,
    *_ctc,
    *_cumulative,
    *_dropout,
    *_dtypes,
    *_einsum,
    *_elementwise,
    *_embedding,
    *_exponential_unit,
    *_gating,
    *_indexing,
    *_probability_loss,
    *_position,
    *_products,
    *_ranking_loss,
    *_loss,
    *_manipulation,
    *_nan_reduction,
    *_normalization,
    *_padding,
    *_recurrent,
    *_rearrangement,
    *_reduction,
    *_resampling,
    *_rectifier,
    *_regression_loss,
    *_searching,
    *_segment,
    *_sets,
    *_sorting,
    *_update,
    "e",
    "fft",
    "inf",
    "linalg",
    "nan",
    "newaxis",
    "pi",
    "random",
    "special",
]


def __getattr__(name: str) -> Any:
    if name == "special":  # imported when first named, to keep the import short
        return importlib.import_module("volta.functional.special")
    msg = f"module 'volta.functional' has no attribute {name!r}"
    raise AttributeError(msg)
