"""Which algorithm computes a convolution, and why: a table of them, and a model of their cost.

The model adds up what an algorithm does (`Work`) at the speeds in `_SPEEDS`, which were fitted to
400 measurements (27 convolutions, three maps, all algorithms) on one thread of a server (x86-64,
AVX-512, NumPy with OpenBLAS). What is chosen depends on their ratios alone, in which machines
differ less than in the speeds.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from math import ceil, log2, prod
from typing import Any, Final, NamedTuple

from volta.core.types import DType
from volta.functional.conv import direct, fourier, gemm, winograd
from volta.functional.conv.geometry import Blocks, Geometry

__all__ = ["ALGORITHMS", "PRECISIONS", "Estimate", "Plan", "estimates", "plan"]


class Work(NamedTuple):
    """What an algorithm does.

    Attributes
    ----------
    flops : float
        Floating-point operations in matrix products.
    transforms : float
        Floating-point operations in Fourier transforms.
    moved : float
        Bytes read and written besides.
    copied : float
        Bytes of columns, tiles and spectra, which are copied to lie in another order.
    runs : float
        Pieces of memory, with neighbouring elements, in which they are copied.
    products : float
        Matrix products.
    calls : float
        Calls of NumPy.
    """

    flops: float = 0
    transforms: float = 0
    moved: float = 0
    copied: float = 0
    runs: float = 0
    products: float = 0
    calls: float = 0


# seconds for one of each, in float32
_SPEEDS: Final = Work(
    flops=1 / 72e9,
    transforms=1 / 4.7e9,
    moved=1 / 48e9,
    copied=1 / 10e9,
    runs=1.2e-9,
    products=2e-9,
    calls=1.2e-6,
)


class Algorithm(NamedTuple):
    """How to compute the three maps by one algorithm.

    Attributes
    ----------
    maps : mapping
        ``maps[which](xp, a, b, geometry, blocks)``; without "input", only where strides are 1.
    blocks : callable
        ``blocks(geometry, dtype, which, budget, cap) -> Blocks``.
    work : callable
        ``work(geometry, itemsize, which, blocks) -> Work``.
    refusal : callable
        ``refusal(geometry, dtype, which)`` says why it does not apply, or "".
    precision : int
        Place in `PRECISIONS` of what is needed for it to be chosen automatically.
    cache : int
        Bytes that a block should take.
    """

    maps: Mapping[str, Callable[..., Any]]
    blocks: Callable[..., Blocks]
    work: Callable[..., Work]
    refusal: Callable[[Geometry, DType, str], str]
    precision: int
    cache: int


PRECISIONS: Final = ("highest", "high", "fast")


class Estimate(NamedTuple):
    """What one algorithm would cost.

    Attributes
    ----------
    seconds : float
        Estimated time; infinite where it does not apply.
    memory : int
        Bytes at once, besides operands and result.
    note : str
        Why it is not chosen automatically, or "".
    """

    seconds: float
    memory: int
    note: str


class Plan(NamedTuple):
    """How one map is computed.

    Attributes
    ----------
    name : str
        Of the algorithm.
    which : str
        The map of it. Where strides are 1, that of the input is that of the result, too, of another
        geometry and with the kernel turned around.
    geometry : Geometry
    blocks : Blocks
    """

    name: str
    which: str
    geometry: Geometry
    blocks: Blocks


# Work ---------------------------------------------------------------------------------------------


def _columns(g: Geometry) -> float:
    return g.batch * g.groups * g.inputs * g.taps * g.places


def _padded(g: Geometry) -> float:
    return g.batch * g.groups * g.inputs * prod(g.padded)


def _results(g: Geometry) -> float:
    return g.batch * g.groups * g.outputs * g.places


def _parts(g: Geometry, blocks: Blocks) -> float:
    return ceil(g.batch / blocks.images) * ceil(g.y[0] / blocks.rows)


def _widened(g: Geometry, runs: float) -> tuple[float, float]:
    """Times as many operations, and runs left of so many, of an input's map in long rows."""
    if not g.dense:
        return 1.0, runs
    return g.padded_row / g.row, runs * g.y[-1] / (g.y[0] * g.padded_row)


