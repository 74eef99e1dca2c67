"""Batches of sequences of different lengths."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta import tree
from volta.core.errors import ShapeError
from volta.core.trace import located
from volta.core.tracer import concrete
from volta.core.types import Array

__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


@dataclass(frozen=True)
class PackedSequence:
    """Sequences of different lengths without padding; `pack_padded_sequence` makes it.

    Attributes
    ----------
    data : array, shape (sum of the lengths, ...)
        The elements of the first place of all sequences, longest first, then those of the second.
    batch_sizes : tuple of int
        How many sequences have a place.
    order : tuple of int
        Which sequence of the batch is the longest, and so on.

    Examples
    --------
    >>> packed = volta.nn.pack_sequence([np.asarray([1]), np.asarray([2, 3])], enforce_sorted=False)
    >>> packed.order, packed.lengths
    ((1, 0), (1, 2))
    """

    data: Any
    batch_sizes: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Length of each sequence of the batch, in its order."""
        lengths = [0] * len(self.order)
        for place, n in enumerate(self.order):
            lengths[n] = int(np.sum(np.asarray(self.batch_sizes) > place))
        return tuple(lengths)


tree.register_dataclass(PackedSequence, ["data"], ["batch_sizes", "order"])


def pack_padded_sequence(
    x: Array, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Leave out the padding of a batch.

    Parameters
    ----------
    x : array, shape (length, batch, ...)
        Or (batch, length, ...) with `batch_first`.
    lengths : sequence of int
        Of each sequence, at least 1. Known when traced: they are part of the program.
    batch_first : bool
    enforce_sorted : bool
        Whether the lengths must fall, as programs for PyTorch say.

    Returns
    -------
    PackedSequence

    Raises
    ------
    ShapeError
        If the lengths do not fit `x`, or do not fall though `enforce_sorted`.

    Examples
    --------
    >>> packed = volta.nn.pack_padded_sequence(np.asarray([[1, 4], [2, 5], [3, 0]]), [3, 2])
    >>> packed.data, packed.batch_sizes
    (array([1, 4, 2, 5, 3]), (2, 2, 1))
    """
    x = F.moveaxis(x, 0, 1) if batch_first else x
    steps, count = x.shape[:2]
    sizes = _lengths("pack_padded_sequence", lengths, count, steps)
    if enforce_sorted and any(a < b for a, b in pairwise(sizes)):
        msg = (
            f"pack_padded_sequence: lengths must not grow; got {list(sizes)}. Sort the batch, or "
            "pass enforce_sorted=False."
        )
        raise located(ShapeError(msg))
    order = np.argsort(-np.asarray(sizes), stable=True)
    sorted_sizes = np.asarray(sizes)[order]
    batch_sizes = tuple(int(np.sum(sorted_sizes > t)) for t in range(max(sizes)))
    places = np.concatenate([t * count + order[:n] for t, n in enumerate(batch_sizes)])
    data = F.take(F.reshape(x, (steps * count, *x.shape[2:])), places, axis=0)
    return PackedSequence(data, batch_sizes, tuple(int(n) for n in order))


def _lengths(name: str, lengths: Any, count: int, steps: int) -> tuple[int, ...]:
    if hasattr(lengths, "shape"):
        lengths = np.asarray(concrete(lengths, name)).tolist()
    sizes = tuple(int(n) for n in lengths)
    if len(sizes) != count or not sizes or min(sizes) < 1 or max(sizes) > steps:
        msg = (
            f"{name}: there must be a length from 1 to {steps} for each of the {count} sequences; "
            f"got {list(sizes)}."
        )
        raise located(ShapeError(msg))
    return sizes


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Any, tuple[int, ...]]:
    """Undo `pack_padded_sequence`.

    Parameters
    ----------
    sequence : PackedSequence
    batch_first : bool
        Whether the batch is the first axis of the result, and not the second.
    padding_value : number
        Value after the end of a sequence.
    total_length : int, optional
        Length of the result; by default that of the longest sequence.

    Returns
    -------
    padded : array, shape (length, batch, ...)
    lengths : tuple of int

    Raises
    ------
    ShapeError
        If `total_length` is too small.

    Examples
    --------
    >>> packed = volta.nn.pack_sequence([np.asarray([1, 2, 3]), np.asarray([4, 5])])
    >>> volta.nn.pad_packed_sequence(packed, batch_first=True)
    (array([[1, 2, 3],
           [4, 5, 0]]), (3, 2))
    """
    lengths = sequence.lengths
    steps = len(sequence.batch_sizes) if total_length is None else total_length
    if steps < len(sequence.batch_sizes):
        msg = (
            "pad_packed_sequence: total_length must be that of the longest sequence at least; got "
            f"{steps} and {len(sequence.batch_sizes)}."
        )
        raise located(ShapeError(msg))
    places = np.zeros((steps, len(lengths)), np.int64)
    start = 0
    for t, n in enumerate(sequence.batch_sizes):
        places[t, list(sequence.order[:n])] = np.arange(start, start + n)
        start += n
    data = sequence.data
    flat = F.take(data, places.reshape(-1), axis=0)
    padded = F.reshape(flat, (*places.shape, *data.shape[1:]))
    inside = np.arange(steps)[:, None] < np.asarray(lengths)
    inside = inside.reshape(*inside.shape, *(1,) * (data.ndim - 1))
    padded = F.where(inside, padded, F.full_like(padded, padding_value))
    return F.moveaxis(padded, 0, 1) if batch_first else padded, lengths


def pad_sequence(
    sequences: Sequence[Array],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """Stack sequences of different lengths, filled up at the end.

    Parameters
    ----------
    sequences : sequence of array, shapes (length, ...)
    batch_first : bool
        Whether the batch is the first axis of the result, and not the second.
    padding_value : number
        Value where a sequence has none.
    padding_side : {"right", "left"}
        Whether the filling is after a sequence or before it.

    Returns
    -------
    array, shape (longest, batch, ...)

    Raises
    ------
    ShapeError
        If there is no sequence, or they differ beyond the first axis.
    ValueError
        If there is no such side.

    Examples
    --------
    >>> volta.nn.pad_sequence([np.ones(2), np.ones(1)], batch_first=True)
    array([[1., 1.],
           [1., 0.]])
    """
    if padding_side not in ("right", "left"):
        msg = f'pad_sequence: padding_side must be "right" or "left"; got {padding_side!r}.'
        raise located(ValueError(msg))
    shapes = [tuple(x.shape) for x in sequences]
    if not shapes or not all(shapes) or len({s[1:] for s in shapes}) > 1:
        msg = f"pad_sequence: sequences must have shapes (length, ...) of one kind; got {shapes}."
        raise located(ShapeError(msg))
    longest = max(s[0] for s in shapes)
    padded = []
    for x in sequences:
        missing = longest - x.shape[0]
        width = (0, missing) if padding_side == "right" else (missing, 0)
        rest = [(0, 0)] * (x.ndim - 1)
        padded.append(F.pad(x, [width, *rest], constant_values=padding_value))
    return F.stack(padded, axis=0 if batch_first else 1)


def pack_sequence(sequences: Sequence[Array], enforce_sorted: bool = True) -> PackedSequence:
    """`pad_sequence`, then `pack_padded_sequence`.

    Parameters
    ----------
    sequences : sequence of array, shapes (length, ...)
    enforce_sorted : bool
        Whether the lengths must fall, as programs for PyTorch say.

    Returns
    -------
    PackedSequence

    Raises
    ------
    ShapeError
        If there is no sequence, they differ beyond the first axis, or their lengths do not fall
        though `enforce_sorted`.

    Examples
    --------
    >>> volta.nn.pack_sequence([np.asarray([1, 2]), np.asarray([3])]).data
    array([1, 3, 2])
    """
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpad_sequence(padded: Array, lengths: Any, batch_first: bool = False) -> list[Any]:
    """Undo `pad_sequence`: the sequences one by one.

    Parameters
    ----------
    padded : array, shape (length, batch, ...)
        Or (batch, length, ...) with `batch_first`.
    lengths : sequence of int
        Of each sequence, at least 1.
    batch_first : bool

    Returns
    -------
    list of array, shapes (length, ...)

    Raises
    ------
    ShapeError
        If the lengths do not fit.

    Examples
    --------
    >>> volta.nn.unpad_sequence(np.asarray([[1, 2], [3, 0]]), [2, 1], batch_first=True)
    [array([1, 2]), array([3])]
    """
    x = padded if batch_first else F.moveaxis(padded, 0, 1)
    sizes = _lengths("unpad_sequence", lengths, *x.shape[:2])
    return [x[i, :n] for i, n in enumerate(sizes)]


def unpack_sequence(sequence: PackedSequence) -> list[Any]:
    """Undo `pack_sequence`: the sequences one by one.

    Parameters
    ----------
    sequence : PackedSequence

    Returns
    -------
    list of array, shapes (length, ...)

    Examples
    --------
    >>> packed = volta.nn.pack_sequence([np.asarray([1, 2]), np.asarray([3])])
    >>> volta.nn.unpack_sequence(packed)
    [array([1, 2]), array([3])]
    """
    padded, lengths = pad_packed_sequence(sequence, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
