"""The computations of group ``wgpu`` as functions of a namespace, from the same numbers everywhere.

A namespace (`benchmarks.gpu.libraries`) has operations; ``asarray``; ``compiled(function)``, whose
calls do not wait, and ``wait()``, which returns once the device is done; and
``trainer(loss, params)``, a callable that takes a step of gradient descent and returns the loss.
Some calls are made, then waited for together: Deno tells some 10 ms late that a device is done.
``jax.mjs`` says the same in JavaScript.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from benchmarks.harness import Case

RATE = 0.05  # of gradient descent
LAUNCHES = 64  # kernels of which none can be part of another
CALLS = {"matmul 1024": 4, "matmul 2048": 2, "lenet, 64×28²": 4}  # waited for together
_CALLS = 16  # of other cases
_SIDE = 16  # of the matrices that they multiply
_MIXED = 0x7FEB352D, 0x846CA68B  # Wellons, 2018, "lowbias32" (github.com/skeeto/hash-prospector)


def numbers(shape: tuple[int, ...], seed: int) -> Any:
    """Numbers from 0 to 1, which JavaScript draws as well."""
    import numpy as np

    count = 1
    for n in shape:
        count *= n
    x = np.arange(count, dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
    for factor in _MIXED:
        x = (x ^ (x >> 16 if factor == _MIXED[0] else x >> 15)) * np.uint32(factor)
    x = x ^ (x >> 16)
    return ((x >> 8).astype(np.float32) * np.float32(2**-24)).reshape(shape)


def weights(shape: tuple[int, ...], inputs: int, seed: int) -> Any:
    """Weights of a layer with so many inputs to an output."""
    return (numbers(shape, seed) - 0.5) * (3 / inputs**0.5)


def labels(batch: int) -> Any:
    """Classes 0, 1, … of ten as rows of an identity matrix."""
    import numpy as np

    return np.eye(10, dtype=np.float32)[np.arange(batch) % 10]


class Problem(NamedTuple):
    """A function of arrays.

    Attributes
    ----------
    function : callable
        Of a namespace and arrays.
    shapes : tuple of tuple of int
        Of the arrays.
    operations : float
        Multiplications and additions that nobody can leave out.
    """

    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    operations: float


class Model(NamedTuple):
    """A classifier that is trained.

    Attributes
    ----------
    logits : callable
        Of a namespace, an input and parameters.
    input : tuple of int
    layers : tuple of tuple
        Shape of the weight and number of outputs of each; the bias has these.
    operations : float
        Multiplications and additions of the products of a step.
    """

    logits: Callable[..., Any]
    input: tuple[int, ...]
    layers: tuple[tuple[tuple[int, ...], int], ...]
    operations: float

    def parameters(self) -> list[Any]:
        """Weight and bias of each layer."""
        found = []
        for k, (shape, outputs) in enumerate(self.layers):
            inputs = shape[0] if len(shape) == 2 else shape[1] * shape[2] * shape[3]
            found.append(weights(shape, inputs, 2 * k + 1))
            found.append(weights((outputs,), inputs, 2 * k + 2))
        return found


def _chain(n: Any, x: Any) -> Any:
    return n.exp(n.tanh(x * 0.5 + 0.25) * x) - x


def _products(n: Any, h: Any, w: Any) -> Any:
    for _ in range(LAUNCHES):
        h = n.matmul(h, w)
    return h


def _mlp(n: Any, x: Any, params: Any) -> Any:
    for i in range(0, len(params) - 2, 2):
        x = n.relu(n.matmul(x, params[i]) + params[i + 1])
    return n.matmul(x, params[-2]) + params[-1]


def _lenet(n: Any, x: Any, params: Any) -> Any:
    w1, b1, w2, b2, *rest = params
    h = n.max_pool(n.relu(n.conv(x, w1, b1, 2)))
    h = n.max_pool(n.relu(n.conv(h, w2, b2, 0)))
    return _mlp(n, n.reshape(h, (x.shape[0], 400)), rest)


def _square(side: int) -> Problem:
    shape = side, side
    return Problem(lambda n, x, y: n.matmul(x, y), (shape, shape), 2.0 * side**3)


def _dense(batch: int, *widths: int) -> Model:
    layers = tuple(((i, o), o) for i, o in pairwise(widths))
    first, *others = (2.0 * batch * i * o for i, o in pairwise(widths))
    return Model(_mlp, (batch, widths[0]), layers, 2 * first + 3 * sum(others))


_TABLE = 1024, 1024
PROBLEMS = {
    **{f"matmul {side}": _square(side) for side in (256, 512, 1024, 2048)},
    "6 elementwise operations, 10⁶": Problem(_chain, ((10**6,),), 6e6),
    "sum, 10⁶": Problem(lambda n, x: n.sum(x, None), ((10**6,),), 1e6),
    "sums of rows, 1024×1024": Problem(lambda n, x: n.sum(x, 1), (_TABLE,), 2.0**20),
    "sums of columns, 1024×1024": Problem(lambda n, x: n.sum(x, 0), (_TABLE,), 2.0**20),
    "softmax, 1024×1024": Problem(lambda n, x: n.softmax(x), (_TABLE,), 4 * 2.0**20),
}
_CONVOLUTIONS = ((6, 1, 5, 5), 6), ((16, 6, 5, 5), 16)
_HEAD = _dense(64, 400, 120, 84, 10)
MODELS = {
    "mlp 64-128-10, batch 64": _dense(64, 64, 128, 10),
    "mlp 784-128-10, batch 64": _dense(64, 784, 128, 10),
    "lenet, 64×28²": Model(
        _lenet,
        (64, 1, 28, 28),
        (*_CONVOLUTIONS, *_HEAD.layers),
        _HEAD.operations + 2.0 * 64 * 400 * 120 + 2.0 * 64 * (2 * 6 * 25 * 784 + 3 * 2400 * 100),
    ),
}
WHOLE = f"one of {LAUNCHES} kernels, replayed"
HOST = "what of it the host takes"
NAMES = (*PROBLEMS, *MODELS, WHOLE, HOST)


def cases(n: Any) -> list[Case]:
    """The cases as a namespace computes them."""
    found = [_case(n, name, partial(_call, n, p)) for name, p in PROBLEMS.items()]
    found += [_case(n, name, partial(_trainer, n, m)) for name, m in MODELS.items()]
    found += [_case(n, WHOLE, partial(_replayed, n), LAUNCHES)]
    return [*found, Case(HOST, lambda: partial(host, n), direct=True)]


def _case(n: Any, name: str, setup: Callable[[], Callable[[], Any]], parts: int = 1) -> Case:
    """Some calls in a row of what is set up, each of which has parts, and a wait."""
    calls = CALLS.get(name, _CALLS)

    def prepared() -> Callable[[], Any]:
        call = setup()

        def together() -> Any:
            for _ in range(calls):
                out = call()
            n.wait()
            return out

        return together

    return Case(name, prepared, count=calls * parts, check=squares)


def squares(result: Any) -> float:
    """Sum of the squares of an array's elements."""
    import numpy as np

    x = np.asarray(result.numpy() if hasattr(result, "numpy") else result, dtype=np.float64)
    return float((x * x).sum())