def _added(g: Geometry, elements: float) -> float:
    """Elements copied in the time of adding so many to the padded x, in long rows or with jumps."""
    return (2.5 if g.dense else 6.0) * elements


def _filled(n: int) -> int:
    """Rows of a matrix, of which so few take as long to multiply as this many."""
    return 16 * ceil(n / 16)


def _im2col_work(g: Geometry, itemsize: int, which: str, blocks: Blocks) -> Work:
    parts, columns, results = _parts(g, blocks), _columns(g), _results(g)
    copied = 0 if g.pointwise and which == "result" else columns
    moved = 2 * _padded(g) + results
    runs = copied / g.y[-1]
    wide = 1.0
    if which == "input":
        moved += 2 * columns
        runs *= 2
        wide, runs = _widened(g, runs)
        copied = _added(g, wide * columns)
    if which == "weight":
        copied += results
        moved += 3 * parts * g.groups * g.outputs * g.inputs * g.taps
    products = g.groups * (parts if which == "weight" else g.batch * ceil(g.y[0] / blocks.rows))
    return Work(
        flops=2 * g.multiplications * wide,
        moved=itemsize * moved,
        copied=itemsize * copied,
        runs=runs,
        products=products,
        calls=parts * (8 + (g.taps if which == "input" else 0)),
    )


def _igemm_work(g: Geometry, itemsize: int, which: str, blocks: Blocks) -> Work:
    parts, columns, results = _parts(g, blocks), _columns(g), _results(g)
    taps = parts * g.taps
    alone = 0.0
    if which == "result" and g.inputs == 1:  # NumPy multiplies one column by itself
        alone = 4 * results * g.taps
    if which == "result" and g.dense:
        wide = g.padded_row / g.row
        filled = _filled(g.outputs) / g.outputs
        return Work(
            flops=2 * g.multiplications * wide * filled,
            moved=itemsize * (2 * _padded(g) + results * (2 + 4 * wide * g.taps)),
            copied=itemsize * alone,
            runs=results / g.y[-1],
            products=g.groups * g.taps * g.batch * ceil(g.y[0] / blocks.rows),
            calls=4 * taps,
        )
    sums = {"result": results * g.taps, "input": columns, "weight": 0}[which]
    wide, runs, copied = 1.0, columns / g.y[-1], columns
    if which == "input":
        wide, runs = _widened(g, runs)
        copied = _added(g, wide * columns)
    if which == "weight":
        wide = (_filled(g.inputs) / g.inputs) * (_filled(g.outputs) / g.outputs)
    return Work(
        flops=2 * g.multiplications * wide,
        moved=itemsize * (3 * sums + 2 * _padded(g) + results),
        copied=itemsize * (copied + alone + (results if which == "weight" else 0)),
        runs=runs,
        products=g.groups * taps * (1 if which == "weight" else blocks.images),
        calls=6 * taps,
    )


def _direct_work(g: Geometry, itemsize: int, which: str, blocks: Blocks) -> Work:
    summed = g.outputs if which == "input" else g.inputs
    steps = g.taps * summed
    plane = g.batch * g.groups * g.places * (g.inputs if which == "input" else g.outputs)
    return Work(
        moved=itemsize * (5 * plane * steps + 2 * _padded(g) + _results(g)),
        runs=2 * plane * steps / g.y[-1],
        calls=4 * steps * _parts(g, blocks),
    )


