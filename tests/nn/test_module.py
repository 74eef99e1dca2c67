import copy
import pickle
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import LoadError, ShapeError, TraceError, nn, tree
from volta.functional import random

pytestmark = pytest.mark.neural
Pair = namedtuple("Pair", "first second")


class Scale(nn.Module):
    """One parameter."""

    def __init__(self, factor):
        self.factor = np.asarray(factor)

    def __call__(self, x):
        return x * self.factor


class Counter(nn.Module):
    def __init__(self):
        self.register_buffer("calls", np.zeros(2))
        self.scale = np.ones(2)

    def __call__(self, x):
        if self.training:
            self.calls = self.calls + 1
        return x * self.scale


class Nest(nn.Module):
    """Arrays and modules in every place that may hold them."""

    def __init__(self):
        self.size = 3
        self.layers = [Scale(1.0), (Scale(2.0), np.asarray(3.0))]
        self.table = {"a": Scale(4.0), "b": np.asarray(5.0)}
        self.pair = Pair(np.asarray(6.0), "text")
        self.count = np.asarray(7)
        self.nothing = None
        self.kernel = (3, 3)
        self.function = F.relu

    def __call__(self, x):
        return x


NAMES = ["layers.0.factor", "layers.1.0.factor", "layers.1.1", "table.a.factor", "table.b"]


# What a module holds -----------------------------------------------------------------------------


def test_finds_arrays_wherever_they_are():
    nest = Nest()
    assert list(nest.parameters()) == [*NAMES, "pair.0"]
    assert [float(p) for p in nest.parameters().values()] == [1, 2, 3, 4, 5, 6]
    assert nest.buffers() == {"count": 7}
    assert list(nest.state_dict()) == [*NAMES, "pair.0", "count"]
    assert nest.state_dict().metadata == {"format": "volta"}
    assert [name for name, _ in nest.named_modules()] == [
        "",
        "layers.0",
        "layers.1.0",
        "table.a",
    ]


def test_is_a_tree_of_all_its_arrays():
    nest = Nest()
    assert [path for path, _ in tree.leaves_with_path(nest)] == [
        (name,) for name in nest.state_dict()
    ]
    doubled = tree.map(lambda x: 2 * x, nest)
    assert type(doubled) is Nest
    assert [float(x) for x in doubled.state_dict().values()] == [2, 4, 6, 8, 10, 12, 14]
    assert [float(x) for x in nest.state_dict().values()] == [1, 2, 3, 4, 5, 6, 7]
    assert doubled.kernel == (3, 3)
    assert doubled.function is F.relu
    assert type(doubled.pair) is Pair
    assert doubled.layers is not nest.layers


def test_structures_compare_static_values():
    assert tree.structure(Nest()) == tree.structure(Nest())
    assert hash(tree.structure(Nest())) == hash(tree.structure(Nest()))
    changes = [
        lambda n: setattr(n, "size", 4),
        lambda n: setattr(n, "kernel", (3, 5)),
        lambda n: setattr(n, "function", F.tanh),
        lambda n: setattr(n, "pair", Pair(np.asarray(6.0), "other")),
        lambda n: setattr(n, "new", 1),
        lambda n: setattr(n, "layers", tuple(n.layers)),
        lambda n: setattr(n, "layers", [*n.layers, 1]),
        lambda n: n.eval(),
        lambda n: n.freeze("table.b"),
        lambda n: setattr(n.layers[0], "extra", "x"),
        lambda n: n.register_buffer("nothing", None),
    ]
    for change in changes:
        nest = Nest()
        change(nest)
        assert tree.structure(nest) != tree.structure(Nest())
    assert tree.structure(Scale(1.0)) != tree.structure(Counter())
    assert tree.structure(Nest()) != 1


def test_arrays_are_no_part_of_the_structure():
    assert tree.structure(Scale(1.0)) == tree.structure(Scale(np.ones((2, 3))))


def test_a_structure_is_a_snapshot():
    nest = Nest()
    leaves, spec = tree.flatten(nest)
    nest.size = 4
    assert tree.unflatten(spec, leaves).size == 3


def test_any_object_may_stand_for_an_array():
    spec = tree.structure(Scale(1.0))
    assert tree.unflatten(spec, ["here"]).factor == "here"
    assert tree.map(lambda x: None, Scale(1.0)).factor is None


def test_numpy_scalars_are_static_but_stay_arrays_in_an_array_s_place():
    scale = Scale(1.0)
    scale.offset = np.float64(3)
    assert list(scale.parameters()) == ["factor"]
    scale.factor = scale.factor + 1  # NumPy gives a scalar
    assert type(scale.factor) is np.ndarray
    assert scale.parameters() == {"factor": 2}


