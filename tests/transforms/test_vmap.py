"""Vectorization: which axes, what is batched, and that it is the loop."""

import itertools
from collections import OrderedDict, defaultdict
from typing import NamedTuple

import array_api_strict as strict
import numpy as np
import pytest
from strategies import BESIDE, LINE

import volta
import volta.functional as F
from volta import nn, tree

pytestmark = pytest.mark.core

rng = np.random.default_rng(0)
A = rng.normal(size=(4, 3))
B = rng.normal(size=(4, 3))


class Pair(NamedTuple):
    left: object
    right: object


# Axes in -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_every_axis_of_the_argument(axis):
    x = rng.normal(size=(2, 3, 4))
    found = volta.vmap(lambda v: F.sum(v * v, axis=0), in_axes=axis)(x)
    np.testing.assert_allclose(found, (np.moveaxis(x, axis, 0) ** 2).sum(axis=1))


@pytest.mark.parametrize(
    ("in_axes", "wanted"),
    [
        (0, lambda: np.einsum("ni,ni->n", A, B)),
        ((0, 0), lambda: np.einsum("ni,ni->n", A, B)),
        ([0, 0], lambda: np.einsum("ni,ni->n", A, B)),
        ((1, 1), lambda: np.einsum("in,in->n", A, B)),
        ((0, -2), lambda: np.einsum("ni,ni->n", A, B)),
        (1, lambda: np.einsum("in,in->n", A, B)),
    ],
)
def test_axes_of_several_arguments(in_axes, wanted):
    np.testing.assert_allclose(volta.vmap(F.vecdot, in_axes)(A, B), wanted())


@pytest.mark.parametrize("unmapped", [0, 1])
def test_none_is_not_mapped(unmapped):
    args = [A, A]
    args[unmapped] = A[0]
    in_axes = tuple(None if i == unmapped else 0 for i in range(2))
    np.testing.assert_allclose(volta.vmap(F.subtract, in_axes)(*args), np.subtract(*args))


def test_unmapped_arguments_arrive_as_they_are():
    marker = object()
    seen = []
    volta.vmap(lambda x, y: seen.append(y) or x, in_axes=(0, None))(A, marker)
    assert seen == [marker]


@pytest.mark.parametrize(
    "in_axes",
    [
        (0,),
        ({"w": 0, "b": 0},),
        ({"w": 0, "b": (0, 0)},),
    ],
)
def test_trees_and_prefixes(in_axes):
    def fun(p):
        return p["w"] * p["b"][0] + p["b"][1]

    params = {"w": A, "b": (B, A)}
    np.testing.assert_allclose(volta.vmap(fun, in_axes)(params), A * B + A)


@pytest.mark.parametrize(
    ("in_axes", "lanes"),
    [
        (({"w": 0, "b": None},), lambda i: {"w": A[i], "b": (B, A)}),
        (({"w": None, "b": (0, None)},), lambda i: {"w": A, "b": (B[i], A)}),
        (({"w": 1, "b": [1, None]},), lambda i: {"w": A[:, i], "b": (B[:, i], A)}),
    ],
)
def test_trees_with_none_and_other_axes(in_axes, lanes):
    def fun(p):
        return F.sum(p["w"]) * F.sum(p["b"][0]) + F.sum(p["b"][1])

    found = volta.vmap(fun, in_axes)({"w": A, "b": (B, A)})
    np.testing.assert_allclose(found, [fun(lanes(i)) for i in range(len(found))])


@pytest.mark.parametrize("in_axes", [(Pair(0, None),), (Pair(0, (None, 0)),)])
def test_named_tuples_in_axes(in_axes):
    def fun(p):
        return F.sum(p.left) + F.sum(tree.leaves(p.right)[0])

    right = A if in_axes[0].right is None else (A, B)
    found = volta.vmap(fun, in_axes)(Pair(A, right))
    np.testing.assert_allclose(found, A.sum(axis=1) + A.sum())


def test_none_in_the_argument_is_no_leaf():
    found = volta.vmap(lambda p: p[0] * 2, in_axes=((0, None),))((A, None))
    np.testing.assert_allclose(found, 2 * A)


