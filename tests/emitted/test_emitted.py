"""Programs as source text: the module does what the function does, and stands alone."""

import ast
import builtins
import subprocess
import sys
from collections import namedtuple

import ml_dtypes
import numpy as np
import pytest
from samples import SAMPLES
from strategies import fill

import volta
import volta.functional as F
from volta import nn, optim
from volta.core.primitive import REGISTRY, Primitive
from volta.core.types import typeof
from volta.core.wengert import Entry, Literal, carried
from volta.debug import effects  # noqa: F401 - declares its primitive
from volta.emission.bundle import Bundle
from volta.emission.program import Writer
from volta.emission.spelling import Spelling

pytestmark = pytest.mark.core

X = fill(0, (4, 6), "float32")
Pair = namedtuple("Pair", "a b")


def function_of(source, folder=None):
    """The function of a source, from its text, or from files where there are large constants."""
    space = {"__name__": "emitted"}
    if source.constants:
        source.save(folder / "emitted.py")
        space["__file__"] = str(folder / "emitted.py")
    exec(compile(source.text, "<emitted>", "exec"), space)
    return space[source.name]


def emitted(fun, *args, folder=None, **kwargs):
    return function_of(volta.emit_source(fun)(*args, **kwargs), folder)


def same(found, wanted, rtol=0.0, atol=0.0):
    a, spec = volta.tree.flatten(found)
    b, other = volta.tree.flatten(wanted)
    assert spec == other
    for x, y in zip(a, b, strict=True):
        assert type(x) is type(y)
        assert typeof(x) == typeof(y)
        if rtol or atol:
            np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)
        else:
            np.testing.assert_array_equal(x, y)
            for part in (np.real, np.imag):  # zeros have signs
                np.testing.assert_array_equal(np.signbit(part(x)), np.signbit(part(y)))


# Every operation ----------------------------------------------------------------------------------

RULED = ("custom_linear_solve", "custom_root", "custom_rule")  # which call Python


def calls_python(wengert):
    return any(
        e.primitive.name in RULED or any(map(calls_python, carried(e))) for e in wengert.entries
    )


def exact(sample):
    """Whether the numbers are the same, or another formula, or order of sums, rounds otherwise.

    Special functions are SciPy's where it is installed, convolutions go one of many ways, and jit
    has functions of its own.
    """
    if sample.primitive == "jit":
        return False
    special = sample.chapter == "special" or sample.primitive.startswith(("incomplete_", "random_"))
    drawn = sample.name in ("bits", "randint", "uniform", "split", "fold_in")
    return bool(sample.primitive) and (
        drawn or not (special or sample.primitive.startswith("conv"))
    )


def pulled(sample):
    """The row's vector-Jacobian product, and its arguments."""

    def alone(*varied):
        args = list(sample.args)
        for i, a in zip(sample.diff, varied, strict=True):
            args[i] = a
        return sample.fun(*args)

    def pull(primals, cts):
        found, vjp_fn = volta.vjp(alone, *primals)
        return found, vjp_fn(cts)

    primals = tuple(sample.args[i] for i in sample.diff)
    cts = volta.tree.map(lambda y: np.cos(np.arange(y.size)).reshape(y.shape), alone(*primals))
    cts = volta.tree.map(lambda ct, y: np.asarray(ct, y.dtype), cts, alone(*primals))
    return pull, (primals, cts)


ROWS = [s for s in SAMPLES if s.primitive != "transfer"]  # whose arrays are another library's


@pytest.mark.parametrize("sample", ROWS, ids=lambda s: s.name)
def test_a_row_is_computed_as_by_its_function(sample, tmp_path):
    if calls_python(volta.trace(sample.fun)(*sample.args)):
        with pytest.raises(volta.TraceError, match="must not call Python"):
            volta.emit_source(sample.fun)(*sample.args)
        return
    with np.errstate(all="ignore"):  # some give constants, handles that hold an array
        wanted = volta.tree.map(np.asarray, sample.fun(*sample.args))
    rounding = {} if exact(sample) else {"rtol": 2e-12, "atol": 1e-14}
    same(emitted(sample.fun, *sample.args, folder=tmp_path)(*sample.args), wanted, **rounding)


