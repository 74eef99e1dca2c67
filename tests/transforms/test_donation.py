"""Donated arguments: what is written where, what is refused, and what errors leave behind."""

import copy
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from strategies import LINE

import volta
import volta.functional as F
from volta import nn, optim
from volta.compile.native import llvm
from volta.compile.program import BACKENDS

pytestmark = pytest.mark.core
LARGE = 1 << 20


@pytest.fixture(params=[b for b in BACKENDS if b != "llvm" or llvm.available()], autouse=True)
def backend(request):
    with volta.compile.program.backend(request.param):
        yield request.param


def update(p, g):
    return p - 0.5 * g


def arrays(*values):
    return [np.full(3, value) for value in values]


# What is written ----------------------------------------------------------------------------------


def test_a_result_is_the_donated_array():
    step = volta.jit(update, donate_argnums=0)
    p, g = arrays(1.0, 1.0)
    for wanted in (0.5, 0.0, -0.5):  # staged, and then the short way
        new = step(p, g)
        assert new is p
        np.testing.assert_array_equal(new, np.full(3, wanted))
        np.testing.assert_array_equal(g, np.ones(3))


@pytest.mark.parametrize("options", [{"donate_argnums": (0,)}, {"donate_argnames": ("p",)}])
def test_an_argument_is_donated_by_position_and_by_keyword(options):
    step = volta.jit(**options)(update)
    p, g = arrays(1.0, 1.0)
    assert step(p, g) is p
    assert step(p=p, g=g) is p
    assert step(g=g, p=p) is p
    assert copy.deepcopy(step)(p, g) is p


def test_negative_numbers_and_static_arguments_beside_donated_ones():
    def fun(n, p, q):
        return q * n + p

    step = volta.jit(fun, static_argnums=0, donate_argnums=-1)
    p, q = arrays(1.0, 2.0)
    assert step(3, p, q) is q
    np.testing.assert_array_equal(q, np.full(3, 7.0))
    by_name = volta.jit(fun, static_argnames="n", donate_argnames="q")
    assert by_name(2, p, q=q) is q
    assert by_name(p=p, q=q, n=2) is q


def test_variable_arguments():
    def fun(*xs, **ys):
        return xs[1] + xs[0], ys["a"] + 1

    x, y = arrays(1.0, 2.0)
    a = np.ones(2)
    new, other = volta.jit(fun, donate_argnums=1)(x, y, a=a)
    assert new is y
    assert other is not a
    new, other = volta.jit(fun, donate_argnames="a")(x, y, a=a)
    assert new is not y
    assert other is a


