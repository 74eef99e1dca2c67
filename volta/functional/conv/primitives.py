"""The primitives: three linear maps of one trilinear form, each other's derivatives.

Operands have the axes (batch, channels, *space); the weight (outputs, inputs of a group, *kernel).
"""

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.derivatives import Linear
from volta.core.dispatch import library_of
from volta.core.errors import ShapeError
from volta.core.types import DTYPES, HALVES, ArrayType, DType, typeof
from volta.functional.conv.arrays import reshape as reshaped
from volta.functional.conv.arrays import turned, zeros
from volta.functional.conv.choice import ALGORITHMS, Plan, plan
from volta.functional.conv.geometry import Geometry
from volta.functional.declare import in_one_task, primitive
from volta.functional.manipulation import moveaxis, reshape

__all__ = ["conv", "conv_input", "conv_weight", "geometry", "result_lengths"]

Sizes = tuple[int, ...]


def result_lengths(x: Sizes, kernel: Sizes, params: dict[str, Any]) -> Sizes:
    """Lengths of y in space, which are less than 1 where the kernel does not fit."""
    return tuple(
        (n + low + high - d * (k - 1) - 1) // s + 1
        for n, k, s, (low, high), d in zip(
            x, kernel, params["stride"], params["padding"], params["dilation"], strict=True
        )
    )


def geometry(x: Sizes, w: Sizes, y: Sizes, params: dict[str, Any]) -> Geometry:
    """Sizes of a convolution from the shapes of its three arrays."""
    groups = params["groups"]
    return Geometry(
        x[0],
        groups,
        w[1],
        w[0] // groups,
        tuple(x[2:]),
        tuple(w[2:]),
        tuple(y[2:]),
        params["stride"],
        params["padding"],
        params["dilation"],
    )


# Type rules ---------------------------------------------------------------------------------------


def _conv_type(x: ArrayType, w: ArrayType, **params: Any) -> ArrayType:
    lengths = result_lengths(x.shape[2:], w.shape[2:], params)
    if min(lengths) < 1:
        msg = (
            f"conv: the kernel must fit into the padded input; got weight of shape {w.shape} and "
            f"input of shape {x.shape}, with padding {params['padding']} and dilation "
            f"{params['dilation']}."
        )
        raise ShapeError(msg)
    return ArrayType((x.shape[0], w.shape[0], *lengths), x.dtype)


def _input_type(y: ArrayType, w: ArrayType, *, lengths: Sizes, **params: Any) -> ArrayType:
    return ArrayType((y.shape[0], params["groups"] * w.shape[1], *lengths), y.dtype)


