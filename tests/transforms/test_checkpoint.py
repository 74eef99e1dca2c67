"""Computing again instead of keeping: what is computed, kept and returned."""

import itertools
import tracemalloc
from collections import Counter

import array_api_strict as strict
import numpy as np
import pytest
from differences import SEQUENCES, check, check_masked, same

import volta
import volta.functional as F
from volta import tree
from volta.core import Partial, Primitive
from volta.core.errors import DTypeError, TraceError
from volta.core.primitive import REGISTRY
from volta.core.trace import live
from volta.transforms.checkpoint import checkpoint_name, checkpoint_policies

pytestmark = pytest.mark.core

rng = np.random.default_rng(0)
X = rng.normal(size=3)
W = rng.normal(size=3)
POLICIES = {
    "default": None,
    "everything": checkpoint_policies.everything_saveable,
    "nothing": checkpoint_policies.nothing_saveable,
    "dots": checkpoint_policies.dots_saveable,
    "names": checkpoint_policies.save_only_these_names("product"),
    "all but names": checkpoint_policies.save_anything_except_these_names("product"),
    "other names": checkpoint_policies.save_any_names_but_these("other"),
    "either": checkpoint_policies.save_from_both_policies(
        checkpoint_policies.dots_saveable, checkpoint_policies.save_only_these_names("product")
    ),
}


def layer(p, x, *, scale=2.0):
    product = checkpoint_name(F.matmul(p["m"], x) * p["w"], "product")
    return {"out": F.tanh(product) * scale, "n": F.argmax(x), "sum": (F.sum(x), None)}


M = rng.normal(size=(3, 3))


# Values and derivatives --------------------------------------------------------------------------


@pytest.mark.grad_check
@pytest.mark.parametrize("policy", POLICIES)
def test_it_changes_no_value_and_no_derivative(policy):
    kept = volta.checkpoint(layer, policy=POLICIES[policy])
    same(kept({"m": M, "w": W}, X, scale=3.0), layer({"m": M, "w": W}, X, scale=3.0))
    check(lambda m, w, x: kept({"m": m, "w": w}, x), M, W, X, order=3 if policy == "default" else 2)
    check(lambda w: kept({"m": M, "w": w}, X), W)


@pytest.mark.grad_check
def test_what_it_closes_over_is_differentiated():
    def fun(w, x):
        return volta.checkpoint(lambda x: F.sin(x * w) * w)(x)

    check(fun, W, X, order=3)
    lanes = np.stack([W, -W])
    same(volta.vmap(fun, in_axes=(0, None))(lanes, X), np.sin(X * lanes) * lanes)


@pytest.mark.grad_check
def test_complex_and_nested():
    z = X + 1j * W
    inner = volta.checkpoint(lambda z: F.exp(z * 1j) * z)
    outer = volta.checkpoint(lambda z: inner(F.sin(z)) + F.conj(z))
    same(outer(z), np.exp(np.sin(z) * 1j) * np.sin(z) + np.conj(z))
    check(outer, z)


@pytest.mark.grad_check
@pytest.mark.parametrize("which", [s for n in (1, 2) for s in itertools.combinations(range(2), n)])
def test_lanes(which):
    fun = volta.checkpoint(lambda x, w: (F.sin(x * w), F.sum(x), F.argmax(w)))
    stacked = [np.stack([a, a * 2, -a]) if i in which else a for i, a in enumerate((X, W))]
    axes = tuple(0 if i in which else None for i in range(2))
    each = [tuple(s[k] if i in which else s for i, s in enumerate(stacked)) for k in range(3)]
    found = volta.vmap(fun, in_axes=axes)(*stacked)
    same(found, tree.map(lambda *a: np.stack(a), *(tree.map(np.asarray, fun(*e)) for e in each)))
    slope = volta.grad(lambda x, w: F.sum(fun(x, w)[0]) * fun(x, w)[1], (0, 1))
    found = volta.vmap(slope, in_axes=axes)(*stacked)
    same(found, tree.map(lambda *a: np.stack(a), *(slope(*e) for e in each)))


@pytest.mark.parametrize("library", ["strict", "torch", "jax"])
def test_other_libraries(library):
    if library == "strict":
        make = strict.asarray
    else:
        make = pytest.importorskip("jax.numpy" if library == "jax" else "torch").asarray
    x = make(X.astype(np.float32))
    grads = volta.grad(lambda x: F.sum(volta.checkpoint(F.sin)(x)))(x)
    assert type(grads) is type(x)
    np.testing.assert_allclose(np.asarray(grads), np.cos(X), rtol=1e-5)


