"""Staging once and running often: values, guards, and what is kept."""

import copy
import functools
import gc
import re
import threading
import tracemalloc
import weakref
from collections import OrderedDict, namedtuple

import array_api_strict as strict
import numpy as np
import pytest
from differences import SEQUENCES, check, check_masked, same
from strategies import BESIDE, LINE

import volta
import volta.functional as F
from volta import nn
from volta.compile.native import llvm
from volta.core.errors import DeviceError, DimensionError, DTypeError, ShapeError, TraceError
from volta.core.trace import live
from volta.transforms.modules import _TAPS

pytestmark = pytest.mark.core

rng = np.random.default_rng(0)
X = rng.normal(size=3)
W = rng.normal(size=3)
M = rng.normal(size=(3, 3))
LIBRARIES = ["numpy", "torch", "jax", "strict"]


def library(name):
    if name in ("numpy", "strict"):
        return {"numpy": np, "strict": strict}[name]
    return pytest.importorskip("jax.numpy" if name == "jax" else name)


def stagings(jitted):
    """How often a jitted function was staged, as `explain` tells."""
    return int(jitted.explain().split("staged ")[1].split()[0])


def twice(fun, *args, **kwargs):
    """Results of a jitted function that is staged, and then run again."""
    jitted = volta.jit(fun)
    first = jitted(*args, **kwargs)
    assert stagings(jitted) == 1
    same(jitted(*args, **kwargs), first)
    assert stagings(jitted) == 1
    return first


@pytest.fixture(autouse=True)
def nothing_stays_current():
    yield
    assert (live.staging, _TAPS.count) == (0, 0)
    assert "__getattribute__" not in vars(nn.Module)


# Values -------------------------------------------------------------------------------------------


def layer(p, x, *, scale=2.0):
    product = F.matmul(p["m"], x) * p["w"]
    return {"out": F.tanh(product) * scale, "n": F.argmax(x), "sum": (F.sum(x), None), "one": 1}


def test_trees_keywords_and_numbers_in_results():
    found = twice(layer, {"m": M, "w": W}, X, scale=X)
    assert found["one"] == 1
    assert type(found["one"]) is int
    same(found, layer({"m": M, "w": W}, X, scale=X))


@pytest.mark.parametrize("name", LIBRARIES)
def test_other_libraries(name):
    x = library(name).asarray(X.astype(np.float32))
    found = twice(lambda x: F.sin(x) @ x + F.arange(3.0), x)
    assert type(found) is type(x)
    wanted = np.sin(np.float32(X)) @ np.float32(X) + np.arange(3.0)
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-6)


def test_an_argument_that_is_returned_is_the_same_object():
    assert volta.jit(lambda x: x)(X) is X


def test_results_are_not_the_arrays_of_another_call():
    jitted = volta.jit(lambda x: F.exp(x) * 2)
    x = np.zeros((64, 64))
    first = jitted(x)
    jitted(x + 1)
    assert (first == 2).all()


def test_random_keys():
    def fun(key, x):
        a, b = F.random.split(key)
        return F.random.normal(a, (3,)) * x + F.random.uniform(b, (3,))

    jitted = volta.jit(fun)
    for seed in range(3):
        key = F.random.key(seed)
        same(jitted(key, X), fun(key, X), rtol=1e-6)
    assert stagings(jitted) == 1


def test_host_arrays_join_the_library_that_they_meet():
    torch = library("torch")
    x = torch.asarray(X.astype(np.float32))
    jitted = volta.jit(lambda x, w: x * w)
    assert jitted(x, np.float32(W)).dtype == torch.float32
    assert jitted(x, np.float64(2.5)).dtype == torch.float32  # weak there, as without jit
    assert jitted(x, np.asarray(2.5)).dtype == torch.float64
    assert stagings(jitted) == 3


# Python numbers -----------------------------------------------------------------------------------

NUMBERS = [True, 3, -2, 0.1, 2.5j]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int32", "int64"])
@pytest.mark.parametrize("name", LIBRARIES)
def test_numbers_are_weak(name, dtype, number):
    if name == "jax" and "64" in dtype and dtype != "complex64":
        pytest.skip("JAX has 64 bits on demand only")
    xp = library(name)
    x = xp.asarray(np.asarray([1, 2, 3]), dtype=getattr(xp, dtype))
    for fun in (
        lambda x, n: x * n,
        lambda x, n: n + x,
        lambda x, n: x / n,
        lambda x, n: x * (n * n),
        lambda x, n: F.where(x == 1, x, n),
    ):
        try:
            wanted = fun(x, number)
        except Exception as error:
            with pytest.raises(type(error)):
                volta.jit(fun)(x, number)
            continue
        found = twice(fun, x, number)
        assert (type(found), found.dtype) == (type(wanted), wanted.dtype)
        np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-6)