def test_keywords_are_mapped_over_axis_0():
    found = volta.vmap(lambda x, *, y: x * y, in_axes=1)(A, y=B.T)
    np.testing.assert_allclose(found, A.T * B.T)


def test_keywords_alone_are_mapped():
    np.testing.assert_allclose(volta.vmap(lambda *, y: y * 2)(y=A), 2 * A)


@pytest.mark.parametrize(
    ("in_axes", "args", "error", "message"),
    [
        (
            (0,),
            (A, B),
            ValueError,
            r"in_axes must have one entry for each positional argument; got 1",
        ),
        (
            (0, 0, 0),
            (A, B),
            ValueError,
            r"one entry for each positional argument; got 3 and 2\. "
            r"Use None for what is not mapped\." + LINE,
        ),
        (
            None,
            (A, B),
            volta.ShapeError,
            r"at least one argument must be mapped; got in_axes of None",
        ),
        ((None, None), (A, B), volta.ShapeError, "at least one argument must be mapped"),
        (
            (0, 1),
            (A, B),
            volta.ShapeError,
            r"mapped axes must have one length; got 4 at args\[0\] and 3 at args\[1\]\. "
            r"Choose other axes with in_axes, or None for what is not mapped\." + LINE,
        ),
        (
            2,
            (A, B),
            volta.DimensionError,
            r"in_axes must name an axis of the argument; got 2 for shape \(4, 3\) at args\[0\]",
        ),
        (-3, (A, B), volta.DimensionError, "in_axes must name an axis of the argument; got -3"),
        (
            0,
            (A, 3.0),
            volta.DimensionError,
            r"must name an axis of the argument; got 0 for shape \(\)",
        ),
        (
            ({"a": 0}, 0),
            (A, B),
            ValueError,
            "in_axes must be a tree prefix of what it describes; got",
        ),
        (((0, 0), 0), (A, B), ValueError, "in_axes must be a tree prefix of what it describes"),
        (((0,), 0), ((A, A), B), ValueError, "in_axes must be a tree prefix of what it describes"),
        (({"b": 0}, 0), ({"a": A}, B), ValueError, "in_axes must be a tree prefix"),
        (("0", 0), (A, B), ValueError, "in_axes must hold ints and None; got '0'"),
        ((0.0, 0), (A, B), ValueError, r"in_axes must hold ints and None; got 0\.0"),
        (
            0,
            (A, "text"),
            volta.DTypeError,
            r"every leaf must be an array or a number; got str\." + BESIDE + LINE,
        ),
    ],
)
def test_axes_must_fit_the_arguments(in_axes, args, error, message):
    with pytest.raises(error, match=rf"^vmap\(<lambda>\): .*{message}"):
        volta.vmap(lambda x, y: x, in_axes)(*args)


class Node:
    """A registered node."""

    def __init__(self, left, right):
        self.left, self.right = left, right


tree.register_pytree_node(
    Node, lambda node: ((node.left, node.right), None), lambda _, parts: Node(*parts)
)


@pytest.mark.parametrize(
    ("in_axes", "lane"),
    [
        (0, lambda i: (A[i], B[i])),
        ((1,), lambda i: (A[:, i], B[:, i])),
        ((Node(0, None),), lambda i: (A[i], B)),
        ((Node(None, -1),), lambda i: (A, B[:, i])),
        ((Node(-2, 1),), None),
    ],
    ids=["all", "one", "right unmapped", "left unmapped", "unequal"],
)
def test_registered_nodes(in_axes, lane):
    def fun(node):
        return Node(F.sum(node.left) - F.sum(node.right), node.left)

    if lane is None:
        with pytest.raises(volta.ShapeError, match=r"got 4 at args\[0\].* and 3 at args\[0\]"):
            volta.vmap(fun, in_axes)(Node(A, B))
        return
    found = volta.vmap(fun, in_axes, out_axes=Node(0, -1))(Node(A, B))
    lanes = [lane(i) for i in range(len(found.left))]
    np.testing.assert_allclose(found.left, [x.sum() - y.sum() for x, y in lanes])
    np.testing.assert_array_equal(found.right, np.stack([x for x, _ in lanes], axis=-1))