def test_without_a_transform_it_is_the_function():
    seen = []
    volta.checkpoint(lambda x: seen.append(x))(X)
    assert seen[0] is X
    assert volta.checkpoint(layer).__name__ == "layer"
    assert volta.checkpoint(lambda x: float(x) > 0)(np.asarray(1.0)) is True


def test_static_arguments():
    fun = volta.checkpoint(lambda f, x, n: f(x) * n, static_argnums=(0, -1))
    same(volta.grad(lambda x: F.sum(fun(F.sin, x, 3)))(X), 3 * np.cos(X))
    one = volta.checkpoint(lambda x, n: x ** len("ab") * n, static_argnums=1)
    same(volta.grad(lambda x: F.sum(one(x, 3)))(X), 6 * X)


def test_modules():
    model = volta.nn.Linear(3, 2, key=volta.random.key(0)) if hasattr(volta, "random") else None
    if model is None:
        model = volta.nn.Linear(3, 2, key=F.random.key(0))
    x = X.astype(np.float32)

    def loss(model, x):
        return F.sum(F.sin(model(x)))

    kept = volta.checkpoint(loss)
    for name, g in volta.grad(kept)(model, x).items():
        np.testing.assert_allclose(g, volta.grad(loss)(model, x)[name], rtol=1e-6)


Z = np.asarray([0.0, 4.0])
SECOND = np.asarray([False, True])
MASKED = {
    "after": lambda x: F.where(x > 0, volta.checkpoint(F.sqrt)(x), 0.0),
    "inside": volta.checkpoint(lambda x: F.where(x > 0, F.sqrt(x), x)),
    "singular before": lambda x: volta.checkpoint(lambda x: F.where(SECOND, x, 1.0))(F.sqrt(x)),
    "singular after": lambda x: F.sqrt(volta.checkpoint(lambda x: F.where(SECOND, x, 0.0))(x)),
    "masked before": lambda x: volta.checkpoint(F.sqrt)(F.where(SECOND, x, 0.0)),
    "before": lambda x: volta.checkpoint(F.sqrt)(F.clip(x, 0.0, 9.0))[1],
}


@pytest.mark.grad_check
@pytest.mark.parametrize("modes", SEQUENCES)
@pytest.mark.parametrize("name", MASKED)
def test_masked_zeros_stay_zeros(name, modes):
    check_masked(MASKED[name], modes)


# What is computed and kept -----------------------------------------------------------------------


@pytest.fixture
def counting():
    """Sines that are counted by name."""
    counts = Counter()
    names = []

    def make(name):
        names.append(f"sin of {name}")

        def value(xp, x):
            counts[name] += 1
            return np.sin(x)

        primitive = Primitive(
            f"sin of {name}",
            type_rule=lambda x: x,
            batch=lambda size, batched, x: primitive(x),
            derivatives=(Partial(lambda _out, x: F.cos(x)),),
            value=value,
        )
        return primitive

    make.counts = counts
    yield make
    for name in names:
        del REGISTRY[name]


@pytest.mark.parametrize(
    ("policy", "first", "second"),
    [
        ("default", 2, 1),
        ("nothing", 2, 1),
        ("everything", 1, 1),
        ("names", 1, 1),
        ("all but names", 1, 1),
        ("dots", 2, 1),
    ],
)
def test_how_often_things_are_computed(counting, policy, first, second):
    inner, outer = counting("inner"), counting("outer")
    fun = volta.checkpoint(
        lambda x: outer(checkpoint_name(inner(x), "product")), policy=POLICIES[policy]
    )
    out, pull = volta.vjp(fun, X)
    assert counting.counts == {"inner": 1, "outer": 1}
    same(out, np.sin(np.sin(X)))
    same(pull(np.ones(3)), (np.cos(np.sin(X)) * np.cos(X),))
    assert counting.counts == {"inner": first, "outer": second}
    pull(np.ones(3))
    assert counting.counts["inner"] == 2 * first - 1


def test_what_a_policy_is_asked():
    asked = []

    def policy(primitive, **params):
        asked.append((primitive.name, params.get("name")))
        return False

    fun = volta.checkpoint(lambda x: F.sin(checkpoint_name(F.exp(x), "mine")), policy=policy)
    volta.grad(lambda x: F.sum(fun(x)))(X)
    assert set(asked) == {("exp", None), ("checkpoint_name", "mine")}


