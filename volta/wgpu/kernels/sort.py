"""Order along an axis: sorted arrays, the indices that sort, and places among sorted numbers.

Elements are compared by `elements.key`, unsigned integers in their order. All sorts are stable. A
row is sorted by counting, by merging in a workgroup or by radix sort, depending on its length; each
of these finds out at which place of the result the element of index ``source`` is.
"""

import math
from typing import Final, NamedTuple

from volta.core.errors import DTypeError
from volta.core.types import DType, promote
from volta.wgpu.kernels.cumulative import cumulative
from volta.wgpu.kernels.elements import Place, each, key, loaded, place
from volta.wgpu.launch import STORED, View, Writer

__all__ = ["argsort", "searchsorted", "sort"]

_FEW: Final = 32  # elements of a row whose places are counted
_EACH: Final = 4  # that an invocation merges
_GROUPS: Final = (64, 256)  # invocations that merge a row; they share at most 12 KiB

_BITS: Final = 4  # of a digit of the radix sort
_LANES: Final = 64  # invocations of a block
_RUN: Final = 16  # elements of each


def sort(to: Writer, x: View, out: View, *, axis: int, descending: bool) -> None:
    """Sort along an axis.

    Parameters
    ----------
    to : Writer
    x : View
    out : View
        Of the shape and dtype of `x`.
    axis : int
    descending : bool
        Whether the largest comes first. A NaN counts as the largest. Equal elements, as both zeros
        are, keep their order.
    """
    _sort(to, _Rows(x, out, axis, descending, "x[x_row + source * p.x_step]"), _digits(x.dtype))


def argsort(
    to: Writer, x: View, out: View, *, axis: int, descending: bool, bits: int | None = None
) -> None:
    """Indices that `sort` along an axis.

    Parameters
    ----------
    to : Writer
    x : View
    out : View
        Of the shape of `x`; of integers.
    axis : int
    descending : bool
    bits : int, optional
        How many of the lowest bits of unsigned integers are not all 0.
    """
    digits = _digits(x.dtype) if bits is None else range(0, max(bits, 1), _BITS)
    _sort(to, _Rows(x, out, axis, descending, f"{STORED[out.dtype.name]}(source)"), digits)


class _Rows(NamedTuple):
    """What is sorted, and `element`, what the result has of the element of index ``source``."""

    x: View
    out: View
    axis: int
    descending: bool
    element: str

    @property
    def length(self) -> int:
        return self.x.shape[self.axis]

    @property
    def number(self) -> int:
        return math.prod(self.x.shape) // self.length

    @property
    def key(self) -> tuple[str, str]:
        return key(self.x.dtype, descending=self.descending, nan_first=self.descending)

    @property
    def places(self) -> list[Place]:
        others = [a for a in range(len(self.x.shape)) if a != self.axis]
        return [place("x", self.x, others), place("out", self.out, others)]

    @property
    def params(self) -> dict[str, int]:
        steps = {"x_step": self.x.strides[self.axis], "out_step": self.out.strides[self.axis]}
        return {"n": self.length, **steps}


def _sort(to: Writer, rows: _Rows, digits: range) -> None:
    if 0 in rows.x.shape:
        return
    if rows.length <= _FEW:
        _count(to, rows)
    elif rows.length <= _EACH * _GROUPS[-1]:
        _merge(to, rows)
    else:
        _radix(to, rows, digits)


def _count(to: Writer, rows: _Rows) -> None:
    """Place each element after as many as are before it."""
    body = f"""
let x_row = x_place(i / p.n);
let source = i % p.n;
let own = key(x[x_row + source * p.x_step]);
var before = 0u;
for (var j = 0u; j < p.n; j++) {{
  let other = key(x[x_row + j * p.x_step]);
  before += u32((other < own) | ((other == own) & (j < source)));
}}
out[out_place(i / p.n) + before * p.out_step] = {rows.element};
"""
    each(
        to,
        "sort of short rows",
        rows.number * rows.length,
        body,
        reads={"x": rows.x},
        writes={"out": rows.out},
        places=rows.places,
        params=rows.params,
        outside=rows.key[1],
    )


