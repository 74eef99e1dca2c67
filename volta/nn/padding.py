"""Margins around the last axes, as layers."""

import operator
from typing import Any, ClassVar

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located
from volta.core.types import Array
from volta.nn.module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """What the layers have in common: widths of margins, from the last axis backwards."""

    _rank: ClassVar[int]
    _mode: ClassVar[str] = "constant"

    def __init__(self, padding: Any) -> None:
        self._set(padding)

    def _set(self, padding: Any) -> None:
        count = 2 * self._rank
        given = tuple(padding) if isinstance(padding, tuple | list) else (padding,) * count
        try:
            widths = tuple(map(operator.index, given))
        except TypeError:
            msg = f"{type(self).__name__}: padding must hold ints; got {padding!r}."
            raise located(DTypeError(msg)) from None
        if len(widths) != count:
            msg = (
                f"{type(self).__name__}: padding must be one width or {count}, two for each axis "
                f"from the last; got {padding!r}."
            )
            raise located(ShapeError(msg))
        self.padding = widths

    def _padded(self, x: Any, **options: Any) -> Any:
        """`x` with margins; negative ones take away."""
        if x.ndim not in (self._rank + 1, self._rank + 2):
            msg = (
                f"{type(self).__name__}: x must have {self._rank + 1} or {self._rank + 2} axes; "
                f"got shape {tuple(x.shape)}."
            )
            raise located(ShapeError(msg))
        pairs = [self.padding[i : i + 2] for i in range(0, 2 * self._rank, 2)][::-1]
        lead = x.ndim - self._rank
        self._check(tuple(x.shape[lead:]), pairs)
        for axis, (before, after) in enumerate(pairs, lead):
            if before < 0 or after < 0:
                n = x.shape[axis]
                kept = slice(max(-before, 0), n + min(after, 0))
                x = x[(*(slice(None),) * axis, kept)]
        widths = [(0, 0)] * lead + [(max(a, 0), max(b, 0)) for a, b in pairs]
        return F.pad(x, widths, self._mode, **options)

    def _check(self, lengths: tuple[int, ...], pairs: list[tuple[int, ...]]) -> None:
        """Raise for margins that do not fit an image of these lengths."""
        least = {"reflect": 1, "wrap": 0}.get(self._mode)
        for n, pair in zip(lengths, pairs, strict=True):
            if least is not None and max(pair) > n - least:
                msg = (
                    f"{type(self).__name__}: a margin must be at most {n - least} wide on an axis "
                    f"of {n}; got {pair}."
                )
                raise located(ShapeError(msg))
            if n + sum(pair) < 0 or n + min(*pair, 0) < 0:
                msg = (
                    f"{type(self).__name__}: no more must be taken away than there is; got {pair} "
                    f"for an axis of {n}."
                )
                raise located(ShapeError(msg))


class ZeroPad1d(_Pad):
    """Put zeros around signals.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 2 widths; from a call, if `x` has another number of axes.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ZeroPad1d(1)(np.asarray([[1.0, 2.0, 3.0]]))
    array([[0., 1., 2., 3., 0.]])
    """

    _rank = 1

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, length) or without n."""
        return self._padded(x)


class ZeroPad2d(_Pad):
    """Put zeros around images.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right, top, bottom); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 4 widths; from a call, if `x` has another number of axes.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ZeroPad2d((1, 2, 0, 1))(np.ones((2, 3, 3))).shape
    (2, 4, 6)
    """

    _rank = 2

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, height, width) or without n."""
        return self._padded(x)


class ZeroPad3d(_Pad):
    """Put zeros around volumes.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right, top, bottom, front, back); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 6 widths; from a call, if `x` has another number of axes.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ZeroPad3d((1, 2, 0, 1, 0, 1))(np.ones((2, 3, 3, 3))).shape
    (2, 4, 4, 6)
    """

    _rank = 3

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, depth, height, width) or without n."""
        return self._padded(x)


class ConstantPad1d(_Pad):
    """Put one value around signals.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right); negative ones take away.
    value : float

    Raises
    ------
    ShapeError
        If there are not 2 widths; from a call, if `x` has another number of axes.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ConstantPad1d(1, 7.0)(np.asarray([[1.0, 2.0, 3.0]]))
    array([[7., 1., 2., 3., 7.]])
    """

    _rank = 1

    def __init__(self, padding: Any, value: float) -> None:
        self._set(padding)
        self.value = value

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, length) or without n."""
        return self._padded(x, constant_values=self.value)


