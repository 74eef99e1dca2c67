"""Every layer of PyTorch's against PyTorch's, over drawn arguments of constructor and call.

A row says what is drawn; one law compares results, the gradients of inputs and parameters, and
buffers, in training and in evaluation. Losses are in tests/functional/test_losses_as_torch.py,
recurrent layers and attention in files of their own.
"""

import inspect
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from against_torch import (
    assert_like_torch,
    assert_near,
    assert_second_derivatives,
    assert_within,
    layouts,
    of_both,
    of_each,
    of_largest,
    of_rounding,
    of_terms,
    torchs,
    twice_as_often,
    with_equal_parameters,
)
from functional.test_losses_as_torch import LOSSES
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOAT, fill, library, quiet, seeds

import volta
import volta.functional as F
from volta import nn, tree
from volta.functional import random

pytestmark = [pytest.mark.neural, pytest.mark.grad_check]
KEY = random.key(3)


class Call(NamedTuple):
    """Arguments of a layer, what it is called on, and how far its results may be off."""

    args: tuple
    inputs: list  # arrays or, for those of random numbers, shapes
    options: Any = MappingProxyType({})
    limit: Any = of_largest


def number(draw, least, most):
    return draw(st.integers(least, most))


def numbers(draw, count, least, most):
    return tuple(number(draw, least, most) for _ in range(count))


def shape(draw, least=0, most=4):
    return numbers(draw, number(draw, least, most), draw(st.sampled_from([1, 1, 1, 0])), 4)


def batch(draw, channels, nd, least=1):
    """Shape (n, channels, *space), or without n."""
    lead = () if draw(st.booleans()) else (number(draw, 0, 3),)
    return (*lead, channels, *numbers(draw, nd, least, 6))


# Activations --------------------------------------------------------------------------------------


def elementwise(*arguments):
    """Row of a function of each element, from the strategies of its arguments."""

    def row(draw):
        return Call(tuple(draw(a) for a in arguments), [shape(draw)], limit=of_each)

    return row


def along_an_axis(draw):
    full = shape(draw, 1)
    return Call((number(draw, -len(full), len(full) - 1),), [full])


def glu(draw):
    full = list(shape(draw, 1))
    axis = number(draw, -len(full), len(full) - 1)
    full[axis] = 2 * number(draw, 0, 3)
    return Call((axis,), [tuple(full)], limit=of_each)


def of_single(expected, *_):
    return of_each(expected, "float32")


def softmax2d(draw):
    return Call((), [shape(draw, 3, 4)])


def prelu(draw):
    if draw(st.booleans()):
        return Call((1,), [shape(draw, 0, 4)])
    full = (number(draw, 0, 3), number(draw, 1, 4), *shape(draw, 0, 2))
    return Call((full[1],), [full])


def eighths(least, most):
    return st.integers(8 * least, 8 * most).map(lambda n: n / 8)


positive = st.integers(1, 16).map(lambda n: n / 8)
ACTIVATIONS = {
    "CELU": elementwise(positive),
    "ELU": elementwise(positive),
    "GELU": elementwise(st.sampled_from(["none", "tanh"])),
    "GLU": glu,
    "Hardshrink": elementwise(positive),
    # whose slope, 1/6, PyTorch has in 32 bits
    "Hardsigmoid": lambda draw: Call((), [shape(draw)], limit=of_single),
    "Hardswish": elementwise(),
    "Hardtanh": elementwise(positive.map(lambda x: -x), positive),
    "LeakyReLU": elementwise(eighths(-1, 1)),
    "LogSigmoid": elementwise(),
    "LogSoftmax": along_an_axis,
    "Mish": elementwise(),
    "PReLU": prelu,
    "ReLU": elementwise(),
    "ReLU6": elementwise(),
    "SELU": elementwise(),
    "SiLU": elementwise(),
    "Sigmoid": elementwise(),
    "Softmax": along_an_axis,
    "Softmax2d": softmax2d,
    "Softmin": along_an_axis,
    "Softplus": elementwise(positive, eighths(1, 20)),
    "Softshrink": elementwise(positive),
    "Softsign": elementwise(),
    "Tanh": elementwise(),
    "Tanhshrink": elementwise(),
    "Threshold": elementwise(eighths(-1, 1), eighths(-9, 9)),
}

