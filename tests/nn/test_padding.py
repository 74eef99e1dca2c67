import numpy as np
import pytest

from volta import DTypeError, ShapeError, nn

pytestmark = pytest.mark.neural


def test_margins_are_named_from_the_last_axis():
    x = np.ones((1, 2, 2))
    y = nn.ConstantPad2d((1, 2, 0, 3), 5.0)(x)
    np.testing.assert_array_equal(y[0, :2], [[5, 1, 1, 5, 5]] * 2)
    np.testing.assert_array_equal(y[0, 2:], 5)
    assert y.shape == (1, 5, 5)


def test_negative_margins_take_away():
    x = np.arange(5.0).reshape(1, 5)
    np.testing.assert_array_equal(nn.ZeroPad1d((-2, 1))(x), [[2, 3, 4, 0]])
    np.testing.assert_array_equal(nn.ZeroPad1d(-1)(x), [[1, 2, 3]])
    np.testing.assert_array_equal(nn.ReplicationPad1d((-2, 2))(x), [[2, 3, 4, 4, 4]])


def test_they_say_what_they_are():
    assert repr(nn.ZeroPad1d(1)) == "ZeroPad1d(padding=(1, 1))"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.ZeroPad1d(1.5), DTypeError, "ZeroPad1d: padding must hold ints; got 1.5"),
        (lambda: nn.ZeroPad2d((1, 2)), ShapeError, r"one width or 4, two for .*; got \(1, 2\)"),
        (
            lambda: nn.ZeroPad2d(1)(np.ones((2, 2))),
            ShapeError,
            r"x must have 3 or 4 axes; got shape \(2, 2\)",
        ),
        (
            lambda: nn.ReflectionPad1d((0, 3))(np.ones((1, 3))),
            ShapeError,
            r"a margin must be at most 2 wide on an axis of 3; got \(0, 3\)",
        ),
        (
            lambda: nn.CircularPad1d(4)(np.ones((1, 3))),
            ShapeError,
            "a margin must be at most 3 wide on an axis of 3",
        ),
        (
            lambda: nn.ZeroPad1d((-4, 2))(np.ones((1, 3))),
            ShapeError,
            r"no more must be taken away than there is; got \(-4, 2\) for an axis of 3",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
