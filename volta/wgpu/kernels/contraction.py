"""Sums of products in tiles: what products of matrices and convolutions have in common.

A `Contraction` is Σₖ x[batch, m, k] · y[batch, k, n], where WGSL functions say which elements of
arrays these are. Either operand is read in blocks: of two neighbours along m or n, at two
neighbours along k. There are two kernels. On a device of many cores, a workgroup has tiles of both
operands in its shared memory. Where the device is the host, that is nothing but memory, and the
cost is in reading: lane by lane, an element at a time, of whatever size. A few lanes there hold a
large tile in registers, each reads rows for all, and pairs of elements are read as one.

Long sums are parted, so that roundings do not pile up, no invocation loops for too long, and small
results are the work of many workgroups. A second kernel adds the parts in their order.
"""

from math import isqrt, prod
from typing import Final, NamedTuple

from volta.core.types import DType
from volta.wgpu.launch import STORED, View, Writer

__all__ = ["Contraction", "accumulated", "contract", "pair_of"]

_LANES: Final = 8  # invocations of a workgroup on the host: those of a vector register
_SHARING: Final = 4  # of them read for each other: the smallest subgroup that there is
_ROTATED: Final = 4  # rows of a tile that have code to be stored; the others take their places
_THREADS: Final = 256  # of a workgroup on other devices, 16 by 16
_SCRATCH: Final = 1 << 26  # bytes that the parts of a result may take together
_FLOATS: Final = 1024  # products that are added up one by one, so that rounding errors stay small
_MOST: Final = 16384  # likewise of integers and 64-bit floats: a driver's limit of loops, halved
_STORE: Final = {
    "float16": "f16(v)",
    "bfloat16": "bitcast<f32>(select((bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u, "
    "0x7fc00000u, v_isnan(v)))",
    "int8": "(v << 24u) >> 24u",
    "int16": "(v << 16u) >> 16u",
    "uint8": "v & 0xffu",
    "uint16": "v & 0xffffu",
}


class Contraction(NamedTuple):
    """Sums of products of elements of two arrays.

    Attributes
    ----------
    label : str
    x, y, out : View
    batch, m, n, k : int
    params : dict of str to int
        What the functions use.
    reading : str
        WGSL types ``Rows``, ``Columns`` (two neighbours along m and n, those beyond the last being
        that) and ``Step`` (an index along k), and functions:

        - ``begin(batch: u32)``, which comes first.
        - ``rows(m: u32) -> Rows``, ``columns(n: u32) -> Columns``
        - ``step(k: u32) -> Step``, ``next(s: Step) -> Step``; the last has itself as its next.
        - ``read_x(r: Rows, s: Step, t: Step) -> vec4`` of both at s, then both at t, which is the
          next of s; ``read_y(c: Columns, s: Step, t: Step) -> vec4``

        Values are of type ``T``, which is `accumulated`.
    writing : str
        WGSL functions ``out_start(batch: u32) -> u32``, ``out_row(m: u32) -> u32`` and
        ``out_column(n: u32) -> u32``, whose sum is where the result is in ``out``.
    along_k : tuple of bool
        Whether neighbours in memory of x, and of y, are neighbours along k.
    pairs : dict of str to str
        See `Writer.launch`.
    """

    label: str
    x: View
    y: View
    out: View
    batch: int
    m: int
    n: int
    k: int
    params: dict[str, int]
    reading: str
    writing: str
    along_k: tuple[bool, bool]
    pairs: dict[str, str]


class _Tile(NamedTuple):
    """How many rows and columns a workgroup has, and how many steps at a time."""

    rows: int
    columns: int
    steps: int = 2


_HOST: Final = (_Tile(32, 64), _Tile(8, 64), _Tile(8, 16))
_PLAIN: Final = _Tile(8, 32)  # of a larger one, SwiftShader compiles the code for minutes
_OTHER: Final = (_Tile(128, 128, 8), _Tile(64, 64, 16), _Tile(32, 32, 32))


def _is_host(to: Writer) -> bool:
    """Whether the device is the host."""
    return to.facts.kind == "cpu"


def _shares(to: Writer) -> bool:
    """Whether lanes read for each other, which is slow on a host that has no 64-bit integers."""
    return _is_host(to) and {"subgroups", "int64"} <= to.facts.features


def accumulated(dtype: DType) -> str:
    """WGSL type in which elements are multiplied and added up."""
    return "f32" if dtype.name == "float16" else STORED[dtype.name]


