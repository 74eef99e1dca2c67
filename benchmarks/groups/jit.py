"""``jit``: whole training steps, staged and compiled, float32.

A step is forward, loss, backward and Adam (1e-3); the two elementwise cases are values alone. Every
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

GAIN = 1.3  # times that a jitted training step is faster than an eager one, without LLVM

# Losses: functions of parameters, and the arrays they begin with ----------------------------------


def _mlp(n: Any, widths: tuple[int, ...], batch: int) -> Any:
    params, x, y = mlp._data(widths, batch)
    x, y = n.asarray(x), n.asarray(y)
    return params, lambda params: n.cross_entropy(mlp._forward(params, x, n.relu), y)


def _convnet(n: Any) -> Any:
    draw = _draw()
    params = [draw(8, 1, 3, 3), draw(8), draw(16, 8, 3, 3), draw(16), draw(16 * 25, 10), draw(10)]
    x, y = n.asarray(draw(32, 1, 28, 28)), n.asarray(draw.classes(32))

    def loss(params: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = params
        h = n.max_pool(n.relu(n.conv(x, w1, b1)))
        h = n.max_pool(n.relu(n.conv(h, w2, b2)))
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
    "lstm 128-64, 32 steps, batch 32": _lstm,
    "layer norm and softmax, 4096×1024": _norm,
}

# Functions of one array of a million numbers ------------------------------------------------------


def _gelu(n: Any, x: Any) -> Any:
    return n.gelu(x) * x


def _chain(n: Any, x: Any) -> Any:
    for rate in (0.3, 0.2, 0.1):
        x = n.tanh(x * rate + 0.5) - x
    return x


ELEMENTWISE = {"gelu(x)·x, 10⁶": _gelu, "12 elementwise operations, 10⁶": _chain}

# Implementations ----------------------------------------------------------------------------------


def _cases(implementation: str) -> list[Case]:
    n = _NAMESPACES[implementation]()
    training = [Case(name, partial(_trainer, n, build)) for name, build in TRAINING.items()]
    return training + [Case(name, partial(_mapper, n, f)) for name, f in ELEMENTWISE.items()]


def _trainer(n: Any, build: Callable[[Any], Any]) -> Callable[[], Any]:
    params, loss = build(n)
    return n.trainer(params, loss)  # type: ignore[no-any-return]  # of a namespace


def _mapper(n: Any, function: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    x = n.asarray(10 * _draw()(10**6))
    compiled = n.compiled(partial(function, n))
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
        compiled=partial(compiled, volta),
        conv=functional.conv2d,
        cross_entropy=functional.cross_entropy,
        gelu=functional.gelu,
        layer_norm=lambda x, w, b: functional.layer_norm(x, (1024,), w, b),
        max_pool=lambda x: functional.max_pool2d(x, 2),
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
        compiled=lambda call: call,
        conv=f.conv2d,
        cross_entropy=f.cross_entropy,
        gelu=f.gelu,
        layer_norm=lambda x, w, b: f.layer_norm(x, (1024,), w, b),
        max_pool=lambda x: f.max_pool2d(x, 2),
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

    def conv(x: Any, w: Any, b: Any) -> Any:
        out = lax.conv_general_dilated(x, w, (1, 1), "VALID")
        return out + b[:, None, None]

    def cross_entropy(logits: Any, labels: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def layer_norm(x: Any, w: Any, b: Any) -> Any:
        return jax.nn.standardize(x, axis=-1, epsilon=1e-5) * w + b

    n = SimpleNamespace(
        asarray=jnp.asarray,
        compiled=jax.jit,
        conv=conv,
        cross_entropy=cross_entropy,
        gelu=partial(jax.nn.gelu, approximate=False),
        layer_norm=layer_norm,
        max_pool=lambda x: lax.reduce_window(
            x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"
        ),
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
    for case in (*TRAINING, *ELEMENTWISE):
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
    case_names=(*TRAINING, *ELEMENTWISE),
    cases=_cases,
    budgets=_budgets,
)