DTYPES = ["bool", "int8", "uint32", "int64", "float16", "bfloat16", "float32", "complex64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3, 2), (0, 2), (2, 1, 3)])
def test_dtypes_and_shapes(dtype, shape):
    step = volta.jit(lambda x, y: F.where(x == y, x, y), donate_argnums=1)
    x, y = (np.zeros(shape, volta.core.types.as_dtype(dtype).dtype) for _ in range(2))
    for _ in range(2):
        y[...] = 1
        found = step(x, y)
        assert found is y
        np.testing.assert_array_equal(found, np.ones(shape, y.dtype))


def test_trees_and_what_holds_no_array():
    def step(params, state, g):
        return [state["m"] + g, params["w"] * state["rate"]], {"t": state["t"] + 1}

    jitted = volta.jit(step, donate_argnums=(0, 1))
    w, m, t = np.ones(3), np.ones((2, 1)), np.asarray(1)
    state = {"m": m, "rate": 2.0, "t": t, "none": None, "empty": ()}
    (m1, w1), new = jitted({"w": w}, state, 1.0)
    assert (m1 is m, w1 is w, new["t"] is t) == (True, True, True)
    assert (w[0], m[0, 0], int(t)) == (2.0, 2.0, 2)


def test_an_argument_that_is_left_out_is_not_donated():
    jitted = volta.jit(lambda x, y=None: x * 2, donate_argnames="y")
    x = np.ones(3)
    assert jitted(x) is not x


def test_a_donated_argument_that_is_returned():
    jitted = volta.jit(lambda x, y: (y, x), donate_argnums=(0, 1))
    x, y = arrays(1.0, 2.0)
    first, second = jitted(x, y)
    assert first is y
    assert second is x
    np.testing.assert_array_equal((x, y), [np.ones(3), np.full(3, 2.0)])


def test_arrays_exchanged_in_a_loop():
    def fun(x, y):
        (x, y), _ = volta.scan(lambda c, _: ((c[1], c[0]), None), (x, y), None, length=3)
        return x, y

    jitted = volta.jit(fun, donate_argnums=(0, 1))
    for _ in range(2):
        x, y = arrays(1.0, 2.0)
        found = jitted(x, y)
        assert {id(r) for r in found} == {id(x), id(y)}
        np.testing.assert_array_equal(found, [np.full(3, 2.0), np.ones(3)])


def test_views_that_are_returned_keep_their_values():
    jitted = volta.jit(lambda x: (x + 1, x[1:], x[::-1]), donate_argnums=0)
    for _ in range(2):
        x = np.arange(4.0)
        new, part, turned = jitted(x)
        assert new is x or turned.base is x
        np.testing.assert_array_equal(new, [1, 2, 3, 4])
        np.testing.assert_array_equal(part, [1, 2, 3])
        np.testing.assert_array_equal(turned, [3, 2, 1, 0])


def test_an_argument_or_a_constant_that_is_returned_in_donated_memory():
    held = np.full(3, 5.0)
    jitted = volta.jit(lambda x, y: (y, held, F.sum(x)), donate_argnums=0)
    x, y = arrays(1.0, 2.0)
    first, second, _ = jitted(x, y)
    assert first is x
    np.testing.assert_array_equal(first, np.full(3, 2.0))
    first += 1
    np.testing.assert_array_equal((y, held), [np.full(3, 2.0), np.full(3, 5.0)])
    assert second is held


def test_a_step_allocates_nothing_for_what_it_updates():
    def step(p, m, g):
        m = 0.9 * m + g
        return p - 0.1 * m, m

    def peak(**options):
        jitted = volta.jit(step, **options)
        p, m, g = (np.ones(LARGE) for _ in range(3))
        jitted(np.ones(LARGE), np.ones(LARGE), g)  # which makes its arena
        tracemalloc.start()
        for _ in range(3):
            p, m = jitted(p, m, g)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(donate_argnums=(0, 1)) < LARGE
    assert peak() > 8 * LARGE


def test_training_in_place(backend):
    rng = np.random.default_rng(0)
    optimizer = optim.adam(0.05)

    def loss(params, x, y):
        hidden = F.tanh(x @ params["w"] + params["b"])
        return F.mean((hidden @ params["v"] - y) ** 2)

    def step(params, state, x, y):
        value, grads = volta.value_and_grad(loss)(params, x, y)
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), state, value

    start = {"w": rng.normal(size=(3, 8)), "b": np.zeros(8), "v": rng.normal(size=8)}
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    runs = []
    for options in ({}, {"donate_argnums": (0, 1)}):
        jitted = volta.jit(step, **options)
        params = volta.tree.map(np.copy, start)
        state = volta.tree.map(np.asarray, optimizer.init(params))
        first = {id(a) for a in volta.tree.leaves((params, state))}
        losses = []
        for _ in range(20):
            params, state, value = jitted(params, state, x, y)
            losses.append(float(value))
        runs.append((volta.tree.leaves((params, state)), losses))
    assert {id(a) for a in runs[1][0]} == first
    told = "10 written in place" if backend == "numpy" else "9 written in place, 1 copied to at the"
    assert f"\n  donated: {told}" in jitted.explain()
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    for a, b in zip(runs[0][0], runs[1][0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert runs[1][1][-1] < 0.5 * runs[1][1][0]


def test_parameters_of_a_module():
    layer = nn.Linear(3, 2, key=F.random.key(0))

    def step(params, x):
        def loss(p):
            return F.sum(nn.functional_call(layer, p, x) ** 2)

        return volta.tree.map(update, params, volta.grad(loss)(params))

    params, x = layer.parameters(), np.ones((4, 3), np.float32)
    wanted = step(params, x)
    before = {name: a.copy() for name, a in params.items()}
    new = volta.jit(step, donate_argnums=0)(volta.tree.map(np.copy, params), x)
    for name, a in wanted.items():
        np.testing.assert_allclose(new[name], a, rtol=1e-5)
        np.testing.assert_array_equal(params[name], before[name])


def test_arguments_of_modules_and_of_their_methods():
    layer = nn.Linear(3, 3, key=F.random.key(0))
    for fun in (layer, layer.__call__):
        jitted = volta.jit(fun, donate_argnums=0)
        x = np.ones((3, 3), np.float32)
        wanted = layer(x)
        for _ in range(2):
            x[...] = 1
            assert jitted(x) is x
            np.testing.assert_allclose(x, wanted, rtol=1e-6)
        with pytest.raises(volta.DonationError, match=r"got (x|input) and the module"):
            jitted(layer.weight)


def test_what_is_lowered_donates_too():
    x, g = arrays(1.0, 1.0)
    compiled = volta.jit(update, donate_argnums=0).lower(x, g).compile()
    assert compiled(x, g) is x
    with pytest.raises(volta.DonationError):
        compiled(x, x)
    lowered = volta.jit(lambda x: F.sum(x), donate_argnums=0).lower(
        volta.ShapeDtypeStruct((3,), "f8")
    )
    with pytest.raises(
        volta.DonationError, match=r"got float64\[3\] at x, and results float64\[\]"
    ):
        lowered.compile()


def test_it_is_told_what_memory_is_used_for():
    def fun(x, y, w):
        z = F.exp(x)
        return z, F.sum(z @ w, axis=0) @ x, y

    jitted = volta.jit(fun, donate_argnums=(0, 1))
    args = [np.ones((3, 3)) for _ in range(3)]
    np.testing.assert_array_equal(volta.vmap(jitted)(*(a[None] for a in args))[2], args[1][None])
    assert "donated" not in jitted.explain()
    jitted(*args)
    assert "\n  donated: 1 returned, 1 copied to at the end (x)" in jitted.explain()
    step = volta.jit(update, donate_argnums=0)
    step(*arrays(1.0, 1.0))
    assert "\n  donated: 1 written in place" in step.explain()


# What is refused ----------------------------------------------------------------------------------


def read_only():
    x = np.ones(3)
    x.flags.writeable = False
    return x


def unaligned():
    return np.frombuffer(bytearray(25), np.uint8)[1:].view(np.float64)


OWN = type("Own", (np.ndarray,), {})
MUST = r"^jit\(update\): a donated array must be NumPy's own, writable, .* order; got p, which is "
BASE = np.ones((2, 3))


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (read_only, r"read-only\. Pass a copy, or do not donate it\." + LINE),
        (lambda: np.broadcast_to(np.ones(()), 3), r"read-only\."),
        (lambda: np.ones(6)[::2], r"not row-major\."),
        (unaligned, r"not aligned\."),
        (lambda: np.ones(3, np.dtype(float).newbyteorder()), r"of dtype [<>]f8\."),
        (lambda: np.ones(3).view(OWN), r"a .*test_donation\.Own\."),
        (lambda: volta.lift(np.ones(3)), r"a volta\.core\.tracer\.Tracer\."),
        (lambda: pytest.importorskip("torch").ones(3), r"a torch\.Tensor\."),
    ],
)
def test_arrays_that_nothing_can_be_written_to(p, message):
    step = volta.jit(update, donate_argnums=0)
    given = p()
    for _ in range(2):
        with pytest.raises(volta.DonationError, match=MUST + message):
            step(given, np.ones(3))
        np.testing.assert_array_equal(np.asarray(step(*arrays(1.0, 1.0))), np.full(3, 0.5))


