"""One row per layer, from which test_layers.py makes its tests."""

from typing import Any, NamedTuple

import numpy as np

from volta import nn
from volta.functional import random


class Row(NamedTuple):
    """A layer, how to make it, what it takes, and the oracle's layer."""

    name: str
    make: Any  # from a key and keyword arguments (dtype, xp) to the layer
    shape: tuple
    torch: Any = None  # from torch.nn to the same layer there
    arrays: tuple = ()  # names of the parameters
    key: bool = False  # whether a call in training takes a key
    buffers: tuple = ()  # names of the buffers
    ints: int = 0  # for integer inputs, how many there are to choose from
    more: tuple = ()  # shapes of further inputs


def _model(key, **options):
    first, second = random.split(key)
    return nn.Sequential(
        nn.Linear(4, 3, key=first, **options),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Linear(3, 2, key=second, **options),
    )


def plain(layer):
    """Maker of a layer without arrays."""
    return lambda key, **options: layer()


TRACKED = ("running_mean", "running_var", "num_batches_tracked")
AFFINE = ("weight", "bias")
IMAGES, VOLUMES = (2, 4, 5, 6), (2, 2, 3, 4, 5)


def norm(name, shape, arrays=(), buffers=(), **arguments):
    """Row of a layer that takes no key, by name and arguments."""
    kind, _, _ = name.partition(",")
    sizes = arguments.pop("sizes")
    return Row(
        name,
        lambda key, **o: getattr(nn, kind)(*sizes, **arguments, **o),
        shape,
        lambda t: getattr(t, kind)(*sizes, **arguments),
        arrays,
        buffers=buffers,
    )


NORMS = [
    norm("BatchNorm1d", (6, 3), sizes=(3,), arrays=AFFINE, buffers=TRACKED),
    norm("BatchNorm1d, of sequences", (4, 3, 5), sizes=(3,), arrays=AFFINE, buffers=TRACKED),
    norm("BatchNorm1d, cumulative", (6, 3), sizes=(3, 1e-3, None), arrays=AFFINE, buffers=TRACKED),
    norm("BatchNorm1d, plain", (6, 3), sizes=(3,), affine=False, buffers=TRACKED),
    norm("BatchNorm1d, untracked", (6, 3), sizes=(3,), track_running_stats=False, arrays=AFFINE),
    norm("BatchNorm2d", IMAGES, sizes=(4,), arrays=AFFINE, buffers=TRACKED),
    norm("BatchNorm3d", VOLUMES, sizes=(2,), arrays=AFFINE, buffers=TRACKED),
    norm("InstanceNorm1d", (2, 3, 5), sizes=(3,), affine=True, arrays=AFFINE),
    norm("InstanceNorm1d, plain", (3, 5), sizes=(3,)),
    norm("InstanceNorm2d", IMAGES, sizes=(4,), track_running_stats=True, buffers=TRACKED),
    norm("InstanceNorm3d", VOLUMES, sizes=(2,), affine=True, arrays=AFFINE),
    norm("LayerNorm", (4, 3, 5), sizes=(5,), arrays=AFFINE),
    norm("LayerNorm, two axes", (4, 3, 5), sizes=((3, 5), 0.1), arrays=AFFINE),
    norm("LayerNorm, weight alone", (4, 5), sizes=(5,), bias=False, arrays=("weight",)),
    norm("LayerNorm, plain", (4, 5), sizes=(5,), elementwise_affine=False),
    norm("RMSNorm", (4, 5), sizes=(5, 1e-3), arrays=("weight",)),
    norm("RMSNorm, plain", (4, 3, 5), sizes=((3, 5),), elementwise_affine=False),
    norm("GroupNorm", IMAGES, sizes=(2, 4), arrays=AFFINE),
    norm("GroupNorm, plain", (3, 6), sizes=(3, 6), affine=False),
]


def without_arrays(name, shape, *arguments, key=False, **named):
    """Row of a layer of the same name in PyTorch that has no arrays."""
    kind, _, _ = name.partition(",")
    return Row(
        name,
        plain(lambda: getattr(nn, kind)(*arguments, **named)),
        shape,
        lambda t: getattr(t, kind)(*arguments, **named),
        key=key,
    )


