"""Kernels being written: their text, what they read and write, and over how many workgroups.

What computes an operation lists `Launch`es with a `Writer`, in the order in which they are to run.
Sizes, strides and numbers are parameters, so that one text, which takes long to compile, is for
arrays of all sizes.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final, NamedTuple, Protocol

from volta.core.errors import DeviceError
from volta.core.types import DTYPES, ArrayType, DType
from volta.wgpu.wgsl.prelude import prelude

__all__ = ["COMPUTED", "STORED", "Facts", "Launch", "View", "Writer", "itemsize", "row_major"]

# What an element is in memory, and as what it is computed. Small integers have a word each; what
# computes them must wrap them. A bool is 0 or 1 in memory.
STORED: Final = {
    "bool": "u32",
    **dict.fromkeys(("int8", "int16", "int32"), "i32"),
    **dict.fromkeys(("uint8", "uint16", "uint32"), "u32"),
    "int64": "i64",
    "uint64": "u64",
    "float16": "f16",
    "bfloat16": "f32",
    "float32": "f32",
    "float64": "f64",
}
COMPUTED: Final = STORED | {"bool": "bool", "float16": "f32"}
_BYTES: Final = {"u32": 4, "i32": 4, "f32": 4, "i64": 8, "u64": 8, "f64": 8, "f16": 2}
_WORD: Final = 0xFFFFFFFF
_ALIGNED: Final = 256  # bytes by which a part of a buffer may begin, whatever the device


def itemsize(dtype: DType) -> int:
    """Bytes of an element in the memory of a device."""
    return _BYTES[STORED[dtype.name]]


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of an array in row-major order, in elements; 0 along axes of length 1."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step if n != 1 else 0)
        step *= n
    return tuple(reversed(strides))


class View(NamedTuple):
    """Elements of the memory of a variable.

    Attributes
    ----------
    var : int
    dtype : DType
    shape : tuple of int
    strides : tuple of int
        In elements; may be 0 or negative.
    offset : int
        The element that is the first.
    """

    var: int
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def kind(self) -> ArrayType:
        """Its type."""
        return ArrayType(self.shape, self.dtype)

    @property
    def is_row_major(self) -> bool:
        """Whether its elements follow each other, whatever the first one is."""
        own = zip(self.shape, self.strides, row_major(self.shape), strict=True)
        return all(n == 1 or stride == wanted for n, stride, wanted in own)

    @property
    def extent(self) -> tuple[int, int]:
        """The first element of the memory that it has, and the one after the last."""
        if 0 in self.shape:
            return self.offset, self.offset
        reach = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        return self.offset + sum(min(r, 0) for r in reach), self.offset + 1 + sum(
            max(r, 0) for r in reach
        )


class Part(NamedTuple):
    """What a kernel sees of a variable: bytes from `start` on, or all of it if `nbytes` is 0."""

    var: int
    start: int
    nbytes: int
    writes: bool


class Launch(NamedTuple):
    """A kernel over arrays.

    Attributes
    ----------
    text : str
        WGSL.
    label : str
        What errors call it.
    parts : tuple of Part
        What is bound from number 1 on; its parameters are number 0.
    words : bytes
        Of the parameters.
    grid : tuple of int
        Workgroups along three axes.
    """

    text: str
    label: str
    parts: tuple[Part, ...]
    words: bytes
    grid: tuple[int, int, int]


class Facts(Protocol):
    """What a writer asks of a device."""

    limits: Any
    features: frozenset[str]
    kind: str


class Writer:
    """Launches being listed.

    Parameters
    ----------
    facts : Device
    fresh : iterator of int
        Numbers of variables that there are not.

    Attributes
    ----------
    launches : list of Launch
    sizes : dict of int to int
        Bytes of scratch memory, by variable.
    """

    def __init__(self, facts: Facts, fresh: Iterator[int] | None = None) -> None:
        self.facts, self.fresh = facts, count(1 << 30) if fresh is None else fresh
        self.launches: list[Launch] = []
        self.sizes: dict[int, int] = {}

    def scratch(self, dtype: DType | str, shape: tuple[int, ...]) -> View:
        """Memory that only these launches use, in row-major order; what is in it is not defined."""
        dtype = DTYPES[dtype] if isinstance(dtype, str) else dtype
        v = next(self.fresh)
        strides = row_major(shape)
        nbytes = itemsize(dtype)
        for n in shape:
            nbytes *= n
        self.sizes[v] = nbytes
        return View(v, dtype, shape, strides)

    def launch(
        self,
        label: str,
        body: str,
        *,
        reads: Mapping[str, View] | None = None,
        writes: Mapping[str, View] | None = None,
        params: Mapping[str, float] | None = None,
        groups: int | tuple[int, int, int],
        size: tuple[int, int, int] = (64, 1, 1),
        outside: str = "",
        subgroups: bool = False,
        pairs: Mapping[str, str] | None = None,
    ) -> None:
        """List a kernel.

        The body finds arrays by their names, whose elements are `STORED`; the offset of array
        ``x`` is ``p.x_0``. Parameters are ``p.name``: of an int, modulo 2³², u32, of a float f32.
        The body also has ``group`` (number of the workgroup, if `groups` is one number, else its
        three coordinates as a vector), ``local`` and ``lane`` (coordinates and number of the
        invocation in its workgroup), and with `subgroups` ``subgroup_size``, ``subgroup`` and
        ``subgroup_lane``. Functions of the prelude are there by their names.

        Parameters
        ----------
        label : str
        body : str
            Of ``fn main``.
        reads, writes : dict of str to View
            Arrays. One of `writes` may be read, too; no variable may be in both.
        params : dict of str to number
        groups : int or tuple of three int
            Workgroups: as many as there need be, or along axes none of which may be beyond the
            device's limit.
        size : tuple of int
            Of a workgroup.
        outside : str
            Functions and workgroup variables of the kernel's own.
        subgroups : bool
            Whether it uses subgroups.
        pairs : dict of str to str
            Arrays of elements of a word that the body finds as arrays of pairs of them, with the
            type of a pair: ``vec2<f32>``, or ``u64`` that has the first below; or of four, such as
            ``vec4<f32>``. Their offsets must be multiples of that, and are in pairs or fours.
        """
        pairs = pairs or {}
        arrays = [(n, v, False) for n, v in (reads or {}).items()]
        arrays += [(n, v, True) for n, v in (writes or {}).items()]
        parts: list[Part] = []
        values: dict[str, float] = {"zero": 0}
        for name, view, is_written in arrays:
            part, first = self._part(label, view, is_written)
            parts.append(part)
            values[f"{name}_0"] = first // _together(pairs.get(name))
        values.update(params or {})
        if isinstance(groups, int):
            across = min(groups, self.facts.limits.groups)
            grid = across, -(-groups // max(across, 1)), 1
            begin = "let group = at.x;"
            if grid[1] > 1:  # a return, even if no invocation does, takes half of llvmpipe's speed
                values |= {"across": across, "groups": groups}
                begin = "let group = at.y * p.across + at.x;\n  if group >= p.groups { return; }"
        else:
            grid, begin = groups, "let group = at;"
        if 0 in grid:
            return
        if max(grid) > self.facts.limits.groups:
            msg = f"wgpu: {label} must have at most {self.facts.limits.groups} groups; got {grid}"
            raise DeviceError(msg)
        text = _text(arrays, values, body, begin, size, outside, subgroups, pairs)
        self.launches.append(Launch(text, label, tuple(parts), _words(values), grid))

    def _part(self, label: str, view: View, is_written: bool) -> tuple[Part, int]:
        """What is bound of an array, and the element of it that is the first there."""
        most, nbytes = self.facts.limits.binding, itemsize(view.dtype)
        first, last = view.extent
        if last * nbytes <= most:
            return Part(view.var, 0, 0, is_written), view.offset
        start = first * nbytes // _ALIGNED * _ALIGNED
        length = -(-(last * nbytes - start) // 4) * 4
        if length > most:
            msg = f"wgpu: {label} must see at most {most:,} bytes of an array; got {length:,}"
            raise DeviceError(msg)
        return Part(view.var, start, length, is_written), view.offset - start // nbytes


def _text(
    arrays: list[tuple[str, View, bool]],
    values: Mapping[str, float],
    body: str,
    begin: str,
    size: tuple[int, int, int],
    outside: str,
    subgroups: bool,
    pairs: Mapping[str, str],
) -> str:
    """WGSL text of a kernel."""
    own = f"{outside}\n{body}"
    functions = prelude(dict.fromkeys(_NAMES.findall(own)))
    kinds = [pairs.get(name, STORED[view.dtype.name]) for name, view, _ in arrays]
    fields = ", ".join(f"{n}: {'f32' if type(v) is float else 'u32'}" for n, v in values.items())
    lines = ["enable f16;"] if "f16" in {*kinds} or _HALF.search(own + functions) else []
    lines += [f"struct Parameters {{ {fields} }}"]
    lines += ["@group(0) @binding(0) var<uniform> p: Parameters;"]
    for i, ((name, _, is_written), kind) in enumerate(zip(arrays, kinds, strict=True)):
        access = "read_write" if is_written else "read"
        lines += [f"@group(0) @binding({i + 1}) var<storage, {access}> {name}: array<{kind}>;"]
    lines += [functions, outside, f"@compute @workgroup_size({', '.join(map(str, size))})"]
    builtins = {"workgroup_id": "at: vec3<u32>", "local_invocation_id": "local: vec3<u32>"}
    builtins["local_invocation_index"] = "lane: u32"
    if subgroups:
        builtins["subgroup_size"] = "subgroup_size: u32"
        builtins["subgroup_id"] = "subgroup: u32"
        builtins["subgroup_invocation_id"] = "subgroup_lane: u32"
    taken = ", ".join(f"@builtin({n}) {its}" for n, its in builtins.items())
    zero = "  v_zero = p.zero;\n" if "v_zero" in functions else ""
    lines += [f"fn main({taken}) {{\n{zero}  {begin}\n{body}\n}}"]
    return "\n".join(line for line in lines if line)


_NAMES: Final = re.compile(r"\bv_[a-z]\w*")
_HALF: Final = re.compile(r"\bf16\b")


def _together(kind: str | None) -> int:
    """Elements that a body finds as one."""
    if kind is None:
        return 1
    return 4 if kind.startswith("vec4") else 2


def _words(values: Mapping[str, float]) -> bytes:
    """Bytes of the parameters, a multiple of 16."""
    words = b"".join(
        struct.pack("<f", v) if type(v) is float else struct.pack("<I", int(v) & _WORD)
        for v in values.values()
    )
    return words + bytes(-len(words) % 16)
