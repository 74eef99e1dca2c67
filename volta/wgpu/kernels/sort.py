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
from volta.wgpu.loops import copy

__all__ = ["argsort", "searchsorted", "sort", "top_indices"]

_FEW: Final = 32  # elements of a row whose places are counted
_EACH: Final = 4  # that an invocation merges
_GROUPS: Final = (64, 256)  # invocations that merge a row; they share at most 12 KiB


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
    _sort(to, _Rows(x, out, axis, descending, "x[x_row + source * p.x_step]"), _bits(x.dtype))


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
    rows = _Rows(x, out, axis, descending, f"{STORED[out.dtype.name]}(source)")
    _sort(to, rows, _bits(x.dtype) if bits is None else (0, max(bits, 1)))


def top_indices(to: Writer, x: View, out: View, *, axis: int) -> None:
    """Indices of the largest elements along an axis, the largest first; of equal ones the first.

    Parameters
    ----------
    to : Writer
    x : View
    out : View
        Of integers; of the shape of `x`, but along the axis as long as there are indices wanted.
    axis : int
    """
    order = to.scratch(out.dtype, x.shape)
    argsort(to, x, order, axis=axis, descending=True)
    copy(to, order._replace(shape=out.shape), out)


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


def _sort(to: Writer, rows: _Rows, bits: tuple[int, int]) -> None:
    if 0 in rows.x.shape:
        return
    if rows.length <= _FEW:
        _count(to, rows)
    elif rows.length <= _EACH * _GROUPS[-1]:
        _merge(to, rows)
    else:
        _radix(to, rows, bits)


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


class _Tiling(NamedTuple):
    """Bits of a digit, invocations of a block, and elements of each."""

    bits: int
    lanes: int
    run: int

    @property
    def block(self) -> int:
        return self.lanes * self.run

    @property
    def counters(self) -> int:
        return self.lanes << self.bits


# The counters are 4 and 16 KiB. Few lanes suit drivers whose lanes run one after the other.
_PARALLEL: Final = _Tiling(4, 64, 16)
_ON_HOST: Final = _Tiling(8, 16, 256)


def _bits(dtype: DType) -> tuple[int, int]:
    """First and last of the bits that keys differ in; below the first ones are as the sign is."""
    if dtype.kind == "bool":
        return 0, 1
    if dtype.kind == "float" and dtype.itemsize == 2:  # its key is that of a float32
        return 13 if dtype.name == "float16" else 16, 32
    return 0, 8 * dtype.itemsize


