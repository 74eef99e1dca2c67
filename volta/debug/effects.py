"""Looking at values while a program runs: `print`, `callback`, `breakpoint`.

All of them are `transforms.effect`.
"""

import bdb
import builtins
import os
import pdb
import string
import sys
from typing import Any

from volta.core import tree
from volta.core.dispatch import LIBRARIES
from volta.core.source import running_line, user_frame
from volta.core.trace import located
from volta.core.tracer import Tracer
from volta.transforms.effect import effect

__all__ = ["breakpoint", "callback", "print"]


def print(fmt: Any, *args: Any, **kwargs: Any) -> None:
    """Print values when they are computed.

    Parameters
    ----------
    fmt : str
        As for `str.format`: ``"x={x}"``.
    *args, **kwargs : tree
        What `fmt` names; arrays appear as the values that they have.

    Raises
    ------
    TypeError
        If `fmt` is no string.
    ValueError
        If `fmt` names what is not given.

    Notes
    -----
    Under `grad`, `jvp` and their kin the value is printed, once, not its derivative. Under `vmap`
    each lane prints, in order; of nested ones the inner axis comes first. In bodies of `scan`,
    `cond` and other staged programs it is an entry of the list, and prints whenever that runs,
    though not again where a reverse sweep computes something a second time. Under `vmap` both
    branches of a `cond` with a batched predicate print, and in a `while_loop` also the lanes that
    have arrived, as they are computed.

    Examples
    --------
    >>> import numpy as np, volta
    >>> def f(x):
    ...     volta.debug.print("x is {x}", x=x)
    ...     return x * x
    >>> volta.grad(f)(np.asarray(3.0))
    x is 3.0
    array(6.)
    >>> volta.vmap(f)(np.asarray([1.0, 2.0]))
    x is 1.0
    x is 2.0
    array([1., 4.])
    """
    if not isinstance(fmt, str):
        msg = (
            f"debug.print: fmt must be a string; got {type(fmt).__name__}. "
            'Write debug.print("x={x}", x=x).'
        )
        raise located(TypeError(msg))
    _check_format(fmt, args, kwargs)
    callback(lambda *a, **k: builtins.print(fmt.format(*a, **k)), *args, **kwargs)


def _check_format(fmt: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    counted = 0
    for _, field, _, _ in string.Formatter().parse(fmt):
        if field is None:
            continue
        name = field.partition(".")[0].partition("[")[0]
        if not name:
            name, counted = str(counted), counted + 1
        if name not in kwargs and not (name.isdigit() and int(name) < len(args)):
            given = [*map(str, range(len(args))), *kwargs]
            msg = (
                f"debug.print: fmt must name what is given; got {{{field}}} and "
                f"{', '.join(given) or 'nothing'}. Pass it by keyword, or double the braces."
            )
            raise located(ValueError(msg))


def callback(fun: Any, *args: Any, **kwargs: Any) -> None:
    """Call a function of values when they are computed.

    Parameters
    ----------
    fun : callable
        Called as ``fun(*args, **kwargs)`` with arrays, not traced ones; what it returns is not
        looked at.
    *args, **kwargs : tree
        Arguments; what in them is no array is passed as it is.

    Raises
    ------
    TypeError
        If `fun` is not callable.

    Notes
    -----
    When and how often it is called is as with `print`.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> seen = []
    >>> def step(carry, x):
    ...     volta.debug.callback(lambda c: seen.append(float(c)), carry)
    ...     return carry + x, None
    >>> total, _ = volta.scan(step, np.asarray(0.0), np.asarray([1.0, 2.0, 3.0]))
    >>> seen
    [0.0, 1.0, 3.0]
    """
    if not callable(fun):
        msg = (
            f"debug.callback: fun must be callable; got {type(fun).__name__}. "
            "Pass the function first, then its arguments."
        )
        raise located(TypeError(msg))
    leaves, spec = tree.flatten((args, kwargs))
    places = [i for i, leaf in enumerate(leaves) if _is_array(leaf)]
    rest = [None if _is_array(leaf) else leaf for leaf in leaves]

    def call(*arrays: Any) -> None:
        filled = list(rest)
        for i, x in zip(places, arrays, strict=True):
            filled[i] = x
        found, named = tree.unflatten(spec, filled)
        fun(*found, **named)

    effect(*(leaves[i] for i in places), call=call)


def breakpoint(*args: Any, **kwargs: Any) -> None:
    """Open the debugger, with the values that the user's function has at hand.

    Parameters
    ----------
    *args, **kwargs : tree
        What to show; by default the local variables of the calling function that hold arrays.

    Notes
    -----
    The debugger is `pdb`. It opens when the values are computed, in a namespace that has them under
    their names (``arg0``, … for `args`), and lists them first; when and how often is as with
    `print`. ``continue`` goes on, and ``quit`` ends the program
    by `bdb.BdbQuit`. With ``PYTHONBREAKPOINT=0`` nothing happens, as with Python's own
    `breakpoint`.

    Examples
    --------
    >>> import numpy as np, volta
    >>> import os; os.environ["PYTHONBREAKPOINT"] = "0"
    >>> volta.debug.breakpoint(x=np.ones(2))
    >>> del os.environ["PYTHONBREAKPOINT"]
    """
    shown = {**{f"arg{i}": a for i, a in enumerate(args)}, **kwargs}
    if not shown:
        frame = user_frame(sys._getframe(1))
        found = {} if frame is None else frame.f_locals
        shown = {k: v for k, v in found.items() if any(map(_is_array, tree.leaves(v)))}
    where = running_line()

    def stop(values: dict[str, Any]) -> None:
        if os.environ.get("PYTHONBREAKPOINT") == "0":
            return
        builtins.print(f"debug.breakpoint at {where}")
        for name, value in values.items():
            builtins.print(f"{name} = {value}")
        debugger = _Debugger()
        debugger.run("pass", dict(values), values)
        if debugger.quits:
            raise bdb.BdbQuit

    callback(stop, shown)


class _Debugger(pdb.Pdb):
    """Remembers that it was told to quit, which `run` takes for the end of the program."""

    quits = False

    def set_quit(self) -> None:
        """End the program."""
        super().set_quit()
        self.quits = True


def _is_array(leaf: Any) -> bool:
    return type(leaf) is Tracer or type(leaf) in LIBRARIES or hasattr(leaf, "__array_namespace__")