def pads():
    """Rows of margins: of one width, and of others at every end, where they may be negative."""
    shapes = {1: (2, 3, 5), 2: (2, 5, 6), 3: (1, 2, 3, 4, 5)}
    for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular"):
        for rank, shape in shapes.items():
            if kind == "Circular" and rank == 2:
                shape = (1, *shape)
            value = (7.0,) if kind == "Constant" else ()
            uneven = (2, 1, 0, 2, 1, 0)[: 2 * rank]
            if kind in ("Zero", "Constant"):
                uneven = (-1, *uneven[1:])
            name = f"{kind}Pad{rank}d"
            yield without_arrays(name, shape, 1, *value)
            yield without_arrays(f"{name}, uneven", shape, uneven, *value)


def pools():
    """Rows of pooling, of three ranks and with what PyTorch lets one choose."""
    shapes = {1: (2, 3, 9), 2: (2, 2, 7, 8), 3: (1, 2, 5, 6, 5)}
    for rank, shape in shapes.items():
        some = {"padding": 1, "ceil_mode": True}
        uneven = (3, 2, 4)[:rank]
        yield without_arrays(f"MaxPool{rank}d", shape, 2)
        yield without_arrays(f"MaxPool{rank}d, overlapping", shape, 3, 2, dilation=2, **some)
        yield without_arrays(f"AvgPool{rank}d", shape, 2)
        yield without_arrays(f"AvgPool{rank}d, overlapping", shape, 3, 2, **some)
        yield without_arrays(
            f"AvgPool{rank}d, of numbers alone", shape, uneven, 2, count_include_pad=False, **some
        )
        yield without_arrays(f"AdaptiveAvgPool{rank}d", shape, uneven)
        yield without_arrays(f"AdaptiveMaxPool{rank}d", shape, uneven)
        yield without_arrays(f"LPPool{rank}d", shape, 2.0, 2)
        yield without_arrays(f"LPPool{rank}d, overlapping", shape, 4.0, 3, 2, ceil_mode=True)
    yield without_arrays("AvgPool2d, divisor", shapes[2], 2, divisor_override=3)
    yield without_arrays("AdaptiveAvgPool2d, kept", shapes[2], (None, 2))
    yield without_arrays("MaxPool2d, no batch", shapes[2][1:], (3, 2), (2, 1), (1, 0))


PLAIN = [
    *pads(),
    *pools(),
    without_arrays("LocalResponseNorm", IMAGES, 3, 0.5, 0.6, 2.0),
    without_arrays("LocalResponseNorm, even", (2, 5, 3), 4),
    without_arrays("PixelShuffle", IMAGES, 2),
    without_arrays("PixelUnshuffle", (2, 3, 4, 6), 2),
    without_arrays("ChannelShuffle", IMAGES, 2),
    without_arrays("Unfold", IMAGES, (2, 3), dilation=(1, 2), padding=(0, 1), stride=(2, 1)),
    without_arrays(
        "Fold", (2, 12, 6), (4, 6), (2, 3), dilation=(1, 2), padding=(1, 0), stride=2
    )._replace(shape=(2, 12, 3)),
    without_arrays("Upsample", IMAGES, scale_factor=2),
    without_arrays("Upsample, size", IMAGES, size=(3, 9), mode="bilinear", align_corners=True),
    without_arrays("Upsample, cubic", IMAGES, scale_factor=(1.5, 0.7), mode="bicubic"),
    without_arrays("Unflatten", (2, 12), 1, (3, 4)),
    without_arrays("Unflatten, inferred", (2, 12, 2), -2, (-1, 2, 3)),
    without_arrays("Dropout1d", (2, 3, 4), key=True),
    without_arrays("Dropout2d", IMAGES, key=True),
    without_arrays("Dropout3d", VOLUMES, key=True),
    without_arrays("AlphaDropout", (5, 4), key=True),
    without_arrays("FeatureAlphaDropout", IMAGES, key=True),
]
TABLES = [
    Row(
        "Embedding",
        lambda key, **o: nn.Embedding(5, 3, key=key, **o),
        (4, 6),
        lambda t: t.Embedding(5, 3),
        ("weight",),
        ints=5,
    ),
    *(
        Row(
            f"EmbeddingBag, {mode}" if mode != "mean" else "EmbeddingBag",
            lambda key, mode=mode, **o: nn.EmbeddingBag(4, 3, mode=mode, key=key, **o),
            (9, 2),
            lambda t, mode=mode: t.EmbeddingBag(4, 3, mode=mode),
            ("weight",),
            ints=4,
        )
        for mode in ("mean", "sum", "max")
    ),
]


