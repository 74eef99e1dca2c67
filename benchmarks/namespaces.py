"""Libraries under one set of names, those that `models` is written in.

Beside operations a namespace has ``asarray``, and ``parameter``, which makes an array that
``value_and_grad(loss)`` may be given; ``compiled(function, *args)``, what the library makes of a
function that will be called with arguments like these; ``run(function, *args)``, which waits for
the results; and ``training_step(params, loss)``, a pure function ``update(params, state)`` that
returns both after one step of Adam, and the loss, with what it starts from. Libraries whose users
give the old parameters and state away have ``donating``, which compiles such a step. Torch without
a compiler trains with an optimizer that writes to the parameters: ``trainer``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from benchmarks import training


def trainer(n: Any, params: Any, loss: Any) -> Callable[[], Any]:
    """Return a callable that takes one step of a run."""
    if hasattr(n, "trainer"):
        return n.trainer(params, loss)  # type: ignore[no-any-return]  # of a namespace
    update, *start = n.training_step(params, loss)
    if not hasattr(n, "donating"):
        return training.trainer(partial(n.run, n.compiled(update, *start)), *start)
    return training.trainer(partial(n.run, n.donating(update, *start)), *start, _copied)


def _copied(tree: Any) -> Any:
    """Return the arrays of a tree, of a library that has trees of its own, anew."""
    import optree

    return optree.tree_map(lambda x: x.copy(), tree)


def plain(call: Callable[..., Any], *_: Any) -> Callable[..., Any]:
    """Compile nothing."""
    return call


def _call(call: Callable[..., Any], *args: Any) -> Any:
    return call(*args)


# Volta, torch, JAX --------------------------------------------------------------------------------


def volta_eager(compiled: Callable[..., Any] = plain) -> Any:
    from volta import functional, hvp, optim, value_and_grad

    add, matmul = functional.add, functional.matmul  # operators of NumPy's arrays are NumPy's

    n = SimpleNamespace(
        asarray=lambda x: x,
        attention=functional.scaled_dot_product_attention,
        batch_norm=lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True)[0],
        compiled=compiled,
        conv=lambda x, w, b, padding=0: functional.conv2d(x, w, b, padding=padding),
        cross_entropy=functional.cross_entropy,
        gelu=functional.gelu,
        hvp=lambda loss: lambda params: hvp(loss, (params,), (params,))[1],
        layer_norm=lambda x, w, b: functional.layer_norm(x, w.shape, w, b),
        linear=lambda x, w, b: add(matmul(x, w), b),
        max_pool=functional.max_pool2d,
        mean=lambda x, axis=None: functional.mean(x, axis=axis),
        ones=functional.ones,
        parameter=lambda p: p,
        permute_dims=functional.permute_dims,
        relu=functional.relu,
        reshape=functional.reshape,
        run=_call,
        sigmoid=functional.sigmoid,
        softmax=functional.softmax,
        sum=functional.sum,
        tanh=functional.tanh,
        value_and_grad=value_and_grad,
    )
    n.training_step = _functional(optim.adam(training.RATE), optim.apply_updates, n)
    return n


def volta_jit(backend: str | None = None) -> Any:
    def compiled(call: Callable[..., Any], *_: Any, **options: Any) -> Callable[..., Any]:
        from volta import jit

        return jit(call, backend=backend, **options)

    n = volta_eager(compiled)
    n.donating = partial(compiled, donate_argnums=(0, 1))
    return n


def torch_eager(compiled: Callable[..., Any] = plain) -> Any:
    import torch

    f = torch.nn.functional

    def value_and_grad(loss: Any) -> Any:
        def call(params: Any, *args: Any) -> Any:
            value = loss(params, *args)
            return value, torch.autograd.grad(value, params)

        return call

    return SimpleNamespace(
        asarray=torch.from_numpy,
        attention=f.scaled_dot_product_attention,
        batch_norm=lambda x, w, b: f.batch_norm(x, None, None, w, b, training=True),
        compiled=compiled,
        conv=lambda x, w, b, padding=0: f.conv2d(x, w, b, padding=padding),
        cross_entropy=f.cross_entropy,
        gelu=f.gelu,
        hvp=lambda loss: lambda p: torch.func.jvp(torch.func.grad(loss), (p,), (p,))[1],
        layer_norm=lambda x, w, b: f.layer_norm(x, w.shape, w, b),
        linear=lambda x, w, b: torch.addmm(b, x, w),
        max_pool=f.max_pool2d,
        mean=torch.mean,
        ones=torch.ones,
        parameter=lambda p: torch.from_numpy(p).requires_grad_(),
        permute_dims=torch.permute,
        relu=torch.relu,
        reshape=torch.reshape,
        run=_call,
        sigmoid=torch.sigmoid,
        softmax=lambda x: torch.softmax(x, -1),
        sum=torch.sum,
        tanh=torch.tanh,
        trainer=training.torch_trainer,
        value_and_grad=value_and_grad,
    )


def torch_compile() -> Any:
    """A step is one graph: the gradient by `torch.func`, and Adam written out."""
    import torch

    def training_step(params: Any, loss: Any) -> tuple[Any, Any, Any]:
        params = [*map(torch.from_numpy, params)]
        gradient = torch.func.grad_and_value(loss)

        def update(params: Any, state: Any) -> tuple[Any, Any, Any]:
            grads, value = gradient(params)
            return *training.adam(torch.sqrt, params, grads, *state), value

        # A number in place of this scalar would be part of the graph, and each step another graph.
        count = torch.zeros((), dtype=torch.float64)
        zeros = [torch.zeros_like(p) for p in params]
        return update, params, (count, zeros, zeros)

    n = torch_eager(_inductor)
    del n.trainer
    n.training_step = training_step
    return n


def torch_compile_loss() -> Any:
    """The loss is compiled, and what ``backward`` of it runs; Adam is torch's fused one.

    As torch's documentation trains. Small models spend most of their time between the graphs.
    """
    n = torch_eager(_inductor)
    n.trainer = lambda params, loss: training.torch_trainer(params, _inductor(loss), fused=True)
    return n


def _inductor(call: Callable[..., Any], *_: Any) -> Callable[..., Any]:
    import torch

    torch._dynamo.reset()  # all cases share `update`, which it compiles eight times at most
    return torch.compile(call, fullgraph=True)  # type: ignore[no-any-return]  # untyped


def jax_eager(compiled: Callable[..., Any] = plain) -> Any:
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

    def max_pool(x: Any, size: int, stride: int | None = None) -> Any:
        strides = (1, 1, stride or size, stride or size)
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, size, size), strides, "VALID")

    n = SimpleNamespace(
        asarray=jnp.asarray,
        attention=attention,
        batch_norm=batch_norm,
        compiled=compiled,
        conv=conv,
        cross_entropy=cross_entropy,
        gelu=partial(jax.nn.gelu, approximate=False),
        hvp=lambda loss: lambda p: jax.jvp(jax.grad(loss), (p,), (p,))[1],
        layer_norm=layer_norm,
        linear=lambda x, w, b: x @ w + b,
        max_pool=max_pool,
        mean=jnp.mean,
        ones=jnp.ones,
        parameter=jnp.asarray,
        permute_dims=jnp.transpose,
        relu=jax.nn.relu,
        reshape=jnp.reshape,
        run=lambda call, *args: jax.block_until_ready(call(*args)),
        sigmoid=jax.nn.sigmoid,
        softmax=jax.nn.softmax,
        sum=jnp.sum,
        tanh=jnp.tanh,
        value_and_grad=jax.value_and_grad,
    )
    n.training_step = _functional(optax.adam(training.RATE), optax.apply_updates, n)
    return n


def jax_jit() -> Any:
    import jax

    n = jax_eager(lambda call, *_: jax.jit(call))
    n.donating = lambda update, *_: jax.jit(update, donate_argnums=(0, 1))
    return n


def _functional(optimizer: Any, apply: Any, n: Any) -> Any:
    """``training_step`` of a library whose optimizers are pure functions."""

    def training_step(params: Any, loss: Any) -> tuple[Any, Any, Any]:
        params = [*map(n.asarray, params)]
        value_and_grad = n.value_and_grad(loss)

        def update(params: Any, state: Any) -> tuple[Any, Any, Any]:
            value, grads = value_and_grad(params)
            updates, state = optimizer.update(grads, state, params)
            return apply(params, updates), state, value

        return update, params, optimizer.init(params)

    return training_step


# HIPS autograd ------------------------------------------------------------------------------------


def hips_autograd() -> Any:
    import autograd
    import autograd.numpy as np
    import numpy
    from autograd.scipy.special import erf

    half, root = numpy.float32(0.5), numpy.float32(0.5**0.5)

    def standardized(x: Any, axis: Any) -> Any:
        d = x - np.mean(x, axis=axis, keepdims=True)
        return d / np.sqrt(np.mean(d * d, axis=axis, keepdims=True) + numpy.float32(1e-5))

    def batch_norm(x: Any, w: Any, b: Any) -> Any:
        return standardized(x, (0, 2, 3)) * w[:, None, None] + b[:, None, None]

    def conv(x: Any, w: Any, b: Any, padding: int = 0) -> Any:
        """Products of shifted images, ten times as fast as `autograd.scipy.signal.convolve`."""
        if padding:
            x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), "constant")
        (batch, inputs, height, width), kernel = x.shape, w.shape[-1]
        rows, columns = height - kernel + 1, width - kernel + 1
        out = 0 if b is None else b[:, None]
        for i, j in numpy.ndindex(kernel, kernel):
            shifted = x[:, :, i : i + rows, j : j + columns]
            out = out + w[:, :, i, j] @ np.reshape(shifted, (batch, inputs, rows * columns))
        return np.reshape(out, (batch, w.shape[0], rows, columns))

    def max_pool(x: Any, size: int) -> Any:
        batch, channels, height, width = x.shape
        rows, columns = height // size, width // size
        x = x[:, :, : size * rows, : size * columns]
        return np.max(np.reshape(x, (batch, channels, rows, size, columns, size)), axis=(3, 5))

    def softmax(x: Any) -> Any:
        e = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return e / np.sum(e, axis=-1, keepdims=True)

    def training_step(params: Any, loss: Any) -> tuple[Any, Any, Any]:
        gradient = autograd.value_and_grad(loss)

        def update(params: Any, state: Any) -> tuple[Any, Any, Any]:
            value, grads = gradient(params)
            return *training.adam(numpy.sqrt, params, grads, *state), value

        zeros = [numpy.zeros_like(p) for p in params]
        return update, params, (0, zeros, zeros)

    return SimpleNamespace(
        asarray=lambda x: x,
        attention=lambda q, k, v: (
            softmax(q @ np.swapaxes(k, -1, -2) * numpy.float32(q.shape[-1] ** -0.5)) @ v
        ),
        batch_norm=batch_norm,
        compiled=plain,
        conv=conv,
        cross_entropy=hips_cross_entropy,
        gelu=lambda x: half * x * (1 + erf(x * root)),
        hvp=lambda loss: lambda p: autograd.make_vjp(autograd.grad(loss))(p)[0](p),
        layer_norm=lambda x, w, b: standardized(x, -1) * w + b,
        max_pool=max_pool,
        mean=np.mean,
        ones=partial(numpy.ones, dtype=numpy.float32),
        permute_dims=np.transpose,
        relu=partial(np.maximum, numpy.float32(0)),
        reshape=np.reshape,
        run=_call,
        sigmoid=lambda x: half * (np.tanh(half * x) + 1),
        softmax=softmax,
        sum=np.sum,
        tanh=np.tanh,
        training_step=training_step,
    )


def hips_cross_entropy(logits: Any, labels: Any) -> Any:
    import autograd.numpy as np
    import numpy

    chosen = numpy.eye(logits.shape[1], dtype=numpy.float32)[labels]
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    totals = np.log(np.sum(np.exp(shifted), axis=1))
    return np.mean(totals - np.sum(shifted * chosen, axis=1))


# ONNX Runtime -------------------------------------------------------------------------------------


def onnx_runtime() -> Any:
    """Functions of one array: written for torch, and exported by it."""
    n = torch_eager(_session)
    del n.trainer, n.hvp
    return n


def _session(call: Callable[..., Any], x: Any) -> Callable[..., Any]:
    import onnxruntime
    import torch

    class Model(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return call(x)

    program = torch.onnx.export(Model().eval(), (x,), dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()  # which read no variable; 0 is the default
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (name,) = (given.name for given in session.get_inputs())
    return lambda x: session.run(None, {name: x.numpy()})[0]
