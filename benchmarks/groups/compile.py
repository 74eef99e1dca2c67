"""``compile``: the wait for the first call of every case of group ``jit``, in a fresh process.

A process imports the library and makes the arrays, and is timed from `jit` to the results. That a
library loads its compiler is part of its import, as it is for JAX, and group ``import`` measures
that. Caches on the disk are empty folders; torch's then lacks the headers, too, that it compiles
once for each machine. ``volta-disk`` is the second such process, which finds what the first has
left. ``volta-staged`` stages alone, `jit(f).lower(...)`, and ``volta-later`` is the second call.
The rest of a first one is compiling, or reading what was, and has a budget from the disk.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import namespaces
from benchmarks.groups import jit
from benchmarks.harness import ROOT, Budget, Case, Group, Values
from benchmarks.models import FUNCTIONS, TRAINING, argument

CASES = (*TRAINING, *FUNCTIONS)
LIMIT = 50.0  # ms for what is neither staging nor a later call, from the disk
_PROGRAM = "import sys, benchmarks.groups.compile as c; print(c.first_call(*sys.argv[1:]))"


def first_call(implementation: str, case: str) -> float:
    """Seconds that the first call of a case takes in this process; of volta-later, the second."""
    n = _NAMESPACES[implementation]()
    call, *args = _prepared(n, case)
    if "volta" in sys.modules:
        _load_compiler()
    start = time.perf_counter()
    compiled = n.compiled(call, *args)
    n.run(compiled, *args)
    if implementation == "volta-later":
        start = time.perf_counter()
        n.run(compiled, *args)
    return time.perf_counter() - start


def _load_compiler() -> None:
    """Import what Volta imports when `jit` is first named and used."""
    import volta
    from volta.compile.native import llvm

    _ = volta.jit
    if llvm.available():
        llvm.conditions()


def _prepared(n: Any, case: str) -> tuple[Any, ...]:
    """Return the function of a case and its arguments."""
    if case in TRAINING:
        return n.training_step(*TRAINING[case](n))  # type: ignore[no-any-return]  # of a namespace
    build, shape = FUNCTIONS[case]
    return build(n), argument(n, shape)


def _staged() -> Any:
    n = namespaces.volta_jit()
    jitted = n.compiled
    n.compiled = lambda call, *args: jitted(call).lower(*args)
    n.run = lambda lowered, *args: lowered
    return n


_NAMESPACES: dict[str, Callable[[], Any]] = {
    "volta": namespaces.volta_jit,
    "volta-disk": namespaces.volta_jit,
    "volta-staged": _staged,
    "volta-later": namespaces.volta_jit,
    "torch-compile": namespaces.torch_compile,
    "jax": namespaces.jax_jit,
}


def _measurement(implementation: str, case: str) -> Callable[[], float]:
    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            if implementation == "volta-disk":
                _process(implementation, case, folder)
            return _process(implementation, case, folder)

    return run


def _process(implementation: str, case: str, folder: str) -> float:
    caches = {
        "VOLTA_CACHE": folder,
        "TORCHINDUCTOR_CACHE_DIR": folder,
        "JAX_ENABLE_COMPILATION_CACHE": "false",
    }
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, implementation, case],
        cwd=ROOT,
        env={**os.environ, **caches},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return float(done.stdout.splitlines()[-1])


def _budgets(values: Values) -> list[Budget]:
    found = []
    for case in CASES:
        cold, jax = values.get((case, "volta")), values.get((case, "jax"))
        if cold is not None and jax is not None:
            found.append(Budget(f"{case}: volta over jax", cold / jax, 1.0, ""))
        parts = [values.get((case, f"volta-{part}")) for part in ("disk", "staged", "later")]
        if None not in parts:
            disk, staged, later = parts
            left = disk - staged - later
            found.append(
                Budget(f"{case}: volta-disk but for staging and a call", left, LIMIT, "ms")
            )
    return found


GROUP = Group(
    name="compile",
    title="first call in a fresh process, what is compiled for it included, float32",
    unit="ms",
    scale=1e3,
    implementations={
        "volta": ("volta",),
        "volta-disk": ("volta",),
        "volta-staged": ("volta",),
        "volta-later": ("volta",),
        "torch-compile": jit.NEEDS["torch-compile"],
        "jax": jit.NEEDS["jax"],
    },
    case_names=CASES,
    cases=lambda implementation: [
        Case(case, partial(_measurement, implementation, case), direct=True) for case in CASES
    ],
    budgets=_budgets,
    rounds=3,
    environment={"PYTHONDONTWRITEBYTECODE": ""},  # so that the first round alone compiles Python
)