WB = ("weight", "bias")
CONVOLUTIONS = [  # constructor arguments after the class, and a shape
    ("Conv1d", (2, 3, 3), {"padding": 1}, (5, 2, 6)),
    ("Conv1d, circular", (2, 3, 3), {"padding": 2, "padding_mode": "circular"}, (5, 2, 6)),
    ("Conv2d", (2, 4, (3, 2)), {"stride": (2, 1), "padding": (1, 0)}, (2, 2, 5, 4)),
    ("Conv2d, groups", (4, 6, 2), {"groups": 2, "dilation": 2}, (2, 4, 5, 4)),
    ("Conv2d, same", (2, 3, (1, 3)), {"padding": "same"}, (2, 2, 4, 4)),
    (
        "Conv2d, reflect",
        (2, 3, (2, 3)),
        {"padding": "same", "padding_mode": "reflect"},
        (2, 2, 4, 4),
    ),
    ("Conv2d, no batch", (2, 3, 3), {"padding_mode": "replicate", "padding": 1}, (2, 4, 4)),
    ("Conv3d", (2, 3, (1, 2, 2)), {"stride": 2}, (2, 2, 2, 4, 4)),
    ("ConvTranspose1d", (2, 3, 3), {"stride": 2, "output_padding": 1}, (4, 2, 4)),
    ("ConvTranspose2d", (2, 3, (3, 2)), {"stride": 2, "padding": 1}, (2, 2, 3, 4)),
    ("ConvTranspose2d, groups", (4, 6, 2), {"groups": 2, "dilation": 2}, (2, 4, 3, 3)),
    ("ConvTranspose3d", (2, 2, 2), {"stride": (1, 2, 2)}, (1, 2, 2, 2, 3)),
]


def convolution(name, args, options, shape):
    """Row of a convolution."""
    kind = name.partition(",")[0]
    return Row(
        name,
        lambda key, **o: getattr(nn, kind)(*args, **options, key=key, **o),
        shape,
        lambda t: getattr(t, kind)(*args, **options),
        WB,
    )


