"""What groups ``jit`` and ``compile`` compute: losses and functions, the same for all libraries.

A loss is built from one of `namespaces`: parameters as NumPy arrays, and a function of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any


def data(widths: tuple[int, ...], batch: int) -> tuple[list[Any], Any, Any]:
    """Return parameters [W, b, W, b, …], inputs and labels as NumPy arrays."""
    import numpy as np

    random = np.random.default_rng(0)
    params = []
    for inputs, outputs in pairwise(widths):
        weight = random.normal(scale=(2 / inputs) ** 0.5, size=(inputs, outputs))
        params += [weight.astype(np.float32), np.zeros(outputs, dtype=np.float32)]
    half = random.normal(size=(batch // 2, widths[0])).astype(np.float32)
    return params, np.concatenate([half, half]), random.integers(0, widths[-1], size=batch)


def forward(params: Any, x: Any, relu: Callable[[Any], Any]) -> Any:
    last = len(params) - 2
    for i in range(0, last, 2):
        x = relu(x @ params[i] + params[i + 1])
    return x @ params[last] + params[last + 1]


# Losses -------------------------------------------------------------------------------------------


def _mlp(n: Any, widths: tuple[int, ...], batch: int) -> Any:
    params, x, y = data(widths, batch)
    x, y = n.asarray(x), n.asarray(y)
    return params, lambda params: n.cross_entropy(forward(params, x, n.relu), y)


def _convnet(n: Any) -> Any:
    draw = _draw()
    params = [draw(8, 1, 3, 3), draw(8), draw(16, 8, 3, 3), draw(16), draw(16 * 25, 10), draw(10)]
    x, y = n.asarray(draw(32, 1, 28, 28)), n.asarray(draw.classes(32))

    def loss(params: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        h = n.max_pool(n.relu(n.conv(x, w1, b1)), 2)
        h = n.max_pool(n.relu(n.conv(h, w2, b2)), 2)
        return n.cross_entropy(n.reshape(h, (32, 16 * 25)) @ w3 + b3, y)

    return params, loss


def _lstm(n: Any) -> Any:
    batch, length, inputs, hidden = 32, 32, 128, 64
    draw = _draw()
    params = [draw(inputs, 4 * hidden), draw(hidden, 4 * hidden), draw(4 * hidden)]
    params += [draw(hidden, 10), draw(10)]
    x, y = n.asarray(draw(length, batch, inputs)), n.asarray(draw.classes(batch))
    zeros = n.asarray(draw(batch, hidden) * 0)

    def loss(params: Any) -> Any:
        wx, wh, b, w, c = params
        h, cell = zeros, zeros
        for t in range(length):
            gates = x[t] @ wx + h @ wh + b
            i, f, g, o = (gates[:, k * hidden : (k + 1) * hidden] for k in range(4))
            cell = n.sigmoid(f) * cell + n.sigmoid(i) * n.tanh(g)
            h = n.sigmoid(o) * n.tanh(cell)
        return n.cross_entropy(h @ w + c, y)

    return params, loss


def _lenet(n: Any) -> Any:
    draw = _draw()
    params = [draw(6, 1, 5, 5), draw(6), draw(16, 6, 5, 5), draw(16)]
    for sizes in pairwise((400, 120, 84, 10)):
        params += [draw(*sizes), draw(sizes[1])]
    x, y = n.asarray(draw(64, 1, 28, 28)), n.asarray(draw.classes(64))

    def loss(params: Any) -> Any:
        w1, b1, w2, b2, *rest = params
        h = n.max_pool(n.relu(n.conv(x, w1, b1, 2)), 2)
        h = n.max_pool(n.relu(n.conv(h, w2, b2)), 2)
        return n.cross_entropy(forward(rest, n.reshape(h, (64, 400)), n.relu), y)

    return params, loss


def _residual(n: Any, batch: int, channels: int, size: int) -> Any:
    """The basic block of a ResNet: two convolutions, normalized, beside what goes in."""
    draw = _draw()
    params = [draw(channels, channels, 3, 3), draw(channels) + 1, draw(channels)] * 2
    x = n.asarray(draw(batch, channels, size, size))

    def loss(params: Any) -> Any:
        w1, s1, b1, w2, s2, b2 = params
        h = n.relu(n.batch_norm(n.conv(x, w1, None, 1), s1, b1))
        h = n.relu(x + n.batch_norm(n.conv(h, w2, None, 1), s2, b2))
        return n.mean(h * h)

    return params, loss


def _block_sizes(width: int) -> list[tuple[int, ...]]:
    """Shapes of the parameters of a transformer's block."""
    affine, wide = (width,), 4 * width
    return [
        *(affine, affine, (width, 3 * width), (3 * width,), (width, width), affine),
        *(affine, affine, (width, wide), (wide,), (wide, width), affine),
    ]


