"""Convolutions against torch, by every algorithm, and what they take of time and memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import HALVES, fill, library, seeds

import volta
import volta.functional as F
from volta import DTypeError, ShapeError
from volta.functional.conv.choice import ALGORITHMS
from volta.functional.conv.geometry import Geometry
from volta.functional.conv.primitives import conv, conv_input, conv_weight

pytestmark = pytest.mark.neural

NAMES = tuple(a.value for a in F.ConvAlgo)
SUMMING = ("auto", "direct", "igemm", "im2col")  # whose error is that of sums of products


def sizes(least, most):
    return st.integers(least, most)


@st.composite
def cases(draw, three=False):
    """Shapes and arguments of a convolution; with kernels of 3 and strides of 1 if so asked."""
    nd = draw(sizes(1, 3))

    def numbers(least, most):
        return tuple(draw(sizes(least, most)) for _ in range(nd))

    kernel = (3,) * nd if three else numbers(1, 4)
    stride = (1,) * nd if three else numbers(1, 3)
    dilation = (1,) * nd if three else numbers(1, 2)
    padding, groups = numbers(0, 3), draw(sizes(1, 3))
    space = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(sizes(0, 5))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    channels, outputs = draw(sizes(1, 3)), draw(sizes(1, 3))
    x = (draw(sizes(1, 3)), groups * channels, *space)
    return x, (groups * outputs, channels, *kernel), (stride, padding, dilation, groups)


def torch_of(x, w, b, args, ct):
    """Torch's result and gradients."""
    torch = pytest.importorskip("torch")
    arrays = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    y = getattr(torch, f"conv{x.ndim - 2}d")(*arrays, *args)
    found = torch.autograd.grad(y, arrays, torch.tensor(ct))
    return [a.detach().numpy() for a in (y, *found)]


def ours(x, w, b, args, ct, algo, cap=None):
    function = getattr(F, f"conv{x.ndim - 2}d")
    with F.conv_options(memory_cap=cap):
        y, pull = volta.vjp(lambda *a: function(*a, *args, algo=algo), x, w, b)
        return y, *pull(ct)


def bound(x, w, b, args, ct):
    """4 √K eps Σ|a||b| for the result and both gradients."""
    eps = np.finfo(x.dtype).eps
    sums = torch_of(
        *(np.abs(a).astype(np.float64) for a in (x, w, b)), args, np.abs(ct, dtype="f8")
    )
    terms = (w[0].size, ct[0].size, ct.size // ct.shape[1], ct.size)
    return [4 * np.sqrt(k) * eps * s + 1e-300 for k, s in zip(terms, sums, strict=True)]


@pytest.mark.grad_check
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("algo", NAMES)
def test_results_and_gradients_are_torchs(algo, dtype):
    @given(case=cases(three=algo.startswith("winograd")), seed=seeds)
    def check(case, seed):
        x_shape, w_shape, args = case
        x, w = fill(seed, x_shape, dtype), fill(seed + 1, w_shape, dtype)
        b = fill(seed + 2, w_shape[:1], dtype)
        y = getattr(F, f"conv{x.ndim - 2}d")(x, w, b, *args)
        ct = fill(seed + 3, y.shape, dtype)
        exact = torch_of(*(a.astype(np.float64) for a in (x, w, b)), args, ct.astype(np.float64))
        found = ours(x, w, b, args, ct, algo)
        limits = bound(x, w, b, args, ct)
        if algo not in SUMMING:
            norms = [np.linalg.norm(a.astype(np.float64)) for a in (x, w, ct)]
            factor = (50 if algo == "winograd4" else 10) * np.finfo(dtype).eps
            for i, (a, b) in enumerate([(0, 1), (2, 1), (0, 2)]):
                limits[i] = factor * norms[a] * norms[b]
        for got, wanted, limit in zip(found, exact, limits, strict=True):
            assert got.dtype == dtype
            assert np.all(np.abs(got - wanted) <= limit)

    check()


@pytest.mark.parametrize(
    ("algo", "limit"), [("winograd2", 2e-6), ("winograd4", 2e-5), ("fft", 2e-6)]
)
def test_errors_relative_to_the_largest_result(algo, limit):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 64, 24, 24)).astype(np.float32)
    w = rng.normal(size=(32, 64, 3, 3)).astype(np.float32)
    ct = rng.normal(size=(2, 32, 24, 24)).astype(np.float32)
    args, b = ((1, 1), (1, 1), (1, 1), 1), np.zeros(32, np.float32)
    exact = torch_of(*(a.astype(np.float64) for a in (x, w, b)), args, ct.astype(np.float64))
    for got, wanted in zip(ours(x, w, b, args, ct, algo)[:3], exact[:3], strict=True):
        assert np.max(np.abs(got - wanted)) <= limit * np.max(np.abs(wanted))