@pytest.mark.slow  # of the same operations as the rows
@pytest.mark.parametrize("sample", [s for s in ROWS if s.diff and not s.jit], ids=lambda s: s.name)
def test_a_rows_derivative_is_computed_as_by_volta(sample, tmp_path):
    with np.errstate(all="ignore"):
        fun, args = pulled(sample)
        wanted = fun(*args)
    if calls_python(volta.trace(fun)(*args)):
        with pytest.raises(volta.TraceError, match="must not call Python"):
            volta.emit_source(fun)(*args)
        return
    same(emitted(fun, *args, folder=tmp_path)(*args), wanted, rtol=1e-10, atol=1e-12)


def test_every_operation_has_been_written_but_those_that_call_python():
    written = {s.primitive for s in ROWS if s.primitive} - {*RULED, "transfer"}
    named = {n for n, p in REGISTRY.items() if "axis_name" in (p.params or ()) or p.effect}
    assert set(REGISTRY) - written == {*RULED, "transfer"} | named


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", ml_dtypes.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    "sample", [s for s in ROWS if s.primitive and s.primitive not in RULED], ids=lambda s: s.name
)
def test_dtypes_are_those_of_the_list(sample, dtype, tmp_path):
    def narrow(a):
        a = np.asarray(a)
        if a.dtype.kind == "c":
            return a.astype("complex64")
        return a.astype(dtype) if a.dtype.kind == "f" else a

    args = tuple(map(narrow, sample.args))
    try:
        with np.errstate(all="ignore"):
            listed = volta.trace(sample.fun)(*args)
            wanted = listed(*args)
    except (TypeError, ValueError) as error:
        pytest.skip(f"the function takes no such dtype: {error}")
    found = emitted(sample.fun, *args, folder=tmp_path)(*args)
    rounding = 3e-5 if dtype == "float32" else 4e-2
    for x, y in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
        assert typeof(x) == typeof(y)
        if x.dtype.kind != "c":
            x, y = np.float64(x), np.float64(y)
        np.testing.assert_allclose(x, y, rtol=rounding, atol=rounding)


# Programs -----------------------------------------------------------------------------------------


def loss_of(network):
    def step(params, state, x, t, key):
        value, grads = volta.value_and_grad(network)(params, x, t, key)
        updates, state = optim.adam(1e-2).update(grads, state, params)
        return value, optim.apply_updates(params, updates), list(state[0])

    def flat(params, count, mu, nu, x, t, key):
        state = optim.adam(1e-2).init(params)
        own = state[0]._replace(count=count, mu=mu, nu=nu)
        return step(params, (own, *state[1:]), x, t, key)

    return flat


def mlp(params, x, t, key):
    h = F.gelu(x @ params["w"] + params["b"])
    return F.cross_entropy(F.dropout(h, 0.5, key=key) @ params["v"], t)


def convnet(params, x, t, key):
    h = F.relu(F.conv2d(x.reshape(4, 1, 2, 3), params["k"], padding=1))
    h = F.max_pool2d(h, (1, 3)).reshape(4, -1)
    return F.cross_entropy(h @ params["v"], t)


def lstm(params, x, t, key):
    def cell(carry, row):
        h, c = carry
        gates = row @ params["w"] + h @ params["u"] + params["b"]
        i, f, g, o = (gates[k * 3 : k * 3 + 3] for k in range(4))
        c = F.sigmoid(f) * c + F.sigmoid(i) * F.tanh(g)
        h = F.sigmoid(o) * F.tanh(c)
        return (h, c), h

    zero = F.zeros(3, dtype=F.float32)
    (h, _), hs = volta.scan(cell, (zero, zero), x)
    return F.cross_entropy(hs, t) + F.sum(h * h)


def transformer(params, x, t, key):
    h = F.layer_norm(x, 6)
    q, k, v = (h @ params[name] for name in "qkv")
    h = x + F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
    return F.cross_entropy(h + F.gelu(F.rms_norm(h, 6) @ params["w"]), t)


