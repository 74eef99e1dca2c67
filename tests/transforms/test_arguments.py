"""Reading arguments: leaves, positions, places in messages, modules."""

import functools

import array_api_strict as strict
import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core import tree
from volta.core.tracer import Tracer
from volta.transforms.arguments import (
    array_leaves,
    as_array,
    check_inexact,
    chosen_arguments,
    is_module,
    name_of,
    path_of,
    split_modules,
)

pytestmark = pytest.mark.core

X = np.asarray([1.0, 2.0])


class Scale:
    """What a module is to a transform: an object that comes apart into arrays."""

    def __init__(self, weight, label="scale"):
        self.weight, self.label = weight, label

    def __call__(self, x):
        return self.weight * x

    def __volta_split__(self):
        return {"weight": self.weight}, lambda parameters: Scale(parameters["weight"], self.label)


def loss(model, x):
    assert model.label == "mine"
    return F.sum(model(x) ** 2)


@pytest.mark.parametrize(
    ("fun", "name"),
    [
        (len, "len"),
        (F.sin, "sin"),
        (lambda x: x, "<lambda>"),
        (functools.partial(len), "partial"),
        (Scale(X), "Scale"),
    ],
)
def test_names_of_functions(fun, name):
    assert name_of(fun) == name


@pytest.mark.parametrize(
    ("leaf", "dtype"),
    [
        (True, "bool"),
        (1, "int64"),
        (1.0, "float32"),
        (1j, "complex64"),
        (np.float64(1), "float64"),
        (np.int8(1), "int8"),
    ],
)
def test_numbers_become_arrays(leaf, dtype):
    found = as_array(leaf, "f")
    assert (type(found), found.dtype.name, found.shape) == (np.ndarray, dtype, ())


def test_arrays_stay_what_they_are():
    s = strict.ones(2)
    assert as_array(X, "f") is X
    assert as_array(s, "f") is s
    assert as_array(volta.lift(X), "f") is X
    seen = []
    volta.grad(lambda x: seen.append((as_array(x, "f") is x, type(x))) or F.sum(x))(X)
    assert seen == [(True, Tracer)]


def test_leaves_and_structure():
    leaves, spec = array_leaves({"b": (X, 2.0), "a": None}, "f")
    assert leaves[0] is X
    assert leaves[1].dtype == np.float32
    assert spec == tree.structure({"b": (0, 0), "a": None})
    with pytest.raises(
        volta.DTypeError, match=r"^f: every leaf must be an array or a number; got str"
    ):
        array_leaves([X, "text"], "f")


@pytest.mark.parametrize("dtype", [object, "U3", "M8[s]"])
def test_arrays_of_other_things_are_refused(dtype):
    with pytest.raises(volta.DTypeError, match=r"^dtype: must be one of bool, int8"):
        volta.grad(lambda x: F.sum(x))(np.zeros(2, dtype=dtype))


def test_chosen_arguments_count_from_either_end():
    assert chosen_arguments("f", (1, 2, 3), {}, -1, None) == ((2,), ())
    assert chosen_arguments("f", (1, 2, 3), {"k": 4}, (0, -2), "k") == ((0, 1), ("k",))
    assert chosen_arguments("f", (1, 2), {"k": 4, "l": 5}, (), ["l", "k"]) == ((), ("l", "k"))


def test_paths_of_inputs():
    spec = tree.structure(({"w": [1, 2]}, 3))
    assert [path_of(spec, i) for i in range(3)] == [
        "input[0]['w'][0]",
        "input[0]['w'][1]",
        "input[1]",
    ]


@pytest.mark.parametrize(
    ("leaf", "holomorphic", "allow_int", "wanted"),
    [
        (X, False, False, True),
        (X * 1j, False, False, True),
        (X * 1j, True, False, True),
        (np.arange(2), False, True, False),
        (np.ones(2, bool), False, True, False),
    ],
)
def test_what_carries_a_derivative(leaf, holomorphic, allow_int, wanted):
    spec = tree.structure(0)
    found = check_inexact(leaf, spec, 0, "f", holomorphic=holomorphic, allow_int=allow_int)
    assert found is wanted


# Modules -----------------------------------------------------------------------------------------


def test_a_module_comes_apart_and_together_again():
    model = Scale(X, "mine")
    assert is_module(model)
    assert not is_module(X)
    parts, join = split_modules({"m": model, "x": 3})
    assert parts == {"m": {"weight": X}, "x": 3}
    again = join({"m": {"weight": X + 1}, "x": 4})
    assert again["x"] == 4
    assert again["m"].label == "mine"
    np.testing.assert_array_equal(again["m"].weight, X + 1)


def test_what_holds_no_module_is_left_alone():
    argument = {"x": X}
    found, join = split_modules(argument)
    assert found is argument
    assert join(argument) is argument


def test_grad_with_respect_to_a_module_is_a_dict():
    model = Scale(np.asarray([2.0, 3.0]), "mine")
    found = volta.grad(loss)(model, X)
    np.testing.assert_array_equal(found["weight"], 2 * model.weight * X * X)
    assert type(model.weight) is np.ndarray
    _, pulled = volta.vjp(loss, model, X)
    by_model, by_x = pulled(1.0)
    np.testing.assert_array_equal(by_model["weight"], found["weight"])
    np.testing.assert_array_equal(by_x, 2 * model.weight**2 * X)


def test_modules_inside_trees_and_by_name():
    model = Scale(np.asarray([2.0, 3.0]), "mine")
    found = volta.grad(lambda p: loss(p["m"], X))({"m": model})
    assert list(found) == ["m"]
    _, by_name = volta.grad(loss, argnums=(), argnames="model")(model=model, x=X)
    np.testing.assert_array_equal(by_name["model"]["weight"], found["m"]["weight"])


def test_modules_in_jvp_vmap_and_trace():
    model = Scale(np.asarray([2.0, 3.0]), "mine")
    direction = Scale(np.ones(2), "mine")
    _, tangent = volta.jvp(lambda m: loss(m, X), (model,), (direction,))
    assert tangent == np.sum(2 * model.weight * X * X)
    lanes = Scale(np.stack([model.weight, 2 * model.weight]), "mine")
    found = volta.vmap(lambda m: loss(m, X))(lanes)
    np.testing.assert_array_equal(found, [loss(model, X), 4 * loss(model, X)])
    staged = volta.trace(loss)(model, X)
    assert len(staged.inputs) == 2
    assert staged(model.weight, X) == loss(model, X)
