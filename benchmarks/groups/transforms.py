"""``transforms``: gradients of every example, and whole Hessians, float32.

The gradients are of the cross-entropy of the 64-128-10 classifier of ``mlp``, for each of 64
examples alone: ``vmap`` of ``grad``. The Hessians are of a logistic loss of 200 weights and 64
examples, and of the cross-entropy of a 9-14-4 classifier with tanh, whose 200 parameters are one
vector: forward over reverse mode in every library.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from benchmarks import models
from benchmarks.harness import Budget, Case, Group, Values

WIDTHS = (9, 14, 4)
EXAMPLES = 64
WEIGHTS = 200


def _per_sample(n: Any) -> Callable[[], Any]:
    params, x, y = models.data((64, 128, 10), 64)

    def loss(params: Any, x: Any, y: Any) -> Any:
        return n.cross_entropy(models.forward(params, x, n.relu), y)

    gradients = n.compiled(n.vmap(n.grad(loss), (None, 0, 0)))
    args = [n.asarray(p) for p in params], n.asarray(x), n.asarray(y)
    return lambda: n.run(gradients, *args)[0]  # those of the first weight, to be compared


def _logistic(n: Any) -> Callable[[], Any]:
    import numpy as np

    random = np.random.default_rng(0)
    x = n.asarray(random.normal(size=(EXAMPLES, WEIGHTS)).astype(np.float32))
    sign = n.asarray(random.choice([-1.0, 1.0], size=EXAMPLES).astype(np.float32))
    w = n.asarray(random.normal(scale=0.1, size=WEIGHTS).astype(np.float32))

    def loss(w: Any) -> Any:
        return n.sum(n.softplus(sign * (x @ w)))

    return partial(n.run, n.compiled(n.hessian(loss)), w)


def _classifier(n: Any) -> Callable[[], Any]:
    import numpy as np

    params, x, y = models.data(WIDTHS, EXAMPLES)
    shapes = [p.shape for p in params]
    ends = np.cumsum([math.prod(s) for s in shapes]).tolist()
    flat = n.asarray(np.concatenate([p.reshape(-1) for p in params]))
    assert flat.shape == (WEIGHTS,)
    x, y = n.asarray(x), n.asarray(y)

    def loss(flat: Any) -> Any:
        parts = zip([0, *ends], ends, shapes, strict=False)
        weights = [n.reshape(flat[start:end], shape) for start, end, shape in parts]
        return n.cross_entropy(models.forward(weights, x, n.tanh), y)

    return partial(n.run, n.compiled(n.hessian(loss)), flat)


CASES = {
    "per-sample gradients, 64-128-10, batch 64": _per_sample,
    "hessian of a logistic loss, 200 weights": _logistic,
    "hessian of a 9-14-4 classifier, 200 weights": _classifier,
}


def _cases(implementation: str) -> list[Case]:
    namespace = _NAMESPACES[implementation]()
    return [Case(name, partial(build, namespace)) for name, build in CASES.items()]


def _plain(call: Callable[..., Any], *args: Any) -> Any:
    return call(*args)


def _volta(asarray: Callable[[Any], Any] = lambda x: x) -> Any:
    import volta
    from volta import functional

    return SimpleNamespace(
        asarray=asarray,
        compiled=lambda call: call,
        cross_entropy=functional.cross_entropy,
        grad=volta.grad,
        hessian=volta.hessian,
        relu=functional.relu,
        reshape=functional.reshape,
        run=_plain,
        softplus=lambda x: functional.logaddexp(x, 0.0),
        sum=functional.sum,
        tanh=functional.tanh,
        vmap=volta.vmap,
    )


def _volta_torch() -> Any:
    import torch

    return _volta(torch.from_numpy)


def _torch() -> Any:
    import torch

    return SimpleNamespace(
        asarray=torch.from_numpy,
        compiled=lambda call: call,
        cross_entropy=torch.nn.functional.cross_entropy,
        grad=torch.func.grad,
        hessian=torch.func.hessian,
        relu=torch.relu,
        reshape=torch.reshape,
        run=_plain,
        softplus=torch.nn.functional.softplus,
        sum=torch.sum,
        tanh=torch.tanh,
        vmap=torch.func.vmap,
    )


def _jax(*, compiled: bool) -> Any:
    import jax
    import jax.numpy as jnp
    import optax

    def cross_entropy(logits: Any, labels: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    return SimpleNamespace(
        asarray=jnp.asarray,
        compiled=jax.jit if compiled else lambda call: call,
        cross_entropy=cross_entropy,
        grad=jax.grad,
        hessian=jax.hessian,
        relu=jax.nn.relu,
        reshape=jnp.reshape,
        run=lambda call, *args: jax.block_until_ready(call(*args)),
        softplus=jax.nn.softplus,
        sum=jnp.sum,
        tanh=jnp.tanh,
        vmap=jax.vmap,
    )


def _budgets(values: Values) -> list[Budget]:
    return []


_NAMESPACES: dict[str, Callable[[], Any]] = {
    "volta": _volta,
    "volta-torch": _volta_torch,
    "torch": _torch,
    "jax": partial(_jax, compiled=False),
    "jax-jit": partial(_jax, compiled=True),
}

GROUP = Group(
    name="transforms",
    title="vmap of grad, and whole Hessians, float32",
    unit="µs",
    scale=1e6,
    implementations={
        "volta": ("volta",),
        "volta-torch": ("volta", "torch"),
        "torch": ("torch",),
        "jax": ("jax", "optax"),
        "jax-jit": ("jax", "optax"),
    },
    case_names=tuple(CASES),
    cases=_cases,
    budgets=_budgets,
)
