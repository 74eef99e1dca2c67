"""Shortcuts: functions of raw NumPy arrays that NumPy computes as a whole."""

import inspect
from typing import Any

import numpy as np
import pytest

import volta
from volta.core.types import Array
from volta.functional.declare import shortcut


def _counted(dtypes="fdFD"):
    calls = []

    def kernel(x, y, *, axis):
        calls.append("kernel")
        if axis == 3:
            raise ValueError(axis)
        return np.float64(1.0)

    @shortcut(kernel, dtypes)
    def function(x: Array, y: Array, /, *, axis: Any = 0) -> Any:
        """Docstring."""
        calls.append("function")
        return x * y

    return function, calls


def test_the_kernel_serves_raw_arrays_of_one_dtype():
    function, calls = _counted()
    x = np.ones(2)
    out = function(x, x, axis=1)
    assert calls == ["kernel"]
    assert type(out) is np.ndarray
    assert out.shape == ()


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.ones(2), np.ones(2, np.float32)),
        (np.ones(2, np.float16), np.ones(2, np.float16)),
        (np.ones(2, int), np.ones(2, int)),
        (np.ones(2), 2.0),
    ],
)
def test_other_operands_go_to_the_function(x, y):
    function, calls = _counted()
    function(x, y)
    assert calls == ["function"]


def test_any_dtype():
    function, calls = _counted(None)
    function(np.ones(2, int), np.ones(2))
    assert calls == ["kernel"]


def test_the_function_tells_what_the_kernel_refuses():
    function, calls = _counted()
    x = np.ones(2)
    assert function(x, x, axis=3).tolist() == [1, 1]
    assert calls == ["kernel", "function"]


@pytest.mark.parametrize("place", [0, 1])
def test_traced_operands_go_to_the_function(place):
    function, calls = _counted(None)
    x = np.ones(2)
    operands = [x, x]

    def program(t):
        operands[place] = t
        return volta.functional.sum(function(*operands))

    assert volta.grad(program)(x).tolist() == [1, 1]
    assert calls == ["function"]


def test_the_function_keeps_its_name_and_signature():
    function, _ = _counted()
    assert (function.__name__, function.__doc__) == ("function", "Docstring.")
    assert list(inspect.signature(function).parameters) == ["x", "y", "axis"]
    with pytest.raises(TypeError, match="axes"):
        function(np.ones(2), np.ones(2), axes=1)
