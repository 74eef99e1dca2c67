"""Linear maps."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located
from volta.core.types import Array, as_dtype
from volta.functional import random
from volta.nn import init
from volta.nn.module import Module

__all__ = ["Bilinear", "Identity", "Linear"]


class Linear(Module):
    """Affine map of the last axis, ``x @ weight + bias``.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of the last axis before and after.
    bias : bool
        Whether to add a bias.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Array library and device of the parameters; by default those of `key`.

    Attributes
    ----------
    weight : array, shape (in_features, out_features)
    bias : array, shape (out_features,), or None

    Raises
    ------
    ValueError
        If a number of features is negative.
    ShapeError
        From a call, if the last axis of the input does not have `in_features` elements.
    DTypeError
        From a call, if the input is no array, or not real or complex floating.

    Notes
    -----
    Weight and bias start uniform between ±1/√in_features, as PyTorch's do. PyTorch's weight is
    the transpose; `Module.load_state_dict` and `to_torch_state_dict` know.

    Examples
    --------
    >>> layer = volta.nn.Linear(2, 3, key=F.random.key(0))
    >>> layer(np.ones((5, 2))).shape
    (5, 3)
    """

    _torch_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {"weight": (1, 0)}

    weight: Array
    bias: Array | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        if in_features < 0 or out_features < 0:
            msg = (
                "Linear: in_features and out_features must not be negative; got "
                f"{in_features} and {out_features}."
            )
            raise located(ValueError(msg))
        self.in_features = in_features
        self.out_features = out_features
        shape = (in_features, out_features)
        where = {"dtype": dtype, "xp": xp, "device": device}
        weight_key, bias_key = F.unstack(random.split(key))
        self.weight = init.kaiming_uniform(weight_key, shape, a=math.sqrt(5), **where)
        bound = 1 / math.sqrt(in_features) if in_features else 0.0
        self.bias = (
            init.uniform(bias_key, (out_features,), -bound, bound, **where) if bias else None
        )

    def __call__(self, x: Array) -> Any:
        """Map `x`, of shape (..., in_features), to shape (..., out_features)."""
        shape = getattr(x, "shape", None)
        if shape is None:
            msg = (
                f"Linear: the input must be an array; got {type(x).__name__}. Make one, as by "
                "F.asarray."
            )
            raise located(DTypeError(msg))
        if not shape or shape[-1] != self.in_features:
            msg = (
                f"Linear: the last axis of the input must have in_features={self.in_features} "
                f"elements; got input of shape {tuple(shape)} and weight of shape "
                f"{tuple(self.weight.shape)}. Make the layer with that in_features, or "
                "reshape the input."
            )
            raise located(ShapeError(msg))
        if as_dtype(x.dtype).kind not in ("float", "complex"):  # NumPy would go on in float64
            msg = (
                f"Linear: the input must be of floating dtype; got {as_dtype(x.dtype).name} and "
                f"weight of {as_dtype(self.weight.dtype).name}. Convert it with F.astype."
            )
            raise located(DTypeError(msg))
        y, bias = F.matmul(x, self.weight), self.bias
        return y if bias is None else F.add(y, bias)

    def extra_repr(self) -> str:
        """Sizes, and whether there is a bias."""
        return f"{super().extra_repr()}, bias={self.bias is not None}"


class Bilinear(Module):
    """Bilinear forms of two vectors: `functional.bilinear`.

    Parameters
    ----------
    in1_features, in2_features, out_features : int
        Lengths of the last axes of the inputs and of the result.
    bias : bool
        Whether to add a bias.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype, xp, device : optional
        Of the parameters; by default float32, and library and device of `key`.

    Attributes
    ----------
    weight : array, shape (out_features, in1_features, in2_features)
    bias : array, shape (out_features,), or None
        Both start uniform between ±1/√in1_features.

    Raises
    ------
    ValueError
        If a number of features is not positive.
    ShapeError
        From a call, if the inputs have other shapes.

    Examples
    --------
    >>> layer = volta.nn.Bilinear(2, 3, 4, key=F.random.key(0))
    >>> layer(np.ones((5, 2)), np.ones((5, 3))).shape
    (5, 4)
    """

    weight: Array
    bias: Array | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        sizes = (out_features, in1_features, in2_features)
        if min(sizes) < 1:
            msg = f"Bilinear: numbers of features must be positive; got {sizes}, the output first."
            raise located(ValueError(msg))
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        where = {"dtype": dtype, "xp": xp, "device": device}
        weight_key, bias_key = F.unstack(random.split(key))
        bound = 1 / math.sqrt(in1_features)
        self.weight = init.uniform(weight_key, sizes, -bound, bound, **where)
        self.bias = (
            init.uniform(bias_key, (out_features,), -bound, bound, **where) if bias else None
        )

    def __call__(self, x1: Array, x2: Array) -> Any:
        """Map `x1`, of shape (..., in1_features), and `x2`, (..., in2_features)."""
        return F.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Sizes, and whether there is a bias."""
        return f"{super().extra_repr()}, bias={self.bias is not None}"


class Identity(Module):
    """Layer that returns its input.

    Examples
    --------
    >>> volta.nn.Identity()(7)
    7
    """

    def __call__(self, x: Any) -> Any:
        """Return `x`."""
        return x