def test_slots_are_refused():
    with pytest.raises(TypeError, match="Slotted: a module's fields must be in its __dict__; got"):
        type("Slotted", (nn.Module,), {"__slots__": ("w",)})


def test_a_dataclass_may_be_a_module():
    @dataclass(eq=False, repr=False)
    class Affine(nn.Module):
        factor: np.ndarray
        name: str = "affine"

        def __call__(self, x):
            return x * self.factor

    module = Affine(np.asarray(2.0))
    assert volta.grad(lambda m: m(np.asarray(3.0)))(module) == {"factor": 3}
    assert repr(module) == "Affine(name='affine')"


def test_unknown_attributes_are_named():
    with pytest.raises(AttributeError, match="'Scale' object has no attribute 'weights'"):
        Scale(1.0).weights  # noqa: B018 - the read is the test


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("forward", "call the module itself"),
        ("zero_grad", "gradients are what volta.grad returns"),
        ("requires_grad_", r"freeze\(\*patterns\)"),
        ("add_module", "a module that is assigned to a field is part of this one"),
        ("register_parameter", "an array that is assigned to a field is a parameter"),
        ("cuda", r"volta\.tree\.to\(model"),
        ("double", r"volta\.tree\.to\(model"),
    ],
)
def test_what_pytorchs_modules_have_is_told_apart(name, instead):
    assert not hasattr(Scale(1.0), name)
    with pytest.raises(AttributeError, match=f"Scale: has no {name}; {instead}"):
        getattr(Scale(1.0), name)


def test_a_forward_is_no_call():
    with pytest.raises(TypeError, match="Net: a module must compute in __call__; got a forward"):
        type("Net", (nn.Module,), {"forward": lambda self, x: x})
    called = {"forward": lambda self, x: 2 * x, "__call__": lambda self, x: self.forward(x)}
    base = type("Net", (nn.Module,), called)
    inherits = type("Other", (base,), {"forward": lambda self, x: 3 * x})
    assert (base()(1), inherits()(1)) == (2, 3)


def test_buffers_and_modules_are_iterated_over():
    model = nn.Sequential(Counter(), Scale(1.0))
    assert list(model.modules()) == [model, model[0], model[1]]
    ((name, calls),) = model.named_buffers()
    assert (name, calls is model[0].calls) == ("0.calls", True)


def test_representations():
    assert repr(Scale(1.0)) == "Scale()"
    nest = Nest()
    assert repr(nest) == (
        "Nest(\n  (layers.0): Scale()\n  (layers.1.0): Scale()\n  (table.a): Scale()\n)"
    )
    nest.layers[0].inner = nest
    assert "..." in repr(nest)
    assert repr(nn.Dropout(0.25)) == "Dropout(p=0.25)"


# Sharing -----------------------------------------------------------------------------------------


class Twice(nn.Module):
    def __init__(self):
        self.first = Scale(2.0)
        self.again = self.first
        self.layers = [self.first, Scale(3.0)]

    def __call__(self, x):
        return self.again(self.first(x))


def test_a_shared_module_counts_once():
    model = Twice()
    assert list(model.parameters()) == ["first.factor", "layers.1.factor"]
    assert [n for n, _ in model.named_modules()] == ["", "first", "layers.1"]
    grads = volta.grad(lambda m, x: m(x))(model, np.asarray(5.0))
    assert grads == {"first.factor": 2 * 2 * 5, "layers.1.factor": 0}


def test_sharing_survives_copies():
    leaves, spec = tree.flatten(Twice())
    for model in (
        tree.unflatten(spec, leaves),
        copy.deepcopy(Twice()),
        pickle.loads(pickle.dumps(Twice())),
        Twice().__volta_split__()[1](Twice().parameters()),
    ):
        assert model.first is model.again is model.layers[0]
        assert model.layers[1] is not model.first


def test_cycles_are_walked_once():
    outer, inner = Nest(), Scale(1.0)
    inner.parent = outer
    outer.table["a"] = inner
    assert list(outer.parameters()) == [*NAMES, "pair.0"]
    same = tree.map(lambda x: x, outer)
    assert same.table["a"].parent is same
    assert tree.structure(same) == tree.structure(outer)
    outer.load_state_dict(same.state_dict())


