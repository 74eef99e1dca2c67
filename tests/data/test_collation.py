"""Samples put together."""

import array_api_strict
import numpy as np
import pytest

from volta.core.errors import DTypeError, ShapeError
from volta.data import collate


def test_samples_keep_structure_library_and_dtype():
    torch = pytest.importorskip("torch")
    samples = [{"a": (np.int8(i), torch.ones(2) * i), "b": [np.full((1, 2), i)]} for i in range(3)]
    batch = collate(samples)
    assert batch["a"][0].tolist() == [0, 1, 2]
    assert batch["a"][0].dtype == np.int8
    assert isinstance(batch["a"][1], torch.Tensor)
    assert batch["a"][1].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert batch["b"][0].shape == (3, 1, 2)


def test_a_batch_is_a_copy():
    sample = np.zeros(2)
    collate([sample])[:] = 1
    assert sample.tolist() == [0, 0]


def test_numbers_meet_in_the_widest_kind():
    assert collate([True, 2]).dtype == np.int64
    assert collate([1, 2.5]).dtype == np.float32
    assert collate([1.0, 2j]).dtype == np.complex64
    assert collate([True, False]).dtype == np.bool


def test_no_samples():
    with pytest.raises(ShapeError, match=r"^collate: there must be a sample; got none"):
        collate([])


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        (
            [(1, 2), (1, 2, 3)],
            ShapeError,
            r"all samples must have one structure; got PyTreeSpec\(\(\*, \*\).* and PyTreeSpec",
        ),
        (
            [{"x": np.ones(2), "y": 0}, {"x": np.ones(3), "y": 0}],
            ShapeError,
            r"must have one library, dtype and shape; got numpy float64 \(2,\) and numpy float64 "
            r"\(3,\) at \['x'\]. Give DataLoader a collate",
        ),
        (
            ([np.ones(2), np.ones(2, np.float32)]),
            ShapeError,
            r"got numpy float32 \(2,\) and numpy float64 \(2,\) at the top",
        ),
        (
            ([np.ones(2), array_api_strict.ones(2)]),
            ShapeError,
            r"got array_api_strict .* and numpy float64 \(2,\) at the top",
        ),
        (
            [(np.ones(2), "a"), (np.ones(2), "b")],
            DTypeError,
            r"must be all arrays or all numbers; got str at \[1\]. Give DataLoader a collate",
        ),
        (([np.ones(()), 1.0]), DTypeError, "got float, ndarray at the top"),
    ],
)
def test_samples_that_do_not_stack(samples, error, message):
    with pytest.raises(error, match=r"^collate: .*" + message):
        collate(list(samples))