@pytest.mark.parametrize(
    "fun",
    [
        lambda x, n: F.concat([x, F.full(2, n)]),
        lambda x, n: F.clip(x, -n, n),
        lambda x, n: F.stack([x, x * n]),
        lambda x, n: x ** (n - 1),
        lambda x, n: F.linspace(0.0, 1.0, n) * F.sum(x),
        lambda x, n: x[n - 3],
        lambda x, n: F.reshape(F.broadcast_to(x, (n, 3)), (3, n)),
        lambda x, n: sum(x * i for i in range(n)),
        lambda x, n: x * (n // 2) + n % 3 - abs(-n) + (n > 2) * x,
        lambda x, n: F.sum(F.stack([x, x]), axis=n - 4),
        lambda x, n: x * 2 if n > 2 else x,
        lambda x, n: F.maximum(x, n / 7),
        lambda x, n: x + (n**2 + n / 2 - 1),
        lambda x, n: x + ((n > 2) + (n > 3)) * x,
        lambda x, n: volta.jit(lambda x, n: x * n / 3)(x, n * 2),
        lambda x, n: F.at(x)[n - 3].set(n),
    ],
)
def test_numbers_where_operations_take_them(fun):
    for x in (X, X.astype(np.float32)):
        same(twice(fun, x, 4), np.asarray(fun(x, 4)), rtol=1e-6)


def test_another_number_is_not_staged_again():
    jitted = volta.jit(lambda x, n, k: x * n + k)
    for n, k in ((1, 0.5), (2, 1.5), (-7, 1e30)):
        same(jitted(X, n, k), X * n + k)
    assert stagings(jitted) == 1


def test_numbers_of_a_function_around():
    inner = volta.jit(lambda x, n: x * n)
    x = np.float32(X)
    for n in (3, 2.5):
        found = volta.jit(lambda x, n: inner(x, n))(x, n)
        same(found, x * n)
        same(inner(x, n), x * n)
        same(inner(x, np.asarray(n)), x * np.asarray(n))
    assert stagings(inner) == 4


def test_numbers_that_are_results_are_arrays_of_the_default_dtype():
    found = volta.jit(lambda n, y: (n, n * y, y > 1))(3, 0.5)
    assert [str(x.dtype) for x in found] == ["int64", "float32", "bool"]
    assert [x.item() for x in found] == [3, 1.5, False]


# What is staged again -----------------------------------------------------------------------------


def test_what_is_staged_again_and_why():
    jitted = volta.jit(lambda x, *rest: F.sum(F.zeros(2)) + volta.tree.leaves(x)[0])
    calls = [
        ((X,), r"first call"),
        ((X[:2],), r"arrays are \(float64\[2\]\), were \(float64\[3\]\)"),
        ((np.float32(X),), r"arrays are \(float32\[3\]\)"),
        ((library("torch").asarray(X),), r"arrays are \(float64\[3\] of torch on cpu\)"),
        ((X, X), r"structure are "),
        ((X, 1), r"arrays are \(float64\[3\], int\), were \(float64\[3\], float64\[3\]\)"),
        ((X, 1.0), r"arrays are \(float64\[3\], float\)"),
        (([X],), r"structure are"),
    ]
    for n, (args, _) in enumerate(calls, 1):
        for _ in range(2):
            jitted(*args)
        assert stagings(jitted) == n
    with volta.default_dtype(F.float64):
        assert jitted(np.float32(X)).dtype == np.float64
    assert jitted(np.float32(X)).dtype == np.float32
    assert stagings(jitted) == 9
    for n, (_, why) in enumerate([*calls, ((), "structure are .*; settings are")], 1):
        assert re.search(rf"^  {n}\. .*{why}", jitted.explain(), re.MULTILINE)
    jitted.clear_cache()
    assert jitted.explain() == "jit(<lambda>): staged 0 times"


def test_options_of_convolutions_are_settings():
    x, w = rng.normal(size=(1, 2, 8, 8)), rng.normal(size=(3, 2, 3, 3))
    jitted = volta.jit(lambda x, w: F.conv2d(x, w))
    jitted(x, w)
    with F.conv_options(memory_cap=2000, precision="fast"):
        same(jitted(x, w), F.conv2d(x, w))
    assert stagings(jitted) == 2


@pytest.mark.parametrize("options", [{"static_argnums": 1}, {"static_argnums": (-1,)}])
def test_static_arguments(options):
    jitted = volta.jit(lambda x, n: x * n if type(n) is not str else x + len(n), **options)
    values = ["ab", "ab", 1, True, 1.0, 0.0, -0.0, float("nan"), float("nan"), "ab"]
    for value in values:
        found = jitted(np.asarray([1, 2]), value)
        wanted = np.asarray([1, 2]) * value if value != "ab" else np.asarray([3, 4])
        same(found, wanted)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(wanted))
    assert stagings(jitted) == 7


def test_static_arguments_by_name():
    jitted = volta.jit(lambda x, *, f: f(x), static_argnames="f")
    same(jitted(X, f=F.sin), np.sin(X))
    same(jitted(X, f=F.cos), np.cos(X))
    same(jitted(X, f=F.sin), np.sin(X))
    assert stagings(jitted) == 2
    assert "f=" in jitted.explain()
    assert jitted.eval_shape(X, f=F.sin) == volta.ShapeDtypeStruct((3,), np.float64)


# Guards -------------------------------------------------------------------------------------------


def collatz(n):
    count = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        count += 1
    return count


READS = {
    "if": (lambda x: x * 2 if F.sum(x) > 0 else -x, [X, -X, 3 * X]),
    "two ifs": (
        lambda x: (F.exp(x) if x[0] > 0 else x) + (F.sin(x) if x[1] > 0 else x),
        [np.asarray([a, b, 1.0]) for a in (1.0, -1.0) for b in (1.0, -1.0)],
    ),
    "while": (lambda n: collatz(n) + n * 0, [np.asarray(n) for n in (6, 7, 1, 6)]),
    "range": (
        lambda x: sum((x**i for i in range(int(x[0]))), x * 0),
        [np.asarray([n, 2.0]) for n in (3.0, 0.0, 3.5)],
    ),
    "index": (lambda x: [10, 20, 30][F.argmax(x)] * x, [X, X[::-1], -X]),
    "nonzero": (lambda x: F.nonzero(x > 0)[0] * 2, [X, -X, X + 9]),
    "mask": (lambda x: F.exp(x[x > 0]), [X, -X, X * 2]),
    "unique": (lambda x: F.unique_values(F.round(x)) + 1, [X, X * 3, X]),
    "inner grad": (
        lambda x: volta.grad(lambda y: F.sum(y**2 if y[0] > 0 else y**3))(x),
        [X, -X, X],
    ),
    "inner vmap": (
        lambda x: volta.vmap(lambda y: y * 2 if y > 0 else -y)(x),
        [X, -X, F.abs(X), X * 2],
    ),
    "closed over in a body": (
        lambda x: volta.scan(lambda c, y: (c * (2 if x[0] > 0 else 3) + y, None), x[0], x)[0],
        [X, -X],
    ),
    "in cond": (
        lambda x: volta.cond(
            x[1] > 0, lambda y: y * (2 if x[0] > 0 else 3), lambda y: -y, F.sin(x)
        ),
        [np.asarray([a, b, 1.0]) for a in (1.0, -1.0) for b in (1.0, -1.0)],
    ),
}


@pytest.mark.parametrize("name", READS)
def test_reads(name):
    fun, calls = READS[name]
    jitted = volta.jit(fun)
    for _ in range(2):
        for x in calls:
            same(jitted(x), fun(x))
        before = stagings(jitted)
    assert stagings(jitted) == before
    assert before <= len(calls)