def test_structures_tell_sharing_from_equality():
    separate = Twice()
    separate.again = Scale(2.0)
    assert tree.structure(separate) != tree.structure(Twice())
    shared, other = nn.Identity(), nn.Identity()
    assert tree.structure(nn.Sequential(shared, shared)) != tree.structure(
        nn.Sequential(shared, other)
    )


# Under transforms --------------------------------------------------------------------------------


def test_grad_returns_the_dict_of_parameters():
    model = Nest().freeze("layers.1")

    def loss(model, x):
        return model.table["b"] ** 2 * model.pair.first * x * F.astype(model.count, F.float64)

    grads = volta.grad(loss)(model, np.asarray(2.0))
    assert list(grads) == list(model.parameters())
    assert grads["table.b"] == 2 * 5 * 6 * 2 * 7
    assert grads["pair.0"] == 25 * 2 * 7
    assert grads["table.a.factor"] == 0
    value, both = volta.value_and_grad(loss, argnums=(0, 1))(model, np.asarray(2.0))
    assert value == 25 * 6 * 2 * 7
    assert both[0] == grads


def test_modules_inside_other_trees_and_keywords():
    first, second = Scale(2.0), Scale(3.0)
    grads = volta.grad(lambda models, x: models["a"](models["b"][0](x)))(
        {"a": first, "b": [second]}, np.asarray(5.0)
    )
    assert grads == {"a": {"factor": 15}, "b": [{"factor": 10}]}
    _, named = volta.grad(lambda x, model: model(x), argnames="model")(np.asarray(5.0), model=first)
    assert named == {"model": {"factor": 5}}


def test_vjp_jvp_vmap_and_trace_take_modules():
    model = Scale(2.0)
    x = np.asarray(5.0)
    out, pull = volta.vjp(lambda m, x: m(x), model, x)
    assert (out, pull(np.asarray(1.0))) == (10, ({"factor": 5}, 2))
    assert volta.jvp(lambda m: m(x), (model,), ({"factor": np.asarray(1.0)},)) == (10, 5)
    many = Scale(np.asarray([1.0, 2.0]))
    assert volta.vmap(lambda m, x: m(x), in_axes=(0, None))(many, x).tolist() == [5, 10]
    assert "multiply" in str(volta.trace(lambda m, x: m(x))(model, x))


def test_a_module_may_be_the_function_or_its_self():
    model = Scale(2.0)
    assert volta.grad(model)(np.asarray(5.0)) == 2
    assert volta.grad(model.__call__)(np.asarray(5.0)) == 2
    assert volta.vmap(model)(np.ones(3)).tolist() == [2, 2, 2]


def test_second_derivatives_of_a_module():
    def loss(model, x):
        return model(x) ** 3

    def slope(params, x):
        return volta.grad(lambda p: loss(tree_of(p), x))(params)["factor"]

    def tree_of(params):
        return Scale(1.0).__volta_split__()[1](params)

    second = volta.grad(slope)({"factor": np.asarray(2.0)}, np.asarray(5.0))
    assert second == {"factor": 6 * 2 * 5**3}


def test_transforms_leave_the_module_as_it_was():
    model = Nest()
    before = dict(model.state_dict())
    volta.grad(lambda m: m.table["b"] * 2)(model)
    with pytest.raises(ZeroDivisionError):
        volta.grad(lambda m: 1 / 0)(model)
    assert all(model.state_dict()[name] is x for name, x in before.items())


def test_assignment_inside_a_transform_stays_there():
    model = Scale(2.0)

    def loss(m):
        m.factor = m.factor * 3
        return m(np.asarray(1.0))

    assert volta.grad(loss)(model) == {"factor": 3}
    assert model.factor == 2


def test_threads_share_a_module():
    model = Twice()
    start = threading.Barrier(8)

    def slope(x):
        start.wait()
        return [
            float(volta.grad(lambda m: m(np.asarray(float(x))))(model)["first.factor"])
            for _ in range(20)
        ]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(slope, range(8)))
    assert found == [[4.0 * x] * 20 for x in range(8)]


# Buffers and frozen parameters -------------------------------------------------------------------


def test_integer_arrays_are_buffers_and_declared_ones():
    counter = Counter()
    assert list(counter.parameters()) == ["scale"]
    assert list(counter.buffers()) == ["calls"]
    counter(np.ones(2))
    assert counter.calls.tolist() == [1, 1]
    assert list(volta.grad(lambda m: F.sum(m(np.ones(2))))(counter.eval())) == ["scale"]


def test_containers_may_be_buffers():
    module = nn.Identity()
    module.register_buffer("caches", {"k": np.ones(1), "v": [np.ones(2)]})
    assert list(module.buffers()) == ["caches.k", "caches.v.0"]
    assert module.parameters() == {}


