"""Writing where arrays of indices say, or combining with what is there.

What meets in one place is combined in the order of the values, so that results are the same each
time: the values are sorted by their places, and runs of the same place are combined.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from volta.core.types import DTYPES
from volta.wgpu.kernels.elements import (
    ACCUMULATED,
    Place,
    combination,
    each,
    loaded,
    place,
    split,
    stored,
)
from volta.wgpu.kernels.gather import gather, numbers
from volta.wgpu.kernels.sort import argsort
from volta.wgpu.launch import COMPUTED, View, Writer, row_major
from volta.wgpu.loops import copy

__all__ = ["scatter"]

_COMBINED: Final = {"add": "sum", "multiply": "prod", "max": "max", "min": "min"}
# What an invocation combines one after the other: values of a chunk, of at least so many, and
# totals of chunks, of at most so many.
_CHUNK: Final = 32
_CHUNKS: Final = 8192


def scatter(
    to: Writer,
    base: View,
    values: View,
    indices: Sequence[View],
    out: View,
    *,
    axes: Sequence[int],
    mode: str,
    failed: View | None = None,
    code: int = 0,
) -> None:
    """`base` with ``out[indices..., k...] = values[..., k...]``, or combined with what is there.

    Parameters
    ----------
    to : Writer
    base : View
    values : View
        Of the shape of the indices, then the axes that are not indexed; dtype of `base`.
    indices : sequence of View
        Of integers, one for each of `axes`; they broadcast together. Negative ones count from the
        end. What one outside its axis is for is left out.
    out : View
        Of the shape and dtype of `base`.
    axes : sequence of int
    mode : str
        ``"set"``: the last value of each place counts; ``"add"``, ``"multiply"``, ``"max"`` or
        ``"min"``, where a NaN wins. 16-bit floats are combined in 32 bits.
    failed : View, optional
        A uint32 that becomes `code` where an index is outside its axis.
    code : int
    """
    copy(to, base, out)
    others = [a for a in range(len(out.shape)) if a not in axes]
    lengths = [out.shape[a] for a in axes]
    keys = numbers(to, indices, lengths, failed=failed, code=code)
    count, columns = math.prod(keys.shape), math.prod(out.shape[a] for a in others)
    if not count or not columns:
        return
    keys = keys._replace(shape=(count,), strides=row_major((count,)))
    order, none = to.scratch("uint32", (count,)), math.prod(lengths)
    argsort(to, keys, order, axis=0, descending=False, bits=none.bit_length())
    places = place("values", values), place("out", out, (*axes, *others))
    ordered = to.scratch("uint32", (count,))
    gather(to, keys, [order], ordered, axes=(0,))
    updates = _Updates(ordered, order, values, out, places, columns, none)
    if mode == "set":
        _set(to, updates)
    else:
        _combine(to, updates, mode)


class _Updates(NamedTuple):
    """What is written.

    Attributes
    ----------
    keys : View
        Numbers of places along the axes that are indexed, in ascending order; `none` is outside.
    order : View
        Numbers of the values that they are for.
    values, out : View
    places : tuple of Place
        Those of `values`, and of `out` with the axes that are indexed first.
    columns : int
        Elements of a place.
    none : int
    """

    keys: View
    order: View
    values: View
    out: View
    places: tuple[Place, Place]
    columns: int
    none: int

    @property
    def reads(self) -> dict[str, View]:
        return {"keys": self.keys, "order": self.order, "values": self.values}

    @property
    def params(self) -> dict[str, int]:
        return {"updates": self.keys.shape[0], "columns": self.columns, "none": self.none}


def _set(to: Writer, updates: _Updates) -> None:
    """Store the last value of each run."""
    body = f"""
{split(updates.columns)}
let own = keys[row];
let is_last = row + 1u == p.updates || keys[row + 1u] != own;
if is_last && own != p.none {{
  let source = values_place(order[row] * p.columns + column);
  out[out_place(own * p.columns + column)] = values[source];
}}
"""
    each(
        to,
        "scatter set",
        updates.keys.shape[0] * updates.columns,
        body,
        reads=updates.reads,
        writes={"out": updates.out},
        places=updates.places,
        params=updates.params,
    )


def _combine(to: Writer, updates: _Updates, mode: str) -> None:
    """Combine runs in order, an invocation for each chunk of values and each column.

    Runs that lie in a chunk are combined with what is there. Of others the totals of their parts
    are kept, `heads` of those at the beginnings of chunks and `tails` of those at ends, which the
    invocation of the chunk where a run begins combines after that.
    """
    dtype, count, columns = updates.out.dtype, updates.keys.shape[0], updates.columns
    chunk = max(_CHUNK, -(-count // _CHUNKS))
    chunks = -(-count // chunk)
    kind = COMPUTED[dtype.name]
    accumulated = DTYPES[ACCUMULATED[kind]]
    heads, tails = (to.scratch(accumulated, (chunks, columns)) for _ in range(2))
    value = loaded("values[values_place(order[j] * p.columns + column)]", dtype)
    total = stored("total", accumulated)
    outside = f"""
{combination(f"scatter {mode}", _COMBINED[mode], dtype)}
fn finish(own: u32, column: u32, total: {kind}) {{
  if own != p.none {{
    let goal = out_place(own * p.columns + column);
    let found = combined({loaded("out[goal]", dtype)}, total);
    out[goal] = {stored("found", dtype)};
  }}
}}
"""
    of_chunks = f"""
{split(columns)}
let begin = row * p.chunk;
let end = min(begin + p.chunk, p.updates);
var own = keys[begin];
var is_head = row > 0u && keys[begin - 1u] == own;
var j = begin;
var total = {value};
for (j = begin + 1u; j < end; j++) {{
  if keys[j] == own {{
    total = combined(total, {value});
    continue;
  }}
  if is_head {{ heads[i] = {total}; }} else {{ finish(own, column, total); }}
  own = keys[j];
  is_head = false;
  total = {value};
}}
if is_head {{
  heads[i] = {total};
}} else if end < p.updates && keys[end] == own {{
  tails[i] = {total};
}} else {{
  finish(own, column, total);
}}
"""
    of_runs = f"""
{split(columns)}
let begin = row * p.chunk;
var next = row + 1u;
if next == p.chunks {{ return; }}
let own = keys[next * p.chunk - 1u];
let is_head = row > 0u && keys[begin - 1u] == own;
if is_head || keys[next * p.chunk] != own {{ return; }}
var total = {loaded("tails[i]", accumulated)};
for (; next < p.chunks && keys[next * p.chunk] == own; next++) {{
  total = combined(total, {loaded("heads[next * p.columns + column]", accumulated)});
}}
finish(own, column, total);
"""
    params = {**updates.params, "chunk": chunk, "chunks": chunks}
    each(
        to,
        f"scatter {mode}",
        chunks * columns,
        of_chunks,
        reads=updates.reads,
        writes={"out": updates.out, "heads": heads, "tails": tails},
        places=updates.places,
        params=params,
        outside=outside,
    )
    if chunks > 1:
        each(
            to,
            f"scatter {mode}: runs over chunks",
            chunks * columns,
            of_runs,
            reads={"keys": updates.keys, "heads": heads, "tails": tails},
            writes={"out": updates.out},
            places=updates.places[1:],
            params=params,
            outside=outside,
        )