def test_a_path_is_staged_once():
    jitted = volta.jit(READS["two ifs"][0])
    for x in READS["two ifs"][1] * 3:
        jitted(x)
    assert stagings(jitted) == 4
    text = jitted.explain()
    assert text.count("read True:") == 3
    assert text.count("read False:") == 3
    assert "test_jit.py:" in text


@pytest.mark.parametrize("name", ["numpy", "llvm"])
def test_it_is_told_what_runs_on_numpy(name):
    if name == "llvm" and not llvm.available():
        pytest.skip("llvmlite is not installed")
    jitted = volta.jit(lambda x: F.cumulative_sum(F.exp(x) + 1) * 2, backend=name)
    assert "entries" not in jitted.explain()
    jitted(np.ones(3))
    assert (
        jitted.explain().splitlines()[-1]
        == {
            "numpy": "  4 entries: on NumPy exp, add, cumulative_sum, multiply",
            "llvm": "  4 entries: 2 kernels; on NumPy cumulative_sum",
        }[name]
    )


def test_many_reads_in_a_row():
    def fun(x):
        while x < 1100:  # more than calls may be nested
            x = x + 1
        return x

    jitted = volta.jit(fun)
    assert jitted(np.asarray(0.0)) == 1100
    assert jitted(np.asarray(0.0)) == 1100
    assert jitted(np.asarray(1000.0)) == 1100
    assert stagings(jitted) == 2
    assert jitted.explain().count("read False:") == 2  # at the 101st read, and at the end


def test_paths_beyond_the_most_run_without_staging():
    runs = []

    def fun(x):
        runs.append(1)
        return x * int(x[0])

    jitted = volta.jit(fun)
    for n in range(31):
        jitted(np.asarray([float(n)]))
    with pytest.warns(
        UserWarning, match=r"^jit\(fun\): its Python code has gone 32 ways"
    ) as caught:
        jitted(np.asarray([40.0]))
    assert caught[0].filename == __file__
    for n in (0.0, 50.0, 50.0):
        same(jitted(np.asarray([n])), np.asarray([n * n]))
    assert len(runs) == 35
    same(jitted(np.asarray([1.0, 2.0])), np.asarray([1.0, 2.0]))


def test_the_most_paths_may_be_another_number():
    jitted = volta.jit(lambda x: x if x > 0 else -x, max_paths=1)
    with pytest.warns(UserWarning, match="has gone 1 ways"):
        assert jitted(np.asarray(2.0)) == 2
    assert jitted(np.asarray(-2.0)) == 2
    assert stagings(jitted) == 1


def test_functions_that_are_not_pure():
    flips = iter((True, False) * 10)

    def fun(x):
        if next(flips):
            x = x + 1
        return x * 2 if x[0] > 0 else x * 3

    jitted = volta.jit(fun)
    for x in (1.0, -5.0, 1.0, -5.0):
        assert jitted(np.asarray([x])).item() in {y * (2 if y > 0 else 3) for y in (x, x + 1)}


@pytest.mark.parametrize("first", [1.0, -1.0])
def test_effects_happen_once_a_call(first):
    seen = []

    def fun(x):
        volta.debug.callback(lambda x: seen.append(("in", float(x))), x)
        y = x * 2
        if y > 0:
            volta.debug.callback(lambda x: seen.append(("more", float(x))), y)
        volta.debug.callback(lambda x: seen.append(("out", float(x))), y)
        return y if y > -9 else x

    jitted = volta.jit(fun)
    for x in (first, -first, 5.0, -5.0, first):
        seen.clear()
        jitted(np.asarray(x))
        found = list(seen)
        seen.clear()
        fun(np.asarray(x))
        assert found == seen
    assert stagings(jitted) == 3


def test_printing(capsys):
    @volta.jit
    def fun(x):
        volta.debug.print("x={x}", x=x)
        return x

    fun(np.asarray(1.0))
    fun(np.asarray(2.0))
    assert capsys.readouterr().out == "x=1.0\nx=2.0\n"


# Modules ------------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        self.first = nn.Linear(3, 4, key=F.random.key(0), dtype=F.float64)
        self.rest = [nn.Linear(4, 3, key=F.random.key(1), dtype=F.float64)]
        self.scale = 2.0

    def __call__(self, x):
        x = F.tanh(self.first(x)) * (self.scale if self.training else 1)
        for one in self.rest:
            x = one(x)
        return x

    def loss(self, x):
        return F.sum(self(x) ** 2)

    @volta.jit
    def fast(self, x):
        """Fast."""
        return self(x) * 3


NET = Net()


def through_a_default(x, net=NET):
    return net(x)


WAYS = {
    "argument": lambda net: functools.partial(volta.jit(lambda net, x: net(x)), net),
    "fun": volta.jit,
    "bound method": lambda net: volta.jit(net.loss),
    "closure": lambda net: volta.jit(lambda x: net(x)),
    "global": lambda net: volta.jit(lambda x: NET(x)),
    "in a closed over list": lambda net: volta.jit(lambda x, nets=([net],): nets[0][0](x)),
    "through another jit": lambda net: volta.jit(lambda x: inner_of(net)(x)),
    "decorated method": lambda net: net.fast,
    "bound decorated method": lambda net: volta.jit(net.fast),
}


@functools.cache
def inner_of(net):
    return volta.jit(lambda x: net(x))


def change_weight(net):
    net.first.weight = net.first.weight * 1.5


def change_by_update(net):
    net.update({"first.bias": net.first.bias + 1})


def change_layer(net):
    net.rest[0] = nn.Linear(4, 3, key=F.random.key(5), dtype=F.float64)


def add_layer(net):
    net.rest.append(nn.Linear(3, 3, key=F.random.key(6), dtype=F.float64))


def change_static(net):
    net.scale = net.scale + 1


CHANGES = [
    change_weight,
    change_by_update,
    nn.Module.eval,
    change_layer,
    add_layer,
    nn.Module.train,
    change_static,
]


@pytest.mark.parametrize("way", WAYS)
def test_modules_are_read_however_they_come(way, monkeypatch):
    net = Net()
    monkeypatch.setitem(globals(), "NET", net)
    eager = {"bound method": net.loss}.get(way, net)
    factor = 3 if "decorated" in way else 1
    jitted = WAYS[way](net)
    for change in (lambda net: None, *CHANGES, *CHANGES):
        change(net)
        for _ in range(2):
            same(jitted(X), eager(X) * factor)