# the coarsest error of what "auto" may choose, relative to the largest result
COARSEST = {"highest": 0, "high": 2e-6, "fast": 2e-5}
ERRORS = {"winograd2": 2e-6, "fft": 2e-6, "winograd4": 2e-5}


@pytest.mark.parametrize("precision", COARSEST)
@given(data=st.data())
def test_auto_is_as_precise_as_it_is_asked_to_be(precision, data):
    draw, nd = data.draw, 2
    channels, outputs = draw(sizes(1, 64)), draw(sizes(1, 64))
    kernel, stride = draw(st.sampled_from([1, 3, 3, 5])), draw(st.sampled_from([1, 1, 2]))
    x = (draw(sizes(1, 8)), channels, *(draw(sizes(5, 80)) for _ in range(nd)))
    of = draw(st.sampled_from(["result", "input", "weight"]))
    with F.conv_options(precision=precision):
        choice = F.conv_algo(x, (outputs, channels, kernel, kernel), stride, 1, of=of)
    assert ERRORS.get(choice.algo, 0) <= COARSEST[precision]
    allowed = {n for n, e in choice.estimates.items() if not e.note}
    assert max(ERRORS.get(n, 0) for n in allowed) <= COARSEST[precision]


@pytest.mark.parametrize("algo", NAMES)
@pytest.mark.parametrize("nd", [1, 2, 3])
def test_blocks_of_images_and_rows_and_channels_are_the_whole(algo, nd):
    rng = np.random.default_rng(nd)
    space = {1: (61,), 2: (15, 14), 3: (9, 6, 7)}[nd]
    x, w = rng.normal(size=(3, 4, *space)), rng.normal(size=(18, 2, *(3,) * nd))
    args = (1, 1, 1, 2)
    y = getattr(F, f"conv{nd}d")(x, w, None, *args)
    whole = ours(x, w, np.zeros(18), args, y, "im2col")
    smallest = {"fft": 300_000, "winograd2": 800_000, "winograd4": 2_500_000}.get(algo, 250_000)
    for cap in (smallest, 3 * smallest):
        for a, b in zip(ours(x, w, np.zeros(18), args, y, algo, cap), whole, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.max(np.abs(b)))


@pytest.mark.parametrize("batch", [7, 8, 19])  # in blocks of 8
@pytest.mark.parametrize("options", [(1, 1, 1, 1), (2, 0, 1, 1), (1, 2, 2, 2), (3, 1, 2, 1)])
@pytest.mark.parametrize("nd", [1, 2, 3])
def test_the_inputs_gradient_of_few_and_many_images(monkeypatch, nd, options, batch):
    """Many lie beside each other, in blocks of which the last has fewer."""
    parts = Geometry.parts
    monkeypatch.setattr(Geometry, "parts", lambda self, images, rows: parts(self, 8, rows))
    x, w = (batch, 4, *(7, 6, 5)[:nd]), (6, 4 // options[-1], *(3, 2, 2)[:nd])
    x, w = fill(batch, x, "float64"), fill(nd, w, "float64")
    y = getattr(F, f"conv{nd}d")(x, w, None, *options)
    found, wanted = (ours(x, w, np.zeros(6), options, y, algo)[1] for algo in ("im2col", "direct"))
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11)