@pytest.mark.parametrize(
    ("p", "g"),
    [
        (BASE[0], BASE[0]),
        (BASE[0], BASE[0].view()),
        (BASE[0], BASE.T[0, :1]),
        (BASE[1], BASE),
        (BASE[1], np.frombuffer(memoryview(BASE).cast("B"), np.float64)[3:6]),
    ],
)
def test_arrays_that_share_memory(p, g):
    step = volta.jit(lambda p, g: p - F.sum(g), donate_argnums=0)
    message = r": a donated array must share no memory with another .* reads; got p and g\. Pass a"
    for _ in range(2):
        step(np.ones(p.shape), np.ones(g.shape))  # which leaves a short way
        with pytest.raises(volta.DonationError, match=message):
            step(p, g)
        np.testing.assert_array_equal(BASE, np.ones((2, 3)))


def test_two_donated_arrays_that_share_memory():
    step = volta.jit(lambda p: {k: x + 1 for k, x in p.items()}, donate_argnums=0)
    x = np.ones(3)
    for same in (x, x.view()):
        with pytest.raises(volta.DonationError, match=r"; got p\['a'\] and p\['b'\]\. Pass a copy"):
            step({"a": x, "b": same})
    np.testing.assert_array_equal(x, np.ones(3))


def test_parts_of_one_array_that_lie_apart_may_be_donated():
    step = volta.jit(lambda p, q, g: (p + F.max(g) + 1, q - F.max(g) - 1), donate_argnums=(0, 1))
    for _ in range(2):
        whole = np.zeros((6, 3))
        step(whole[1], whole[3], whole[::2])
        np.testing.assert_array_equal(whole[:, 0], [0, 1, 0, -1, 0, 0])


