"""`pattern`: what it takes and refuses, and how quick it is."""

import sys
import time

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.sparse import pattern

X = np.ones(3)


def tridiagonal(x):
    y = -2.0 * x
    y[1:] = y[1:] + x[:-1] ** 2
    y[:-1] = y[:-1] + x[1:] ** 2
    return F.exp(y)


def test_a_long_pattern_is_found_quickly():
    start = time.perf_counter()
    found = pattern(tridiagonal)(np.ones(10_000))
    assert time.perf_counter() - start < 2
    assert found.nnz == 29_998
    assert found.dtype == bool
    assert type(found).__name__ == "csr_array"


def test_axes_are_flattened_in_order():
    found = pattern(lambda x: F.sum(x, axis=1))(np.ones((2, 3)))
    assert found.toarray().astype(int).tolist() == [[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]


def test_known_values_are_computed_from_constants():
    weights = np.asarray([0.0, 1.0, 2.0])
    found = pattern(lambda x: x * F.sin(F.zeros(3) + weights) * (F.asarray(weights) > 1))(
        np.ones(3)
    )
    assert found.toarray().astype(int).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_constants_of_another_trace_are_not_known():
    def outer(w):
        found.append(pattern(lambda x: x * w)(np.ones(2)).toarray().tolist())
        return F.sum(w)

    found = []
    volta.grad(outer)(np.zeros(2))
    assert found == [[[True, False], [False, True]]]


def test_other_libraries():
    torch = pytest.importorskip("torch")
    index = torch.tensor([1, 0])
    found = pattern(lambda x: x[index] * torch.tensor([1.0, 0.0]))(torch.ones(2))
    assert found.toarray().tolist() == [[False, True], [False, False]]
    found = pattern(lambda x: F.relu(x), local=True)(torch.tensor([1.0, -1.0]))
    assert found.toarray().tolist() == [[True, False], [False, False]]


def test_empty_arrays():
    assert pattern(lambda x: x * 2.0)(np.ones(0)).shape == (0, 0)
    assert pattern(lambda x: F.concat([x, np.ones(2)]))(np.ones(0)).shape == (2, 0)
    assert pattern(lambda x: F.sum(x[:0]))(np.ones(2)).nnz == 0


def test_reading_a_value_needs_a_point():
    def branches(x):
        return x if x[0] > 0 else -x

    with pytest.raises(volta.TraceError, match="needs a concrete value"):
        pattern(branches)(np.ones(2))
    assert pattern(branches, local=True)(np.ones(2)).nnz == 2


@pytest.mark.parametrize("local", [False, True])
def test_one_real_array_in_and_one_out(local):
    def refused(error, message, fun, x):
        with pytest.raises(error, match=message):
            pattern(fun, local=local)(x)

    x = np.ones(2)
    message = r"^pattern\(sin\): takes one array; got dict\. Concatenate the arrays of a tree\."
    refused(TypeError, message, F.sin, {"x": x})
    message = r"^pattern\(sin\): the input must be real floating; got complex128\."
    refused(volta.DTypeError, message, F.sin, x + 0j)
    message = r"^pattern\(pair\): the function must return one array; got tuple\."

    def pair(x):
        return x, x

    refused(TypeError, message, pair, x)
    message = r"^pattern\(two\): the function must return one array; got float\."

    def two(x):
        return 2.0

    refused(TypeError, message, two, x)
    message = r"^pattern\(real\): the result must be real floating; got bool\."

    def real(x):
        return x > 0

    refused(volta.DTypeError, message, real, x)


def test_scipy_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    message = r"^sparse: SciPy must be installed; got none\. Install it with pip install scipy\."
    with pytest.raises(ImportError, match=message):
        pattern(F.sin)(np.ones(2))
