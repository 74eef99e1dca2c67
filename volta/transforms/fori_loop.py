"""Loops over integers: `fori_loop`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from volta.core.dispatch import NUMPY
from volta.core.errors import DTypeError
from volta.core.keywords import suggesting
from volta.core.trace import Abstract, located, ops
from volta.core.types import DTYPES, ArrayType, promote, typeof
from volta.transforms.arguments import name_of
from volta.transforms.lists import known, of_place
from volta.transforms.scan import run_steps
from volta.transforms.trace import abstract
from volta.transforms.while_loop import while_loop

__all__ = ["fori_loop"]


@suggesting
def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
    *,
    unroll: int | None = None,
) -> Any:
    """Apply ``body_fun(i, val) -> val`` for i from `lower` to `upper` - 1.

    Parameters
    ----------
    lower, upper : int or array, shape ()
        Bounds. With bounds that are known the loop is a `scan`; with traced ones a `while_loop`.
    body_fun : callable
        One step, of an integer array of shape () and the value. The integer has the bounds' dtype,
        int64 for Python numbers. To multiply a value of 32 bits, convert it:
        ``F.astype(i, val.dtype)``. To index an array `w` that is closed over and not traced, which
        would need its value: ``F.take(w, i, axis=0)`` or ``volta.lift(w)[i]``.
    init_val : tree
        First value; it keeps its structure, shapes and dtypes.
    unroll : int, optional
        Steps to write out in compiled code; makes no difference to results.

    Returns
    -------
    tree
        The last value.

    Raises
    ------
    DTypeError
        If a bound is no integer of shape ().
    ShapeError
        If a step does not keep the value's structure or types.

    Examples
    --------
    >>> import numpy as np, volta
    >>> float(volta.fori_loop(1, 5, lambda i, product: product * i, np.asarray(1.0)))
    24.0
    """
    where = f"fori_loop({name_of(body_fun)})"
    for b in (lower, upper):
        kind = typeof(b)
        if kind.dtype.kind not in ("int", "uint") or kind.shape:
            msg = f"{where}: bounds must be integers, shape (); got {kind}."
            raise located(DTypeError(msg))
    first, last = known(lower), known(upper)
    dtype = promote([typeof(lower).dtype, typeof(upper).dtype]) or DTYPES["int64"]
    if first is None or last is None:
        if first is None:
            start = ops.astype(lower, dtype)
        else:
            place = abstract(upper)
            start = of_place(
                int(first), Abstract(ArrayType((), dtype), place.library, place.device)
            )
        return while_loop(
            lambda state: state[0] < upper,
            lambda state: (state[0] + 1, body_fun(*state)),
            (start, init_val),
        )[1]
    counts = np.arange(int(first), int(last), dtype=NUMPY.dtype(dtype))

    def step(val: Any, i: Any) -> tuple[Any, Any]:
        return body_fun(i, val), ()

    return run_steps(where, body_fun, step, init_val, counts, what="value")[0]
