"""Functions and layers against PyTorch's: results, all gradients, second derivatives.

PyTorch computes in 64 bits what it is compared with, so no error of its own is allowed for.
"""

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from strategies import fill, leaves, library

import volta
import volta.functional as F
from volta import nn, tree

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


# How far a result may be off: (expected, dtype, sizes, counts) -> a limit for each element --------


def of_largest(expected, dtype, *_):
    """Relative to the largest element, which the rounding of sums is."""
    finite = np.where(np.isfinite(expected), expected, 0)
    return TOLERANCE[dtype] * np.max(np.abs(finite), initial=0.1)


def of_each(expected, dtype, *_):
    """Relative to the element itself; near a zero an ulp of 1, which terms that cancel leave."""
    return TOLERANCE[dtype] * np.abs(expected) + np.finfo(dtype).eps


def of_terms(_expected, dtype, sizes, counts):
    """That of a sum of K products, 4 √K eps Σ|a||b|."""
    return 4 * np.sqrt(np.maximum(counts, 1)) * np.finfo(dtype).eps * np.abs(sizes)


def of_rounding(expected, dtype, sizes, _counts=None):
    """Relative to the largest element; where terms cancel, to them, as `roundings` finds them.

    Its deviations are those of errors of eps in each operand, √2 eps √Σ(ab)² for a sum of products,
    3.5 times what rounding leaves there (uniform within ±eps / 2). Volta may order the terms in
    another way, and partial sums of K terms are rounded too: 0.15 √K deviations by random signs.
    8 of them are below 4 √K eps Σ|a||b| from three equal terms on.
    """
    return np.maximum(of_largest(expected, dtype), 8 * sizes)


def is_within(found, expected, limit):
    with np.errstate(all="ignore"):
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        return same | (np.abs(found - expected) <= limit)


def assert_within(found, expected, dtype, limit):
    """Shape, dtype and values; infinities and NaN where they are expected."""
    assert found.shape == expected.shape
    assert found.dtype == np.dtype(dtype)
    wrong = ~is_within(found, expected, limit)
    if np.any(wrong):
        at = tuple(np.argwhere(wrong)[0])
        pytest.fail(f"{found[at]!r}, expected {expected[at]!r} at {at}\n{found}\n{expected}")


def assert_near(found, expected, dtype):
    assert_within(found, expected, dtype, of_largest(expected, dtype))


# Functions ----------------------------------------------------------------------------------------


def torchs(fun, arrays, cts, mode=None):
    """PyTorch's results in 64 bits, and the gradients for cotangents of them."""
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(np.array(a, "float64")).requires_grad_(True) for a in arrays]
    cts = [torch.from_numpy(np.array(c, "float64")) for c in cts]
    with mode or nullcontext():
        out = leaves(fun(*tensors))
        assert [o.shape for o in out] == [c.shape for c in cts]
        grads = torch.autograd.grad(out, tensors, cts, allow_unused=True)
    grads = [
        np.zeros(a.shape) if g is None else g.numpy() for g, a in zip(grads, arrays, strict=True)
    ]
    return [*(o.detach().numpy() for o in out), *grads]


def roundings(fun, arrays, cts, dtype, runs=16):
    """Standard deviations of PyTorch's results, were each operation's operands off by an eps.

    Monte Carlo arithmetic (D. S. Parker, "Monte Carlo arithmetic", UCLA report 970002, 1997): a
    result varies by the sizes of the terms that it is added up from, however far they cancel.
    """
    torch = pytest.importorskip("torch")
    aten, generator = torch.ops.aten, torch.Generator().manual_seed(13)
    # taken apart, as terms cancel inside
    fused = [getattr(aten, f"native_{n}_norm_backward") for n in ("batch", "group", "layer")]
    fused = torch._decomp.get_decompositions(fused)

    def rounded(x):
        if not isinstance(x, torch.Tensor) or not x.is_floating_point():
            return x
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return x * (1 + float(np.finfo(dtype).eps) * noise)

    class Rounded(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function in fused:
                with self:
                    return fused[function](*args, **kwargs or {})
            if not any(a.alias_info for a in function._schema.arguments):  # views compute nothing
                args = torch.utils._pytree.tree_map(rounded, args)
            return function(*args, **kwargs or {})

    exact = torchs(fun, arrays, cts)
    total = [np.zeros(e.shape) for e in exact]
    for _ in range(runs):
        for t, e, r in zip(total, exact, torchs(fun, arrays, cts, Rounded()), strict=True):
            t += np.where(np.isfinite(e), r - e, 0) ** 2
    return [np.sqrt(t / runs) for t in total]


def assert_like_torch(
    ours, theirs, arrays, dtype, lib="numpy", limit=of_largest, layout=np.asarray
):
    """Assert that two functions of floating arrays have the same results and gradients.

    For `of_terms` they are linear in each array: of the absolute values they are the sums of the
    absolute terms, and of ones the numbers of terms. For `of_rounding` PyTorch is asked for the
    sizes only where the largest element is not enough.
    """
    lib = library(lib)
    arrays = [a.astype(dtype) for a in arrays]
    own = [layout(a) if lib.name == "numpy" else lib.asarray(a) for a in arrays]
    out, pull = volta.vjp(ours, *own)
    rng = np.random.default_rng(11)
    cts = [rng.normal(size=tuple(o.shape)).astype(dtype) for o in leaves(out)]
    given = tuple(map(lib.asarray, cts))
    found = [*leaves(out), *pull(given if isinstance(out, tuple) else given[0])]
    found = [np.asarray(lib.host(a)) for a in found]
    wanted = torchs(theirs, arrays, cts)
    sizes = counts = [0.0] * len(wanted)
    if limit is of_terms:
        sizes = torchs(theirs, [np.abs(a) for a in arrays], [np.abs(c) for c in cts])
        counts = torchs(theirs, [np.ones(a.shape) for a in arrays], [np.ones(c.shape) for c in cts])
    if limit is of_rounding and not all(
        np.all(is_within(mine, other, of_largest(other, dtype)))
        for mine, other in zip(found, wanted, strict=True)
    ):
        sizes = roundings(theirs, arrays, cts, dtype)
    for mine, other, size, count in zip(found, wanted, sizes, counts, strict=True):
        assert_within(mine, other, dtype, limit(other, dtype, size, count))


def assert_second_derivatives(fun, arrays):
    """Derivatives of results and gradients along a direction against differences, in 64 bits."""
    rng = np.random.default_rng(12)
    weights = [rng.normal(size=o.shape) for o in leaves(fun(*arrays))]
    along = tuple(rng.normal(size=a.shape) for a in arrays)

    def both(*arrays):
        out, pull = volta.vjp(fun, *arrays)
        return (*leaves(out), *pull(tuple(weights) if isinstance(out, tuple) else weights[0]))

    _, found = volta.jvp(both, tuple(arrays), along)
    h = 2e-6
    moved = (
        both(*(a + step * t for a, t in zip(arrays, along, strict=True)))
        for step in (h, -h, 2 * h, -2 * h)
    )
    # of fourth order: at two normalized values that of the second is off by 2e-6 of the result
    for mine, a, b, c, d in zip(found, *moved, strict=True):
        wanted = (8 * (a - b) - (c - d)) / (12 * h)
        scale = np.max(np.abs(wanted), initial=1.0)
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-6 * scale)


