"""``tensor_ops``: single operations, shape for shape those of the Rust framework's benchmark.

Its numbers are sines, of which half have no logarithm; here all are between 0.5 and 1.5, float32.
``volta``, ``numpy``, ``torch`` and ``jax`` call the operation, ``volta-jit`` and ``jax-jit`` a
compiled function of it. Movements are views in NumPy, torch and Volta, and copies where compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from benchmarks.harness import Case, Group

Shapes = tuple[tuple[int, ...], ...]
CASES: dict[str, tuple[str, Shapes, tuple[Any, ...]]] = {  # operation, operands, what else it takes
    **{
        f"{name}, {size}": (name, ((size,),) * 2, ())
        for size in (64, 256, 1024, 4096)
        for name in ("add", "subtract", "multiply", "divide")
    },
    "add, 100² and 100": ("add", ((100, 100), (100,)), ()),
    **{
        f"{name}, {size}": (name, ((size,),), ())
        for size in (1024, 4096)
        for name in ("exp", "log", "relu", "sigmoid", "tanh", "sqrt")
    },
    **{f"matmul, {n}²": ("matmul", ((n, n),) * 2, ()) for n in (64, 128, 256, 512, 1024)},
    "matmul, 128×256 and 256×128": ("matmul", ((128, 256), (256, 128)), ()),
    "matmul, 256×128 and 128×256": ("matmul", ((256, 128), (128, 256)), ()),
    **{
        f"{name}, {size}": (name, ((size,),), ())
        for size in (1024, 4096, 16384)
        for name in ("sum", "mean", "max")
    },
    "sum, 100²": ("sum", ((100, 100),), ()),
    "reshape, 100² → 250×40": ("reshape", ((100, 100),), ((250, 40),)),
    "transpose, 256²": ("matrix_transpose", ((256, 256),), ()),
    "expand, 1×100 → 50×100": ("broadcast_to", ((1, 100),), ((50, 100),)),
    "permute, 10⁴": ("permute_dims", ((10,) * 4,), ((2, 3, 1, 0),)),
    "pad, 50² → 50×60": ("pad", ((50, 50),), (((0, 0), (5, 5)),)),
    "mulacc, 512": ("mulacc", ((512,),) * 3, ()),
    "mulacc, 2048": ("mulacc", ((2048,),) * 3, ()),
}


def _cases(implementation: str) -> list[Case]:
    n, asarray, bound = _LIBRARIES[implementation]()
    return [Case(name, partial(_call, n, asarray, bound, *case)) for name, case in CASES.items()]


def _call(n: Any, asarray: Any, bound: Any, name: str, shapes: Shapes, others: Any) -> Any:
    import numpy as np

    random = np.random.default_rng(0)
    arrays = [random.uniform(0.5, 1.5, size=shape).astype(np.float32) for shape in shapes]
    return bound(getattr(n, name), [asarray(a) for a in arrays], others)


# Libraries: their operations, how they make arrays, and a call bound to its operands --------------

Library = tuple[Any, Callable[[Any], Any], Callable[[Any, Any, Any], Callable[[], Any]]]


def _bound(function: Any, arrays: Any, others: Any) -> Callable[[], Any]:
    return partial(function, *arrays, *others)


def _volta() -> Library:
    from volta import functional

    return functional, lambda x: x, _bound


def _volta_jit() -> Library:
    from volta import functional, jit

    def bound(function: Any, arrays: Any, others: Any) -> Callable[[], Any]:
        return partial(jit(lambda *arrays: function(*arrays, *others)), *arrays)

    return functional, lambda x: x, bound


def _numpy() -> Library:
    import numpy as np

    return _standard(np, partial(np.maximum, np.float32(0))), lambda x: x, _bound


def _torch() -> Library:
    import torch

    n = SimpleNamespace(
        **{name: getattr(torch, name) for name in _SHARED},
        matrix_transpose=torch.t,
        mulacc=lambda x, y, z: torch.addcmul(z, x, y),
        pad=lambda x, widths: torch.nn.functional.pad(
            x, [w for pair in widths[::-1] for w in pair]
        ),
        permute_dims=torch.permute,
        relu=torch.relu,
        sigmoid=torch.sigmoid,
    )
    return n, torch.from_numpy, _bound


def _jax(*, compiled: bool) -> Library:
    import jax
    import jax.numpy as jnp

    def bound(function: Any, arrays: Any, others: Any) -> Callable[[], Any]:
        call = partial(function, *arrays, *others)
        if compiled:
            call = partial(jax.jit(lambda *arrays: function(*arrays, *others)), *arrays)
        return lambda: call().block_until_ready()

    n = _standard(jnp, jax.nn.relu)
    n.sigmoid = jax.nn.sigmoid
    return n, jnp.asarray, bound


_SHARED = (
    *("add", "subtract", "multiply", "divide", "exp", "log", "tanh", "sqrt", "matmul"),
    *("sum", "mean", "max", "reshape", "broadcast_to"),
)


def _standard(np: Any, relu: Callable[[Any], Any]) -> Any:
    """The operations of a library that names them as NumPy does."""
    return SimpleNamespace(
        **{name: getattr(np, name) for name in _SHARED},
        matrix_transpose=np.matrix_transpose,
        mulacc=lambda x, y, z: x * y + z,
        pad=np.pad,
        permute_dims=np.permute_dims,
        relu=relu,
        sigmoid=lambda x: 1 / (1 + np.exp(-x)),
    )


_LIBRARIES: dict[str, Callable[[], Library]] = {
    "volta": _volta,
    "volta-jit": _volta_jit,
    "numpy": _numpy,
    "torch": _torch,
    "jax": partial(_jax, compiled=False),
    "jax-jit": partial(_jax, compiled=True),
}

GROUP = Group(
    name="tensor_ops",
    title="single operations, the Rust framework's shapes, float32",
    unit="µs",
    scale=1e6,
    implementations={
        "volta": ("volta",),
        "volta-jit": ("volta",),
        "numpy": ("numpy",),
        "torch": ("torch",),
        "jax": ("jax",),
        "jax-jit": ("jax",),
    },
    case_names=tuple(CASES),
    cases=_cases,
    budgets=lambda values: [],
)
