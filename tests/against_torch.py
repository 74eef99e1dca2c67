"""Functions against PyTorch's: results and all gradients, in two dtypes and on two libraries."""

import numpy as np
import pytest
from strategies import leaves, library

import volta

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def assert_near(found, expected, dtype):
    """Relative to the largest element, which the rounding of sums is."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype == np.dtype(dtype)
    scale = np.max(np.abs(expected), initial=0.1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


def assert_like_torch(ours, theirs, arrays, dtype, lib="numpy"):
    """Assert that two functions of floating arrays have the same results and gradients."""
    torch = pytest.importorskip("torch")
    lib = library(lib)
    arrays = [a.astype(dtype) for a in arrays]
    tensors = [torch.from_numpy(a.copy()).requires_grad_(True) for a in arrays]
    expected = leaves(theirs(*tensors))
    out, pull = volta.vjp(ours, *map(lib.asarray, arrays))
    rng = np.random.default_rng(11)
    cts = [rng.normal(size=tuple(e.shape)).astype(dtype) for e in expected]
    for found, wanted in zip(leaves(out), expected, strict=True):
        assert_near(np.asarray(lib.host(found)), wanted.detach().numpy(), dtype)
    ct = tuple(map(lib.asarray, cts))
    found = pull(ct if isinstance(out, tuple) else ct[0])
    wanted = torch.autograd.grad(
        expected, tensors, [torch.from_numpy(c) for c in cts], allow_unused=True
    )
    for mine, other, a in zip(found, wanted, arrays, strict=True):
        other = np.zeros_like(a) if other is None else other.numpy()
        assert_near(np.asarray(lib.host(mine)), other, dtype)