ONE_BY_ONE = volta.vmap(lambda net, x: net(x), in_axes=(None, 0))
BY_ARGUMENT = {  # functions, and what of the net they take
    "module": (lambda net, x: net(x), lambda net: net),
    "vmap": (lambda net, x: ONE_BY_ONE(net, x), lambda net: net),
    "parts without arrays": (lambda nets, x: nets[1](nets[0](x)), lambda net: (ONE, net)),
    "parameters": (lambda p, x: nn.functional_call(SAME, p, x), Net.parameters),
}
ONE = nn.Sequential(nn.Identity(), nn.Dropout(0.0).eval())
SAME = Net()


@pytest.mark.parametrize("way", BY_ARGUMENT)
def test_weights_of_arguments_are_no_part_of_the_kind(way):
    net = Net()
    fun, taken = BY_ARGUMENT[way]
    jitted = volta.jit(fun)
    for _ in range(3):
        same(jitted(taken(net), M), net(M))
        change_weight(net)
        gc.collect()  # copies that the function has read are gone
    assert stagings(jitted) == 1
    (program,) = jitted._programs.values()
    assert bool(program.modules) == (way == "parameters")  # nothing is compared at each call


def test_weights_of_the_module_whose_method_it_is_are_none_either():
    net = Net()
    jitted = volta.jit(net.loss)
    for _ in range(3):
        same(jitted(X), net.loss(X))
        change_weight(net)
        gc.collect()
    assert stagings(jitted) == 1


def test_a_module_that_was_not_written_to_is_not_staged_again():
    net = Net()
    jitted = volta.jit(lambda x: net(x))
    for _ in range(3):
        jitted(X)
    assert stagings(jitted) == 1
    change_weight(net)
    jitted(X)
    assert "2. Linear, which it closes over, was written to" in jitted.explain()


def test_modules_of_every_path_are_watched():
    a, b = Net(), Net()
    jitted = volta.jit(lambda x: a(x) if x[0] > 0 else b(x))
    ahead, back = F.abs(X), -F.abs(X)
    for change in (lambda net: None, change_weight):
        change(a)
        same(jitted(ahead), a(ahead))
        same(jitted(back), b(back))
        change(b)
        same(jitted(back), b(back))
        same(jitted(ahead), a(ahead))


def test_a_module_that_takes_the_place_of_another():
    nets = [Net()]
    jitted = volta.jit(lambda x: nets[0](x))
    same(jitted(X), nets[0](X))
    nets[0] = Net().eval()
    gc.collect()
    same(jitted(X), nets[0](X))
    assert "a module that it read is gone" in jitted.explain()


def test_a_module_made_inside_is_not_watched():
    def fun(x):
        model = nn.Sequential(nn.Identity(), nn.Linear(3, 2, key=F.random.key(0), dtype=F.float64))
        return model(x)

    same(twice(fun, X), fun(X))


def test_buffers():
    model = nn.BatchNorm1d(3)
    jitted = volta.jit(lambda p, b, x: nn.stateful_call(model, p, b, x))
    params, buffers = model.parameters(), model.buffers()
    wanted = buffers
    for _ in range(3):
        x = rng.normal(size=(5, 3)).astype(np.float32)
        found, buffers = jitted(params, buffers, x)
        y, wanted = nn.stateful_call(model, params, wanted, x)
        same((found, buffers), (y, wanted), rtol=1e-5)
    assert stagings(jitted) == 1
    with pytest.raises(TraceError, match="stateful_call"):
        volta.jit(lambda model, x: model(x))(model, x)


def test_training_by_a_jitted_step():
    def step(net, x, rate):
        grads = volta.grad(Net.loss)(net, x)
        return {k: p - rate * grads[k] for k, p in net.parameters().items()}

    one, other = Net(), Net()
    jitted = volta.jit(step)
    for _ in range(3):
        one.update(jitted(one, X, 0.1))
        other.update(step(other, X, 0.1))
    same(one.parameters(), other.parameters())
    assert stagings(jitted) == 1


# Over and under other transforms ------------------------------------------------------------------


def smooth(x, w):
    return F.sin(x * w) * w + F.exp(-x) @ w


def guarded(x, w):
    y = F.sin(x * w)
    if F.sum(y) > 0:
        y = y * w
    return y + F.sum(x) if w[0] > 0 else y**2


@volta.custom_vjp
def tripled(x):
    return x * 3


tripled.defvjp(lambda x: (x * 3, x), lambda x, ct: (ct * x,))

FUNS = {
    "smooth": smooth,
    "guarded": guarded,
    "checkpoint": volta.checkpoint(smooth),
    "custom": lambda x, w: F.sin(tripled(x) * w),
    "scan": lambda x, w: volta.scan(lambda c, y: (F.sin(c * y) + w, c @ w), w, x)[0],
    "guard before scan": lambda x, w: volta.scan(
        lambda c, y: (F.sin(c * y), c @ w), w if x[0] > 0 else -w, x
    ),
    "cond": lambda x, w: volta.cond(x[0] > 0, smooth, lambda x, w: x - w, x, w),
    "nested": lambda x, w: volta.jit(guarded)(F.sin(x), volta.jit(smooth)(x, w)),
    "inner grad": lambda x, w: volta.grad(lambda y: F.sum(guarded(y, w)))(x),
}


def total(fun):
    return lambda *args: sum(F.sum(F.sin(y)) for y in volta.tree.leaves(fun(*args)))


TRANSFORMS = {
    "grad": lambda fun: volta.grad(total(fun), (0, 1)),
    "jvp": lambda fun: lambda x, w: volta.jvp(fun, (x, w), (w, x)),
    "vjp": lambda fun: lambda x, w: (lambda y, pull: (y, pull(y)))(*volta.vjp(fun, x, w)),
    "linearize": lambda fun: lambda x, w: volta.linearize(fun, x, w)[1](w, x),
    "vmap": lambda fun: lambda x, w: volta.vmap(fun, in_axes=(0, None))(F.stack([x, -x, 2 * x]), w),
    "vmap both": lambda fun: lambda x, w: volta.vmap(fun)(F.stack([x, -x]), F.stack([w, -w])),
    "jacfwd": lambda fun: volta.jacfwd(fun),
    "hessian": lambda fun: volta.hessian(total(fun)),
    "jit": volta.jit,
    "checkpoint": volta.checkpoint,
    "grad of vmap": lambda fun: volta.grad(total(TRANSFORMS["vmap both"](fun))),
    "vmap of grad": lambda fun: TRANSFORMS["vmap both"](volta.grad(total(fun))),
}


