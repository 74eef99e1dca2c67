"""Primitives that draw under keys.

Their kernels take keys with leading batch axes, so batching most of them is the operation itself.
"""

import functools
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from volta.core.derivatives import ZERO
from volta.core.trace import ops
from volta.core.types import ArrayType, DType
from volta.functional.declare import primitive
from volta.functional.random.threefry import MANY, is_torch

__all__ = ["drawn_type", "each_batched", "from_key", "hosted"]


def hosted(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Kernel that lends torch's tensors of the CPU to NumPy; no memory is copied."""

    @functools.wraps(kernel)
    def value(xp: Any, key: Any, *data: Any, **params: Any) -> Any:
        # A subclass of Tensor may have no memory to lend.
        lent = is_torch(xp) and type(key).__name__ == "Tensor" and key.device.type == "cpu"
        if not lent or not all(type(d) is int for d in data):
            return kernel(xp, key, *data, **params)
        # Two threads gain little over NumPy, and lose a lot where another program is running.
        if (
            math.prod(params.get("shape", ())) * key.numel() > 2 * MANY
            and sys.modules["torch"].get_num_threads() > 2
        ):
            return kernel(xp, key, *data, **params)
        out = kernel(np, key.numpy(), *data, **params)
        if out.dtype.name == "bfloat16":
            return xp.asarray(out.view(np.int16)).view(xp.bfloat16)
        return xp.asarray(out)

    return value


def from_key(name: str, value: Callable[..., Any], type_rule: Callable[..., Any]) -> Any:
    """Make a primitive of one operand, whose leading axes are batch axes."""

    def batch(_size: int, _batched: tuple[bool, ...], x: Any, **params: Any) -> Any:
        return apply(x, **params)

    apply = primitive(name, type_rule=type_rule, batch=batch, derivatives=(ZERO,), value=value)
    return apply


def drawn_type(key: ArrayType, *, shape: tuple[int, ...], dtype: DType) -> ArrayType:
    """Type rule of draws of `shape` under each key."""
    return ArrayType((*key.shape[:-1], *shape), dtype)


def each_batched(size: int, batched: tuple[bool, ...], *args: Any) -> list[Any]:
    """Operands, all of them with the batch axis, for kernels to whose operands it is common."""
    return [
        a if b else ops.broadcast_to(a, (size, *a.shape))
        for a, b in zip(args, batched, strict=True)
    ]
