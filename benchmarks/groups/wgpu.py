"""``wgpu``: arrays on a GPU: products, elementwise chains, reductions, training steps, launches.

``volta`` is `volta.jit` on arrays of `volta.wgpu`, ``jax-js`` runs under Deno, ``tinygrad`` with
its WebGPU backend; these two have installations of their own. All of them use the first device
there is, and calls are waited for together, sixteen of most. ``roofline`` is the time that no
kernel stays under there (`benchmarks.gpu.roofline`), ``host`` Volta on arrays of NumPy, a
processor's core.

A step is forward, cross-entropy, backward and gradient descent, 64 samples. The last two rows are a
compiled function of 64 kernels that multiply matrices of 16×16, of which none can be part of
another: what one of them takes, and what of it passes before the call returns, if it does not wait.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.gpu import guard, libraries, roofline
from benchmarks.gpu.problems import HOST, NAMES, cases
from benchmarks.harness import ROOT, Budget, Case, Elsewhere, Group, Values

LAUNCH = 20.0  # µs of a launch that a replayed step may take the host


def _cases(implementation: str) -> list[Case]:
    if implementation == "roofline":
        return roofline.cases()
    found = cases(_NAMESPACES[implementation]())
    return guard.on_first_device(found) if implementation == "volta" else found


def _budgets(values: Values) -> list[Budget]:
    found = []
    for case in NAMES[:-1]:
        mine = values.get((case, "volta"))
        peers = [values[case, p] for p in ("jax-js", "tinygrad") if (case, p) in values]
        if mine is not None and peers:
            found.append(Budget(f"{case}: volta over the better peer", mine / min(peers), 1.0, ""))
    if (HOST, "volta") in values:
        found.append(Budget(f"volta: {HOST}", values[HOST, "volta"], LAUNCH, "µs"))
    return found


def _deno(folder: str, _group: str, _name: str, *wanted: str) -> list[str]:
    worker = ROOT / "benchmarks" / "gpu" / "jax.mjs"
    program = Path(folder, "node_modules", ".bin", "deno")
    return [str(program), "run", "-A", "--unstable-webgpu", str(worker), folder, *wanted]


_NAMESPACES = {
    "volta": libraries.volta_wgpu,
    "host": libraries.volta_host,
    "tinygrad": libraries.tinygrad,
}

GROUP = Group(
    name="wgpu",
    title="volta.wgpu and what else computes through WebGPU, on the same device, float32",
    unit="µs",
    scale=1e6,
    implementations={
        "volta": ("volta", "wgpu"),
        "jax-js": (),
        "tinygrad": (),
        "roofline": ("volta", "wgpu"),
        "host": ("volta",),
    },
    case_names=NAMES,
    cases=_cases,
    budgets=_budgets,
    rounds=3,
    elsewhere={
        "jax-js": Elsewhere("VOLTA_BENCHMARKS_JAX_JS", _deno),
        "tinygrad": Elsewhere("VOLTA_BENCHMARKS_TINYGRAD"),
    },
    left_out={
        (HOST, "roofline"): "it is no bound",
        (HOST, "host"): "it launches nothing",
    },
)
