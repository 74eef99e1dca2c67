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
    copy,
    each,
    loaded,
    place,
    split,
    stored,
)
from volta.wgpu.kernels.gather import numbers
from volta.wgpu.kernels.sort import argsort
from volta.wgpu.launch import COMPUTED, View, Writer, row_major

__all__ = ["scatter"]

_COMBINED: Final = {"add": "sum", "multiply": "prod", "max": "max", "min": "min"}
_CHUNK: Final = 64  # values in order that an invocation combines, at least


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
    updates = _Updates(keys, order, values, out, places, columns, none)
    if mode == "set":
        _set(to, updates)
    else:
        _combine(to, updates, mode)


class _Updates(NamedTuple):
    """What is written.

    Attributes
    ----------
    keys : View
        Numbers of places along the axes that are indexed; `none` is outside.
    order : View
        Indices that sort the keys.
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
let own = keys[order[row]];
let is_last = row + 1u == p.updates || keys[order[row + 1u]] != own;
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
    """Combine runs in order, chunk by chunk, so that no loop is long.

    First the values at the beginning of each chunk that belong to a run from the chunk before. The
    invocation where a run begins takes those of its own chunk, and then these totals.
    """
    dtype, count, columns = updates.out.dtype, updates.keys.shape[0], updates.columns
    chunk = max(_CHUNK, math.isqrt(count - 1) + 1)
    chunks = -(-count // chunk)
    totals = to.scratch(DTYPES[ACCUMULATED[COMPUTED[dtype.name]]], (chunks, columns))
    value = loaded("values[values_place(order[j] * p.columns + column)]", dtype)
    rest_of_run = f"""
let stop = min((j / p.chunk + 1u) * p.chunk, p.updates);
for (j++; j < stop && keys[order[j]] == own; j++) {{
  total = combined(total, {value});
}}
"""
    of_chunks = f"""
{split(columns)}
var j = row * p.chunk;
let own = keys[order[j]];
if j == 0u || keys[order[j - 1u]] != own {{ return; }}
var total = {value};
{rest_of_run}
totals[i] = {stored("total", totals.dtype)};
"""
    of_runs = f"""
{split(columns)}
var j = row;
let own = keys[order[j]];
if own == p.none || (j > 0u && keys[order[j - 1u]] == own) {{ return; }}
let goal = out_place(own * p.columns + column);
var total = combined({loaded("out[goal]", dtype)}, {value});
{rest_of_run}
var next = (j + p.chunk - 1u) / p.chunk;
for (; next < p.chunks && keys[order[next * p.chunk]] == own; next++) {{
  total = combined(total, {loaded("totals[next * p.columns + column]", totals.dtype)});
}}
out[goal] = {stored("total", dtype)};
"""
    outside = combination(f"scatter {mode}", _COMBINED[mode], dtype)
    params = {**updates.params, "chunk": chunk, "chunks": chunks}
    if chunks > 1:
        each(
            to,
            f"scatter {mode}: chunks",
            chunks * columns,
            of_chunks,
            reads=updates.reads,
            writes={"totals": totals},
            places=updates.places[:1],
            params=params,
            outside=outside,
        )
    each(
        to,
        f"scatter {mode}",
        count * columns,
        of_runs,
        reads={**updates.reads, "totals": totals},
        writes={"out": updates.out},
        places=updates.places,
        params=params,
        outside=outside,
    )