NETWORKS = {
    "mlp": (mlp, {"w": (6, 5), "b": (5,), "v": (5, 3)}),
    "convnet": (convnet, {"k": (2, 1, 3, 3), "v": (4, 3)}),
    "lstm": (lstm, {"w": (6, 12), "u": (3, 12), "b": (12,)}),
    "transformer": (transformer, {"q": (6, 6), "k": (6, 6), "v": (6, 6), "w": (6, 6)}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_step(name, tmp_path):
    network, shapes = NETWORKS[name]
    params = {k: fill(i, s, "float32") for i, (k, s) in enumerate(shapes.items())}
    zeros = {k: np.zeros_like(p) for k, p in params.items()}
    t = np.asarray([0, 1, 2, 1])
    args = (params, np.asarray(0, np.int32), zeros, zeros, X, t, F.random.key(1))
    fun = loss_of(network)
    step = emitted(fun, *args, folder=tmp_path)
    same(step(*args), fun(*args), rtol=1e-4, atol=1e-6)
    value, params, (count, mu, nu) = step(*args)
    again = (params, count, mu, nu, X, t, F.random.key(2))
    same(step(*again), fun(*again), rtol=1e-3, atol=1e-5)
    assert step(*again)[0] < value or name == "mlp"  # which drops other elements each time


def test_branches_of_all_numbers():
    def chosen(i, x):
        return volta.switch(i, [F.sin, lambda x: x**3, lambda x: F.cumulative_sum(x)], x)

    x = np.asarray([0.5, -2.0])
    program = emitted(chosen, np.asarray(0), x)
    for i in (-1, 0, 1, 2, 7):
        same(program(np.asarray(i), x), chosen(np.asarray(i), x))


def test_both_ways_of_a_condition_and_its_derivative():
    def chosen(x):
        return volta.cond(F.sum(x) > 0, lambda x: (x * 2, x), lambda x: (-x, x * x), x)

    def slope(x):
        return volta.grad(lambda x: F.sum(chosen(x)[0]) + F.sum(chosen(x)[1]))(x)

    x = np.asarray([1.0, 2.0])
    programs = emitted(chosen, x), emitted(slope, x)
    for sign in (1, -1):
        same(programs[0](sign * x), chosen(sign * x))
        same(programs[1](sign * x), slope(sign * x))


def test_loops_of_unknown_length_and_their_way_back():
    def grown(a, x):
        return volta.while_loop(lambda v: F.sum(v) < 30, lambda v: v * a + 0.001, x)

    slope = volta.grad(lambda a, x: F.sum(grown(a, x)), argnums=(0, 1))
    a, x = np.asarray([1.001, 1.0]), np.asarray([0.5, 0.25])
    programs = emitted(grown, a, x), emitted(slope, a, x)
    for start in (x, x * 100, x * 10):  # some thousand steps, none, some hundred
        same(programs[0](a, start), grown(a, start))
        same(programs[1](a, start), slope(a, start), rtol=1e-9)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 3])
def test_loops_of_known_length(length, reverse):
    def looped(x, xs):
        carry, ys = volta.scan(lambda c, v: (c + v, (c, v * 2)), x, xs, reverse=reverse)
        count = volta.fori_loop(0, 5, lambda i, c: c * 2 + i, 1)
        return carry, ys, count, volta.scan(lambda c, _: (c, None), x, length=2)[0]

    args = np.asarray(1.0), np.arange(float(length))
    same(emitted(looped, *args)(*args), looped(*args))


def test_a_loop_in_a_loop_under_vmap_and_grad():
    def inner(c, x):
        return volta.fori_loop(0, 3, lambda _, v: F.sin(v) * x, c), c * x

    def nested(xs):
        def outer(c, x):
            c = volta.checkpoint(lambda c: volta.cond(c > 0.2, F.exp, F.negative, c))(c)
            return volta.scan(inner, c, F.stack([x, x * 2]))[0], c

        return F.sum(volta.scan(outer, np.asarray(0.3), xs)[1])

    fun = volta.vmap(volta.value_and_grad(nested))
    xs = np.cos(np.arange(6.0)).reshape(2, 3)
    same(emitted(fun, xs)(xs), fun(xs), rtol=1e-12)


def test_a_layer_with_large_parameters(tmp_path):
    model = nn.Sequential(
        nn.Linear(6, 30, key=F.random.key(0)), nn.Linear(30, 2, key=F.random.key(1))
    )
    source = volta.emit_source(model)(X)
    assert [c.shape for c in source.constants.values()] == [(6, 30)]
    same(function_of(source, tmp_path)(X), model(X), rtol=1e-6, atol=1e-6)


# Numbers and constants ----------------------------------------------------------------------------