def _radix(to: Writer, rows: _Rows, bits: tuple[int, int]) -> None:
    """Sort stably by one digit after the other, the lowest first.

    Blocks count how often each digit occurs. The sums of the counts, in the order of digits and
    then of blocks, say where the elements of each block with each digit begin.
    """
    tiling = _ON_HOST if to.facts.kind == "cpu" else _PARALLEL
    blocks = -(-rows.length // tiling.block)
    elements = rows.number, rows.length
    counts = rows.number, blocks << tiling.bits
    wide = "uint64" if rows.key[0] == "u64" else "uint32"
    found: tuple[View, View] | None = None
    for first in range(*bits, tiling.bits):
        step = _Step(to, rows, tiling, blocks, first, found)
        counted, ends = to.scratch("uint32", counts), to.scratch("uint32", counts)
        step.count_digits(counted)
        cumulative(to, counted, ends, axis=1, mode="sum")
        if first + tiling.bits >= bits[1]:
            step.distribute(ends, None)
            return
        found = to.scratch(wide, elements), to.scratch("uint32", elements)
        step.distribute(ends, found)


class _Step(NamedTuple):
    """A pass of the radix sort, by the digit whose lowest bit is number `first`.

    Attributes
    ----------
    found : tuple of View or None
        Keys and indices after the pass before.
    """

    to: Writer
    rows: _Rows
    tiling: _Tiling
    blocks: int
    first: int
    found: tuple[View, View] | None

    @property
    def _key(self) -> str:
        """WGSL of the key of the element that is now at ``at``."""
        return "key(x[x_row + at * p.x_step])" if self.found is None else "keys[row * p.n + at]"

    def count_digits(self, counts: View) -> None:
        """Count digits."""
        bits, lanes = self.tiling.bits, self.tiling.lanes
        rest = f"""
for (var digit = lane; digit < {1 << bits}u; digit += {lanes}u) {{
  var total = 0u;
  for (var k = 0u; k < {lanes}u; k++) {{
    total += counted[digit * {lanes}u + k];
  }}
  counts[((row << {bits}u) + digit) * p.blocks + block] = total;
}}
"""
        self._launch("counts of digits", rest, {}, {"counts": counts}, is_last=False)

    def distribute(self, ends: View, results: tuple[View, View] | None) -> None:
        """Put elements where those with their digit are, in the end into what is sorted."""
        bits, lanes = self.tiling.bits, self.tiling.lanes
        source = "at" if self.found is None else "sources[row * p.n + at]"
        reads, writes = {"ends": ends}, {"out": self.rows.out}
        write = f"out[out_row + goal * p.out_step] = {self.rows.element};"
        if results is not None:
            writes = {"keys_out": results[0], "sources_out": results[1]}
            write = "keys_out[row * p.n + goal] = own;\n  sources_out[row * p.n + goal] = source;"
        if self.found is not None:
            reads["sources"] = self.found[1]
        rest = f"""
for (var digit = lane; digit < {1 << bits}u; digit += {lanes}u) {{
  let number = digit * p.blocks + block;
  var before = 0u;
  if number > 0u {{ before = ends[(row << {bits}u) * p.blocks + number - 1u]; }}
  for (var k = 0u; k < {lanes}u; k++) {{
    let its = counted[digit * {lanes}u + k];
    counted[digit * {lanes}u + k] = before;
    before += its;
  }}
}}
workgroupBarrier();
for (var at = begin; at < end; at++) {{
  let own = {self._key};
  let source = {source};
  let column = digit_of(own) * {lanes}u + lane;
  let goal = counted[column];
  counted[column] = goal + 1u;
  {write}
}}
"""
        self._launch("sort by a digit", rest, reads, writes, is_last=results is None)

    def _launch(
        self, label: str, rest: str, reads: dict[str, View], writes: dict[str, View], is_last: bool
    ) -> None:
        """List a kernel that counts digits of a block, and what it does then.

        Each invocation has counters of its own, and elements that follow each other.
        """
        bits, lanes, run = self.tiling
        kind, function = self.rows.key
        params = {"n": self.rows.length, "blocks": self.blocks, "first": self.first}
        parts = [f"var<workgroup> counted: array<u32, {self.tiling.counters}>;", function]
        parts += [f"fn digit_of(key: {kind}) -> u32 {{"]
        parts += [f"  return u32(key >> p.first) & {(1 << bits) - 1}u;", "}"]
        begin = ["let row = group / p.blocks;", "let block = group % p.blocks;"]
        if self.found is not None:
            reads = {"keys": self.found[0], **reads}
        if self.found is None or is_last:
            x, out = self.rows.places
            reads = {"x": self.rows.x, **reads}
            params |= self.rows.params | x.params
            parts += [x.text]
            begin += ["let x_row = x_place(row);"]
            if is_last:
                params |= out.params
                parts += [out.text]
                begin += ["let out_row = out_place(row);"]
        body = f"""
{chr(10).join(begin)}
let begin = block * {self.tiling.block}u + lane * {run}u;
let end = min(begin + {run}u, p.n);
for (var digit = 0u; digit < {1 << bits}u; digit++) {{
  counted[digit * {lanes}u + lane] = 0u;
}}
for (var at = begin; at < end; at++) {{
  counted[digit_of({self._key}) * {lanes}u + lane] += 1u;
}}
workgroupBarrier();
{rest}
"""
        self.to.launch(
            label,
            body,
            reads=reads,
            writes=writes,
            params=params,
            groups=self.rows.number * self.blocks,
            size=(lanes, 1, 1),
            outside="\n".join(parts),
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