MAPS = {
    "result": lambda x, w, y, p: conv(x, w, **p),
    "input": lambda x, w, y, p: conv_input(y, w, lengths=x.shape[2:], **p),
    "weight": lambda x, w, y, p: conv_weight(x, y, lengths=w.shape[2:], **p),
}


@pytest.mark.parametrize("which", MAPS)
@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("stride", [1, 2])
def test_memory_stays_below_the_bound_of_the_algorithm_and_the_cap(which, algo, stride):
    if algo.startswith("winograd") and stride > 1:
        pytest.skip("strides are 1")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 16, 40, 48)).astype(np.float32)
    w = rng.normal(size=(24, 16, 3, 3)).astype(np.float32)
    y = F.conv2d(x, w, None, stride, 1)
    for cap in (2**20, 2**22, 2**30):
        with F.conv_options(memory_cap=cap, precision="fast"):
            choice = F.conv_algo(x.shape, w.shape, stride, 1, of=which)
        bound = choice.estimates[algo].memory
        assert bound <= cap
        params = {
            "stride": (stride,) * 2,
            "padding": ((1, 1),) * 2,
            "dilation": (1, 1),
            "groups": 1,
            "algo": algo,
            "memory_cap": cap,
            "precision": "fast",
        }
        out = MAPS[which](x, w, y, params)  # and its plan, which stays
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        MAPS[which](x, w, y, params)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak - before - out.nbytes <= bound + 20_000  # Python's own objects


@pytest.mark.parametrize("which", MAPS)
@pytest.mark.parametrize("algo", ["im2col", "igemm"])
def test_caps_hold_blocks_of_few_rows(which, algo):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(1, 8, 30, 30)), rng.normal(size=(32, 8, 11, 11))
    y = F.conv2d(x, w)
    params = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    params |= {"precision": "highest", "algo": algo}
    held = 0
    for cap in map(int, np.geomspace(1e5, 8e6, 30)):
        params["memory_cap"] = cap
        try:
            MAPS[which](x, w, y, params)
        except ValueError:
            continue
        tracemalloc.start()
        out = MAPS[which](x, w, y, params)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak - out.nbytes <= cap + 20_000
        held += 1
    assert held > 3


@pytest.mark.parametrize("algo", ["auto", *ALGORITHMS])
def test_a_cap_that_no_block_fits_is_refused(algo):
    with (
        F.conv_options(memory_cap=100),
        pytest.raises(ValueError, match=r"conv: memory_cap must hold .* got 100 bytes, and the"),
    ):
        F.conv2d(np.ones((1, 2, 8, 8)), np.ones((2, 2, 3, 3)), algo=algo)