def test_an_array_that_the_function_closes_over():
    held = np.ones(3)
    for fun in (lambda x: x + held, lambda x: (x + 1, held)):
        step = volta.jit(fun, donate_argnums=0)
        step(np.ones(3))
        for _ in range(2):
            with pytest.raises(
                volta.DonationError, match="got x and an array that the function cl"
            ):
                step(held)
    layer = nn.Linear(3, 3, key=F.random.key(0))
    step = volta.jit(lambda p: {k: x + layer.bias for k, x in p.items()}, donate_argnums=0)
    with pytest.raises(volta.DonationError, match=r"got p\['bias'\] and an array that"):
        step({"bias": layer.bias})


def test_a_view_of_what_a_function_closes_over_past_a_guard():
    held = np.ones(3)

    def fun(x):
        part = F.reshape(held, (1, 3))
        return x + part[0] if F.sum(x) > 0 else x - part[0]

    step = volta.jit(fun, donate_argnums=0)
    with pytest.raises(volta.DonationError, match="closes over"):
        step(held)
    np.testing.assert_array_equal(step(np.ones(3)), np.full(3, 2.0))


@pytest.mark.parametrize(
    ("fun", "message"),
    [
        (lambda x: F.sum(x), r"got float64\[3\] at x, and results float64\[\]\. Do not donate it"),
        (lambda x: x > 0, r"got float64\[3\] at x, and results bool\[3\]"),
        (lambda x: x[1:], r"got float64\[3\] at x, and results float64\[2\]"),
        (lambda x: 1, r"got float64\[3\] at x, and results without arrays"),
    ],
)
def test_arrays_of_which_no_result_has_the_type(fun, message):
    start = r"^jit\(<lambda>\): a donated array must have the shape and dtype of a result that can "
    step = volta.jit(fun, donate_argnums=0)
    x = np.ones(3)
    for _ in range(2):
        with pytest.raises(volta.DonationError, match=start + r"take its memory; " + message):
            step(x)


def test_more_donated_arrays_than_results():
    step = volta.jit(update, donate_argnums=(0, 1))
    with pytest.raises(volta.DonationError, match=r"got float64\[3\] at g, and results float64"):
        step(*arrays(1.0, 1.0))


def test_a_path_whose_results_fit_and_one_whose_do_not():
    step = volta.jit(lambda x: x * 2 if F.sum(x) > 0 else F.sum(x), donate_argnums=0)
    for _ in range(2):
        x = np.ones(3)
        assert step(x) is x
        with pytest.raises(volta.DonationError, match=r"float64\[3\] at x, and results float64\["):
            step(-x)


@pytest.mark.parametrize(
    "options",
    [
        {"static_argnums": 1, "donate_argnums": 1},
        {"static_argnames": "g", "donate_argnums": 1},
        {"static_argnums": 1, "donate_argnames": "g"},
    ],
)
def test_static_arguments(options):
    message = r"^jit: a static argument must not be donated, .*; got g for both\. Leave it out"
    with pytest.raises(volta.DonationError, match=message):
        volta.jit(update, **options)


def test_a_static_argument_that_is_counted_from_the_end():
    step = volta.jit(update, static_argnums=0, donate_argnums=-2)
    with pytest.raises(
        volta.DonationError, match=r"^jit\(update\): a static argument .* got p for"
    ):
        step(1.0, np.ones(3))


