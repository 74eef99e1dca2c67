"""Losses of margins and distances, with PyTorch's names, reductions and defaults.

At the kink of a margin the derivative is that of the side that costs something, as in PyTorch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, Array, broadcast_shapes, typeof
from volta.functional.axes import normalize_axis
from volta.functional.declare import composite
from volta.functional.elementwise import (
    add,
    clip,
    divide,
    equal,
    less,
    logical_and,
    logical_not,
    minimum,
    multiply,
    not_equal,
    sqrt,
    square,
    subtract,
    where,
)
from volta.functional.indexing import beside, bounds_under, take, take_along_axis
from volta.functional.linalg.norms import vector_norm
from volta.functional.loss_reduction import check_one_shape, in_32_bits, reduced
from volta.functional.manipulation import broadcast_to, expand_dims
from volta.functional.reduction import any as _any
from volta.functional.reduction import sum as _sum

__all__ = [
    "cosine_embedding_loss",
    "cosine_similarity",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "pairwise_distance",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

# Distances ----------------------------------------------------------------------------------------


@composite
def cosine_similarity(x1: Array, x2: Array, /, axis: int = 1, eps: float = 1e-8) -> Any:
    """Cosine of the angle between vectors along an axis.

    Parameters
    ----------
    x1, x2 : array, broadcastable together
        Of real floating dtype.
    axis : int
        Along which the vectors lie, in the broadcast shape.
    eps : float
        Smallest length that is divided by.

    Returns
    -------
    array
        The broadcast shape without the axis.

    Raises
    ------
    BroadcastError
        If the shapes do not broadcast together.
    DimensionError
        If there is no such axis.

    Notes
    -----
    ``Σ x1 x2 / (max(‖x1‖, eps) · max(‖x2‖, eps))``. The derivative of the length of a vector of
    zeros is 0. That of ``max(‖x‖, eps)`` is 0 where `eps` is larger, so that the derivative is the
    result's; PyTorch's is that of ‖x‖ there.

    Examples
    --------
    >>> F.cosine_similarity(np.asarray([[3.0, 4.0]]), np.asarray([[4.0, 3.0]]))
    array([0.96])
    """
    shape = broadcast_shapes("cosine_similarity", tuple(x1.shape), tuple(x2.shape))
    axis = normalize_axis("cosine_similarity", axis, len(shape))

    def similarity(x1: Any, x2: Any) -> Any:
        units = []
        for x in (x1, x2):
            x = x if tuple(x.shape) == shape else broadcast_to(x, shape)
            length = vector_norm(x, axis=axis, keepdims=True)
            units.append(divide(x, clip(length, eps)))
        return _sum(multiply(*units), axis=axis)

    return in_32_bits(similarity, x1, x2)


@composite
def pairwise_distance(
    x1: Array, x2: Array, /, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False
) -> Any:
    """Distances between vectors along the last axis, ``‖x1 − x2 + eps‖``.

    Parameters
    ----------
    x1, x2 : array, shapes (..., n) broadcastable together
        Of real floating dtype.
    p : float
        Which norm.
    eps : float
        Added to each difference, so that equal vectors have a derivative.
    keepdims : bool
        Whether the last axis stays, with length 1.

    Returns
    -------
    array, shape (...) or (..., 1)

    Raises
    ------
    BroadcastError
        If the shapes do not broadcast together.
    ShapeError
        If there is no axis.

    Examples
    --------
    >>> F.pairwise_distance(np.asarray([3.0, 4.0]), np.asarray([0.0, 0.0]), eps=0.0)
    array(5.)
    """
    difference = add(subtract(x1, x2), eps)
    if not difference.ndim:
        msg = "pairwise_distance: x1 and x2 must have an axis; got shapes () and ()."
        raise located(ShapeError(msg))
    return vector_norm(difference, axis=-1, keepdims=keepdims, ord=p)


# Margins of pairs and triplets --------------------------------------------------------------------


def _hinge(x: Any) -> Any:
    """``max(x, 0)``, with the derivative 1 at 0."""
    return clip(x, 0)


@composite
def hinge_embedding_loss(
    input: Array, target: Array, *, margin: float = 1.0, reduction: str = "mean"
) -> Any:
    """Distances of what is alike, and what others lack to a margin.

    Parameters
    ----------
    input, target : array, one shape
        Distances, of real floating dtype, and labels: 1 for alike, −1 for not.
    margin : float
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `reduction` is none of the three.

    Notes
    -----
    ``input`` where the target is 1, ``max(margin − input, 0)`` where it is −1.

    Examples
    --------
    >>> x, y = np.asarray([0.5, 0.75]), np.asarray([1.0, -1.0])
    >>> F.hinge_embedding_loss(x, y, reduction="none")
    array([0.5 , 0.25])
    """
    check_one_shape("hinge_embedding_loss", input=input, target=target)
    target = beside(input, target, "hinge_embedding_loss")
    apart = where(not_equal(target, 1), _hinge(subtract(margin, input)), 0)
    losses = add(where(not_equal(target, -1), input, 0), apart)
    return reduced("hinge_embedding_loss", losses, reduction)


@composite
def margin_ranking_loss(
    input1: Array, input2: Array, target: Array, *, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """What scores lack to be in order, ``max(margin − target · (input1 − input2), 0)``.

    Parameters
    ----------
    input1, input2, target : array, one shape
        Scores, of real floating dtype, and labels: 1 where the first should be larger, −1 where
        the second.
    margin : float
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `input1` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `reduction` is none of the three.

    Examples
    --------
    >>> x, y = np.asarray([1.0, 2.0]), np.asarray([3.0, 0.0])
    >>> F.margin_ranking_loss(x, y, np.asarray([1.0, 1.0]), reduction="none")
    array([2., 0.])
    """
    check_one_shape("margin_ranking_loss", input1=input1, input2=input2, target=target)
    gap = multiply(target, subtract(input1, input2))
    return reduced("margin_ranking_loss", _hinge(subtract(margin, gap)), reduction)


_TINY = 1e-12  # PyTorch's, added to the squares of lengths


@composite
def cosine_embedding_loss(
    input1: Array, input2: Array, target: Array, *, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """What the cosine of like vectors lacks to 1, and that of others has above a margin.

    Parameters
    ----------
    input1, input2 : array, one shape (n, features) or (features,)
        Of real floating dtype.
    target : array, shape (n,) or ()
        1 for alike, −1 for not.
    margin : float
        From −1 to 1.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `target` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If `reduction` is none of the three.

    Notes
    -----
    ``1 − cos`` where the target is 1, ``max(cos − margin, 0)`` where it is −1, with
    ``cos = Σ x1 x2 / √((Σ x1² + 1e-12) (Σ x2² + 1e-12))``.

    Examples
    --------
    >>> x, y = np.asarray([[3.0, 4.0]]), np.asarray([[4.0, 3.0]])
    >>> F.cosine_embedding_loss(x, y, np.asarray([1]))
    array(0.04)
    """
    name = "cosine_embedding_loss"
    check_one_shape(name, input1=input1, input2=input2)
    if input1.ndim not in (1, 2) or tuple(target.shape) != tuple(input1.shape[:-1]):
        msg = (
            f"{name}: inputs must have shape (n, features) and target (n,), or neither an n; got "
            f"{tuple(input1.shape)} and {tuple(target.shape)}."
        )
        raise located(ShapeError(msg))

    def cosine(x1: Any, x2: Any) -> Any:
        inner, first, second = (
            _sum(a, axis=-1) for a in (multiply(x1, x2), square(x1), square(x2))
        )
        return divide(inner, sqrt(multiply(add(first, _TINY), add(second, _TINY))))

    cos = in_32_bits(cosine, input1, input2)
    alike = where(equal(target, 1), subtract(1, cos), 0)
    apart = where(equal(target, -1), _hinge(subtract(cos, margin)), 0)
    return reduced(name, add(alike, apart), reduction)


@composite
def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """What the distance to a negative example lacks to that to a positive one and a margin.

    Parameters
    ----------
    anchor, positive, negative : array, one shape (..., features)
        Of real floating dtype.
    margin : float
        Positive.
    p, eps : float
        As for `pairwise_distance`.
    swap : bool
        Whether the negative's distance to the positive counts where it is the smaller.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or (...) with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `margin` is not positive or `reduction` none of the three.

    Notes
    -----
    ``max(d(anchor, positive) − d(anchor, negative) + margin, 0)``.

    References
    ----------
    V. Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional
    neural networks", BMVC 2016, https://www.bmva-archive.org.uk/bmvc/2016/papers/paper119/.

    Examples
    --------
    >>> a, p, n = (np.asarray([[x, 0.0]]) for x in (0.0, 2.0, 1.5))
    >>> F.triplet_margin_loss(a, p, n, eps=0.0)
    array(1.5)
    """

    def distance(x1: Any, x2: Any) -> Any:
        return pairwise_distance(x1, x2, p, eps)

    points = (anchor, positive, negative)
    return _triplets("triplet_margin_loss", points, distance, margin, swap, reduction)


@composite
def triplet_margin_with_distance_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """`triplet_margin_loss` with any distance.

    Parameters
    ----------
    anchor, positive, negative : array, one shape (..., features)
        Of real floating dtype.
    distance_function : callable, optional
        From two of them to distances; by default `pairwise_distance`.
    margin : float
        Positive.
    swap : bool
        Whether the negative's distance to the positive counts where it is the smaller.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of the distances with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes differ.
    ValueError
        If `margin` is not positive or `reduction` none of the three.

    Examples
    --------
    >>> a, p, n = (np.asarray([[x, 0.0]]) for x in (0.0, 2.0, 1.5))
    >>> l1 = lambda x, y: F.sum(F.abs(x - y), axis=-1)
    >>> F.triplet_margin_with_distance_loss(a, p, n, distance_function=l1)
    array(1.5)
    """
    name = "triplet_margin_with_distance_loss"
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplets(name, (anchor, positive, negative), distance, margin, swap, reduction)


def _triplets(
    name: str, points: Any, distance: Any, margin: float, swap: bool, reduction: str
) -> Any:
    anchor, positive, negative = points
    check_one_shape(name, anchor=anchor, positive=positive, negative=negative)
    if not margin > 0:
        msg = f"{name}: margin must be positive; got {margin}."
        raise located(ValueError(msg))
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(name, _hinge(add(subtract(near, far), margin)), reduction)


# Margins of classes -------------------------------------------------------------------------------


def _check_labels(name: str, target: Any, low: int, classes: int) -> Any:
    """Labels as int64; those on the host are checked."""
    if typeof(target).dtype.kind not in ("int", "uint"):
        msg = f"{name}: target must hold class numbers; got {typeof(target).dtype.name}."
        raise located(DTypeError(msg))
    found = bounds_under(target)
    if found is not None and (found[0] < low or found[1] >= classes):
        msg = f"{name}: classes must be from {low} to {classes - 1}; got {found[0]} to {found[1]}."
        raise located(DimensionError(msg))
    return ops.astype(target, DTYPES["int64"], copy=False)


@composite
def multi_margin_loss(
    input: Array,
    target: Array,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | None = None,
    reduction: str = "mean",
) -> Any:
    """What the score of the right class lacks to each other one and a margin.

    Parameters
    ----------
    input : array, shape (n, classes) or (classes,)
        Scores, of real floating dtype.
    target : array of int, shape (n,) or ()
        Classes from 0 to classes − 1.
    p : 1 or 2
        Power.
    margin : float
    weight : array, shape (classes,), optional
        Factor for each class.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or that of `target` with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If `target` is not of integers.
    DimensionError
        If a class is out of range, seen where `target` is on the host.
    ValueError
        If `p` is neither 1 nor 2, or `reduction` none of the three.

    Notes
    -----
    ``Σ weight[t] · max(margin − x[t] + x[i], 0)^p / classes`` over classes i other than the target
    t; a mean is divided by n.

    Examples
    --------
    >>> F.multi_margin_loss(np.asarray([[0.1, 0.2, 0.4, 0.8]]), np.asarray([3]))
    array(0.325)
    """
    name = "multi_margin_loss"
    shape = tuple(input.shape)
    if len(shape) not in (1, 2) or tuple(target.shape) != shape[:-1]:
        msg = (
            f"{name}: target must have the shape of the input without its class axis; got "
            f"{tuple(target.shape)} and {shape}."
        )
        raise located(ShapeError(msg))
    if p not in (1, 2):
        msg = f"{name}: p must be 1 or 2; got {p}."
        raise located(ValueError(msg))
    classes = shape[-1]
    if weight is not None and tuple(weight.shape) != (classes,):
        msg = (
            f"{name}: weight must have one factor a class, shape {(classes,)}; got shape "
            f"{tuple(weight.shape)}."
        )
        raise located(ShapeError(msg))
    target = _check_labels(name, target, 0, classes)
    # counting from the end is no class
    index = expand_dims(where(less(target, 0), classes, target), axis=-1)
    lack = _hinge(subtract(add(input, margin), take_along_axis(input, index, axis=-1)))
    if p == 2:
        lack = square(lack)
    other = not_equal(ops.like_index(input, _numbers(classes)), index)
    losses = divide(_sum(where(other, lack, 0), axis=-1), classes)
    if weight is not None:
        losses = multiply(losses, take(weight, target, axis=0))
    return reduced(name, losses, reduction)


def _numbers(n: int) -> Any:
    return np.arange(n)


@composite
def multilabel_margin_loss(input: Array, target: Array, *, reduction: str = "mean") -> Any:
    """What the scores of the right classes lack to each other one and a margin of 1.

    Parameters
    ----------
    input : array, shape (n, classes) or (classes,)
        Scores, of real floating dtype.
    target : array of int, shape of `input`
        The right classes, in any order, then −1; what follows the first −1 does not count.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    array, shape (), or (n,) with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If `target` is not of integers.
    DimensionError
        If a class is out of range, seen where `target` is on the host.
    ValueError
        If `reduction` is none of the three.

    Notes
    -----
    ``Σ max(1 − (x[j] − x[i]), 0) / classes`` over the right classes j and the others i.

    Examples
    --------
    >>> x, y = np.asarray([[0.1, 0.2, 0.4, 0.8]]), np.asarray([[3, 0, -1, 1]])
    >>> F.multilabel_margin_loss(x, y)
    array(0.85)
    """
    name = "multilabel_margin_loss"
    check_one_shape(name, input=input, target=target)
    if input.ndim not in (1, 2):
        msg = f"{name}: input must have shape (n, classes) or (classes,); got {tuple(input.shape)}."
        raise located(ShapeError(msg))
    classes = input.shape[-1]
    target = _check_labels(name, target, -1, classes)
    ended = ops.cumulative_sum(ops.astype(less(target, 0), target.dtype), axis=-1)
    counted = equal(ended, 0)
    labels = where(counted, target, 0)
    # axis -2 is over places in the target, axis -1 over classes
    same = equal(expand_dims(labels, axis=-1), ops.like_index(input, _numbers(classes)))
    right = _any(logical_and(same, expand_dims(counted, axis=-1)), axis=-2)
    scores = expand_dims(take_along_axis(input, labels, axis=-1), axis=-1)
    lack = _hinge(add(subtract(expand_dims(input, axis=-2), scores), 1))
    pairs = logical_and(expand_dims(counted, axis=-1), logical_not(expand_dims(right, axis=-2)))
    losses = divide(_sum(where(pairs, lack, 0), axis=(-2, -1)), classes)
    return reduced(name, losses, reduction)