@pytest.mark.grad_check
@given(data=st.data())
def test_transposed_convolutions_are_torchs(data):
    torch = pytest.importorskip("torch")
    nd, groups = data.draw(sizes(1, 3)), data.draw(sizes(1, 2))

    def numbers(least, most):
        return tuple(data.draw(sizes(least, most)) for _ in range(nd))

    kernel, stride, dilation = numbers(1, 3), numbers(1, 3), numbers(1, 3)
    more = tuple(data.draw(sizes(0, max(a, b) - 1)) for a, b in zip(stride, dilation, strict=True))
    padding, space = numbers(0, 1), numbers(2, 4)
    if any(
        (n - 1) * s + d * (k - 1) + 1 + m - 2 * p < 1
        for n, s, d, k, m, p in zip(space, stride, dilation, kernel, more, padding, strict=True)
    ):
        return
    inputs, outputs = (groups * data.draw(sizes(1, 2)) for _ in range(2))
    algo = data.draw(st.sampled_from(["auto", "direct", "igemm", "im2col", "fft"]))
    args = (stride, padding, more, groups, dilation)
    x = fill(data.draw(seeds), (2, inputs, *space), "float64")
    w = fill(data.draw(seeds), (inputs, outputs // groups, *kernel), "float64")
    b = fill(data.draw(seeds), (outputs,), "float64")
    name = f"conv_transpose{nd}d"
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    wanted = getattr(torch.nn.functional, name)(*tensors, *args)
    y, pull = volta.vjp(lambda *a: getattr(F, name)(*a, *args, algo=algo), x, w, b)
    np.testing.assert_allclose(y, wanted.detach(), rtol=1e-10, atol=1e-12)
    ct = fill(data.draw(seeds), y.shape, "float64")
    grads = torch.autograd.grad(wanted, tensors, torch.tensor(ct))
    for got, g in zip(pull(ct), grads, strict=True):
        np.testing.assert_allclose(got, g, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("lib", ["numpy", "array_api_strict", "torch"])
@pytest.mark.parametrize("batched", [(0, None), (None, 0), (1, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_lanes_of_all_three_maps_are_a_loop(lib, batched, groups):
    own = library(lib)
    shapes = [(2, 4, 5, 4), (6, 4 // groups, 3, 2)]
    x, w = (
        fill(i, s if a is None else (*s[:a], 3, *s[a:]), "float64")
        for i, (s, a) in enumerate(zip(shapes, batched, strict=True))
    )

    def gradient(x, w):
        y, pull = volta.vjp(lambda x, w: F.conv2d(x, w, None, (2, 1), 1, 1, groups), x, w)
        return y, *pull(y)

    found = volta.vmap(gradient, in_axes=batched)(own.asarray(x), own.asarray(w))
    for lane in range(3):
        one = [
            a if at is None else np.take(a, lane, at) for a, at in zip((x, w), batched, strict=True)
        ]
        for got, wanted in zip(found, gradient(*one), strict=True):
            np.testing.assert_allclose(own.host(got)[lane], wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("lib", ["numpy", "torch"])
def test_lanes_of_second_derivatives(lib):
    own = library(lib)
    x, w = fill(0, (3, 2, 2, 4, 4), "float64"), fill(1, (3, 2, 2, 3, 3), "float64")

    def loss(w, x):
        return F.sum(F.conv2d(x, w, padding=1) ** 3)

    found = volta.vmap(volta.hessian(loss))(own.asarray(w), own.asarray(x))
    for lane in range(3):
        wanted = volta.hessian(loss)(w[lane], x[lane])
        np.testing.assert_allclose(own.host(found)[lane], wanted, rtol=1e-10, atol=1e-10)


def test_weights_learn_without_a_gradient_of_the_input():
    x, w = fill(0, (65, 1, 6, 6), "float64"), fill(1, (3, 1, 3, 3), "float64")
    for algo in ("direct", "im2col", "igemm", "winograd2", "fft"):
        alone = volta.grad(lambda w, a=algo: F.sum(F.conv2d(x, w, algo=a) ** 2))(w)
        both = volta.grad(lambda w, x, a=algo: F.sum(F.conv2d(x, w, algo=a) ** 2), (0, 1))(w, x)
        np.testing.assert_array_equal(alone, both[0])
        assert np.all(alone != 0)


@pytest.mark.parametrize("algo", ["auto", "direct", "im2col", "igemm", "fft"])
def test_sizes_of_zero(algo):
    assert F.conv2d(np.ones((0, 2, 4, 4)), np.ones((3, 2, 3, 3)), algo=algo).shape == (0, 3, 2, 2)
    assert F.conv2d(np.ones((2, 2, 4, 4)), np.ones((0, 2, 3, 3)), algo=algo).shape == (2, 0, 2, 2)
    out = F.conv2d(np.ones((2, 0, 4, 4)), np.ones((3, 0, 3, 3)), np.ones(3), algo=algo)
    np.testing.assert_array_equal(out, np.ones((2, 3, 2, 2)))
    # an input without elements, all of it padding
    out = F.conv1d(np.ones((2, 1, 0)), np.ones((3, 1, 2)), padding=1, algo=algo)
    np.testing.assert_array_equal(out, np.zeros((2, 3, 1)))
    grads = volta.grad(lambda x, w: F.sum(F.conv2d(x, w, algo=algo)), (0, 1))(
        np.ones((0, 2, 4, 4)), np.ones((3, 2, 3, 3))
    )
    assert grads[0].shape == (0, 2, 4, 4)
    np.testing.assert_array_equal(grads[1], np.zeros((3, 2, 3, 3)))


def test_padding_by_name_and_in_pairs():
    x, w = fill(0, (1, 2, 7, 6), "float64"), fill(1, (3, 2, 4, 3), "float64")
    same = F.conv2d(x, w, padding="same", dilation=(1, 2))
    assert same.shape == (1, 3, 7, 6)
    by_hand = F.conv2d(F.pad(x, [(0, 0), (0, 0), (1, 2), (2, 2)]), w, dilation=(1, 2))
    np.testing.assert_allclose(same, by_hand, rtol=1e-12)
    pairs = F.conv2d(x, w, padding=((1, 2), (2, 2)), dilation=(1, 2))
    np.testing.assert_array_equal(same, pairs)
    np.testing.assert_array_equal(F.conv2d(x, w, padding="valid"), F.conv2d(x, w))


@pytest.mark.parametrize("lib", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("dtype", HALVES)
def test_16_bit_products_are_added_up_in_32(lib, dtype):
    own = library(lib)
    x, w = np.ones((1, 3000, 1, 1), np.float32), np.ones((1, 3000, 1, 1), np.float32)
    out = F.conv2d(*(F.astype(own.asarray(a), dtype) for a in (x, w)))
    assert str(out.dtype).endswith(dtype)
    assert (
        float(F.astype(out, "float32")[0, 0, 0, 0]) == float(np.float32(3000))
        or dtype == "bfloat16"
    )
    back = F.astype(out, "float32")[0, 0, 0, 0]
    np.testing.assert_allclose(np.asarray(own.host(back)), 3000, rtol=4e-3)


def test_dtypes_are_promoted_and_gradients_have_their_own():
    x, w = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 2, 2))
    assert F.conv2d(x, w).dtype == np.float64
    of_x, of_w = volta.grad(lambda x, w: F.sum(F.conv2d(x, w)), (0, 1))(x, w)
    assert (of_x.dtype, of_w.dtype) == (np.float32, np.float64)


@pytest.mark.parametrize("algo", [a for a in NAMES if a != "auto"])
@pytest.mark.parametrize("lib", ["numpy", "array_api_strict", "torch"])
def test_complex_numbers(algo, lib):
    own = library(lib)
    x, w = fill(0, (2, 2, 6, 5), "complex128"), fill(1, (3, 2, 3, 3), "complex128")
    parts = [
        [F.conv2d(np.ascontiguousarray(a), np.ascontiguousarray(b)) for b in (w.real, w.imag)]
        for a in (x.real, x.imag)
    ]
    wanted = parts[0][0] - parts[1][1] + 1j * (parts[0][1] + parts[1][0])
    found = F.conv2d(own.asarray(x), own.asarray(w), algo=algo)
    np.testing.assert_allclose(own.host(found), wanted, rtol=1e-10, atol=1e-10)


def test_numbers_that_are_not_finite_stay_where_the_kernel_is():
    x = np.zeros((1, 1, 9, 9), np.float32)
    x[0, 0, 4, 4] = np.inf
    y = F.conv2d(x, np.ones((1, 1, 3, 3), np.float32))
    assert np.isinf(y).sum() == 9
    assert not np.isnan(y).any()


def test_the_choice_has_reasons():
    choice = F.conv_algo((8, 64, 28, 28), (128, 64, 3, 3), padding=1)
    assert set(choice.estimates) == set(ALGORITHMS)
    allowed = {n: e.seconds for n, e in choice.estimates.items() if not e.note}
    assert allowed.keys() == {"direct", "im2col", "igemm"}
    assert choice.algo == min(allowed, key=allowed.get)
    assert "im2col" in str(choice)
    assert "precision must be 'high'; got 'highest'" in str(choice)
    with F.conv_options(precision="fast"):
        assert not F.conv_algo((8, 64, 28, 28), (128, 64, 3, 3)).estimates["winograd4"].note
    strided = F.conv_algo((8, 64, 28, 28), (128, 64, 3, 3), 2).estimates["winograd2"]
    assert "stride and dilation must be 1; got (2, 2) and (1, 1)" in strided.note
    with F.conv_options(memory_cap=2**20):
        found = F.conv_algo((8, 64, 28, 28), (128, 64, 3, 3), padding=1).estimates
    assert all(e.memory <= 2**20 or "above memory_cap" in e.note for e in found.values())


@pytest.mark.parametrize("algo", ["winograd2", "winograd4"])
@pytest.mark.parametrize(
    ("kernel", "options", "message"),
    [
        ((2, 3), {}, r"the kernel must have 3 elements along every axis; got \(2, 3\)"),
        ((3, 3), {"stride": 2}, r"stride and dilation must be 1; got \(2, 2\) and \(1, 1\)"),
        ((3, 3), {"dilation": 2}, r"stride and dilation must be 1; got \(1, 1\) and \(2, 2\)"),
    ],
)
def test_winograd_says_why_it_does_not_apply(algo, kernel, options, message):
    x, w = np.ones((1, 1, 8, 8)), np.ones((1, 1, *kernel))
    with pytest.raises(ValueError, match=f"conv: {algo} must apply to the convolution: {message}"):
        F.conv2d(x, w, **options, algo=algo)
    with F.conv_options(precision="fast"):
        F.conv2d(x, w, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"stride": 0}, ValueError, "stride must be an int of at least 1, .* 2 axes; got 0"),
        ({"stride": (1, 2, 3)}, ValueError, r"one for each of 2 axes; got \(1, 2, 3\)"),
        ({"stride": 1.5}, DTypeError, "stride must be an int, or one for each axis; got 1.5"),
        ({"padding": -1}, ValueError, "padding must be an int of at least 0"),
        ({"padding": "full"}, ValueError, "padding must be ints, 'same' or 'valid'; got 'full'"),
        ({"padding": "same", "stride": 2}, ValueError, "'same' must come with stride 1; got .*2"),
        ({"padding": [(1, 1)]}, ValueError, "padding must have a pair for each of 2 axes"),
        ({"groups": 0}, ValueError, "groups must be at least 1; got 0"),
        ({"groups": 3}, ShapeError, r"in 3 groups; got weight of shape \(2, 2, 2, 2\) and input"),
        ({"algo": "best"}, ValueError, "algo must be one of direct, .*auto; got 'best'"),
        ({"bias": np.ones(3)}, ShapeError, r"bias must have one number for each of 2 .*\(3,\)"),
    ],
)
def test_arguments_out_of_range_are_refused(options, error, message):
    with pytest.raises(error, match=f"conv2d: .*{message}"):
        F.conv2d(np.ones((1, 2, 4, 4)), np.ones((2, 2, 2, 2)), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"output_padding": 1},
            r"output_padding must be less than stride or dilation; got \(1, 1\)",
        ),
        ({"padding": "same"}, "padding must be ints; got 'same'"),
    ],
)
def test_arguments_of_transposed_ones_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=f"conv_transpose2d: {message}"):
        F.conv_transpose2d(np.ones((1, 2, 4, 4)), np.ones((2, 2, 2, 2)), **options)


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="memory_cap must be a positive number of bytes; got 0"):
        F.conv_options(memory_cap=0).__enter__()
    with pytest.raises(ValueError, match="must be one of highest, high, fast; got 'low'"):
        F.conv_options(precision="low").__enter__()
    with pytest.raises(ValueError, match="of must be 'result', 'input' or 'weight'; got 'all'"):
        F.conv_algo((1, 1, 3), (1, 1, 3), of="all")
    with pytest.raises(
        ShapeError, match=r"kernel must fit .*\(1, 1, 4\) and input of .*\(1, 1, 3\)"
    ):
        F.conv_algo((1, 1, 3), (1, 1, 4))


def test_the_list_forecasts_what_it_costs():
    x, w = np.ones((2, 3, 5, 5)), np.ones((4, 3, 3, 3))
    assert volta.forecast(F.conv2d)(x, w).flops == 2 * 2 * 4 * 9 * 27
    cost = volta.forecast(volta.grad(lambda x, w: F.sum(F.conv2d(x, w)), (0, 1)))(x, w)
    assert cost.flops >= 3 * 2 * 2 * 4 * 9 * 27
    assert not cost.notes
