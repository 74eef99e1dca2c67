"""Convolutions and what they are transposed, as sums of products of which no operand is unfolded.

Each has a weight or a result as the operand with rows, and finds elements of the other array by
where they are in space: places, and steps along the sum, each have a position along each axis, and
it is their sum. Where that is outside, what is read is zero.
"""

from collections.abc import Sequence
from math import prod
from typing import Final, NamedTuple

from volta.wgpu.kernels.contraction import Contraction, contract, pair_of
from volta.wgpu.launch import View, Writer, itemsize

__all__ = ["convolution", "convolution_input", "convolution_weight"]

Sizes = Sequence[int]
Padding = Sequence[tuple[int, int]]


def convolution(
    to: Writer,
    x: View,
    w: View,
    out: View,
    *,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
) -> None:
    """List kernels of a convolution.

    Parameters
    ----------
    to : Writer
    x : View, shape (batch, groups * inputs, *space)
    w : View, shape (groups * outputs, inputs, *kernel), dtype of x
    out : View, shape (batch, groups * outputs, *places), dtype of x
    stride, dilation : sequence of int
        One number an axis of space, of which there are from one to three.
    padding : sequence of pairs of int
        How much is added before and after; negative where x is cropped.
    groups : int
    """
    outputs, inputs, *kernel = w.shape[0] // groups, *w.shape[1:]
    batch, places = x.shape[0], out.shape[2:]
    low = [-before for before, _ in padding]
    contract(
        to,
        _contraction(
            to,
            "convolution",
            _Rows(w, outputs, w.strides[0], outputs * w.strides[0], w.strides[1:]),
            _Read(x, inputs * x.strides[1], x.strides[0], x.strides[1]),
            _Written(
                out, out.strides[1], outputs * out.strides[1], out.strides[0], out.strides[2:]
            ),
            _Places((batch, *places), stride, low),
            _Places((inputs, *kernel), dilation, [0] * len(kernel)),
            groups,
        ),
    )


def convolution_input(
    to: Writer,
    y: View,
    w: View,
    out: View,
    *,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
) -> None:
    """List kernels of the transpose of a convolution in its input; see `convolution`.

    Parameters
    ----------
    to : Writer
    y : View, shape (batch, groups * outputs, *places)
    w : View, shape (groups * outputs, inputs, *kernel), dtype of y
    out : View, shape (batch, groups * inputs, *space), dtype of y
    stride, padding, dilation, groups
    """
    outputs, inputs, *kernel = w.shape[0] // groups, *w.shape[1:]
    batch, space = out.shape[0], out.shape[2:]
    low = [before for before, _ in padding]
    along = (w.strides[0], *w.strides[2:])
    contract(
        to,
        _contraction(
            to,
            "convolution of an input",
            _Rows(w, inputs, w.strides[1], outputs * w.strides[0], along),
            _Read(y, outputs * y.strides[1], y.strides[0], y.strides[1], stride),
            _Written(out, out.strides[1], inputs * out.strides[1], out.strides[0], out.strides[2:]),
            _Places((batch, *space), [1] * len(space), low),
            _Places((outputs, *kernel), [-d for d in dilation], [0] * len(kernel)),
            groups,
        ),
    )


def convolution_weight(
    to: Writer,
    x: View,
    y: View,
    out: View,
    *,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
) -> None:
    """List kernels of the transpose of a convolution in its weight; see `convolution`.

    Parameters
    ----------
    to : Writer
    x : View, shape (batch, groups * inputs, *space)
    y : View, shape (batch, groups * outputs, *places), dtype of x
    out : View, shape (groups * outputs, inputs, *kernel), dtype of x
    stride, padding, dilation, groups
    """
    outputs, inputs, *kernel = out.shape[0] // groups, *out.shape[1:]
    low = [-before for before, _ in padding]
    along = (y.strides[0], *y.strides[2:])
    contract(
        to,
        _contraction(
            to,
            "convolution of a weight",
            _Rows(y, outputs, y.strides[1], outputs * y.strides[1], along),
            _Read(x, inputs * x.strides[1], x.strides[1], x.strides[0]),
            _Written(
                out, out.strides[0], outputs * out.strides[0], out.strides[1], out.strides[2:]
            ),
            _Places((inputs, *kernel), dilation, low),
            _Places((y.shape[0], *y.shape[2:]), stride, [0] * len(kernel)),
            groups,
        ),
    )