READ = ("guarded", "guard before scan", "nested", "inner grad")


def funs_and_transforms():
    """Pairs; those with transforms of two steps in sweeps but for three functions."""
    for name in FUNS:
        for transform in TRANSFORMS:
            twofold = transform in ("grad of vmap", "vmap of grad", "hessian", "jacfwd")
            often = not twofold or name in ("smooth", "guarded", "scan")
            yield pytest.param(name, transform, marks=() if often else pytest.mark.slow)


@pytest.mark.grad_check
@pytest.mark.parametrize(("name", "transform"), [*funs_and_transforms()])
def test_over_and_under(name, transform):
    fun, change = FUNS[name], TRANSFORMS[transform]
    if transform == "checkpoint" and name in READ:  # there is no value, with jit or without it
        for one in (volta.jit(change(fun)), volta.grad(total(change(volta.jit(fun))))):
            with pytest.raises(TraceError, match=r"^bool: needs a concrete value"):
                one(X, W)
        return
    over, under = volta.jit(change(fun)), change(volta.jit(fun))
    for args in ((X, W), (-X, W), (X, -W), (X, W)):
        wanted = change(fun)(*args)
        same(over(*args), wanted)
        same(under(*args), wanted)


@pytest.mark.grad_check
@pytest.mark.parametrize("name", FUNS)
def test_derivatives_are_those_of_differences(name):
    if name != "custom":  # whose rule is none
        check(volta.jit(FUNS[name]), X, W)


Z = np.asarray([0.0, 4.0])
SECOND = np.asarray([False, True])
MASKED = {
    "after": lambda x: F.where(x > 0, volta.jit(F.sqrt)(x), 0.0),
    "inside": volta.jit(lambda x: F.where(x > 0, F.sqrt(x), x)),
    "singular before": lambda x: volta.jit(lambda x: F.where(SECOND, x, 1.0))(F.sqrt(x)),
    "singular after": lambda x: F.sqrt(volta.jit(lambda x: F.where(SECOND, x, 0.0))(x)),
    "guarded": volta.jit(lambda x: F.where(x > 0, F.sqrt(x), x) if x[1] > 0 else x),
}


@pytest.mark.grad_check
@pytest.mark.parametrize("modes", SEQUENCES)
@pytest.mark.parametrize("name", MASKED)
def test_masked_zeros_stay_zeros(name, modes):
    check_masked(MASKED[name], modes)


def test_lanes_part_as_they_do_in_python():
    jitted = volta.jit(lambda x: F.sin(x) if x > 0 else -x)
    lanes = np.asarray([1.0, -2.0, 3.0])
    for _ in range(2):
        same(volta.vmap(jitted)(lanes), np.where(lanes > 0, np.sin(lanes), -lanes))
        same(jitted(lanes[0]), np.asarray(np.sin(1.0)))


def test_reads_of_lanes_inside_do_not_stage_each_call():
    jitted = volta.jit(READS["inner vmap"][0])
    for _ in range(3):
        jitted(X)
    assert stagings(jitted) == 1


def test_closing_over_an_outer_tracer():
    inner = None

    def fun(w, x):
        nonlocal inner
        inner = volta.jit(lambda x: F.sin(x * w) if w[0] > -9 else x)
        return F.sum(inner(x) + inner(x))

    same(volta.grad(fun)(W, X), 2 * np.cos(X * W) * X)
    assert "for one call, as it closes over an array of grad(fun)" in inner.explain()
    assert "program" not in inner.explain()
    same(volta.vmap(fun, in_axes=(0, None))(M, X), 2 * np.sin(X * M).sum(1))
    same(volta.jit(volta.grad(fun))(W, X), 2 * np.cos(X * W) * X)


def test_collectives_of_an_outer_axis():
    jitted = volta.jit(lambda x: x / volta.psum(F.sum(x), "lanes"))
    for _ in range(2):
        same(volta.vmap(jitted, axis_name="lanes")(M), M / M.sum())


def test_constants_are_read_as_arrays():
    jitted = volta.jit(lambda x: F.exp(x))
    for x in (X, volta.lift(X), X, volta.lift(X)):
        found = jitted(x)
        assert type(found) is np.ndarray
        same(found, np.exp(X))


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: volta.jit(3), TypeError, r"^jit: fun must be callable; got int\."),
        (lambda: volta.jit(F.sin, max_paths=0), ValueError, r"^jit: max_paths must be at least 1"),
        (lambda: volta.jit(F.sin, static_argnum=0), TypeError, "did you mean 'static_argnums'"),
        (
            lambda: volta.jit(F.sin, static_argnums=1)(X),
            ValueError,
            r"^jit\(sin\): static_argnums must number positional arguments of the call; got",
        ),
        (
            lambda: volta.jit(lambda n, x: x, static_argnums=0)([1], X),
            TypeError,
            r"^jit\(<lambda>\): static arguments must be hashable; got list for 0\. Pass a tuple",
        ),
        (
            lambda: volta.jit(lambda x, s: x)(X, "text"),
            DTypeError,
            r"^jit\(<lambda>\): every leaf must be an array or a number; got str\." + BESIDE,
        ),
        (
            lambda: volta.jit(lambda x: x)(volta.ShapeDtypeStruct((3,), np.float64)),
            DTypeError,
            r"^jit\(<lambda>\): every leaf must be an array or a number; got ShapeDtypeStruct\.",
        ),
        (
            lambda: volta.jit(lambda x: "text")(X),
            DTypeError,
            r"^jit\(<lambda>\): every leaf must be an array or a number; got str\." + BESIDE + LINE,
        ),
        (
            lambda: volta.jit(lambda x: x * float(x[0]))(X),
            TraceError,
            r"^float: would cut the array off from jit\(<lambda>\).* test_jit\.py:\d+",
        ),
        (
            lambda: volta.jit(lambda x: np.asarray(x))(X),
            TraceError,
            r"^numpy\.asarray: would cut the array off from jit\(<lambda>\)",
        ),
        (
            lambda: volta.jit(lambda x, w: x @ w)(X, M[:2]),
            ShapeError,
            r"matmul: the last axis of x1 must equal .*\(line: test_jit\.py:\d+\)",
        ),
        (
            lambda: volta.jit(
                lambda x: volta.scan(lambda c, y: (c if y > 0 else -c, None), x[0], x)
            )(X),
            TraceError,
            r"^bool: needs a concrete value; got an array traced by scan\(<lambda>\) at test_jit",
        ),
        (
            lambda: volta.jit(lambda x: x if x[0] > 0 else -x).lower(X),
            TraceError,
            r"^bool: needs a concrete value; got an array traced by jit\(<lambda>\) at test_jit",
        ),
        (
            lambda: volta.jit(F.sin).lower(X).compile()(X[:2]),
            TypeError,
            r"^jit\(sin\): what was compiled takes arguments like those that it was lowered for; "
            r"got \(float64\[2\]\) and \(float64\[3\]\)\." + LINE,
        ),
        (
            lambda: volta.jit(lambda x: x + strict.asarray(1.0))(library("torch").asarray(X)),
            DeviceError,
            "arrays of one library must meet",
        ),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("read", [False, True])
