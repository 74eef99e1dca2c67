"""``import``: the wait before the first gradient, in a fresh interpreter.

Each measurement is a new ``python -c`` that times its own imports, so that the interpreter's start
is left out and nothing is imported beforehand. Bytecode files are used and written, as in any
installation; the first round warms them and the disk cache. The budget is on Volta's imports and
first ``grad`` on NumPy arrays, over ``import numpy``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial

from benchmarks.harness import Budget, Case, Group, Values

LIMIT = 80.0  # ms over import numpy
_NAMES = ("import", "import + first grad", "import + first jit")
_SCRIPTS: dict[str, tuple[str | None, ...]] = {
    "volta": (
        "import numpy, volta, volta.functional as F",
        "volta.grad(lambda x: F.sum(x * x))(numpy.ones(3))",
        "volta.jit(lambda x: F.exp(x) * 2)(numpy.ones(3))",
    ),
    "numpy": ("import numpy", None, None),
    "autograd": (
        "import autograd, autograd.numpy as np",
        "autograd.grad(lambda x: np.sum(x * x))(np.ones(3))",
        None,
    ),
    "torch": (
        "import torch",
        "x = torch.ones(3, requires_grad=True); torch.sum(x * x).backward()",
        None,
    ),
    "jax": (
        "import jax, jax.numpy as jnp",
        "jax.grad(lambda x: jnp.sum(x * x))(jnp.ones(3)).block_until_ready()",
        "jax.jit(lambda x: jnp.exp(x) * 2)(jnp.ones(3)).block_until_ready()",
    ),
}


def _cases(implementation: str) -> list[Case]:
    imports, *firsts = _SCRIPTS[implementation]
    scripts = [imports, *(first and f"{imports}\n{first}" for first in firsts)]
    return [
        Case(name, partial(_timed, script), direct=True)
        for name, script in zip(_NAMES, scripts, strict=True)
        if script
    ]


def _timed(script: str) -> Callable[[], float]:
    program = f"import time\nt = time.perf_counter()\n{script}\nprint(time.perf_counter() - t)"

    def run() -> float:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return float(done.stdout)

    return run


def _budgets(values: Values) -> list[Budget]:
    ours, numpy = ("import + first grad", "volta"), ("import", "numpy")
    if ours not in values or numpy not in values:
        return []
    added = values[ours] - values[numpy]
    return [Budget("import volta and first grad, above import numpy", added, LIMIT, "ms")]


GROUP = Group(
    name="import",
    title="imports and first gradient in a fresh interpreter",
    unit="ms",
    scale=1e3,
    implementations={
        "volta": ("volta",),
        "numpy": ("numpy",),
        "autograd": ("autograd",),
        "torch": ("torch",),
        "jax": ("jax",),
    },
    case_names=_NAMES,
    cases=_cases,
    budgets=_budgets,
    rounds=15,
    environment={"PYTHONDONTWRITEBYTECODE": ""},
)
