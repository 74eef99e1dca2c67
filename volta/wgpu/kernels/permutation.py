"""Elements of rows in another order, and back."""

import math

from volta.wgpu.kernels.elements import each, loaded, place
from volta.wgpu.launch import View, Writer

__all__ = ["permuted", "restored"]


def permuted(to: Writer, x: View, order: View, out: View, *, axis: int) -> None:
    """``out[i] = x[order[i]]`` along an axis.

    Parameters
    ----------
    to : Writer
    x : View
    order : View
        Of integers, none of which may be outside the axis of `x`.
    out : View
        Of the shape of `order`, which is that of `x` but for the axis; dtype of `x`.
    axis : int
    """
    _move(to, "permuted", x, order, out, axis, goal="i", source="order_i")


def restored(to: Writer, x: View, order: View, out: View, *, axis: int) -> None:
    """``out[order[i]] = x[i]`` along an axis.

    Parameters
    ----------
    to : Writer
    x, order : View
        Of one shape; `order` is of integers, none of which may be outside the axis of `out` or
        occur twice in a row.
    out : View
        Of the shape of `x` but for the axis; dtype of `x`. What `order` does not name stays.
    axis : int
    """
    _move(to, "restored", x, order, out, axis, goal="order_i", source="i")


def _move(
    to: Writer, label: str, x: View, order: View, out: View, axis: int, *, goal: str, source: str
) -> None:
    """List a kernel of an invocation for each element of `order`, the axis counted fastest."""
    others = [a for a in range(len(x.shape)) if a != axis]
    found = loaded("order[order_place(i)]", order.dtype, "u32")
    number = {"i": "i % p.n", "order_i": found}
    body = f"""
let row = i / p.n;
let source = x_place(row) + {number[source]} * p.x_step;
out[out_place(row) + {number[goal]} * p.out_step] = x[source];
"""
    places = [place("x", x, others), place("out", out, others)]
    places += [place("order", order, (*others, axis))]
    steps = {"x_step": x.strides[axis], "out_step": out.strides[axis]}
    each(
        to,
        label,
        math.prod(order.shape),
        body,
        reads={"x": x, "order": order},
        writes={"out": out},
        places=places,
        params={"n": order.shape[axis], **steps},
    )
