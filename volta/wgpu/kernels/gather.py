"""Reading an array where arrays of indices say."""

import math
from collections.abc import Sequence
from typing import Final

from volta.core.types import broadcast_shapes
from volta.wgpu.kernels.elements import Place, broadcast, each, place, split
from volta.wgpu.launch import STORED, View, Writer

__all__ = ["gather", "numbers"]

_OTHERS: Final = 3  # arrays that a kernel has besides those of indices
_NONE: Final = 0xFFFFFFFF


def gather(
    to: Writer,
    x: View,
    indices: Sequence[View],
    out: View,
    *,
    axes: Sequence[int],
    failed: View | None = None,
    code: int = 0,
) -> None:
    """``out[..., k...] = x[indices..., k...]``, with the axes of x that are indexed taken first.

    Parameters
    ----------
    to : Writer
    x : View
    indices : sequence of View
        Of integers, one for each of `axes`; they broadcast together. Negative ones count from the
        end. Where one is outside its axis, 0 is read.
    out : View
        Of the shape of the indices, then the axes of `x` that are not indexed; dtype of `x`.
    axes : sequence of int
    failed : View, optional
        A uint32 that becomes `code` where an index is outside its axis.
    code : int
    """
    spread = broadcast_shapes("gather", *(index.shape for index in indices))
    arrays = [broadcast(index, spread) for index in indices]
    meant: list[tuple[int, ...]] = [(a,) for a in axes]  # the axes whose place an index is
    if len(arrays) > to.facts.limits.buffers - _OTHERS:
        lengths = [x.shape[a] for a in axes]
        arrays = [numbers(to, indices, lengths, failed=failed, code=code)]
        meant = [tuple(axes)]
    others = [a for a in range(len(x.shape)) if a not in axes]
    reads, places = {"x": x}, [place("x", x, others), place("out", out)]
    params = {"columns": math.prod(x.shape[a] for a in others), "code": code}
    lines = [split(params["columns"]), "var inside = true;", "var source = x_place(column);"]
    for k, (index, its) in enumerate(zip(arrays, meant, strict=True)):
        reads[f"indices{k}"] = index
        places.append(place(f"indices{k}", index))
        params[f"indices{k}_n"] = math.prod(x.shape[a] for a in its)
        lines.append(_looked_up(k, index, "row"))
        for a in reversed(its):
            params |= {f"length{a}": x.shape[a], f"step{a}": x.strides[a]}
            lines += [f"source += index{k} % p.length{a} * p.step{a};"]
            lines += [f"index{k} /= p.length{a};"] if a != its[0] else []
    lines += [f"var found = {STORED[x.dtype.name]}();", "if inside { found = x[source]; }"]
    lines += ["out[out_place(i)] = found;", *_told(failed)]
    each(
        to,
        "gather",
        math.prod(out.shape),
        "\n".join(lines),
        reads=reads,
        writes={"out": out} if failed is None else {"out": out, "failed": failed},
        places=places,
        params=params,
    )


def numbers(
    to: Writer,
    indices: Sequence[View],
    lengths: Sequence[int],
    *,
    failed: View | None = None,
    code: int = 0,
) -> View:
    """Number in row-major order of the element that indices of axes of some lengths mean.

    It is the number of elements where an index is outside its axis. Returns scratch memory of the
    shape that the indices broadcast to.
    """
    spread = broadcast_shapes("gather", *(index.shape for index in indices))
    out = to.scratch("uint32", spread)
    most = to.facts.limits.buffers - _OTHERS
    for start in range(0, len(indices), most):
        stop = min(start + most, len(indices))
        reads: dict[str, View] = {}
        places: list[Place] = []
        params = {"outside": math.prod(lengths) if stop == len(indices) else _NONE, "code": code}
        lines = [f"var number = {'out[i]' if start else '0u'};"]
        lines += [f"var inside = number != {_NONE}u;"]
        for k in range(start, stop):
            name = f"indices{k - start}"
            reads[name] = broadcast(indices[k], spread)
            places.append(place(name, reads[name]))
            params[f"{name}_n"] = lengths[k]
            lines += [_looked_up(k - start, indices[k], "i")]
            lines += [f"number = number * p.{name}_n + index{k - start};"]
        lines += ["out[i] = select(p.outside, number, inside);"]
        each(
            to,
            "numbers of elements",
            math.prod(spread),
            "\n".join([*lines, *_told(failed)]),
            reads=reads,
            writes={"out": out} if failed is None else {"out": out, "failed": failed},
            places=places,
            params=params,
        )
    return out


def _looked_up(k: int, index: View, number: str) -> str:
    """WGSL of an index of array k, counted from 0, and of whether it is inside its axis."""
    kind = STORED[index.dtype.name]
    lines = [
        f"let axis{k} = {kind}(p.indices{k}_n);",
        f"var found{k} = indices{k}[indices{k}_place({number})];",
    ]
    if index.dtype.kind == "int":
        lines += [f"found{k} += select({kind}(), axis{k}, found{k} < {kind}());"]
    lines += [f"inside = inside & (found{k} >= {kind}()) & (found{k} < axis{k});"]
    return "\n".join([*lines, f"var index{k} = u32(found{k});"])


def _told(failed: View | None) -> list[str]:
    return (
        []
        if failed is None
        else ["if !inside & (failed[p.failed_0] == 0u) { failed[p.failed_0] = p.code; }"]
    )