def test_modules_and_axes_of_their_parameters():
    layers = [nn.Linear(3, 2, key=F.random.key(i), dtype=np.float64) for i in range(4)]
    many = nn.Linear(3, 2, key=F.random.key(0), dtype=np.float64)
    many.weight = np.stack([layer.weight for layer in layers])
    many.bias = np.stack([layer.bias for layer in layers], axis=1)
    wanted = [layer(x) for layer, x in zip(layers, A, strict=True)]
    in_axes = ({"weight": 0, "bias": 1}, 0)
    found = volta.vmap(lambda layer, x: layer(x), in_axes)(many, A)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    whole = volta.vmap(lambda layer, x: layer(x), (None, 0))(layers[0], A)
    np.testing.assert_allclose(whole, layers[0](A), rtol=1e-12)


# The number of lanes -----------------------------------------------------------------------------


def test_nothing_mapped():
    found = volta.vmap(lambda x: (x, 2.0), in_axes=None, axis_size=3)(A)
    np.testing.assert_array_equal(found[0], np.stack([A] * 3))
    np.testing.assert_array_equal(found[1], np.full(3, 2.0, np.float32))
    assert volta.vmap(lambda: np.ones(2), axis_size=0)().shape == (0, 2)


def test_the_number_of_lanes_is_checked():
    np.testing.assert_array_equal(volta.vmap(F.negative, axis_size=4)(A), -A)
    message = (
        r"^vmap\(negative\): mapped axes must have length axis_size; got 4 at args\[0\] and 5\."
    )
    with pytest.raises(volta.ShapeError, match=message):
        volta.vmap(F.negative, axis_size=5)(A)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("axis", [0, 1])
def test_lanes_in_chunks(chunk_size, axis):
    most = []

    def fun(x, w):
        most.append(x.value.shape[0])
        return {"a": x * w, "b": (F.sum(x), np.arange(2.0)), "c": 1.0}

    options = {"in_axes": (axis, None), "out_axes": {"a": -1, "b": 0, "c": None}}
    found = volta.vmap(fun, chunk_size=chunk_size, **options)(A, 2.0)
    lanes = A.shape[axis]
    assert max(most) == min(chunk_size, lanes)
    assert sum(most) == lanes
    wanted = volta.vmap(fun, **options)(A, 2.0)
    assert tree.structure(found) == tree.structure(wanted)
    tree.map(np.testing.assert_array_equal, found, wanted)


def test_chunks_under_other_transforms():
    def fun(x):
        return F.sum(volta.vmap(lambda v: F.sin(v) @ v, chunk_size=3)(x) ** 2)

    def whole(x):
        return F.sum(volta.vmap(lambda v: F.sin(v) @ v)(x) ** 2)

    np.testing.assert_allclose(volta.grad(fun)(A), volta.grad(whole)(A), rtol=1e-12)
    slopes = volta.vmap(volta.grad(lambda v: F.sin(v) @ v), chunk_size=3)(A)
    np.testing.assert_allclose(slopes, np.cos(A) * A + np.sin(A), rtol=1e-12)
    np.testing.assert_allclose(volta.trace(fun)(A)(B), whole(B), rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis_size": -1}, r"axis_size must be an int of at least 0; got -1\."),
        ({"axis_size": 2.0}, r"axis_size must be an int of at least 0; got 2\.0\."),
        ({"chunk_size": 0}, r"chunk_size must be an int of at least 1; got 0\."),
        ({"chunk_size": "2"}, r"chunk_size must be an int of at least 1; got '2'\."),
        ({"on_branch": "fork"}, r"on_branch must be 'split' or 'raise'; got 'fork'\."),
    ],
)
def test_options(options, message):
    with pytest.raises(ValueError, match=rf"^vmap\(sin\): {message}"):
        volta.vmap(F.sin, **options)


# Axes out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_every_place_in_the_result(axis):
    found = volta.vmap(lambda v: F.reshape(v, (3, 1)) * v, out_axes=axis)(A)
    np.testing.assert_allclose(found, np.moveaxis(A[:, :, None] * A[:, None], 0, axis))


