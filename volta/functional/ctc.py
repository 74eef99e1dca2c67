"""Connectionist temporal classification: the likelihood of labels without an alignment."""

from typing import Any, Final

import numpy as np

from volta.core.derivatives import Pair
from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, Array, ArrayType, typeof
from volta.functional.declare import composite, in_one_task, primitive
from volta.functional.elementwise import (
    add,
    divide,
    equal,
    greater,
    less,
    logical_and,
    maximum,
    multiply,
    negative,
    not_equal,
    subtract,
    where,
)
from volta.functional.indexing import bounds_under, take_along_axis
from volta.functional.loss_reduction import check_reduction, in_32_bits, reduced
from volta.functional.manipulation import (
    broadcast_to,
    concat,
    expand_dims,
    moveaxis,
    reshape,
    squeeze,
    stack,
)
from volta.functional.reduction import max as _max
from volta.functional.reduction import mean
from volta.functional.reduction import sum as _sum

__all__ = ["ctc_loss"]

_IMPOSSIBLE: Final = -1e30  # logarithm of 0 with which one can compute

# The lattice --------------------------------------------------------------------------------------
#
# Places s of the extended labels (blanks between and around them) against times t; a path stays,
# steps by one, or skips a blank between two labels that differ. `alpha` is the logarithm of the
# sum over all paths that have come to a place (Graves et al., equations 6 to 8). `xp` is a library,
# in the kernel, or the op set, in derivatives.


def _before(xp: Any, alpha: Any, skips: Any) -> list[Any]:
    """Logarithms at the three places that a path may come from."""
    gone = xp.full_like(alpha[:, :2], _IMPOSSIBLE)
    one = xp.concat([gone[:, :1], alpha[:, :-1]], axis=1)
    two = xp.concat([gone, alpha[:, :-2]], axis=1)
    return [alpha, one, xp.where(skips, two, xp.full_like(two, _IMPOSSIBLE))]


def _log_sum(xp: Any, terms: list[Any]) -> Any:
    top = terms[0]
    for x in terms[1:]:
        top = xp.maximum(top, x)
    if xp is ops:
        top = xp.stop_gradient(top)
    return xp.log(sum(xp.exp(x - top) for x in terms)) + top


def _sums(xp: Any, scores: Any, skips: Any, times: Any) -> list[tuple[Any, Any]]:
    """For each time `alpha` and, but for the first, its sum before the scores are added."""
    first = scores[0, :, :]
    alpha = xp.concat([first[:, :2], xp.full_like(first[:, 2:], _IMPOSSIBLE)], axis=1)
    found = [(alpha, None)]
    for t in range(1, scores.shape[0]):
        arrived = _log_sum(xp, _before(xp, alpha, skips))
        alpha = xp.where(times[:, None] > t, arrived + scores[t, :, :], alpha)
        found.append((alpha, arrived))
    return found


def _ends(xp: Any, alpha: Any, lengths: Any) -> list[Any]:
    """Logarithms at the two places where paths may end: the last blank and the last label."""
    last = 2 * lengths[:, None]
    blank = xp.take_along_axis(alpha, last, axis=1)
    label = xp.take_along_axis(alpha, xp.maximum(last - 1, xp.zeros_like(last)), axis=1)
    return [blank, xp.where(last > 0, label, xp.full_like(label, _IMPOSSIBLE))]


def _likelihood(xp: Any, scores: Any, skips: Any, times: Any, lengths: Any) -> Any:
    alpha, _ = _sums(xp, scores, skips, times)[-1]
    return _log_sum(xp, _ends(xp, alpha, lengths))[:, 0]


def _after(shares: list[Any], skips: Any) -> Any:
    """Sum of what the three places that a path may go to take from each place."""
    stay, one, two = shares
    none = ops.zeros_like(stay[:, :2])
    two = ops.where(skips, two, ops.zeros_like(two))
    one = ops.concat([one[:, 1:], none[:, :1]], axis=1)
    two = ops.concat([two[:, 2:], none], axis=1)
    return stay + one + two


def _occupancy(scores: Any, skips: Any, times: Any, lengths: Any) -> Any:
    """Share of all paths' probability that is at each place at each time: ∂ of the likelihood."""
    sums = _sums(ops, scores, skips, times)
    last = 2 * lengths[:, None]
    ends = _ends(ops, sums[-1][0], lengths)
    total = _log_sum(ops, ends)
    place = ops.cumulative_sum(ops.ones_like(skips, dtype=last.dtype), axis=1) - 1
    nothing = ops.zeros_like(scores[0, :, :])
    share = nothing
    for at, end in zip((last, last - 1), ends, strict=True):
        here = (place == at) & (total > _IMPOSSIBLE / 2)
        share = share + ops.where(here, ops.exp(end - total), nothing)
    found = []
    for t in range(len(sums) - 1, 0, -1):
        running = times[:, None] > t
        found.append(ops.where(running, share, nothing))
        before, arrived = sums[t - 1][0], sums[t][1]
        shares = [share * ops.exp(x - arrived) for x in _before(ops, before, skips)]
        share = ops.where(running, _after(shares, skips), share)
    found.append(share)
    return ops.stack(found[::-1], axis=0)