def _call(n: Any, problem: Problem) -> Callable[[], Any]:
    arrays = [n.asarray(numbers(shape, k + 1)) for k, shape in enumerate(problem.shapes)]
    compiled = n.compiled(partial(problem.function, n))
    return lambda: compiled(*arrays)


def _trainer(n: Any, model: Model) -> Callable[[], Any]:
    x, y = n.asarray(numbers(model.input, 99)), n.asarray(labels(model.input[0]))

    def loss(params: Any) -> Any:
        chosen = n.sum(n.log_softmax(model.logits(n, x, params)) * y, None)
        return chosen * (-1 / model.input[0])

    call: Callable[[], Any] = n.trainer(loss, [n.asarray(p) for p in model.parameters()])
    return call


def _replay_arrays(n: Any) -> list[Any]:
    shape = _SIDE, _SIDE
    return [n.asarray(numbers(shape, 1)), n.asarray(weights(shape, _SIDE - 2, 2))]


def _replayed(n: Any) -> Callable[[], Any]:
    arrays = _replay_arrays(n)
    compiled = n.compiled(partial(_products, n))
    return lambda: compiled(*arrays)


def host(n: Any, repeats: int = 50) -> float:
    """Seconds that a launch takes the host, when the device has nothing to do before."""
    arrays = _replay_arrays(n)
    compiled = n.compiled(partial(_products, n))
    best = float("inf")
    for _ in range(repeats):
        n.wait()
        start = time.perf_counter()
        out = compiled(*arrays)
        best = min(best, time.perf_counter() - start)
        n.wait()
        del out
    return best / LAUNCHES
