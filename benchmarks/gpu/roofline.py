"""What a device can do: the time that no kernel for a case stays under, from kernels by hand.

A case takes at least as long as a copy of the bytes that it must read and write, and as its
multiplications and additions at the rate that a kernel reaches that does nothing else. What is one
of many launches takes at least as long as one of a kernel that does nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from benchmarks.gpu.problems import LAUNCHES, MODELS, PROBLEMS, WHOLE
from benchmarks.harness import Case, take

_CHAINS = 8  # of operations that do not wait for each other, each on vectors of four
_STEPS = 512


def cases() -> list[Case]:
    """The bound of every case."""
    found = [
        Case(name, partial(_bound, p.operations, _bytes_of(name)), direct=True)
        for name, p in PROBLEMS.items()
    ]
    found += [
        Case(name, partial(_bound, m.operations, _bytes_of(name)), direct=True)
        for name, m in MODELS.items()
    ]
    return [*found, Case(WHOLE, lambda: _launch, direct=True)]


def _bound(operations: float, nbytes: int) -> Callable[[], float]:
    return lambda: max(operations / _rate(), _copied(nbytes))


def _bytes_of(name: str) -> int:
    """Bytes that a case reads and writes at least."""
    if name in MODELS:
        model = MODELS[name]
        sizes = [math.prod(model.input)]
        for shape, outputs in model.layers:
            sizes += [2 * math.prod(shape), 2 * outputs]
        return 4 * sum(sizes)
    shapes = PROBLEMS[name].shapes
    read = sum(map(math.prod, shapes))
    if name.startswith("sum"):
        return 4 * read
    return 4 * (read + math.prod(shapes[0]))


@cache
def _rate() -> float:
    """Multiplications and additions of float32 a second."""
    from volta.core.types import DTYPES
    from volta.wgpu import devices
    from volta.wgpu.launch import View, Writer

    device = devices()[0]
    groups, size = 64 if device.kind == "cpu" else 1 << 14, 64
    names = [f"a{k}" for k in range(_CHAINS)]
    start = "p.start + f32(lane) * vec4<f32>(0.1, 0.2, 0.3, 0.4)"
    lines = [f"var {a} = {start} * {k + 1}.0;" for k, a in enumerate(names)]
    lines += [f"for (var i = 0u; i < {_STEPS}u; i++) {{"]
    lines += [f"{a} = {a} * p.factor + p.start;" for a in names]
    lines += ["}", f"let total = {' + '.join(names)};"]
    lines += [f"out[p.out_0 + group * {size}u + lane] = total.x + total.y + total.z + total.w;"]
    writer = Writer(device)
    out = View(0, DTYPES["float32"], (groups * size,), (1,))
    numbers = {"start": 0.5, "factor": 0.5}
    writer.launch("rate", "\n".join(lines), writes={"out": out}, params=numbers, groups=groups)
    return groups * size * _STEPS * _CHAINS * 4 * 2 / _timed(writer, {0: 4 * groups * size})


@cache
def _copied(nbytes: int) -> float:
    """Seconds to read half of so many bytes and write as many."""
    from volta.core.types import DTYPES
    from volta.wgpu import devices
    from volta.wgpu.launch import View, Writer

    count = max(256, nbytes // 8 // 256 * 256)
    view = View(0, DTYPES["float32"], (count,), (1,))
    writer = Writer(devices()[0])
    writer.launch(
        "copy",
        "let i = group * 64u + lane;\nif i < p.count { y[p.y_0 + i] = x[p.x_0 + i]; }",
        reads={"x": view},
        writes={"y": view._replace(var=1)},
        params={"count": count // 4},
        groups=-(-count // 256),
        pairs=dict.fromkeys("xy", "vec4<f32>"),
    )
    return _timed(writer, {0: 4 * count, 1: 4 * count})


def _launch() -> float:
    """Seconds of one of many launches that write one number."""
    from volta.core.types import DTYPES
    from volta.wgpu import devices
    from volta.wgpu.launch import View, Writer

    writer = Writer(devices()[0])
    out = View(0, DTYPES["float32"], (1,), (1,))
    for _ in range(LAUNCHES):
        writer.launch("nothing", "y[p.y_0] = 0.0;", writes={"y": out}, groups=1, size=(1, 1, 1))
    return _timed(writer, {0: 4}) / LAUNCHES


def _timed(writer: Any, sizes: dict[int, int]) -> float:
    """Seconds that launches take, once they are compiled."""
    from volta.wgpu import devices
    from volta.wgpu.program import Program

    device = devices()[0]
    program = Program(device.queue, writer.launches, sizes, sizes)

    def run() -> None:
        program.run({})
        device.synchronize()

    return take(Case("", lambda: run, check=lambda _: 0.0))[0]
