"""``neural_networks``: layers and small models, shape for shape the Rust framework's benchmark.

Layers are functions of their arguments and parameters. *Backward* is what that benchmark calls so:
the layer and the gradients of weight and bias for a cotangent of ones. ``volta`` and ``torch`` call
the functions, ``numpy`` does what they compute in its own, ``volta-jit`` and ``jax-jit`` compile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

from benchmarks import namespaces
from benchmarks.harness import Case, Group


class Layer(NamedTuple):
    """A function of a namespace, an input and parameters, and the shapes of these."""

    call: Callable[..., Any]
    input: tuple[int, ...]
    parameters: tuple[tuple[int, ...], ...] = ()
    backward: bool = False


def _linear(n: Any, x: Any, *params: Any) -> Any:
    """Linear layers with relu between them."""
    for i in range(0, len(params) - 2, 2):
        x = n.relu(n.linear(x, params[i], params[i + 1]))
    return n.linear(x, *params[-2:])


def _conv(n: Any, x: Any, w: Any, b: Any) -> Any:
    return n.conv(x, w, b)


def _pool(size: int, stride: int, n: Any, x: Any) -> Any:
    return n.max_pool(x, size, stride)


def _convnet(n: Any, x: Any, w: Any, b: Any) -> Any:
    return n.max_pool(n.relu(n.conv(x, w, b)), 2)


def _layers(batch: int, *widths: int, backward: bool = False) -> Layer:
    pairs = pairwise(widths)
    params = tuple(s for inputs, outputs in pairs for s in ((inputs, outputs), (outputs,)))
    return Layer(_linear, (batch, widths[0]), params, backward)


def _convolution(batch: int, inputs: int, outputs: int, side: int, kernel: int) -> Layer:
    weight = (outputs, inputs, kernel, kernel)
    return Layer(_conv, (batch, inputs, side, side), (weight, (outputs,)))


def _activation(name: str, size: int) -> Layer:
    return Layer(lambda n, x: getattr(n, name)(x), (size,))


IMAGES = {
    **{f"convolution 3→16, 8×32², kernel {k}": _convolution(8, 3, 16, 32, k) for k in (1, 3, 5, 7)},
    **{
        f"convolution {inputs}→{outputs}, 4×28², kernel 3": _convolution(4, inputs, outputs, 28, 3)
        for inputs, outputs in ((1, 8), (3, 16), (3, 32))
    },
    **{
        f"max pooling {size} stride {stride}, 8×16×28²": Layer(
            partial(_pool, size, stride), (8, 16, 28, 28)
        )
        for size, stride in ((2, 2), (3, 2), (4, 4))
    },
    "convolution 3→8, relu, pooling, 8×28²": Layer(_convnet, (8, 3, 28, 28), ((8, 3, 3, 3), (8,))),
}
BACKWARD = {
    f"linear {inputs}→{outputs}, batch 16, backward": _layers(16, inputs, outputs, backward=True)
    for inputs, outputs in ((128, 64), (256, 128))
}
CASES = {
    **{
        f"linear {inputs}→{outputs}, batch {batch}": _layers(batch, inputs, outputs)
        for batch, inputs, outputs in (
            (32, 784, 128),
            (32, 128, 10),
            (16, 512, 512),
            (16, 1024, 256),
        )
    },
    **BACKWARD,
    **IMAGES,
    "mlp 128-64-10, batch 32": _layers(32, 128, 64, 10),
    "mlp 256-128-64-10, batch 32": _layers(32, 256, 128, 64, 10),
    **{
        f"{name}, {size}": _activation(name, size)
        for name, size in (("relu", 1024), ("relu", 4096), ("sigmoid", 1024), ("tanh", 1024))
    },
}


def _cases(implementation: str) -> list[Case]:
    n = _NAMESPACES[implementation]()
    return [Case(name, partial(_call, n, layer)) for name, layer in CASES.items()]


def _call(n: Any, layer: Layer) -> Callable[[], Any]:
    import numpy as np

    random = np.random.default_rng(0)
    x, *params = (
        (0.1 * random.normal(size=shape)).astype(np.float32)
        for shape in (layer.input, *layer.parameters)
    )
    if layer.backward:
        call = n.value_and_grad(lambda params, x: n.sum(layer.call(n, x, *params)))
        args: Any = [*map(n.parameter, params)], n.asarray(x)
    else:
        call, args = partial(layer.call, n), [*map(n.asarray, (x, *params))]
    return partial(n.run, n.compiled(call, *args), *args)


def _numpy() -> Any:
    import numpy as np

    return SimpleNamespace(
        asarray=lambda x: x,
        compiled=namespaces.plain,
        linear=lambda x, w, b: x @ w + b,
        relu=partial(np.maximum, np.float32(0)),
        run=lambda call, *args: call(*args),
        sigmoid=lambda x: 1 / (1 + np.exp(-x)),
        tanh=np.tanh,
    )


_NAMESPACES: dict[str, Callable[[], Any]] = {
    "volta": namespaces.volta_eager,
    "volta-jit": namespaces.volta_jit,
    "numpy": _numpy,
    "torch": namespaces.torch_eager,
    "jax": namespaces.jax_eager,
    "jax-jit": namespaces.jax_jit,
}

GROUP = Group(
    name="neural_networks",
    title="layers and small models, the Rust framework's shapes, float32",
    unit="µs",
    scale=1e6,
    implementations={
        "volta": ("volta",),
        "volta-jit": ("volta",),
        "numpy": ("numpy",),
        "torch": ("torch",),
        "jax": ("jax", "optax"),
        "jax-jit": ("jax", "optax"),
    },
    case_names=tuple(CASES),
    cases=_cases,
    budgets=lambda values: [],
    left_out={
        **dict.fromkeys(((case, "numpy") for case in IMAGES), "it has no layers of images"),
        **dict.fromkeys(((case, "numpy") for case in BACKWARD), "it has no derivatives"),
    },
)
