"""Normal numbers, by the inverse of the error function."""

import math
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.types import DType, typeof
from volta.functional.axes import normalize_shape
from volta.functional.random.arguments import Shape, checked_floating, checked_key, constant
from volta.functional.random.interval import FORMATS, unit_reals
from volta.functional.random.sampler import drawn_type, from_key, hosted
from volta.functional.random.threefry import draw

__all__ = ["erfinv", "normal", "normal_numbers", "random_normal"]


def normal(
    key: Any, shape: Shape = (), dtype: Any = None, *, xp: Any = None, device: Any = None
) -> Any:
    """Draw from the normal distribution of mean 0 and variance 1.

    Parameters
    ----------
    key : array, shape (2,), uint32
    shape : int or tuple of int
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Library and device of the result; by default those of `key`.

    Returns
    -------
    array, shape `shape`, `dtype`
        Within 4 ulp of ``jax.random.normal``.

    Raises
    ------
    ShapeError, DTypeError
        If `key` is not a key, `shape` not a shape or `dtype` not real floating.

    Notes
    -----
    ``√2 · erfinv(x)`` for x uniform on the open interval (−1, 1). Values are bounded: by 5.5 in
    float32, 8.3 in float64, 3.5 in float16 and 2.9 in bfloat16.

    Examples
    --------
    >>> F.random.normal(F.random.key(0), 2)
    array([1.6226422, 2.0252647], dtype=float32)
    """
    chosen = checked_floating(dtype, "normal")
    key = checked_key(key, xp, device, "normal")
    return constant(normal_numbers(key, shape=normalize_shape("normal", shape), dtype=chosen))


# Kernels -----------------------------------------------------------------------------------------


def random_normal(xp: Any, key: Any, *, shape: tuple[int, ...], dtype: DType) -> Any:
    """Draw standard normal numbers under keys of shape (..., 2)."""
    return draw(xp, key, shape, lambda y0, y1: _normal_reals(xp, y0, y1, dtype))


def _normal_reals(xp: Any, y0: Any, y1: Any, dtype: DType) -> Any:
    """Make standard normal numbers from the two words of a hash."""
    x = unit_reals(xp, y0, y1, dtype)
    # From the multiples of 2**-digits in [0, 1) to the middles of their cells in (-1, 1): exact.
    x *= 2.0
    x += 2.0 ** -(FORMATS[dtype][1] + 1) - 1.0
    if dtype.itemsize > 2:
        x = erfinv(xp, x)
    else:
        x = xp.astype(erfinv(xp, xp.astype(x, xp.float32)), x.dtype)
    x *= float(np.asarray(math.sqrt(2.0), dtype.dtype))
    return x


class _Branch(NamedTuple):
    """Polynomial in s, highest power first, for w of at least `start`."""

    start: float
    centre: float  # s = w - centre in the first branch, sqrt(w) - centre in the others
    coefficients: tuple[float, ...]


_ERFINV32: Final = (
    _Branch(
        0.0,
        2.5,
        (
            2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
            -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
        ),
    ),
    _Branch(
        5.0,
        3.0,
        (
            -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
            -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
        ),
    ),
)  # fmt: skip
_ERFINV64: Final = (
    _Branch(
        0.0,
        3.125,
        (
            -3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18,
            1.115787767802518096e-17, -1.333171662854620906e-16, 2.0972767875968561637e-17,
            6.6376381343583238325e-15, -4.0545662729752068639e-14, -8.1519341976054721522e-14,
            2.6335093153082322977e-12, -1.2975133253453532498e-11, -5.4154120542946279317e-11,
            1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08,
            4.2347877827932403518e-07, -1.3654692000834678645e-06, -1.3882523362786468719e-05,
            0.0001867342080340571352, -0.00074070253416626697512, -0.0060336708714301490533,
            0.24015818242558961693, 1.6536545626831027356,
        ),
    ),
    _Branch(
        6.25,
        3.25,
        (
            2.2137376921775787049e-09, 9.0756561938885390979e-08, -2.7517406297064545428e-07,
            1.8239629214389227755e-08, 1.5027403968909827627e-06, -4.013867526981545969e-06,
            2.9234449089955446044e-06, 1.2475304481671778723e-05, -4.7318229009055733981e-05,
            6.8284851459573175448e-05, 2.4031110387097893999e-05, -0.0003550375203628474796,
            0.00095328937973738049703, -0.0016882755560235047313, 0.0024914420961078508066,
            -0.0037512085075692412107, 0.005370914553590063617, 1.0052589676941592334,
            3.0838856104922207635,
        ),
    ),
    _Branch(
        16.0,
        5.0,
        (
            -2.7109920616438573243e-11, -2.5556418169965252055e-10, 1.5076572693500548083e-09,
            -3.7894654401267369937e-09, 7.6157012080783393804e-09, -1.4960026627149240478e-08,
            2.9147953450901080826e-08, -6.7711997758452339498e-08, 2.2900482228026654717e-07,
            -9.9298272942317002539e-07, 4.5260625972231537039e-06, -1.9681778105531670567e-05,
            7.5995277030017761139e-05, -0.00021503011930044477347, -0.00013871931833623122026,
            1.0103004648645343977, 4.8499064014085844221,
        ),
    ),
)  # fmt: skip