def _block(n: Any, x: Any, params: Any, heads: int, first: bool) -> Any:
    """A block, normalized `first` or afterwards."""
    s1, b1, wqkv, bqkv, wo, bo, s2, b2, w1, c1, w2, c2 = params
    batch, length, width = x.shape
    h = n.layer_norm(x, s1, b1) if first else x
    qkv = n.reshape(h @ wqkv + bqkv, (batch, length, 3, heads, width // heads))
    q, k, v = (n.permute_dims(qkv[:, :, i], (0, 2, 1, 3)) for i in range(3))
    h = n.permute_dims(n.attention(q, k, v), (0, 2, 1, 3))
    x = x + (n.reshape(h, (batch, length, width)) @ wo + bo)
    x = x if first else n.layer_norm(x, s1, b1)
    h = n.layer_norm(x, s2, b2) if first else x
    x = x + (n.gelu(h @ w1 + c1) @ w2 + c2)
    return x if first else n.layer_norm(x, s2, b2)


def _blocks(n: Any, x: Any, params: Any, heads: int, first: bool) -> Any:
    for i in range(0, len(params) - 11, 12):
        x = _block(n, x, params[i : i + 12], heads, first)
    return x


def _transformer(n: Any) -> Any:
    batch, length, width, classes = 8, 128, 256, 10
    draw = _draw()
    params = [draw(*shape) for shape in 4 * _block_sizes(width)] + [draw(width, classes)]
    x, y = n.asarray(draw(batch, length, width)), n.asarray(draw.classes(batch * length))

    def loss(params: Any) -> Any:
        h = n.reshape(_blocks(n, x, params, 8, first=True), (batch * length, width))
        return n.cross_entropy(h @ params[-1], y)

    return params, loss


def _norm(n: Any) -> Any:
    draw = _draw()
    params = [draw(1024) + 1, draw(1024)]
    x, y = n.asarray(draw(4096, 1024)), n.asarray(draw(4096, 1024))

    def loss(params: Any) -> Any:
        weight, bias = params
        return n.sum(n.softmax(n.layer_norm(x, weight, bias)) * y)

    return params, loss


def _draw() -> Any:
    """Function of a shape that draws small float32 numbers, and one of a count, classes of 10."""
    import numpy as np

    random = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return (0.1 * random.normal(size=shape)).astype(np.float32)

    draw.classes = lambda count: random.integers(0, 10, size=count)  # type: ignore[attr-defined]
    return draw


TRAINING = {
    "mlp 2-16-16-2, batch 4": partial(_mlp, widths=(2, 16, 16, 2), batch=4),
    "mlp 64-128-10, batch 64": partial(_mlp, widths=(64, 128, 10), batch=64),
    "mlp 784-512-512-10, batch 128": partial(_mlp, widths=(784, 512, 512, 10), batch=128),
    "mlp 1024-4096-1024, batch 256": partial(_mlp, widths=(1024, 4096, 1024), batch=256),
    "convnet 1-8-16-10, 32×28²": _convnet,
    "lenet, 64×28²": _lenet,
    "residual block, 8×64×56²": partial(_residual, batch=8, channels=64, size=56),
    "residual block, 16×256×14²": partial(_residual, batch=16, channels=256, size=14),
    "lstm 128-64, 32 steps, batch 32": _lstm,
    "transformer 4×256, 8×128 tokens": _transformer,
    "layer norm and softmax, 4096×1024": _norm,
}

# Functions of one array ---------------------------------------------------------------------------


def _gelu(n: Any, x: Any) -> Any:
    return n.gelu(x) * x


def _chain(n: Any, x: Any) -> Any:
    for rate in (0.3, 0.2, 0.1):
        x = n.tanh(x * rate + 0.5) - x
    return x


def _softmax(n: Any, x: Any) -> Any:
    return n.softmax(x)


def _layer_norm(n: Any, x: Any) -> Any:
    return n.layer_norm(x, n.ones(1024), n.ones(1024))


def _encoder(n: Any) -> Any:
    """MiniLM's encoder of embedded tokens: six blocks of width 384, 12 heads, their mean."""
    draw = _draw()
    params = [n.asarray(draw(*shape)) for shape in 6 * _block_sizes(384)]
    return lambda x: n.mean(_blocks(n, x, params, 12, first=False), 1)


def _product(n: Any) -> Any:
    """Function of parameters: the Hessian of a loss of an MLP times themselves."""
    _, loss = _mlp(n, (64, 128, 10), 64)
    return n.hvp(loss)


def _of(function: Any) -> Any:
    return lambda n: partial(function, n)


PRODUCT = "Hessian-vector product, mlp 64-128-10"
FUNCTIONS = {  # what makes them of a namespace, and the shape of what they are called with
    "gelu(x)·x, 10⁶": (_of(_gelu), (10**6,)),
    "gelu(x)·x, 10⁷": (_of(_gelu), (10**7,)),
    "12 elementwise operations, 10⁶": (_of(_chain), (10**6,)),
    "12 elementwise operations, 10⁷": (_of(_chain), (10**7,)),
    "softmax, 4096×1024": (_of(_softmax), (4096, 1024)),
    "layer norm, 4096×1024": (_of(_layer_norm), (4096, 1024)),
    "encoder of MiniLM, 32×64 tokens": (_encoder, (32, 64, 384)),
    PRODUCT: (_product, None),
}


def argument(n: Any, shape: tuple[int, ...] | None) -> Any:
    """What a function is called with: an array, or the parameters of the MLP."""
    if shape is None:
        return [n.asarray(p) for p in _mlp(n, (64, 128, 10), 64)[0]]
    return n.asarray(10 * _draw()(*shape))
