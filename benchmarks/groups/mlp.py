"""``mlp``: a whole training step of a small classifier, float32.

Forward (relu between layers), mean cross-entropy with class indices, backward, Adam (1e-3). Every
implementation starts from the same parameters and trains on the same batch; it starts again after
500 steps, so that no moment decays into denormal numbers. Every input comes with two labels, so
that the loss has something left to do. autograd has no Adam on trees: its update is the usual one
written in NumPy, and its loss picks the classes by a one-hot product, which it does faster than
indexing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from benchmarks.harness import Budget, Case, Group, Values

SIZES = {
    "2-16-16-2, batch 4": ((2, 16, 16, 2), 4),
    "64-128-10, batch 64": ((64, 128, 10), 64),
    "784-512-512-10, batch 128": ((784, 512, 512, 10), 128),
}
RATE = 1e-3
RESTART = 500
Step = Callable[[Any, Any], tuple[Any, Any, Any]]  # (params, state) -> (params, state, loss)


def _cases(implementation: str) -> list[Case]:
    return [
        Case(name, partial(_BUILDERS[implementation], *_data(*size)))
        for name, size in SIZES.items()
    ]


def _data(widths: tuple[int, ...], batch: int) -> tuple[list[Any], Any, Any]:
    """Return parameters [W, b, W, b, …], inputs and labels as NumPy arrays."""
    import numpy as np

    random = np.random.default_rng(0)
    params = []
    for inputs, outputs in pairwise(widths):
        weight = random.normal(scale=(2 / inputs) ** 0.5, size=(inputs, outputs))
        params += [weight.astype(np.float32), np.zeros(outputs, dtype=np.float32)]
    half = random.normal(size=(batch // 2, widths[0])).astype(np.float32)
    return params, np.concatenate([half, half]), random.integers(0, widths[-1], size=batch)


def _trainer(step: Step, params: Any, state: Any) -> Callable[[], Any]:
    """Return a callable that takes one step of a run, beginning again every RESTART steps."""
    start = now = (params, state)
    taken = 0

    def train() -> Any:
        nonlocal now, taken
        if taken == RESTART:
            now, taken = start, 0
        params, state, loss = step(*now)
        now = (params, state)
        taken += 1
        return loss

    return train


def _forward(params: Any, x: Any, relu: Callable[[Any], Any]) -> Any:
    last = len(params) - 2
    for i in range(0, last, 2):
        x = relu(x @ params[i] + params[i + 1])
    return x @ params[last] + params[last + 1]


def _volta(params: Any, x: Any, y: Any) -> Callable[[], Any]:
    import volta
    from volta import functional, optim

    def loss(params: Any) -> Any:
        return functional.cross_entropy(_forward(params, x, functional.relu), y)

    value_and_grad = volta.value_and_grad(loss)
    optimizer = optim.adam(RATE)

    def step(params: Any, state: Any) -> tuple[Any, Any, Any]:
        value, grads = value_and_grad(params)
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), state, value

    return _trainer(step, params, optimizer.init(params))


def _volta_torch(params: Any, x: Any, y: Any) -> Callable[[], Any]:
    import torch

    return _volta([*map(torch.from_numpy, params)], torch.from_numpy(x), torch.from_numpy(y))


def _autograd(params: Any, x: Any, y: Any) -> Callable[[], Any]:
    import autograd.numpy as np
    import numpy
    from autograd import value_and_grad

    chosen = numpy.eye(params[-1].shape[0], dtype=numpy.float32)[y]
    relu = partial(np.maximum, numpy.float32(0))

    def loss(params: Any) -> Any:
        logits = _forward(params, x, relu)
        shifted = logits - np.max(logits, axis=1, keepdims=True)
        totals = np.log(np.sum(np.exp(shifted), axis=1))
        return np.mean(totals - np.sum(shifted * chosen, axis=1))

    gradient = value_and_grad(loss)

    def step(params: Any, state: Any) -> tuple[Any, Any, Any]:
        value, grads = gradient(params)
        return *_numpy_adam(params, grads, *state), value

    zeros = [numpy.zeros_like(p) for p in params]
    return _trainer(step, params, (0, zeros, zeros))


def _numpy_adam(params: Any, grads: Any, count: int, first: Any, second: Any) -> tuple[Any, Any]:
    import numpy as np

    count += 1
    first = [0.9 * m + 0.1 * g for m, g in zip(first, grads, strict=True)]
    second = [0.999 * v + 0.001 * (g * g) for v, g in zip(second, grads, strict=True)]
    rate, correction = RATE / (1 - 0.9**count), 1 / (1 - 0.999**count)
    params = [
        p - rate * m / (np.sqrt(v * correction) + 1e-8)
        for p, m, v in zip(params, first, second, strict=True)
    ]
    return params, (count, first, second)


def _torch(params: Any, x: Any, y: Any, *, fused: bool | None = None) -> Callable[[], Any]:
    import torch

    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)

    def loss(weights: Any) -> Any:
        logits = _forward(weights, inputs, torch.relu)
        return torch.nn.functional.cross_entropy(logits, labels)

    return _torch_trainer(params, loss, fused=fused)


def _torch_trainer(
    params: Any, loss: Callable[[Any], Any], *, fused: bool | None = None
) -> Callable[[], Any]:
    """Return what `_trainer` does, with torch's optimizer, which writes to its parameters."""
    import torch

    start = [torch.from_numpy(p) for p in params]
    weights = [p.clone().requires_grad_() for p in start]
    optimizer = torch.optim.Adam(weights, lr=RATE, fused=fused)
    taken = 0

    def train() -> Any:
        nonlocal taken
        if taken == RESTART:
            taken = 0
            optimizer.state.clear()
            with torch.no_grad():
                for weight, value in zip(weights, start, strict=True):
                    weight.copy_(value)
        value = loss(weights)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        taken += 1
        return value

    return train


def _jax(params: Any, x: Any, y: Any, *, compiled: bool) -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp
    import optax

    inputs, labels = jnp.asarray(x), jnp.asarray(y)
    params = [jnp.asarray(p) for p in params]
    optimizer = optax.adam(RATE)

    def loss(params: Any) -> Any:
        logits = _forward(params, inputs, jax.nn.relu)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    gradient = jax.value_and_grad(loss)

    def update(params: Any, state: Any) -> tuple[Any, Any, Any]:
        value, grads = gradient(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    taken = jax.jit(update) if compiled else update

    def step(params: Any, state: Any) -> tuple[Any, Any, Any]:
        return jax.block_until_ready(taken(params, state))

    return _trainer(step, params, optimizer.init(params))


def _budgets(values: Values) -> list[Budget]:
    return []


_BUILDERS: dict[str, Callable[[Any, Any, Any], Callable[[], Any]]] = {
    "volta": _volta,
    "volta-torch": _volta_torch,
    "autograd": _autograd,
    "torch": _torch,
    "torch-fused": partial(_torch, fused=True),
    "jax": partial(_jax, compiled=False),
    "jax-jit": partial(_jax, compiled=True),
}

GROUP = Group(
    name="mlp",
    title="one training step of an MLP (relu, cross-entropy, Adam), float32",
    unit="µs",
    scale=1e6,
    implementations={
        "volta": ("volta",),
        "volta-torch": ("volta", "torch"),
        "autograd": ("autograd",),
        "torch": ("torch",),
        "torch-fused": ("torch",),
        "jax": ("jax", "optax"),
        "jax-jit": ("jax", "optax"),
    },
    case_names=tuple(SIZES),
    cases=_cases,
    budgets=_budgets,
)
