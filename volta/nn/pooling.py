"""Pooling as layers."""

from collections.abc import Sequence
from typing import Any, ClassVar

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.trace import located
from volta.core.types import Array
from volta.functional.axes import per_axis
from volta.nn.module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

Numbers = int | Sequence[int]


class _Pool(Module):
    """What the layers have in common: sizes of windows in so many axes, and how they are shown."""

    kernel_size: Any
    stride: Any
    padding: Any

    _nd: ClassVar[int]
    _shown: ClassVar[tuple[str, ...]] = ("kernel_size", "stride", "padding")

    def _set_windows(self, kernel_size: Any, stride: Any, **others: Any) -> None:
        stride = kernel_size if stride is None else stride
        for field, value in {"kernel_size": kernel_size, "stride": stride, **others}.items():
            least = 0 if field == "padding" else 1
            per_axis(type(self).__name__, field, value, self._nd, least)
            setattr(self, field, tuple(value) if isinstance(value, list) else value)

    def extra_repr(self) -> str:
        """The fields that PyTorch shows."""
        return ", ".join(f"{field}={getattr(self, field)!r}" for field in self._shown)


# Maximum ------------------------------------------------------------------------------------------


class _MaxPool(_Pool):
    _shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        dilation: Numbers = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self._set_windows(kernel_size, stride, padding=padding, dilation=dilation)
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def __call__(self, x: Array) -> Any:
        """Pool `x`, of shape (n, channels, *space) or without n."""
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self._nd - 1]
        return pool(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool1d(_MaxPool):
    """Largest element of every window of a signal; parameters are those of `MaxPool2d`.

    Examples
    --------
    >>> volta.nn.MaxPool1d(2)(np.asarray([[1.0, 3.0, 2.0, 0.0]]))
    array([[3., 2.]])
    """

    _nd = 1


class MaxPool2d(_MaxPool):
    """Largest element of every window of an image: `functional.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or tuple of int
        As for the function; by default `stride` is `kernel_size`.
    return_indices : bool
        Whether a call returns the indices too, for `MaxUnpool2d`.
    ceil_mode : bool

    Raises
    ------
    ValueError, DTypeError
        If a number is out of range, or none.
    ShapeError
        From a call, if the input does not fit.

    Examples
    --------
    >>> volta.nn.MaxPool2d(3, stride=2, padding=1)(np.ones((5, 8, 32, 32))).shape
    (5, 8, 16, 16)
    """

    _nd = 2


class MaxPool3d(_MaxPool):
    """Largest element of every window of a volume; parameters are those of `MaxPool2d`.

    Examples
    --------
    >>> volta.nn.MaxPool3d(2)(np.ones((5, 8, 4, 6, 6))).shape
    (5, 8, 2, 3, 3)
    """

    _nd = 3


# Mean ---------------------------------------------------------------------------------------------


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self._set_windows(kernel_size, stride, padding=padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def __call__(self, x: Array) -> Any:
        """Pool `x`, of shape (n, channels, *space) or without n."""
        pool = F.avg_pool2d if self._nd == 2 else F.avg_pool3d
        return pool(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool1d(_Pool):
    """Mean of every window of a signal: `functional.avg_pool1d`.

    Parameters
    ----------
    kernel_size, stride, padding : int or tuple of int
        As for the function; by default `stride` is `kernel_size`.
    ceil_mode, count_include_pad : bool

    Raises
    ------
    ValueError, DTypeError, ShapeError
        As from `MaxPool2d`.

    Examples
    --------
    >>> volta.nn.AvgPool1d(2)(np.asarray([[1.0, 3.0, 2.0, 0.0]]))
    array([[2., 1.]])
    """

    _nd = 1

    def __init__(
        self,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        padding: Numbers = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        name, stride = "AvgPool1d", kernel_size if stride is None else stride
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, 1, 1)
        self.stride = per_axis(name, "stride", stride, 1, 1)
        self.padding = per_axis(name, "padding", padding, 1, 0)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def __call__(self, x: Array) -> Any:
        """Pool `x`, of shape (n, channels, length) or without n."""
        return F.avg_pool1d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )


class AvgPool2d(_AvgPool):
    """Mean of every window of an image: `functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding : int or tuple of int
        As for the function; by default `stride` is `kernel_size`.
    ceil_mode, count_include_pad : bool
    divisor_override : int, optional

    Raises
    ------
    ValueError, DTypeError, ShapeError
        As from `MaxPool2d`.

    Examples
    --------
    >>> volta.nn.AvgPool2d(2)(np.ones((5, 8, 32, 32))).shape
    (5, 8, 16, 16)
    """

    _nd = 2


class AvgPool3d(_AvgPool):
    """Mean of every window of a volume; parameters are those of `AvgPool2d`.

    Examples
    --------
    >>> volta.nn.AvgPool3d(2)(np.ones((5, 8, 4, 6, 6))).shape
    (5, 8, 2, 3, 3)
    """

    _nd = 3


# Norm ---------------------------------------------------------------------------------------------


class _LPPool(_Pool):
    _shown = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(
        self,
        norm_type: float,
        kernel_size: Numbers,
        stride: Numbers | None = None,
        ceil_mode: bool = False,
    ) -> None:
        self._set_windows(kernel_size, stride)
        if stride is None:
            self.stride = None  # as PyTorch shows it
        self.norm_type = norm_type
        self.ceil_mode = ceil_mode

    def __call__(self, x: Array) -> Any:
        """Pool `x`, of shape (n, channels, *space) or without n."""
        pool = (F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)[self._nd - 1]
        return pool(x, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool1d(_LPPool):
    """Norm of every window of a signal; parameters are those of `LPPool2d`.

    Examples
    --------
    >>> volta.nn.LPPool1d(2, 2)(np.asarray([[3.0, 4.0]]))
    array([[5.]])
    """

    _nd = 1


class LPPool2d(_LPPool):
    """Norm of every window of an image: `functional.lp_pool2d`.

    Parameters
    ----------
    norm_type : float
    kernel_size, stride : int or tuple of int
        As for the function; by default `stride` is `kernel_size`.
    ceil_mode : bool

    Raises
    ------
    ValueError, DTypeError, ShapeError
        As from `MaxPool2d`.

    Examples
    --------
    >>> volta.nn.LPPool2d(1, 2)(np.ones((1, 2, 4)))
    array([[[4., 4.]]])
    """

    _nd = 2


class LPPool3d(_LPPool):
    """Norm of every window of a volume; parameters are those of `LPPool2d`.

    Examples
    --------
    >>> volta.nn.LPPool3d(1, 2)(np.ones((1, 2, 2, 2)))
    array([[[[8.]]]])
    """

    _nd = 3


# To a given size ----------------------------------------------------------------------------------


class _AdaptivePool(_Pool):
    _shown = ("output_size",)

    def _set_size(self, output_size: Any) -> None:
        each = isinstance(output_size, tuple | list)
        sizes = tuple(output_size) if each else (output_size,) * self._nd
        given = tuple(1 if n is None else n for n in sizes)
        per_axis(type(self).__name__, "output_size", given, self._nd, 1)
        self.output_size = sizes if each else output_size


class _AdaptiveAvgPool(_AdaptivePool):
    def __init__(self, output_size: Any) -> None:
        self._set_size(output_size)

    def __call__(self, x: Array) -> Any:
        """Pool `x`, of shape (n, channels, *space) or without n."""
        pools = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
        return pools[self._nd - 1](x, self.output_size)


class _AdaptiveMaxPool(_AdaptivePool):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        self._set_size(output_size)
        self.return_indices = return_indices

    def __call__(self, x: Array) -> Any:
        """Pool `x`, of shape (n, channels, *space) or without n."""
        pools = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)
        return pools[self._nd - 1](x, self.output_size, self.return_indices)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of windows that divide a signal; parameters are those of `AdaptiveAvgPool2d`.

    Examples
    --------
    >>> volta.nn.AdaptiveAvgPool1d(1)(np.asarray([[1.0, 2.0, 6.0]]))
    array([[3.]])
    """

    _nd = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of windows that divide an image: `functional.adaptive_avg_pool2d`.

    Parameters
    ----------
    output_size : int, or tuple of int or None
        Lengths of the result; None keeps that of the input.

    Raises
    ------
    ValueError, DTypeError, ShapeError
        As from `MaxPool2d`.

    Examples
    --------
    >>> volta.nn.AdaptiveAvgPool2d((7, None))(np.ones((5, 8, 32, 30))).shape
    (5, 8, 7, 30)
    """

    _nd = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of windows that divide a volume; parameters are those of `AdaptiveAvgPool2d`.

    Examples
    --------
    >>> volta.nn.AdaptiveAvgPool3d(2)(np.ones((5, 8, 4, 7, 6))).shape
    (5, 8, 2, 2, 2)
    """

    _nd = 3


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Largest elements of windows that divide a signal.

    Parameters are those of `AdaptiveMaxPool2d`.

    Examples
    --------
    >>> volta.nn.AdaptiveMaxPool1d(1)(np.asarray([[1.0, 2.0, 6.0]]))
    array([[6.]])
    """

    _nd = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Largest elements of windows that divide an image: `functional.adaptive_max_pool2d`.

    Parameters
    ----------
    output_size : int, or tuple of int or None
        Lengths of the result; None keeps that of the input.
    return_indices : bool
        Whether a call returns the indices too.

    Raises
    ------
    ValueError, DTypeError, ShapeError
        As from `MaxPool2d`.

    Examples
    --------
    >>> volta.nn.AdaptiveMaxPool2d((7, None))(np.ones((5, 8, 32, 30))).shape
    (5, 8, 7, 30)
    """

    _nd = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Largest elements of windows that divide a volume.

    Parameters are those of `AdaptiveMaxPool2d`.

    Examples
    --------
    >>> volta.nn.AdaptiveMaxPool3d(2)(np.ones((5, 8, 4, 7, 6))).shape
    (5, 8, 2, 2, 2)
    """

    _nd = 3


# By chance ----------------------------------------------------------------------------------------


class _FractionalMaxPool(_Pool):
    _shown = ("kernel_size", "output_size", "output_ratio")

    def __init__(
        self,
        kernel_size: Numbers,
        output_size: Numbers | None = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Array | None = None,
    ) -> None:
        self._set_windows(kernel_size, None)
        if (output_size is None) == (output_ratio is None):
            msg = (
                f"{type(self).__name__}: either output_size or output_ratio must be given; got "
                f"{output_size} and {output_ratio}."
            )
            raise located(ValueError(msg))
        self.output_size = output_size
        self.output_ratio = output_ratio
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def __call__(self, x: Array, *, key: Any = None) -> Any:
        """Pool `x`, of shape (n, channels, *space) or without n, with windows that `key` places."""
        pool = F.fractional_max_pool2d if self._nd == 2 else F.fractional_max_pool3d
        return pool(
            x,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
            key=key,
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """Largest elements of windows at random distances: `functional.fractional_max_pool2d`.

    Parameters
    ----------
    kernel_size : int or tuple of int
    output_size : int or tuple of int, optional
        Lengths of the result.
    output_ratio : float or tuple of float, optional
        The same as parts of those of the input. One of the two must be given.
    return_indices : bool
        Whether a call returns the indices too.
    _random_samples : array, optional
        As for the function, in place of a key.

    Raises
    ------
    ValueError, DTypeError, ShapeError
        As from `MaxPool2d`.

    Notes
    -----
    Windows are random in evaluation too, as in PyTorch, so that every call takes a key.

    Examples
    --------
    >>> layer = volta.nn.FractionalMaxPool2d(2, output_ratio=0.7)
    >>> layer(np.ones((5, 8, 30, 30)), key=F.random.key(0)).shape
    (5, 8, 21, 21)
    """

    _nd = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """Largest elements of windows at random distances in a volume.

    Parameters are those of `FractionalMaxPool2d`.

    Examples
    --------
    >>> layer = volta.nn.FractionalMaxPool3d(2, output_size=3)
    >>> layer(np.ones((8, 5, 6, 7)), key=F.random.key(0)).shape
    (8, 3, 3, 3)
    """

    _nd = 3


# Back to where maxima were ------------------------------------------------------------------------


class _MaxUnpool(_Pool):
    def __init__(
        self, kernel_size: Numbers, stride: Numbers | None = None, padding: Numbers = 0
    ) -> None:
        stride = kernel_size if stride is None else stride
        name = type(self).__name__
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self._nd, 1)
        self.stride = per_axis(name, "stride", stride, self._nd, 1)
        self.padding = per_axis(name, "padding", padding, self._nd, 0)

    def __call__(self, x: Array, indices: Array, output_size: Sequence[int] | None = None) -> Any:
        """Put maxima `x`, of shape (n, channels, *space) or without n, back to their indices.

        Parameters
        ----------
        x : array
        indices : array of int, shape of `x`
        output_size : sequence of int, optional
            Lengths in space of what was pooled, or its shape.
        """
        unpool = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self._nd - 1]
        return unpool(x, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool1d(_MaxUnpool):
    """Partial inverse of `MaxPool1d`; parameters are those of `MaxUnpool2d`.

    Examples
    --------
    >>> layer = volta.nn.MaxUnpool1d(2)
    >>> layer(np.asarray([[3.0, 5.0]]), np.asarray([[0, 3]]))
    array([[3., 0., 0., 5.]])
    """

    _nd = 1


class MaxUnpool2d(_MaxUnpool):
    """Partial inverse of `MaxPool2d`, with zeros but for the maxima: `functional.max_unpool2d`.

    Parameters
    ----------
    kernel_size, stride, padding : int or tuple of int
        Those of the pooling.

    Raises
    ------
    ValueError, DTypeError
        If a number is out of range, or none.
    ShapeError, DimensionError
        From a call, if maxima and indices do not fit.

    Examples
    --------
    >>> pool, unpool = volta.nn.MaxPool2d(2, return_indices=True), volta.nn.MaxUnpool2d(2)
    >>> unpool(*pool(np.asarray([[[1.0, 2.0], [4.0, 3.0]]])))
    array([[[0., 0.],
            [4., 0.]]])
    """

    _nd = 2


class MaxUnpool3d(_MaxUnpool):
    """Partial inverse of `MaxPool3d`; parameters are those of `MaxUnpool2d`.

    Examples
    --------
    >>> layer = volta.nn.MaxUnpool3d((1, 1, 2))
    >>> layer(np.ones((1, 1, 1, 1)), np.ones((1, 1, 1, 1), dtype=int))
    array([[[[0., 1.]]]])
    """

    _nd = 3
