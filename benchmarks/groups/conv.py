"""Groups ``conv``, ``conv-choice`` and ``conv-memory``: convolutions of images, float32.

The shapes are the six groups of the Rust framework's benchmark, shape for shape; one that is in
several groups is measured once. Forward is the convolution without a bias, backward the gradients
of both input and weight for a given cotangent of the result, what is kept from the forward pass
being there. JAX compiles both. Direct sums and Fourier transforms are left out where they take
seconds.

``volta`` is ``algo="auto"``, ``volta-high`` the same under ``conv_options(precision="high")`` and
``volta-fast`` under ``"fast"``. ``conv-choice`` is the time of ``algo="auto"`` over the shortest of
the algorithms that it may choose, all measured in turn in one process. ``conv-memory`` is the peak
that a forward pass adds to the process, its result included, by the counter of the ``memory``
group.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.groups.memory import _status
from benchmarks.harness import Budget, Case, Group, take_together

RATIO = 1.1  # of the chosen algorithm's time to the best one's


class Shape(NamedTuple):
    """Batch, channels before and after, side of the image and the kernel, stride, padding."""

    batch: int
    inputs: int
    outputs: int
    side: int
    kernel: int
    stride: int
    padding: int

    def __str__(self) -> str:
        stride = f" s{self.stride}" if self.stride > 1 else ""
        return (
            f"{self.batch}×{self.inputs}→{self.outputs} {self.side}² k{self.kernel}{stride} "
            f"p{self.padding}"
        )

    @property
    def gflop(self) -> float:
        """Floating-point operations of the definition, in 10⁹."""
        rows = (self.side + 2 * self.padding - self.kernel) // self.stride + 1
        per_place = 2 * self.inputs * self.outputs * self.kernel**2
        return self.batch * rows**2 * per_place / 1e9


SHAPES = dict.fromkeys(
    Shape(*numbers)
    for numbers in (
        # comparison of algorithms: tiny to large, kernels, blocks of a ResNet
        (1, 3, 16, 16, 3, 1, 0),
        (4, 3, 16, 32, 3, 1, 1),
        (8, 64, 128, 28, 3, 1, 1),
        (4, 64, 128, 64, 3, 1, 1),
        (8, 64, 128, 112, 3, 2, 1),
        (16, 128, 256, 56, 3, 1, 1),
        (8, 64, 128, 56, 1, 1, 0),
        (4, 32, 64, 56, 5, 1, 2),
        (2, 32, 64, 56, 7, 1, 3),
        (8, 64, 64, 56, 3, 1, 1),
        (4, 128, 128, 112, 3, 2, 1),
        *((8, 64, 64, 56, k, 1, k // 2) for k in (1, 3, 5, 7)),  # kernels
        *((b, 64, 64, 56, 3, 1, 1) for b in (1, 2, 4, 8, 16, 32)),  # batches
        *((b, 64, 64, n, 3, 1, 1) for b, n in ((8, 28), (8, 32), (8, 56), (4, 112), (2, 224))),
        # automatic choice
        (1, 3, 16, 8, 3, 1, 1),
        (4, 3, 16, 16, 3, 1, 1),
        # memory
        *((8, c, c, 28, 3, 1, 1) for c in (32, 64, 128)),
        # first layers: of MNIST, and depths of its neural_networks group
        (64, 1, 32, 28, 3, 1, 0),
        *((8, 3, 16, 32, k, 1, k // 2) for k in (1, 3, 5, 7)),
    )
)
NAMES = {f"{shape}, {way}": (shape, way) for shape in SHAPES for way in ("forward", "backward")}
SUMS = ("direct", "im2col", "igemm")  # what the default precision allows
ALGORITHMS = (*SUMS, "winograd2", "winograd4", "fft")
MOST = {"direct": 0.5, "fft": 2.0}  # GFLOP above which an algorithm takes seconds
Way = Callable[[], Any]


def _arrays(shape: Shape) -> tuple[Any, Any]:
    import numpy as np

    random = np.random.default_rng(0)
    x = random.normal(size=(shape.batch, shape.inputs, shape.side, shape.side))
    w = random.normal(size=(shape.outputs, shape.inputs, shape.kernel, shape.kernel))
    return x.astype(np.float32), w.astype(np.float32)


def _applies(implementation: str, shape: Shape) -> bool:
    algo = implementation.removeprefix("volta-")
    if algo.startswith("winograd") and (shape.kernel != 3 or shape.stride != 1):
        return False
    return shape.gflop <= MOST.get(algo, float("inf"))


def _cases(implementation: str) -> list[Case]:
    build = _BUILDERS[implementation]
    return [
        Case(name, partial(build, shape, way))
        for name, (shape, way) in NAMES.items()
        if _applies(implementation, shape)
    ]


def _volta_of(
    x: Any, w: Any, shape: Shape, way: str, algo: str = "auto", precision: str = "highest"
) -> Way:
    import volta
    from volta import functional

    def convolve(x: Any, w: Any) -> Any:
        with functional.conv_options(precision=precision):
            return functional.conv2d(x, w, None, shape.stride, shape.padding, algo=algo)

    if way == "forward":
        return partial(convolve, x, w)
    y, pull = volta.vjp(convolve, x, w)
    return lambda: pull(y)[1]


def _volta(shape: Shape, way: str, algo: str = "auto", precision: str = "highest") -> Way:
    return _volta_of(*_arrays(shape), shape, way, algo, precision)


def _volta_torch(shape: Shape, way: str) -> Way:
    import torch

    return _volta_of(*map(torch.from_numpy, _arrays(shape)), shape, way)


def _torch(shape: Shape, way: str) -> Way:
    import torch

    x, w = (torch.from_numpy(a).requires_grad_(way == "backward") for a in _arrays(shape))
    convolve = partial(torch.nn.functional.conv2d, x, w, None, shape.stride, shape.padding)
    if way == "forward":
        return convolve
    y = convolve()
    return lambda: torch.autograd.grad(y, (x, w), y.detach(), retain_graph=True)[1]


def _jax(shape: Shape, way: str) -> Way:
    import jax
    import jax.numpy as jnp

    x, w = map(jnp.asarray, _arrays(shape))
    convolve = jax.jit(
        partial(
            jax.lax.conv_general_dilated,
            window_strides=(shape.stride,) * 2,
            padding=((shape.padding,) * 2,) * 2,
        )
    )
    if way == "forward":
        return lambda: convolve(x, w).block_until_ready()
    y = convolve(x, w)
    backward = jax.jit(lambda x, w, ct: jax.vjp(convolve, x, w)[1](ct))
    return lambda: jax.block_until_ready(backward(x, w, y))[1]


_BUILDERS: dict[str, Callable[[Shape, str], Way]] = {
    "volta": _volta,
    **{f"volta-{algo}": partial(_volta, algo=algo) for algo in ALGORITHMS},
    "volta-high": partial(_volta, precision="high"),
    "volta-fast": partial(_volta, precision="fast"),
    "volta-torch": _volta_torch,
    "torch": _torch,
    "jax": _jax,
}
_NEEDS = dict.fromkeys(_BUILDERS, ("volta",)) | {
    "volta-torch": ("volta", "torch"),
    "torch": ("torch",),
    "jax": ("jax",),
}

GROUP = Group(
    name="conv",
    title="a convolution of images and its gradients, float32",
    unit="ms",
    scale=1e3,
    implementations=_NEEDS,
    case_names=tuple(NAMES),
    cases=_cases,
    budgets=lambda values: [],
    rounds=5,
)


# The choice ---------------------------------------------------------------------------------------


def _ratio(shape: Shape, way: str) -> Callable[[], float]:
    """Time of the automatic choice over that of the best algorithm it could have chosen."""
    arrays = _arrays(shape)
    algorithms = ("auto", *(a for a in SUMS if _applies(a, shape)))
    calls = [_volta_of(*arrays, shape, way, algo) for algo in algorithms]

    def measure() -> float:
        auto, *fixed = take_together(calls)
        return auto / min(fixed)

    return measure


CHOICE = Group(
    name="conv-choice",
    title='time of algo="auto" over that of the best algorithm it may choose',
    unit="×",
    scale=1.0,
    implementations={"volta": ("volta",)},
    case_names=tuple(NAMES),
    cases=lambda _: [
        Case(name, partial(_ratio, shape, way), direct=True) for name, (shape, way) in NAMES.items()
    ],
    budgets=lambda values: [Budget(name, ratio, RATIO, "×") for (name, _), ratio in values.items()],
    by_median=True,
    rounds=5,
)


# Memory -------------------------------------------------------------------------------------------


def _memory_cases(implementation: str) -> list[Case]:
    build = _BUILDERS[implementation]
    return [
        Case(str(shape), partial(_peak, build, shape), direct=True)
        for shape in SHAPES
        if _applies(implementation, shape)
    ]


def _peak(build: Callable[[Shape, str], Way], shape: Shape) -> Callable[[], float]:
    build(SMALL, "forward")()  # what comes with the first call of a library
    run = build(shape, "forward")

    def measure() -> float:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        y = run()
        peak = _status("VmHWM")
        del y
        return float(peak - before)

    return measure


SMALL = Shape(1, 3, 16, 16, 3, 1, 0)

MEMORY = Group(
    name="conv-memory",
    title="peak memory that a convolution adds to the process, its result included, float32",
    unit="MB",
    scale=1e-6,
    implementations={name: needs for name, needs in _NEEDS.items() if name != "jax"},
    case_names=tuple(map(str, SHAPES)),
    cases=_memory_cases,
    budgets=lambda values: [],
    isolate=True,
    rounds=1,
    environment={
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "65536",
        "NUMPY_MADVISE_HUGEPAGE": "0",
    },
)
