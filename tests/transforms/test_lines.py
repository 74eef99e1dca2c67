"""The user's lines and names, and the words in tables."""

import numpy as np
import pytest

from volta.core import tree
from volta.core.trace import here
from volta.transforms.lines import Line, argument_names, line_of, quantity, table


def test_a_line_has_file_number_and_text():
    line = line_of(*here())  # this one
    assert line.text == "line = line_of(*here())  # this one"
    assert str(line) == f"test_lines.py:{line.number}"
    assert line.file == __file__


def test_a_line_that_is_not_known():
    assert line_of(None, 0) == Line("?", 0, "")
    assert str(line_of(None, 0)) == "?"


def test_names_of_arguments():
    def fun(params, x, *rest, scale): ...

    one = np.ones(1)
    args = (({"w": one}, [one, one], one), {"scale": {"a": one}})
    _, spec = tree.flatten(args)
    named = ["params['w']", "x[0]", "x[1]", "args[2]", "scale['a']"]
    assert argument_names(fun, spec) == named
    _, spec = tree.flatten(((one,), {}))
    assert argument_names(dict.fromkeys, spec) == ["iterable"]
    assert argument_names(min, spec) == ["args[0]"]  # without a signature


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1 k"), (12345, "12.3 k"), (999_600, "1 M"), (3e9, "3 G")],
)
def test_quantities(number, text):
    assert quantity(number) == text


def test_quantities_with_a_unit():
    assert quantity(1500, "B") == "1.5 kB"
    assert quantity(12, "B") == "12 B"


def test_table():
    assert table([("a", 1), ("bcd", 100)], right=(1,)) == ["a      1", "bcd  100"]
