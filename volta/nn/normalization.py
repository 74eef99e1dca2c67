"""Normalizations as layers."""

import operator
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import ShapeError
from volta.core.trace import located
from volta.core.types import Array
from volta.nn.module import Module

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


def _affine(
    layer: Any, shape: tuple[int, ...], has_weight: bool, has_bias: bool, where: dict[str, Any]
) -> None:
    """Give a layer the weight and bias that it starts with: ones and zeros, or none."""
    layer.weight = F.ones(shape, **where) if has_weight else None
    layer.bias = F.zeros(shape, **where) if has_bias else None


def _check_count(layer: str, what: str, value: int) -> int:
    count = operator.index(value)
    if count < 1:
        msg = f"{layer}: {what} must be positive; got {count}."
        raise located(ValueError(msg))
    return count


# With running statistics --------------------------------------------------------------------------


class _Tracking(Module):
    """What batch and instance normalization have in common: channels and running statistics."""

    _axes: ClassVar[tuple[int, ...]]  # how many axes an input may have

    weight: Array | None
    bias: Array | None
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def _start(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        bias: bool,
        where: dict[str, Any],
    ) -> None:
        name = type(self).__name__
        self.num_features = _check_count(name, "num_features", num_features)
        self.eps = eps
        if momentum is not None and momentum > 0.5:
            warnings.warn(
                f"{name}: momentum is the weight of the new statistics, 0.1 by default; got "
                f"{momentum}. Keras and Flax mean that of the old ones: "
                f"{round(1 - momentum, 6)} here.",
                stacklevel=4,
            )
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        shape = (num_features,)
        _affine(self, shape, affine, affine and bias, where)
        tracked = track_running_stats
        self.register_buffer("running_mean", F.zeros(shape, **where) if tracked else None)
        self.register_buffer("running_var", F.ones(shape, **where) if tracked else None)
        home = {"xp": where["xp"], "device": where["device"]}
        count = F.full((), 0, **home) if tracked else None
        self.register_buffer("num_batches_tracked", count)

    def _check(self, x: Array) -> None:
        if x.ndim not in self._axes:
            wanted = " or ".join(map(str, self._axes))
            msg = f"{type(self).__name__}: x must have {wanted} axes; got shape {tuple(x.shape)}."
            raise located(ShapeError(msg))
        channels = x.shape[0 if x.ndim < self._axes[0] else 1]  # the first axis, without a batch
        if channels != self.num_features:
            msg = (
                f"{type(self).__name__}: x must have num_features={self.num_features} channels; "
                f"got shape {tuple(x.shape)}."
            )
            raise located(ShapeError(msg))

    def _track(self, mean: Any, var: Any, count: Any) -> None:
        self.running_mean = mean
        self.running_var = var
        self.num_batches_tracked = count

    def _next(self) -> tuple[Any, Any]:
        """How many batches there are with this one, and its weight in the running statistics."""
        count = self.num_batches_tracked + 1
        if self.momentum is None:
            return count, F.divide(1, F.astype(count, self.running_mean.dtype))
        return count, self.momentum


