"""Clipping of gradients: by value, and by norm of what."""

from typing import Any

from volta.core import tree
from volta.core.errors import ShapeError
from volta.core.keywords import suggesting
from volta.core.trace import located, ops
from volta.optim.base import (
    Optimizer,
    check_number,
    kept,
    leafwise,
    needed,
    stateless,
    times,
)
from volta.optim.moments import root, squared, widened

__all__ = [
    "adaptive_grad_clip",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "clip_by_norm",
    "global_norm",
]


def global_norm(arrays: Any) -> Any:
    """Euclidean norm of all numbers in a tree.

    Parameters
    ----------
    arrays : tree of arrays

    Returns
    -------
    array, shape ()
        Of the first leaf's real dtype, float32 for one of 16 bits; 0 if there is none. The
        derivative where all are 0 is 0.

    Examples
    --------
    >>> volta.optim.global_norm({"w": np.asarray([3.0, 0.0]), "b": np.asarray(4.0)})
    array(5.)
    """
    total = None
    for x in tree.leaves(arrays):
        square = ops.sum(squared(widened(x)))
        total = square if total is None else kept(ops.add(total, square), total)
    return ops.asarray(0.0) if total is None else root(total)


@suggesting
def clip(max_delta: float) -> Optimizer:
    """Clip every number of the updates to [−max_delta, max_delta].

    Parameters
    ----------
    max_delta : float, or array of shape ()

    Returns
    -------
    Optimizer
        Of real gradients.

    Raises
    ------
    ValueError
        If `max_delta` is negative or not finite.

    Examples
    --------
    >>> volta.optim.clip(1.0).update(np.asarray([0.5, -3.0]), volta.optim.EmptyState())[0]
    array([ 0.5, -1. ])
    """
    check_number("clip", "max_delta", max_delta)
    return stateless(
        lambda grads, params: leafwise(
            "clip.update",
            lambda g: kept(ops.minimum(ops.maximum(g, -max_delta), max_delta), g),
            grads=grads,
        )
    )


@suggesting
def clip_by_norm(max_norm: float) -> Optimizer:
    """Shorten each update whose own norm is above `max_norm` to that norm.

    Parameters
    ----------
    max_norm : float, or array of shape ()

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If `max_norm` is negative or not finite.

    Examples
    --------
    >>> volta.optim.clip_by_norm(1.0).update(np.asarray([3.0, 4.0]), volta.optim.EmptyState())[0]
    array([0.6, 0.8])
    """
    check_number("clip_by_norm", "max_norm", max_norm)
    return stateless(
        lambda grads, params: leafwise(
            "clip_by_norm.update",
            lambda g: times(g, _shortening(global_norm(g), max_norm)),
            grads=grads,
        )
    )


@suggesting
def clip_by_global_norm(max_norm: float) -> Optimizer:
    """Shorten all updates by one factor where their `global_norm` is above `max_norm`.

    Parameters
    ----------
    max_norm : float, or array of shape ()

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If `max_norm` is negative or not finite.

    Notes
    -----
    The factor is ``min(1, max_norm / norm)``, as in optax; PyTorch adds 1e-6 to the norm.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013, https://arxiv.org/abs/1211.5063, algorithm 1.

    Examples
    --------
    >>> clip = volta.optim.clip_by_global_norm(1.0)
    >>> clip.update([np.asarray(3.0), np.asarray(4.0)], volta.optim.EmptyState())[0]
    [array(0.6), array(0.8)]
    """
    check_number("clip_by_global_norm", "max_norm", max_norm)

    def clipped(grads: Any, params: Any) -> Any:
        leafwise("clip_by_global_norm.update", lambda g: None, grads=grads)
        factor = _shortening(global_norm(grads), max_norm)
        return tree.map(lambda g: times(g, factor), grads)

    return stateless(clipped)