def _merge(to: Writer, rows: _Rows) -> None:
    """Merge runs of 1, 2, 4, … elements of a row in a workgroup.

    Each element's place in the merged run is its own in its run, and the number of those before it
    in the other run, which is sorted.
    """
    group = next(g for g in _GROUPS if _EACH * g >= rows.length)
    kind, function = rows.key
    outside = f"""
var<workgroup> keys: array<{kind}, {_EACH * group}>;
var<workgroup> sources: array<u32, {_EACH * group}>;
{function}
"""
    body = f"""
let x_row = x_place(group);
let out_row = out_place(group);
for (var at = lane; at < p.n; at += {group}u) {{
  keys[at] = key(x[x_row + at * p.x_step]);
  sources[at] = at;
}}
for (var width = 1u; width < p.n; width *= 2u) {{
  workgroupBarrier();
  var own: array<{kind}, {_EACH}>;
  var own_source: array<u32, {_EACH}>;
  var goal: array<u32, {_EACH}>;
  for (var k = 0u; k < {_EACH}u; k++) {{
    let at = k * {group}u + lane;
    if at >= p.n {{ break; }}
    own[k] = keys[at];
    own_source[k] = sources[at];
    let start = at & ~(2u * width - 1u);
    let middle = min(start + width, p.n);  // where the other run begins or ends
    let is_left = at < middle;
    var low = select(start, middle, is_left);
    var high = select(middle, min(start + 2u * width, p.n), is_left);
    while low < high {{
      let half = (low + high) / 2u;
      if (keys[half] < own[k]) | ((keys[half] == own[k]) & !is_left) {{
        low = half + 1u;
      }} else {{
        high = half;
      }}
    }}
    goal[k] = at + low - middle;
  }}
  workgroupBarrier();
  for (var k = 0u; k < {_EACH}u; k++) {{
    if k * {group}u + lane >= p.n {{ break; }}
    keys[goal[k]] = own[k];
    sources[goal[k]] = own_source[k];
  }}
}}
workgroupBarrier();
for (var at = lane; at < p.n; at += {group}u) {{
  let source = sources[at];
  out[out_row + at * p.out_step] = {rows.element};
}}
"""
    to.launch(
        "sort of rows",
        body,
        reads={"x": rows.x},
        writes={"out": rows.out},
        params={**rows.params, **rows.places[0].params, **rows.places[1].params},
        groups=rows.number,
        size=(group, 1, 1),
        outside="\n".join([outside, *(its.text for its in rows.places)]),
    )


# Radix sort ---------------------------------------------------------------------------------------
# D. E. Knuth, "The Art of Computer Programming", volume 3, 1973, section 5.2.5, algorithm R, with
# counts of blocks in the place of lists.


def _digits(dtype: DType) -> range:
    """First bits of the digits that keys of a dtype differ in."""
    first = {"float16": 12, "bfloat16": 16}.get(dtype.name, 0)  # others are as the sign is
    bits = 32 if dtype.kind == "float" and dtype.itemsize < 4 else 8 * dtype.itemsize
    return range(first, 1 if dtype.kind == "bool" else bits, _BITS)


