"""Convolutions."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.trace import located
from volta.core.types import Array
from volta.functional import random
from volta.nn import init
from volta.nn.module import Module

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]

Numbers = int | Sequence[int]
_MODES: Final = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class _Convolving(Module):
    """What convolutions and transposed ones have in common."""

    _nd: ClassVar[int]

    weight: Array
    bias: Array | None

    def _set_sizes(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
    ) -> None:
        if groups < 1 or in_channels % groups or out_channels % groups or in_channels < 1:
            msg = (
                f"{type(self).__name__}: groups must divide in_channels and out_channels; got "
                f"{groups}, {in_channels} and {out_channels}."
            )
            raise located(ValueError(msg))
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = self._each("kernel_size", kernel_size, 1)
        self.stride = self._each("stride", stride, 1)
        named = padding in ("same", "valid")
        self.padding: Any = padding if named else self._each("padding", padding, 0)
        self.dilation = self._each("dilation", dilation, 1)
        self.groups = groups

    def _each(self, what: str, value: Any, least: int) -> tuple[int, ...]:
        """A number for each axis of space."""
        numbers = tuple(value) if isinstance(value, tuple | list) else (value,) * self._nd
        whole = all(hasattr(n, "__index__") for n in numbers)
        if len(numbers) != self._nd or not whole or any(n < least for n in numbers):
            msg = (
                f"{type(self).__name__}: {what} must be an int of at least {least}, or one for "
                f"each of {self._nd} axes; got {value!r}."
            )
            raise located(ValueError(msg))
        return numbers

    def _set_arrays(self, key: Any, shape: tuple[int, ...], bias: bool, **where: Any) -> None:
        weight_key, bias_key = F.unstack(random.split(key))
        self.weight = init.kaiming_uniform(weight_key, shape, a=math.sqrt(5), **where)
        bound = 1 / math.sqrt(max(1, math.prod(shape[1:])))
        size = (self.out_channels,)
        self.bias = init.uniform(bias_key, size, -bound, bound, **where) if bias else None

    def set_algo(self, algo: F.ConvAlgo | str) -> None:
        """Choose how the convolution is computed.

        Parameters
        ----------
        algo : ConvAlgo or str
            See `functional.ConvAlgo`.

        Raises
        ------
        ValueError
            If there is no such algorithm.

        Examples
        --------
        >>> layer = volta.nn.Conv2d(1, 2, 3, key=F.random.key(0))
        >>> layer.set_algo(F.ConvAlgo.WINOGRAD2)
        >>> layer.algo
        'winograd2'
        """
        if algo not in list(F.ConvAlgo):
            msg = f"set_algo: algo must be one of {', '.join(F.ConvAlgo)}; got {algo!r}."
            raise located(ValueError(msg))
        self.algo = str(algo)

    def extra_repr(self) -> str:
        """Sizes, and whether there is a bias."""
        return f"{super().extra_repr()}, bias={self.bias is not None}"


class _Convolution(_Convolving):
    """Convolution of any number of axes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers | str = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        key: Any,
        algo: F.ConvAlgo | str = "auto",
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        self._set_sizes(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        if padding_mode not in ("zeros", *_MODES):
            msg = (
                f"{type(self).__name__}: padding_mode must be one of zeros, {', '.join(_MODES)}; "
                f"got {padding_mode!r}."
            )
            raise located(ValueError(msg))
        if padding == "same" and any(s != 1 for s in self.stride):
            msg = (
                f"{type(self).__name__}: padding 'same' must come with stride 1; got stride "
                f"{self.stride}."
            )
            raise located(ValueError(msg))
        self.padding_mode = padding_mode
        self.set_algo(algo)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self._set_arrays(key, shape, bias, dtype=dtype, xp=xp, device=device)

    def __call__(self, x: Array) -> Any:
        """Convolve `x`, of shape (batch, in_channels, *space) or without batch."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            x, padding = self._padded(x), 0
        convolve = (F.conv1d, F.conv2d, F.conv3d)[self._nd - 1]
        return convolve(
            x,
            self.weight,
            self.bias,
            self.stride,
            padding,
            self.dilation,
            self.groups,
            algo=self.algo,
        )

    def _padded(self, x: Array) -> Any:
        """Input with margins that are made of itself."""
        if self.padding == "same":
            reach = [d * (k - 1) for k, d in zip(self.kernel_size, self.dilation, strict=True)]
            widths = [(n // 2, n - n // 2) for n in reach]
        else:
            numbers = (0,) * self._nd if self.padding == "valid" else self.padding
            widths = [(int(n), int(n)) for n in numbers]
        lead = [(0, 0)] * (x.ndim - self._nd)
        return F.pad(x, [*lead, *widths], _MODES[self.padding_mode])


class _TransposedConvolution(_Convolving):
    """Transposed convolution of any number of axes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers | str = 0,
        output_padding: Numbers = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Numbers = 1,
        padding_mode: str = "zeros",
        *,
        key: Any,
        algo: F.ConvAlgo | str = "auto",
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        if padding_mode != "zeros" or isinstance(padding, str):
            msg = (
                f"{type(self).__name__}: padding_mode must be 'zeros', and padding ints; got "
                f"{padding_mode!r} and {padding!r}."
            )
            raise located(ValueError(msg))
        self._set_sizes(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.output_padding = self._each("output_padding", output_padding, 0)
        self.set_algo(algo)
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        self._set_arrays(key, shape, bias, dtype=dtype, xp=xp, device=device)

    def __call__(self, x: Array, output_size: Sequence[int] | None = None) -> Any:
        """Apply the transpose to `x`, of shape (batch, in_channels, *space) or without batch.

        Parameters
        ----------
        x : array
        output_size : sequence of int, optional
            Lengths that the result shall have in space, in place of ``output_padding``.
        """
        more = self.output_padding if output_size is None else self._to_reach(x, output_size)
        apply = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self._nd - 1]
        return apply(
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            more,
            self.groups,
            self.dilation,
            algo=self.algo,
        )

    def _to_reach(self, x: Array, output_size: Sequence[int]) -> tuple[int, ...]:
        """Output padding that gives the result these lengths."""
        wanted = tuple(output_size)[-self._nd :]
        least = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                x.shape[-self._nd :],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        )
        most = tuple(n + s - 1 for n, s in zip(least, self.stride, strict=True))
        if len(wanted) != self._nd or not all(
            low <= n <= high for low, n, high in zip(least, wanted, most, strict=True)
        ):
            msg = (
                f"{type(self).__name__}: output_size must be from {least} to {most} for an input "
                f"of shape {tuple(x.shape)}; got {tuple(output_size)}."
            )
            raise located(ValueError(msg))
        return tuple(n - low for n, low in zip(wanted, least, strict=True))


