"""Arrays as they are written: short ones number by number."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from volta.emission.text import literal, wrapped

__all__ = ["array_text"]

FEW: Final = 128  # elements of an array that stands in the text


def array_text(array: Any, dtype: str) -> str | None:
    """Expression for an array of a dtype of that name; None for one that is too large.

    Examples
    --------
    >>> array_text(np.asarray([0.1, -0.0], np.float32), "np.float32")
    'np.array([0.1, -0.0], np.float32)'
    >>> array_text(np.ones((2, 500)), "np.float64"), array_text(np.eye(20), "np.float64")
    ('np.full((2, 500), 1.0, np.float64)', None)
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    if not flat.size:
        return f"np.zeros({array.shape}, {dtype})"
    if flat.size > 4:
        octets = flat.view(np.uint8).reshape(flat.size, -1)
        if (octets == octets[0]).all():
            return f"np.full({array.shape}, {literal(_numbers(flat[:1])[0])}, {dtype})"
        if array.dtype.kind in "iu" and (flat == np.arange(flat.size)).all():
            counted = f"np.arange({flat.size}, dtype={dtype})"
            return counted if array.ndim == 1 else f"{counted}.reshape({array.shape})"
    if flat.size > FEW:
        return None
    return f"np.array({wrapped(str(literal(_nested(_numbers(flat), array.shape))))}, {dtype})"


def _numbers(flat: Any) -> list[Any]:
    """Numbers of an array, as short as they may be written."""
    if flat.dtype.kind == "f" and flat.dtype.itemsize <= 4:
        return [float(str(x)) for x in flat]
    return list(flat.tolist())


def _nested(numbers: list[Any], shape: Sequence[int]) -> Any:
    if not shape:
        return numbers[0]
    size = len(numbers) // shape[0]
    return [_nested(numbers[i * size : (i + 1) * size], shape[1:]) for i in range(shape[0])]
