"""``memory``: the peak that a gradient adds to the process, which is what its list keeps.

Every case has a fresh process. After one gradient as warm-up (it leaves BLAS its work space), the
kernel's high-water mark of resident memory is reset (``/proc/self/clear_refs``, Linux), the
gradient taken again, and the mark read: the number is the mark less what was resident before. The
same counter for every library, so no allocator is asked about itself. The C library is told to
give large blocks back at once, and NumPy not to ask for huge pages, so that the mark follows what
is alive.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.harness import Budget, Case, Group, Values

RATIO = 1.2  # times torch's peak
WIDTHS = (784, 512, 512, 10)
Program = tuple[Callable[[int], list[Any]], Callable[[Any, list[Any]], Any], int]
# (scale → operands, the differentiated ones first and float), (namespace, operands) → loss, scale


def _mlp_operands(batch: int) -> list[Any]:
    import numpy as np

    random = np.random.default_rng(0)
    operands = []
    for inputs, outputs in pairwise(WIDTHS):
        operands.append(random.normal(scale=0.05, size=(inputs, outputs)).astype(np.float32))
    operands += [np.zeros(outputs, dtype=np.float32) for outputs in WIDTHS[1:]]
    x = random.normal(size=(batch, WIDTHS[0])).astype(np.float32)
    return [operands, x, random.integers(0, WIDTHS[-1], size=batch)]


def _mlp(n: Any, params: Any, x: Any, y: Any) -> Any:
    weights, biases = params[:3], params[3:]
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = n.relu(x @ weight + bias)
    return n.cross_entropy(x @ weights[-1] + biases[-1], y)


def _chain_operands(size: int) -> list[Any]:
    import numpy as np

    random = np.random.default_rng(0)
    x, factor = random.uniform(0.1, 1.0, size=(2, size)).astype(np.float32)
    return [[x], factor]


def _chain(n: Any, params: Any, factor: Any) -> Any:
    (x,) = params
    for i in range(50):
        x = (n.tanh, n.exp, lambda x: x * factor)[i % 3](x)
    return n.sum(x)


def _cross_entropy_operands(rows: int) -> list[Any]:
    import numpy as np

    random = np.random.default_rng(0)
    logits = random.normal(size=(rows, 1000)).astype(np.float32)
    return [[logits], random.integers(0, 1000, size=rows)]


def _cross_entropy(n: Any, params: Any, y: Any) -> Any:
    return n.cross_entropy(params[0], y)


PROGRAMS = {
    "MLP 784-512-512-10, batch 512": (_mlp_operands, _mlp, 512),
    "tanh, exp, multiply: 50 on 10⁶": (_chain_operands, _chain, 10**6),
    "cross-entropy of 4096×1000": (_cross_entropy_operands, _cross_entropy, 4096),
}


def _cases(implementation: str) -> list[Case]:
    gradient = _GRADIENTS[implementation]
    return [
        Case(name, partial(_peak, gradient, *program), direct=True)
        for name, program in PROGRAMS.items()
    ]


def _peak(
    gradient: Callable[..., Callable[[], Any]],
    operands: Callable[[int], list[Any]],
    program: Callable[..., Any],
    scale: int,
) -> Callable[[], float]:
    gradient(program, *operands(scale))()
    run = gradient(program, *operands(scale))

    def measure() -> float:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        grads = run()
        peak = _status("VmHWM")
        del grads
        return float(peak - before)

    return measure


def _status(key: str) -> int:
    """Return a line of the process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(key)


def _volta(program: Callable[..., Any], params: Any, *rest: Any) -> Callable[[], Any]:
    import volta
    from volta import functional

    return partial(volta.grad(lambda params: program(functional, params, *rest)), params)


def _autograd(program: Callable[..., Any], params: Any, *rest: Any) -> Callable[[], Any]:
    from types import SimpleNamespace

    import autograd
    import autograd.numpy as np
    import numpy

    def cross_entropy(logits: Any, y: Any) -> Any:
        shifted = logits - np.max(logits, axis=1, keepdims=True)
        chosen = shifted[numpy.arange(len(y)), y]
        return np.mean(np.log(np.sum(np.exp(shifted), axis=1)) - chosen)

    namespace = SimpleNamespace(
        relu=lambda x: np.maximum(x, numpy.float32(0)),
        cross_entropy=cross_entropy,
        tanh=np.tanh,
        exp=np.exp,
        sum=np.sum,
    )
    return partial(autograd.grad(lambda params: program(namespace, params, *rest)), params)


def _torch(program: Callable[..., Any], params: Any, *rest: Any) -> Callable[[], Any]:
    from types import SimpleNamespace

    import torch

    weights = [torch.from_numpy(p).requires_grad_() for p in params]
    constants = [torch.from_numpy(value) for value in rest]
    namespace = SimpleNamespace(
        relu=torch.relu,
        cross_entropy=torch.nn.functional.cross_entropy,
        tanh=torch.tanh,
        exp=torch.exp,
        sum=torch.sum,
    )
    return lambda: torch.autograd.grad(program(namespace, weights, *constants), weights)


def _volta_torch(program: Callable[..., Any], params: Any, *rest: Any) -> Callable[[], Any]:
    import torch

    return _volta(program, [*map(torch.from_numpy, params)], *map(torch.from_numpy, rest))


def _budgets(values: Values) -> list[Budget]:
    budgets = []
    for ours in ("volta", "volta-torch"):
        for name in PROGRAMS:
            if (name, ours) in values and (name, "torch") in values:
                ratio = values[name, ours] / values[name, "torch"]
                budgets.append(Budget(f"{name}: {ours} over torch", ratio, RATIO, "×"))
    return budgets


_GRADIENTS = {
    "volta": _volta,
    "volta-torch": _volta_torch,
    "autograd": _autograd,
    "torch": _torch,
}

GROUP = Group(
    name="memory",
    title="peak memory that one gradient adds to the process",
    unit="MB",
    scale=1e-6,
    implementations={
        "volta": ("volta",),
        "volta-torch": ("volta", "torch"),
        "autograd": ("autograd",),
        "torch": ("torch",),
    },
    case_names=tuple(PROGRAMS),
    cases=_cases,
    budgets=_budgets,
    isolate=True,
    rounds=3,
    environment={
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "65536",
        "NUMPY_MADVISE_HUGEPAGE": "0",
    },
)