class Conv1d(_Convolution):
    """Convolution of signals, `functional.conv1d`; parameters are those of `Conv2d`.

    Attributes
    ----------
    weight : array, shape (out_channels, in_channels / groups, kernel_size)
    bias : array, shape (out_channels,), or None

    Examples
    --------
    >>> layer = volta.nn.Conv1d(2, 4, 3, padding="same", key=F.random.key(0))
    >>> layer(np.ones((5, 2, 10))).shape
    (5, 4, 10)
    """

    _nd = 1


class Conv2d(_Convolution):
    """Convolution of images, `functional.conv2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size : int or tuple of int
        Lengths of the kernel.
    stride, dilation : int or tuple of int
    padding : int, tuple of int, "same" or "valid"
    groups : int
        As for the function.
    bias : bool
        Whether to add a bias.
    padding_mode : str
        What the margins hold: ``"zeros"``; or what the input has, ``"reflect"``-ed at its edges
        without repeating them, the edge ``"replicate"``-d, or the other end (``"circular"``).
    key : array, shape (2,), uint32
        Random key of the initial values.
    algo : ConvAlgo or str
        How to compute it; see `functional.ConvAlgo`, and `set_algo`.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Array library and device of the parameters; by default those of `key`.

    Attributes
    ----------
    weight : array, shape (out_channels, in_channels / groups, *kernel_size)
    bias : array, shape (out_channels,), or None

    Raises
    ------
    ValueError
        If a number is out of range, or there is no such mode.
    ShapeError
        From a call, if the input does not fit.

    Notes
    -----
    Weight and bias start uniform between ±1/√n, n being the number of inputs of an output, as
    PyTorch's do.

    Examples
    --------
    >>> layer = volta.nn.Conv2d(3, 8, 3, stride=2, padding=1, key=F.random.key(0))
    >>> layer(np.ones((5, 3, 32, 32))).shape
    (5, 8, 16, 16)
    """

    _nd = 2


