"""What a program will cost: `forecast` counts operations, traffic and memory before it runs."""

import functools
from collections.abc import Callable, Sequence
from math import log2, prod
from typing import Any, Final, NamedTuple

from volta.core.keywords import suggesting
from volta.core.types import ArrayType, typeof
from volta.core.wengert import Entry, Literal, WengertList, carried
from volta.transforms.arguments import name_of
from volta.transforms.lines import Line, line_of, quantity, table
from volta.transforms.trace import trace

__all__ = ["Forecast", "LineCost", "forecast"]


class LineCost(NamedTuple):
    """What one line of the user's source costs.

    Attributes
    ----------
    line : Line
        File, number and text.
    operations : int
        How many will run for it, its part of a reverse sweep included.
    flops, bytes_moved : int
        Sums over them.
    live_bytes : int
        Most memory that is in use while one of them runs.
    """

    line: Line
    operations: int
    flops: int
    bytes_moved: int
    live_bytes: int


class Forecast:
    """What a program will cost, by line and in all; prints as a table.

    Attributes
    ----------
    lines : tuple of LineCost
        In the order in which they are first run.
    operations, flops, bytes_moved : int
        Totals.
    peak_bytes : int
        Most memory that the program holds at once, of what it makes itself: its inputs and the
        arrays it closes over are not counted, its results are.
    input_bytes, output_bytes : int
        Size of the inputs and captured arrays, and of the results.
    notes : tuple of str
        Operations of which the count is a guess: without a formula, or in loops of unknown length.
    """

    __slots__ = (
        "bytes_moved",
        "flops",
        "input_bytes",
        "lines",
        "name",
        "notes",
        "operations",
        "output_bytes",
        "peak_bytes",
    )

    def __init__(self, name: str, listed: WengertList) -> None:
        self.name = name
        costs: dict[Line, list[int]] = {}
        notes: dict[str, str] = {}
        self.peak_bytes = _account(listed, 1, 0, costs, notes)
        self.lines = tuple(LineCost(line, *cost) for line, cost in costs.items())
        self.operations = sum(c.operations for c in self.lines)
        self.flops = sum(c.flops for c in self.lines)
        self.bytes_moved = sum(c.bytes_moved for c in self.lines)
        self.input_bytes = sum(_bytes(listed.types[v]) for v in (*listed.inputs, *listed.captured))
        self.output_bytes = sum(
            _bytes(listed.types[v]) for v in set(listed.outputs) if type(v) is not Literal
        )
        self.notes = tuple(f"{name}: {note}" for name, note in sorted(notes.items()))

    def __str__(self) -> str:
        head = ("line", "operations", "FLOPs", "moved", "live", "")
        rows: list[tuple[Any, ...]] = [
            (
                c.line,
                c.operations,
                quantity(c.flops),
                quantity(c.bytes_moved, "B"),
                quantity(c.live_bytes, "B"),
                c.line.text,
            )
            for c in self.lines
        ]
        moved, peak = quantity(self.bytes_moved, "B"), quantity(self.peak_bytes, "B")
        total = ("total", self.operations, quantity(self.flops), moved, peak, "(peak)")
        lines = [f"{self.name}:"]
        lines += [f"  {text}" for text in table([head, *rows, total], right=(1, 2, 3, 4))]
        lines.append(
            f"  inputs {quantity(self.input_bytes, 'B')}, results "
            f"{quantity(self.output_bytes, 'B')}"
        )
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)

    __repr__ = __str__


