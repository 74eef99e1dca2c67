"""``ops``: what one operation costs on raw arrays, with nothing traced, 8 by 8 float32.

The budget is the cost that ``volta.functional`` adds to the library's own call. Both are called
through ``functools.partial``, which costs the same everywhere.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from benchmarks.harness import Budget, Case, Group, Values

LIMIT = 0.5  # µs above the raw call
NAMES = ("exp", "negative", "add", "multiply", "matmul", "sum", "reshape", "getitem")
Setups = Mapping[str, Callable[[], Callable[[], Any]]]


def _cases(implementation: str) -> list[Case]:
    setups = _BUILDERS[implementation]()
    return [Case(name, setups[name]) for name in NAMES]


def _operands() -> tuple[Any, Any]:
    import numpy as np

    random = np.random.default_rng(0)
    x, y = random.uniform(0.5, 1.5, size=(2, 8, 8)).astype(np.float32)
    return x, y


def _setups(n: Any, x: Any, y: Any) -> Setups:
    """Bind the functions, which the libraries name alike, to their operands."""
    return {
        "exp": lambda: partial(n.exp, x),
        "negative": lambda: partial(n.negative, x),
        "add": lambda: partial(n.add, x, y),
        "multiply": lambda: partial(n.multiply, x, y),
        "matmul": lambda: partial(n.matmul, x, y),
        "sum": lambda: partial(n.sum, x, axis=0),
        "reshape": lambda: partial(n.reshape, x, (4, 16)),
        "getitem": lambda: partial(operator.getitem, x, slice(2, 6)),
    }


def _numpy() -> Setups:
    import numpy as np

    return _setups(np, *_operands())


def _volta() -> Setups:
    from volta import functional

    return _setups(functional, *_operands())


def _torch_operands() -> tuple[Any, Any]:
    import torch

    x, y = _operands()
    return torch.from_numpy(x), torch.from_numpy(y)


def _torch() -> Setups:
    import torch

    return _setups(torch, *_torch_operands())


def _volta_torch() -> Setups:
    from volta import functional

    return _setups(functional, *_torch_operands())


def _jax() -> Setups:
    import jax.numpy as jnp

    setups = _setups(jnp, *map(jnp.asarray, _operands()))
    return {name: partial(_finished, setup) for name, setup in setups.items()}


def _finished(setup: Callable[[], Callable[[], Any]]) -> Callable[[], Any]:
    """Wait for each result: JAX returns before it is computed."""
    call = setup()
    return lambda: call().block_until_ready()


def _budgets(values: Values) -> list[Budget]:
    budgets = []
    for ours, raw in (("volta", "numpy"), ("volta-torch", "torch")):
        for name in NAMES:
            if (name, ours) in values and (name, raw) in values:
                added = values[name, ours] - values[name, raw]
                budgets.append(Budget(f"{name}: {ours} above {raw}", added, LIMIT, "µs"))
    return budgets


_BUILDERS = {
    "volta": _volta,
    "numpy": _numpy,
    "volta-torch": _volta_torch,
    "torch": _torch,
    "jax": _jax,
}

GROUP = Group(
    name="ops",
    title="one operation on 8×8 float32, nothing traced",
    unit="µs",
    scale=1e6,
    implementations={
        "volta": ("volta",),
        "numpy": ("numpy",),
        "volta-torch": ("volta", "torch"),
        "torch": ("torch",),
        "jax": ("jax",),
    },
    case_names=NAMES,
    cases=_cases,
    budgets=_budgets,
)
