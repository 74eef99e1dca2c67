"""Loops over integers: `fori_loop`."""

from collections.abc import Callable
from typing import Any

from volta.core import tree
from volta.core.errors import TraceError
from volta.core.keywords import suggesting
from volta.core.trace import ops
from volta.core.tracer import concrete
from volta.transforms.scan import scan
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
        One step, of an integer array of shape () and the value.
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
    ShapeError
        If a step does not keep the value's structure or types.

    Examples
    --------
    >>> import numpy as np, volta
    >>> float(volta.fori_loop(1, 5, lambda i, product: product * i, np.asarray(1.0)))
    24.0
    """
    try:
        first, last = (int(concrete(b, "fori_loop", part=False)) for b in (lower, upper))
    except TraceError:
        start = (lower, init_val)
        return while_loop(
            lambda state: state[0] < upper,
            lambda state: (state[0] + 1, body_fun(*state)),
            start,
        )[1]
    if last <= first:
        return init_val
    library = next(
        (abstract(x).library for x in tree.leaves(init_val) if hasattr(x, "dtype")), None
    )
    options = {} if library is None else {"xp": library.xp}
    counts = ops.arange(first, last, **options)
    return scan(lambda val, i: (body_fun(i, val), ()), init_val, counts)[0]
