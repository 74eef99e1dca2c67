"""Products of shifted signals: convolution and correlation in one dimension."""

import sys
from typing import Any, Final

import numpy as np

from volta.core.derivatives import Linear, unbroadcast
from volta.core.dispatch import library_of
from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, Array, ArrayType, broadcast_shapes, typeof
from volta.functional.declare import composite, primitive, structural
from volta.functional.elementwise import conj, multiply
from volta.functional.manipulation import expand_dims, flip

__all__ = ["convolve", "correlate"]

_MODES: Final = ("full", "same", "valid")

# The primitive convolves the last axes, others broadcast, of two arrays of one dtype. Its modes
# "full" and "valid" are each other's transposes; "valid" takes the longer operand first.


def _length(n: int, m: int, valid: bool) -> int:
    return n - m + 1 if valid else n + m - 1


def _convolve_type(a: ArrayType, v: ArrayType, *, valid: bool) -> ArrayType:
    lead = broadcast_shapes("convolve", a.shape[:-1], v.shape[:-1])
    return ArrayType((*lead, _length(a.shape[-1], v.shape[-1], valid)), a.dtype)


def _transposed_left(ct: Any, a_shape: tuple[int, ...], v: Any, *, valid: bool) -> Any:
    return unbroadcast(_convolve(ct, flip(v, axis=-1), valid=not valid), a_shape)


def _transposed_right(ct: Any, a: Any, v_shape: tuple[int, ...], *, valid: bool) -> Any:
    if valid:
        out = flip(_convolve(a, flip(ct, axis=-1), valid=True), axis=-1)
    else:
        out = _convolve(ct, flip(a, axis=-1), valid=True)
    return unbroadcast(out, v_shape)


def _convolve_batch(size: int, batched: Any, a: Any, v: Any, *, valid: bool) -> Any:
    while batched[0] and a.ndim < v.ndim + (not batched[1]):
        a = expand_dims(a, axis=1)
    while batched[1] and v.ndim < a.ndim + (not batched[0]):
        v = expand_dims(v, axis=1)
    return _convolve(a, v, valid=valid)


def _portable_convolve(xp: Any, a: Any, v: Any, *, valid: bool) -> Any:
    """Windows of one operand times the other, which is the shorter one."""
    if v.shape[-1] > a.shape[-1]:
        a, v = v, a
    m, device = v.shape[-1], library_of(a, "convolve").device(a)
    if not valid:
        margin = xp.zeros((*a.shape[:-1], m - 1), dtype=a.dtype, device=device)
        a = xp.concat([margin, a, margin], axis=-1)
    count = a.shape[-1] - m + 1
    places = xp.arange(count, device=device)[:, None] + xp.arange(m, device=device)
    windows = xp.take(a, xp.reshape(places, (-1,)), axis=-1)
    windows = xp.reshape(windows, (*a.shape[:-1], count, m))
    return xp.matmul(windows, xp.flip(v, axis=-1)[..., None])[..., 0]


def _numpy_convolve(a: Any, v: Any, *, valid: bool) -> Any:
    if a.ndim == v.ndim == 1:
        return np.convolve(a, v, "valid" if valid else "full")
    if v.shape[-1] > a.shape[-1]:
        a, v = v, a
    m = v.shape[-1]
    if not valid:
        a = np.pad(a, [(0, 0)] * (a.ndim - 1) + [(m - 1, m - 1)])
    windows = np.lib.stride_tricks.sliding_window_view(a, m, -1)
    return np.matmul(windows, np.flip(v, -1)[..., None])[..., 0]


def _torch_convolve(a: Any, v: Any, *, valid: bool) -> Any:
    torch = sys.modules["torch"]
    if v.shape[-1] > a.shape[-1]:
        a, v = v, a
    n, m = a.shape[-1], v.shape[-1]
    padding = 0 if valid else m - 1
    if not (a.dtype.is_floating_point or a.dtype.is_complex):  # which its convolution refuses
        windows = torch.nn.functional.pad(a, (padding, padding)).unfold(-1, m, 1)
        return (windows * v.flip(-1)[..., None, :]).sum(-1, dtype=a.dtype)
    lead = torch.broadcast_shapes(a.shape[:-1], v.shape[:-1])
    rows = a.expand(*lead, n).reshape(1, -1, n)  # as channels of one signal, in groups of one
    kernels = v.expand(*lead, m).reshape(-1, 1, m).flip(-1)
    if not rows.shape[1]:
        return a.new_empty((*lead, _length(n, m, valid)))
    out = torch.conv1d(rows, kernels, padding=padding, groups=rows.shape[1])
    return out.reshape(*lead, -1)


def _jax_convolve(a: Any, v: Any, *, valid: bool) -> Any:
    jax = sys.modules["jax"]
    if typeof(a).dtype.kind in ("int", "uint"):  # which its convolution makes floats
        return _portable_convolve(jax.numpy, a, v, valid=valid)
    one = jax.numpy.vectorize(
        lambda a, v: jax.numpy.convolve(a, v, "valid" if valid else "full", precision="highest"),
        signature="(n),(m)->(k)",
    )
    return one(a, v)


