import numpy as np
import pytest

from volta import DimensionError, ShapeError, nn

pytestmark = pytest.mark.neural


@pytest.mark.parametrize(
    ("arguments", "shape", "flat"),
    [
        ((), (2, 3, 4), (2, 12)),
        ((), (2, 3), (2, 3)),
        ((0,), (2, 3, 4), (24,)),
        ((1, 2), (2, 3, 4, 5), (2, 12, 5)),
        ((-2, -1), (2, 3, 4), (2, 12)),
        ((), (0, 3, 4), (0, 12)),
        ((), (2, 0, 4), (2, 0)),
    ],
)
def test_shapes(arguments, shape, flat):
    x = np.arange(float(np.prod(shape))).reshape(shape)
    np.testing.assert_array_equal(nn.Flatten(*arguments)(x), x.reshape(flat))


@pytest.mark.parametrize(
    ("arguments", "shape", "got"),
    [((), (3,), r"\(3,\)"), ((2, 1), (2, 3, 4), r"\(2, 3, 4\)"), ((0, 3), (2, 3), r"\(2, 3\)")],
)
def test_axes_that_are_not_there(arguments, shape, got):
    with pytest.raises(
        DimensionError, match=rf"Flatten: the input must have axes .* to .*; got shape {got}\."
    ):
        nn.Flatten(*arguments)(np.ones(shape))


@pytest.mark.parametrize(
    ("arguments", "shape", "split"),
    [
        ((1, (3, 4)), (2, 12), (2, 3, 4)),
        ((-1, (-1, 2)), (2, 12), (2, 6, 2)),
        ((0, (2, 1)), (2, 3), (2, 1, 3)),
        ((1, (0, 4)), (2, 0), (2, 0, 4)),
    ],
)
def test_axes_are_split(arguments, shape, split):
    x = np.arange(float(np.prod(shape))).reshape(shape)
    np.testing.assert_array_equal(nn.Unflatten(*arguments)(x), x.reshape(split))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((2, (3,)), DimensionError, r"Unflatten: the input must have axis 2; got shape \(2, 12\)"),
        ((1, (5, -1)), ShapeError, r"multiply to the length of axis 1; got \(5, -1\) and shape"),
        ((1, (3, 3)), ShapeError, r"got \(3, 3\) and shape \(2, 12\)"),
        ((1, (-1, -1)), ShapeError, r"got \(-1, -1\)"),
        ((1, (-2, -6)), ShapeError, r"got \(-2, -6\)"),
    ],
)
def test_axes_that_cannot_be_split(arguments, error, message):
    with pytest.raises(error, match=message):
        nn.Unflatten(*arguments)(np.ones((2, 12)))
