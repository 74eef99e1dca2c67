"""``jit``: whole training steps, staged and compiled, float32.

A step is forward, loss, backward and Adam (1e-3); what is no training step is values alone. Every
implementation runs the same function of a namespace, from the same numbers, and begins again after
500 steps (see ``mlp``). ``volta`` is `volta.jit` of the step, with LLVM where it is installed,
``volta-numpy`` the same without, ``volta-eager`` the step itself, ``jax`` is `jax.jit` of it, and
``torch`` and HIPS ``autograd`` are eager. ``torch-compile`` is `torch.compile` of the whole step,
``torch-compile-loss`` of the loss, with `backward` and torch's fused Adam, and ``onnxruntime`` runs
the functions of one array as torch exports them. The LSTM is a Python loop in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import namespaces
from benchmarks.harness import Budget, Case, Group, Values
from benchmarks.models import FUNCTIONS, PRODUCT, TRAINING, argument

GAIN = 1.3  # times that a jitted training step is faster than an eager one, without LLVM


def _cases(implementation: str) -> list[Case]:
    n = NAMESPACES[implementation]()
    training = [Case(name, partial(_trainer, n, build)) for name, build in TRAINING.items()]
    return training + [Case(name, partial(_mapper, n, *f)) for name, f in FUNCTIONS.items()]


def _trainer(n: Any, build: Callable[[Any], Any]) -> Callable[[], Any]:
    return namespaces.trainer(n, *build(n))


def _mapper(n: Any, build: Callable[[Any], Any], shape: Any) -> Callable[[], Any]:
    x = argument(n, shape)
    compiled = n.compiled(build(n), x)
    return lambda: n.run(compiled, x)


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


NAMESPACES: dict[str, Callable[[], Any]] = {
    "volta": namespaces.volta_jit,
    "volta-numpy": partial(namespaces.volta_jit, "numpy"),
    "volta-eager": namespaces.volta_eager,
    "torch": namespaces.torch_eager,
    "torch-compile": namespaces.torch_compile,
    "torch-compile-loss": namespaces.torch_compile_loss,
    "jax": namespaces.jax_jit,
    "autograd": namespaces.hips_autograd,
    "onnxruntime": namespaces.onnx_runtime,
}
NEEDS = {
    "volta": ("volta",),
    "volta-numpy": ("volta",),
    "volta-eager": ("volta",),
    "torch": ("torch",),
    "torch-compile": ("torch",),
    "torch-compile-loss": ("torch",),
    "jax": ("jax", "optax"),
    "autograd": ("autograd", "scipy"),
    "onnxruntime": ("onnxruntime", "onnxscript", "torch"),
}

GROUP = Group(
    name="jit",
    title="training steps and elementwise functions, compiled, float32",
    unit="µs",
    scale=1e6,
    implementations=NEEDS,
    case_names=(*TRAINING, *FUNCTIONS),
    cases=_cases,
    budgets=_budgets,
    left_out={
        **{(case, "torch-compile-loss"): "as torch-compile" for case in FUNCTIONS},
        **{(case, "onnxruntime"): "it has no derivatives" for case in (*TRAINING, PRODUCT)},
    },
)