def test_names_and_numbers_that_are_none():
    message = r"^jit: donate_argnames must be parameters of update; got 'q', and it has 'p', 'g'\."
    with pytest.raises(ValueError, match=message):
        volta.jit(update, donate_argnames="q")
    message = r"^jit\(<lambda>\): donate_argnums must number positional arguments of the call; got "
    with pytest.raises(ValueError, match=message + r"donate_argnums=\(2,\) and 1 positional"):
        volta.jit(lambda *xs: xs[0], donate_argnums=2)(np.ones(3))
    with pytest.raises(TypeError, match="did you mean 'donate_argnums'"):
        volta.jit(update, donate_argnum=0)


def test_modules():
    layer = nn.Linear(3, 2, key=F.random.key(0))
    message = r"a donated argument must hold no module, .*; got Linear in m\. Donate its parameters"
    for given in (layer, {"layer": layer}):
        with pytest.raises(volta.DonationError, match=message):
            volta.jit(lambda m, x: x, donate_argnames="m")(given, np.ones(3))


def test_arrays_of_another_library_beside_donated_ones():
    torch = pytest.importorskip("torch")
    x, other = np.ones(3), torch.ones(3, dtype=torch.float64)
    message = r": donated arrays must meet NumPy's arrays alone; got "
    for step in (
        volta.jit(update, donate_argnums=0),
        volta.jit(lambda x, g: x * 2, donate_argnums=0),
    ):
        with pytest.raises(volta.DonationError, match=message + r"a torch\.Tensor in g\. Leave"):
            step(x, other)
    with pytest.raises(volta.DonationError, match=message + r"another library's in the function"):
        volta.jit(lambda x: volta.tree.to(x, xp=torch), donate_argnums=0)(x)
    np.testing.assert_array_equal(x, np.ones(3))


# What errors and guards leave behind --------------------------------------------------------------


def test_a_guard_that_fails_after_the_update():
    def fun(x):
        y = x - 1
        return y if F.sum(y) > 0 else x * 10

    step = volta.jit(fun, donate_argnums=0)
    for value in (3.0, 0.5, 3.0, 0.5, 2.0):
        x = np.full(3, value)
        found = step(x)
        assert found is x
        np.testing.assert_array_equal(found, np.full(3, value - 1 if value > 1 else value * 10))


def test_many_guards():
    def fun(x, m):
        for i in range(4):
            m = m + x
            x = x * 2 if m[i] > 2 else x + m
        return m, x

    step = volta.jit(fun, donate_argnums=(0, 1))
    rng = np.random.default_rng(0)
    for _ in range(40):
        x, m = rng.normal(size=(2, 4))
        wanted = fun(x, m)
        found = step(x, m)
        np.testing.assert_array_equal(found, wanted)
        assert {id(a) for a in found} == {id(x), id(m)}


def test_views_and_results_of_parts_before_a_guard():
    def fun(x, y):
        part, made = x[::-1], y * 2
        if F.sum(x) > 0:
            return x + 1, part * 3, made
        return part, x - 1, made

    step = volta.jit(fun, donate_argnums=(0, 1))
    for sign in (1, -1, 1, -1):
        x, y = sign * np.arange(1.0, 4.0), np.ones(3)
        wanted = [np.array(r) for r in fun(x, y)]
        found = step(x, y)
        np.testing.assert_array_equal(found, wanted)
        assert sum(any(np.shares_memory(r, a) for a in (x, y)) for r in found) == 2


def test_two_views_that_a_guard_parts_from_what_they_are_of():
    def fun(x, y):
        a, b = volta.cond(x[0] > 0, lambda x, y: (x, y), lambda x, y: (y, x), x, y)
        return (a + 1, b * 2) if F.sum(y) > 0 else (b, a)

    step = volta.jit(fun, donate_argnums=(0, 1))
    for s in (1.0, -1.0):
        for t in (1.0, -1.0):
            for _ in range(2):
                x, y = np.full(3, s), np.full(3, 2 * t)
                wanted = [np.array(r) for r in fun(x, y)]
                np.testing.assert_array_equal(step(x, y), wanted)