def pair_of(to: Writer, dtype: DType) -> tuple[str, str]:
    """WGSL type of two elements of a word each that are read as one, and function that parts them.

    On the host that must be an integer: of a vector, each element is read for itself.
    """
    if _is_host(to) and "int64" in to.facts.features:
        return "u64", _WIDE
    return f"vec2<{accumulated(dtype)}>", "fn pair(v: vec2<T>) -> vec2<T> { return v; }\n"


_WIDE: Final = """
fn pair(v: u64) -> vec2<T> {
  return vec2<T>(bitcast<T>(u32(v)), bitcast<T>(u32(v >> 32u)));
}
"""


def contract(to: Writer, c: Contraction) -> None:
    """List kernels that compute the sums."""
    count = c.batch * c.m * c.n
    if not count:
        return
    if not c.k:
        _total(to, c, to.scratch(c.out.dtype, (0, c.batch, c.m, c.n)))
        return
    tile = _tile(to, c)
    tiles = c.batch * -(-c.m // tile.rows) * -(-c.n // tile.columns)
    chunk, parts = _parted(to, c, tile, tiles)
    if parts == 1:
        _launch(to, c, tile, c.out, chunk, range(1))
        return
    nbytes = count * (8 if "64" in accumulated(c.x.dtype) else 4)
    at_once = max(1, min(parts, min(_SCRATCH, to.facts.limits.binding) // nbytes))
    wide = "float32" if c.x.dtype.name in ("float16", "bfloat16") else c.x.dtype
    partial = to.scratch(wide, (at_once, c.batch, c.m, c.n))
    for first in range(0, parts, at_once):
        _launch(to, c, tile, partial, chunk, range(first, min(first + at_once, parts)))
    _total(to, c, partial)


def _tile(to: Writer, c: Contraction) -> _Tile:
    """The tile that is likely to take the least time."""
    if _is_host(to):
        return min(_HOST, key=lambda t: _cost(c, t)) if _shares(to) else _PLAIN
    for tile in _OTHER[:-1]:
        covered = c.batch * (c.m // tile.rows) * (c.n // tile.columns)
        if covered >= 64 and not ("64" in accumulated(c.x.dtype) and tile.rows > 64):
            return tile
    return _OTHER[-1] if min(c.m, c.n) <= 32 else _OTHER[-2]


def _cost(c: Contraction, tile: _Tile) -> float:
    """Of a step on the host: reading takes 30 times as long as a product of registers."""
    registers = tile.rows * tile.columns // _LANES
    read = tile.columns / _LANES + tile.rows / _SHARING
    return -(-c.m // tile.rows) * -(-c.n // tile.columns) * (registers + 30 * read)


def _parted(to: Writer, c: Contraction, tile: _Tile, tiles: int) -> tuple[int, int]:
    """Steps of a part, and number of parts."""
    wanted, least = (16, 256) if _is_host(to) else (256, 128)
    longest = _FLOATS if accumulated(c.x.dtype) == "f32" else _MOST
    longest = min(max(longest, isqrt(c.k)), _MOST)
    parts = max(-(-c.k // longest), min(-(-wanted // tiles), c.k // least), 1)
    chunk = -(-c.k // (parts * tile.steps)) * tile.steps
    return chunk, max(1, -(-c.k // max(chunk, 1)))


def _launch(to: Writer, c: Contraction, tile: _Tile, into: View, chunk: int, parts: range) -> None:
    """List the kernel of tiles, over some of the parts."""
    down, across = -(-c.m // tile.rows), -(-c.n // tile.columns)
    tiles = down * across * c.batch * len(parts)
    most = to.facts.limits.groups
    grid = min(tiles, most)
    params = c.params | {"m": c.m, "n": c.n, "k": c.k, "chunk": chunk, "batches": c.batch}
    params |= {"tiles": tiles, "grid": grid, "tiles_m": down, "tiles_n": across}
    is_part = into is not c.out
    if is_part:
        params |= {"first_part": parts.start, "adds": int(parts.start > 0)}
    host = _is_host(to)
    storing = _PART if is_part else c.writing + _store(c.out.dtype)
    to.launch(
        c.label,
        _BEGIN + (_host_body(to, tile) if host else _other_body(c, tile)),
        reads={"x": c.x, "y": c.y},
        writes={"out": into},
        params=params,
        groups=(grid, -(-tiles // grid), 1),
        size=(_LANES if host else _THREADS, 1, 1),
        outside=_type(c) + c.reading + storing + _KNOWN + ("" if host else _shared(tile)),
        subgroups=_shares(to),
        pairs=c.pairs,
    )


def _type(c: Contraction) -> str:
    return f"alias T = {accumulated(c.x.dtype)};\n"


# Workgroups beyond the last have no row. To return from them would, on the host, be a condition of
# everything that comes after, and everything twice as slow.
_BEGIN: Final = """
  let tile = group.y * p.grid + group.x;
  let end = select(0u, p.m, tile < p.tiles);
  let across = tile / p.tiles_m;
  let z = across / p.tiles_n;
  let part = z / p.batches;
  let batch = z % p.batches;
"""

_PART: Final = """
fn store(part: u32, batch: u32, m: u32, n: u32, v: T) {
  let i = ((part * p.batches + batch) * p.m + m) * p.n + n + p.out_0;
  if p.adds != 0u { out[i] += v; } else { out[i] = v; }
}
fn first_step(part: u32) -> u32 { return (p.first_part + part) * p.chunk; }
"""


def _store(dtype: DType) -> str:
    """WGSL that stores a result."""
    value = _STORE.get(dtype.name, "v")
    bits = "let bits = bitcast<u32>(v);" if "bits" in value else ""
    return f"""
fn store(part: u32, batch: u32, m: u32, n: u32, v: T) {{
  {bits}
  out[out_start(batch) + out_row(m) + out_column(n)] = {value};
}}
fn first_step(part: u32) -> u32 {{ return 0u; }}
"""


_KNOWN: Final = """
fn known(v: vec4<T>, both: bool) -> vec4<T> {
  return vec4<T>(v.xy, select(vec2<T>(), v.zw, both));
}
"""


# The host -----------------------------------------------------------------------------------------


def _host_body(to: Writer, tile: _Tile) -> str:
    """WGSL of a tile in the registers of a few lanes."""
    shared = _shares(to)
    # two rows of each block: of all lanes, or of each of those that read for each other
    blocks = range(tile.rows // 2 // (_SHARING if shared else 1))
    lane = f"2u * (lane % {_SHARING}u)" if shared else "0u"
    pairs = range(tile.columns // 2 // _LANES)
    rows, columns = range(tile.rows), range(tile.columns // _LANES)
    lines = ["begin(batch);"]
    lines += [f"let m0 = tile % p.tiles_m * {tile.rows}u;"]
    lines += [f"let n0 = across % p.tiles_n * {tile.columns}u + 2u * lane;"]
    height = tile.rows // len(blocks)
    lines += [f"let r{i} = rows(m0 + {height * i}u + {lane});" for i in blocks]
    lines += [f"let c{j} = columns(n0 + {2 * _LANES * j}u);" for j in pairs]
    lines += [f"var t{i}_{j} = vec2<T>().x;" for i in rows for j in columns]
    lines += ["let first = first_step(part);", "let last = min(first + p.chunk, p.k);"]
    lines += ["var s = step(first);", "for (var k = first; k < last; k += 2u) {"]
    lines += ["let u = next(s);", "let both = k + 1u < last;"]
    lines += [f"let b{j} = known(read_y(c{j}, s, u), both);" for j in pairs]
    for i in blocks:
        lines += [f"let a{i} = known(read_x(r{i}, s, u), both);"]
        for q in range(height // 2):
            lines += [
                f"let a{i}_{q} = " + (f"subgroupBroadcast(a{i}, {q}u);" if shared else f"a{i};")
            ]
            for h in range(2):
                row = height * i + 2 * q + h
                lines += [
                    f"t{row}_{j} = t{row}_{j} + a{i}_{q}.{'xy'[h]} * b{j // 2}.{'xy'[j % 2]}"
                    f" + a{i}_{q}.{'zw'[h]} * b{j // 2}.{'zw'[j % 2]};"
                    for j in columns
                ]
    lines += ["s = next(u);", "}"]
    # code that stores is long, with conditions for each lane, so it is there for some rows only
    lines += [f"for (var i = 0u; i < {tile.rows}u; i += {_ROTATED}u) {{"]
    for i in range(_ROTATED):
        for j in columns:
            n = f"n0 + {2 * _LANES * (j // 2) + j % 2}u"
            lines += [f"if m0 + i + {i}u < end && {n} < p.n {{"]
            lines += [f"store(part, batch, m0 + i + {i}u, {n}, t{i}_{j}); }}"]
    moved = range(tile.rows - _ROTATED)
    lines += [f"t{i}_{j} = t{i + _ROTATED}_{j};" for i in moved for j in columns]
    return "\n".join([*lines, "}"])


# Other devices ------------------------------------------------------------------------------------


def _shared(tile: _Tile) -> str:
    """WGSL of what a workgroup shares: pairs of rows and of columns, one step after the other."""
    rows, columns = tile.rows // 2 * tile.steps, tile.columns // 2 * tile.steps
    return f"""
var<workgroup> xs: array<vec2<T>, {rows}>;
var<workgroup> ys: array<vec2<T>, {columns}>;
"""


def _other_body(c: Contraction, tile: _Tile) -> str:
    """WGSL of a tile of 256 invocations, each with pairs of rows and of columns."""
    pairs, across = range(tile.rows // 32), range(tile.columns // 32)
    lines = ["begin(batch);", "let row = lane / 16u;", "let column = lane % 16u;"]
    lines += [f"let m0 = tile % p.tiles_m * {tile.rows}u;"]
    lines += [f"let n0 = across % p.tiles_n * {tile.columns}u;"]
    lines += [
        _mine("x", c.along_k[0], tile.rows, tile),
        _mine("y", c.along_k[1], tile.columns, tile),
    ]
    lines += ["let r = rows(m0 + 2u * x_pair);", "let c = columns(n0 + 2u * y_pair);"]
    lines += [f"var t{i}_{j} = vec4<T>();" for i in pairs for j in across]
    lines += ["let first = first_step(part);", "let last = min(first + p.chunk, p.k);"]
    lines += ["var x_block: vec4<T>;", "var y_block: vec4<T>;", *_fetched("first")]
    lines += [f"for (var k = first; k < last; k += {tile.steps}u) {{"]
    for name, length in (("x", tile.rows), ("y", tile.columns)):
        for h, both in enumerate(("xy", "zw")):
            place = f"({name}_step + {h}u) * {length // 2}u + {name}_pair"
            lines += [f"{name}s[{place}] = {name}_block.{both};"]
    # the next blocks are on their way while these are multiplied
    lines += ["workgroupBarrier();", f"let then = k + {tile.steps}u;", *_fetched("then")]
    lines += [f"for (var i = 0u; i < {tile.steps}u; i += 1u) {{"]
    lines += [f"let a{i} = xs[i * {tile.rows // 2}u + row + {16 * i}u];" for i in pairs]
    lines += [f"let b{j} = ys[i * {tile.columns // 2}u + column + {16 * j}u];" for j in across]
    lines += [f"t{i}_{j} += a{i}.xxyy * b{j}.xyxy;" for i in pairs for j in across]
    lines += ["}", "workgroupBarrier();", "}"]
    for i in pairs:
        for j in across:
            m, n = f"m0 + 2u * row + {32 * i}u", f"n0 + 2u * column + {32 * j}u"
            for at, (h, w) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
                lines += [f"if {m} + {h}u < end && {n} + {w}u < p.n {{"]
                lines += [f"store(part, batch, {m} + {h}u, {n} + {w}u, t{i}_{j}[{at}]); }}"]
    return "\n".join(lines)


def _fetched(k: str) -> list[str]:
    """WGSL that reads an invocation's blocks from some step on: zeros beyond the last."""
    lines = []
    for name, outer in (("x", "r"), ("y", "c")):
        lines += [f"{name}_block = vec4<T>();", f"if {k} + {name}_step < last {{"]
        lines += [f"let s = step({k} + {name}_step);"]
        lines += [f"let block = read_{name}({outer}, s, next(s));"]
        lines += [f"{name}_block = known(block, {k} + {name}_step + 1u < last);", "}"]
    return lines


def _mine(name: str, along_k: bool, length: int, tile: _Tile) -> str:
    """WGSL that says which block of a tile an invocation reads: neighbours read neighbours."""
    steps, pairs = f"{tile.steps // 2}u", f"{length // 2}u"
    if along_k:
        return f"let {name}_step = lane % {steps} * 2u;\nlet {name}_pair = lane / {steps};"
    return f"let {name}_step = lane / {pairs} * 2u;\nlet {name}_pair = lane % {pairs};"


# Parts --------------------------------------------------------------------------------------------


def _total(to: Writer, c: Contraction, partial: View) -> None:
    """List the kernel that adds the parts."""
    count = prod(partial.shape[1:])
    to.launch(
        f"{c.label}: sum of parts",
        """
  let i = group * 64u + lane;
  if i >= p.count { return; }
  var total = vec2<T>().x;
  for (var part = 0u; part < p.parts; part += 1u) {
    total += T(partial[p.partial_0 + part * p.count + i]);
  }
  let row = i / p.n;
  store(0u, row / p.m, row % p.m, i % p.n, total);""",
        reads={"partial": partial},
        writes={"out": c.out},
        params=c.params | {"count": count, "parts": partial.shape[0], "m": c.m, "n": c.n, "k": c.k},
        groups=-(-count // 64),
        outside=_type(c) + c.writing + _store(c.out.dtype),
    )
