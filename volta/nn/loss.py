"""Losses as layers: they keep options, and weights as buffers, and call the function."""

from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.types import Array
from volta.functional.loss_reduction import check_reduction
from volta.nn.module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PairwiseDistance",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


def _checked(loss: Module, reduction: str, *more: str) -> str:
    check_reduction(type(loss).__name__, reduction, *more)
    return reduction


class MSELoss(Module):
    """Squared error: `functional.mse_loss`.

    Parameters
    ----------
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> volta.nn.MSELoss()(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0]))
    array(2.)
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = _checked(self, reduction)

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of `input` and `target`, of one shape, as the function has it."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(Module):
    """Absolute error: `functional.l1_loss`.

    Parameters
    ----------
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> volta.nn.L1Loss()(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0]))
    array(1.)
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = _checked(self, reduction)

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of `input` and `target`, of one shape, as the function has it."""
        return F.l1_loss(input, target, reduction=self.reduction)


class HuberLoss(Module):
    """Squared error near to the target, absolute error far from it: `functional.huber_loss`.

    Parameters
    ----------
    reduction : "mean", "sum" or "none"
    delta : float
        Where the one becomes the other.

    Examples
    --------
    >>> volta.nn.HuberLoss()(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0]))
    array(0.75)
    """

    def __init__(self, *, reduction: str = "mean", delta: float = 1.0) -> None:
        self.reduction = _checked(self, reduction)
        self.delta = delta

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of `input` and `target`, of one shape, as the function has it."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class SmoothL1Loss(Module):
    """Absolute error, squared near to the target: `functional.smooth_l1_loss`.

    Parameters
    ----------
    reduction : "mean", "sum" or "none"
    beta : float
        Up to which difference the error is squared.

    Examples
    --------
    >>> volta.nn.SmoothL1Loss()(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0]))
    array(0.75)
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        self.reduction = _checked(self, reduction)
        self.beta = beta

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of `input` and `target`, of one shape, as the function has it."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class PoissonNLLLoss(Module):
    """Negative log likelihood of counts: `functional.poisson_nll_loss`.

    Parameters
    ----------
    log_input : bool
        Whether the input holds logarithms of rates.
    full : bool
        Whether to add Stirling's approximation.
    eps : float
        Added to rates before their logarithm is taken.
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> volta.nn.PoissonNLLLoss()(np.asarray([0.0, 1.0]), np.asarray([1.0, 2.0]))
    array(0.85914091)
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        *,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        self.log_input = log_input
        self.full = full
        self.eps = eps
        self.reduction = _checked(self, reduction)

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of `input` and `target`, of one shape, as the function has it."""
        return F.poisson_nll_loss(
            input,
            target,
            log_input=self.log_input,
            full=self.full,
            eps=self.eps,
            reduction=self.reduction,
        )