class _Places(NamedTuple):
    """Lengths of a first axis and of those of space, with positions `scale` · index + `first`."""

    shape: tuple[int, ...]
    scale: Sizes
    first: Sizes


class _Rows(NamedTuple):
    """The operand with rows: their number, strides of rows, of groups, and along the sum."""

    view: View
    n: int
    row: int
    group: int
    along: Sizes


class _Read(NamedTuple):
    """The other: strides of groups, and along the axis that places and that steps have first.

    Elements are at positions that `every` divides.
    """

    view: View
    group: int
    place: int
    step: int
    every: Sizes = ()


class _Written(NamedTuple):
    """The result: strides of rows, of groups, and along the axes that places have."""

    view: View
    row: int
    group: int
    place: int
    space: Sizes


def _contraction(
    to: Writer,
    label: str,
    rows: _Rows,
    read: _Read,
    written: _Written,
    places: _Places,
    steps: _Places,
    groups: int,
) -> Contraction:
    """A convolution as sums that the kernels know."""
    axes = range(1, len(places.shape))
    is_parted = any(n > 1 for n in read.every)
    params = {"x_m": rows.row, "x_g": rows.group, "y_g": read.group}
    params |= {"out_m": written.row, "out_g": written.group}
    params |= {"y_c": read.place, "y_s0": read.step, "out_c": written.place, "s0": steps.shape[0]}
    params |= {f"x_s{i}": n for i, n in enumerate(rows.along)}
    for i in axes:
        params |= {f"c{i}": places.shape[i], f"s{i}": steps.shape[i]}
        params |= {f"c_scale{i}": places.scale[i - 1], f"s_scale{i}": steps.scale[i - 1]}
        params |= {f"first{i}": places.first[i - 1] + steps.first[i - 1]}
        params |= {f"y{i}": read.view.strides[i + 1], f"y_n{i}": read.view.shape[i + 1]}
        params |= {f"out{i}": written.space[i - 1]}
        params |= {f"every{i}": read.every[i - 1]} if is_parted else {}
    pair, unpacked = pair_of(to, rows.view.dtype)
    pairs = {"x": pair} if _has_pairs(rows, steps.shape, groups) else {}
    reading = [unpacked if pairs else "", _BEGIN.format(2 if pairs else 1), _columns(axes)]
    reading += [_steps(axes), _x_step(axes), _READ_X[bool(pairs)], _read_y(axes, is_parted)]
    return Contraction(
        label,
        rows.view,
        read.view,
        written.view,
        groups,
        rows.n,
        prod(places.shape),
        0 if 0 in (*rows.view.shape, *read.view.shape) else prod(steps.shape),
        params,
        "".join(reading),
        _writing(axes),
        (rows.along[-1] == 1, label == "convolution of a weight"),
        pairs,
    )


def _has_pairs(rows: _Rows, steps: Sizes, groups: int) -> bool:
    """Whether elements at each even step and at the next follow each other, at an even place."""
    others = [rows.view.offset, rows.row if rows.n > 1 else 0, rows.group if groups > 1 else 0]
    run = 1
    for n, stride in zip(reversed(steps), reversed(rows.along), strict=True):
        if stride == run and run % 2 == 1:
            run *= n
        elif n > 1:
            others.append(stride)
    return itemsize(rows.view.dtype) == 4 and not any(n % 2 for n in (run, *others))


_BEGIN: Final = """
alias Rows = vec2<u32>;
var<private> x_at: u32;
var<private> y_at: u32;
fn begin(batch: u32) {{
  x_at = p.x_0 * {}u + batch * p.x_g;
  y_at = p.y_0 + batch * p.y_g;
}}
fn rows(m: u32) -> Rows {{
  return x_at + min(vec2<u32>(m, m + 1u), vec2<u32>(p.m - 1u)) * p.x_m;
}}
"""


