"""Where in a sequence: masks, encodings, rotations and biases."""

import math
from typing import Any

import numpy as np

from volta.core.context import default_dtype_of
from volta.core.errors import ShapeError
from volta.core.trace import located, ops
from volta.core.tracer import widest
from volta.core.types import Array, typeof
from volta.functional.creation import asarray
from volta.functional.declare import composite
from volta.functional.elementwise import add, multiply, subtract
from volta.functional.manipulation import concat, expand_dims, reshape, stack

__all__ = ["alibi_bias", "causal_mask", "rotary_embedding", "sinusoidal_encoding"]


def _check_counts(name: str, **counts: int) -> None:
    for what, n in counts.items():
        if n < 0:
            msg = f"{name}: {what} must not be negative; got {n}."
            raise located(ValueError(msg))


@composite
def causal_mask(
    length: int, keys: int | None = None, *, dtype: Any = None, device: Any = None, xp: Any = None
) -> Any:
    """What is added to scores so that no query sees a later key: 0, or −∞ above the diagonal.

    Parameters
    ----------
    length : int
        Number of queries.
    keys : int, optional
        Number of keys, by default as many; the queries are the last of them.
    dtype : dtype, optional
        By default the default dtype, float32.
    device, xp : optional
        Where.

    Returns
    -------
    array, shape (length, keys)

    Raises
    ------
    ValueError
        If a number is negative.

    Examples
    --------
    >>> F.causal_mask(2)
    array([[  0., -inf],
           [  0.,   0.]], dtype=float32)
    """
    keys = length if keys is None else keys
    _check_counts("causal_mask", length=length, keys=keys)
    later = np.arange(keys) > keys - length + np.arange(length)[:, None]
    kind = default_dtype_of("float") if dtype is None else dtype
    return asarray(np.where(later, -np.inf, 0.0), dtype=kind, device=device, xp=xp)


@composite
def sinusoidal_encoding(
    length: int,
    features: int,
    base: float = 10000.0,
    *,
    dtype: Any = None,
    device: Any = None,
    xp: Any = None,
) -> Any:
    """Sines and cosines of the places, in turn: ``sin(i / base^(2j/features))`` at 2j.

    Parameters
    ----------
    length : int
        Number of places.
    features : int
        Length of an encoding.
    base : float
        Longest wavelength over 2π.
    dtype : dtype, optional
        By default the default dtype, float32.
    device, xp : optional
        Where.

    Returns
    -------
    array, shape (length, features)

    Raises
    ------
    ValueError
        If a number is negative.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.5,
    https://arxiv.org/abs/1706.03762.

    Examples
    --------
    >>> F.sinusoidal_encoding(2, 4)
    array([[0.        , 1.        , 0.        , 1.        ],
           [0.84147096, 0.5403023 , 0.00999983, 0.99995   ]], dtype=float32)
    """
    _check_counts("sinusoidal_encoding", length=length, features=features)
    rates = base ** (-np.arange(0, features, 2) / max(1, features))
    angles = np.arange(length)[:, None] * rates
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)[:, :features]
    kind = default_dtype_of("float") if dtype is None else dtype
    return asarray(waves, dtype=kind, device=device, xp=xp)


