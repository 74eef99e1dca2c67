"""Resampling as a layer."""

from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.types import Array
from volta.nn.module import Module

__all__ = ["Upsample"]


class Upsample(Module):
    """Resample the axes after the first two to other lengths: `functional.interpolate`.

    Parameters
    ----------
    size, scale_factor, mode, align_corners, recompute_scale_factor
        As for the function.

    Examples
    --------
    >>> volta.nn.Upsample(scale_factor=2)(np.asarray([[[1.0, 3.0]]]))
    array([[[1., 1., 3., 3.]]])
    """

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool = False,
    ) -> None:
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def __call__(self, x: Array) -> Any:
        """Resample `x`, of shape (n, channels, ...)."""
        return F.interpolate(
            x,
            self.size,
            self.scale_factor,
            self.mode,
            align_corners=self.align_corners,
            recompute_scale_factor=self.recompute_scale_factor,
        )
