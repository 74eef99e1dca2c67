"""Where the elements of an array are true."""

import math
from typing import Final

from volta.wgpu.kernels.cumulative import cumulative
from volta.wgpu.kernels.elements import each, place
from volta.wgpu.launch import STORED, View, Writer

__all__ = ["positions"]

_CHUNK: Final = 64  # elements in a row that an invocation looks at


def positions(to: Writer, mask: View, out: View, total: View) -> None:
    """Numbers in row-major order of the elements that are true, in ascending order.

    Parameters
    ----------
    to : Writer
    mask : View
        Of booleans.
    out : View, shape (n,)
        Of integers, with room for all elements of `mask`; what is beyond those found stays.
    total : View, shape (1,) or ()
        Of uint32: how many are found.
    """
    n = math.prod(mask.shape)
    chunks = -(-n // _CHUNK)
    if not n:
        each(to, "no positions", 1, "total[p.total_0] = 0u;", writes={"total": total})
        return
    counts, ends = to.scratch("uint32", (chunks,)), to.scratch("uint32", (chunks,))
    places = [place("mask", mask), place("out", out)]
    begin = f"""
let start = i * {_CHUNK}u;
let stop = min(start + {_CHUNK}u, p.n);
"""
    count = f"""
{begin}
var found = 0u;
for (var j = start; j < stop; j++) {{
  found += u32(mask[mask_place(j)] != 0u);
}}
counts[i] = found;
"""
    each(
        to,
        "counts of positions",
        chunks,
        count,
        reads={"mask": mask},
        writes={"counts": counts},
        places=places[:1],
        params={"n": n},
    )
    cumulative(to, counts, ends, axis=0, mode="sum")
    write = f"""
{begin}
var before = 0u;
if i > 0u {{ before = ends[i - 1u]; }}
for (var j = start; j < stop; j++) {{
  if mask[mask_place(j)] != 0u {{
    out[out_place(before)] = {STORED[out.dtype.name]}(j);
    before++;
  }}
}}
if stop == p.n {{ total[p.total_0] = before; }}
"""
    each(
        to,
        "positions",
        chunks,
        write,
        reads={"mask": mask, "ends": ends},
        writes={"out": out, "total": total},
        places=places,
        params={"n": n},
    )