class _BatchNorm(_Tracking):
    """Batch normalization of inputs of so many axes."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        where = {"dtype": dtype, "xp": xp, "device": device}
        self._start(num_features, eps, momentum, affine, track_running_stats, bias, where)

    def __call__(self, x: Array) -> Any:
        """Normalize `x`, of shape (n, num_features, ...)."""
        self._check(x)
        running = self.running_mean, self.running_var
        affine = self.weight, self.bias
        if not self.track_running_stats:
            return F.batch_norm(x, None, None, *affine, training=True, eps=self.eps)[0]
        if not self.training:
            return F.batch_norm(x, *running, *affine, eps=self.eps)
        count, momentum = self._next()
        y, mean, var = F.batch_norm(
            x, *running, *affine, training=True, momentum=momentum, eps=self.eps
        )
        self._track(mean, var, count)
        return y


class BatchNorm1d(_BatchNorm):
    """Normalize each channel over the batch: `functional.batch_norm`.

    In training the batch's own mean and variance normalize, and running ones are updated; in
    evaluation the running ones normalize.

    Parameters
    ----------
    num_features : int
        Number of channels.
    eps : float
        Added to the variance.
    momentum : float, optional
        Weight of a batch in the running statistics; None makes them the average of all batches.
        Keras and Flax mean the weight of the old ones.
    affine : bool
        Whether there is a weight.
    bias : bool
        Whether, with a weight, there is a bias too.
    track_running_stats : bool
        Whether there are running statistics; without, the batch's own are always used.
    dtype, xp, device : optional
        Of the arrays; by default float32, NumPy.

    Attributes
    ----------
    weight, bias : array, shape (num_features,), or None
        Ones and zeros at first.
    running_mean, running_var : buffer, shape (num_features,), or None
        Zeros and ones at first.
    num_batches_tracked : buffer, shape (), int, or None

    Raises
    ------
    ValueError
        If `num_features` is not positive; from a call in training, if a channel has but one value.
    ShapeError
        From a call, if `x` does not have shape (n, num_features) or (n, num_features, length).
    TraceError
        From a call in training inside a transform, where an update of the running statistics would
        be lost: call the model through `stateful_call`, which returns them.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", ICML 2015, https://arxiv.org/abs/1502.03167.

    Examples
    --------
    >>> layer = volta.nn.BatchNorm1d(2)
    >>> layer(np.asarray([[1.0, 10.0], [3.0, 30.0]])).round(3)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> layer.running_mean
    array([0.2, 2. ], dtype=float32)
    """

    _axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Normalize each channel of images over the batch; as `BatchNorm1d`.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias, dtype, xp, device
        As for `BatchNorm1d`.

    Raises
    ------
    ShapeError
        From a call, if `x` does not have shape (n, num_features, height, width).
    ValueError, TraceError
        As from `BatchNorm1d`.

    Examples
    --------
    >>> volta.nn.BatchNorm2d(3)(np.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    _axes = (4,)


class BatchNorm3d(_BatchNorm):
    """Normalize each channel of volumes over the batch; as `BatchNorm1d`.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias, dtype, xp, device
        As for `BatchNorm1d`.

    Raises
    ------
    ShapeError
        From a call, if `x` does not have shape (n, num_features, depth, height, width).
    ValueError, TraceError
        As from `BatchNorm1d`.

    Examples
    --------
    >>> volta.nn.BatchNorm3d(3)(np.ones((2, 3, 2, 4, 4))).shape
    (2, 3, 2, 4, 4)
    """

    _axes = (5,)


class _InstanceNorm(_Tracking):
    """Instance normalization of inputs of so many axes, or one less without the batch."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        where = {"dtype": dtype, "xp": xp, "device": device}
        self._start(num_features, eps, momentum, affine, track_running_stats, bias, where)

    def __call__(self, x: Array) -> Any:
        """Normalize `x`, of shape (n, num_features, ...) or (num_features, ...)."""
        self._check(x)
        if x.ndim == self._axes[0]:
            return self._normalized(x)
        return F.squeeze(self._normalized(F.expand_dims(x, axis=0)), axis=0)

    def _normalized(self, x: Any) -> Any:
        arrays = self.running_mean, self.running_var, self.weight, self.bias
        if not self.track_running_stats or not self.training:
            own = not self.track_running_stats
            return F.instance_norm(x, *arrays, use_input_stats=own, eps=self.eps)
        count, momentum = self._next()
        y, mean, var = F.instance_norm(x, *arrays, momentum=momentum, eps=self.eps)
        self._track(mean, var, count)
        return y


