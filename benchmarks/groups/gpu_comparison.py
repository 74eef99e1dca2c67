"""``gpu_comparison``: operations, launches and transfers, on a device and on the host.

The Rust framework's benchmark of that name, which could take the machine down: here each case is
guarded (`benchmarks.gpu.guard`). Its products, 256² to 2048², are cases of ``wgpu``.

``volta`` is `volta.jit` on arrays of `volta.wgpu`, ``host`` the same on arrays of NumPy, whose
transfers are copies. Each call waits until it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.gpu import guard, libraries
from benchmarks.gpu.problems import numbers, squares
from benchmarks.harness import Case, Group

OPERANDS = {"add": 2, "multiply": 2, "exp": 1, "relu": 1, "sum": 1, "mean": 1}
SIZES = 4096, 16384, 65536
SENT = 1024, 4096, 16384, 65536, 262144
SMALL, COUNT = 256, 20  # elements of a small launch, and how many are one large one


def _operation(n: Any, name: str, size: int) -> Callable[[], Any]:
    from volta import functional

    arrays = [_array(n, size, k + 1) for k in range(OPERANDS[name])]
    compiled = n.compiled(getattr(functional, name))
    return lambda: compiled(*arrays)


def _launches(n: Any, size: int, count: int) -> Callable[[], Any]:
    """One compiled function, called so many times on what it gave."""
    from volta.functional import relu

    x, started = _array(n, size), n.started(relu)

    def call() -> Any:
        out = x
        for _ in range(count):
            out = started(out)
        n.wait()
        return out

    return call


def _program(n: Any) -> Callable[[], Any]:
    """The same operations, compiled together."""
    from volta.functional import relu

    def chain(x: Any) -> Any:
        for _ in range(COUNT):
            x = relu(x)
        return x

    return partial(n.compiled(chain), _array(n, SMALL))


def _sent(n: Any, size: int) -> Callable[[], Any]:
    x = _numbers(size)

    def call() -> Any:
        out = n.asarray(x)
        n.wait()
        return out

    return call


def _fetched(n: Any, size: int) -> Callable[[], Any]:
    import numpy as np

    return partial(np.array, _array(n, size))


def _array(n: Any, size: int, seed: int = 1) -> Any:
    return n.asarray(_numbers(size, seed))


def _numbers(size: int, seed: int = 1) -> Any:
    """Numbers of which a quarter are negative."""
    return numbers((size,), seed) - 0.25


CASES: dict[str, Callable[[Any], Callable[[], Any]]] = {  # of a namespace
    **{
        f"{name}, {size}": partial(_operation, name=name, size=size)
        for size in SIZES
        for name in OPERANDS
    },
    f"relu, {COUNT} launches of {SMALL}": partial(_launches, size=SMALL, count=COUNT),
    f"relu, {COUNT} of {SMALL} in one program": _program,
    f"relu, one launch of {COUNT * SMALL}": partial(_launches, size=COUNT * SMALL, count=1),
    **{f"to the device, {size}": partial(_sent, size=size) for size in SENT},
    **{f"from the device, {size}": partial(_fetched, size=size) for size in SENT},
}


def _cases(implementation: str) -> list[Case]:
    n = libraries.volta_wgpu() if implementation == "volta" else libraries.volta_host()
    found = [Case(name, partial(setup, n), check=squares) for name, setup in CASES.items()]
    return guard.on_first_device(found) if implementation == "volta" else found


GROUP = Group(
    name="gpu_comparison",
    title="operations, launches and transfers on a device and on the host, float32",
    unit="µs",
    scale=1e6,
    implementations={"volta": ("volta", "wgpu"), "host": ("volta",)},
    case_names=tuple(CASES),
    cases=_cases,
    budgets=lambda values: [],
    rounds=3,
)
