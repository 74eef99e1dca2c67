"""``gpu_comparison``: operations, launches and transfers, on a device and on the host.

The Rust framework's benchmark of that name, which could take the machine down: here each case is
guarded (`benchmarks.gpu.guard`).

``volta`` is `volta.jit` on arrays of `volta.wgpu`, ``host`` the same on arrays of NumPy, whose
transfers are copies. Each call is waited for, other than in ``wgpu``, where many are together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.gpu import guard, libraries
from benchmarks.gpu.problems import numbers, squares
from benchmarks.harness import Case, Group

OPERANDS = {"add": 2, "multiply": 2, "exp": 1, "relu": 1, "sum": 1, "mean": 1, "matmul": 2}
SIZES = 4096, 16384, 65536
SIDES = 256, 512, 1024, 2048
SENT = 1024, 4096, 16384, 65536, 262144
SMALL, COUNT = 256, 20  # elements of a small launch, and how many are one large one


def _operation(n: Any, name: str, *shape: int) -> Callable[[], Any]:
    from volta import functional

    arrays = [_array(n, *shape, seed=k + 1) for k in range(OPERANDS[name])]
    return _waited(n, partial(n.compiled(getattr(functional, name)), *arrays))


def _launches(n: Any, size: int, count: int) -> Callable[[], Any]:
    """One compiled function, called so many times on what it gave."""
    from volta.functional import relu

    x, compiled = _array(n, size), n.compiled(relu)

    def call() -> Any:
        out = x
        for _ in range(count):
            out = compiled(out)
        return out

    return _waited(n, call)


def _program(n: Any) -> Callable[[], Any]:
    """The same operations, compiled together."""
    from volta.functional import relu

    def chain(x: Any) -> Any:
        for _ in range(COUNT):
            x = relu(x)
        return x

    return _waited(n, partial(n.compiled(chain), _array(n, SMALL)))


def _sent(n: Any, size: int) -> Callable[[], Any]:
    return _waited(n, partial(n.asarray, _numbers(size)))


def _fetched(n: Any, size: int) -> Callable[[], Any]:
    import numpy as np

    return partial(np.array, _array(n, size))


def _waited(n: Any, call: Callable[[], Any]) -> Callable[[], Any]:
    def waited() -> Any:
        out = call()
        n.wait()
        return out

    return waited


def _array(n: Any, *shape: int, seed: int = 1) -> Any:
    return n.asarray(_numbers(*shape, seed=seed))


def _numbers(*shape: int, seed: int = 1) -> Any:
    """Numbers of which a quarter are negative."""
    return numbers(shape, seed) - 0.25


CASES: dict[str, tuple[Any, ...]] = {  # what sets it up of a namespace, and what else it takes
    **{
        f"{name}, {size}": (_operation, name, size)
        for size in SIZES
        for name in OPERANDS
        if name != "matmul"
    },
    f"relu, {COUNT} launches of {SMALL}": (_launches, SMALL, COUNT),
    f"relu, {COUNT} of {SMALL} in one program": (_program,),
    f"relu, one launch of {COUNT * SMALL}": (_launches, COUNT * SMALL, 1),
    **{f"to the device, {size}": (_sent, size) for size in SENT},
    **{f"from the device, {size}": (_fetched, size) for size in SENT},
    **{f"matmul, {side}²": (_operation, "matmul", side, side) for side in SIDES},
}


def _cases(implementation: str) -> list[Case]:
    n = libraries.volta_wgpu() if implementation == "volta" else libraries.volta_host()
    found = [
        Case(name, partial(setup, n, *others), check=squares)
        for name, (setup, *others) in CASES.items()
    ]
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
