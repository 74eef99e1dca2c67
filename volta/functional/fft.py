"""Discrete Fourier transforms: the standard's extension of that name.

Three primitives, all linear: `fftn` of complex arrays, `rfft` of real ones, and `irfft` back. The
matrix of a transform is symmetric, so `fftn` is its own transpose; that of `rfft` is `irfft` and
the other way round, up to the frequencies that stand for two.

``ω = exp(−2πi / n)`` below.
"""

import operator
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from volta.core.context import default_dtype_of
from volta.core.derivatives import Linear
from volta.core.errors import DTypeError, ShapeError
from volta.core.primitive import Unspecified
from volta.core.trace import located
from volta.core.tracer import Tracer, library_under
from volta.core.types import DTYPES, Array, ArrayType, DType, as_dtype, typeof
from volta.functional.axes import normalize_axes, normalize_axis
from volta.functional.creation import arange
from volta.functional.declare import in_one_task, primitive, shortcut, structural
from volta.functional.dtypes import astype
from volta.functional.elementwise import conj, divide, multiply, where
from volta.functional.manipulation import roll
from volta.functional.padding import pad, shrink

__all__ = [
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]

# How a transform and its inverse share the factor 1/n; read backwards for the transpose of one
_NORMS: Final = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _swapped(norm: str) -> str:
    return _NORMS[norm]


# Primitives ---------------------------------------------------------------------------------------


def _must_be(name: str, x: ArrayType, kind: str) -> None:
    if x.dtype.kind != kind or x.dtype.itemsize == 2:
        msg = f"{name}: the dtype must be {kind} of 32 bits or more; got {x.dtype.name}."
        raise Unspecified(msg)


def _fftn_type(x: ArrayType, *, axes: tuple[int, ...], inverse: bool, norm: str) -> ArrayType:
    _must_be("fft", x, "complex")
    return x


def _fftn_value(xp: Any, x: Any, *, axes: tuple[int, ...], inverse: bool, norm: str) -> Any:
    transform = xp.fft.ifft if inverse else xp.fft.fft
    for axis in axes:  # JAX takes three axes at most in one call
        x = transform(x, axis=axis, norm=norm)
    return x


_fftn: Any = primitive(
    "fftn",
    type_rule=_fftn_type,
    batch=lambda size, batched, x, *, axes, **params: _fftn(
        x, axes=tuple(a + 1 for a in axes), **params
    ),
    derivatives=(Linear(lambda ct, **params: _fftn(ct, **params)),),
    value=_fftn_value,
    kernels={"dask.array": in_one_task("fftn")},
)