def peak(fun):
    fun()
    tracemalloc.start()
    try:
        fun()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_a_chain_of_layers():
    x = rng.normal(size=10_000)

    def block(x):
        for _ in range(4):
            x = F.sin(x) * F.cos(x) + F.tanh(x)
        return x

    def loss(block):
        def fun(x):
            for _ in range(20):
                x = block(x)
            return F.sum(x)

        return fun

    plain = peak(lambda: volta.grad(loss(block))(x))
    kept = peak(lambda: volta.grad(loss(volta.checkpoint(block)))(x))
    assert plain > 200 * x.nbytes
    assert kept < 52 * x.nbytes, (kept / x.nbytes, plain / x.nbytes)
    same(volta.grad(loss(volta.checkpoint(block)))(x), volta.grad(loss(block))(x))


def test_residuals_are_what_the_policy_saves():
    """After the run forward only the arguments live, and what a policy keeps."""
    x = rng.normal(size=10_000)

    def block(x):
        y = checkpoint_name(F.sin(x), "product")
        return F.sum(F.exp(F.tanh(y)))

    def held(policy):
        fun = volta.checkpoint(block, policy=policy)
        volta.vjp(fun, x)
        tracemalloc.start()
        try:
            kept = volta.vjp(fun, x)
            return tracemalloc.get_traced_memory()[0] / x.nbytes, kept
        finally:
            tracemalloc.stop()

    assert held(None)[0] < 0.5
    assert 0.9 < held(POLICIES["names"])[0] < 1.5
    assert held(POLICIES["everything"])[0] > 1.9


# Staging and errors ------------------------------------------------------------------------------


def test_the_way_back_is_checkpointed_too():
    fun = volta.checkpoint(lambda x: F.sum(F.sin(F.sin(x))))
    names = [e.primitive.name for e in volta.trace(volta.grad(fun))(X).entries]
    assert names.count("checkpoint") == 2


def test_it_prints():
    def fun(x):
        return F.sin(x)

    line = fun.__code__.co_firstlineno + 1
    text = str(volta.trace(volta.checkpoint(fun))(X))
    assert "checkpoint(%0; body=checkpoint(fun)" in text
    assert "    checkpoint(fun)(%0: float64[3]):" in text
    assert f"      %1: float64[3] = sin(%0)  # test_checkpoint.py:{line}" in text


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: volta.checkpoint(lambda x: x if x[0] > 0 else -x)(x),
            TraceError,
            r"bool: needs a concrete value; got an array traced by checkpoint\(<lambda>\) at "
            r"test_c",
        ),
        (
            lambda x: volta.checkpoint(lambda x: x * float(x[0]))(x),
            TraceError,
            r"float: would cut the array off from checkpoint\(<lambda>\)",
        ),
        (
            lambda x: volta.checkpoint(lambda s, x: x)("a", x),
            DTypeError,
            r"^checkpoint\(<lambda>\): every leaf must be an array or a number; got str\.",
        ),
        (
            lambda x: volta.checkpoint(lambda x: "a")(x),
            DTypeError,
            r"^checkpoint\(<lambda>\): every leaf must be an array or a number; got str\.",
        ),
        (
            lambda x: volta.checkpoint(F.sin, static_argnums=3)(x),
            ValueError,
            r"^checkpoint\(sin\): static_argnums must number positional arguments of the call; got",
        ),
        (lambda x: volta.checkpoint(F.sin, polcy=None), TypeError, "did you mean 'policy'"),
    ],
)
def test_messages(call, error, message):
    with pytest.raises(error, match=message):
        volta.grad(lambda x: F.sum(call(x)))(X)
    assert live.staging == 0


def test_names_on_trees():
    out = checkpoint_name({"a": X, "b": (1.0, None)}, "n")
    same(out, {"a": X, "b": (1.0, None)})
    same(volta.vmap(lambda x: checkpoint_name(x, "n"))(M), M)


def test_numbers_stay_numbers():
    scaled = volta.checkpoint(lambda x, k: x * k)
    for dtype in (np.float32, np.float64):
        x = np.asarray(2.0, dtype)
        for k in (3, 3.1):
            y, pull = volta.vjp(lambda x, k=k: scaled(x, k), x)
            assert y.dtype == x.dtype
            assert y == x * k
            assert pull(y)[0] == x * k * k
    repeated = volta.checkpoint(lambda x, n: sum(x**i for i in range(n)))
    assert float(volta.grad(repeated)(np.asarray(2.0), 3)) == 5.0
