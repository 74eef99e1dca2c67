"""Trees: JAX's names over optree, and the differentiable move."""

import collections
import dataclasses

import array_api_strict as strict
import numpy as np
import pytest

import volta
import volta.functional as F
from volta import tree

pytestmark = pytest.mark.core

Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Pair:
    left: object
    right: object
    label: str = ""


class Fixed:
    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"Fixed({self.value})"

    def __eq__(self, other):
        return type(other) is Fixed and self.value == other.value

    def __hash__(self):
        return hash(self.value)


class Custom:
    def __init__(self, inside, label):
        self.inside, self.label = inside, label


tree.register_dataclass(Pair, ("left", "right"), ("label",))
tree.register_static(Fixed)
tree.register_pytree_node(Custom, lambda c: ((c.inside,), c.label), lambda a, c: Custom(c[0], a))


@pytest.mark.parametrize(
    "example",
    [
        1,
        (),
        (1, 2),
        [1, [2, 3]],
        {"b": 1, "a": (2,)},
        Point(1, [2]),
        None,
        {"a": None, "b": ()},
        collections.OrderedDict([("b", 1), ("a", 2)]),
        collections.defaultdict(list, {"b": 1, "a": 2}),
        collections.deque([1, 2]),
        Pair(1, (2, 3), "name"),
        {"fixed": Fixed(3), "x": 1},
    ],
    ids=str,
)
def test_flatten_and_unflatten_are_inverse(example):
    leaves, treedef = tree.flatten(example)
    again = tree.unflatten(treedef, leaves)
    assert again == example
    assert type(again) is type(example)
    assert tree.structure(again) == treedef
    assert tree.leaves(example) == leaves


def test_dicts_are_read_in_the_order_of_their_keys():
    assert tree.leaves({"b": 1, "a": 2}) == [2, 1]
    assert tree.leaves({2: "two", 10: "ten", 1: "one"}) == ["one", "two", "ten"]


def test_none_is_an_empty_node():
    assert tree.leaves([None, 1, None]) == [1]
    assert tree.map(lambda x: x + 1, {"a": None, "b": 1}) == {"a": None, "b": 2}


def test_registered_classes_are_nodes():
    doubled = tree.map(lambda x: 2 * x, Pair(1, Custom([2], "c"), "p"))
    assert (doubled.left, doubled.right.inside, doubled.label) == (2, [4], "p")
    assert doubled.right.label == "c"


def test_static_nodes_are_part_of_the_structure():
    assert tree.structure(Fixed(1)) != tree.structure(Fixed(2))
    assert tree.leaves(Fixed(1)) == []


def test_map_over_several_trees():
    assert tree.map(lambda a, b: (a, b), [1, 2], [3, {"x": 4}]) == [(1, 3), (2, {"x": 4})]
    with pytest.raises(ValueError, match="arity mismatch"):
        tree.map(lambda a, b: a, (1, 2), (3,))


def test_is_leaf_stops_the_walk():
    pairs = [(1, 2), (3, 4)]
    assert tree.map(sum, pairs, is_leaf=lambda x: isinstance(x, tuple)) == [3, 7]
    assert tree.leaves(pairs, is_leaf=lambda x: isinstance(x, tuple)) == pairs


def test_paths():
    example = {"layers": [Point(1, 2), Pair(3, 4)]}
    found = {
        tree.keystr(path, simple=True, separator="."): leaf
        for path, leaf in tree.leaves_with_path(example)
    }
    assert found == {"layers.0.0": 1, "layers.0.1": 2, "layers.1.left": 3, "layers.1.right": 4}
    paths, treedef = tree.flatten_with_path(example)
    assert treedef == tree.structure(example)
    assert tree.keystr(paths[0][0]).startswith("['layers'][0]")


def test_map_with_path():
    named = tree.map_with_path(lambda path, x: (tree.keystr(path), x), {"a": [1]})
    assert named == {"a": [("['a'][0]", 1)]}


def test_reduce_all_and_transpose():
    assert tree.reduce(lambda a, b: a + b, [1, (2, 3)]) == 6
    assert tree.reduce(lambda a, b: a + b, [1, (2, 3)], 10) == 16
    assert tree.all([True, (True,)])
    assert not tree.all([True, (False,)])
    outer, inner = tree.structure([0, 0]), tree.structure((0, 0, 0))
    assert tree.transpose(outer, inner, [(1, 2, 3), (4, 5, 6)]) == ([1, 4], [2, 5], [3, 6])


def test_registration_is_volta_s_own():
    import optree

    assert optree.tree_leaves(Fixed(1)) == [Fixed(1)]


# The move --------------------------------------------------------------------------------------


def test_to_converts_floating_arrays_only():
    moved = tree.to(
        {"w": np.ones(2), "n": np.arange(2), "z": np.ones(1, np.complex64), "k": 3}, dtype=F.float32
    )
    assert moved["w"].dtype == np.float32
    assert moved["n"].dtype == np.int64
    assert moved["z"].dtype == np.complex64
    assert moved["k"] == 3


def test_to_moves_between_libraries_and_back():
    there = tree.to({"w": np.arange(3.0)}, xp=strict)
    assert type(there["w"]) is type(strict.asarray(0))
    back = tree.to(there, xp=np, dtype="float32")
    assert type(back["w"]) is np.ndarray
    np.testing.assert_array_equal(back["w"], np.arange(3.0, dtype=np.float32))