def _shortening(norm: Any, longest: Any) -> Any:
    """Factor that makes a norm at most `longest`: 1 where it is."""
    over = ops.greater_equal(norm, longest)
    some = ops.logical_and(over, ops.greater(norm, 0))
    # a norm of NaN stays NaN, as in optax: it must be seen
    wrong = ops.isnan(norm)
    return ops.where(
        ops.logical_or(some, wrong),
        ops.divide(longest, ops.where(ops.equal(norm, 0), 1.0, norm)),
        1.0,
    )


@suggesting
def clip_by_block_rms(threshold: float) -> Optimizer:
    """Divide each update whose root mean square is above `threshold`, so that it is that.

    Parameters
    ----------
    threshold : float, or array of shape ()

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If `threshold` is negative or not finite.

    References
    ----------
    N. Shazeer, M. Stern, "Adafactor: adaptive learning rates with sublinear memory cost",
    ICML 2018, https://arxiv.org/abs/1804.04235, section 6.

    Examples
    --------
    >>> volta.optim.clip_by_block_rms(1.0).update(np.asarray([2.0, -2.0]), ())[0]
    array([ 1., -1.])
    """
    check_number("clip_by_block_rms", "threshold", threshold)

    def clipped(g: Any) -> Any:
        size = root(ops.mean(squared(widened(g))))
        return kept(ops.divide(widened(g), ops.maximum(ops.divide(size, threshold), 1.0)), g)

    return stateless(
        lambda grads, params: leafwise("clip_by_block_rms.update", clipped, grads=grads)
    )


@suggesting
def adaptive_grad_clip(clipping: float, eps: float = 1e-3, axis: Any = None) -> Optimizer:
    """Clip the gradient of each unit in proportion to its weights.

    Parameters
    ----------
    clipping : float
        Largest ratio of the norms of gradient and weights.
    eps : float
        Least norm of weights.
    axis : int or tuple of int, optional
        Axes that norms are over. By default, as in optax, all for vectors, the first for arrays of
        2 or 3 axes, all but the last for 4 or 5.

    Returns
    -------
    Optimizer
        Its `update` needs `params`.

    Raises
    ------
    ValueError
        If a hyperparameter is out of its range.
    ShapeError
        From `update`, if there are more than 5 axes and no `axis`.

    References
    ----------
    A. Brock et al., "High-performance large-scale image recognition without normalization",
    ICML 2021, https://arxiv.org/abs/2102.06171, section 4.1.

    Examples
    --------
    >>> clip = volta.optim.adaptive_grad_clip(0.1)
    >>> clip.update(np.asarray([3.0, 4.0]), (), np.asarray([0.0, 2.0]))[0].round(4)
    array([0.12, 0.16])
    """
    check_number("adaptive_grad_clip", "clipping", clipping)
    check_number("adaptive_grad_clip", "eps", eps)

    def clipped(g: Any, p: Any) -> Any:
        g_norm, p_norm = _unitwise_norm(g, axis), _unitwise_norm(p, axis)
        most = ops.multiply(ops.maximum(p_norm, eps), clipping)
        factor = ops.divide(most, ops.maximum(g_norm, 1e-6))
        return kept(ops.multiply(widened(g), ops.where(ops.less(g_norm, most), 1.0, factor)), g)

    return stateless(
        lambda grads, params: leafwise(
            "adaptive_grad_clip.update",
            clipped,
            grads=grads,
            params=needed("adaptive_grad_clip", params),
        )
    )


def _unitwise_norm(x: Any, axis: Any) -> Any:
    axes = axis
    if axis is None:
        if len(x.shape) > 5:
            msg = (
                f"adaptive_grad_clip: arrays have at most 5 axes; got shape {tuple(x.shape)}. "
                "Pass axis=."
            )
            raise located(ShapeError(msg))
        ndim = len(x.shape)
        vector = sum(n != 1 for n in x.shape) <= 1
        axes = None if vector else 0 if ndim < 4 else tuple(range(ndim - 1))
    return root(ops.sum(squared(widened(x)), axis=axes, keepdims=True))
