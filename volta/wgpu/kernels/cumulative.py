"""Running sums, products and extrema along an axis."""

import math
from typing import Final

from volta.core.types import DTYPES
from volta.wgpu.kernels.elements import ACCUMULATED, combination, each, loaded, place, stored
from volta.wgpu.launch import COMPUTED, View, Writer

__all__ = ["cumulative"]

CHUNK: Final = 64  # elements in a row that an invocation combines, one after the other
_SHORT: Final = 256  # elements that one does, however few rows there are
_LONG: Final = 16_384  # that one does where rows are many: no loop may be much longer
_MANY: Final = 4096


def cumulative(to: Writer, x: View, out: View, *, axis: int, mode: str) -> None:
    """``out[i]`` = x[0], …, x[i] combined, along an axis.

    Parameters
    ----------
    to : Writer
    x : View
        Converted to what `out` is computed as.
    out : View
        Of the shape of `x`. Integers wrap; 16-bit floats are rounded when they are stored.
    axis : int
    mode : str
        ``"sum"``, ``"prod"``, ``"max"``, ``"min"`` or ``"logsumexp"``. NaN wins.

    Notes
    -----
    A long row is cut into chunks. The totals of chunks are combined in the same way, and each chunk
    begins with that of those before it: so no sum has as many terms as one after the other.
    """
    n = x.shape[axis]
    rows = math.prod(x.shape) // max(n, 1)
    if n <= _SHORT or (rows >= _MANY and n <= _LONG):
        _scan(to, x, out, axis, mode, chunk=max(n, 1))
        return
    shape = rows, -(-n // CHUNK)
    accumulated = DTYPES[ACCUMULATED[COMPUTED[out.dtype.name]]]
    totals, before = to.scratch(accumulated, shape), to.scratch(accumulated, shape)
    _scan(to, x, totals, axis, mode, chunk=CHUNK, totals=True)
    cumulative(to, totals, before, axis=1, mode=mode)
    _scan(to, x, out, axis, mode, chunk=CHUNK, before=before)


def _scan(
    to: Writer,
    x: View,
    out: View,
    axis: int,
    mode: str,
    *,
    chunk: int,
    totals: bool = False,
    before: View | None = None,
) -> None:
    """List a kernel that combines the elements of each chunk of each row.

    With `totals` only the last of each is stored; with `before` it is preceded by the total of the
    chunks before.
    """
    n, kind = x.shape[axis], COMPUTED[out.dtype.name]
    rows, chunks = math.prod(x.shape) // max(n, 1), -(-n // chunk)
    others = [a for a in range(len(x.shape)) if a != axis]
    element = loaded("x[x_row + j * p.x_step]", x.dtype, kind)
    reads, places = {"x": x}, [place("x", x, others)]
    params = {"n": n, "chunk": chunk, "chunks": chunks, "x_step": x.strides[axis]}
    lines = [
        "let x_row = x_place(i / p.chunks);",
        "let start = i % p.chunks * p.chunk;",
        "let stop = min(start + p.chunk, p.n);",
        "var j = start;",
        f"var total = {element};",
    ]
    if before is not None:
        reads["before"] = before
        earlier = loaded("before[i - 1u]", before.dtype, kind)
        lines += [f"if start > 0u {{ total = combined({earlier}, total); }}"]
    store = ""
    if not totals:
        places.append(place("out", out, others))
        params["out_step"] = out.strides[axis]
        lines += ["let out_row = out_place(i / p.chunks);"]
        store = f"out[out_row + j * p.out_step] = {stored('total', out.dtype)};"
    lines += [store, "for (j = start + 1u; j < stop; j++) {"]
    lines += [f"total = combined(total, {element});", store, "}"]
    lines += [f"out[i] = {stored('total', out.dtype)};"] if totals else []
    each(
        to,
        f"cumulative {mode}",
        rows * chunks,
        "\n".join(lines),
        reads=reads,
        writes={"out": out},
        places=places,
        params=params,
        outside=combination(f"cumulative {mode}", mode, out.dtype),
    )
