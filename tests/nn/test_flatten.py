import numpy as np
import pytest

from volta import DimensionError, nn

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