class InstanceNorm1d(_InstanceNorm):
    """Normalize each channel of each sample: `functional.instance_norm`.

    Parameters
    ----------
    num_features : int
        Number of channels.
    eps : float
        Added to the variance.
    momentum : float, optional
        Weight of a batch in the running statistics; None makes them the average of all batches.
    affine : bool
        Whether there is a weight.
    bias : bool
        Whether, with a weight, there is a bias too.
    track_running_stats : bool
        Whether there are running statistics, which normalize in evaluation.
    dtype, xp, device : optional
        Of the arrays; by default float32, NumPy.

    Attributes
    ----------
    weight, bias, running_mean, running_var, num_batches_tracked
        As of `BatchNorm1d`.

    Raises
    ------
    ValueError
        If `num_features` is not positive; from a call, if a channel has but one value.
    ShapeError
        From a call, if `x` does not have shape (n, num_features, length) or
        (num_features, length).
    TraceError
        As from `BatchNorm1d`, if running statistics are tracked.

    Notes
    -----
    PyTorch never counts the batches of these layers, so that there `momentum` None changes nothing.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance normalization: the missing ingredient for fast
    stylization", 2016, https://arxiv.org/abs/1607.08022.

    Examples
    --------
    >>> volta.nn.InstanceNorm1d(2)(np.asarray([[[1.0, 3.0], [2.0, 8.0]]])).round(3)
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """

    _axes = (3, 2)