def test_errors_that_depend_on_values_name_the_users_line(read):
    def fun(x, i):
        y = F.take(x, i)
        return y if not read or y[0] > -9 else -y

    line = fun.__code__.co_firstlineno + 1
    jitted = volta.jit(fun)
    message = rf"^gather: indices must be from -3 to 2 .*; got 7.*\(line: test_jit\.py:{line}\)$"
    for _ in range(2):
        with pytest.raises(DimensionError, match=message):
            jitted(X, np.asarray([7]))
        same(jitted(X, np.asarray([1])), X[1:2])


def test_reads_in_a_body_name_the_line_that_read():
    def inner(c):
        return c if c > 0 else -c

    line = inner.__code__.co_firstlineno + 1
    jitted = volta.jit(inner)
    start = np.asarray(1.0)
    jitted(start)
    with pytest.raises(TraceError, match=r"^bool: needs a concrete value; got") as caught:
        volta.scan(lambda c, y: (jitted(c), None), start, X)
    assert caught.value.line == f"test_jit.py:{line}"


def test_a_failed_staging_leaves_nothing():
    fails = [True]

    def fun(x):
        if x[0] > 0 and fails[0]:
            raise KeyError
        return x * 2

    jitted = volta.jit(fun)
    with pytest.raises(KeyError):
        jitted(F.abs(X))
    assert jitted.explain() == "jit(fun): staged 0 times"
    same(jitted(-F.abs(X)), -2 * F.abs(X))
    with pytest.raises(KeyError):
        jitted(F.abs(X))
    assert stagings(jitted) == 1
    fails[0] = False
    same(jitted(F.abs(X)), 2 * F.abs(X))
    assert stagings(jitted) == 2


# Threads, watchers, memory ------------------------------------------------------------------------


def test_threads_that_stage_the_same():
    barrier = threading.Barrier(4)

    def fun(x):
        y = F.sin(x)
        for i in range(3):
            y = y * 2 if y[i] > 0 else y - F.sum(y)
        return y

    jitted = volta.jit(fun)
    calls = [np.asarray([a, b, c]) for a in (1.0, -1) for b in (1.0, -1) for c in (1.0, -1)]
    wrong = []

    def work():
        barrier.wait()
        for x in calls * 5:
            try:
                same(jitted(x), fun(x))
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    paths = sum(p.stagings for p in jitted._programs.values())
    assert paths <= 8


def test_a_tree_that_grows_while_it_is_walked():
    walking, grown = threading.Event(), threading.Event()
    waiter = threading.Thread(target=lambda: found.append(jitted(np.asarray(1.0))))
    found = []

    def wait(x):
        if threading.current_thread() is waiter:
            walking.set()
            assert grown.wait(10)

    def fun(x):
        y = F.exp(x)
        volta.debug.callback(wait, x)
        return x if x > 0 else y  # which makes the first part return one more

    jitted = volta.jit(fun)
    jitted(np.asarray(1.0))
    waiter.start()
    assert walking.wait(10)
    same(jitted(np.asarray(-1.0)), np.exp(-1.0))
    grown.set()
    waiter.join()
    assert found == [1.0]


def test_a_path_that_two_threads_stage_counts_once():
    barrier = None

    def fun(x):
        if barrier is not None:
            barrier.wait(10)
        return x if x > 0 else -x

    jitted = volta.jit(fun, max_paths=3)
    jitted(np.asarray(1.0))
    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=jitted, args=(np.asarray(-1.0),)) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    (program,) = jitted._programs.values()
    assert program.stagings == 2


def test_a_function_that_stages_in_another_thread():
    jitted = volta.jit(lambda x: x * 2)

    def fun(x):
        found = []
        t = threading.Thread(target=lambda: found.append(jitted(X)))
        t.start()
        t.join(10)
        assert found
        return jitted(x)

    same(volta.jit(fun)(X), X * 2)


def test_watchers_see_every_operation():
    runs = []

    def fun(x):
        runs.append(1)
        return F.log(x) * 0

    jitted = volta.jit(fun)
    jitted(F.abs(X))
    with (
        np.errstate(invalid="ignore"),
        volta.debug_nans(),
        pytest.raises(FloatingPointError, match=r"log.*test_jit\.py:\d+"),
    ):
        jitted(-F.abs(X))
    assert len(runs) == 2


def test_nothing_staged_keeps_the_arrays_of_a_call():
    kept = []

    def fun(x, y):
        kept.append(x)
        z = F.exp(x) * y
        return z if F.sum(z) > 0 else -z

    jitted = volta.jit(fun)
    gc.disable()
    try:
        for sign in (1, -1):
            x, y = sign * np.ones(3), np.ones(3) * sign
            alive = weakref.ref(x), weakref.ref(y)
            out = weakref.ref(jitted(x, y))
            del x, y
            assert [a() for a in (*alive, out)] == [None, None, None]
    finally:
        gc.enable()
    assert stagings(jitted) == 2


