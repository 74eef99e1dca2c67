"""Images cut and put together again, as layers."""

from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.types import Array
from volta.nn.module import Module

__all__ = ["ChannelShuffle", "Fold", "PixelShuffle", "PixelUnshuffle", "Unfold"]


class PixelShuffle(Module):
    """Spread channels over a finer grid: `functional.pixel_shuffle`.

    Parameters
    ----------
    upscale_factor : int

    Examples
    --------
    >>> volta.nn.PixelShuffle(2)(np.ones((1, 8, 3, 3))).shape
    (1, 2, 6, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def __call__(self, x: Array) -> Any:
        """Rearrange `x`, of shape (..., channels, height, width)."""
        return F.pixel_shuffle(x, self.upscale_factor)


class PixelUnshuffle(Module):
    """Collect a grid's neighbours in channels: `functional.pixel_unshuffle`.

    Parameters
    ----------
    downscale_factor : int

    Examples
    --------
    >>> volta.nn.PixelUnshuffle(2)(np.ones((1, 2, 6, 6))).shape
    (1, 8, 3, 3)
    """

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor

    def __call__(self, x: Array) -> Any:
        """Rearrange `x`, of shape (..., channels, height, width)."""
        return F.pixel_unshuffle(x, self.downscale_factor)


class ChannelShuffle(Module):
    """Deal the channels of groups out in turn: `functional.channel_shuffle`.

    Parameters
    ----------
    groups : int

    Examples
    --------
    >>> volta.nn.ChannelShuffle(2)(np.asarray([[1, 2, 3, 4]]))
    array([[1, 3, 2, 4]])
    """

    def __init__(self, groups: int) -> None:
        self.groups = groups

    def __call__(self, x: Array) -> Any:
        """Rearrange `x`, of shape (n, channels, ...)."""
        return F.channel_shuffle(x, self.groups)


class Unfold(Module):
    """Copy every window of an image into a column: `functional.unfold`.

    Parameters
    ----------
    kernel_size, dilation, padding, stride : int or pair of int
        As for the function.

    Examples
    --------
    >>> volta.nn.Unfold(2)(np.ones((1, 3, 4, 4))).shape
    (1, 12, 9)
    """

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def __call__(self, x: Array) -> Any:
        """Take windows of `x`, of shape (n, channels, height, width) or without n."""
        return F.unfold(
            x,
            self.kernel_size,
            dilation=self.dilation,
            padding=self.padding,
            stride=self.stride,
        )


class Fold(Module):
    """Add up windows that lie in columns to an image: `functional.fold`.

    Parameters
    ----------
    output_size, kernel_size, dilation, padding, stride : int or pair of int
        As for the function.

    Examples
    --------
    >>> volta.nn.Fold(4, 2)(np.ones((1, 12, 9))).shape
    (1, 3, 4, 4)
    """

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def __call__(self, x: Array) -> Any:
        """Add up `x`, of shape (n, channels · window, places) or without n."""
        return F.fold(
            x,
            self.output_size,
            self.kernel_size,
            dilation=self.dilation,
            padding=self.padding,
            stride=self.stride,
        )