def _columns(axes: range) -> str:
    """WGSL of positions of two places."""
    lines = ["struct Columns { at: vec2<u32>, " + _each(axes, "q{i}: vec2<u32>") + " }"]
    lines += ["fn columns(n: u32) -> Columns {", "var c: Columns;"]
    lines += ["var left = min(vec2<u32>(n, n + 1u), vec2<u32>(p.n - 1u));"]
    for i in reversed(axes):
        lines += [f"c.q{i} = left % p.c{i} * p.c_scale{i} + p.first{i};", f"left /= p.c{i};"]
    return "\n".join([*lines, "c.at = y_at + left * p.y_c;", "return c;", "}", ""])


def _steps(axes: range) -> str:
    """WGSL of indices along the sum; those of a next one are counted, as divisions are slow."""
    lines = ["struct Step { i0: u32, " + _each(axes, "i{i}: u32") + " }"]
    lines += ["fn step(k: u32) -> Step {", "var s: Step;", "var left = k;"]
    for i in reversed(axes):
        lines += [f"s.i{i} = left % p.s{i};", f"left /= p.s{i};"]
    lines += ["s.i0 = left;", "return s;", "}"]
    lines += ["fn next(last: Step) -> Step {", "var s = last;", "var more = 1u;"]
    for i in reversed(axes):
        lines += [f"s.i{i} += more;", f"more = select(0u, 1u, s.i{i} == p.s{i});"]
        lines += [f"s.i{i} = select(s.i{i}, 0u, more == 1u);"]
    return "\n".join([*lines, "s.i0 = min(s.i0 + more, p.s0 - 1u);", "return s;", "}", ""])


def _x_step(axes: range) -> str:
    """WGSL of how far elements of rows are at a step."""
    terms = ["s.i0 * p.x_s0", *(f"s.i{i} * p.x_s{i}" for i in axes)]
    return f"fn x_step(s: Step) -> u32 {{ return {' + '.join(terms)}; }}\n"


_READ_X: Final = (
    """
fn read_x(r: Rows, s: Step, t: Step) -> vec4<T> {
  let at = vec4<u32>(r + x_step(s), r + x_step(t));
  return vec4<T>(T(x[at.x]), T(x[at.y]), T(x[at.z]), T(x[at.w]));
}
""",
    """
fn read_x(r: Rows, s: Step, t: Step) -> vec4<T> {
  let one = pair(x[(r.x + x_step(s)) / 2u]);
  let other = pair(x[(r.y + x_step(s)) / 2u]);
  return vec4<T>(one.x, other.x, one.y, other.y);
}
""",
)


def _read_y(axes: range, is_parted: bool) -> str:
    """WGSL that reads two places at two steps."""
    lines = ["fn read_y2(c: Columns, s: Step) -> vec2<T> {", "var at = c.at + s.i0 * p.y_s0;"]
    lines += ["var inside = vec2<bool>(true);"]
    for i in axes:
        lines += [f"var q{i} = c.q{i} + s.i{i} * p.s_scale{i};"]
        if is_parted:
            lines += [f"inside = inside & (q{i} % p.every{i} == vec2<u32>());"]
            lines += [f"q{i} /= p.every{i};"]
        lines += [f"inside = inside & (q{i} < vec2<u32>(p.y_n{i}));", f"at += q{i} * p.y{i};"]
    lines += ["at = select(vec2<u32>(p.y_0), at, inside);"]
    lines += ["return select(vec2<T>(), vec2<T>(T(y[at.x]), T(y[at.y])), inside);", "}"]
    lines += ["fn read_y(c: Columns, s: Step, t: Step) -> vec4<T> {"]
    return "\n".join([*lines, "return vec4<T>(read_y2(c, s), read_y2(c, t));", "}", ""])


def _writing(axes: range) -> str:
    """WGSL that says where results are."""
    lines = ["fn out_start(batch: u32) -> u32 { return p.out_0 + batch * p.out_g; }"]
    lines += ["fn out_row(m: u32) -> u32 { return m * p.out_m; }"]
    lines += ["fn out_column(n: u32) -> u32 {", "var left = n;", "var at = 0u;"]
    for i in reversed(axes):
        lines += [f"at += left % p.c{i} * p.out{i};", f"left /= p.c{i};"]
    return "\n".join([*lines, "return at + left * p.out_c;", "}", ""])


def _each(axes: range, text: str) -> str:
    return ", ".join(text.format(i=i) for i in axes)