def _paths_type(
    scores: ArrayType, skips: ArrayType, times: ArrayType, lengths: ArrayType
) -> ArrayType:
    return ArrayType((scores.shape[1],), scores.dtype)


def _paths_batch(size: int, batched: tuple[bool, ...], *operands: Any) -> Any:
    """Lanes are more examples."""
    lanes = [
        x if b else broadcast_to(x, (size, *x.shape))
        for x, b in zip(operands, batched, strict=True)
    ]
    scores = moveaxis(lanes[0], 0, 1)
    steps, _, n, places = scores.shape
    rest = [reshape(x, (size * n, *x.shape[2:])) for x in lanes[1:]]
    return reshape(_paths(reshape(scores, (steps, size * n, places)), *rest), (size, n))


def _paths_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    moved = multiply(_occupancy(*primals), tangents[0])
    return _paths(*primals), _sum(moved, axis=(0, 2))


def _paths_fwd(*primals: Any) -> tuple[Any, Any]:
    return _paths(*primals), primals


def _paths_bwd(residuals: Any, ct: Any, needed: Any) -> tuple[Any, ...]:
    return multiply(_occupancy(*residuals), expand_dims(ct, axis=-1)), None, None, None


# A pair: recorded step by step it would be fifteen entries a time
_paths: Any = primitive(
    "ctc_paths",
    type_rule=_paths_type,
    batch=_paths_batch,
    derivatives=Pair(_paths_jvp, _paths_fwd, _paths_bwd),
    value=_likelihood,
    kernels={"dask.array": in_one_task("ctc_paths")},
)

# The loss -----------------------------------------------------------------------------------------