def erfinv(xp: Any, x: Any) -> Any:
    """Inverse error function on (-1, 1), as XLA computes it.

    Parameters
    ----------
    xp : namespace
    x : array of at least one axis, float32 or float64

    Returns
    -------
    array, shape and dtype of `x`

    Notes
    -----
    A polynomial in w = −log(1 − x²) times x. Because x² is rounded, the error grows with |x|, to
    some 100 ulp in float32 and 5000 in float64; XLA's is the same within 4 ulp.

    References
    ----------
    M. Giles, "Approximating the erfinv function", GPU Computing Gems Jade Edition, 2012, chapter
    10, https://people.maths.ox.ac.uk/gilesm/files/gems_erfinv.pdf, tables 5 and 6.
    """
    single = typeof(x).dtype.itemsize == 4
    centre, *tails = _ERFINV32 if single else _ERFINV64
    w = -(xp.log1p(-x * x) if single else _log1p(xp, -x * x))
    p = _horner(w - centre.centre, centre.coefficients)
    for tail in tails:
        if xp is np:  # 3 in 1000, which cost less to collect than all to compute
            found = np.nonzero(w >= tail.start)
            if found[0].size:
                p[found] = _horner(np.sqrt(w[found]) - tail.centre, tail.coefficients)
        else:
            q = _horner(xp.sqrt(w) - tail.centre, tail.coefficients)
            p = xp.where(w < tail.start, p, q)
    p *= x
    return p


_LOG1P_NUMERATOR: Final = (
    4.5270000862445199635215e-5, 4.9854102823193375972212e-1, 6.5787325942061044846969,
    29.911919328553073277375, 60.949667980987787057556, 57.112963590585538103336,
    20.039553499201281259648,
)  # fmt: skip
_LOG1P_DENOMINATOR: Final = (
    1.0, 15.062909083469192043167, 83.047565967967209469434, 221.76239823732856465394,
    309.09872225312059774938, 216.42788614495947685003, 60.118660497603843919306,
)  # fmt: skip


def _log1p(xp: Any, y: Any) -> Any:
    """``log(1 + y)`` in float64 for y in (-1, 0], with XLA's error.

    XLA uses the rational function down to 1 − √2, where it is wrong by 130 ulp; its own domain
    ends at √½ − 1. A library's accurate log1p would take `erfinv` 30 ulp away from XLA's.

    References
    ----------
    S. L. Moshier, Cephes Mathematical Library, 1984, unity.c.
    """
    ratio = y * y * _horner(y, _LOG1P_NUMERATOR)
    ratio /= _horner(y, _LOG1P_DENOMINATOR)
    ratio *= y
    ratio -= 0.5 * y * y
    ratio += y
    return xp.where(y > 1.0 - math.sqrt(2.0), ratio, xp.log(y + 1.0))


def _horner(s: Any, coefficients: tuple[float, ...]) -> Any:
    p = s * coefficients[0]
    p += coefficients[1]
    for c in coefficients[2:]:
        p *= s
        p += c
    return p


normal_numbers: Final = from_key("random_normal", hosted(random_normal), drawn_type)