def test_places_in_a_tree_of_results():
    def fun(x):
        return {"a": x, "b": (x * 2, F.sum(x)), "c": 5.0}

    found = volta.vmap(fun, out_axes={"a": 1, "b": (0, -1), "c": None})(A)
    np.testing.assert_array_equal(found["a"], A.T)
    np.testing.assert_array_equal(found["b"][0], 2 * A)
    np.testing.assert_allclose(found["b"][1], A.sum(axis=1))
    assert found["c"] == 5.0
    prefix = volta.vmap(fun, out_axes={"a": 1, "b": 0, "c": None})(A)
    np.testing.assert_array_equal(prefix["b"][0], 2 * A)


def test_results_that_are_not_batched_are_repeated():
    found = volta.vmap(lambda x: (np.arange(2.0), 3.0, F.ones(1), x > 0))(A)
    np.testing.assert_array_equal(found[0], np.tile(np.arange(2.0), (4, 1)))
    np.testing.assert_array_equal(found[1], np.full(4, 3.0))
    np.testing.assert_array_equal(found[2], np.ones((4, 1)))
    assert found[3].dtype == bool
    last = volta.vmap(lambda x: np.arange(2.0), out_axes=-1)(A)
    np.testing.assert_array_equal(last, np.tile(np.arange(2.0), (4, 1)).T)


def test_results_that_are_not_batched_stay_so_with_none():
    constant = np.arange(2.0)
    assert volta.vmap(lambda x: constant, out_axes=None)(A) is constant


@pytest.mark.parametrize(
    ("out_axes", "error", "message"),
    [
        (
            None,
            ValueError,
            r"out_axes must be an int for a batched result; got None\. "
            r"Leave it out for axis 0, or reduce over the lanes after vmap\." + LINE,
        ),
        (
            2,
            volta.DimensionError,
            r"out_axes must name an axis of the result; got 2 for 2 axes\." + LINE,
        ),
        (
            -3,
            volta.DimensionError,
            r"out_axes must name an axis of the result; got -3 for 2 axes\." + LINE,
        ),
        ((0, 0), ValueError, "out_axes must be a tree prefix of what it describes"),
        ("0", ValueError, "out_axes must hold ints and None; got '0'"),
    ],
)
def test_places_must_fit_the_results(out_axes, error, message):
    with pytest.raises(error, match=rf"^vmap\(<lambda>\): .*{message}"):
        volta.vmap(lambda x: x, out_axes=out_axes)(A)


# The loop ----------------------------------------------------------------------------------------


def vmap_equals_loop(fun, *args):
    for batched in itertools.product((0, None), repeat=len(args)):
        if all(axis is None for axis in batched):
            continue
        given = [a if axis == 0 else a[0] for a, axis in zip(args, batched, strict=True)]
        found = tree.leaves(volta.vmap(fun, batched)(*given))
        lanes = [
            tree.leaves(fun(*(a[i] if x == 0 else a for a, x in zip(given, batched, strict=True))))
            for i in range(len(args[0]))
        ]
        for j, f in enumerate(found):
            wanted = np.stack([np.asarray(lane[j]) for lane in lanes])
            assert (f.shape, f.dtype) == (wanted.shape, wanted.dtype)
            np.testing.assert_allclose(f, wanted, rtol=1e-12)


MATMULS = list(
    itertools.product(
        [(2,), (3, 2), (4, 3, 2), (1, 3, 2), (5, 1, 3, 2)], [(2,), (2, 3), (4, 2, 3), (5, 4, 2, 3)]
    )
)


@pytest.mark.parametrize("shapes", MATMULS, ids=str)
def test_matmul_of_all_ranks(shapes):
    left, right = shapes
    try:
        np.matmul(np.zeros(left), np.zeros(right))
    except ValueError:
        right = right[-2:]
    vmap_equals_loop(F.matmul, rng.normal(size=(3, *left)), rng.normal(size=(3, *right)))


@pytest.mark.broadcasting
@pytest.mark.parametrize(
    "shapes", [((), ()), ((), (2,)), ((2,), ()), ((2,), (3, 2)), ((3, 1), (2,)), ((1,), (4, 3, 2))]
)
@pytest.mark.parametrize("fun", [F.add, F.divide, F.maximum, F.less, F.hypot])
def test_elementwise_operations_of_mixed_ranks(fun, shapes):
    vmap_equals_loop(fun, *(rng.normal(size=(3, *s)) for s in shapes))