ROWS = [
    *NORMS,
    *PLAIN,
    *TABLES,
    Row(
        "Bilinear",
        lambda key, **o: nn.Bilinear(4, 3, 2, key=key, **o),
        (5, 4),
        lambda t: t.Bilinear(4, 3, 2),
        ("weight", "bias"),
        more=((5, 3),),
    ),
    Row(
        "Bilinear without bias",
        lambda key, **o: nn.Bilinear(4, 3, 2, bias=False, key=key, **o),
        (2, 5, 4),
        lambda t: t.Bilinear(4, 3, 2, bias=False),
        ("weight",),
        more=((2, 5, 3),),
    ),
    Row(
        "Linear",
        lambda key, **o: nn.Linear(4, 3, key=key, **o),
        (5, 4),
        lambda t: t.Linear(4, 3),
        ("weight", "bias"),
    ),
    Row(
        "Linear without bias",
        lambda key, **o: nn.Linear(4, 3, bias=False, key=key, **o),
        (2, 5, 4),
        lambda t: t.Linear(4, 3, bias=False),
        ("weight",),
    ),
    *(convolution(*row) for row in CONVOLUTIONS),
    Row(
        "Conv2d, no bias",
        lambda key, **o: nn.Conv2d(2, 3, 3, bias=False, key=key, **o),
        (2, 2, 5, 4),
        lambda t: t.Conv2d(2, 3, 3, bias=False),
        ("weight",),
    ),
    Row("Identity", plain(nn.Identity), (5, 4), lambda t: t.Identity()),
    Row("ReLU", plain(nn.ReLU), (5, 4), lambda t: t.ReLU()),
    Row(
        "LeakyReLU",
        plain(lambda: nn.LeakyReLU(0.2)),
        (5, 4),
        lambda t: t.LeakyReLU(0.2),
    ),
    Row("LeakyReLU, default", plain(nn.LeakyReLU), (5, 4), lambda t: t.LeakyReLU()),
    Row("Sigmoid", plain(nn.Sigmoid), (5, 4), lambda t: t.Sigmoid()),
    Row("SiLU", plain(nn.SiLU), (5, 4), lambda t: t.SiLU()),
    Row("Softplus", plain(nn.Softplus), (5, 4), lambda t: t.Softplus()),
    Row("Tanh", plain(nn.Tanh), (5, 4), lambda t: t.Tanh()),
    Row("Softmax", plain(nn.Softmax), (5, 4), lambda t: t.Softmax(dim=-1)),
    Row("Softmax, axis 0", plain(lambda: nn.Softmax(0)), (5, 4), lambda t: t.Softmax(dim=0)),
    Row("LogSoftmax", plain(nn.LogSoftmax), (5, 4), lambda t: t.LogSoftmax(dim=-1)),
    Row("Mish", plain(nn.Mish), (5, 4), lambda t: t.Mish()),
    Row("SELU", plain(nn.SELU), (5, 4), lambda t: t.SELU()),
    Row("ReLU6", plain(nn.ReLU6), (5, 4), lambda t: t.ReLU6()),
    Row("Hardsigmoid", plain(nn.Hardsigmoid), (5, 4), lambda t: t.Hardsigmoid()),
    Row("Hardswish", plain(nn.Hardswish), (5, 4), lambda t: t.Hardswish()),
    Row("Tanhshrink", plain(nn.Tanhshrink), (5, 4), lambda t: t.Tanhshrink()),
    Row("Softsign", plain(nn.Softsign), (5, 4), lambda t: t.Softsign()),
    Row("LogSigmoid", plain(nn.LogSigmoid), (5, 4), lambda t: t.LogSigmoid()),
    Row("GELU", plain(nn.GELU), (5, 4), lambda t: t.GELU()),
    Row("ELU", plain(nn.ELU), (5, 4), lambda t: t.ELU()),
    Row("CELU", plain(nn.CELU), (5, 4), lambda t: t.CELU()),
    Row("Hardtanh", plain(nn.Hardtanh), (5, 4), lambda t: t.Hardtanh()),
    Row("Hardshrink", plain(nn.Hardshrink), (5, 4), lambda t: t.Hardshrink()),
    Row("Softshrink", plain(nn.Softshrink), (5, 4), lambda t: t.Softshrink()),
    Row(
        "GELU, options",
        plain(lambda: nn.GELU("tanh")),
        (5, 4),
        lambda t: t.GELU(approximate="tanh"),
    ),
    Row("ELU, options", plain(lambda: nn.ELU(0.5)), (5, 4), lambda t: t.ELU(0.5)),
    Row("CELU, options", plain(lambda: nn.CELU(0.5)), (5, 4), lambda t: t.CELU(0.5)),
    Row(
        "Hardtanh, options",
        plain(lambda: nn.Hardtanh(-0.3, 0.6)),
        (5, 4),
        lambda t: t.Hardtanh(-0.3, 0.6),
    ),
    Row(
        "Hardshrink, options",
        plain(lambda: nn.Hardshrink(0.2)),
        (5, 4),
        lambda t: t.Hardshrink(0.2),
    ),
    Row(
        "Softshrink, options",
        plain(lambda: nn.Softshrink(0.2)),
        (5, 4),
        lambda t: t.Softshrink(0.2),
    ),
    Row(
        "Softplus, options",
        plain(lambda: nn.Softplus(2.0, 1.0)),
        (5, 4),
        lambda t: t.Softplus(2.0, 1.0),
    ),
    Row(
        "Threshold",
        plain(lambda: nn.Threshold(0.1, 20.0)),
        (5, 4),
        lambda t: t.Threshold(0.1, 20.0),
    ),
    Row("GLU", plain(nn.GLU), (5, 4), lambda t: t.GLU()),
    Row("GLU, axis 1", plain(lambda: nn.GLU(1)), (2, 4, 3), lambda t: t.GLU(1)),
    Row("Softmin", plain(nn.Softmin), (5, 4), lambda t: t.Softmin(dim=-1)),
    Row("Softmax2d", plain(nn.Softmax2d), (2, 3, 4, 2), lambda t: t.Softmax2d()),
    Row("RReLU", plain(nn.RReLU), (5, 4), lambda t: t.RReLU(), key=True),
    Row("PReLU", lambda key, **o: nn.PReLU(**o), (5, 4), lambda t: t.PReLU(), ("weight",)),
    Row(
        "PReLU, channels",
        lambda key, **o: nn.PReLU(3, 0.1, **o),
        (4, 3, 2),
        lambda t: t.PReLU(3, 0.1),
        ("weight",),
    ),
    Row("Flatten", plain(nn.Flatten), (2, 3, 4), lambda t: t.Flatten()),
    Row(
        "Flatten, middle",
        plain(lambda: nn.Flatten(1, 2)),
        (2, 3, 4, 5),
        lambda t: t.Flatten(1, 2),
    ),
    Row("Flatten, from the end", plain(lambda: nn.Flatten(-2)), (2, 3, 4), lambda t: t.Flatten(-2)),
    Row("Dropout", plain(nn.Dropout), (5, 4), lambda t: t.Dropout(), key=True),
    Row(
        "Sequential",
        _model,
        (5, 4),
        lambda t: t.Sequential(t.Linear(4, 3), t.Tanh(), t.Dropout(0.5), t.Linear(3, 2)),
        ("0.weight", "0.bias", "3.weight", "3.bias"),
        key=True,
    ),
]