# Sums of products ---------------------------------------------------------------------------------


def linear(draw):
    n, m = numbers(draw, 2, 1, 5)
    return Call((n, m, draw(st.booleans())), [(*shape(draw, 0, 3), n)], limit=of_terms)


def bilinear(draw):
    n, m, k = numbers(draw, 3, 1, 4)
    lead = shape(draw, 0, 2)
    return Call((n, m, k, draw(st.booleans())), [(*lead, n), (*lead, m)], limit=of_terms)


def convolution(nd):
    def row(draw):
        groups = number(draw, 1, 3)
        channels, outputs = (groups * n for n in numbers(draw, 2, 1, 2))
        kernel, dilation = numbers(draw, nd, 1, 3), numbers(draw, nd, 1, 2)
        mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
        padding = draw(st.sampled_from(["same", "valid", "ints", "ints"]))
        ints = padding == "ints"
        padding = numbers(draw, nd, 0, 2) if ints else padding
        x = batch(draw, channels, nd, 6)  # wide enough for every margin and kernel
        options = {
            "stride": numbers(draw, nd, 1, 3) if ints else 1,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "bias": draw(st.booleans()),
            "padding_mode": mode,
        }
        return Call((channels, outputs, kernel), [x], options, of_terms)

    return row


def transposed(nd):
    def row(draw):
        groups = number(draw, 1, 3)
        channels, outputs = (groups * n for n in numbers(draw, 2, 1, 2))
        stride, dilation = numbers(draw, nd, 1, 3), numbers(draw, nd, 1, 3)
        more = (number(draw, 0, max(a, b) - 1) for a, b in zip(stride, dilation, strict=True))
        options = {
            "stride": stride,
            "padding": numbers(draw, nd, 0, 1),
            "output_padding": tuple(more),
            "groups": groups,
            "bias": draw(st.booleans()),
            "dilation": dilation,
        }
        x = batch(draw, channels, nd, 3)
        return Call((channels, outputs, numbers(draw, nd, 1, 3)), [x], options, of_terms)

    return row


PRODUCTS = {
    "Linear": linear,
    "Bilinear": bilinear,
    **{f"Conv{nd}d": convolution(nd) for nd in (1, 2, 3)},
    **{f"ConvTranspose{nd}d": transposed(nd) for nd in (1, 2, 3)},
}

# Normalizations -----------------------------------------------------------------------------------

epsilon = st.sampled_from([1e-5, 1e-2, 1.0])


def batch_norm(nd):
    def row(draw):
        channels = number(draw, 1, 3)
        space = numbers(draw, nd - draw(st.integers(0, 1)) if nd == 1 else nd, 1, 4)
        options = {
            "eps": draw(epsilon),
            "momentum": draw(st.sampled_from([0.1, 0.4, None])),
            "affine": draw(st.booleans()),
            "track_running_stats": draw(st.booleans()),
        }
        n = draw(st.sampled_from([0, 2, 3, 5] if options["track_running_stats"] else [2, 3, 5]))
        return Call((channels,), [(n, channels, *space)], options, of_rounding)

    return row


def instance_norm(nd):
    def row(draw):
        _, _, options, _ = batch_norm(nd)(draw)
        channels = number(draw, 1, 3)
        options["momentum"] = options["momentum"] or 0.3  # PyTorch's mean of all forgets the first
        lead = (*numbers(draw, number(draw, 0, 1), 1, 3), channels)  # PyTorch wants a sample
        space = (*numbers(draw, nd - 1, 1, 3), number(draw, 2, 6))
        return Call((channels,), [(*lead, *space)], options, of_rounding)

    return row


def group_norm(draw):
    groups, each = number(draw, 1, 3), number(draw, 1, 3)
    last = number(draw, 2, 3)
    x = (number(draw, 0, 3), groups * each, *numbers(draw, number(draw, 0, 2), 1, 3), last)
    args = (groups, groups * each, draw(epsilon), draw(st.booleans()))
    return Call(args, [x], limit=of_rounding)


