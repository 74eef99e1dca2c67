"""Programs as source text: a module of Python that needs NumPy alone."""

import inspect
import keyword
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from volta.core.keywords import suggesting
from volta.core.trace import located
from volta.core.wengert import WengertList, carried
from volta.exported import numbered, refuse, skeleton, staged

__all__ = ["Source", "emit_source"]


@suggesting
def emit_source(fun: Callable[..., Any]) -> Callable[..., "Source"]:
    """Return a function that writes `fun`, for arguments like those given, in NumPy.

    Parameters
    ----------
    fun : callable
        Function of trees (dicts with text as keys, lists, tuples) of NumPy arrays and numbers, that
        returns such.

    Returns
    -------
    callable
        Same arguments as `fun`; returns a `Source`, whose text is a module with a function of the
        same name, for arguments of the same structure, shapes and dtypes.

    Raises
    ------
    TraceError
        If the function asks a traced array for a concrete value, or the program calls Python: rules
        of one's own, callbacks.
    TypeError
        If arguments or results are other trees, or arrays of another library.

    Notes
    -----
    What is written is the staged list after all passes, an operation a line. Operations that NumPy
    lacks are functions of the module, copied from Volta's kernels. Special functions are computed
    as they are where SciPy is not installed, convolutions as sums over windows. The program never
    warns.

    Examples
    --------
    >>> def predict(w, x):
    ...     return F.exp(x @ w) + 1
    >>> source = volta.emit_source(predict)(np.ones((3, 2)), np.zeros((4, 3)))
    >>> print(source.text[source.text.index("    w ="):])
        w = argument(w, 'w', np.float64, (3, 2))
        x = argument(x, 'x', np.float64, (4, 3))
        # ...
        matmul_1 = x @ w  # float64[4, 2]
        exp_1 = np.exp(matmul_1)  # float64[4, 2]
        add_1 = exp_1 + 1  # float64[4, 2]
        return add_1
    <BLANKLINE>
    """

    def emitted(*args: Any, **kwargs: Any) -> Source:
        from volta.emission.program import written  # where needed: it loads late

        listed = staged("emit_source", fun, args, kwargs)
        _check(listed)
        result, given = listed.rebuild([*range(len(listed.outputs))]), numbered((args, kwargs))
        skeleton(result, "results", "emit_source")  # raises where it is another tree
        skeleton(given, "arguments", "emit_source")
        name = getattr(fun, "__name__", "")
        return Source(*written(listed, name, *_bound(fun, *given), result))

    return emitted


def _check(wengert: WengertList) -> None:
    """Raise TraceError if a program calls Python."""
    for e in wengert.entries:
        if "call" in e.params:
            refuse("emit_source", e.params["call"], e)
        for part in carried(e):
            _check(part)


def _bound(
    fun: Callable[..., Any], args: Any, kwargs: Any
) -> tuple[inspect.Signature, dict[str, Any]]:
    """Signature with the parameters that were given, and what was given for them."""
    try:
        found = inspect.signature(fun)
        given = found.bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        kind = inspect.Parameter
        named = [kind(f"x{i}", kind.POSITIONAL_ONLY) for i in range(1, len(args) + 1)]
        found = inspect.Signature([*named, *(kind(k, kind.KEYWORD_ONLY) for k in kwargs)])
        given = found.bind(*args, **kwargs).arguments
    empty = inspect.Parameter.empty
    parameters = [found.parameters[k].replace(annotation=empty, default=empty) for k in given]
    return inspect.Signature(parameters), dict(given)


class Source:
    """Source text of a program.

    Attributes
    ----------
    text : str
        A module with the function.
    constants : dict of str to array
        Arrays of more than 128 elements, which the module reads from a file beside its own.
    name : str
        Of the function: that of the user's, or one like it where that is no name, or Python's own.
    """

    def __init__(self, text: str, constants: dict[str, Any], name: str) -> None:
        self.text, self.constants, self.name = text, constants, name

    def __repr__(self) -> str:
        lines, arrays = self.text.count("\n"), len(self.constants)
        return f"Source({lines} lines, {arrays} constants)"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the module, and large constants to an ``.npz`` file beside it, each in one step.

        Parameters
        ----------
        path : str or path-like
            Of a module, such as ``step.py``.

        Raises
        ------
        ValueError
            If no module may be called so.
        """
        from volta.io.files import atomic_write

        module = Path(path)
        name = module.stem
        if module.suffix != ".py" or not name.isidentifier() or keyword.iskeyword(name):
            msg = f"emit_source: path must be that of a module, such as 'step.py'; got {path!r}."
            raise located(ValueError(msg))
        if self.constants:
            arrays = {
                k: v.view(np.uint16) if v.dtype.name == "bfloat16" else v
                for k, v in self.constants.items()
            }
            with atomic_write(module.with_suffix(".npz")) as file, open(file, "wb") as out:
                np.savez(out, **arrays)
        with atomic_write(module) as file:
            file.write_text(self.text, encoding="utf-8")