def sample(row, dtype="float32", seed=3):
    """Inputs of a row's layer."""
    rng = np.random.default_rng(seed)
    if row.ints:
        return (rng.integers(0, row.ints, row.shape),)
    return tuple(rng.normal(size=shape).astype(dtype) for shape in (row.shape, *row.more))


def _with_key(kind, *arguments, **named):
    return lambda key, **o: getattr(nn, kind)(*arguments, **named, key=key, **o)


def model(name, shape, *arguments, more=(), **named):
    """Row of a layer of the same name in PyTorch that may take or give more than an array."""
    kind, _, _ = name.partition(",")
    make = _with_key(kind, *arguments, **named)
    return Row(name, make, shape, lambda t: getattr(t, kind)(*arguments, **named), more=more)


SEQUENCES, ENCODER = (4, 2, 3), (8, 2, 12, 0.0)


def _stack(kind, key, **options):
    """Two transformer layers and a normalization."""

    def make(key):
        return getattr(nn, f"{kind}Layer")(*ENCODER, key=key, **options)

    return getattr(nn, kind)(make, 2, nn.LayerNorm(8, **options), key=key)


def _torchs_stack(kind, t):
    more = {"enable_nested_tensor": False} if kind == "TransformerEncoder" else {}
    return getattr(t, kind)(getattr(t, f"{kind}Layer")(*ENCODER), 2, t.LayerNorm(8), **more)


def _images(key, **options):
    keys = random.split(key, 4)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, key=keys[0], **options),
        nn.BatchNorm2d(4, **options),
        nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(4, 2, 2, stride=2, key=keys[1], **options)),
        nn.GroupNorm(2, 2, **options),
        nn.PReLU(2, **options),
        nn.Flatten(),
        nn.Linear(2 * 6 * 4, 3, key=keys[2], **options),
        nn.BatchNorm1d(3, **options),
    )


def _torchs_images(t):
    return t.Sequential(
        t.Conv2d(2, 4, 3),
        t.BatchNorm2d(4),
        t.Sequential(t.ReLU(), t.ConvTranspose2d(4, 2, 2, stride=2)),
        t.GroupNorm(2, 2),
        t.PReLU(2),
        t.Flatten(),
        t.Linear(2 * 6 * 4, 3),
        t.BatchNorm1d(3),
    )