def _winograd_work(g: Geometry, itemsize: int, which: str, blocks: Blocks, m: int) -> Work:
    nd = len(g.y)
    size, small = (m + 2) ** nd, m**nd
    tiles = g.batch * g.groups * prod(-(-n // m) for n in g.y)
    weight = g.groups * g.inputs * g.outputs
    flops = 2 * size * tiles * g.inputs * g.outputs
    flops += 2 * size * (size * tiles * g.inputs + small * tiles * g.outputs + g.taps * weight)
    moved = size * tiles * (3 * g.inputs + 2 * g.outputs) + 3 * small * tiles * g.outputs
    copied = size * tiles * g.inputs + small * tiles * g.outputs
    parts = _parts(g, blocks)
    return Work(
        flops=flops,
        moved=itemsize
        * (moved + 2 * _padded(g) + size * weight * (3 * parts if which == "weight" else 3)),
        copied=itemsize * copied,
        runs=copied,
        products=size * g.groups * parts,
        calls=20 * parts,
    )


def _fft_work(g: Geometry, itemsize: int, which: str, blocks: Blocks) -> Work:
    points, frequencies = fourier.spectrum(
        g if blocks.rows == g.y[0] else fourier.of_rows(g, blocks.rows), False
    )
    channels = blocks.channels or g.outputs
    chunks, parts = ceil(g.outputs / channels), _parts(g, blocks)
    planes = g.groups * (g.batch * ceil(g.y[0] / blocks.rows) * (g.inputs * chunks + g.outputs))
    kernels = g.groups * g.inputs * g.outputs * (parts if which == "weight" else 1)
    every = planes + kernels
    return Work(
        flops=8
        * frequencies
        * g.batch
        * ceil(g.y[0] / blocks.rows)
        * g.groups
        * g.inputs
        * g.outputs,
        transforms=2.5 * every * points * log2(max(2, points)),
        moved=2 * itemsize * every * frequencies * 3,
        copied=2 * itemsize * every * frequencies,
        runs=every * frequencies,
        products=frequencies * parts * chunks * g.groups,
        calls=20 * parts * chunks,
    )


# The table ----------------------------------------------------------------------------------------


def _linear(workspace: Callable[..., Any], multiple: int = 1) -> Callable[..., Blocks]:
    def blocks(g: Geometry, dtype: DType, which: str, budget: float, cap: float) -> Blocks:
        made: Blocks = workspace(g, dtype.itemsize, which).blocks(g, budget, cap, multiple)
        return made

    return blocks


def _fft_blocks(g: Geometry, dtype: DType, which: str, budget: float, cap: float) -> Blocks:
    budget = min(budget, cap)
    return fourier.fft_blocks(g, dtype.itemsize, dtype.kind == "complex", which, budget)


def _always(g: Geometry, dtype: DType, which: str) -> str:
    return ""


def _no_winograd(g: Geometry, dtype: DType, which: str) -> str:
    if dtype.kind not in ("float", "complex"):
        return f"it has fractions; got {dtype.name}"
    if any(k != 3 for k in g.kernel):
        return f"the kernel must have 3 elements along every axis; got {g.kernel}"
    if not g.dense or any(d != 1 for d in g.dilation):
        return f"stride and dilation must be 1; got {g.stride} and {g.dilation}"
    return ""


def _no_fft(g: Geometry, dtype: DType, which: str) -> str:
    return "" if dtype.kind in ("float", "complex") else f"it has fractions; got {dtype.name}"


def _winograd(m: int) -> Algorithm:
    def workspace(g: Geometry, itemsize: int, which: str) -> Any:
        return winograd.winograd_workspace(g, itemsize, which, m)

    return Algorithm(
        {
            "result": partial(winograd.winograd_result, m=m),
            "weight": partial(winograd.winograd_weight, m=m),
        },
        _linear(workspace, m),
        partial(_winograd_work, m=m),
        _no_winograd,
        1 if m == 2 else 2,
        4 << 20,
    )


def _maps(result: Any, input: Any, weight: Any) -> dict[str, Any]:
    return {"result": result, "input": input, "weight": weight}


ALGORITHMS: Final[dict[str, Algorithm]] = {
    "direct": Algorithm(
        _maps(direct.direct_result, direct.direct_input, direct.direct_weight),
        _linear(direct.direct_workspace),
        _direct_work,
        _always,
        0,
        1 << 18,
    ),
    "im2col": Algorithm(
        _maps(gemm.im2col_result, gemm.im2col_input, gemm.im2col_weight),
        _linear(gemm.im2col_workspace),
        _im2col_work,
        _always,
        0,
        2 << 20,
    ),
    "igemm": Algorithm(
        _maps(gemm.igemm_result, gemm.igemm_input, gemm.igemm_weight),
        _linear(gemm.igemm_workspace),
        _igemm_work,
        _always,
        0,
        2 << 20,
    ),
    "winograd2": _winograd(2),
    "winograd4": _winograd(4),
    "fft": Algorithm(
        _maps(fourier.fft_result, fourier.fft_input, fourier.fft_weight),
        _fft_blocks,
        _fft_work,
        _no_fft,
        1,
        1 << 25,
    ),
}


def _blocks(name: str, g: Geometry, dtype: DType, which: str, cap: int) -> Blocks:
    """Blocks that stay in the cache where they can, and below the cap where they cannot."""
    algorithm = ALGORITHMS[name]
    cached = algorithm.blocks(g, dtype, which, algorithm.cache, cap)
    return cached if cached.memory <= cap else algorithm.blocks(g, dtype, which, cap, cap)


def _plans(name: str, g: Geometry, dtype: DType, which: str, cap: int) -> list[Plan]:
    """All ways to compute a map by an algorithm that applies."""
    found = []
    if which in ALGORITHMS[name].maps:
        found.append(Plan(name, which, g, _blocks(name, g, dtype, which, cap)))
    if which == "input" and g.dense:
        turned = dtype.itemsize * g.groups * g.inputs * g.outputs * g.taps
        blocks = _blocks(name, g.reversed(), dtype, "result", cap - turned)
        blocks = blocks._replace(memory=blocks.memory + turned)
        found.append(Plan(name, "result", g.reversed(), blocks))
    return found


def _seconds(p: Plan, dtype: DType) -> float:
    work = ALGORITHMS[p.name].work(p.geometry, dtype.itemsize, p.which, p.blocks)
    scale = (dtype.itemsize / 4) * (2 if dtype.kind == "complex" else 1)
    slow = Work(scale, scale, 1, 1, 1, 1, 1)
    return sum(a * b * c for a, b, c in zip(work, _SPEEDS, slow, strict=True))


@lru_cache(maxsize=1024)
def estimates(
    g: Geometry, dtype: DType, which: str, cap: int, precision: str
) -> dict[str, tuple[Estimate, Plan | None]]:
    """What each algorithm would cost."""
    found: dict[str, tuple[Estimate, Plan | None]] = {}
    for name, algorithm in ALGORITHMS.items():
        refusal = algorithm.refusal(g, dtype, which)
        if refusal:
            found[name] = Estimate(float("inf"), 0, refusal), None
            continue
        plans = _plans(name, g, dtype, which, cap)
        best = min(plans, key=lambda p: (p.blocks.memory > cap, _seconds(p, dtype)))
        memory, note = best.blocks.memory, ""
        if memory > cap:
            note = f"a block needs {memory} bytes, above memory_cap={cap}"
        elif algorithm.precision > PRECISIONS.index(precision):
            note = f"precision must be {PRECISIONS[algorithm.precision]!r}; got {precision!r}"
        found[name] = Estimate(_seconds(best, dtype), memory, note), best
    return found


@lru_cache(maxsize=1024)
def plan(g: Geometry, dtype: DType, which: str, algo: str, cap: int, precision: str) -> Plan:
    """How to compute a map; for "auto" the fastest by estimate that cap and precision allow.

    Raises
    ------
    ValueError
        If the algorithm does not apply, or no block is small enough for the cap.
    """
    found = estimates(g, dtype, which, cap, precision)
    if algo != "auto":
        estimate, chosen = found[algo]
        if chosen is None:
            msg = f"conv: {algo} must apply to the convolution: {estimate.note}. Use algo='auto'."
            raise ValueError(msg)
        if chosen.blocks.memory > cap:
            msg = (
                f"conv: memory_cap must hold a block of {algo}; got {cap} bytes, and the smallest "
                f"block needs {estimate.memory}. Raise it with functional.conv_options."
            )
            raise ValueError(msg)
        return chosen
    allowed = [(e.seconds, p) for e, p in found.values() if p is not None and not e.note]
    if not allowed:
        least = min(e.memory for e, p in found.values() if p is not None)
        msg = (
            f"conv: memory_cap must hold a block of some algorithm; got {cap} bytes, and the "
            f"smallest block needs {least}. Raise it with functional.conv_options."
        )
        raise ValueError(msg)
    return min(allowed, key=lambda pair: pair[0])[1]
