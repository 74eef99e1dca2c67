"""Classification into very many classes."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.core.trace import located
from volta.core.tracer import Tracer, library_under
from volta.core.types import Array, as_dtype
from volta.functional import random
from volta.functional.indexing import bounds_under
from volta.nn.container import ModuleList, Sequential
from volta.nn.linear import Linear
from volta.nn.module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class AdaptiveOutput(NamedTuple):
    """Logarithms of the targets' probabilities, and minus their mean."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of classes in clusters, of which few are computed.

    Classes are numbered by how frequent they are, the most frequent first. The head tells those
    before the first cutoff and the clusters, which lie between cutoffs, apart; the i-th cluster's
    classes are told apart by ``in_features / div_value**i`` features.

    Parameters
    ----------
    in_features : int
        Length of the input's last axis.
    n_classes : int
        Number of classes.
    cutoffs : sequence of int
        Where clusters begin: ascending, from 1 to ``n_classes - 1``.
    div_value : float
        By how much the features of a cluster are fewer than those of the one before.
    head_bias : bool
        Whether the head has a bias.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Array library and device of the parameters; by default those of `key`.

    Attributes
    ----------
    head : Linear
        To the ``cutoffs[0]`` most frequent classes, and the clusters.
    tail : ModuleList
        For each cluster a `Sequential` of two `Linear` layers without biases.

    Raises
    ------
    ValueError
        If there are no cutoffs, or they are out of range or order.
    ShapeError, DTypeError, DimensionError
        From a call, if input and target do not fit, or a target is no class.

    Notes
    -----
    ``log p(class) = log p(cluster) + log p(class | cluster)``. A call computes a cluster for the
    inputs alone whose targets are in it; where targets are not known, because they are traced or
    on a device that a look would have to wait for, and on JAX, which would compile for each number
    of them, it computes all clusters for all inputs.

    References
    ----------
    E. Grave, A. Joulin, M. Cissé, D. Grangier, H. Jégou, "Efficient softmax approximation for
    GPUs", ICML 2017, https://arxiv.org/abs/1609.04309.

    Examples
    --------
    >>> layer = volta.nn.AdaptiveLogSoftmaxWithLoss(16, 1000, [10, 100], key=F.random.key(0))
    >>> output, loss = layer(np.ones((3, 16), np.float32), np.asarray([4, 50, 999]))
    >>> output.shape, bool(np.isclose(loss, -output.mean()))
    ((3,), True)
    >>> layer.log_prob(np.ones((3, 16), np.float32)).shape
    (3, 1000)
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        bounds = (0, *cutoffs, n_classes)
        whole = all(hasattr(n, "__index__") for n in bounds)
        if len(bounds) < 3 or not whole or any(a >= b for a, b in pairwise(bounds)):
            msg = (
                "AdaptiveLogSoftmaxWithLoss: cutoffs must be ints that ascend, from 1 to n_classes "
                f"- 1, and one at least; got {list(cutoffs)} and {n_classes}."
            )
            raise located(ValueError(msg))
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = bounds[1:]
        self.div_value, self.head_bias = div_value, head_bias
        where = {"dtype": dtype, "xp": xp, "device": device}
        clusters = len(bounds) - 2
        keys = iter(F.unstack(random.split(key, 1 + 2 * clusters)))
        size = self.cutoffs[0] + clusters
        self.head = Linear(in_features, size, head_bias, key=next(keys), **where)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(pairwise(self.cutoffs)):
            inner = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, inner, bias=False, key=next(keys), **where),
                    Linear(inner, high - low, bias=False, key=next(keys), **where),
                )
            )

    def __call__(self, input: Array, target: Array) -> AdaptiveOutput:
        """Log-probabilities of the targets, and the loss.

        Parameters
        ----------
        input : array, shape (..., in_features)
        target : array, shape (...)
            Classes.

        Returns
        -------
        output : array, shape (...)
        loss : array, shape ()
            ``-mean(output)``.
        """
        known = self._check(input, target)
        x, classes = F.reshape(input, (-1, self.in_features)), F.reshape(target, (-1,))
        if as_dtype(classes.dtype).name not in ("int32", "int64"):  # too narrow for the cutoffs
            classes = F.astype(classes, F.int32)
        short = self.cutoffs[0]
        place, inside = F.minimum(classes, short), []
        for i, (low, high) in enumerate(pairwise(self.cutoffs)):
            here = F.logical_and(F.greater_equal(classes, low), F.less(classes, high))
            place = F.where(here, short + i, place)
            if known:
                (rows,) = F.nonzero(here)
                if rows.shape[0]:
                    own = F.take(x, rows, axis=0), F.take(classes, rows, axis=0) - low
                    inside.append(
                        F.at(F.zeros_like(x[:, 0]))[rows].add(_chosen(self.tail[i], *own))
                    )
            else:
                log_prob = _chosen(self.tail[i], x, F.where(here, classes - low, 0))
                inside.append(F.where(here, log_prob, 0.0))
        output = _chosen(self.head, x, place)
        for log_prob in inside:
            output = F.add(output, log_prob)
        output = F.reshape(output, target.shape)
        return AdaptiveOutput(output, F.negative(F.mean(output)))

    def _check(self, input: Any, target: Any) -> bool:
        """Check the operands of a call; returns whether the targets are known."""
        if as_dtype(target.dtype).kind not in ("int", "uint"):
            msg = (
                f"AdaptiveLogSoftmaxWithLoss: target must be of integer dtype; got {target.dtype}."
            )
            raise located(DTypeError(msg))
        if tuple(input.shape) != (*target.shape, self.in_features):
            msg = (
                "AdaptiveLogSoftmaxWithLoss: input must have the shape of target and in_features="
                f"{self.in_features} elements; got {tuple(input.shape)} and {tuple(target.shape)}."
            )
            raise located(ShapeError(msg))
        found = bounds_under(target)
        if found is not None and (found[0] < 0 or found[1] >= self.n_classes):
            msg = (
                "AdaptiveLogSoftmaxWithLoss: classes must be from 0 to "
                f"{self.n_classes - 1}; got {found[0]} to {found[1]}."
            )
            raise located(DimensionError(msg))
        return found is not None and _may_select(input, target)

    def log_prob(self, input: Array) -> Any:
        """Log-probabilities of all classes.

        Parameters
        ----------
        input : array, shape (..., in_features)

        Returns
        -------
        array, shape (..., n_classes)
        """
        return self._log_prob(input, self.head(input))

    def _log_prob(self, input: Any, head: Any) -> Any:
        short = self.cutoffs[0]
        log_prob = F.log_softmax(head, axis=-1)
        parts = [log_prob[..., :short]]
        for i, tail in enumerate(self.tail):
            cluster = log_prob[..., short + i : short + i + 1]
            parts.append(F.add(cluster, F.log_softmax(tail(input), axis=-1)))
        return F.concat(parts, axis=-1)

    def predict(self, input: Array) -> Any:
        """Most probable classes; as ``log_prob(input).argmax(-1)``, and often at less cost.

        Parameters
        ----------
        input : array, shape (..., in_features)

        Returns
        -------
        array of int, shape (...)
        """
        head = self.head(input)
        best = F.argmax(head, axis=-1)
        found = bounds_under(best) if best.ndim == 1 and _may_select(input, best) else None
        if found is None:
            return F.argmax(self._log_prob(input, head), axis=-1)
        if found[1] < self.cutoffs[0]:
            return best
        (rows,) = F.nonzero(F.greater_equal(best, self.cutoffs[0]))
        own = self._log_prob(F.take(input, rows, axis=0), F.take(head, rows, axis=0))
        return F.at(best)[rows].set(F.argmax(own, axis=-1))


def _may_select(x: Any, index: Any) -> bool:
    """Whether rows may be chosen by value: not of traced indices, nor where JAX would compile."""
    return type(index) is not Tracer and library_under(x).name != "jax.numpy"


def _chosen(layer: Any, x: Any, classes: Any) -> Any:
    """Log-probabilities, by a layer's logits, of one class for each row of `x`."""
    log_prob = F.log_softmax(layer(x), axis=-1)
    index = F.expand_dims(classes, axis=-1)
    return F.squeeze(F.take_along_axis(log_prob, index, axis=-1), axis=-1)