class Conv3d(_Convolution):
    """Convolution of volumes, `functional.conv3d`; parameters are those of `Conv2d`.

    Attributes
    ----------
    weight : array, shape (out_channels, in_channels / groups, *kernel_size)
    bias : array, shape (out_channels,), or None

    Examples
    --------
    >>> layer = volta.nn.Conv3d(1, 2, (1, 3, 3), key=F.random.key(0))
    >>> layer(np.ones((5, 1, 4, 8, 8))).shape
    (5, 2, 4, 6, 6)
    """

    _nd = 3


class ConvTranspose1d(_TransposedConvolution):
    """Transposed convolution of signals; parameters are those of `ConvTranspose2d`.

    Attributes
    ----------
    weight : array, shape (in_channels, out_channels / groups, kernel_size)
    bias : array, shape (out_channels,), or None

    Examples
    --------
    >>> layer = volta.nn.ConvTranspose1d(2, 4, 3, stride=2, key=F.random.key(0))
    >>> layer(np.ones((5, 2, 10))).shape
    (5, 4, 21)
    """

    _nd = 1


class ConvTranspose2d(_TransposedConvolution):
    """Transposed convolution of images, `functional.conv_transpose2d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size : int or tuple of int
        Lengths of the kernel.
    stride, padding, output_padding, dilation : int or tuple of int
    groups : int
        As for the function.
    bias : bool
        Whether to add a bias.
    padding_mode : "zeros"
    key : array, shape (2,), uint32
        Random key of the initial values.
    algo : ConvAlgo or str
        How to compute it; see `functional.ConvAlgo`, and `set_algo`.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Array library and device of the parameters; by default those of `key`.

    Attributes
    ----------
    weight : array, shape (in_channels, out_channels / groups, *kernel_size)
    bias : array, shape (out_channels,), or None

    Raises
    ------
    ValueError
        If a number is out of range.
    ShapeError
        From a call, if the input does not fit.

    Notes
    -----
    Weight and bias start uniform between ±1/√n, n = out_channels / groups · the kernel's
    elements, as PyTorch's do.

    Examples
    --------
    >>> layer = volta.nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1, key=F.random.key(0))
    >>> layer(np.ones((5, 8, 16, 16))).shape
    (5, 3, 32, 32)
    """

    _nd = 2


class ConvTranspose3d(_TransposedConvolution):
    """Transposed convolution of volumes; parameters are those of `ConvTranspose2d`.

    Attributes
    ----------
    weight : array, shape (in_channels, out_channels / groups, *kernel_size)
    bias : array, shape (out_channels,), or None

    Examples
    --------
    >>> layer = volta.nn.ConvTranspose3d(2, 1, 2, stride=2, key=F.random.key(0))
    >>> layer(np.ones((5, 2, 3, 3, 3))).shape
    (5, 1, 6, 6, 6)
    """

    _nd = 3