def layer_norm(draw):
    sizes = (*numbers(draw, number(draw, 0, 2), 1, 3), number(draw, 1, 6))
    options = {"eps": draw(epsilon), "elementwise_affine": draw(st.booleans())}
    options["bias"] = draw(st.booleans())
    return Call((sizes,), [(*shape(draw, 0, 2), *sizes)], options, of_rounding)


def rms_norm(draw):
    sizes = (*numbers(draw, number(draw, 0, 1), 1, 3), number(draw, 1, 6))
    options = {"eps": draw(st.sampled_from([None, 0.1])), "elementwise_affine": draw(st.booleans())}
    return Call((sizes,), [(*shape(draw, 0, 2), *sizes)], options, of_rounding)


def local_response_norm(draw):
    args = (number(draw, 1, 6), draw(positive), draw(positive), draw(positive))
    return Call(args, [(number(draw, 1, 3), number(draw, 1, 5), *shape(draw, 1, 2))])


NORMS = {
    **{f"BatchNorm{nd}d": batch_norm(nd) for nd in (1, 2, 3)},
    **{f"InstanceNorm{nd}d": instance_norm(nd) for nd in (1, 2, 3)},
    "GroupNorm": group_norm,
    "LayerNorm": layer_norm,
    "RMSNorm": rms_norm,
    "LocalResponseNorm": local_response_norm,
}

# Margins, windows, sizes, rows --------------------------------------------------------------------


def margins(kind, nd):
    low, value = {"Constant": (-2, True), "Zero": (-2, False)}.get(kind, (0, False))

    def row(draw):
        x = batch(draw, number(draw, 1, 3), nd, 4)
        if kind == "Circular" and nd == 2 and len(x) == 3:
            x = (1, *x)  # PyTorch takes no other
        width = draw(st.one_of(st.integers(low, 3), st.just(None)))
        width = numbers(draw, 2 * nd, low, 3) if width is None else width
        args = (width, draw(eighths(-9, 9))) if value else (width,)
        return Call(args, [x], limit=of_terms)

    return row


def windows(draw):
    kernel, dilation, stride = (numbers(draw, 2, 1, 3) for _ in range(3))
    padding = numbers(draw, 2, 0, 2)
    size = [
        max(1, d * (k - 1) + 1 - 2 * p) + number(draw, 0, 3)
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    ]
    return batch(draw, number(draw, 1, 2), 0), tuple(size), (kernel, dilation, padding, stride)


def unfold(draw):
    lead, size, args = windows(draw)
    return Call(args, [(*lead, *size)], limit=of_terms)


def fold(draw):
    lead, size, args = windows(draw)
    columns = F.unfold(
        np.ones((*lead, *size)), args[0], dilation=args[1], padding=args[2], stride=args[3]
    ).shape
    return Call((size, *args), [columns], limit=of_terms)


def pixel_shuffle(draw):  # of an image without elements PyTorch loses the channels
    r = number(draw, 1, 3)
    lead, size = numbers(draw, number(draw, 0, 2), 1, 3), numbers(draw, 2, 1, 4)
    return Call((r,), [(*lead, number(draw, 1, 2) * r * r, *size)], limit=of_terms)


def pixel_unshuffle(draw):
    r = number(draw, 1, 3)
    lead, size = numbers(draw, number(draw, 0, 2), 1, 3), numbers(draw, 2, 1, 4)
    return Call((r,), [(*lead, number(draw, 1, 2), *(r * n for n in size))], limit=of_terms)


def channel_shuffle(draw):
    groups = number(draw, 1, 3)
    x = (number(draw, 1, 3), groups * number(draw, 1, 3), *numbers(draw, number(draw, 1, 3), 1, 4))
    return Call((groups,), [x], limit=of_terms)


def flatten(draw):
    full = shape(draw, 1)
    first = number(draw, 0, len(full) - 1)
    last = number(draw, first, len(full) - 1)
    return Call((first, last - draw(st.sampled_from([0, len(full)]))), [full], limit=of_terms)


def unflatten(draw):
    sizes, (*lead, last) = numbers(draw, number(draw, 1, 3), 1, 3), (*shape(draw, 0, 2), 0)
    del last
    axis = number(draw, 0, len(lead))
    full = (*lead[:axis], int(np.prod(sizes)), *lead[axis:])
    if draw(st.booleans()):
        sizes = (-1, *sizes[1:])
    return Call((axis, sizes), [full], limit=of_terms)


