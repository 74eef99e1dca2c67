"""Training in fewer bits: which dtype where, and losses scaled so that gradients keep theirs."""

from dataclasses import dataclass
from typing import Any

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta import tree
from volta.core.trace import located
from volta.core.types import SCALARS, as_dtype, is_inexact

__all__ = ["DynamicLossScale", "Policy", "all_finite"]


def all_finite(arrays: Any) -> Any:
    """Whether a tree holds neither infinity nor NaN.

    Parameters
    ----------
    arrays : tree of arrays
        Those that are not floating count as finite.

    Returns
    -------
    array of bool, shape ()

    Examples
    --------
    >>> volta.nn.all_finite({"a": np.ones(3), "b": np.asarray([1.0, np.inf])})
    array(False)
    """
    finite = [F.all(F.isfinite(x)) for x in tree.leaves(arrays) if _floating(x)]
    return F.all(F.stack(finite)) if finite else F.asarray(True)


def _floating(x: Any) -> bool:
    return hasattr(x, "dtype") and is_inexact(as_dtype(x.dtype))


@dataclass(frozen=True)
class Policy:
    """Dtypes of parameters, of what is computed, and of results.

    ``examples/mixed_precision.py`` trains with it.

    Parameters
    ----------
    param_dtype, compute_dtype, output_dtype : dtype
        Real floating dtypes of any library, by name for example.

    Raises
    ------
    DTypeError
        If one is no dtype.
    ValueError
        If one is not real floating.

    References
    ----------
    P. Micikevicius et al., "Mixed precision training", ICLR 2018, https://arxiv.org/abs/1710.03740.

    Examples
    --------
    >>> policy = volta.nn.Policy(compute_dtype="bfloat16")
    >>> model = volta.nn.Linear(2, 3, key=F.random.key(0))
    >>> def loss(model, x):
    ...     y = policy.cast_to_compute(model)(policy.cast_to_compute(x))
    ...     return F.sum(policy.cast_to_output(y))
    >>> volta.grad(loss)(model, np.ones((1, 2), np.float32))["bias"]  # of the parameters' dtype
    array([1., 1., 1.], dtype=float32)
    """

    param_dtype: Any = "float32"
    compute_dtype: Any = "float32"
    output_dtype: Any = "float32"

    def __post_init__(self) -> None:
        for field in ("param_dtype", "compute_dtype", "output_dtype"):
            dtype = as_dtype(getattr(self, field))
            if dtype.kind != "float":
                msg = f"Policy: {field} must be a real floating dtype; got {dtype.name}."
                raise located(ValueError(msg))
            object.__setattr__(self, field, dtype)

    def cast_to_param(self, arrays: Any) -> Any:
        """Convert the real floating arrays of a tree, a model for example, to `param_dtype`."""
        return _cast(arrays, self.param_dtype)

    def cast_to_compute(self, arrays: Any) -> Any:
        """Convert the real floating arrays of a tree to `compute_dtype`; derivatives come back."""
        return _cast(arrays, self.compute_dtype)

    def cast_to_output(self, arrays: Any) -> Any:
        """Convert the real floating arrays of a tree to `output_dtype`."""
        return _cast(arrays, self.output_dtype)


def _cast(arrays: Any, dtype: Any) -> Any:
    def cast(x: Any) -> Any:
        if type(x) in SCALARS or not hasattr(x, "dtype") or as_dtype(x.dtype).kind != "float":
            return x
        return F.astype(x, dtype, copy=False)

    return tree.map(cast, arrays)


@dataclass(frozen=True)
class DynamicLossScale:
    """Factor of a loss that keeps gradients of 16 bits from vanishing, adjusted while training.

    Where gradients were finite for `growth_interval` steps it grows, where they are not it
    shrinks, by `factor`. It never changes; `adjust` returns the next one.

    Parameters
    ----------
    value : array, shape (), or number
        The scale at the start.
    growth_interval : int
    factor : float
        Greater than 1.
    count : array of int, shape ()
        Steps since the last change.

    Raises
    ------
    ValueError
        If `factor` is not greater than 1, or `growth_interval` not positive.

    References
    ----------
    P. Micikevicius et al., "Mixed precision training", ICLR 2018, section 3.2,
    https://arxiv.org/abs/1710.03740.

    Examples
    --------
    >>> scale = volta.nn.DynamicLossScale()
    >>> grads = volta.grad(lambda w: scale.scale(F.sum(w**2)))(np.ones(2, np.float32))
    >>> scale.unscale(grads)
    array([2., 2.], dtype=float32)
    >>> float(scale.adjust(volta.nn.all_finite(np.asarray([np.inf]))).value)
    16384.0
    """

    value: Any = 2.0**15
    growth_interval: int = 2000
    factor: float = 2.0
    count: Any = 0

    def __post_init__(self) -> None:
        if (type(self.factor) is float and self.factor <= 1) or self.growth_interval < 1:
            msg = (
                "DynamicLossScale: factor must be greater than 1 and growth_interval positive; got "
                f"{self.factor} and {self.growth_interval}."
            )
            raise located(ValueError(msg))

    def scale(self, loss: Any) -> Any:
        """Multiply a loss, or a tree of arrays, by the scale."""
        return tree.map(lambda x: F.multiply(x, F.astype(F.asarray(self.value), x.dtype)), loss)

    def unscale(self, grads: Any) -> Any:
        """Divide gradients, a tree of arrays, by the scale."""
        return tree.map(lambda g: F.divide(g, F.astype(F.asarray(self.value), g.dtype)), grads)

    def adjust(self, finite: Any) -> "DynamicLossScale":
        """Scale for the next step, by whether the gradients were finite: see `all_finite`."""
        value, count = F.asarray(self.value), F.add(F.asarray(self.count), 1)
        grown = F.greater_equal(count, self.growth_interval)
        most = F.finfo(value.dtype).max / self.factor
        larger = F.where(grown, F.multiply(F.minimum(value, most), self.factor), value)
        smaller = F.maximum(F.divide(value, self.factor), F.ones_like(value))
        changed = F.logical_or(grown, F.logical_not(finite))
        return DynamicLossScale(
            F.where(finite, larger, smaller),
            self.growth_interval,
            self.factor,
            F.where(changed, F.zeros_like(count), count),
        )


tree.register_dataclass(DynamicLossScale, ["value", "count"], ["growth_interval", "factor"])
