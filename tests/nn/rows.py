"""One row per layer, from which test_layers.py makes its tests."""

from typing import Any, NamedTuple

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