def upsample(draw):
    mode = draw(st.sampled_from(["nearest", "linear", "bilinear", "bicubic", "trilinear"]))
    nd = {"linear": 1, "trilinear": 3}.get(mode, 2)
    options = {"mode": mode}
    if mode != "nearest":
        options["align_corners"] = draw(st.booleans())
    if draw(st.booleans()):
        options["size"] = numbers(draw, nd, 1, 9)
    else:
        options["scale_factor"] = draw(st.sampled_from([2.0, 2.5, 3.0]))  # so that no length stays
    return Call((), [(number(draw, 1, 2), number(draw, 1, 2), *numbers(draw, nd, 1, 5))], options)


def embedding(draw):
    rows, features = numbers(draw, 2, 1, 4)
    x = fill(draw(seeds), shape(draw, 0, 3), draw(st.sampled_from(["int64", "int32"])), 0, rows - 1)
    options = {
        "padding_idx": draw(st.sampled_from([None, 0, -1])),
        "scale_grad_by_freq": draw(st.booleans()),
    }
    return Call((rows, features), [x], options)


def embedding_bag(draw):
    rows, features = numbers(draw, 2, 1, 4)
    mode = draw(st.sampled_from(["sum", "mean", "max"]))
    options = {"mode": mode, "padding_idx": draw(st.sampled_from([None, 0, -1]))}
    lengths = number(draw, 1, 3), number(draw, 1, rows)
    x = np.argsort(np.random.default_rng(draw(seeds)).random((lengths[0], rows)))[:, : lengths[1]]
    if draw(st.booleans()):
        return Call((rows, features), [x], options)
    options["include_last_offset"] = True
    ends = np.arange(0, x.size + 1, lengths[1])
    return Call((rows, features), [x.reshape(-1), ends], options)


REST = {
    **{
        f"{kind}Pad{nd}d": margins(kind, nd)
        for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular")
        for nd in (1, 2, 3)
    },
    "Unfold": unfold,
    "Fold": fold,
    "PixelShuffle": pixel_shuffle,
    "PixelUnshuffle": pixel_unshuffle,
    "ChannelShuffle": channel_shuffle,
    "Flatten": flatten,
    "Unflatten": unflatten,
    "Upsample": upsample,
    "Embedding": embedding,
    "EmbeddingBag": embedding_bag,
    "Identity": elementwise(),
}


def similarity(draw):
    full = shape(draw, 1, 3)
    axis = number(draw, -len(full), len(full) - 1)
    return Call((axis, 1e-12), [full, full])  # shorter vectors have a derivative of their own


def distance(draw):
    full = (*shape(draw, 0, 2), number(draw, 1, 4))
    p = draw(st.sampled_from([1.0, 1.5, 2.0, 3.0, np.inf]))
    return Call((p, draw(st.sampled_from([1e-6, 0.1])), draw(st.booleans())), [full, full])


REST |= {"CosineSimilarity": similarity, "PairwiseDistance": distance}
LAYERS = {**ACTIVATIONS, **PRODUCTS, **NORMS, **REST}

# The law ------------------------------------------------------------------------------------------


def made(name, call, dtype, lib="numpy"):
    """The layer with parameters of no special values, and PyTorch's with the same in 64 bits."""
    torch = pytest.importorskip("torch")
    kind = getattr(nn, name)
    taken = inspect.signature(kind).parameters
    named = {n: a for n, a in {"key": KEY, "dtype": dtype}.items() if n in taken}
    layer = kind(*call.args, **call.options, **named)
    oracle = getattr(torch.nn, name)(*call.args, **call.options)
    if name == "RMSNorm" and oracle.eps is None:
        oracle.eps = np.finfo(dtype).eps  # not that of 64 bits
    layer, oracle = with_equal_parameters(layer, oracle)
    return layer if lib == "numpy" else tree.to(layer, xp=torch), oracle