@suggesting
def forecast(
    fun: Callable[..., Any], static_argnums: int | tuple[int, ...] = ()
) -> Callable[..., Forecast]:
    """Return a function that tells what `fun` will cost on arrays like its arguments.

    Nothing is computed: only shapes and dtypes are looked at. ``forecast(grad(fun))`` tells the
    cost of a gradient, each operation of the backward sweep under the line it comes from.

    Parameters
    ----------
    fun : callable
        Function of trees of arrays.
    static_argnums : int or tuple of int
        Positional arguments passed as they are, as for `trace`.

    Returns
    -------
    callable
        Same arguments as `fun`; returns a `Forecast`, which prints as a table by source line and
        has the numbers as attributes.

    Raises
    ------
    TraceError
        If the function asks a traced array for a concrete value.

    Notes
    -----
    **FLOPs.** An elementwise operation counts 1 for each element of its result, transcendental
    functions, comparisons and selections too. With n the length of a reduced or transformed axis,
    times the number of such lines:

    ======================================  =====================================
    matmul of (m, k) and (k, n)             2 m n k
    sum, prod, min, max, cumulative ones    n − 1
    mean                                    n
    softmax; log_softmax; class_losses      5 n − 2; 5 n − 1; 4 n
    batch_norm and kin                      5 n; n more each for weight and bias
    interpolate between k elements          2 k for each element of the result
    fold                                    1 for each element added
    pooling with windows of k elements      k − 1 for each element of the result
    fftn; rfft and irfft                    5 n log₂ n; half of it
    attention of E, D features              2 E + 2 D + 5 for each score
    convolve of n and k                     2 k for each element of the result
    conv                                    2 inputs · kernel for each element of the result
    sort, argsort                           n log₂ n
    searchsorted in n                       log₂ n
    scatter (adding)                        1 for each element added
    cholesky; solve with k columns          n³/3; 2/3 n³ + 2 n² k
    inv; det and slogdet                    2 n³; 2/3 n³
    qr of (m, n), m ≥ n                     4 m n² − 4/3 n³
    eigh; eigvalsh                          9 n³; 4/3 n³
    svd; svdvals of (m, n), m ≥ n           6 m n² + 20 n³; 2 m n² + 2 n³
    eig                                     25 n³
    ======================================  =====================================

    Loops count their steps (`while_loop`, whose number of steps is not known, one), branches the
    one that costs most. Casts, copies, movement of data and random bits count 0. Of complex numbers
    sums count 2, products and quotients 6, matrix products 8 m n k, everything else twice the real
    count (an fft is complex as it stands).

    **Bytes moved** are those of all operands and results: the traffic of an eager run without
    caches. What is a view in NumPy (reshape, transpose, slices, broadcasts) moves nothing, and an
    operand that was broadcast counts once.

    **Memory** follows each array from the operation that makes it to the last that reads it, as
    the references of an eager run do; local variables that hold a value longer, and the scratch
    memory of kernels, are not seen.

    References
    ----------
    G. Golub and C. Van Loan, Matrix Computations, 4th edition, 2013: tables of flops in sections
    3.2 (solve, det), 4.2 (cholesky), 5.2 (qr), 7.5 (eig), 8.3 (eigh), 8.6 (svd). 5 n log₂ n is the
    convention of J. Cooley and J. Tukey's radix-2 algorithm, 1965.

    Examples
    --------
    >>> def layer(w, x):
    ...     return F.tanh(x @ w)
    >>> cost = volta.forecast(layer)(np.ones((50, 20)), np.ones((10, 50)))
    >>> cost.flops  # 2 · 10 · 20 · 50 + 10 · 20
    20200
    >>> cost.peak_bytes  # the product, and its tanh
    3200
    >>> print(cost)  # doctest: +ELLIPSIS
    forecast(layer):
      line   ...operations   FLOPs    moved    live
      ...:2           2  20.2 k  16.8 kB  3.2 kB  return F.tanh(x @ w)
      total           2  20.2 k  16.8 kB  3.2 kB  (peak)
      inputs 12 kB, results 1.6 kB
    """

    @functools.wraps(fun, updated=())
    def forecasted(*args: Any, **kwargs: Any) -> Forecast:
        listed = trace(fun, static_argnums)(*args, **kwargs)
        return Forecast(f"forecast({name_of(fun)})", listed)

    return forecasted


# Lines ------------------------------------------------------------------------------------------