class ConstantPad2d(_Pad):
    """Put one value around images.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right, top, bottom); negative ones take away.
    value : float

    Raises
    ------
    ShapeError
        If there are not 4 widths; from a call, if `x` has another number of axes.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ConstantPad2d((1, 2, 0, 1), 7.0)(np.ones((2, 3, 3))).shape
    (2, 4, 6)
    """

    _rank = 2

    def __init__(self, padding: Any, value: float) -> None:
        self._set(padding)
        self.value = value

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, height, width) or without n."""
        return self._padded(x, constant_values=self.value)


class ConstantPad3d(_Pad):
    """Put one value around volumes.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right, top, bottom, front, back); negative ones take away.
    value : float

    Raises
    ------
    ShapeError
        If there are not 6 widths; from a call, if `x` has another number of axes.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ConstantPad3d((1, 2, 0, 1, 0, 1), 7.0)(np.ones((2, 3, 3, 3))).shape
    (2, 4, 4, 6)
    """

    _rank = 3

    def __init__(self, padding: Any, value: float) -> None:
        self._set(padding)
        self.value = value

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, depth, height, width) or without n."""
        return self._padded(x, constant_values=self.value)


class ReflectionPad1d(_Pad):
    """Put a mirror image that leaves out the edge around signals.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 2 widths; from a call, if `x` has another number of axes or
        a margin is as wide as its axis.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ReflectionPad1d(1)(np.asarray([[1.0, 2.0, 3.0]]))
    array([[2., 1., 2., 3., 2.]])
    """

    _rank = 1
    _mode = "reflect"

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, length) or without n."""
        return self._padded(x)


class ReflectionPad2d(_Pad):
    """Put a mirror image that leaves out the edge around images.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right, top, bottom); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 4 widths; from a call, if `x` has another number of axes or
        a margin is as wide as its axis.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ReflectionPad2d((1, 2, 0, 1))(np.ones((2, 3, 3))).shape
    (2, 4, 6)
    """

    _rank = 2
    _mode = "reflect"

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, height, width) or without n."""
        return self._padded(x)


class ReflectionPad3d(_Pad):
    """Put a mirror image that leaves out the edge around volumes.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right, top, bottom, front, back); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 6 widths; from a call, if `x` has another number of axes or
        a margin is as wide as its axis.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ReflectionPad3d((1, 2, 0, 1, 0, 1))(np.ones((2, 3, 3, 3))).shape
    (2, 4, 4, 6)
    """

    _rank = 3
    _mode = "reflect"

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, depth, height, width) or without n."""
        return self._padded(x)


class ReplicationPad1d(_Pad):
    """Put the outermost elements again around signals.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 2 widths; from a call, if `x` has another number of axes.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ReplicationPad1d(1)(np.asarray([[1.0, 2.0, 3.0]]))
    array([[1., 1., 2., 3., 3.]])
    """

    _rank = 1
    _mode = "edge"

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, length) or without n."""
        return self._padded(x)


class ReplicationPad2d(_Pad):
    """Put the outermost elements again around images.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right, top, bottom); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 4 widths; from a call, if `x` has another number of axes.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ReplicationPad2d((1, 2, 0, 1))(np.ones((2, 3, 3))).shape
    (2, 4, 6)
    """

    _rank = 2
    _mode = "edge"

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, height, width) or without n."""
        return self._padded(x)


class ReplicationPad3d(_Pad):
    """Put the outermost elements again around volumes.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right, top, bottom, front, back); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 6 widths; from a call, if `x` has another number of axes.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.ReplicationPad3d((1, 2, 0, 1, 0, 1))(np.ones((2, 3, 3, 3))).shape
    (2, 4, 4, 6)
    """

    _rank = 3
    _mode = "edge"

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, depth, height, width) or without n."""
        return self._padded(x)


class CircularPad1d(_Pad):
    """Put what lies at the other end around signals.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 2 widths; from a call, if `x` has another number of axes or
        a margin is wider than its axis.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.CircularPad1d(1)(np.asarray([[1.0, 2.0, 3.0]]))
    array([[3., 1., 2., 3., 1.]])
    """

    _rank = 1
    _mode = "wrap"

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, length) or without n."""
        return self._padded(x)


class CircularPad2d(_Pad):
    """Put what lies at the other end around images.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right, top, bottom); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 4 widths; from a call, if `x` has another number of axes or
        a margin is wider than its axis.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.CircularPad2d((1, 2, 0, 1))(np.ones((2, 3, 3))).shape
    (2, 4, 6)
    """

    _rank = 2
    _mode = "wrap"

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, height, width) or without n."""
        return self._padded(x)


class CircularPad3d(_Pad):
    """Put what lies at the other end around volumes.

    Parameters
    ----------
    padding : int or tuple of int
        Width of all margins, or (left, right, top, bottom, front, back); negative ones take away.

    Raises
    ------
    ShapeError
        If there are not 6 widths; from a call, if `x` has another number of axes or
        a margin is wider than its axis.
    DTypeError
        If a width is no integer.

    Examples
    --------
    >>> volta.nn.CircularPad3d((1, 2, 0, 1, 0, 1))(np.ones((2, 3, 3, 3))).shape
    (2, 4, 4, 6)
    """

    _rank = 3
    _mode = "wrap"

    def __call__(self, x: Array) -> Any:
        """Put margins around `x`, of shape (n, channels, depth, height, width) or without n."""
        return self._padded(x)
