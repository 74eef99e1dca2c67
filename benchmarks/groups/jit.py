"""``jit``: whole training steps, staged and compiled, float32.

A step is forward, loss, backward and Adam (1e-3); what is no training step is values alone. Every
implementation runs the same function of a namespace, from the same numbers, and begins again after
500 steps (see ``mlp``). ``volta`` is `volta.jit` of the step, with LLVM where it is installed,
``volta-numpy`` the same without, ``volta-eager`` the step itself, ``jax`` is `jax.jit` of it, and
``torch`` is eager. The LSTM is a Python loop in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from benchmarks.groups import mlp
from benchmarks.harness import Budget, Case, Group, Values
from benchmarks.models import FUNCTIONS, TRAINING, argument

GAIN = 1.3  # times that a jitted training step is faster than an eager one, without LLVM

# Implementations ----------------------------------------------------------------------------------


def _cases(implementation: str) -> list[Case]:
    n = _NAMESPACES[implementation]()
    training = [Case(name, partial(_trainer, n, build)) for name, build in TRAINING.items()]
    return training + [Case(name, partial(_mapper, n, *f)) for name, f in FUNCTIONS.items()]


def _trainer(n: Any, build: Callable[[Any], Any]) -> Callable[[], Any]:
    params, loss = build(n)
    return n.trainer(params, loss)  # type: ignore[no-any-return]  # of a namespace


def _mapper(n: Any, build: Callable[[Any], Any], shape: Any) -> Callable[[], Any]:
    x = argument(n, shape)
    compiled = n.compiled(build(n))
    return lambda: n.run(compiled, x)


def _functional(gradient: Callable[..., Any], optimizer: Any, apply: Any, n: Any) -> Any:
    """Trainer of a library whose optimizers are pure functions."""

    def trainer(params: Any, loss: Any) -> Callable[[], Any]:
        params = [*map(n.asarray, params)]
        value_and_grad = gradient(loss)

        def update(params: Any, state: Any) -> tuple[Any, Any, Any]:
            value, grads = value_and_grad(params)
            updates, state = optimizer.update(grads, state, params)
            return apply(params, updates), state, value

        step = partial(n.run, n.compiled(update))
        return mlp._trainer(step, params, optimizer.init(params))

    return trainer


def _plain(call: Callable[..., Any], *args: Any) -> Any:
    return call(*args)


def _volta(compiled: Callable[[Any], Callable[..., Any]]) -> Any:
    import volta
    from volta import functional, optim

    n = SimpleNamespace(
        asarray=lambda x: x,
        attention=functional.scaled_dot_product_attention,
        batch_norm=lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True)[0],
        compiled=partial(compiled, volta),
        conv=lambda x, w, b, padding=0: functional.conv2d(x, w, b, padding=padding),
        cross_entropy=functional.cross_entropy,
        gelu=functional.gelu,
        hvp=lambda loss: lambda params: volta.hvp(loss, (params,), (params,))[1],
        layer_norm=lambda x, w, b: functional.layer_norm(x, w.shape, w, b),
        max_pool=lambda x: functional.max_pool2d(x, 2),
        mean=lambda x, axis=None: functional.mean(x, axis=axis),
        ones=functional.ones,
        permute_dims=functional.permute_dims,
        relu=functional.relu,
        reshape=functional.reshape,
        run=_plain,
        sigmoid=functional.sigmoid,
        softmax=functional.softmax,
        sum=functional.sum,
        tanh=functional.tanh,
    )
    adam = optim.adam(mlp.RATE)
    n.trainer = _functional(volta.value_and_grad, adam, optim.apply_updates, n)
    return n


def _torch() -> Any:
    import torch

    f = torch.nn.functional

    return SimpleNamespace(
        asarray=torch.from_numpy,
        attention=f.scaled_dot_product_attention,
        batch_norm=lambda x, w, b: f.batch_norm(x, None, None, w, b, training=True),
        compiled=lambda call: call,
        conv=lambda x, w, b, padding=0: f.conv2d(x, w, b, padding=padding),
        cross_entropy=f.cross_entropy,
        gelu=f.gelu,
        hvp=lambda loss: lambda p: torch.func.jvp(torch.func.grad(loss), (p,), (p,))[1],
        layer_norm=lambda x, w, b: f.layer_norm(x, w.shape, w, b),
        max_pool=lambda x: f.max_pool2d(x, 2),
        mean=torch.mean,
        ones=torch.ones,
        permute_dims=torch.permute,
        relu=torch.relu,
        reshape=torch.reshape,
        run=_plain,
        sigmoid=torch.sigmoid,
        softmax=lambda x: torch.softmax(x, -1),
        sum=torch.sum,
        tanh=torch.tanh,
        trainer=mlp._torch_trainer,
    )


def _jax() -> Any:
    import jax
    import jax.numpy as jnp
    import optax

    lax = jax.lax

    def attention(q: Any, k: Any, v: Any) -> Any:
        return jax.nn.softmax(q @ k.mT * q.shape[-1] ** -0.5) @ v

    def batch_norm(x: Any, w: Any, b: Any) -> Any:
        y = jax.nn.standardize(x, axis=(0, 2, 3), epsilon=1e-5)
        return y * w[:, None, None] + b[:, None, None]

    def conv(x: Any, w: Any, b: Any, padding: int = 0) -> Any:
        out = lax.conv_general_dilated(x, w, (1, 1), [(padding, padding)] * 2)
        return out if b is None else out + b[:, None, None]

    def cross_entropy(logits: Any, labels: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def layer_norm(x: Any, w: Any, b: Any) -> Any:
        return jax.nn.standardize(x, axis=-1, epsilon=1e-5) * w + b

    n = SimpleNamespace(
        asarray=jnp.asarray,
        attention=attention,
        batch_norm=batch_norm,
        compiled=jax.jit,
        conv=conv,
        cross_entropy=cross_entropy,
        gelu=partial(jax.nn.gelu, approximate=False),
        hvp=lambda loss: lambda p: jax.jvp(jax.grad(loss), (p,), (p,))[1],
        layer_norm=layer_norm,
        max_pool=lambda x: lax.reduce_window(
            x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"
        ),
        mean=jnp.mean,
        ones=jnp.ones,
        permute_dims=jnp.transpose,
        relu=jax.nn.relu,
        reshape=jnp.reshape,
        run=lambda call, *args: jax.block_until_ready(call(*args)),
        sigmoid=jax.nn.sigmoid,
        softmax=jax.nn.softmax,
        sum=jnp.sum,
        tanh=jnp.tanh,
    )
    n.trainer = _functional(jax.value_and_grad, optax.adam(mlp.RATE), optax.apply_updates, n)
    return n


def _budgets(values: Values) -> list[Budget]:
    found = []
    for case in (*TRAINING, *FUNCTIONS):
        for name, other, limit in (
            ("volta-numpy", "volta-eager", 1 / GAIN if case in TRAINING else 1.0),
            ("volta", "jax", 1.0),
        ):
            mine, its = values.get((case, name)), values.get((case, other))
            if mine is not None and its is not None:
                found.append(Budget(f"{case}: {name} over {other}", mine / its, limit, ""))
    return found


_NAMESPACES: dict[str, Callable[[], Any]] = {
    "volta": partial(_volta, lambda volta, call: volta.jit(call)),
    "volta-numpy": partial(_volta, lambda volta, call: volta.jit(call, backend="numpy")),
    "volta-eager": partial(_volta, lambda volta, call: call),
    "torch": _torch,
    "jax": _jax,
}

GROUP = Group(
    name="jit",
    title="training steps and elementwise functions, compiled, float32",
    unit="µs",
    scale=1e6,
    implementations={
        "volta": ("volta",),
        "volta-numpy": ("volta",),
        "volta-eager": ("volta",),
        "torch": ("torch",),
        "jax": ("jax", "optax"),
    },
    case_names=(*TRAINING, *FUNCTIONS),
    cases=_cases,
    budgets=_budgets,
)