@pytest.mark.parametrize("guarded", [False, True])
def test_an_index_outside_leaves_all_as_it_was(guarded):
    def fun(p, m, table, i):
        m = m * 0.5 + 1
        p = p - m
        if guarded and F.sum(p) < -100:
            p = p + 1
        return p, m, F.sum(F.take(table, i, axis=0) * 2), F.take_along_axis(table, i[None], axis=1)

    step = volta.jit(fun, donate_argnums=(0, 1))
    table, good = np.ones((3, 5)), np.asarray([0, 2])
    p, m = arrays(1.0, 2.0)
    for _ in range(3):  # staged, and then the short way
        before = p.copy(), m.copy()
        wanted = fun(p.copy(), m.copy(), table, good)
        with pytest.raises(IndexError, match=r"gather: indices must be from -3 to 2"):
            step(p, m, table, np.asarray([0, 3]))
        np.testing.assert_array_equal((p, m), before)
        p, m, *rest = step(p, m, table, good)
        for a, b in zip((p, m, *rest), wanted, strict=True):
            np.testing.assert_array_equal(a, b)
    assert f"2 {'copied to at the end' if guarded else 'written in place'}" in step.explain()


def test_an_index_into_the_update_itself():
    def fun(p, i):
        new = p * 2
        return new, F.take(new, i) + 1

    step = volta.jit(fun, donate_argnums=0)
    p = np.ones(3)
    for _ in range(2):
        with pytest.raises(IndexError):
            step(p, np.asarray([3]))
        np.testing.assert_array_equal(p, np.ones(3))
    found, picked = step(p, np.asarray([1]))
    assert found is p
    np.testing.assert_array_equal(picked, [3.0])


def test_classes_outside_leave_all_as_it_was():
    def step(w, x, labels):
        loss = lambda w: F.cross_entropy(x @ w, labels)  # noqa: E731 - as a user has it
        value, g = volta.value_and_grad(loss)(w)
        return w - g, value

    jitted = volta.jit(step, donate_argnums=0)
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(4, 3)), rng.normal(size=(5, 4))
    good = np.asarray([0, 1, 2, 0, 1])
    for _ in range(2):
        before = w.copy()
        with pytest.raises(IndexError):
            jitted(w, x, good + 1)
        np.testing.assert_array_equal(w, before)
        wanted, _ = step(w.copy(), x, good)
        found, _ = jitted(w, x, good)
        assert found is w
        np.testing.assert_allclose(w, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("fails", "error"),
    [
        (lambda p: F.linalg.cholesky(F.reshape(p[:4], (2, 2))), np.linalg.LinAlgError),
        (lambda p: volta.debug.callback(_raise, p[0]), KeyError),
        (
            lambda p: volta.scan(lambda c, i: (F.take(p, i), None), p[0], np.asarray([0, 9])),
            IndexError,
        ),
    ],
)
def test_other_errors_leave_all_as_it_was(fails, error):
    def fun(p):
        return p + 1, fails(p - 1)

    step = volta.jit(fun, donate_argnums=0)
    p = np.full(5, 0.5)
    for _ in range(2):
        with pytest.raises(error):
            step(p)
        np.testing.assert_array_equal(p, np.full(5, 0.5))


def _raise(x):
    raise KeyError