def test_to_without_arguments_changes_nothing():
    x = np.ones(2)
    assert tree.to([x])[0] is x


@pytest.mark.grad_check
def test_to_is_differentiable_and_moves_back():
    torch = pytest.importorskip("torch")
    weight = torch.tensor([3.0, 4.0])

    def loss(x):
        there = tree.to(x, xp=torch, dtype=torch.float32)
        return F.sum(tree.to(there * weight, xp=np, dtype=np.float64) * np.asarray([1.0, 10.0]))

    gradient = volta.grad(loss)(np.asarray([1.0, 2.0]))
    assert type(gradient) is np.ndarray
    assert gradient.dtype == np.float64
    np.testing.assert_array_equal(gradient, [3.0, 40.0])
    tangent = volta.jvp(loss, (np.ones(2),), (np.asarray([1.0, 0.0]),))[1]
    assert type(tangent) is np.ndarray
    assert float(tangent) == 3.0


@pytest.mark.grad_check
def test_to_moves_a_second_derivative_too():
    torch = pytest.importorskip("torch")
    slope = volta.grad(lambda x: tree.to(tree.to(x, xp=torch) ** 3, xp=np))
    second = volta.grad(slope)(np.asarray(2.0))
    assert type(second) is np.ndarray
    assert float(second) == 12.0


def test_to_refuses_what_is_no_namespace():
    with pytest.raises(volta.DeviceError, match=r"^xp: must be an array namespace such as numpy"):
        tree.to(np.ones(2), xp=collections)


def test_to_refuses_a_dtype_the_library_lacks():
    with pytest.raises(volta.DTypeError, match=r"dtype: array_api_strict must have the dtype"):
        tree.to(np.ones(2), xp=strict, dtype=F.bfloat16)


@pytest.mark.parametrize(
    "register",
    [
        lambda: tree.register_static(Fixed),
        lambda: tree.register_dataclass(Pair, ["left"], ["right", "label"]),
        lambda: tree.register_pytree_node(Custom, lambda c: ((), None), lambda a, c: None),
    ],
)
def test_a_class_is_registered_once(register):
    with pytest.raises(ValueError, match="already registered"):
        register()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: tree.unflatten(tree.structure([0, 0]), [1]), ValueError),
        (lambda: tree.unflatten(tree.structure([0]), [1, 2]), ValueError),
        (lambda: tree.transpose(tree.structure([0]), tree.structure((0,)), [(1, 2)]), TypeError),
        (lambda: tree.reduce(max, []), TypeError),
    ],
)
def test_structures_must_fit(call, error):
    with pytest.raises(error, match=r"."):
        call()


# One vector ---------------------------------------------------------------------------------------


def test_ravel_pytree_and_back():
    params = {"a": np.arange(4.0).reshape(2, 2), "b": [np.asarray(5, np.float32), 6.0]}
    flat, unravel = tree.ravel_pytree(params)
    assert flat.dtype == np.float64
    np.testing.assert_array_equal(flat, [0, 1, 2, 3, 5, 6])
    again = unravel(2 * flat)
    assert tree.structure(again) == tree.structure(params)
    np.testing.assert_array_equal(again["a"], 2 * params["a"])
    assert (again["b"][0].dtype, again["b"][0].shape, again["b"][0]) == (np.float32, (), 10)


def test_ravel_pytree_is_differentiable_both_ways():
    params = {"a": np.ones((2, 2), np.float32), "b": np.ones(2)}
    grads = volta.grad(lambda p: F.sum(tree.ravel_pytree(p)[0] ** 2))(params)
    assert grads["a"].dtype == np.float32
    np.testing.assert_array_equal(grads["a"], np.full((2, 2), 2))
    flat, unravel = tree.ravel_pytree(params)
    slope = volta.grad(lambda v: F.sum(unravel(v)["a"] ** 3) + unravel(v)["b"][1])(flat)
    np.testing.assert_array_equal(slope, [3, 3, 3, 3, 0, 1])
    lanes = volta.vmap(lambda p: tree.ravel_pytree(p)[0])(
        tree.map(lambda x: np.stack([x, 2 * x]), params)
    )
    np.testing.assert_array_equal(lanes, [[1] * 6, [2] * 6])


def test_ravel_pytree_of_nothing_and_of_another_library():
    flat, unravel = tree.ravel_pytree({"none": None})
    assert (flat.shape, unravel(flat)) == ((0,), {"none": None})
    params = (strict.asarray([[1.0, 2.0]]), strict.zeros((0, 3)))
    flat, unravel = tree.ravel_pytree(params)
    assert type(flat) is type(params[0])
    assert [x.shape for x in unravel(flat)] == [(1, 2), (0, 3)]


def test_unravel_takes_vectors_of_its_length():
    _, unravel = tree.ravel_pytree(np.ones((2, 2)))
    for shape in ((3,), (2, 2)):
        with pytest.raises(volta.ShapeError) as caught:
            unravel(np.ones(shape))
        assert str(caught.value).startswith(
            f"ravel_pytree: unravel takes a vector of shape (4,); got shape {shape}. (line: "
        )