MESSAGE = (
    r"Counter.calls: a buffer must not change inside a transform or functional_call, where the "
    r"change would be lost; got an assignment at test_module.py:\d+. Call the model through "
    r"nn.stateful_call, which returns the new buffers, or in eval mode."
)


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: volta.grad(lambda x: F.sum(m(x)))(x),
        lambda m, x: volta.grad(lambda m: F.sum(m(x)))(m),
        lambda m, x: volta.vmap(m)(x),
        lambda m, x: volta.jvp(m, (x,), (x,)),
        lambda m, x: volta.trace(m)(x),
        lambda m, x: nn.functional_call(m, m.parameters(), x),
    ],
    ids=["grad, closure", "grad, argument", "vmap", "jvp", "trace", "functional_call"],
)
def test_updates_of_buffers_inside_transforms_raise(call):
    model = Counter()
    with pytest.raises(TraceError, match=MESSAGE):
        call(model, np.ones(2))
    assert model.calls.tolist() == [0, 0]
    model.eval()
    call(model, np.ones(2))
    model.train()(np.ones(2))
    assert model.calls.tolist() == [1, 1]


def test_trees_made_of_a_transform_s_copy_may_be_written_to():
    inside = Counter().__volta_split__()[1](Counter().parameters())
    outside = tree.map(lambda x: x, inside)
    outside(np.ones(2))
    assert outside.calls.tolist() == [1, 1]


def test_freezing_leaves_parameters_out():
    model = nn.Sequential(body=Nest(), head=Scale(2.0))
    names = list(model.parameters())
    assert model.freeze("body.layers", "*.b") is model
    assert list(model.parameters()) == ["body.table.a.factor", "body.pair.0", "head.factor"]
    assert list(model.body.parameters()) == ["table.a.factor", "pair.0"]
    assert set(names) <= set(model.state_dict())
    assert list(model.buffers()) == ["body.count"]
    assert list(model.unfreeze("body.layers.1").parameters()) == [
        name for name in names if name not in ("body.layers.0.factor", "body.table.b")
    ]
    assert list(model.unfreeze().parameters()) == names
    assert tree.structure(model) == tree.structure(nn.Sequential(body=Nest(), head=Scale(2.0)))
    assert model.freeze().parameters() == {}
    assert list(model.unfreeze("head").parameters()) == ["head.factor"]


def test_freezing_something_that_is_not_there():
    with pytest.raises(
        ValueError, match=r"freeze: a pattern must match a parameter; got 'w' and factor\."
    ):
        Scale(1.0).freeze("w")
    with pytest.raises(ValueError, match="unfreeze: a pattern must match a parameter; got 'cal"):
        Counter().unfreeze("calls")


def test_modes_reach_every_module():
    model = Nest()
    assert model.training
    assert model.eval() is model
    assert not any(m.training for _, m in model.named_modules())
    assert model.train() is model
    assert all(m.training for _, m in model.named_modules())
    assert tree.structure(model) == tree.structure(Nest())


# update ------------------------------------------------------------------------------------------


def test_update_replaces_arrays_everywhere():
    nest = Nest()
    layers = nest.layers
    nest.update({name: np.asarray(float(i)) for i, name in enumerate(nest.state_dict())})
    assert [float(x) for x in nest.state_dict().values()] == [0, 1, 2, 3, 4, 5, 6]
    assert layers[1][1] == 3  # a container may be the caller's, and is replaced
    assert type(nest.pair) is Pair


def test_update_checks_before_it_writes():
    nest = Nest()
    with pytest.raises(
        LoadError,
        match=r"update: names must be those of the module's arrays; got 'w' and layers.0.factor, ",
    ):
        nest.update({"table.b": np.asarray(0.0), "w": np.asarray(0.0)})
    with pytest.raises(
        ShapeError,
        match=r"update: an array must have the shape of the one it replaces; got \(2,\) and \(\) "
        r"for 'count'",
    ):
        nest.update({"table.b": np.asarray(0.0), "count": np.zeros(2)})
    assert nest.table["b"] == 5


def test_models_are_made_under_vmap():
    keys = random.split(random.key(0), 3)
    stacked = volta.vmap(lambda key: nn.Linear(2, 3, key=key).parameters())(keys)
    assert stacked["weight"].shape == (3, 2, 3)
    models = volta.vmap(lambda key: nn.Linear(2, 3, key=key))(keys)
    assert type(models) is nn.Linear
    np.testing.assert_array_equal(models.weight, stacked["weight"])