class Tagger(nn.Module):
    """Containers of layers and of parameters: embedding, recurrent blocks, heads in a dict."""

    def __init__(self, key, **options):
        keys = random.split(key, 5)
        self.table = nn.Embedding(7, 3, padding_idx=0, key=keys[0], **options)
        lstm = nn.LSTM(3, 2, batch_first=True, bidirectional=True, key=keys[1], **options)
        self.blocks = nn.ModuleList([lstm, nn.LayerNorm(4, **options)])
        heads = {n: nn.Linear(4, 2, key=k, **options) for n, k in zip("ab", keys[2:4], strict=True)}
        self.heads = nn.ModuleDict(heads)
        noise = random.uniform(keys[4], (2,), options.get("dtype"), xp=options.get("xp"))
        self.scales = nn.ParameterList([noise])
        self.named = nn.ParameterDict({"shift": noise + 1})

    def __call__(self, x):
        y = self.blocks[1](self.blocks[0](self.table(x))[0])
        return self.heads["a"](y) * self.scales[0] + self.heads["b"](y) + self.named["shift"]


def _torchs_tagger(t):
    import torch

    class Tagger(t.Module):
        def __init__(self):
            super().__init__()
            self.table = t.Embedding(7, 3, padding_idx=0)
            lstm = t.LSTM(3, 2, batch_first=True, bidirectional=True)
            self.blocks = t.ModuleList([lstm, t.LayerNorm(4)])
            self.heads = t.ModuleDict({n: t.Linear(4, 2) for n in "ab"})
            self.scales = t.ParameterList([torch.ones(2)])
            self.named = t.ParameterDict({"shift": torch.ones(2)})

        forward = Tagger_call

    return Tagger()


Tagger_call = Tagger.__call__


class Classifier(nn.Module):
    """Log-probabilities of all classes."""

    def __init__(self, key, **options):
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(6, 9, [2, 5], 2.0, True, key=key, **options)

    def __call__(self, x):
        return self.softmax.log_prob(x)


def _torchs_classifier(t):
    class Classifier(t.Module):
        def __init__(self):
            super().__init__()
            self.softmax = t.AdaptiveLogSoftmaxWithLoss(6, 9, [2, 5], 2.0, True)

        def forward(self, x):
            return self.softmax.log_prob(x)

    return Classifier()


def _normalized(key, **options):
    keys = random.split(key, 5)
    p = nn.parametrizations
    return nn.Sequential(
        p.weight_norm(nn.Linear(4, 3, key=keys[0], **options)),
        p.spectral_norm(nn.Linear(3, 5, key=keys[1], **options), key=keys[2]),
        p.orthogonal(nn.Linear(5, 2, key=keys[3], **options)),
        p.orthogonal(nn.Linear(2, 2, key=keys[4], **options)),
    )


def _torchs_normalized(t):
    p = t.utils.parametrizations
    return t.Sequential(
        p.weight_norm(t.Linear(4, 3)),
        p.spectral_norm(t.Linear(3, 5)),
        p.orthogonal(t.Linear(5, 2)),
        p.orthogonal(t.Linear(2, 2)),
    )