def _dask_convolve(a: Any, v: Any, *, valid: bool) -> Any:
    """As one task: a window may reach any chunk."""
    dask = sys.modules["dask"]
    kind = _convolve_type(typeof(a), typeof(v), valid=valid)
    task = dask.delayed(_numpy_convolve)(a, v, valid=valid)
    return dask.array.from_delayed(task, kind.shape, dtype=a.dtype, meta=a._meta)


_convolve: Any = primitive(
    "convolve",
    type_rule=_convolve_type,
    batch=_convolve_batch,
    derivatives=(Linear(_transposed_left), Linear(_transposed_right)),
    value=_portable_convolve,
    kernels={
        "numpy": _numpy_convolve,
        "torch": _torch_convolve,
        "jax.numpy": _jax_convolve,
        "dask.array": _dask_convolve,
    },
)


def _checked(name: str, a: Any, v: Any, mode: str) -> None:
    if mode not in _MODES:
        msg = f"{name}: mode must be one of {', '.join(_MODES)}; got {mode!r}."
        raise located(ValueError(msg))
    shapes = tuple(a.shape), tuple(v.shape)
    if any(len(s) != 1 or s == (0,) for s in shapes):
        msg = (
            f"{name}: both arrays must have one axis, of length 1 or more; got shapes "
            f"{shapes[0]} and {shapes[1]}."
        )
        raise located(ShapeError(msg))
    for x in (a, v):
        if typeof(x).dtype.kind == "bool":
            msg = f"{name}: the dtype must be numeric; got bool."
            raise located(DTypeError(msg))


def _convolved(a: Any, v: Any, mode: str) -> Any:
    """Convolution, `a` not shorter than `v`."""
    own = typeof(a).dtype
    if own != typeof(v).dtype:
        dtype = multiply(a[:1], v[:1]).dtype  # the library's rule where the standard has none
        a, v = ops.astype(a, dtype, copy=False), ops.astype(v, dtype, copy=False)
        own = typeof(a).dtype
    halved = own.kind == "float" and own.itemsize == 2
    if halved:  # added up in 32 bits
        a, v = ops.astype(a, DTYPES["float32"]), ops.astype(v, DTYPES["float32"])
    n, m = a.shape[0], v.shape[0]
    out = _convolve(a, v, valid=mode == "valid")
    if mode == "same":
        first = (m - 1) // 2
        out = out[first : first + n]
    return ops.astype(out, own) if halved else out


@structural(_convolve)
def convolve(a: Array, v: Array, /, mode: str = "full") -> Any:
    """Convolution of two signals, ``out[k] = Σ_i a[i] v[k − i]``.

    Parameters
    ----------
    a : array, shape (n,)
    v : array, shape (m,)
        Of numeric dtype; 16-bit floats are added up in 32 bits.
    mode : str
        Which k: ``"full"``, from 0 to n + m − 2, wherever the signals overlap; ``"same"``, as many
        in the middle as the longer signal has elements; ``"valid"``, where the shorter one lies
        within the longer.

    Returns
    -------
    array, shape (n + m - 1,), (max(n, m),) or (max(n, m) - min(n, m) + 1,)
        Of the promoted dtype.

    Raises
    ------
    ShapeError
        If an array has not one axis, or no element.
    DTypeError
        If a dtype is boolean.
    ValueError
        If there is no such mode.

    Notes
    -----
    Sums of products, in time n · m. Of two long signals a product of Fourier transforms is
    faster, and less exact.

    Examples
    --------
    >>> F.convolve(np.asarray([1.0, 2.0, 3.0]), np.asarray([1.0, 10.0]))
    array([ 1., 12., 23., 30.])
    """
    _checked("convolve", a, v, mode)
    return _convolved(a, v, mode) if a.shape[0] >= v.shape[0] else _convolved(v, a, mode)


@composite
def correlate(a: Array, v: Array, /, mode: str = "valid") -> Any:
    """Correlation of two signals, ``out[k] = Σ_i a[i + k] conj(v[i])``.

    Parameters
    ----------
    a : array, shape (n,)
    v : array, shape (m,)
        Of numeric dtype; 16-bit floats are added up in 32 bits.
    mode : str
        Which k, as for `convolve`; ``"full"`` is from 1 − m to n − 1.

    Returns
    -------
    array, shape (n + m - 1,), (max(n, m),) or (max(n, m) - min(n, m) + 1,)
        Of the promoted dtype.

    Raises
    ------
    ShapeError
        If an array has not one axis, or no element.
    DTypeError
        If a dtype is boolean.
    ValueError
        If there is no such mode.

    Examples
    --------
    >>> F.correlate(np.asarray([1.0, 2.0, 3.0]), np.asarray([1.0, 10.0]))
    array([21., 32.])
    """
    _checked("correlate", a, v, mode)
    if a.shape[0] < v.shape[0]:
        return conj(flip(correlate(v, a, mode)))
    return _convolved(a, flip(conj(v)), mode)