def _radix(to: Writer, rows: _Rows, digits: range) -> None:
    """Sort stably by one digit after the other, the lowest first.

    Blocks count how often each digit occurs. The sums of the counts, in the order of digits and
    then of blocks, say where the elements of each block with each digit begin.
    """
    kind = rows.key[0]
    blocks = -(-rows.length // (_LANES * _RUN))
    shape = rows.number, rows.length
    keys, sources = to.scratch("uint64" if kind == "u64" else "uint32", shape), None
    _write_keys(to, rows, keys)
    for first in digits:
        counts = to.scratch("uint32", (rows.number, blocks << _BITS))
        ends = to.scratch("uint32", counts.shape)
        params = {"n": rows.length, "blocks": blocks, "first": first}
        _count_digits(to, keys, counts, params)
        cumulative(to, counts, ends, axis=1, mode="sum")
        if first == digits[-1]:
            _distribute(to, rows, keys, sources, ends, params, None)
            return
        results = to.scratch(keys.dtype, shape), to.scratch("uint32", shape)
        _distribute(to, rows, keys, sources, ends, params, results)
        keys, sources = results


def _write_keys(to: Writer, rows: _Rows, keys: View) -> None:
    each(
        to,
        "keys of a sort",
        rows.number * rows.length,
        "keys[i] = key(x[x_place(i / p.n) + i % p.n * p.x_step]);",
        reads={"x": rows.x},
        writes={"keys": keys},
        places=rows.places[:1],
        params={"n": rows.length, "x_step": rows.params["x_step"]},
        outside=rows.key[1],
    )


# Each invocation counts in a column of its own, so that nothing is to be waited for.
_COUNTED: Final = f"""
let row = group / p.blocks;
let block = group % p.blocks;
let begin = block * {_LANES * _RUN}u + lane * {_RUN}u;
let end = min(begin + {_RUN}u, p.n);
for (var digit = 0u; digit < {1 << _BITS}u; digit++) {{
  counted[digit * {_LANES}u + lane] = 0u;
}}
for (var at = begin; at < end; at++) {{
  counted[digit_of(keys[row * p.n + at]) * {_LANES}u + lane] += 1u;
}}
workgroupBarrier();
"""


def _digit_of(keys: View) -> str:
    return f"""
var<workgroup> counted: array<u32, {_LANES << _BITS}>;
fn digit_of(key: {STORED[keys.dtype.name]}) -> u32 {{
  return u32(key >> p.first) & {(1 << _BITS) - 1}u;
}}
"""


def _count_digits(to: Writer, keys: View, counts: View, params: dict[str, int]) -> None:
    body = f"""{_COUNTED}
if lane < {1 << _BITS}u {{
  var total = 0u;
  for (var k = 0u; k < {_LANES}u; k++) {{
    total += counted[lane * {_LANES}u + k];
  }}
  counts[(row * {1 << _BITS}u + lane) * p.blocks + block] = total;
}}
"""
    to.launch(
        "counts of digits",
        body,
        reads={"keys": keys},
        writes={"counts": counts},
        params=params,
        groups=keys.shape[0] * params["blocks"],
        size=(_LANES, 1, 1),
        outside=_digit_of(keys),
    )


def _distribute(
    to: Writer,
    rows: _Rows,
    keys: View,
    sources: View | None,
    ends: View,
    params: dict[str, int],
    results: tuple[View, View] | None,
) -> None:
    """Put each element where those of its digit are: into the result if there are no others."""
    reads, writes = {"keys": keys, "ends": ends}, {}
    outside = _digit_of(keys)
    rest: dict[str, int] = {}
    source = "let source = at;"
    if sources is not None:
        reads["sources"] = sources
        source = "let source = sources[row * p.n + at];"
    if results is None:
        reads["x"], writes["out"] = rows.x, rows.out
        rest = rows.params | rows.places[0].params | rows.places[1].params
        outside += rows.places[0].text + "\n" + rows.places[1].text
        rows_at = "let x_row = x_place(row);\nlet out_row = out_place(row);"
        write = f"out[out_row + goal * p.out_step] = {rows.element};"
    else:
        writes["keys_out"], writes["sources_out"] = results
        rows_at = ""
        write = "keys_out[row * p.n + goal] = found;\n  sources_out[row * p.n + goal] = source;"
    body = f"""{_COUNTED}
if lane < {1 << _BITS}u {{
  let number = lane * p.blocks + block;
  var before = 0u;
  if number > 0u {{ before = ends[(row << {_BITS}u) * p.blocks + number - 1u]; }}
  for (var k = 0u; k < {_LANES}u; k++) {{
    let its = counted[lane * {_LANES}u + k];
    counted[lane * {_LANES}u + k] = before;
    before += its;
  }}
}}
workgroupBarrier();
{rows_at}
for (var at = begin; at < end; at++) {{
  let found = keys[row * p.n + at];
  {source}
  let column = digit_of(found) * {_LANES}u + lane;
  let goal = counted[column];
  counted[column] = goal + 1u;
  {write}
}}
"""
    to.launch(
        "sort by a digit",
        body,
        reads=reads,
        writes=writes,
        params=params | rest,
        groups=keys.shape[0] * params["blocks"],
        size=(_LANES, 1, 1),
        outside=outside,
    )


# Searches -----------------------------------------------------------------------------------------


def searchsorted(to: Writer, x: View, values: View, out: View, *, side: str) -> None:
    """Places where numbers belong in a sorted array.

    Parameters
    ----------
    to : Writer
    x : View, shape (n,)
        In ascending order, a NaN being the largest.
    values : View
        Of a dtype that meets that of `x`.
    out : View
        Of the shape of `values`; of integers.
    side : str
        ``"left"``: before elements equal to the number; ``"right"``: after them.

    Raises
    ------
    DTypeError
        If the dtypes do not meet by the standard.
    """
    dtype = promote([x.dtype, values.dtype])
    if dtype is None:
        msg = (
            "searchsorted: the dtypes must promote by the standard; got "
            f"{x.dtype.name} and {values.dtype.name}."
        )
        raise DTypeError(msg)
    kind = STORED[dtype.name]
    own = loaded("values[values_place(i)]", values.dtype, kind)
    other = loaded("x[p.x_0 + half * p.step]", x.dtype, kind)
    body = f"""
let own = key({own});
var low = 0u;
var high = p.n;
while low < high {{
  let half = low + (high - low) / 2u;
  if key({other}) {"<" if side == "left" else "<="} own {{
    low = half + 1u;
  }} else {{
    high = half;
  }}
}}
out[out_place(i)] = {STORED[out.dtype.name]}(low);
"""
    each(
        to,
        f"searchsorted {side}",
        math.prod(values.shape),
        body,
        reads={"x": x, "values": values},
        writes={"out": out},
        places=[place("values", values), place("out", out)],
        params={"n": x.shape[0], "step": x.strides[0]},
        outside=key(dtype)[1],
    )