def _account(
    listed: WengertList,
    times: int,
    below: int,
    costs: dict[Line, list[int]],
    notes: dict[str, str],
) -> int:
    """Add what a list costs, run so many times above `below` bytes, to the lines; its peak."""
    peak = below
    live, traffic = _memory(listed)
    for e, held, moved in zip(listed.entries, live, traffic, strict=True):
        inside = _inside(e)
        held += _unstacked(e)
        flops, note = (0, "") if inside else _flops(listed, e)
        note = _LOOPS.get(e.primitive.name, note)
        if note:
            notes[e.primitive.name] = note
        cost = costs.setdefault(line_of(e.code, e.offset), [0, 0, 0, 0])
        cost[0] += times
        cost[1] += times * flops
        cost[2] += 0 if inside else times * moved
        cost[3] = max(cost[3], below + held)
        peak = max(peak, below + held)
        for part, trips in inside:
            peak = max(peak, _account(part, times * trips, below + held, costs, notes))
    return peak


_LOOPS: Final = dict.fromkeys(("while_loop", "while_loop_back"), "counted as one step")


def _inside(e: Entry) -> list[tuple[WengertList, int]]:
    """Programs that an entry carries, and how often each is run."""
    name, params = e.primitive.name, e.params
    if name == "switch":
        return [(max(params["branches"], key=_total), 1)]  # the one that costs most
    if name == "custom_rule":
        listed = params["call"].list
        return [] if listed is None else [(listed, 1)]
    return [(part, params["length"] if name == "scan" else 1) for part in carried(e)]


def _unstacked(e: Entry) -> int:
    """Bytes of a scan's results of its steps, which live until they are stacked."""
    if e.primitive.name != "scan":
        return 0
    body = e.params["body"]
    parts = {o for o in body.outputs[e.params["carries"] :] if type(o) is not Literal}
    return int(e.params["length"] * sum(_bytes(body.types[o]) for o in parts))


def _total(listed: WengertList) -> int:
    """Floating-point operations of a list and of those inside."""
    return sum(
        sum(trips * _total(part) for part, trips in inside)
        if (inside := _inside(e))
        else _flops(listed, e)[0]
        for e in listed.entries
    )


# Memory and traffic ------------------------------------------------------------------------------


def _bytes(kind: ArrayType) -> int:
    return prod(kind.shape) * kind.dtype.itemsize


def _memory(listed: WengertList) -> tuple[list[int], list[int]]:
    """Bytes in use while each entry runs, and bytes that it moves."""
    owner: dict[int, int] = {}  # variable to the one whose memory it shows
    spread: dict[int, int] = {}  # bytes behind a broadcast variable
    last: dict[int, int] = {}  # owner to the last entry that reads it
    owned: dict[int, int] = {}  # bytes of what entries make
    for i, e in enumerate(listed.entries):
        for o in e.operands:
            if type(o) is not Literal:
                last[owner.setdefault(o, o)] = i
        for r in e.results:
            base = e.operands[0] if e.primitive.view and e.operands else None
            if base is None or type(base) is Literal:
                owner[r], owned[r] = r, _bytes(listed.types[r])
            else:
                owner[r] = owner[base]
                behind = spread.get(base, _bytes(listed.types[base]))
                spread[r] = min(behind, _bytes(listed.types[r]))
            last[owner[r]] = i
    for o in listed.outputs:
        if type(o) is not Literal:
            last[owner.setdefault(o, o)] = len(listed)
    dying: list[list[int]] = [[] for _ in listed.entries]
    for var, i in last.items():
        if var in owned and i < len(listed):
            dying[i].append(owned[var])

    held, live, traffic = 0, [], []
    for e, gone in zip(listed.entries, dying, strict=True):
        held += sum(owned.get(r, 0) for r in e.results)
        live.append(held)
        held -= sum(gone)
        moved = 0
        if not e.primitive.view:
            out = sum(_bytes(listed.types[r]) for r in e.results)
            read = [
                spread.get(o, _bytes(listed.types[o])) for o in e.operands if type(o) is not Literal
            ]
            if e.primitive.name in _PICKS and read:
                read[0] = min(read[0], out)
            moved = out + sum(read)
        traffic.append(moved)
    return live, traffic


_PICKS: Final = frozenset(
    ("gather", "permuted", "pick", "top_indices")
)  # read of the first what they take


# Operations --------------------------------------------------------------------------------------