def _rfft_type(x: ArrayType, *, axis: int, norm: str) -> ArrayType:
    _must_be("rfft", x, "float")
    shape = (*x.shape[:axis], x.shape[axis] // 2 + 1, *x.shape[axis + 1 :])
    return ArrayType(shape, DTYPES["complex64" if x.dtype.itemsize == 4 else "complex128"])


def _rfft_transpose(ct: Any, x_shape: tuple[int, ...], *, axis: int, norm: str) -> Any:
    """``Re Σ_k ct_k ω^{jk}``: `irfft` of the conjugate, which would count most k twice."""
    n = x_shape[axis]
    halved = divide(conj(ct), _multiplicity(ct, n, axis))
    return _irfft(halved, axis=axis, n=n, norm=_swapped(norm))


_rfft: Any = primitive(
    "rfft",
    type_rule=_rfft_type,
    batch=lambda size, batched, x, *, axis, norm: _rfft(x, axis=axis + 1, norm=norm),
    derivatives=(Linear(_rfft_transpose),),
    value=lambda xp, x, *, axis, norm: xp.fft.rfft(x, axis=axis, norm=norm),
    kernels={"dask.array": in_one_task("rfft")},
)


def _irfft_type(x: ArrayType, *, axis: int, n: int, norm: str) -> ArrayType:
    _must_be("irfft", x, "complex")
    shape = (*x.shape[:axis], n, *x.shape[axis + 1 :])
    return ArrayType(shape, DTYPES["float32" if x.dtype.itemsize == 8 else "float64"])


def _irfft_transpose(ct: Any, *, axis: int, n: int, norm: str) -> Any:
    """``m_k · conj(rfft(ct))_k``, where m counts how many frequencies an entry stands for."""
    spectrum = conj(_rfft(ct, axis=axis, norm=_swapped(norm)))
    return multiply(spectrum, _multiplicity(spectrum, n, axis))


_irfft: Any = primitive(
    "irfft",
    type_rule=_irfft_type,
    batch=lambda size, batched, x, *, axis, n, norm: _irfft(x, axis=axis + 1, n=n, norm=norm),
    derivatives=(Linear(_irfft_transpose),),
    value=lambda xp, x, *, axis, n, norm: xp.fft.irfft(x, axis=axis, n=n, norm=norm),
    kernels={"dask.array": in_one_task("irfft")},
)


def _multiplicity(spectrum: Any, n: int, axis: int) -> Any:
    """How many of n frequencies each entry of a half spectrum stands for: itself, or −k as well."""
    length = spectrum.shape[axis]
    counts = np.full(length, 2.0)
    counts[0] = 1.0
    if n % 2 == 0:
        counts[-1] = 1.0
    library = library_under(spectrum)
    kind = DTYPES["float32" if typeof(spectrum).dtype.itemsize == 8 else "float64"]
    shaped = counts.reshape((-1, *(1,) * (spectrum.ndim - axis - 1)))
    device = spectrum.device if type(spectrum) is Tracer else library.device(spectrum)
    return library.asarray(shaped, dtype=library.dtype(kind), device=device)


# Arguments ----------------------------------------------------------------------------------------


def _checked_norm(name: str, norm: str) -> str:
    if norm not in _NORMS:
        msg = f"{name}: norm must be one of {', '.join(_NORMS)}; got {norm!r}."
        raise located(ValueError(msg))
    return norm


def _positive(name: str, n: Any) -> int:
    length = operator.index(n)
    if length < 1:
        msg = f"{name}: a transform must have a length of 1 or more; got {length}."
        raise located(ShapeError(msg))
    return length


def _resized(name: str, x: Any, axis: int, n: int | None) -> Any:
    """`x` cut off or padded with zeros to length `n` along an axis."""
    have = x.shape[axis]
    n = _positive(name, have if n is None else n)
    if n < have:
        return shrink(x, tuple((0, n if a == axis else m) for a, m in enumerate(x.shape)))
    if n > have:
        return pad(x, [(0, n - have if a == axis else 0) for a in range(x.ndim)])
    return x


def _complex(x: Any) -> Any:
    """Complex array of the precision of `x`; 16-bit floats are transformed in 32 bits."""
    dtype = typeof(x).dtype
    if dtype.kind == "complex":
        return x
    wide = dtype.itemsize == 8 if dtype.kind == "float" else _default_float(x).itemsize == 8
    return astype(x, DTYPES["complex128" if wide else "complex64"])


def _real(name: str, x: Any) -> Any:
    """Real array of 32 bits or more."""
    dtype = typeof(x).dtype
    if dtype.kind == "complex":
        msg = f"{name}: the dtype must be real; got {dtype.name}."
        raise located(DTypeError(msg))
    if dtype.kind == "float":
        return x if dtype.itemsize > 2 else astype(x, DTYPES["float32"])
    return astype(x, _default_float(x))


def _default_float(x: Any) -> DType:
    """Floating dtype that the library of `x` turns integers into."""
    return as_dtype(library_under(x).xp.asarray(0.0).dtype)


def _lengths(
    name: str, x: Any, s: Sequence[int] | None, axes: Sequence[int] | None
) -> tuple[list[int | None], tuple[int, ...]]:
    """Length, or None for the array's own, along each axis of a transform of several."""
    if axes is None:
        count = x.ndim if s is None else len(s)
        axes = tuple(range(x.ndim - count, x.ndim))
    chosen = tuple(normalize_axis(name, a, x.ndim) for a in axes)
    normalize_axes(name, chosen, x.ndim)  # each once
    lengths: list[int | None] = [None] * len(chosen) if s is None else list(s)
    if len(lengths) != len(chosen):
        msg = f"{name}: s must have one length for each axis; got {tuple(lengths)} and {chosen}."
        raise located(ShapeError(msg))
    if not chosen:
        msg = f"{name}: there must be an axis to transform; got none."
        raise located(ShapeError(msg))
    return lengths, chosen


# Complex transforms -------------------------------------------------------------------------------


def _transform(
    name: str, x: Any, lengths: Sequence[int | None], axes: tuple[int, ...], norm: str, back: bool
) -> Any:
    x = _complex(x)
    for axis, n in zip(axes, lengths, strict=True):
        x = _resized(name, x, axis, n)
    return _fftn(x, axes=axes, inverse=back, norm=_checked_norm(name, norm))


@structural(_fftn)
@shortcut(np.fft.fft)
def fft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """Discrete Fourier transform along an axis, ``out_k = Σ_j x_j ω^{jk}``.

    Parameters
    ----------
    x : array, shape (..., m, ...)
        Of complex dtype; a real one becomes complex, 16-bit floats in 32 bits.
    n : int, optional
        Length to cut off or pad with zeros to; by default m.
    axis : int
    norm : {"backward", "ortho", "forward"}
        Whether the result is multiplied by 1, 1/√n or 1/n; the inverse has the rest of 1/n.

    Returns
    -------
    array, shape (..., n, ...)
        Complex.

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If `n` is less than 1.
    ValueError
        If `norm` is none of the three.

    Examples
    --------
    >>> F.fft.fft(np.asarray([1.0, 0.0, -1.0, 0.0]))
    array([0.+0.j, 2.+0.j, 0.+0.j, 2.+0.j])
    """
    return _transform("fft", x, (n,), (normalize_axis("fft", axis, x.ndim),), norm, back=False)


@shortcut(np.fft.ifft)
def ifft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """Inverse of `fft`, ``out_j = (1/n) Σ_k x_k ω^{−jk}``.

    Parameters
    ----------
    x : array, shape (..., m, ...)
    n : int, optional
        Length to cut off or pad with zeros to; by default m.
    axis : int
    norm : {"backward", "ortho", "forward"}
        As for `fft`: the factor is 1/n, 1/√n or 1.

    Returns
    -------
    array, shape (..., n, ...)
        Complex.

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If `n` is less than 1.

    Examples
    --------
    >>> F.fft.ifft(np.asarray([0.0, 2.0, 0.0, 2.0])).real
    array([ 1.,  0., -1.,  0.])
    """
    return _transform("ifft", x, (n,), (normalize_axis("ifft", axis, x.ndim),), norm, back=True)


def fftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Any:
    """Discrete Fourier transform along several axes, one `fft` after another.

    Parameters
    ----------
    x : array
        Of complex dtype; a real one becomes complex.
    s : sequence of int, optional
        Length along each axis, to cut off or pad with zeros to.
    axes : sequence of int, optional
        By default the last ``len(s)``, or all.
    norm : {"backward", "ortho", "forward"}
        As for `fft`, n being the product of the lengths.

    Returns
    -------
    array
        Complex.

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If there is no axis, one is named twice, or `s` and `axes` differ in number.

    Examples
    --------
    >>> F.fft.fftn(np.ones((2, 2))).real
    array([[4., 0.],
           [0., 0.]])
    """
    return _transform("fftn", x, *_lengths("fftn", x, s, axes), norm, back=False)


def ifftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Any:
    """Inverse of `fftn`.

    Parameters
    ----------
    x : array
    s, axes, norm
        As for `fftn`.

    Returns
    -------
    array
        Complex.

    Raises
    ------
    DimensionError, ShapeError
        As for `fftn`.

    Examples
    --------
    >>> F.fft.ifftn(np.asarray([[4.0, 0.0], [0.0, 0.0]])).real
    array([[1., 1.],
           [1., 1.]])
    """
    return _transform("ifftn", x, *_lengths("ifftn", x, s, axes), norm, back=True)


# Real transforms ----------------------------------------------------------------------------------


@structural(_rfft)
@shortcut(np.fft.rfft, "fd")
def rfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """First half of the spectrum of real numbers, ``fft(x)[: n // 2 + 1]``.

    Parameters
    ----------
    x : array, shape (..., m, ...)
        Of real dtype; 16-bit floats are transformed in 32 bits.
    n : int, optional
        Length to cut off or pad with zeros to; by default m.
    axis : int
    norm : {"backward", "ortho", "forward"}
        As for `fft`.

    Returns
    -------
    array, shape (..., n // 2 + 1, ...)
        Complex. The other half is the conjugate of this one.

    Raises
    ------
    DTypeError
        If `x` is complex.
    DimensionError
        If there is no such axis.
    ShapeError
        If `n` is less than 1.

    Examples
    --------
    >>> F.fft.rfft(np.asarray([1.0, 0.0, -1.0, 0.0]))
    array([0.+0.j, 2.+0.j, 0.+0.j])
    """
    axis = normalize_axis("rfft", axis, x.ndim)
    x = _resized("rfft", _real("rfft", x), axis, n)
    return _rfft(x, axis=axis, norm=_checked_norm("rfft", norm))


@structural(_irfft)
@shortcut(np.fft.irfft, "FD")
def irfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """Inverse of `rfft`: real numbers from the first half of their spectrum.

    Parameters
    ----------
    x : array, shape (..., m, ...)
        Of complex dtype.
    n : int, optional
        Length of the result; by default 2 (m − 1), an even number.
    axis : int
    norm : {"backward", "ortho", "forward"}
        As for `ifft`.

    Returns
    -------
    array, shape (..., n, ...)
        Real.

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If the result would have no element.

    Notes
    -----
    Imaginary parts of frequency 0, and of n/2 for an even n, do not count.

    Examples
    --------
    >>> F.fft.irfft(np.asarray([0.0, 2.0, 0.0]))
    array([ 1.,  0., -1.,  0.])
    """
    axis = normalize_axis("irfft", axis, x.ndim)
    return _to_real("irfft", _complex(x), axis, n, norm)


def _to_real(name: str, x: Any, axis: int, n: int | None, norm: str) -> Any:
    length = _positive(name, 2 * (x.shape[axis] - 1) if n is None else n)
    x = _resized(name, x, axis, length // 2 + 1)
    return _irfft(x, axis=axis, n=length, norm=_checked_norm(name, norm))


def rfftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Any:
    """Transform of real numbers along several axes: `rfft` along the last, `fft` along the others.

    Parameters
    ----------
    x : array
        Of real dtype.
    s, axes, norm
        As for `fftn`.

    Returns
    -------
    array
        Complex, ``n // 2 + 1`` long along the last of `axes`.

    Raises
    ------
    DTypeError
        If `x` is complex.
    DimensionError, ShapeError
        As for `fftn`.

    Examples
    --------
    >>> F.fft.rfftn(np.ones((2, 4))).shape
    (2, 3)
    """
    lengths, chosen = _lengths("rfftn", x, s, axes)
    out = rfft(x, n=lengths[-1], axis=chosen[-1], norm=norm)
    if len(chosen) == 1:
        return out
    return _transform("rfftn", out, lengths[:-1], chosen[:-1], norm, back=False)


def irfftn(
    x: Array,
    /,
    *,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str = "backward",
) -> Any:
    """Inverse of `rfftn`.

    Parameters
    ----------
    x : array
        Of complex dtype.
    s : sequence of int, optional
        Lengths of the result; by default an even one, 2 (m − 1), along the last of `axes`.
    axes, norm
        As for `fftn`.

    Returns
    -------
    array
        Real.

    Raises
    ------
    DimensionError, ShapeError
        As for `fftn`.

    Examples
    --------
    >>> F.fft.irfftn(F.fft.rfftn(np.ones((2, 4))))
    array([[1., 1., 1., 1.],
           [1., 1., 1., 1.]])
    """
    lengths, chosen = _lengths("irfftn", x, s, axes)
    if len(chosen) > 1:
        x = _transform("irfftn", x, lengths[:-1], chosen[:-1], norm, back=True)
    return _to_real("irfftn", _complex(x), chosen[-1], lengths[-1], norm)


@shortcut(np.fft.hfft, "FD")
def hfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """Real spectrum of a signal whose second half is the conjugate of the first.

    Parameters
    ----------
    x : array, shape (..., m, ...)
        Of complex dtype.
    n : int, optional
        Length of the result; by default 2 (m − 1).
    axis : int
    norm : {"backward", "ortho", "forward"}
        As for `fft`.

    Returns
    -------
    array, shape (..., n, ...)
        Real.

    Raises
    ------
    DimensionError
        If there is no such axis.
    ShapeError
        If the result would have no element.

    Examples
    --------
    >>> F.fft.hfft(np.asarray([1.0, 2.0, 3.0]))
    array([ 8., -2.,  0., -2.])
    """
    axis = normalize_axis("hfft", axis, x.ndim)
    return _to_real("hfft", conj(_complex(x)), axis, n, _swapped(_checked_norm("hfft", norm)))


@shortcut(np.fft.ihfft, "fd")
def ihfft(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Any:
    """Inverse of `hfft`.

    Parameters
    ----------
    x : array, shape (..., m, ...)
        Of real dtype.
    n : int, optional
        Length to cut off or pad with zeros to; by default m.
    axis : int
    norm : {"backward", "ortho", "forward"}
        As for `ifft`.

    Returns
    -------
    array, shape (..., n // 2 + 1, ...)
        Complex.

    Raises
    ------
    DTypeError
        If `x` is complex.
    DimensionError
        If there is no such axis.
    ShapeError
        If `n` is less than 1.

    Examples
    --------
    >>> F.fft.ihfft(np.asarray([8.0, -2.0, 0.0, -2.0])).real
    array([1., 2., 3.])
    """
    axis = normalize_axis("ihfft", axis, x.ndim)
    x = _resized("ihfft", _real("ihfft", x), axis, n)
    return conj(_rfft(x, axis=axis, norm=_swapped(_checked_norm("ihfft", norm))))


# Frequencies --------------------------------------------------------------------------------------


def fftfreq(
    n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None, xp: Any = None
) -> Any:
    """Frequencies of the entries of `fft`: those from 0 up, then the negative ones.

    Parameters
    ----------
    n : int
        Length of the transform.
    d : float
        Distance between samples, of which the frequencies have the inverse unit.
    dtype : dtype, optional
        By default the default real dtype.
    device, xp : optional
        Where: a device, an array namespace.

    Returns
    -------
    array, shape (n,)
        ``[0, 1, …, ⌈n/2⌉ − 1, −⌊n/2⌋, …, −1] / (d n)``.

    Raises
    ------
    ShapeError
        If `n` is less than 1.
    DTypeError
        If `dtype` is not real floating.

    Examples
    --------
    >>> F.fft.fftfreq(4)
    array([ 0.  ,  0.25, -0.5 , -0.25], dtype=float32)
    """
    n = _positive("fftfreq", n)
    k = arange(n, device=device, xp=xp)
    return _frequencies("fftfreq", where(k < (n + 1) // 2, k, k - n), n, d, dtype)


def rfftfreq(
    n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None, xp: Any = None
) -> Any:
    """Frequencies of the entries of `rfft`.

    Parameters
    ----------
    n : int
        Length of the transform.
    d, dtype, device, xp
        As for `fftfreq`.

    Returns
    -------
    array, shape (n // 2 + 1,)
        ``[0, 1, …, ⌊n/2⌋] / (d n)``.

    Raises
    ------
    ShapeError
        If `n` is less than 1.
    DTypeError
        If `dtype` is not real floating.

    Examples
    --------
    >>> F.fft.rfftfreq(4)
    array([0.  , 0.25, 0.5 ], dtype=float32)
    """
    n = _positive("rfftfreq", n)
    return _frequencies("rfftfreq", arange(n // 2 + 1, device=device, xp=xp), n, d, dtype)


def _frequencies(name: str, k: Any, n: int, d: Any, dtype: Any) -> Any:
    kind = default_dtype_of("float") if dtype is None else as_dtype(dtype)
    if kind.kind != "float":
        msg = f"{name}: the dtype must be real floating; got {kind.name}."
        raise located(DTypeError(msg))
    return divide(astype(k, kind), n * d)


@shortcut(np.fft.fftshift, dtypes=None)
def fftshift(x: Array, /, *, axes: Any = None) -> Any:
    """Move frequency 0 from the front to the middle.

    Parameters
    ----------
    x : array
    axes : int or sequence of int, optional
        By default all.

    Returns
    -------
    array, shape of `x`

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.fft.fftshift(np.asarray([0, 1, -2, -1]))
    array([-2, -1,  0,  1])
    """
    chosen = _axes("fftshift", x, axes)
    return roll(x, tuple(x.shape[a] // 2 for a in chosen), axis=chosen)


@shortcut(np.fft.ifftshift, dtypes=None)
def ifftshift(x: Array, /, *, axes: Any = None) -> Any:
    """Inverse of `fftshift`.

    Parameters
    ----------
    x : array
    axes : int or sequence of int, optional
        By default all.

    Returns
    -------
    array, shape of `x`

    Raises
    ------
    DimensionError
        If there is no such axis.

    Examples
    --------
    >>> F.fft.ifftshift(np.asarray([-2, -1, 0, 1]))
    array([ 0,  1, -2, -1])
    """
    chosen = _axes("ifftshift", x, axes)
    return roll(x, tuple(-(x.shape[a] // 2) for a in chosen), axis=chosen)


def _axes(name: str, x: Any, axes: Any) -> tuple[int, ...]:
    return normalize_axes(name, tuple(axes) if isinstance(axes, list) else axes, x.ndim)