MODELS = [  # what takes or gives more than an array, and architectures
    model("RNNCell", (2, 3), 3, 4),
    model("LSTMCell", (2, 3), 3, 4),
    model("LSTMCell, no bias", (2, 3), 3, 4, bias=False),
    model("GRUCell", (2, 3), 3, 4),
    model("RNN", SEQUENCES, 3, 4, 2, "relu"),
    model("LSTM", SEQUENCES, 3, 4),
    model("LSTM, projected", SEQUENCES, 3, 4, 2, bidirectional=True, proj_size=2),
    model("GRU", SEQUENCES, 3, 4, 2, bias=False, batch_first=True, bidirectional=True),
    model("MultiheadAttention", (3, 2, 4), 4, 2, more=((5, 2, 4), (5, 2, 4))),
    model("MultiheadAttention, no bias", (3, 2, 4), 4, 2, bias=False, more=((3, 2, 4),) * 2),
    model(
        "MultiheadAttention, lengths",
        (3, 2, 4),
        4,
        2,
        kdim=5,
        vdim=6,
        add_bias_kv=True,
        more=((5, 2, 5), (5, 2, 6)),
    ),
    model("TransformerEncoderLayer", (3, 2, 8), *ENCODER),
    model("TransformerDecoderLayer", (3, 2, 8), *ENCODER, more=((4, 2, 8),)),
    Row(
        "TransformerEncoder",
        lambda key, **o: _stack("TransformerEncoder", key, **o),
        (3, 2, 8),
        lambda t: _torchs_stack("TransformerEncoder", t),
    ),
    Row(
        "TransformerDecoder",
        lambda key, **o: _stack("TransformerDecoder", key, **o),
        (3, 2, 8),
        lambda t: _torchs_stack("TransformerDecoder", t),
        more=((4, 2, 8),),
    ),
    Row("images", _images, (2, 2, 5, 4), _torchs_images),
    Row("containers", Tagger, (3, 4), _torchs_tagger, ints=7),
    Row("AdaptiveLogSoftmaxWithLoss", Classifier, (5, 6), _torchs_classifier),
    Row("parametrizations", _normalized, (5, 4), _torchs_normalized),
]
WEIGHTED = [*(row for row in ROWS if row.arrays or row.buffers), *MODELS]


class LossRow(NamedTuple):
    """A loss, how to make it, what it takes, and the oracle's loss."""

    name: str
    make: Any  # to the layer
    args: tuple  # arrays of NumPy, of which the floating ones but the last `fixed` are varied
    torch: Any  # from torch.nn to the same layer there
    fixed: int = 0
    buffers: tuple = ()


_rng = np.random.default_rng(11)
X, Y, Z = _rng.normal(size=(3, 4, 5))
P, Q, W = _rng.uniform(0.05, 0.95, size=(3, 4, 5))
SIGNS = _rng.choice([-1.0, 1.0], size=(4, 5))
CLASSES = np.asarray([0, 4, 2, -100])
LABELS = np.asarray([[3, 0, -1, 1, 2], [4, -1, 0, 0, 0], [-1, 0, 1, 2, 3], [0, 1, 2, 3, 4]])
SPEECH = X[:, None] - np.log(np.exp(X).sum(-1))[:, None, None]
C = W[0]


def as_torch(x):
    """Tensor of an array, where the oracle is there."""
    import torch

    return torch.from_numpy(x.copy())