def _flops(listed: WengertList, e: Entry) -> tuple[int, str]:
    """Floating-point operations of an entry, and what to say where there is no formula."""
    name = e.primitive.name
    operands = [typeof(o.value) if type(o) is Literal else listed.types[o] for o in e.operands]
    results = [listed.types[r] for r in e.results]
    formula = _FORMULAS.get(name)
    known = formula is not None or e.primitive.elementwise or name in _FREE
    if name in _FREE:
        count = 0.0
    elif formula is not None:
        count = formula(operands, results, e.params)
    else:
        count = sum(prod(r.shape) for r in results)
    if name not in _COMPLEX_ALREADY and any(t.dtype.kind == "complex" for t in operands):
        count *= _COMPLEX.get(name, 2)
    return round(count), "" if known else "no formula, counted 1 an element"


_FREE: Final = frozenset(
    [
        "arange",
        "checkpoint_name",
        "astype",
        "basic_slice",
        "broadcast_to",
        "concat",
        "embed_slice",
        "eye",
        "flip",
        "full",
        "gather",
        "hide",
        "imag",
        "linspace",
        "permute_dims",
        "permuted",
        "pick",
        "positive",
        "random_bits",
        "random_fold_in",
        "random_seed",
        "random_split",
        "real",
        "reshape",
        "restored",
        "roll",
        "slice_update",
        "stop_gradient",
        "transfer",
        "tril",
        "triu",
        "unstack",
        "windows",
    ]
)
_COMPLEX: Final = {
    **dict.fromkeys(("divide", "multiply", "prod", "square"), 6),
    **dict.fromkeys(("conv", "conv_input", "conv_weight", "convolve", "matmul"), 4),
}
_COMPLEX_ALREADY: Final = frozenset(("fftn", "irfft"))

Types = Sequence[ArrayType]


def _reduced(operands: Types, results: Types, params: dict[str, Any]) -> float:
    return max(0, prod(operands[0].shape) - prod(results[0].shape))


def _cumulated(operands: Types, results: Types, params: dict[str, Any]) -> float:
    shape = operands[0].shape
    return prod(shape) - prod(shape) // max(1, shape[params["axis"]]) if shape else 0


def _each(factor: float) -> Callable[..., float]:
    return lambda operands, results, params: factor * prod(operands[0].shape)