def _weight_type(x: ArrayType, y: ArrayType, *, lengths: Sizes, **params: Any) -> ArrayType:
    return ArrayType((y.shape[1], x.shape[1] // params["groups"], *lengths), x.dtype)


# Derivatives --------------------------------------------------------------------------------------


def _of_x(ct: Any, x_shape: Sizes, w: Any, **params: Any) -> Any:
    return conv_input(ct, w, lengths=tuple(x_shape[2:]), **params)


def _of_w(ct: Any, x: Any, w_shape: Sizes, **params: Any) -> Any:
    return conv_weight(x, ct, lengths=tuple(w_shape[2:]), **params)


def _input_of_y(ct: Any, _y: Any, w: Any, *, lengths: Sizes, **params: Any) -> Any:
    return conv(ct, w, **params)


def _input_of_w(ct: Any, y: Any, w_shape: Sizes, *, lengths: Sizes, **params: Any) -> Any:
    return conv_weight(ct, y, lengths=tuple(w_shape[2:]), **params)


def _weight_of_x(ct: Any, x_shape: Sizes, y: Any, *, lengths: Sizes, **params: Any) -> Any:
    return conv_input(y, ct, lengths=tuple(x_shape[2:]), **params)


def _weight_of_y(ct: Any, x: Any, _y: Any, *, lengths: Sizes, **params: Any) -> Any:
    return conv(x, ct, **params)


# Batching -----------------------------------------------------------------------------------------

# The first two axes of each array by what they count: batch, groups, inputs or outputs of a group.
_X, _W, _Y = ("b", "gi"), ("go", "i"), ("b", "go")


def _batch(
    first: tuple[str, str], second: tuple[str, str], result: tuple[str, str]
) -> Callable[..., Any]:
    """Rule for lanes: they become part of an axis that has no other meaning to the operation.

    One batched operand shares an axis, other than the groups, with the result, which takes the
    lanes. Where both have lanes, each is a group.
    """

    def rule(size: int, batched: tuple[bool, bool], a: Any, b: Any, **params: Any) -> Any:
        call = {_Y: conv, _X: conv_input, _W: conv_weight}[result]
        groups = params["groups"]
        if all(batched):
            into = "g"
            params = {**params, "groups": size * groups}
        else:
            mine = "".join(first if batched[0] else second)
            into = next(c for c in "".join(result) if c in mine and c != "g")
        a = _folded(a, first, into, groups) if batched[0] else a
        b = _folded(b, second, into, groups) if batched[1] else b
        return _unfolded(call(a, b, **params), result, into, groups, size)

    return rule


def _split(axes: tuple[str, str], shape: Sizes, groups: int) -> tuple[str, Sizes]:
    """Letters and lengths of the first two axes, with the groups an axis of their own."""
    lengths: list[int] = []
    for letters, n in zip(axes, shape, strict=True):
        lengths += [groups, n // groups] if "g" in letters else [n]
    return "".join(axes), tuple(lengths)


def _folded(x: Any, axes: tuple[str, str], into: str, groups: int) -> Any:
    """Lanes, the first axis, as the slower part of the axis `into`."""
    size, shape, space = x.shape[0], tuple(x.shape[1:3]), tuple(x.shape[3:])
    letters, lengths = _split(axes, shape, groups)
    at = letters.index(into)
    x = moveaxis(reshape(x, (size, *lengths, *space)), 0, at)
    merged = [n * size if i == at else n for i, n in enumerate(lengths)]
    return reshape(x, (*_joined(axes, merged), *space))


def _unfolded(x: Any, axes: tuple[str, str], into: str, groups: int, size: int) -> Any:
    """Opposite of `_folded`."""
    shape, space = tuple(x.shape[:2]), tuple(x.shape[2:])
    letters, lengths = _split(axes, shape, groups * size if into == "g" else groups)
    at = letters.index(into)
    parted = [*lengths[:at], size, lengths[at] // size, *lengths[at + 1 :]]
    x = moveaxis(reshape(x, (*parted, *space)), at, 0)
    merged = [n // size if i == at else n for i, n in enumerate(lengths)]
    return reshape(x, (size, *_joined(axes, merged), *space))


def _joined(axes: tuple[str, str], lengths: list[int]) -> list[int]:
    """Lengths of the two axes from those of their letters."""
    numbers = iter(lengths)
    return [int(np.prod([next(numbers) for _ in letters])) for letters in axes]


# Kernels ------------------------------------------------------------------------------------------


class _Task(NamedTuple):
    """What is to be computed, and how: shape of the result, and plan.

    The plan is None where there is nothing to add up.
    """

    shape: Sizes
    plan: Plan | None


@lru_cache(maxsize=1024)
def _task(which: str, a: Sizes, b: Sizes, dtype: DType, items: tuple[Any, ...]) -> _Task:
    params = dict(items)
    g, shape = _sizes(which, a, b, params)
    if _nothing(g):
        return _Task(shape, None)
    options = params["algo"], params["memory_cap"], params["precision"]
    return _Task(shape, plan(g, dtype, which, *options))


def _nothing(g: Geometry) -> bool:
    """Whether there are no products to add up."""
    return 0 in (g.batch, g.inputs, g.outputs, *g.kernel, *g.x)


def _portable(which: str) -> Callable[..., Any]:
    """Kernel over any Array API namespace, by the algorithm that is asked for."""

    def value(xp: Any, a: Any, b: Any, **params: Any) -> Any:
        dtype = typeof(a).dtype
        if dtype in HALVES:  # added up in 32 bits
            single = DTYPES["float32"].dtype if xp is np else xp.float32
            wide = value(xp, xp.astype(a, single), xp.astype(b, single), **params)
            return xp.astype(wide, a.dtype)
        shape, plan = _task(which, tuple(a.shape), tuple(b.shape), dtype, tuple(params.items()))
        if plan is None:
            return zeros(xp, a, shape)
        groups = params["groups"]
        a = _grouped(xp, a, _OPERANDS[which][0], groups)
        b = _grouped(xp, b, _OPERANDS[which][1], groups)
        if plan.which != which:
            b = turned(xp, b)
        compute = ALGORITHMS[plan.name].maps[plan.which]
        return reshaped(xp, compute(xp, a, b, plan.geometry, plan.blocks), *shape)

    return value


_OPERANDS: Final = {"result": ("x", "w"), "input": ("y", "w"), "weight": ("x", "y")}


def _sizes(which: str, a: Sizes, b: Sizes, params: dict[str, Any]) -> tuple[Geometry, Sizes]:
    """Sizes of the convolution, and the shape of what is computed."""
    groups = params["groups"]
    if which == "result":
        y = (a[0], b[0], *result_lengths(a[2:], b[2:], params))
        return geometry(a, b, y, params), y
    if which == "input":
        x = (a[0], groups * b[1], *params["lengths"])
        return geometry(x, b, a, params), x
    w = (b[1], a[1] // groups, *params["lengths"])
    return geometry(a, w, b, params), w


def _grouped(xp: Any, x: Any, role: str, groups: int) -> Any:
    """The array with the groups as an axis of their own."""
    n, c, *space = x.shape
    if role == "w":
        return reshaped(xp, x, groups, n // groups, c, *space)
    return reshaped(xp, x, n, groups, c // groups, *space)


def _torch(which: str) -> Callable[..., Any]:
    """Torch's own convolutions, unless an algorithm is asked for or the dtype is not theirs."""
    portable = _portable(which)

    def kernel(a: Any, b: Any, **params: Any) -> Any:
        torch = sys.modules["torch"]
        if params["algo"] != "auto" or not a.dtype.is_floating_point:
            return portable(library_of(a, "conv").xp, a, b, **params)
        g, shape = _sizes(which, tuple(a.shape), tuple(b.shape), params)
        if _nothing(g):
            return a.new_zeros(shape)
        if a.dtype.itemsize == 2 and a.device.type == "cpu":  # which adds up in 16 bits there
            return kernel(a.float(), b.float(), **params).to(a.dtype)
        return _TORCH[which](torch, a, b, g)

    return kernel


def _even(g: Geometry) -> bool:
    """Whether torch knows the padding: as much before as after, and no cropping."""
    return all(low == high >= 0 for low, high in g.padding)


def _torch_pad(torch: Any, x: Any, g: Geometry, back: bool = False) -> Any:
    """Padding, or its removal, where torch's convolutions do not know it."""
    sign = -1 if back else 1
    flat = [sign * n for pair in reversed(g.padding) for n in pair]
    return torch.nn.functional.pad(x, flat)


def _torch_result(torch: Any, x: Any, w: Any, g: Geometry) -> Any:
    even = _even(g)
    padding = [low for low, _ in g.padding] if even else [0] * len(g.padding)
    x = x if even else _torch_pad(torch, x, g)
    return torch.convolution(
        x, w, None, g.stride, padding, g.dilation, False, [0] * len(padding), g.groups
    )


def _torch_input(torch: Any, y: Any, w: Any, g: Geometry) -> Any:
    even = _even(g)
    padding = [low for low, _ in g.padding] if even else [0] * len(g.padding)
    left = [
        n - (p - 1) * s - e for n, p, s, e in zip(g.padded, g.y, g.stride, g.extent, strict=True)
    ]
    x = torch.convolution(y, w, None, g.stride, padding, g.dilation, True, left, g.groups)
    return x if even else _torch_pad(torch, x, g, back=True)


def _torch_weight(torch: Any, x: Any, y: Any, g: Geometry) -> Any:
    even = _even(g)
    padding = [low for low, _ in g.padding] if even else [0] * len(g.padding)
    x = x if even else _torch_pad(torch, x, g)
    w = x.new_empty((g.groups * g.outputs, g.inputs, *g.kernel))
    _, found, _ = torch.ops.aten.convolution_backward(
        y,
        x,
        w,
        None,
        g.stride,
        padding,
        g.dilation,
        False,
        [0] * len(padding),
        g.groups,
        [False, True, False],
    )
    return found


_TORCH: Final = {"result": _torch_result, "input": _torch_input, "weight": _torch_weight}


def _jax(which: str) -> Callable[..., Any]:
    """XLA's convolution, unless an algorithm is asked for."""
    portable = _portable(which)

    def kernel(a: Any, b: Any, **params: Any) -> Any:
        jax = sys.modules["jax"]
        dtype = typeof(a).dtype
        g, _ = _sizes(which, tuple(a.shape), tuple(b.shape), params)
        if params["algo"] != "auto" or dtype.kind in ("int", "uint") or _nothing(g):
            return portable(jax.numpy, a, b, **params)
        if dtype in HALVES:
            single = jax.numpy.float32
            return kernel(a.astype(single), b.astype(single), **params).astype(a.dtype)
        return _JAX[which](jax, a, b, g)

    return kernel


def _jax_conv(jax: Any, x: Any, w: Any, **options: Any) -> Any:
    return jax.lax.conv_general_dilated(x, w, precision="highest", **options)


def _jax_result(jax: Any, x: Any, w: Any, g: Geometry) -> Any:
    return _jax_conv(
        jax,
        x,
        w,
        window_strides=g.stride,
        padding=g.padding,
        rhs_dilation=g.dilation,
        feature_group_count=g.groups,
    )


def _jax_input(jax: Any, y: Any, w: Any, g: Geometry) -> Any:
    np_ = jax.numpy
    w = np_.flip(w.reshape(g.groups, g.outputs, g.inputs, *g.kernel), range(3, 3 + len(g.y)))
    w = np_.swapaxes(w, 1, 2).reshape(g.groups * g.inputs, g.outputs, *g.kernel)
    padding = [
        (e - 1 - low, n + low - 1 - (p - 1) * s)
        for n, e, p, s, (low, _) in zip(g.x, g.extent, g.y, g.stride, g.padding, strict=True)
    ]
    return _jax_conv(
        jax,
        y,
        w,
        window_strides=(1,) * len(g.y),
        padding=padding,
        lhs_dilation=g.stride,
        rhs_dilation=g.dilation,
        feature_group_count=g.groups,
    )


def _jax_weight(jax: Any, x: Any, y: Any, g: Geometry) -> Any:
    padding = [
        (low, (p - 1) * s + e - n - low)
        for n, e, p, s, (low, _) in zip(g.x, g.extent, g.y, g.stride, g.padding, strict=True)
    ]
    swapped = jax.numpy.swapaxes(x, 0, 1)
    x = swapped.reshape(g.groups, g.inputs, g.batch, *g.x)
    x = jax.numpy.swapaxes(x, 0, 1).reshape(g.inputs, g.groups * g.batch, *g.x)
    y = jax.numpy.swapaxes(y, 0, 1)
    w = _jax_conv(
        jax,
        x,
        y,
        window_strides=g.dilation,
        padding=padding,
        rhs_dilation=g.stride,
        feature_group_count=g.groups,
    )
    return jax.numpy.swapaxes(w, 0, 1)


_JAX: Final = {"result": _jax_result, "input": _jax_input, "weight": _jax_weight}


def _declared(name: str, which: str, type_rule: Any, batch: Any, derivatives: Any) -> Any:
    return primitive(
        name,
        type_rule=type_rule,
        batch=batch,
        derivatives=tuple(map(Linear, derivatives)),
        value=_portable(which),
        kernels={
            "torch": _torch(which),
            "jax.numpy": _jax(which),
            "dask.array": in_one_task(name),
        },
    )


conv: Any = _declared("conv", "result", _conv_type, _batch(_X, _W, _Y), (_of_x, _of_w))
conv_input: Any = _declared(
    "conv_input", "input", _input_type, _batch(_Y, _W, _X), (_input_of_y, _input_of_w)
)
conv_weight: Any = _declared(
    "conv_weight", "weight", _weight_type, _batch(_X, _Y, _W), (_weight_of_x, _weight_of_y)
)
