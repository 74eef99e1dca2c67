"""Rows of `volta/functional/fft.py`."""

import numpy as np

import volta.functional as F
from samples.sample import add, compose, cplx, real
from volta.core.errors import DimensionError, DTypeError, ShapeError

_errors = (
    (lambda: F.fft.fft(np.ones(3), n=0), ShapeError, "fft: a transform must have a length of 1"),
    (
        lambda: F.fft.fft(np.ones(3), axis=1),
        DimensionError,
        "fft: axis must be from -1 to 0",
    ),
    (lambda: F.fft.fft(np.ones(3), norm="unit"), ValueError, "fft: norm must be one of backward"),
    (
        lambda: F.fft.fftn(np.ones((2, 2)), s=(2,), axes=(0, 1)),
        ShapeError,
        r"fftn: s must have one length for each axis; got \(2,\) and \(0, 1\)",
    ),
    (lambda: F.fft.fftn(np.asarray(1.0)), ShapeError, "fftn: there must be an axis to transform"),
    (lambda: F.fft.fftn(np.ones((2, 2)), axes=(0, 0)), ShapeError, "each axis must be named once"),
)
add("fftn", F.fft.fft, cplx(2, 3), errors=_errors, name="fft")
add("fftn", F.fft.fft, real(2, 4), name="fft-real")
add("fftn", lambda x: F.fft.ifft(x, axis=0, norm="forward"), cplx(3, 2), name="ifft")
add("fftn", lambda x: F.fft.fft(x, n=5, norm="ortho"), cplx(2, 3), name="fft-longer")
add("fftn", lambda x: F.fft.fft(x, n=2), cplx(2, 3), name="fft-shorter")
add("fftn", lambda x: F.fft.fftn(x, s=(3, 2), axes=(0, 2)), cplx(2, 2, 3), name="fftn")
add("fftn", F.fft.ifftn, real(2, 3), name="ifftn")
for _n in (4, 5):
    for _norm in ("backward", "ortho", "forward"):
        add(
            "rfft",
            lambda x, norm=_norm: F.fft.rfft(x, axis=0, norm=norm),
            real(_n, 2),
            name=f"rfft-{_n}-{_norm}",
        )
        add(
            "irfft",
            lambda x, n=_n, norm=_norm: F.fft.irfft(x, n=n, norm=norm),
            cplx(2, _n // 2 + 1),
            name=f"irfft-{_n}-{_norm}",
        )
add(
    "rfft",
    lambda x: F.fft.ihfft(x, n=6),
    real(2, 5),
    errors=(
        (lambda: F.fft.rfft(np.ones(2, complex)), DTypeError, "rfft: the dtype must be real; got"),
        (lambda: F.fft.ihfft(np.ones(2, complex)), DTypeError, "ihfft: the dtype must be real"),
    ),
    name="ihfft",
)
add("irfft", F.fft.hfft, cplx(2, 3), name="hfft")
add("rfft", lambda x: F.fft.rfftn(x, norm="ortho"), real(2, 3, 4), name="rfftn")
add("irfft", lambda x: F.fft.irfftn(x, s=(3, 5)), cplx(3, 3), name="irfftn")
add("irfft", F.fft.irfft, real(4), name="irfft-real")
for _name in ("fftshift", "ifftshift"):
    compose(_name, getattr(F.fft, _name), real(3, 4))
    compose(f"{_name}-axes", lambda x, f=getattr(F.fft, _name): f(x, axes=1), cplx(2, 3))
