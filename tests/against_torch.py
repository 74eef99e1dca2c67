"""Functions against PyTorch's: results, all gradients and second derivatives, in two dtypes.

PyTorch computes in 64 bits what it is compared with, so no error of its own is allowed for.
"""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from strategies import leaves, library

import volta

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


# How far a result may be off: (expected, dtype, sizes, counts) -> a limit for each element --------


def of_largest(expected, dtype, *_):
    """Relative to the largest element, which the rounding of sums is."""
    finite = np.where(np.isfinite(expected), expected, 0)
    return TOLERANCE[dtype] * np.max(np.abs(finite), initial=0.1)


def of_each(expected, dtype, *_):
    """Relative to the element itself; near a zero an ulp of 1, which terms that cancel leave."""
    return TOLERANCE[dtype] * np.abs(expected) + np.finfo(dtype).eps


def of_terms(_expected, dtype, sizes, counts):
    """That of a sum of K products, 4 √K eps Σ|a||b|."""
    return 4 * np.sqrt(np.maximum(counts, 1)) * np.finfo(dtype).eps * np.abs(sizes)


def assert_within(found, expected, dtype, limit):
    """Shape, dtype and values; infinities and NaN where they are expected."""
    assert found.shape == expected.shape
    assert found.dtype == np.dtype(dtype)
    with np.errstate(all="ignore"):
        wrong = ~((found == expected) | (np.isnan(found) & np.isnan(expected)))
        wrong &= ~(np.abs(found - expected) <= limit)
    if np.any(wrong):
        at = tuple(np.argwhere(wrong)[0])
        pytest.fail(f"{found[at]!r}, expected {expected[at]!r} at {at}\n{found}\n{expected}")


def assert_near(found, expected, dtype):
    assert_within(found, expected, dtype, of_largest(expected, dtype))


# Functions ----------------------------------------------------------------------------------------


def torchs(fun, arrays, cts):
    """PyTorch's results in 64 bits, and the gradients for cotangents of them."""
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(np.array(a, "float64")).requires_grad_(True) for a in arrays]
    out = leaves(fun(*tensors))
    assert [tuple(o.shape) for o in out] == [c.shape for c in cts]
    cts = [torch.from_numpy(np.array(c, "float64")) for c in cts]
    grads = torch.autograd.grad(out, tensors, cts, allow_unused=True)
    grads = [
        np.zeros(a.shape) if g is None else g.numpy() for g, a in zip(grads, arrays, strict=True)
    ]
    return [*(o.detach().numpy() for o in out), *grads]


def assert_like_torch(
    ours, theirs, arrays, dtype, lib="numpy", limit=of_largest, layout=np.asarray
):
    """Assert that two functions of floating arrays have the same results and gradients.

    For `of_terms` they are linear in each array: of the absolute values they are the sums of the
    absolute terms, and of ones the numbers of terms.
    """
    lib = library(lib)
    arrays = [a.astype(dtype) for a in arrays]
    own = [layout(a) if lib.name == "numpy" else lib.asarray(a) for a in arrays]
    out, pull = volta.vjp(ours, *own)
    rng = np.random.default_rng(11)
    cts = [rng.normal(size=tuple(o.shape)).astype(dtype) for o in leaves(out)]
    given = tuple(map(lib.asarray, cts))
    found = [*leaves(out), *pull(given if isinstance(out, tuple) else given[0])]
    wanted = torchs(theirs, arrays, cts)
    sizes = counts = [None] * len(wanted)
    if limit is of_terms:
        sizes = torchs(theirs, [np.abs(a) for a in arrays], [np.abs(c) for c in cts])
        counts = torchs(theirs, [np.ones(a.shape) for a in arrays], [np.ones(c.shape) for c in cts])
    for mine, other, size, count in zip(found, wanted, sizes, counts, strict=True):
        mine = np.asarray(lib.host(mine))
        assert_within(mine, other, dtype, limit(other, dtype, size, count))


def assert_second_derivatives(fun, arrays):
    """Derivatives of results and gradients along a direction against differences, in 64 bits."""
    rng = np.random.default_rng(12)
    weights = [rng.normal(size=o.shape) for o in leaves(fun(*arrays))]
    along = tuple(rng.normal(size=a.shape) for a in arrays)

    def both(*arrays):
        out, pull = volta.vjp(fun, *arrays)
        return (*leaves(out), *pull(tuple(weights) if isinstance(out, tuple) else weights[0]))

    _, found = volta.jvp(both, tuple(arrays), along)
    h = 2e-6
    ahead, behind = (
        both(*(a + step * t for a, t in zip(arrays, along, strict=True))) for step in (h, -h)
    )
    for mine, a, b in zip(found, ahead, behind, strict=True):
        wanted = (a - b) / (2 * h)
        scale = np.max(np.abs(wanted), initial=1.0)
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-6 * scale)


# What is drawn, and how often ---------------------------------------------------------------------

twice_as_often = settings(max_examples=2 * settings.default.max_examples)
layouts = st.sampled_from(
    [
        np.asarray,
        lambda x: np.asarray(x, order="F"),
        lambda x: np.repeat(x[..., None], 2, axis=-1)[..., 0],  # every second element
        lambda x: np.flip(np.flip(x).copy()),  # backwards
    ]
)