def test_memory_does_not_grow():
    net = Net()
    jitted = volta.jit(lambda net, x, n: net(x) * n if x[0] > 0 else x * n)
    other = volta.jit(lambda x: F.sum(net(x)))

    def closing(w):
        return F.sum(volta.grad(lambda v: F.sum(F.sin(v * w)))(w))

    closed = volta.jit(closing)

    def calls(n):
        for i in range(n):
            jitted(net, X if i % 2 else -X, i)
            closed(X)
            if i % 5 == 0:
                change_weight(net)
                other(X)

    tracemalloc.start()
    try:
        calls(400)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        calls(2000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 60_000  # 30 bytes a call; what is kept by chance has been 34 kB in all


# The function that is returned --------------------------------------------------------------------


def test_it_looks_like_the_function():
    def fun(x):
        """Doc."""

    jitted = volta.jit(fun)
    assert (jitted.__name__, jitted.__doc__, jitted.__wrapped__) == ("fun", "Doc.", fun)
    assert repr(jitted) == "<jit(fun)>"
    assert repr(volta.jit(functools.partial(fun, x=1))) == "<jit(partial)>"
    assert volta.jit(static_argnums=1)(fun).__name__ == "fun"
    assert Net.fast.__doc__ == NET.fast.__doc__ == "Fast."
    assert NET.fast.__self__ is NET


def test_copies():
    jitted = volta.jit(F.sin)
    for made in (copy.copy(jitted), copy.deepcopy(jitted)):
        same(made(X), np.sin(X))
    net = Net()
    net.step = volta.jit(net.loss)
    other = copy.deepcopy(net)
    change_weight(other)
    same(other.step(X), other.loss(X))
    same(net.step(X), net.loss(X))


@pytest.mark.parametrize("name", LIBRARIES)
def test_lowering(name):
    xp = library(name)
    x = xp.asarray(X.astype(np.float32))
    jitted = volta.jit(lambda x, n: {"y": F.sin(x) * n, "one": (1, X[0])})
    lowered = jitted.lower(volta.ShapeDtypeStruct((3,), x.dtype) if name == "numpy" else x, 2.0)
    assert "= sin(%0)" in str(lowered)
    found = lowered.compile()(x, 3.0)
    same(
        volta.tree.map(np.asarray, found),
        {"y": np.sin(np.float32(X)) * np.float32(3), "one": (np.asarray(1), X[0])},
        rtol=1e-6,
    )
    assert type(found["one"][0]) is int
    assert stagings(jitted) == 0


def test_shapes_of_results():
    jitted = volta.jit(lambda x, n: {"y": x[:n]}, static_argnums=1)
    assert jitted.eval_shape(X, 2) == {"y": volta.ShapeDtypeStruct((2,), np.float64)}


# Calls like the last one --------------------------------------------------------------------------


def test_calls_like_the_last_one_take_the_short_way():
    held = np.full(3, 10.0)

    def fun(xs, scale):
        a, b = xs["a"], xs["b"]
        return {"sum": a * scale + held, "same": b, "number": 2.5, "held": held}, [a * scale + held]

    jitted = volta.jit(fun)
    args = {"a": np.ones(3), "b": np.arange(2)}, np.asarray(3.0)
    assert jitted._direct is None
    jitted(*args)
    way = jitted._direct
    assert way is not None
    for _ in range(3):
        found = jitted(*args)
        wanted = fun(*args)
        assert volta.tree.structure(found) == volta.tree.structure(wanted)
        for x, y in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
            np.testing.assert_array_equal(x, y)
    assert jitted._direct is way
    assert jitted._stagings == 1


def test_what_is_not_like_the_last_call_takes_the_long_way():
    def fun(x, y=None):
        return x * 2 if y is None else x * y

    jitted = volta.jit(fun)
    x = np.ones(3)
    calls = [
        ((x,), {}),
        ((x, x), {}),
        ((x,), {"y": x}),
        ((np.ones(4),), {}),
        ((x.astype("f4"),), {}),
        ((x.astype(">f8"),), {}),
        ((3.0,), {}),
        ((np.float64(3),), {}),
        ((np.ma.masked_array(x).data.view(type("Own", (np.ndarray,), {})),), {}),
        ((x[:, None],), {}),
    ]
    for _ in range(2):
        for args, kwargs in [*calls, *reversed(calls)]:
            found, wanted = jitted(*args, **kwargs), fun(*args, **kwargs)
            np.testing.assert_array_equal(found, wanted)
            jitted(*args, **kwargs)


def test_the_short_way_heeds_settings_and_transforms_and_the_lists_of_others():
    def fun(x):
        return F.ones(2) * F.sum(x)

    jitted, x = volta.jit(fun), np.ones(3, "f4")
    for _ in range(2):
        assert jitted(x).dtype == np.float32
        with volta.default_dtype("float64"):
            assert jitted(x).dtype == np.float64
    np.testing.assert_array_equal(volta.grad(lambda x: F.sum(jitted(x)))(x), np.full(3, 2.0))
    np.testing.assert_array_equal(volta.vmap(jitted)(np.ones((4, 3), "f4")), np.full((4, 2), 3.0))
    assert [e.primitive.name for e in volta.trace(jitted)(x).entries] == ["jit"]
    np.testing.assert_array_equal(volta.jit(lambda x: jitted(x) + 1)(x), np.full(2, 4.0))


def test_a_function_that_decides_has_no_short_way():
    jitted = volta.jit(lambda x: x * 2 if F.sum(x) > 0 else -x)
    for x in (np.ones(2), -np.ones(2), np.ones(2)):
        np.testing.assert_array_equal(jitted(x), np.full(2, 2.0) if x[0] > 0 else np.ones(2))
        assert jitted._direct is None


def test_the_short_way_ends_with_the_cache():
    scale = [2.0]
    jitted = volta.jit(lambda x: x * scale[0])
    x = np.ones(2)
    jitted(x), jitted(x)
    scale[0] = 3.0
    np.testing.assert_array_equal(jitted(x), [2.0, 2.0])
    jitted.clear_cache()
    np.testing.assert_array_equal(jitted(x), [3.0, 3.0])


def test_a_write_to_a_module_is_seen_on_the_short_way():
    layer = volta.nn.Linear(2, 2, key=F.random.key(0))
    by_argument, by_closure = volta.jit(lambda m, x: m(x)), volta.jit(lambda x: layer(x))
    x = np.ones((1, 2), "f4")
    for scale in (1.0, 2.0, 0.5):
        layer.weight = np.full((2, 2), scale, "f4")
        for _ in range(3):
            np.testing.assert_array_equal(by_argument(layer, x), layer(x))
            np.testing.assert_array_equal(by_closure(x), layer(x))


def test_an_error_on_the_short_way_is_the_same():
    jitted = volta.jit(lambda x, i: x[i] * 2)
    x, good = np.ones(3), np.asarray([0, 1])
    jitted(x, good), jitted(x, good)
    with pytest.raises(IndexError, match=r"gather: indices must be from -3 to 2") as caught:
        jitted(x, np.asarray([0, 9]))
    assert "test_jit.py" in str(caught.value)
    np.testing.assert_array_equal(jitted(x, good), [2.0, 2.0])


# Static arguments by place and by name ------------------------------------------------------------


def test_a_static_argument_is_so_by_position_and_by_keyword():
    def fun(x, n, *, scale=1):
        assert type(n) is int
        for _ in range(n):
            x = x * 2
        return x * scale

    x = np.ones(2)
    for options in ({"static_argnums": 1}, {"static_argnames": "n"}, {"static_argnames": ("n",)}):
        jitted = volta.jit(fun, **options)
        for n in (1, 2, 3):
            np.testing.assert_array_equal(jitted(x, n), fun(x, n))
            np.testing.assert_array_equal(jitted(x, n=n), fun(x, n))
        np.testing.assert_array_equal(jitted(n=2, x=x), fun(x, 2))
        np.testing.assert_array_equal(jitted(x, 2, scale=3), fun(x, 2, scale=3))


def test_a_static_argument_may_be_left_out():
    jitted = volta.jit(lambda x, n=2: x * n if type(n) is int else None, static_argnums=1)
    np.testing.assert_array_equal(jitted(np.ones(2)), [2.0, 2.0])
    np.testing.assert_array_equal(jitted(np.ones(2), 3), [3.0, 3.0])


def test_a_static_name_that_is_no_parameter_is_told():
    message = r"^jit: static_argnames must be parameters of fun; got 'm', and it has 'x', 'n'\. "

    def fun(x, n):
        return x * n

    with pytest.raises(ValueError, match=message):
        volta.jit(fun, static_argnames=("n", "m"))
    taken = volta.jit(lambda x, **options: x * options["m"], static_argnames="m")
    np.testing.assert_array_equal(taken(np.ones(2), m=2), [2.0, 2.0])


def test_static_places_of_methods_and_builtins():
    class Model:
        @functools.partial(volta.jit, static_argnames="n")
        def run(self, x, n):
            assert type(n) is int
            return x * n

    model = Model()
    with pytest.raises(TypeError):  # a model is no array
        model.run(np.ones(2), 3)
    np.testing.assert_array_equal(volta.jit(np.negative)(np.ones(2)), [-1.0, -1.0])
    with pytest.raises(ValueError, match=r"static_argnums must number positional arguments"):
        volta.jit(lambda *xs: xs[0], static_argnums=4)(np.ones(2))


# The short way: trees that are like the last one, and that are not --------------------------------

Pair = namedtuple("Pair", ["x", "y"])
Other = namedtuple("Other", ["x", "y"])


LEFT, RIGHT = np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0])
TREES = {
    "tuple": (LEFT, RIGHT),
    "list": [LEFT, RIGHT],
    "nested": ((LEFT,), [RIGHT, None], {}),
    "without None": ((LEFT,), [RIGHT, LEFT], {}),
    "a dict": {"x": LEFT, "y": RIGHT},
    "a dict in another order": {"y": RIGHT, "x": LEFT},
    "another key": {"x": LEFT, "z": RIGHT},
    "fewer keys": {"x": LEFT},
    "keys of other kinds": {1: LEFT, (2, "a"): RIGHT},
    "a bool for a key": {True: LEFT, (2, "a"): RIGHT},
    "dicts in dicts": {"a": {"b": [LEFT]}, "c": {"b": (RIGHT,)}},
    "a named tuple": Pair(LEFT, RIGHT),
    "of another class": Other(LEFT, RIGHT),
    "in a list": [Pair(LEFT, [RIGHT])],
    "ordered": OrderedDict(x=LEFT, y=RIGHT),
    "an array": LEFT,
    "empty": (),
    "nothing": None,
}


