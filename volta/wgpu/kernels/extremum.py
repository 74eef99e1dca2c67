"""Where the largest and the smallest elements are."""

import math
from typing import Final

from volta.wgpu.kernels.elements import each, key, place, split
from volta.wgpu.launch import STORED, View, Writer

__all__ = ["arg_extremum"]

_CHUNK: Final = 64  # elements in a row that an invocation compares
_SHORT: Final = 256  # that one does, however few rows there are
_LONG: Final = 16_384  # that one does where rows are many: no loop may be much longer
_MANY: Final = 4096


def arg_extremum(to: Writer, x: View, out: View, *, axis: int | None, largest: bool) -> None:
    """Index of the first largest or smallest element along an axis.

    Parameters
    ----------
    to : Writer
    x : View
        With an element along the axis.
    out : View
        Of integers, one for each row, whether or not the axis stays with length 1.
    axis : int or None
        None means all axes, in row-major order.
    largest : bool
        Whether it is the largest. The first NaN is both, if there is one.

    Notes
    -----
    Of a long row the extremum of each chunk is found, and then that of those.
    """
    axes = tuple(range(len(x.shape))) if axis is None else (axis,)
    rows = math.prod(out.shape)
    n = math.prod(x.shape[a] for a in axes)
    kind, function = key(x.dtype, descending=not largest)
    row = place("x", x, [a for a in range(len(x.shape)) if a not in axes])
    step = place("step", x, axes)
    reads, places, params = {"x": x}, [row, step], {"step_0": 0}
    begin, own, index = "let begin = x_place(row);", "key(x[begin + step_place(j)])", "best"
    while True:
        whole = n <= _SHORT or (rows >= _MANY and n <= _LONG)
        chunk = n if whole else _CHUNK
        chunks = -(-n // chunk)
        if whole:
            writes = {"out": out}
            places.append(place("out", out))
            store = f"out[out_place(row)] = {STORED[out.dtype.name]}({index});"
        else:
            keys = to.scratch("uint64" if kind == "u64" else "uint32", (rows, chunks))
            indices = to.scratch("uint32", (rows, chunks))
            writes = {"keys_out": keys, "indices_out": indices}
            store = f"keys_out[i] = most;\nindices_out[i] = {index};"
        body = f"""
{split(chunks)}
{begin}
let start = column * p.chunk;
let stop = min(start + p.chunk, p.n);
var j = start;
var best = j;
var most = {own};
for (j = start + 1u; j < stop; j++) {{
  let other = {own};
  if other > most {{
    most = other;
    best = j;
  }}
}}
{store}
"""
        each(
            to,
            "argmax" if largest else "argmin",
            rows * chunks,
            body,
            reads=reads,
            writes=writes,
            places=places,
            params={**params, "n": n, "chunk": chunk, "columns": chunks},
            outside=function,
        )
        if whole:
            return
        n, reads, places, params = chunks, {"keys": keys, "indices": indices}, [], {}
        begin, own, index = "let begin = row * p.n;", "keys[begin + j]", "indices[begin + best]"