def _softmax(minus: int) -> Callable[..., float]:
    """``5 n − minus`` a line: greatest, subtract, exp, sum, divide; log once a line."""

    def count(operands: Types, results: Types, params: dict[str, Any]) -> float:
        shape = operands[0].shape
        axis = params["axis"]
        axes = axis if isinstance(axis, tuple) else (axis,)
        n = prod(shape[a] for a in axes) if shape else 1
        return 5 * prod(shape) - minus * (prod(shape) // max(1, n))

    return count


def _matmul(operands: Types, results: Types, params: dict[str, Any]) -> float:
    return 2 * prod(results[0].shape) * operands[0].shape[-1]


def _fft(operands: Types, results: Types, params: dict[str, Any]) -> float:
    shape = operands[0].shape
    return 5 * prod(shape) * log2(max(1, prod(shape[a] for a in params["axes"])))


def _real_fft(operands: Types, results: Types, params: dict[str, Any]) -> float:
    shape = (results if "n" in params else operands)[0].shape
    return 2.5 * prod(shape) * log2(max(1, shape[params["axis"]]))


def _sorted(operands: Types, results: Types, params: dict[str, Any]) -> float:
    shape = operands[0].shape
    return prod(shape) * log2(max(1, shape[params["axis"]] if shape else 1))


def _convolved(operands: Types, results: Types, params: dict[str, Any]) -> float:
    return 2 * prod(results[0].shape) * min(t.shape[-1] for t in operands)


def _resampled(operands: Types, results: Types, params: dict[str, Any]) -> float:
    taps = params["taps"]
    return 0 if taps.plain else 2 * taps.places.shape[1] * prod(results[0].shape)


def _windowed(operands: Types, results: Types, params: dict[str, Any]) -> float:
    taps: int = params["windows"].taps
    return (taps - 1) * prod(results[0].shape)


def _conv(y: int, w: int) -> Callable[..., float]:
    """By the positions of y and w among the operands and the result."""

    def count(operands: Types, results: Types, params: dict[str, Any]) -> float:
        found = [*operands, *results]
        return 2 * prod(found[y].shape) * prod(found[w].shape[1:])

    return count


def _scattered(operands: Types, results: Types, params: dict[str, Any]) -> float:
    return prod(operands[1].shape) if params.get("mode", "add") != "set" else 0


def _factored(formula: Callable[[int, int], float]) -> Callable[..., float]:
    """Formula in the longer and the shorter side of each matrix of the first operand."""

    def count(operands: Types, results: Types, params: dict[str, Any]) -> float:
        *lead, m, n = operands[0].shape
        return prod(lead) * formula(max(m, n), min(m, n))

    return count


def _attended(operands: Types, results: Types, params: dict[str, Any]) -> float:
    queries, keys, values = (t.shape for t in operands[:3])
    scores = prod(results[1].shape) * keys[-2]
    return scores * (2 * queries[-1] + 2 * values[-1] + 5) * (0.5 if params["causal"] else 1)


def _solved(operands: Types, results: Types, params: dict[str, Any]) -> float:
    a, b = operands[0].shape, operands[1].shape
    n, k = a[-1], 1 if len(b) == 1 else b[-1]
    out = results[0].shape
    count = prod(out) // max(1, n * k)
    return count * (2 / 3 * n**3 + 2 * n**2 * k)


_FORMULAS: Final[dict[str, Callable[..., float]]] = {
    "matmul": _matmul,
    "sum": _reduced,
    "prod": _reduced,
    "min": _reduced,
    "max": _reduced,
    "argmin": _reduced,
    "argmax": _reduced,
    "all": _reduced,
    "any": _reduced,
    "count_nonzero": _reduced,
    "mean": _each(1),
    "cumulative_sum": _cumulated,
    "cumulative_prod": _cumulated,
    "cumulative_min": _cumulated,
    "cumulative_max": _cumulated,
    "attention": _attended,
    "softmax": _softmax(2),
    "log_softmax": _softmax(1),
    "class_losses": _each(4),
    "standardize": lambda operands, results, params: (
        (5 + len(operands) - 1) * prod(operands[0].shape)
    ),
    "resample": _resampled,
    "overlap_windows": _each(1),
    "max_places": _windowed,
    "max_windows": _windowed,
    "sum_windows": _windowed,
    "put": _each(1),
    "spread_windows": lambda operands, results, params: (
        params["windows"].taps * prod(operands[0].shape)
    ),
    "fftn": _fft,
    "rfft": _real_fft,
    "irfft": _real_fft,
    "conv": _conv(y=2, w=1),
    "conv_input": _conv(y=0, w=1),
    "conv_weight": _conv(y=1, w=2),
    "convolve": _convolved,
    "sort": _sorted,
    "argsort": _sorted,
    "searchsorted": lambda operands, results, params: (
        prod(results[0].shape) * log2(max(1, operands[0].shape[-1]))
    ),
    "scatter": _scattered,
    "scatter_max": _scattered,
    "scatter_min": _scattered,
    "scatter_multiply": _scattered,
    "embed_add": _each(1),
    "cholesky": _factored(lambda m, n: n**3 / 3),
    "inv": _factored(lambda m, n: 2 * n**3),
    "det": _factored(lambda m, n: 2 / 3 * n**3),
    "slogdet": _factored(lambda m, n: 2 / 3 * n**3),
    "qr": _factored(lambda m, n: 4 * m * n**2 - 4 / 3 * n**3),
    "eig": _factored(lambda m, n: 25 * n**3),
    "eigh": _factored(lambda m, n: 9 * n**3),
    "eigvalsh": _factored(lambda m, n: 4 / 3 * n**3),
    "svd": _factored(lambda m, n: 6 * m * n**2 + 20 * n**3),
    "svdvals": _factored(lambda m, n: 2 * m * n**2 + 2 * n**3),
    "solve": _solved,
}
