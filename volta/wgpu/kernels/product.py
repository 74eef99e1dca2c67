"""Products of matrices."""

from collections.abc import Sequence
from math import prod
from typing import Final, NamedTuple

from volta.wgpu.kernels.contraction import Contraction, contract, pair_of
from volta.wgpu.launch import View, Writer, itemsize

__all__ = ["product"]


def product(to: Writer, x: View, y: View, out: View) -> None:
    """List kernels that multiply matrices.

    Sums of floats are rounded as those of many short sums; those of 16 bits are added up in 32.
    Sums of integers wrap.

    Parameters
    ----------
    to : Writer
    x : View, shape (..., m, k)
        Of numbers.
    y : View, shape (..., k, n), dtype of x
    out : View, shape (..., m, n), dtype of x
        All have the same leading axes, along which strides of x and y may be 0.
    """
    axes = [_Axis(*a) for a in zip(out.shape, x.strides, y.strides, out.strides, strict=True)]
    batch, (m, k) = axes[:-2], x.shape[-2:]
    rows = _Axis(m, x.strides[-2], 0, out.strides[-2])
    columns = _Axis(out.shape[-1], 0, y.strides[-1], out.strides[-1])
    batch, rows, columns = _folded(_merged(batch), rows, columns)
    steps = x.strides[-1], y.strides[-2]
    if rows.n > columns.n:  # lanes are along columns
        x, y, steps = y, x, steps[::-1]
        rows, columns = columns.swapped(), rows.swapped()
        batch = [a.swapped() for a in batch]
    left = _Operand("x", x, rows.x, steps[0], rows.n, k, [a.x for a in batch])
    right = _Operand("y", y, columns.y, steps[1], columns.n, k, [a.y for a in batch])
    contract(to, _contraction(to, left, right, out, batch, rows, columns))


class _Axis(NamedTuple):
    """Length of an axis, and strides along it."""

    n: int
    x: int
    y: int
    out: int

    def swapped(self) -> "_Axis":
        """Likewise of the product the other way round."""
        return self._replace(x=self.y, y=self.x)

    def joined(self, inner: "_Axis") -> "_Axis | None":
        """Both as one axis, if its strides are the same all along."""
        if self.n == 1 or inner.n == 1:
            return inner if self.n == 1 else self
        if self[1:] != tuple(inner.n * stride for stride in inner[1:]):
            return None
        return inner._replace(n=self.n * inner.n)


def _merged(axes: Sequence[_Axis]) -> list[_Axis]:
    """As few axes as there can be."""
    merged: list[_Axis] = []
    for axis in axes:
        one = merged[-1].joined(axis) if merged else None
        if one is not None:
            merged[-1] = one
        elif axis.n != 1:
            merged.append(axis)
    return merged


def _folded(batch: list[_Axis], rows: _Axis, columns: _Axis) -> tuple[list[_Axis], _Axis, _Axis]:
    """The innermost leading axis as a part of the rows or columns, where it is one."""
    while batch:
        more_rows, more_columns = batch[-1].joined(rows), batch[-1].joined(columns)
        if batch[-1].y == 0 and more_rows is not None:
            rows = more_rows
        elif batch[-1].x == 0 and more_columns is not None:
            columns = more_columns
        else:
            break
        batch = batch[:-1]
    return batch, rows, columns


class _Operand(NamedTuple):
    """A factor: strides along m or n and along k, and lengths there; strides of the batch."""

    name: str
    view: View
    outer: int
    inner: int
    length: int
    k: int
    batch: list[int]

    @property
    def mode(self) -> str:
        """How it is read: pairs of elements along an axis, or single ones."""
        others = [self.view.offset, *self.batch]
        if itemsize(self.view.dtype) == 4 and not any(n % 2 for n in others):
            if self.inner == 1 and self.k % 2 == 0 and (self.length == 1 or self.outer % 2 == 0):
                return "inner"
            if self.outer == 1 and self.length % 2 == 0 and self.inner % 2 == 0:
                return "outer"
        return "single"


def _contraction(
    to: Writer,
    x: _Operand,
    y: _Operand,
    out: View,
    batch: list[_Axis],
    rows: _Axis,
    columns: _Axis,
) -> Contraction:
    """The product as sums that the kernels know."""
    params = {"x_m": x.outer, "x_k": x.inner, "y_n": y.outer, "y_k": y.inner}
    params |= {"out_m": rows.out, "out_n": columns.out}
    for i, axis in enumerate(batch):
        params |= {f"{name}{i}": value for name, value in zip("nxyo", axis, strict=True)}
    pair, unpacked = pair_of(to, out.dtype)
    pairs = {z.name: pair for z in (x, y) if z.mode != "single"}
    axes = range(len(batch))
    reading = [unpacked if pairs else "", _STEPS]
    reading += ["fn begin(batch: u32) {", "var left = batch;"]
    reading += [f"{z.name}_at = p.{z.name}_0 * {2 if z.name in pairs else 1}u;" for z in (x, y)]
    for i in reversed(axes):
        reading += [f"x_at += left % p.n{i} * p.x{i};", f"y_at += left % p.n{i} * p.y{i};"]
        reading += [f"left /= p.n{i};"]
    reading += ["}", *(_READ[z.mode].replace("Z", z.name) for z in (x, y))]
    writing = ["fn out_start(batch: u32) -> u32 {", "var left = batch;", "var at = p.out_0;"]
    for i in reversed(axes):
        writing += [f"at += left % p.n{i} * p.o{i};", f"left /= p.n{i};"]
    writing += ["return at;", "}", _OUT]
    return Contraction(
        "product",
        x.view,
        y.view,
        out,
        prod(a.n for a in batch),
        x.length,
        y.length,
        x.k,
        params,
        "\n".join(reading),
        "\n".join(writing),
        (x.inner == 1, y.inner == 1),
        pairs,
    )


_STEPS: Final = """
alias Rows = vec2<u32>;
alias Columns = vec2<u32>;
alias Step = u32;
var<private> x_at: u32;
var<private> y_at: u32;
fn step(k: u32) -> Step { return k; }
fn next(s: Step) -> Step { return min(s + 1u, p.k - 1u); }
fn rows(m: u32) -> Rows {
  return x_at + min(vec2<u32>(m, m + 1u), vec2<u32>(p.m - 1u)) * p.x_m;
}
fn columns(n: u32) -> Columns {
  return y_at + min(vec2<u32>(n, n + 1u), vec2<u32>(p.n - 1u)) * p.y_n;
}
"""
_READ: Final = {
    "inner": """
fn read_Z(o: vec2<u32>, s: Step, t: Step) -> vec4<T> {
  let one = pair(Z[(o.x + s) / 2u]);
  let other = pair(Z[(o.y + s) / 2u]);
  return vec4<T>(one.x, other.x, one.y, other.y);
}
""",
    "outer": """
fn read_Z(o: vec2<u32>, s: Step, t: Step) -> vec4<T> {
  return vec4<T>(pair(Z[(o.x + s * p.Z_k) / 2u]), pair(Z[(o.x + t * p.Z_k) / 2u]));
}
""",
    "single": """
fn read_Z(o: vec2<u32>, s: Step, t: Step) -> vec4<T> {
  let at = vec4<u32>(o + s * p.Z_k, o + t * p.Z_k);
  return vec4<T>(T(Z[at.x]), T(Z[at.y]), T(Z[at.z]), T(Z[at.w]));
}
""",
}
_OUT: Final = """
fn out_row(m: u32) -> u32 { return m * p.out_m; }
fn out_column(n: u32) -> u32 { return n * p.out_n; }
"""