def functions(layer, oracle, inputs, lib):
    """What both compute of floating inputs and parameters; inputs of integers are closed over."""
    torch = pytest.importorskip("torch")
    fixed = [x for x in inputs if x.dtype.kind == "i"]
    floats = [x for x in inputs if x.dtype.kind == "f"]

    def calling(convert):
        rest = tuple(map(convert, fixed))
        return lambda call, *xs: call(*xs, *rest)

    own = library(lib).asarray
    return of_both(layer, oracle, floats, calling(own), calling(torch.from_numpy))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("name", LAYERS)
@twice_as_often
@given(data=st.data())
def test_layers_are_torchs(name, data):
    torch = pytest.importorskip("torch")
    dtype, lib = data.draw(st.sampled_from(FLOAT)), data.draw(st.sampled_from(["numpy", "torch"]))
    layout, seed = data.draw(layouts), data.draw(seeds)
    call = LAYERS[name](data.draw)
    layer, oracle = made(name, call, dtype, lib)
    for step, training in enumerate((True, True, False) if layer.buffers() else (True,)):
        inputs = [
            fill(seed + 9 * step + i, x, dtype) if isinstance(x, tuple) else x
            for i, x in enumerate(call.inputs)
        ]
        layer.train(training)
        oracle.train(training)
        both = functions(layer, oracle, inputs, lib)
        # PyTorch's own kernels in 32 bits lose digits of small results
        limit = of_largest if (lib, call.limit) == ("torch", of_each) else call.limit
        assert_like_torch(*both, dtype, lib, limit, layout)
        # gradients of embeddings, scaled or stopped, are not meant to be derivatives
        if dtype == "float64" and lib == "numpy" and "Embedding" not in name:
            ours, _, arrays = both
            assert_second_derivatives(ours, arrays)
        if layer.buffers():
            layer(*map(library(lib).asarray, inputs))
            oracle(*(torch.from_numpy(x).double() for x in inputs))
            for n, buffer in oracle.named_buffers():
                if n != "num_batches_tracked":  # which PyTorch's InstanceNorm does not count
                    found = np.asarray(library(lib).host(layer.buffers()[n]))
                    assert_near(found, buffer.numpy(), dtype)


# compared in files of their own, as pooling is and layers that draw random numbers are
BESIDE = {
    *(f"{name}{cell}" for name in ("RNN", "LSTM", "GRU") for cell in ("", "Cell")),
    *(f"Transformer{which}{layer}" for which in ("Encoder", "Decoder") for layer in ("", "Layer")),
    *("MultiheadAttention", "RReLU", "CTCLoss", "AdaptiveLogSoftmaxWithLoss"),
    *("Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"),
}


def test_every_layer_of_pytorch_is_compared():
    torch = pytest.importorskip("torch")
    layers = {n for n in nn.__all__ if inspect.isclass(getattr(torch.nn, n, None))}
    layers = {n for n in layers if not any(kind in n for kind in ("Dropout", "Pool", "pool"))}
    assert layers - BESIDE == LAYERS.keys() | LOSSES.keys()


FAR = [0.0, -0.0, 1e-30, -1e-30, 1e-3, -1e-3, 15.0, -15.0, 40.0, -40.0, 88.0, -88.0, 100.0, -100.0]
FAR = np.asarray([*FAR, 1e4, -1e4, 1e30, -1e30, np.inf, -np.inf])
ELEMENTWISE = ACTIVATIONS.keys() - {"GLU", "LogSoftmax", "PReLU", "Softmax", "Softmax2d", "Softmin"}


@pytest.mark.parametrize("name", sorted(ELEMENTWISE))
@given(data=st.data())
def test_activations_far_from_zero_are_torchs(name, data):
    """Wherever PyTorch's are numbers: of infinities some of its results and derivatives are NaN."""
    dtype = data.draw(st.sampled_from(FLOAT))
    layer, oracle = made(name, ACTIVATIONS[name](data.draw), dtype)
    x = FAR.astype(dtype)
    with quiet():
        y, pull = volta.vjp(layer, x)
        found = (y, *pull(np.ones_like(y)))
        wanted = torchs(oracle, [x], [np.ones_like(y)])
    eps = np.finfo("float32" if name == "Hardsigmoid" else dtype).eps
    for mine, other in zip(found, wanted, strict=True):
        other = np.where(np.isnan(other), mine, other)
        assert_within(mine, other, dtype, 16 * eps * np.maximum(1, np.abs(other)))