NUMBERS = {
    "floats": lambda x: (x * 2 + 0.1, 3 - x, 1 / (x + 9), x * 1e300, x**2, 2.0**x),
    "NaN and infinities": lambda x: (
        F.where(x > 0, x, np.nan),
        F.maximum(x, -np.inf),
        x * np.inf,
        x + -0.0,
    ),
    "comparisons beyond int64": lambda x: (F.astype(x, F.int64) < 2**70, x > -(2**80), x * 2**70),
    "small integers": lambda x: (F.astype(x, F.uint8) + 200, F.astype(x, F.int8) // 3, x % 0.7),
    "complex numbers": lambda x: (
        x * (1 + 2j),
        x * 2j - complex(-0.0, -0.0),
        F.real(x * complex(np.inf, -1)),
        F.conj(x + 1j) * complex(1.0, -0.0),
    ),
    "booleans": lambda x: (~(x > 0) | (x < 1), (x > 0) ^ True, F.any(x > 0), F.all(x > 0, axis=0)),
    "rank 0": lambda x: (F.sum(x) * 0.1, x[0, 0] + 1, F.exp(x[1, 2]), F.max(x) > 0.5),
    "no elements": lambda x: (x[:0] * 2, F.sum(x[:0], axis=0), F.concat([x, x[:0]])),
    "slices": lambda x: (x[1:, ::-2], x[..., None, 0], x[None], x[-1], x[2:2]),
    "Python's numbers": lambda x: (x, 3.0, 2, True, None, 1j, -np.inf),
    "creation": lambda x: (
        F.arange(300) * 2,
        F.linspace(0, 1, 200, dtype=F.float32),
        F.eye(30),
        F.full((2, 2), -np.inf),
        F.zeros((), dtype=F.int8),
    ),
    "sums of small integers": lambda x: (
        F.sum(F.astype(x, F.int8)),
        F.prod(F.astype(x, F.int16), axis=1),
        F.mean(x, axis=(0, 1), keepdims=True),
        F.sum(x, axis=()),
    ),
    "NumPy's numbers": lambda x: (x * np.float32(0.1), F.full(2, np.int8(3)), x * np.float64(0.1)),
    "lanes that meet": lambda x: volta.vmap(lambda r: r / volta.psum(r, "i"), axis_name="i")(x),
    "bits": lambda x: (F.astype(x * 9, F.uint32) << 3, F.astype(x * 9, F.int32) >> 1),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_volta_s(name):
    fun = NUMBERS[name]
    with np.errstate(all="ignore"):
        wanted = volta.trace(fun)(X)(X)
    same(emitted(fun, X)(X), wanted)


def test_an_operation_on_numbers_alone():
    entry = Entry(
        REGISTRY["add"], (Literal(1), Literal(2.5)), {}, 1, None, None, None, None, None, -1
    )
    text = Spelling(Bundle({"np"}, str)).text(entry, {1: typeof(np.float32(0))}, ["1", "2.5"])
    same(eval(text, {"np": np}), F.add(1, 2.5))


def test_nothing_warns_where_volta_is_silent():
    def fun(x):
        return volta.grad(lambda x: F.sum(F.sqrt(x) + F.log(x)))(x), F.divide(x, 0.0)

    with np.errstate(all="raise"):
        emitted(fun, np.zeros(3, np.float32))(np.zeros(3, np.float32))


CONSTANTS = [
    np.asarray([0.1, -0.0, np.nan, np.inf], np.float32),
    np.asarray([[2**63, 2**64 - 1]], np.uint64),
    np.asarray([complex(-0.0, np.inf), 1 - 2j], np.complex64),
    np.asarray([1e-45, 3.4028235e38, 0.30000001], np.float32),
    np.asarray([0.1, 2.5], ml_dtypes.bfloat16),
    np.asarray([True, False]),
    np.asarray([0.0, -0.0, 0.0, 0.0, 0.0]),
    np.asarray(7, np.int8),
    np.zeros((0, 3)),
    np.full((50, 9), -0.0),
    np.arange(12).reshape(3, 4),
    np.float16(0.1) + np.zeros((2, 1, 3), np.float16),
    np.arange(127.0) / 3,
]
LARGE = [
    np.cos(np.arange(129.0)),
    np.cos(np.arange(400.0)).astype(ml_dtypes.bfloat16).reshape(20, 20),
    np.arange(500).astype(np.uint8),
]


@pytest.mark.parametrize("constant", [*CONSTANTS, *LARGE], ids=lambda c: f"{c.dtype}{c.shape}")
def test_constants_are_kept_to_the_bit(constant, tmp_path):
    source = volta.emit_source(lambda x: (constant, x))(X)
    assert bool(source.constants) is any(constant is c for c in LARGE)
    program = function_of(source, tmp_path)
    found, _ = program(X)
    assert typeof(found) == typeof(constant)
    assert found.tobytes() == constant.tobytes()
    found[...] = 1  # the caller's own
    assert program(X)[0].tobytes() == constant.tobytes()


def test_parameters_that_are_large_are_constants(tmp_path):
    def fun(x):
        return F.interpolate(x[None, None], size=(40, 90), mode="bilinear")

    source = volta.emit_source(fun)(X)
    assert source.constants
    same(function_of(source, tmp_path)(X), fun(X), rtol=1e-6, atol=1e-7)


def test_constants_that_live_no_longer_do_not_mix():
    writer = Writer(volta.trace(lambda x: x)(X), "f", set())
    assert len({writer.constant(np.arange(6.0) * k) for k in range(50)}) == 50


# Arguments and names ------------------------------------------------------------------------------


def test_trees():
    def fun(tree, *, more):
        return {"b": [tree["x"][0], (tree["y"], None)], "a": more["k"] * 2, "1 c": ()}

    tree = {"x": [X, {"z": (X, None)}], "y": 2.0}
    program = emitted(fun, tree, more={"k": X[0]})
    wanted = fun({**tree, "y": np.asarray(2.0, np.float32)}, more={"k": X[0]})
    same(program(tree, more={"k": X[0]}), wanted)
    with pytest.raises(ValueError, match="unpack"):
        program({"x": [X], "y": 2.0}, more={"k": X[0]})
    with pytest.raises(KeyError, match=r"tree must have the keys \['x', 'y'\]; got \['x'\]"):
        program({"x": [X, {"z": (X, None)}]}, more={"k": X[0]})


def test_arguments_unlike_those_that_it_was_made_for():
    program = emitted(lambda d, s: d["x"] * s, {"x": X}, 2.0)
    same(program({"x": X}, 3), X * np.float32(3))
    with pytest.raises(TypeError, match=r"d\['x'\] must be float32\[4, 6\]; got float32\[6\]"):
        program({"x": X[0]}, 2.0)
    with pytest.raises(TypeError, match=r"d\['x'\] must be float32\[4, 6\]; got float64"):
        program({"x": X.astype(float)}, 2.0)
    with pytest.raises(TypeError, match="s must be float32"):
        program({"x": X}, 2j)


def test_parameters_are_called_as_they_are():
    def fun(x, /, y, *rest, z, **others):
        return x + y + rest[0] * 2 + rest[1] + z + others["lambda"] - others["a b"]

    args, named = (X, X, X * 2, X), {"z": X, "lambda": X * 3, "a b": X}
    program = emitted(fun, *args, **named)
    same(program(*args, **named), fun(*args, **named))


HOSTILE = {
    "what NumPy is called": lambda np, range, slice: F.exp(np) + range + slice,
    "modules": lambda functools, math: F.special.erfinv(math / 9) + F.gelu(functools),
    "operations": lambda exp_1, tanh, softmax: F.exp(exp_1) + F.tanh(tanh) + F.softmax(softmax),
    "helpers": lambda argument, constant_1, fields: argument + constant_1 * F.arange(6) + fields,
    "Python's own": lambda sum, held, _: F.sum(sum) + held + _,
    "letters": lambda é, ε_1: é + ε_1,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_clash(name):
    fun = HOSTILE[name]
    names = fun.__code__.co_varnames[: fun.__code__.co_argcount]
    given = {k: X / (i + 2) for i, k in enumerate(names)}
    program = emitted(fun, **given)
    same(program(**given), volta.trace(fun)(**given)(*(given[k] for k in sorted(given))), 1e-6)
    same(program(*given.values()), program(**given))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("loss", "loss"), ("<lambda>", "program"), ("class", "program"), ("sum", "sum_2")],
)
def test_the_function_has_the_name_of_the_user_s_if_it_may(name, wanted):
    def fun(x):
        return F.softmax(x) + F.tanh(x)

    fun.__name__ = name
    source = volta.emit_source(fun)(X)
    assert source.name == wanted
    same(function_of(source)(X), F.softmax(X) + F.tanh(X))


# The text -----------------------------------------------------------------------------------------


def readable(w, x):
    hidden = F.relu(x @ w)
    return F.sum(hidden[:, 0]) * 0.5


def test_an_operation_is_a_line_with_its_type_and_its_place():
    source = volta.emit_source(readable)(np.ones((6, 2), np.float32), X)
    assert source.text[source.text.index("@np.errstate") :].splitlines() == [
        '@np.errstate(all="ignore")',
        "def readable(w, x):",
        "    w = argument(w, 'w', np.float32, (6, 2))",
        "    x = argument(x, 'x', np.float32, (4, 6))",
        f"    # test_emitted.py:{readable.__code__.co_firstlineno + 1}: hidden = F.relu(x @ w)",
        "    matmul_1 = x @ w  # float32[4, 2]",
        "    relu_1 = np.maximum(matmul_1, 0)  # float32[4, 2]",
        f"    # test_emitted.py:{readable.__code__.co_firstlineno + 2}: "
        "return F.sum(hidden[:, 0]) * 0.5",
        "    basic_slice_1 = relu_1[:, 0]  # float32[4]",
        "    sum_1 = np.asarray(basic_slice_1.sum())  # float32[]",
        "    multiply_1 = np.asarray(sum_1 * 0.5)  # float32[]",
        "    return multiply_1",
    ]


def test_functions_without_a_signature_or_a_name():
    class Doubling:
        __signature__ = "none"

        def __call__(self, *args, **kwargs):
            return args[0] * kwargs["by"]

    source = volta.emit_source(Doubling())(X, by=2.0)
    assert "def program(x1, /, *, by):" in source.text
    same(function_of(source)(X, by=3.0), X * np.float32(3))


def test_the_text_is_the_same_each_time():
    for network, shapes in NETWORKS.values():
        params = {k: fill(i, s, "float32") for i, (k, s) in enumerate(shapes.items())}
        args = params, X, np.asarray([0, 1, 2, 1]), F.random.key(1)
        one, two = (volta.emit_source(volta.grad(network))(*args).text for _ in range(2))
        assert one == two
        assert "/" not in "".join(line for line in one.splitlines() if ".py:" in line)


def test_the_text_does_not_depend_on_where_it_is_asked_for():
    def slope(x):
        return volta.grad(
            lambda x: volta.while_loop(lambda v: v < 9, lambda v: v * x, x), argnums=0
        )(x)

    one = volta.emit_source(slope)(np.asarray(2.0)).text
    two = volta.emit_source(slope)(np.asarray(2.0)).text
    assert one == two


def test_constants_of_kernels_have_their_names():
    text = volta.emit_source(lambda x: F.special.erfinv(x))(X / 9).text
    assert "\n_STEP = " in text


def test_no_name_is_left_unread_and_none_is_unknown():
    """What linters look for: every name is defined, and every definition is read."""

    def fun(params, x, t, key):
        value, grads = volta.value_and_grad(convnet)(params, x, t, key)
        return value, grads, F.special.gammainc(F.abs(x), F.abs(x)), F.random.normal(key, (3,))

    params = {k: fill(i, s, "float32") for i, (k, s) in enumerate(NETWORKS["convnet"][1].items())}
    text = volta.emit_source(fun)(params, X, np.asarray([0, 1, 2, 1]), F.random.key(1)).text
    module = ast.parse(text)
    names = [n for n in ast.walk(module) if isinstance(n, ast.Name)]
    read = {n.id for n in names if isinstance(n.ctx, ast.Load)}
    bound = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    bound |= {a.arg for a in ast.walk(module) if isinstance(a, ast.arg)}
    top = {n.name for n in module.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    inner = {n.name for n in ast.walk(module) if isinstance(n, ast.FunctionDef)}
    imported = {
        (a.asname or a.name) for n in ast.walk(module) if isinstance(n, ast.Import) for a in n.names
    }
    assert read <= bound | inner | top | imported | set(dir(builtins)) | {"__file__"}
    assert top | imported <= read | {"fun"}


def test_a_process_without_volta_runs_it(tmp_path):
    params = {k: fill(i, s, "float32") for i, (k, s) in enumerate(NETWORKS["convnet"][1].items())}
    big = np.cos(np.arange(24 * 9)).astype(np.float32).reshape(24, 9)

    def fun(params, x, key):
        value, grads = volta.value_and_grad(convnet)(params, x, np.asarray([0, 1, 2, 1]), key)
        drawn = F.random.normal(key, (4, 9)) * F.special.erf(x.reshape(1, 24) @ big)
        return value, grads, drawn

    args = params, X, F.random.key(1)
    volta.emit_source(fun)(*args).save(tmp_path / "step.py")
    np.savez(tmp_path / "given.npz", x=X, key=args[2], **params)
    text = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('volta', 'optree', 'array_api_compat', 'scipy'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "import numpy as np, step\n"
        "given = np.load('given.npz')\n"
        "params = {k: given[k] for k in ('k', 'v')}\n"
        "value, grads, drawn = step.fun(params, given['x'], given['key'])\n"
        "np.savez('found.npz', value=value, drawn=drawn, **grads)\n"
        "assert not [m for m in sys.modules if m.startswith('volta')]\n"
    )
    command = [sys.executable, "-W", "error", "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    value, grads, drawn = fun(*args)
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose(found["value"], value, rtol=1e-5)
        np.testing.assert_allclose(found["drawn"], drawn, rtol=1e-4, atol=1e-6)
        for k, g in grads.items():
            np.testing.assert_allclose(found[k], g, rtol=1e-4, atol=1e-6)


# Files and errors ---------------------------------------------------------------------------------


def test_files(tmp_path):
    small = volta.emit_source(lambda x: x * 2)(X)
    small.save(tmp_path / "small.py")
    large = volta.emit_source(lambda x: x @ LARGE[0][:6] + LARGE[0][0] * LARGE[0].sum())(X)
    assert not large.constants  # parts of it are small
    volta.emit_source(lambda x: F.sum(LARGE[0]) * x)(X).save(str(tmp_path / "large.py"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["large.npz", "large.py", "small.py"]
    assert (tmp_path / "small.py").read_text(encoding="utf-8") == small.text
    assert repr(small) == f"Source({small.text.count(chr(10))} lines, 0 constants)"
    for name in ("step", "my step.py", "step.txt", "class.py"):
        with pytest.raises(ValueError, match="path must be that of a module"):
            small.save(tmp_path / name)


def test_what_cannot_be_written():
    with pytest.raises(TypeError, match=r"emit_source: arguments must be NumPy's arrays or num"):
        volta.emit_source(lambda x: x)("text")
    with pytest.raises(TypeError, match=r"emit_source: results must be arrays in dicts .*Pair"):
        volta.emit_source(lambda x: Pair(x, x))(X)
    with pytest.raises(TypeError, match=r"emit_source: arguments must be arrays in dicts .*Pair"):
        volta.emit_source(lambda x: x.a)(Pair(X, X))
    with pytest.raises(volta.TraceError):
        volta.emit_source(lambda x: x if F.sum(x) > 0 else -x)(X)


def test_a_program_that_calls_python():
    @volta.custom_jvp
    def own(x):
        return x * 2

    own.defjvp(lambda primals, tangents: (own(*primals), tangents[0] * 2))

    def fun(x):
        return volta.scan(lambda c, _: (own(c), None), x, length=2)[0]

    line = fun.__code__.co_firstlineno + 1
    told = (
        rf"emit_source: a program must not call Python; got .* in custom_rule.*_emitted.py:{line}"
    )
    with pytest.raises(volta.TraceError, match=told):
        volta.emit_source(fun)(X)
    with pytest.raises(volta.TraceError, match="must not call Python; got function in debug"):
        volta.emit_source(lambda x: (volta.debug.print("{}", x), x)[1])(X)


def test_an_operation_of_one_s_own():
    def value(xp, x, *, by):
        return xp.exp(x) * by if xp is np else None

    def made(name, kernel, **options):
        primitive = Primitive(
            name,
            type_rule=lambda x, *, by: x,
            batch=lambda *_, **__: None,
            derivatives=(),
            **{kernel: options["of"]},
        )
        del REGISTRY[name]
        return lambda x: primitive.call(x, by=3.0)

    twice = made("own_exp", "value", of=value)
    source = volta.emit_source(twice)(X)
    assert "own_exp_1 = own_exp(np, x, by=3.0)" in source.text
    same(function_of(source)(X), np.exp(X) * 3)

    space = {"np": np}
    exec("def kernel(xp, x, *, by): return x", space)
    with pytest.raises(volta.RuleError, match="where kernel must have its source text; got none"):
        volta.emit_source(made("own_hidden", "value", of=space["kernel"]))(X)
    opaque = made("own_opaque", "kernels", of={"numpy": Pair(1, 2).__class__.__call__})
    told = "emit_source: own_opaque must be written in NumPy, where a value must be a function"
    with pytest.raises(volta.RuleError, match=told):
        volta.emit_source(opaque)(X)