def test_warnings_that_are_errors_leave_all_as_it_was():
    def fun(p, x):
        return p / x, F.exp(x * 800)

    step = volta.jit(fun, donate_argnums=0, backend="numpy")
    p, x = np.ones(3), np.asarray([1.0, 1.0, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = step(p, x)[0]
        except RuntimeWarning:
            np.testing.assert_array_equal(p, np.ones(3))
        else:
            np.testing.assert_array_equal(found, [1.0, 1.0, np.inf])
        with np.errstate(all="raise"):
            step(np.ones(3), np.ones(3) / 2)
            p = np.ones(3)
            try:
                step(p, x)
            except FloatingPointError:
                np.testing.assert_array_equal(p, np.ones(3))


def test_a_read_inside_a_loop():
    def fun(x, ys):
        def body(c, y):
            return (c * y if x[0] > 1 else c + y), c

        last, kept = volta.scan(body, x, ys)
        return last, kept - x

    step = volta.jit(fun, donate_argnums=0)
    for value in (2.0, 0.5, 2.0, 0.5):
        x, ys = np.full(3, value), np.asarray([2.0, 3.0])
        wanted = fun(x.copy(), ys)
        found = step(x, ys)
        assert found[0] is x
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
    body_reads = volta.jit(
        lambda x: volta.scan(lambda c, y: (c if y > 0 else -c, None), x, x)[0], donate_argnums=0
    )
    x = np.ones(3)
    with pytest.raises(volta.TraceError):
        body_reads(x)
    np.testing.assert_array_equal(x, np.ones(3))


# Beside other transforms --------------------------------------------------------------------------


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    "transform",
    [
        lambda f: volta.jit(lambda x, g: f(x, g) + x),
        lambda f: volta.grad(lambda x, g: F.sum(f(x, g) ** 2)),
        lambda f: volta.value_and_grad(lambda x, g: F.sum(f(x, g) * x)),
        lambda f: lambda x, g: volta.jvp(f, (x, g), (g, x)),
        lambda f: lambda x, g: volta.vjp(f, x, g)[1](x),
        lambda f: lambda x, g: volta.vmap(f)(x[None], g[None]),
        lambda f: lambda x, g: volta.vmap(lambda a: f(x, g) * a)(x),
        lambda f: lambda x, g: volta.grad(lambda a: F.sum(f(x, g) * a))(g),
        lambda f: lambda x, g: volta.trace(f)(x, g)(x, g),
        lambda f: lambda x, g: volta.scan(lambda c, _: (f(c, g), None), x, None, length=2)[0],
        lambda f: lambda x, g: volta.hvp(lambda x: F.sum(f(x, g) ** 2), (x,), (g,)),
        lambda f: volta.jit(volta.grad(lambda x, g: F.sum(f(x, g) ** 2))),
    ],
)
def test_nothing_is_written_under_other_transforms(transform, first):
    step = volta.jit(update, donate_argnums=0)
    if first:
        step(*arrays(1.0, 1.0))
    x, g = arrays(1.0, 3.0)
    wanted = transform(update)(x, g)
    for _ in range(2):
        found = transform(step)(x, g)
        for a, b in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
        np.testing.assert_array_equal((x, g), arrays(1.0, 3.0))
    assert step(x, g) is x


def test_nothing_is_written_by_a_step_inside_a_step():
    inner = volta.jit(update, donate_argnums=(0,))
    outer = volta.jit(lambda x, g: (inner(x, g) + x, inner(g, x)), donate_argnums=1)
    for _ in range(2):
        x, g = arrays(1.0, 3.0)
        first, second = outer(x, g)
        np.testing.assert_array_equal((first, second), arrays(0.5, 2.5))
        np.testing.assert_array_equal(x, np.ones(3))
        assert (first is g) != (second is g)


def test_results_of_a_step_inside_that_are_one():
    inner = volta.jit(lambda x: (lambda y: (y, y))(x * 2))
    step = volta.jit(lambda x, y: inner(x + y), donate_argnums=(0, 1))
    with pytest.raises(volta.DonationError, match="at y, and results"):
        step(*arrays(1.0, 1.0))


def test_nothing_is_written_where_it_is_not_staged():
    step = volta.jit(lambda x: x + 1 if x[0] > 0 else x - 1, donate_argnums=0, max_paths=1)
    x = np.ones(3)
    with pytest.warns(UserWarning, match="has gone 1 ways"):
        assert step(x) is x
    assert step(x) is not x
    np.testing.assert_array_equal(x, np.full(3, 2.0))
    with volta.debug_nans():
        y = np.ones(3)
        assert volta.jit(update, donate_argnums=0)(y, y) is not y


def test_threads():
    step = volta.jit(lambda p, g: (p - g if F.sum(g) > 0 else p + g, p * g), donate_argnums=0)
    wrong = []

    def work(number):
        p = np.zeros(5000)
        for k in range(200):
            g = np.full(5000, (-1.0) ** k * number)
            new, product = step(p, g)
            ok = new is p and (p == -number * (k + 1)).all()
            if not ok or not (product == -number * k * g[0]).all():
                wrong.append((number, k))
                return

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


# The short way ------------------------------------------------------------------------------------


def test_the_short_way_is_taken_and_left():
    step = volta.jit(update, donate_argnums=0)
    p, g = arrays(1.0, 1.0)
    step(p, g)
    way = step._direct
    calls = []
    seen = step._direct = way._replace(run=lambda *args: calls.append(way.run(*args)) or calls[-1])
    assert step(p, g) is p
    assert calls[-1] is p
    whole = np.ones((2, 3))
    assert step(whole[0], g).base is whole
    assert calls[-1].base is whole
    step(whole[0], whole[1])  # apart, but that takes a longer look
    assert type(calls[-1]) is object
    assert step._direct is seen
    for wrong in (read_only(), g):
        with pytest.raises(volta.DonationError):
            step(wrong, g)
        assert type(calls[-1]) is object