# Layers -------------------------------------------------------------------------------------------


def with_equal_parameters(layer, oracle, bound=3.0):
    """A layer with parameters of no special values, and PyTorch's with the same in 64 bits."""
    torch = pytest.importorskip("torch")
    arrays = enumerate(layer.parameters().items())
    layer.update({n: fill(i, p.shape, p.dtype.name, -bound, bound) for i, (n, p) in arrays})
    oracle = oracle.double()
    oracle.load_state_dict(tree.to(nn.to_torch_state_dict(layer), xp=torch))
    return layer, oracle


def called(call, *inputs):
    return call(*inputs)


def of_both(layer, oracle, inputs, ours=called, theirs=called):
    """What both compute, as functions of floating inputs and then parameters, as PyTorch has them.

    `ours` and `theirs` are told how to call a layer, and the inputs.
    """
    torch = pytest.importorskip("torch")
    names = [n for n, _ in oracle.named_parameters()]
    linear = [n for n, module in layer.named_modules() if isinstance(module, nn.Linear)]
    turned = {f"{n}.weight" if n else "weight" for n in linear}

    def split(arrays):
        return arrays[: len(inputs)], dict(zip(names, arrays[len(inputs) :], strict=True))

    def mine(*arrays):
        xs, params = split(arrays)
        params = {n: F.matrix_transpose(p) if n in turned else p for n, p in params.items()}

        def call(*args, **options):
            return nn.stateful_call(layer, params, layer.buffers(), *args, **options)[0]

        return ours(call, *xs)

    def other(*arrays):
        xs, params = split(arrays)
        copies = {n: b.clone() for n, b in oracle.named_buffers()}

        def call(*args, **options):
            return torch.func.functional_call(oracle, params | copies, args, options)

        return theirs(call, *xs)

    return mine, other, [*inputs, *(p.detach().numpy() for p in oracle.parameters())]


def assert_layers_agree(draw, dtype, layers, training, inputs, ours, theirs):
    """Results and the gradients of inputs and parameters; in 64 bits second derivatives."""
    layer, oracle = with_equal_parameters(*layers, bound=1.0)
    lib, layout = draw(st.sampled_from(["numpy", "torch"])), draw(layouts)
    own = layer.train(training)
    own = own if lib == "numpy" else tree.to(own, xp=pytest.importorskip("torch"))
    mine, other, arrays = of_both(own, oracle.train(training), inputs, ours, theirs)
    assert_like_torch(mine, other, arrays, dtype, lib, of_rounding, layout)
    if dtype == "float64" and lib == "numpy":
        assert_second_derivatives(mine, arrays)


# What is drawn, and how often ---------------------------------------------------------------------

twice_as_often = settings(max_examples=2 * settings.default.max_examples)
layouts = st.sampled_from(
    [
        np.asarray,
        lambda x: np.asarray(x, order="F"),
        lambda x: np.repeat(x[..., None], 2, axis=-1)[..., 0],  # every second element
        lambda x: np.flip(np.flip(x).copy()),  # backwards
    ]
)


def dropping(draw):
    """A dropout whose results are no random ones, and whether it is in training."""
    training = draw(st.booleans())
    return draw(st.sampled_from([0.0, 0.0, 1.0])) if training else 0.5, training