class GaussianNLLLoss(Module):
    """Negative log likelihood of normal distributions: `functional.gaussian_nll_loss`.

    Parameters
    ----------
    full : bool
        Whether to add the constant.
    eps : float
        Smallest variance that is used.
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> volta.nn.GaussianNLLLoss()(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0]), np.ones(2))
    array(1.)
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        self.full = full
        self.eps = eps
        self.reduction = _checked(self, reduction)

    def __call__(self, input: Array, target: Array, var: Any) -> Any:
        """Loss of means `input`, numbers `target` and variances `var`, as the function has it."""
        return F.gaussian_nll_loss(
            input, target, var, full=self.full, eps=self.eps, reduction=self.reduction
        )


class CrossEntropyLoss(Module):
    """Cross entropy between class scores and targets: `functional.cross_entropy`.

    Parameters
    ----------
    weight : array, optional
        Factors; a buffer.
    ignore_index : int
        Class number whose places do not count.
    reduction : "mean", "sum" or "none"
    label_smoothing : float
        Share of the target spread evenly over the classes.

    Examples
    --------
    >>> volta.nn.CrossEntropyLoss()(np.zeros((1, 2)), np.asarray([1]))
    array(0.69314718)
    """

    weight: Array | None

    def __init__(
        self,
        weight: Array | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = _checked(self, reduction)
        self.label_smoothing = label_smoothing

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of logits `input` and classes or probabilities `target`, as the function has it."""
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(Module):
    """Negative log likelihood of classes: `functional.nll_loss`.

    Parameters
    ----------
    weight : array, optional
        Factors; a buffer.
    ignore_index : int
        Class number whose places do not count.
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> volta.nn.NLLLoss()(np.log([[0.25, 0.75]]), np.asarray([1]))
    array(0.28768207)
    """

    weight: Array | None

    def __init__(
        self, weight: Array | None = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = _checked(self, reduction)

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of log probabilities `input` and classes `target`, as the function has it."""
        return F.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class BCELoss(Module):
    """Cross entropy of probabilities of an event: `functional.binary_cross_entropy`.

    Parameters
    ----------
    weight : array, optional
        Factors; a buffer.
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> volta.nn.BCELoss()(np.asarray([0.5]), np.asarray([1.0]))
    array(0.69314718)
    """

    weight: Array | None

    def __init__(self, weight: Array | None = None, *, reduction: str = "mean") -> None:
        self.register_buffer("weight", weight)
        self.reduction = _checked(self, reduction)

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of probabilities `input` and `target`, as the function has it."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Module):
    """Cross entropy of logits: `functional.binary_cross_entropy_with_logits`.

    Parameters
    ----------
    weight : array, optional
        Factors; a buffer.
    reduction : "mean", "sum" or "none"
    pos_weight : array, optional
        Factors for the part of the events; a buffer.

    Examples
    --------
    >>> volta.nn.BCEWithLogitsLoss()(np.asarray([0.0]), np.asarray([1.0]))
    array(0.69314718)
    """

    weight: Array | None
    pos_weight: Array | None

    def __init__(
        self,
        weight: Array | None = None,
        *,
        reduction: str = "mean",
        pos_weight: Array | None = None,
    ) -> None:
        self.register_buffer("weight", weight)
        self.reduction = _checked(self, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of logits `input` and probabilities `target`, as the function has it."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(Module):
    """Kullback–Leibler divergence of log probabilities: `functional.kl_div`.

    Parameters
    ----------
    reduction : "mean", "batchmean", "sum" or "none"
    log_target : bool
        Whether the target holds logarithms.

    Examples
    --------
    >>> p, q = np.asarray([[0.5, 0.5]]), np.asarray([[0.25, 0.75]])
    >>> volta.nn.KLDivLoss(reduction="batchmean")(np.log(p), q)
    array(0.13081204)
    """

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        self.reduction = _checked(self, reduction, "batchmean")
        self.log_target = log_target

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of log probabilities `input` and probabilities `target`, as the function has it."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class HingeEmbeddingLoss(Module):
    """Distances of what is alike, and what others lack: `functional.hinge_embedding_loss`.

    Parameters
    ----------
    margin : float
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> volta.nn.HingeEmbeddingLoss()(np.asarray([0.5, 0.75]), np.asarray([1.0, -1.0]))
    array(0.375)
    """

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        self.margin = margin
        self.reduction = _checked(self, reduction)

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of distances `input` and labels `target`, as the function has it."""
        return F.hinge_embedding_loss(input, target, margin=self.margin, reduction=self.reduction)


class MarginRankingLoss(Module):
    """What scores lack to be in order: `functional.margin_ranking_loss`.

    Parameters
    ----------
    margin : float
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> x, y = np.asarray([1.0, 2.0]), np.asarray([3.0, 0.0])
    >>> volta.nn.MarginRankingLoss()(x, y, np.ones(2))
    array(1.)
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        self.margin = margin
        self.reduction = _checked(self, reduction)

    def __call__(self, input1: Array, input2: Array, target: Array) -> Any:
        """Loss of scores `input1` and `input2` and labels `target`, as the function has it."""
        return F.margin_ranking_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class SoftMarginLoss(Module):
    """Logistic loss of labels 1 and −1: `functional.soft_margin_loss`.

    Parameters
    ----------
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> volta.nn.SoftMarginLoss()(np.asarray([0.0]), np.asarray([1.0]))
    array(0.69314718)
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = _checked(self, reduction)

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of scores `input` and labels `target`, as the function has it."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelMarginLoss(Module):
    """What the scores of the right classes lack to the others: `functional.multilabel_margin_loss`.

    Parameters
    ----------
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> x, y = np.asarray([[0.1, 0.2, 0.4, 0.8]]), np.asarray([[3, 0, -1, 1]])
    >>> volta.nn.MultiLabelMarginLoss()(x, y)
    array(0.85)
    """

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = _checked(self, reduction)

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of scores `input` and classes `target`, as the function has it."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(Module):
    """Mean over classes of the cross entropy of each: `functional.multilabel_soft_margin_loss`.

    Parameters
    ----------
    weight : array, optional
        Factors; a buffer.
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> volta.nn.MultiLabelSoftMarginLoss()(np.zeros((1, 2)), np.asarray([[1.0, 0.0]]))
    array(0.69314718)
    """

    weight: Array | None

    def __init__(self, weight: Array | None = None, *, reduction: str = "mean") -> None:
        self.register_buffer("weight", weight)
        self.reduction = _checked(self, reduction)

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of logits `input` and `target`, as the function has it."""
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class MultiMarginLoss(Module):
    """What the score of the right class lacks to the others: `functional.multi_margin_loss`.

    Parameters
    ----------
    p : 1 or 2
        Power.
    margin : float
    weight : array, optional
        Factors; a buffer.
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> volta.nn.MultiMarginLoss()(np.asarray([[0.1, 0.2, 0.4, 0.8]]), np.asarray([3]))
    array(0.325)
    """

    weight: Array | None

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Array | None = None,
        *,
        reduction: str = "mean",
    ) -> None:
        self.p = p
        self.margin = margin
        self.register_buffer("weight", weight)
        self.reduction = _checked(self, reduction)

    def __call__(self, input: Array, target: Array) -> Any:
        """Loss of scores `input` and classes `target`, as the function has it."""
        return F.multi_margin_loss(
            input,
            target,
            p=self.p,
            margin=self.margin,
            weight=self.weight,
            reduction=self.reduction,
        )


class CosineEmbeddingLoss(Module):
    """Cosines of like vectors, and of others above a margin: `functional.cosine_embedding_loss`.

    Parameters
    ----------
    margin : float
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> x, y = np.asarray([[3.0, 4.0]]), np.asarray([[4.0, 3.0]])
    >>> volta.nn.CosineEmbeddingLoss()(x, y, np.asarray([1]))
    array(0.04)
    """

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        self.margin = margin
        self.reduction = _checked(self, reduction)

    def __call__(self, input1: Array, input2: Array, target: Array) -> Any:
        """Loss of vectors `input1` and `input2` and labels `target`, as the function has it."""
        return F.cosine_embedding_loss(
            input1, input2, target, margin=self.margin, reduction=self.reduction
        )


class TripletMarginLoss(Module):
    """What a distance lacks to another and a margin: `functional.triplet_margin_loss`.

    Parameters
    ----------
    margin : float
    p : float
        Which norm.
    eps : float
        Added to each difference.
    swap : bool
        Whether the negative's distance to the positive may count.
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> a, p, n = (np.asarray([[x, 0.0]]) for x in (0.0, 2.0, 1.5))
    >>> volta.nn.TripletMarginLoss(eps=0.0)(a, p, n)
    array(1.5)
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None:
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap
        self.reduction = _checked(self, reduction)

    def __call__(self, anchor: Array, positive: Array, negative: Array) -> Any:
        """Loss of examples `anchor`, `positive` and `negative`, as the function has it."""
        return F.triplet_margin_loss(
            anchor,
            positive,
            negative,
            margin=self.margin,
            p=self.p,
            eps=self.eps,
            swap=self.swap,
            reduction=self.reduction,
        )


class TripletMarginWithDistanceLoss(Module):
    """`TripletMarginLoss` with any distance: `functional.triplet_margin_with_distance_loss`.

    Parameters
    ----------
    distance_function : callable, optional
        By default `functional.pairwise_distance`.
    margin : float
    swap : bool
        Whether the negative's distance to the positive may count.
    reduction : "mean", "sum" or "none"

    Examples
    --------
    >>> a, p, n = (np.asarray([[x, 0.0]]) for x in (0.0, 2.0, 1.5))
    >>> l1 = lambda x, y: F.sum(F.abs(x - y), axis=-1)
    >>> volta.nn.TripletMarginWithDistanceLoss(distance_function=l1)(a, p, n)
    array(1.5)
    """

    def __init__(
        self,
        *,
        distance_function: Any = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        self.distance_function = distance_function
        self.margin = margin
        self.swap = swap
        self.reduction = _checked(self, reduction)

    def __call__(self, anchor: Array, positive: Array, negative: Array) -> Any:
        """Loss of examples `anchor`, `positive` and `negative`, as the function has it."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class CTCLoss(Module):
    """Negative log likelihood of labels without an alignment: `functional.ctc_loss`.

    Parameters
    ----------
    blank : int
        Class that stands for no label.
    reduction : "mean", "sum" or "none"
    zero_infinity : bool
        Whether infinite losses count as 0.

    Examples
    --------
    >>> log_probs = np.log(np.full((3, 1, 2), 0.5))
    >>> volta.nn.CTCLoss()(log_probs, np.asarray([[1]]), (3,), (1,))
    array(0.28768207)
    """

    def __init__(
        self, blank: int = 0, *, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        self.blank = blank
        self.reduction = _checked(self, reduction)
        self.zero_infinity = zero_infinity

    def __call__(
        self, log_probs: Array, targets: Array, input_lengths: Any, target_lengths: Any
    ) -> Any:
        """Loss of `log_probs` and `targets`, of which the lengths count, as the function has it."""
        return F.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            blank=self.blank,
            reduction=self.reduction,
            zero_infinity=self.zero_infinity,
        )


class CosineSimilarity(Module):
    """Cosine of the angle between vectors: `functional.cosine_similarity`.

    Parameters
    ----------
    axis : int
    eps : float
        Smallest length that is divided by.

    Examples
    --------
    >>> volta.nn.CosineSimilarity()(np.asarray([[3.0, 4.0]]), np.asarray([[4.0, 3.0]]))
    array([0.96])
    """

    def __init__(self, axis: int = 1, eps: float = 1e-8) -> None:
        self.axis = axis
        self.eps = eps

    def __call__(self, x1: Array, x2: Array) -> Any:
        """Compare the vectors of `x1` and `x2`."""
        return F.cosine_similarity(x1, x2, axis=self.axis, eps=self.eps)


class PairwiseDistance(Module):
    """Distances between vectors along the last axis: `functional.pairwise_distance`.

    Parameters
    ----------
    p : float
        Which norm.
    eps : float
        Added to each difference.
    keepdims : bool
        Whether the last axis stays.

    Examples
    --------
    >>> volta.nn.PairwiseDistance(eps=0.0)(np.asarray([3.0, 4.0]), np.zeros(2))
    array(5.)
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False) -> None:
        self.p = p
        self.eps = eps
        self.keepdims = keepdims

    def __call__(self, x1: Array, x2: Array) -> Any:
        """Compare the vectors of `x1` and `x2`."""
        return F.pairwise_distance(x1, x2, p=self.p, eps=self.eps, keepdims=self.keepdims)