@composite
def rotary_embedding(
    x: Array,
    positions: Array | None = None,
    base: float = 10000.0,
    *,
    interleaved: bool = False,
) -> Any:
    """Rotate pairs of features by angles that grow with the place (RoPE).

    Products of queries and keys that were rotated depend on the distance of their places alone.

    Parameters
    ----------
    x : array, shape (..., length, features)
        Queries or keys, of real floating dtype, with an even number of features.
    positions : array of int, shape (length,), optional
        Place of each; by default 0, 1, ….
    base : float
        Feature pair j turns by ``position / base^(2j / features)``.
    interleaved : bool
        Whether pairs are neighbours, as in the paper, or a feature of the first half and one of the
        second, as in most published weights.

    Returns
    -------
    array, shape of `x`

    Raises
    ------
    ShapeError
        If `x` has fewer than two axes, an odd number of features, or another length than
        `positions`.

    Notes
    -----
    Angles are computed in 64 bits where the library has them.

    References
    ----------
    J. Su et al., "RoFormer", 2021, https://arxiv.org/abs/2104.09864.

    Examples
    --------
    >>> F.rotary_embedding(np.asarray([[1.0, 0.0], [1.0, 0.0]]))
    array([[1.        , 0.        ],
           [0.54030231, 0.84147098]])
    """
    shape = tuple(x.shape)
    if len(shape) < 2 or shape[-1] % 2:
        msg = (
            "rotary_embedding: x must have shape (..., length, features) with an even number of "
            f"features; got {shape}."
        )
        raise located(ShapeError(msg))
    length, n = shape[-2:]
    rates = base ** (-np.arange(0, n, 2) / max(1, n))
    dtype = typeof(x).dtype
    cos: Any
    if positions is None:
        angles = np.arange(length)[:, None] * rates
        cos, sin = np.cos(angles).astype(dtype.dtype), np.sin(angles).astype(dtype.dtype)
    else:
        if tuple(positions.shape) != (length,):
            msg = (
                "rotary_embedding: there must be a position for each place of x; got shapes "
                f"{tuple(positions.shape)} and {shape}."
            )
            raise located(ShapeError(msg))
        places = expand_dims(ops.astype(positions, widest(x)), axis=-1)
        angles = multiply(places, ops.numbers_like(places, rates))
        cos, sin = ops.astype(ops.cos(angles), dtype), ops.astype(ops.sin(angles), dtype)
    if interleaved:
        pairs = reshape(x, (*shape[:-1], n // 2, 2))
        a, b = pairs[..., 0], pairs[..., 1]
    else:
        a, b = x[..., : n // 2], x[..., n // 2 :]
    first = subtract(multiply(a, cos), multiply(b, sin))
    second = add(multiply(a, sin), multiply(b, cos))
    if interleaved:
        return reshape(stack([first, second], axis=-1), shape)
    return concat([first, second], axis=-1)


@composite
def alibi_bias(
    num_heads: int,
    length: int,
    keys: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    xp: Any = None,
) -> Any:
    """What is added to scores so that far keys count less: −slope · distance, by head (ALiBi).

    Parameters
    ----------
    num_heads : int
    length : int
        Number of queries.
    keys : int, optional
        Number of keys, by default as many; the queries are the last of them.
    dtype : dtype, optional
        By default the default dtype, float32.
    device, xp : optional
        Where.

    Returns
    -------
    array, shape (num_heads, length, keys)

    Raises
    ------
    ValueError
        If a number is negative.

    Notes
    -----
    The slopes of 2ᵏ heads are 2^(−8/2ᵏ), 2^(−16/2ᵏ), …; other numbers of heads take those of the
    power below, and then every second of those of the power above.

    References
    ----------
    O. Press, N. Smith and M. Lewis, "Train short, test long", ICLR 2022,
    https://arxiv.org/abs/2108.12409.

    Examples
    --------
    >>> F.alibi_bias(2, 1, 3)
    array([[[-0.125     , -0.0625    ,  0.        ]],
    <BLANKLINE>
           [[-0.0078125 , -0.00390625,  0.        ]]], dtype=float32)
    """
    keys = length if keys is None else keys
    _check_counts("alibi_bias", num_heads=num_heads, length=length, keys=keys)
    power = 2 ** math.floor(math.log2(num_heads)) if num_heads else 0
    exponents = [8 * (i + 1) / power for i in range(power)]
    exponents += [4 * (2 * i + 1) / power for i in range(num_heads - power)]
    distance = np.abs(np.arange(keys) - (keys - length + np.arange(length)[:, None]))
    bias = 0.0 - (2.0 ** -np.asarray(exponents))[:, None, None] * distance
    kind = default_dtype_of("float") if dtype is None else dtype
    return asarray(bias, dtype=kind, device=device, xp=xp)