class _Turned(Pair):
    """Elements by numbers are not those of the tree."""

    def __getitem__(self, i):
        return tuple.__getitem__(self, 1 - i)


def test_a_named_tuple_with_elements_of_its_own():
    jitted = volta.jit(lambda pair: (pair.x - 2 * pair.y, _Turned(pair.y, pair.x)))
    for _ in range(3):
        found, turned = jitted(_Turned(LEFT, RIGHT))
        np.testing.assert_array_equal(found, LEFT - 2 * RIGHT)
        np.testing.assert_array_equal(turned.x, RIGHT)


@pytest.mark.parametrize("first", TREES)
def test_calls_with_every_other_tree_after_one(first):
    def fun(tree, *, scale=None):
        return volta.tree.map(lambda x: x * 2, tree), [volta.tree.leaves(tree), scale]

    jitted = volta.jit(fun)
    for second in TREES.values():
        for tree in (TREES[first], second):
            for _ in range(3):
                found, wanted = jitted(tree), fun(tree)
                assert volta.tree.structure(found) == volta.tree.structure(wanted)
                assert type(found[0]) is type(wanted[0])
                for x, y in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
                    np.testing.assert_array_equal(x, y)
        jitted(TREES[first], scale=LEFT)
        with pytest.raises(TypeError):
            jitted(TREES[first], LEFT)


def test_the_short_way_is_taken(monkeypatch):
    """For trees of Python's containers, and for those with other nodes."""
    for tree in TREES.values():
        jitted = volta.jit(lambda tree: volta.tree.map(lambda x: x * 2, tree))
        jitted(tree)
        with monkeypatch.context() as patch:
            patch.setattr("volta.transforms.jit.Call", None)
            jitted(tree)
