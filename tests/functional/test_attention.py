"""Attention against torch and against all scores at once; blocks, masks, memory."""

import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import HALVES, library

import volta
import volta.functional as F
from volta.core.errors import DimensionError, DTypeError, ShapeError
from volta.functional import attention

sdpa = F.scaled_dot_product_attention
rng = np.random.default_rng(5)
START = rng.bit_generator.state


@pytest.fixture(autouse=True)
def same_numbers():
    """Each test draws the same, whichever ran before."""
    rng.bit_generator.state = START


@contextmanager
def small_blocks():
    """Blocks of three queries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_SCORES", 1)
        patch.setattr(attention, "_ROWS", 3)
        yield


def all_at_once(q, k, v, bias=None, causal=False, scale=None):
    scores = q @ np.swapaxes(k, -1, -2) * (1 / np.sqrt(q.shape[-1]) if scale is None else scale)
    scores = scores if bias is None else scores + bias
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -np.inf)
    top = np.max(scores, axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isinf(top), 0, top))
    total = np.sum(weights, axis=-1, keepdims=True)
    return weights / np.where(total == 0, 1, total) @ v


@st.composite
def calls(draw):
    """Arrays and options of a call, with masks of every kind."""
    size = st.integers(1, 7)
    batch, groups, heads = draw(size) % 3, draw(st.sampled_from([1, 3])), draw(size) % 3 + 1
    queries, keys, features, values = draw(size), draw(size), draw(size), draw(size)
    lead = (batch + 1,)
    shapes = (
        (*lead, heads * groups, queries, features),
        (*lead, heads, keys, features),
        (*lead, heads, keys, values),
    )
    random = np.random.default_rng(draw(st.integers(0, 99)))
    q, k, v = (random.normal(size=s) for s in shapes)
    mask = None
    kind = draw(st.sampled_from(["none", "bool", "float"]))
    if kind != "none":
        rows = draw(st.sampled_from([1, queries]))
        ahead = draw(st.sampled_from([(), (1,), (heads * groups,), (*lead, 1)]))
        mask = random.normal(size=(*ahead, rows, keys))
        mask = mask > -0.5 if kind == "bool" else mask
    options = {"enable_gqa": True} if groups > 1 else {}
    if draw(st.booleans()):
        options["scale"] = 0.7
    options["is_causal"] = mask is None and draw(st.booleans())
    return (q, k, v, mask), options


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(call=calls())
@small_blocks()
def test_values_and_gradients_are_torchs(dtype, call):
    torch = pytest.importorskip("torch")
    (q, k, v, mask), options = call
    arrays = [x.astype(dtype) for x in (q, k, v)]
    additive = mask is not None and mask.dtype != bool
    if additive:
        arrays.append(mask.astype(dtype))
    tensors = [torch.tensor(x, requires_grad=True) for x in arrays]
    own = tensors[3] if additive else None if mask is None else torch.tensor(mask)
    expected = torch.nn.functional.scaled_dot_product_attention(*tensors[:3], own, **options)
    ct = rng.normal(size=expected.shape).astype(dtype)
    expected.backward(torch.tensor(ct))

    def fun(q, k, v, mask=mask):
        return sdpa(q, k, v, mask, **options)

    out, pull = volta.vjp(fun, *arrays)
    rtol = 1e-5 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(out, expected.detach(), rtol=rtol, atol=rtol)
    for found, tensor in zip(pull(ct), tensors, strict=True):
        np.testing.assert_allclose(found, tensor.grad, rtol=rtol, atol=rtol)


@pytest.mark.grad_check
@pytest.mark.parametrize("queries", [1, 3, 8])
@pytest.mark.parametrize("keys", [1, 4, 17])
@small_blocks()
def test_causal_blocks_of_any_lengths(queries, keys):
    q, k, v = (rng.normal(size=(2, n, 3)) for n in (queries, keys, keys))
    mask = rng.normal(size=(queries, keys))
    out = sdpa(q, k, v, mask, is_causal=True)
    np.testing.assert_allclose(out, all_at_once(q, k, v, mask, True), rtol=1e-12, atol=1e-14)
    volta.testing.check_grads(lambda *xs: sdpa(*xs, is_causal=True), (q, k, v, mask), order=2)


@pytest.mark.grad_check
@small_blocks()
def test_queries_that_see_no_key():
    q, k, v = (rng.normal(size=(2, 5, 3)) for _ in range(3))
    mask = np.ones((5, 5), dtype=bool)
    mask[[1, 4]] = False
    out, pull = volta.vjp(lambda q, k, v: sdpa(q, k, v, mask), q, k, v)
    assert not np.any(out[:, [1, 4]])
    assert np.all(out[:, [0, 2, 3]])
    grads = pull(np.ones_like(out))
    assert not np.any(grads[0][:, [1, 4]])
    assert all(np.all(np.isfinite(g)) for g in grads)
    volta.testing.check_grads(lambda q, k, v: sdpa(q, k, v, mask), (q, k, v), order=2)


@pytest.mark.parametrize(("queries", "keys", "batch"), [(0, 3, 2), (3, 0, 2), (3, 3, 0), (0, 0, 0)])
@pytest.mark.parametrize("lib", ["numpy", "torch", "array_api_strict"])
def test_nothing_to_look_at(lib, queries, keys, batch):
    lib = library(lib)
    q, k = (lib.asarray(np.ones((batch, n, 2))) for n in (queries, keys))
    out, pull = volta.vjp(lambda q, k: sdpa(q, k, k), q, k)
    assert tuple(out.shape) == (batch, queries, 2)
    if not keys:
        assert not np.any(lib.host(out))
    grads = pull(out)
    assert [tuple(g.shape) for g in grads] == [(batch, queries, 2), (batch, keys, 2)]


@pytest.mark.parametrize("axes", [(0, 0, 0, 0), (0, None, None, None), (None, 1, 1, None)])
def test_vmap_is_the_loop(axes):
    arrays = [rng.normal(size=s) for s in ((2, 4, 3), (5, 3), (2, 5, 3), (4, 5))]
    stacked = [
        x if a is None else np.stack([x, 2 * x, x - 1], axis=a)
        for x, a in zip(arrays, axes, strict=True)
    ]
    found = volta.vmap(lambda *xs: sdpa(*xs, is_causal=True), in_axes=axes)(*stacked)
    for i in range(3):
        one = [
            x if a is None else np.take(x, i, axis=a) for x, a in zip(stacked, axes, strict=True)
        ]
        np.testing.assert_allclose(found[i], sdpa(*one, is_causal=True), rtol=1e-12)


@pytest.mark.parametrize("dtype", HALVES)
def test_halves_are_computed_in_32_bits(dtype):
    lib = library("torch")
    q, k, v = (rng.normal(size=(2, 40, 8)) for _ in range(3))
    halves = [lib.asarray(x.astype(np.float32)).to(getattr(lib.xp, dtype)) for x in (q, k, v)]
    wanted = sdpa(*(x.float() for x in halves)).to(halves[0].dtype)
    out = sdpa(*halves)
    assert out.dtype == wanted.dtype
    np.testing.assert_array_equal(out.float(), wanted.float())


def test_dropout_keeps_expectations_and_needs_a_key():
    q, k, v = (rng.normal(size=(3, n, 4)) for n in (50, 200, 200))
    out = np.mean(
        [sdpa(q, k, v, dropout_p=0.3, dropout_key=F.random.key(i)) for i in range(60)], axis=0
    )
    np.testing.assert_allclose(out, sdpa(q, k, v), rtol=0, atol=0.15)
    one = sdpa(q, k, v, dropout_p=0.3, dropout_key=F.random.key(0))
    assert np.max(np.abs(one - sdpa(q, k, v))) > 0.02
    assert not np.any(sdpa(q, k, v, dropout_p=1.0, dropout_key=F.random.key(0)))
    with pytest.raises(ValueError, match="dropout must have a random key; got none"):
        sdpa(q, k, v, dropout_p=0.1)
    with pytest.raises(ValueError, match=r"dropout_p must be from 0 to 1; got 1\.5"):
        sdpa(q, k, v, dropout_p=1.5, dropout_key=F.random.key(0))


@pytest.mark.parametrize("causal", [False, True])
def test_memory_does_not_grow_with_the_square(causal):
    length = 2048
    q, k, v = (rng.normal(size=(4, length, 8)).astype(np.float32) for _ in range(3))
    grad = volta.grad(lambda *xs: F.sum(sdpa(*xs, is_causal=causal)), argnums=(0, 1, 2))
    grad(q[:, :9], k[:, :9], v[:, :9])
    tracemalloc.start()
    grad(q, k, v)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    scores = 4 * length**2 * 4
    assert peak < scores / 2  # all of them once; softmax and its derivative hold four times that


def test_jaxs_layout():
    jax = pytest.importorskip("jax")
    q, k, v = (rng.normal(size=s) for s in ((2, 6, 4, 3), (2, 5, 2, 3), (2, 5, 2, 3)))
    bias, mask = rng.normal(size=(4, 6, 5)), rng.random((2, 1, 6, 5)) > 0.2
    for options in ({}, {"is_causal": True, "scale": 0.2}, {"bias": bias, "mask": mask}):
        found = F.dot_product_attention(q, k, v, **options)
        wanted = jax.nn.dot_product_attention(
            *(x.astype(np.float32) for x in (q, k, v)),
            **{n: np.asarray(a) if isinstance(a, np.ndarray) else a for n, a in options.items()},
        )
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


X = np.ones((2, 4, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sdpa(X, X[:, :3], X), ShapeError, r"as many keys as values; got shapes \(2, 4, 3"),
        (lambda: sdpa(X[0, 0], X, X), ShapeError, r"must have shapes \(\.\.\., length, features\)"),
        (
            lambda: sdpa(X, X, X, enable_gqa=True, attn_mask=X),
            ShapeError,
            "must broadcast to the s",
        ),
        (
            lambda: sdpa(np.ones((3, 4, 3)), X, X, enable_gqa=True),
            ShapeError,
            r"multiple of those of keys and values; got shapes \(3, 4, 3\)",
        ),
        (lambda: sdpa(X, X, X, np.ones(4, int)), DTypeError, "boolean or real floating; got int64"),
        (
            lambda: sdpa(X, X, X + 1j),
            DTypeError,
            "one real floating dtype; got float64, float64, c",
        ),
        (lambda: F.dot_product_attention(X[0], X, X), DimensionError, r"features\); got \(4, 3\)"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