@pytest.mark.parametrize(
    "shapes", [((), (), ()), ((2,), (), (2,)), ((), (2,), (3, 2)), ((3, 2), (2,), ())]
)
def test_where_and_clip_of_mixed_ranks(shapes):
    arrays = [rng.normal(size=(3, *s)) for s in shapes]
    vmap_equals_loop(lambda c, x, y: F.where(c > 0, x, y), *arrays)
    vmap_equals_loop(lambda x, lo, hi: F.clip(x, lo, hi + 2), *arrays)


BODIES = {
    "scalars": lambda x, y: 2.0 * x + y * 3 - 1,
    "reduction": lambda x, y: F.sum(x) * F.max(y, axis=-1, keepdims=True),
    "indexing": lambda x, y: x[0] + y[-1] * x[::2][0],
    "integer arrays": lambda x, y: x[np.asarray([0, 2, 0])] * y,
    "batched index": lambda x, y: (
        volta.lift(x)[F.argmax(y)] + F.take(x, F.argmin(y, keepdims=True))
    ),
    "concat": lambda x, y: F.concat([x, y, F.ones(2, dtype=F.float64)]),
    "stack": lambda x, y: F.stack([x, y], axis=-1),
    "shape": lambda x, y: F.reshape(x, (-1, 1)) * F.permute_dims(F.reshape(y, (3, 1)), (1, 0)),
    "softmax": lambda x, y: F.softmax(x) * F.log_softmax(y),
    "unstack": lambda x, y: F.unstack(x)[0] * F.unstack(y)[2],
    "writing": lambda x, y: _written(x, y),
    "sort of a mask": lambda x, y: F.where(x > y, x, 0.0),
    "sizes": lambda x, y: x * x.shape[0] + y.ndim + y.size,
    "casts": lambda x, y: F.astype(x, F.float32) * F.astype(y, F.int64),
    "numpy": lambda x, y: np.sum(np.exp(x)) * np.maximum(x, y),
    "only x": lambda x, y: x,
}


def _written(x, y):
    out = F.zeros(3, dtype=F.float64)
    out[:2] = x[1:]
    out[2] += y[0]
    out[y > 0] = 7.0
    return out


@pytest.mark.parametrize("body", list(BODIES.values()), ids=list(BODIES))
def test_functions_are_their_loops(body):
    vmap_equals_loop(body, A, B)


@pytest.mark.parametrize("body", list(BODIES.values()), ids=list(BODIES))
def test_nested_vmap_is_the_double_loop(body):
    x, y = rng.normal(size=(2, 4, 3)), rng.normal(size=(4, 3))
    found = tree.leaves(volta.vmap(volta.vmap(body), in_axes=(0, None))(x, y))[0]
    wanted = np.asarray([[body(x[i, j].copy(), y[j].copy()) for j in range(4)] for i in range(2)])
    np.testing.assert_allclose(found, wanted)


def test_nested_vmap_over_different_axes_is_the_outer_product():
    outer = volta.vmap(volta.vmap(F.multiply, (None, 0)), (0, None))
    np.testing.assert_array_equal(outer(A[0], A[1]), np.outer(A[0], A[1]))


def test_an_inner_vmap_of_what_only_the_outer_batches():
    def outer(x):
        return volta.vmap(lambda k: k * F.sum(x))(np.arange(3.0))

    np.testing.assert_allclose(volta.vmap(outer)(A), A.sum(axis=1)[:, None] * np.arange(3.0))


@pytest.mark.parametrize("size", [0, 1])
def test_few_lanes(size):
    x = rng.normal(size=(size, 3))
    found = volta.vmap(lambda v: F.sum(v) + v @ v)(x)
    np.testing.assert_allclose(found, x.sum(axis=1) + (x * x).sum(axis=1))


@pytest.mark.parametrize("library", ["strict", "torch"])
def test_other_libraries(library):
    make = strict.asarray if library == "strict" else pytest.importorskip("torch").asarray
    found = volta.vmap(lambda x, y: F.sum(x * y) + x[0], in_axes=(0, 1))(make(A), make(B.T.copy()))
    assert type(found) is type(make(A))
    np.testing.assert_allclose(np.asarray(found), (A * B).sum(axis=1) + A[:, 0])


