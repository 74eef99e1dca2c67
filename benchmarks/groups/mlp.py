"""``mlp``: a whole training step of a small classifier, float32.

Forward (relu between layers), mean cross-entropy with class indices, backward, Adam (1e-3). Every
implementation starts from the same parameters and trains on the same batch; it starts again after
500 steps, so that no moment decays into denormal numbers. Every input comes with two labels, so
that the loss has something left to do. autograd has no Adam on trees: its update is the usual one
written out, and its loss picks the classes by a one-hot product, which it does faster than
indexing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import models, namespaces, training
from benchmarks.harness import Budget, Case, Group, Values

SIZES = {
    "2-16-16-2, batch 4": ((2, 16, 16, 2), 4),
    "64-128-10, batch 64": ((64, 128, 10), 64),
    "784-512-512-10, batch 128": ((784, 512, 512, 10), 128),
}


def _cases(implementation: str) -> list[Case]:
    return [
        Case(name, partial(_BUILDERS[implementation], *models.data(*size)))
        for name, size in SIZES.items()
    ]


def _volta(params: Any, x: Any, y: Any) -> Callable[[], Any]:
    import volta
    from volta import functional, optim

    def loss(params: Any) -> Any:
        return functional.cross_entropy(models.forward(params, x, functional.relu), y)

    value_and_grad = volta.value_and_grad(loss)
    optimizer = optim.adam(training.RATE)

    def step(params: Any, state: Any) -> tuple[Any, Any, Any]:
        value, grads = value_and_grad(params)
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), state, value

    return training.trainer(step, params, optimizer.init(params))


def _volta_torch(params: Any, x: Any, y: Any) -> Callable[[], Any]:
    import torch

    return _volta([*map(torch.from_numpy, params)], torch.from_numpy(x), torch.from_numpy(y))


def _autograd(params: Any, x: Any, y: Any) -> Callable[[], Any]:
    import autograd.numpy as np
    import numpy
    from autograd import value_and_grad

    relu = partial(np.maximum, numpy.float32(0))
    gradient = value_and_grad(
        lambda params: namespaces.hips_cross_entropy(models.forward(params, x, relu), y)
    )

    def step(params: Any, state: Any) -> tuple[Any, Any, Any]:
        value, grads = gradient(params)
        return *training.adam(numpy.sqrt, params, grads, *state), value

    zeros = [numpy.zeros_like(p) for p in params]
    return training.trainer(step, params, (0, zeros, zeros))


def _torch(params: Any, x: Any, y: Any, *, fused: bool | None = None) -> Callable[[], Any]:
    import torch

    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)

    def loss(weights: Any) -> Any:
        logits = models.forward(weights, inputs, torch.relu)
        return torch.nn.functional.cross_entropy(logits, labels)

    return training.torch_trainer(params, loss, fused=fused)


def _jax(params: Any, x: Any, y: Any, *, compiled: bool) -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp
    import optax

    inputs, labels = jnp.asarray(x), jnp.asarray(y)
    params = [jnp.asarray(p) for p in params]
    optimizer = optax.adam(training.RATE)

    def loss(params: Any) -> Any:
        logits = models.forward(params, inputs, jax.nn.relu)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    gradient = jax.value_and_grad(loss)

    def update(params: Any, state: Any) -> tuple[Any, Any, Any]:
        value, grads = gradient(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    taken = jax.jit(update) if compiled else update

    def step(params: Any, state: Any) -> tuple[Any, Any, Any]:
        return jax.block_until_ready(taken(params, state))

    return training.trainer(step, params, optimizer.init(params))


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