LOSS_ROWS = [
    LossRow("MSELoss", nn.MSELoss, (X, Y), lambda t: t.MSELoss()),
    LossRow("L1Loss", nn.L1Loss, (X, Y), lambda t: t.L1Loss()),
    LossRow("HuberLoss", lambda: nn.HuberLoss(delta=0.4), (X, Y), lambda t: t.HuberLoss(delta=0.4)),
    LossRow(
        "SmoothL1Loss",
        lambda: nn.SmoothL1Loss(beta=0.4),
        (X, Y),
        lambda t: t.SmoothL1Loss(beta=0.4),
    ),
    LossRow("PoissonNLLLoss", nn.PoissonNLLLoss, (X, P), lambda t: t.PoissonNLLLoss()),
    LossRow(
        "PoissonNLLLoss, rates",
        lambda: nn.PoissonNLLLoss(False, True, eps=0.1),
        (P, 3 * Q),
        lambda t: t.PoissonNLLLoss(False, True, eps=0.1),
    ),
    LossRow("GaussianNLLLoss", nn.GaussianNLLLoss, (X, Y, P), lambda t: t.GaussianNLLLoss()),
    LossRow(
        "GaussianNLLLoss, full",
        lambda: nn.GaussianNLLLoss(full=True, eps=0.5),
        (X, Y, P),
        lambda t: t.GaussianNLLLoss(full=True, eps=0.5),
    ),
    LossRow(
        "CrossEntropyLoss",
        lambda: nn.CrossEntropyLoss(C, label_smoothing=0.2),
        (X, CLASSES),
        lambda t: t.CrossEntropyLoss(as_torch(C), label_smoothing=0.2),
        buffers=("weight",),
    ),
    LossRow("CrossEntropyLoss, plain", nn.CrossEntropyLoss, (X, P), lambda t: t.CrossEntropyLoss()),
    LossRow(
        "NLLLoss",
        lambda: nn.NLLLoss(C, ignore_index=2),
        (X, CLASSES[:3].repeat(2)[:4]),
        lambda t: t.NLLLoss(as_torch(C), ignore_index=2),
        buffers=("weight",),
    ),
    LossRow("BCELoss", nn.BCELoss, (P, Q), lambda t: t.BCELoss()),
    LossRow(
        "BCELoss, weights",
        lambda: nn.BCELoss(C),
        (P, Q),
        lambda t: t.BCELoss(as_torch(C)),
        0,
        ("weight",),
    ),
    LossRow(
        "BCEWithLogitsLoss",
        lambda: nn.BCEWithLogitsLoss(C, pos_weight=W),
        (X, Q),
        lambda t: t.BCEWithLogitsLoss(as_torch(C), pos_weight=as_torch(W)),
        buffers=("weight", "pos_weight"),
    ),
    LossRow(
        "KLDivLoss",
        lambda: nn.KLDivLoss(reduction="batchmean", log_target=True),
        (X, Y),
        lambda t: t.KLDivLoss(reduction="batchmean", log_target=True),
    ),
    LossRow(
        "HingeEmbeddingLoss",
        lambda: nn.HingeEmbeddingLoss(0.3),
        (X, SIGNS),
        lambda t: t.HingeEmbeddingLoss(0.3),
        1,
    ),
    LossRow(
        "MarginRankingLoss",
        lambda: nn.MarginRankingLoss(0.3),
        (X, Y, SIGNS),
        lambda t: t.MarginRankingLoss(0.3),
        1,
    ),
    LossRow("SoftMarginLoss", nn.SoftMarginLoss, (X, SIGNS), lambda t: t.SoftMarginLoss(), 1),
    LossRow(
        "MultiLabelMarginLoss",
        nn.MultiLabelMarginLoss,
        (X, LABELS),
        lambda t: t.MultiLabelMarginLoss(),
    ),
    LossRow(
        "MultiLabelSoftMarginLoss",
        lambda: nn.MultiLabelSoftMarginLoss(C),
        (X, Q),
        lambda t: t.MultiLabelSoftMarginLoss(as_torch(C)),
        buffers=("weight",),
    ),
    LossRow(
        "MultiMarginLoss",
        lambda: nn.MultiMarginLoss(2, 0.7, C),
        (X, CLASSES % 5),
        lambda t: t.MultiMarginLoss(2, 0.7, as_torch(C)),
        buffers=("weight",),
    ),
    LossRow(
        "CosineEmbeddingLoss",
        lambda: nn.CosineEmbeddingLoss(0.1),
        (X, Y, np.asarray([1, -1, -1, 1])),
        lambda t: t.CosineEmbeddingLoss(0.1),
    ),
    LossRow(
        "TripletMarginLoss",
        lambda: nn.TripletMarginLoss(0.5, 3.0, 1e-3, swap=True),
        (X, Y, Z),
        lambda t: t.TripletMarginLoss(0.5, 3.0, 1e-3, swap=True),
    ),
    LossRow(
        "TripletMarginWithDistanceLoss",
        lambda: nn.TripletMarginWithDistanceLoss(margin=0.5),
        (X, Y, Z),
        lambda t: t.TripletMarginWithDistanceLoss(margin=0.5),
    ),
    LossRow(
        "CTCLoss",
        lambda: nn.CTCLoss(1, zero_infinity=True),
        (SPEECH.repeat(2, 1), np.asarray([[0, 2], [3, 3]]), np.asarray([4, 2]), np.asarray([2, 2])),
        lambda t: t.CTCLoss(1, zero_infinity=True),
    ),
    LossRow(
        "CosineSimilarity", lambda: nn.CosineSimilarity(0), (X, Y), lambda t: t.CosineSimilarity(0)
    ),
    LossRow(
        "PairwiseDistance",
        lambda: nn.PairwiseDistance(1.0, 0.1, True),
        (X, Y),
        lambda t: t.PairwiseDistance(1.0, 0.1, True),
    ),
]