class InstanceNorm2d(_InstanceNorm):
    """Normalize each channel of each image; as `InstanceNorm1d`.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias, dtype, xp, device
        As for `InstanceNorm1d`.

    Raises
    ------
    ShapeError
        From a call, if `x` does not have shape (n, num_features, height, width) or that without n.
    ValueError, TraceError
        As from `InstanceNorm1d`.

    Examples
    --------
    >>> volta.nn.InstanceNorm2d(3)(np.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    _axes = (4, 3)


class InstanceNorm3d(_InstanceNorm):
    """Normalize each channel of each volume; as `InstanceNorm1d`.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias, dtype, xp, device
        As for `InstanceNorm1d`.

    Raises
    ------
    ShapeError
        From a call, if `x` does not have shape (n, num_features, depth, height, width) or that
        without n.
    ValueError, TraceError
        As from `InstanceNorm1d`.

    Examples
    --------
    >>> volta.nn.InstanceNorm3d(3)(np.ones((2, 3, 2, 4, 4))).shape
    (2, 3, 2, 4, 4)
    """

    _axes = (5, 4)


# Of each sample -----------------------------------------------------------------------------------


def _sizes(layer: str, normalized_shape: Any) -> tuple[int, ...]:
    given = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    return tuple(_check_count(layer, "normalized_shape", n) for n in given)


class LayerNorm(Module):
    """Normalize over the last axes: `functional.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Lengths of the axes.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether there is a weight.
    bias : bool
        Whether there is a bias too.
    dtype, xp, device : optional
        Of the arrays; by default float32, NumPy.

    Attributes
    ----------
    weight, bias : array, shape `normalized_shape`, or None
        Ones and zeros at first.

    Raises
    ------
    ValueError
        If a length is not positive.
    ShapeError
        From a call, if the last axes of the input have other lengths.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", 2016,
    https://arxiv.org/abs/1607.06450.

    Examples
    --------
    >>> volta.nn.LayerNorm(2)(np.asarray([[1.0, 3.0], [2.0, 8.0]])).round(3)
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    weight: Array | None
    bias: Array | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        self.normalized_shape = _sizes("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        where = {"dtype": dtype, "xp": xp, "device": device}
        both = elementwise_affine and bias
        _affine(self, self.normalized_shape, elementwise_affine, both, where)

    def __call__(self, x: Array) -> Any:
        """Normalize `x`, of shape (..., *normalized_shape)."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, eps=self.eps)


class RMSNorm(Module):
    """Divide by the root of the mean square over the last axes: `functional.rms_norm`.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Lengths of the axes.
    eps : float, optional
        Added to the mean square; by default the spacing of the input's dtype at 1.
    elementwise_affine : bool
        Whether there is a weight.
    dtype, xp, device : optional
        Of the weight; by default float32, NumPy.

    Attributes
    ----------
    weight : array, shape `normalized_shape`, or None
        Ones at first.

    Raises
    ------
    ValueError
        If a length is not positive.
    ShapeError
        From a call, if the last axes of the input have other lengths.

    References
    ----------
    B. Zhang, R. Sennrich, "Root mean square layer normalization", NeurIPS 2019,
    https://arxiv.org/abs/1910.07467.

    Examples
    --------
    >>> volta.nn.RMSNorm(2)(np.asarray([3.0, 4.0])).round(3)
    array([0.849, 1.131])
    """

    weight: Array | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        self.normalized_shape = _sizes("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        where = {"dtype": dtype, "xp": xp, "device": device}
        self.weight = F.ones(self.normalized_shape, **where) if elementwise_affine else None

    def __call__(self, x: Array) -> Any:
        """Normalize `x`, of shape (..., *normalized_shape)."""
        return F.rms_norm(x, self.normalized_shape, self.weight, eps=self.eps)


class GroupNorm(Module):
    """Normalize groups of channels of each sample: `functional.group_norm`.

    Parameters
    ----------
    num_groups, num_channels : int
        The groups must divide the channels.
    eps : float
        Added to the variance.
    affine : bool
        Whether there is a weight.
    bias : bool
        Whether, with a weight, there is a bias too.
    dtype, xp, device : optional
        Of the arrays; by default float32, NumPy.

    Attributes
    ----------
    weight, bias : array, shape (num_channels,), or None
        Ones and zeros at first.

    Raises
    ------
    ValueError
        If the groups do not divide the channels; from a call, if a group has but one value.
    ShapeError
        From a call, if `x` does not have shape (n, num_channels, ...).

    References
    ----------
    Y. Wu, K. He, "Group normalization", ECCV 2018, https://arxiv.org/abs/1803.08494.

    Examples
    --------
    >>> volta.nn.GroupNorm(2, 4)(np.asarray([[1.0, 3.0, 2.0, 8.0]])).round(3)
    array([[-1.,  1., -1.,  1.]])
    """

    weight: Array | None
    bias: Array | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        self.num_groups = _check_count("GroupNorm", "num_groups", num_groups)
        self.num_channels = _check_count("GroupNorm", "num_channels", num_channels)
        if num_channels % num_groups:
            msg = (
                "GroupNorm: num_groups must divide num_channels; got "
                f"{num_groups} and {num_channels}."
            )
            raise located(ValueError(msg))
        self.eps = eps
        self.affine = affine
        where = {"dtype": dtype, "xp": xp, "device": device}
        _affine(self, (num_channels,), affine, affine and bias, where)

    def __call__(self, x: Array) -> Any:
        """Normalize `x`, of shape (n, num_channels, ...)."""
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            msg = (
                f"GroupNorm: x must have shape (n, num_channels={self.num_channels}, ...); got "
                f"{tuple(x.shape)}."
            )
            raise located(ShapeError(msg))
        return F.group_norm(x, self.num_groups, self.weight, self.bias, eps=self.eps)


class LocalResponseNorm(Module):
    """Divide by the squares of neighbouring channels: `functional.local_response_norm`.

    Parameters
    ----------
    size : int
        How many channels count.
    alpha, beta, k : float

    Raises
    ------
    ValueError
        If `size` is not positive.

    Examples
    --------
    >>> volta.nn.LocalResponseNorm(2, alpha=1.0, beta=1.0)(np.asarray([[1.0, 2.0, 3.0]]))
    array([[0.66666667, 0.57142857, 0.4       ]])
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = _check_count("LocalResponseNorm", "size", size)
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def __call__(self, x: Array) -> Any:
        """Normalize `x`, of shape (n, channels, ...)."""
        return F.local_response_norm(x, self.size, alpha=self.alpha, beta=self.beta, k=self.k)