def test_creation_inside_is_not_batched():
    def fun(x):
        made = F.ones(3)
        assert made.shape == (3,)
        return made

    assert volta.vmap(fun)(A).shape == (4, 3)


# Errors ------------------------------------------------------------------------------------------


def test_errors_speak_of_one_lane():
    message = r"^add: the shapes must broadcast together; got \(3,\) and \(2,\)"
    with pytest.raises(volta.BroadcastError, match=message):
        volta.vmap(lambda x: x + np.ones(2))(A)
    with pytest.raises(volta.ShapeError, match=r"^matmul: .*got shapes? \(3,\) and \(2,\)"):
        volta.vmap(lambda x: x @ np.ones(2))(A)
    with pytest.raises(
        volta.DimensionError, match=r"axis must be from -1 to 0; got 1 for an array of 1"
    ):
        volta.vmap(lambda x: F.sum(x, axis=1))(A)


def test_a_mask_of_lanes_cannot_select():
    message = r"^boolean index: needs one concrete value; got an array batched by vmap\(<lambda>\)"
    with pytest.raises(volta.TraceError, match=message):
        volta.vmap(lambda x: x[x > 0], on_branch="raise")(A)


def test_wrong_keywords_are_refused():
    with pytest.raises(TypeError, match="in_dims"):
        volta.vmap(F.sin, in_dims=0)


@pytest.mark.parametrize("make", [OrderedDict, dict, lambda **d: defaultdict(list, d)])
def test_axes_of_dicts_are_by_key(make):
    d = make(b=np.asarray([1.0, 2.0, 3.0]), a=np.asarray([10.0, 20.0]))
    for axes in (make(b=0, a=None), {"a": None, "b": 0}):
        found = volta.vmap(lambda d: d["b"] * F.sum(d["a"]), in_axes=(axes,))(d)
        assert found.tolist() == [30.0, 60.0, 90.0]
        out = volta.vmap(lambda b: make(b=b, a=np.asarray(1.0)), out_axes=axes)(d["b"])
        assert (out["a"].tolist(), out["b"].tolist()) == (1.0, [1.0, 2.0, 3.0])
    mixed = volta.vmap(lambda d: d[1] * d["a"], in_axes=({1: 0, "a": None},))
    assert mixed({1: d["b"], "a": d["a"][0, ...]}).tolist() == [10.0, 20.0, 30.0]


def _pair(x, y):
    return x * 2, y * 2


SHARED = {
    "scan": lambda x: volta.scan(lambda c, e: ((c[0] + 1, c[1] * x), e * 2), (0.0, x), A[0])[0],
    "scanned": lambda x: volta.scan(lambda c, e: (c, (e * 2, e * x)), x, A[0, :2])[1],
    "while_loop": lambda x: volta.while_loop(
        lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, x)
    ),
    "checkpoint": lambda x: volta.checkpoint(lambda y, x: _pair(y, x))(A[0], x),
    "cond": lambda x: volta.cond(A[0, 0] > 9, _pair, lambda y, x: (y, x), A[0], x),
}


@pytest.mark.parametrize("name", SHARED)
def test_results_that_lanes_share_have_no_axis(name):
    fun, lanes = SHARED[name], B[:, 0]
    shared, own = volta.vmap(fun, out_axes=(None, 0))(lanes)
    singly = [fun(x) for x in lanes]
    np.testing.assert_allclose(shared, singly[0][0])
    np.testing.assert_allclose(own, np.stack([s[1] for s in singly]))

    def parted(x):
        shared, own = fun(x)
        return F.sum(shared) * F.sum(own) if x > 0 else F.sum(own)  # after what a tape gives back

    wanted = np.stack([parted(x) for x in lanes])
    for _ in range(2):
        np.testing.assert_allclose(volta.vmap(parted)(lanes), wanted)
    slopes = np.stack([volta.grad(parted)(x) for x in lanes])
    np.testing.assert_allclose(volta.vmap(volta.grad(parted))(lanes), slopes)
    whole = volta.grad(lambda x: F.sum(volta.vmap(parted)(x)))(lanes)
    np.testing.assert_allclose(whole, slopes)