@composite
def ctc_loss(
    log_probs: Array,
    targets: Array,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    *,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """Negative log likelihood of labels, summed over all their alignments to an input.

    Parameters
    ----------
    log_probs : array, shape (time, n, classes) or (time, classes)
        Logarithms of the probabilities of classes, of real floating dtype.
    targets : array of int, shape (n, length), or (Σ target_lengths,); (length,) without an n
        Labels, padded to one length or one example after another. They are not `blank`.
    input_lengths, target_lengths : array or tuple of int, shape (n,) or ()
        How much of `log_probs` and `targets` counts.
    blank : int
        Class that stands for no label.
    reduction : "mean", "sum" or "none"
        A mean is over the examples, of losses divided by the number of labels, at least 1.
    zero_infinity : bool
        Whether the infinite losses of inputs that are too short for their labels count as 0.

    Returns
    -------
    array, shape (), or (n,) with reduction "none"

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If `log_probs` is not of real floats, or labels or lengths are not integers.
    DimensionError
        If a label or a length is out of range, seen where it is on the host.
    ValueError
        If `reduction` is none of the three.

    Notes
    -----
    The derivative of an infinite loss is 0. Its recursion is over logarithms, for all examples at
    once; labels one after another need concrete lengths.

    References
    ----------
    A. Graves et al., "Connectionist temporal classification: labelling unsegmented sequence data
    with recurrent neural networks", ICML 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf,
    section 4.

    Examples
    --------
    >>> log_probs = np.log(np.full((3, 1, 2), 0.5))
    >>> F.ctc_loss(log_probs, np.asarray([[1]]), (3,), (1,))
    array(0.28768207)
    """
    check_reduction("ctc_loss", reduction)
    if typeof(log_probs).dtype.kind != "float":
        msg = f"ctc_loss: log_probs must be real floating; got {typeof(log_probs).dtype.name}."
        raise located(DTypeError(msg))
    single = log_probs.ndim == 2
    if single:
        log_probs = expand_dims(log_probs, axis=1)
    if log_probs.ndim != 3 or not log_probs.shape[0]:
        msg = (
            "ctc_loss: log_probs must have shape (time, n, classes) or (time, classes), and a "
            f"time; got {tuple(log_probs.shape)}."
        )
        raise located(ShapeError(msg))
    steps, n, classes = log_probs.shape
    if not 0 <= blank < classes:
        msg = f"ctc_loss: blank must be from 0 to {classes - 1}; got {blank}."
        raise located(DimensionError(msg))
    times = _lengths("input_lengths", input_lengths, log_probs, n, (0, steps))
    lengths = _lengths("target_lengths", target_lengths, log_probs, n, (0, None))
    labels = _labels(_integers("targets", targets, log_probs), lengths, n, single)
    longest = labels.shape[1]
    _within("target_lengths", lengths, 0, longest)
    counted = less(ops.like_index(labels, np.arange(longest)), expand_dims(lengths, axis=-1))
    labels = where(counted, labels, blank)
    _within("targets", labels, 0, classes - 1)
    labels = where(less(labels, 0), classes, labels)  # counting from the end is no class
    extended = _with_blanks(labels, blank)
    skips = _skips(extended, blank)

    def losses(log_probs: Any) -> Any:
        index = broadcast_to(expand_dims(extended, axis=0), (steps, *extended.shape))
        scores = take_along_axis(log_probs, index, axis=2)
        likelihood = _paths(maximum(scores, _IMPOSSIBLE), skips, times, lengths)
        # no time is read as no labels, and as nothing else
        likelihood = where(equal(times, 0), 0.0, likelihood)
        wanting = logical_and(equal(times, 0), greater(lengths, 0))
        likelihood = where(wanting, _IMPOSSIBLE, likelihood)
        possible = greater(likelihood, _IMPOSSIBLE / 2)
        return where(possible, negative(likelihood), 0.0 if zero_infinity else np.inf)

    out = in_32_bits(losses, log_probs)
    if reduction == "mean":
        return mean(divide(out, ops.astype(maximum(lengths, 1), out.dtype)))
    if single:
        out = squeeze(out, 0)
    return reduced("ctc_loss", out, reduction)


def _integers(what: str, values: Any, like: Any) -> Any:
    if not hasattr(values, "dtype"):
        values = ops.like_index(like, np.asarray(values, dtype=np.int64))
    if typeof(values).dtype.kind not in ("int", "uint"):
        msg = f"ctc_loss: {what} must be integers; got {typeof(values).dtype.name}."
        raise located(DTypeError(msg))
    return ops.astype(values, DTYPES["int64"], copy=False)


def _within(what: str, values: Any, low: int, high: int | None) -> None:
    found = bounds_under(values)
    if found is not None and (found[0] < low or (high is not None and found[1] > high)):
        upper = "" if high is None else f" to {high}"
        msg = f"ctc_loss: {what} must be from {low}{upper}; got {found[0]} to {found[1]}."
        raise located(DimensionError(msg))


def _lengths(what: str, values: Any, like: Any, n: int, limits: tuple[int, int | None]) -> Any:
    values = _integers(what, values, like)
    if not values.ndim and n == 1:
        values = reshape(values, (1,))
    if tuple(values.shape) != (n,):
        msg = f"ctc_loss: {what} must have shape {(n,)}; got {tuple(values.shape)}."
        raise located(ShapeError(msg))
    _within(what, values, *limits)
    return values


def _labels(targets: Any, lengths: Any, n: int, single: bool) -> Any:
    """Labels as an array of shape (n, length)."""
    if targets.ndim == 2 and targets.shape[0] == n:
        return targets
    if targets.ndim == 1 and single:
        return expand_dims(targets, axis=0)
    if targets.ndim != 1:
        msg = (
            f"ctc_loss: targets must have shape ({n}, length) or be one example after another; got "
            f"shape {tuple(targets.shape)}."
        )
        raise located(ShapeError(msg))
    total, longest = int(_sum(lengths)), int(_max(lengths)) if n else 0
    if total != targets.shape[0]:
        msg = (
            "ctc_loss: targets of one example after another must be as many as target_lengths says;"
            f" got {targets.shape[0]} and {total}."
        )
        raise located(ShapeError(msg))
    first = subtract(ops.cumulative_sum(lengths, axis=0), lengths)
    places = add(expand_dims(first, axis=-1), ops.like_index(lengths, np.arange(longest)))
    places = ops.minimum(places, max(total - 1, 0))
    return ops.take(targets, places, axis=0) if total else reshape(places, (n, 0))


def _with_blanks(labels: Any, blank: int) -> Any:
    """Labels with a blank before, between and after them."""
    n, length = labels.shape
    pairs = stack([ops.full_like(labels, blank), labels], axis=-1)
    ends = ops.full_like(labels, blank, shape=(n, 1))
    return concat([reshape(pairs, (n, 2 * length)), ends], axis=1)


def _skips(extended: Any, blank: int) -> Any:
    """Which places a path may come to from two places before."""
    n, places = extended.shape
    earlier = (
        concat(
            [ops.full_like(extended, blank, shape=(n, min(2, places))), extended[:, : places - 2]],
            axis=1,
        )
        if places > 1
        else extended
    )
    return logical_and(not_equal(extended, blank), not_equal(extended, earlier))
