"""Where NaN and infinity come from: `debug_nans` and `debug_infs`."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from volta.core.dispatch import library_of
from volta.core.errors import NonFiniteError, VoltaError
from volta.core.types import SCALARS, as_dtype, is_inexact, typeof
from volta.debug.watch import Observer, Watching, placed

__all__ = ["debug_infs", "debug_nans", "switch_on"]

_WORDS: Final = {"isnan": "NaN", "isinf": "infinity"}


def debug_nans() -> Watching:
    """Raise at the first operation that makes NaN of operands without any.

    Returns
    -------
    context manager
        A decorator as well. It holds for the thread or task that enters it, and for programs that
        are run there: under every transform, and where none runs.

    Raises
    ------
    NonFiniteError
        From the operation that made NaN, naming it, its operands and the user's line. In a sweep,
        and in forward mode, it is the rule of an operation that is named: "in the derivative of
        sqrt at model.py:12". In a body of `scan`, `cond` and their kin it is the body's line.

    Notes
    -----
    Operations on which a choice follows (``where(x > 0, log(x), 0)``) are found as well: NaN has
    been made, though it is not chosen. Derivatives are looked at as a whole, so that what a rule
    computes and does not use is not. Reading all results costs time; without the context nothing
    is read. With ``VOLTA_DEBUG_NANS=1`` in the environment, which is read when Volta is imported,
    the whole program runs in it.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> with volta.debug_nans():
    ...     volta.grad(lambda x: F.sum(F.log(x) * 0.0))(np.asarray([1.0, 2.0]))
    array([0., 0.])
    >>> with np.errstate(invalid="ignore"), volta.debug_nans():
    ...     F.log(np.asarray([1.0, -1.0]))
    Traceback (most recent call last):
    volta.core.errors.NonFiniteError: log: the result must be without NaN where ...
    """
    return Watching(lambda: _Finite("isnan"))


def debug_infs() -> Watching:
    """Raise at the first operation that makes an infinity of operands without any.

    Returns
    -------
    context manager
        See `debug_nans`, of which this is the kin; the variable is ``VOLTA_DEBUG_INFS``.

    Raises
    ------
    NonFiniteError
        From the operation that made an infinity.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> with np.errstate(divide="ignore"), volta.debug_infs():
    ...     F.divide(np.ones(2), np.zeros(2))
    Traceback (most recent call last):
    volta.core.errors.NonFiniteError: divide: the result must be without infinity where ...
    """
    return Watching(lambda: _Finite("isinf"))


class _Finite(Observer):
    """Compares results with operands; `test` is the function that finds what is looked for."""

    def __init__(self, test: str) -> None:
        self.test, self.word = test, _WORDS[test]

    def computed(self, name: str, where: str, before: Sequence[Any], after: Sequence[Any]) -> None:
        """Raise where a result has what no operand has."""
        bad = self._new(before, after)
        if bad is None:
            return
        arrays = [x for x in before if type(x) not in SCALARS]
        kinds = " and ".join(str(typeof(x)) for x in arrays) or "numbers alone"
        msg = (
            f"{name}: the result must be without {self.word} where operands are; got "
            f"{self._where(bad)}, from {kinds}. Keep the operands in the domain of {name}, for "
            "instance by functional.where or clip before it."
        )
        raise placed(NonFiniteError(msg), where)

    def derived(self, name: str, where: str, before: Sequence[Any], after: Sequence[Any]) -> None:
        """Raise where a derivative has what nothing has that it was made of."""
        bad = self._new(before, after)
        if bad is None:
            return
        msg = (
            f"{name}: its derivative must be without {self.word} where what it is made of is; got "
            f"{self._where(bad)}, in the derivative of {name} at {where}. Keep its operands away "
            "from where the slope is infinite or undefined, by functional.where before it."
        )
        raise placed(NonFiniteError(msg), where)

    def _new(self, before: Sequence[Any], after: Sequence[Any]) -> Any:
        """First of the arrays `after` that has what none of those `before` has."""
        for x in after:
            if self._has(x):
                return None if any(map(self._has, before)) else x
        return None

    def _found(self, x: Any) -> Any:
        test: Callable[[Any], Any] = getattr(library_of(x, self.test).xp, self.test)
        return test(x)

    def _has(self, x: Any) -> bool:
        if type(x) in SCALARS:
            return type(x) in (float, complex) and bool(getattr(np, self.test)(x))
        try:
            if not is_inexact(as_dtype(x.dtype)):
                return False
            return bool(library_of(x, self.test).xp.any(self._found(x)))
        except VoltaError:
            return False  # no array, or one of a dtype of its own
        except Exception:  # an array without values: on a meta device, inside another library's jit
            return False

    def _where(self, x: Any) -> str:
        found = np.asarray(self._found(x))
        shape = "" if not found.ndim else f", first at {_index(found)}"
        return f"{self.word} in {int(found.sum())} of {found.size} elements{shape}"


def _index(found: Any) -> tuple[int, ...]:
    return tuple(map(int, np.unravel_index(int(np.argmax(found)), found.shape)))


def switch_on() -> None:
    """Enter, for good, the contexts that the environment asks for."""
    for name, context in (("VOLTA_DEBUG_NANS", debug_nans), ("VOLTA_DEBUG_INFS", debug_infs)):
        if os.environ.get(name, "0").lower() not in ("", "0", "false", "off"):
            context().__enter__()
