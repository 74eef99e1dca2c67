"""What a loss and its gradient are made of, number by number: `explain`."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from volta.core import tree
from volta.core.derivatives import Linear, Variadic
from volta.core.keywords import suggesting
from volta.core.primitive import Primitive
from volta.core.trace import Running, Trace, here, ops
from volta.core.tracer import Tracer, constant, meeting_place, settled, unwrap_constants
from volta.core.types import SCALARS, as_dtype, is_inexact, typeof
from volta.core.wengert import sweep
from volta.transforms.arguments import array_leaves, name_of, split_modules
from volta.transforms.lines import Line, argument_names, line_of, table
from volta.transforms.vjp import VjpTrace, _frozen, _loss, _one, vjp

__all__ = ["Explanation", "Step", "explain"]


class Step(NamedTuple):
    """One operation of a program, with the numbers that went through it.

    Attributes
    ----------
    label : str
        ``%3``, or ``params['w']`` for an input.
    operation : str
        ``multiply(%1, 2.0)``; empty for an input.
    operands : tuple of str
        Labels of its traced operands.
    value : array or tuple of array
        What it gave.
    slopes : tuple
        Derivative in each operand that is traced: an array where the operation is elementwise,
        else a word for it.
    cotangent : array, tuple or None
        Derivative of the loss with respect to `value`; None where the loss does not depend on it.
    line : Line
        The user's line.
    """

    label: str
    operation: str
    operands: tuple[str, ...]
    value: Any
    slopes: tuple[Any, ...]
    cotangent: Any
    line: Line


class Explanation:
    """Inputs and operations of a program with their values and derivatives; prints as a table.

    Attributes
    ----------
    inputs, steps : tuple of Step
    loss : array
        What the function returned.
    warnings : tuple of str
        Where numbers are not finite, first in the program and first in the sweep.
    """

    __slots__ = ("inputs", "loss", "name", "steps", "warnings")

    def __init__(
        self, name: str, inputs: tuple[Step, ...], steps: tuple[Step, ...], loss: Any
    ) -> None:
        self.name, self.inputs, self.steps, self.loss = name, inputs, steps, loss
        self.warnings = tuple(_warnings(inputs, steps))

    def __str__(self) -> str:
        rows = [("", "", "value", "slope", "cotangent", "line", "")]
        for s in (*self.inputs, *self.steps):
            wrong = any(_count_wrong(part) for part in (*_parts(s.value), *_parts(s.cotangent)))
            rows.append(
                (
                    "!" if wrong else "",
                    f"{s.label} = {s.operation}" if s.operation else s.label,
                    "; ".join(map(summary, _parts(s.value))),
                    ", ".join(summary(d) for d in s.slopes),
                    "; ".join(map(summary, _parts(s.cotangent))) or "-",
                    str(s.line) if s.operation else "",
                    s.line.text,
                )
            )
        lines = [f"{self.name}:"]
        lines += [f"  {text}" for text in table(rows)]
        lines.append(f"  loss = {summary(self.loss)}")
        return "\n".join([*lines, *(f"  ! {w}" for w in self.warnings)])

    __repr__ = __str__


@suggesting
def explain(fun: Callable[..., Any]) -> Callable[..., Explanation]:
    """Return a function that shows how `fun` comes by its loss, and its gradient.

    Parameters
    ----------
    fun : callable
        Returns one real number, an array of shape ().

    Returns
    -------
    callable
        Same arguments as `fun`, of which all floating leaves are differentiated. Returns an
        `Explanation`: for each operation its value, its local derivative, the cotangent that the
        sweep brought to it, and the user's line. Rows with NaN or infinity are marked with ``!``.

    Raises
    ------
    TypeError, DTypeError
        If `fun` does not return one real number.

    Notes
    -----
    The function runs once, on its own values, so that it may branch on them. A cotangent is
    ``∂loss/∂value``; the slope of an elementwise operation is ``∂result/∂operand``, one for each
    operand that the gradient goes through, before broadcasting is undone. Operations that are
    linear in an operand, or have a rule of their own, say so instead.

    Longer arrays are summarised as ``[least, greatest] mean``, complex ones by their absolute
    values, all but the numbers that are not finite, which are counted.

    Examples
    --------
    >>> def loss(x):
    ...     y = F.log(x)
    ...     return F.sum(y * 2.0)
    >>> print(volta.explain(loss)(np.asarray([1.0, 2.0, 0.0])))  # doctest: +ELLIPSIS
    explain(loss):
                             value              slope          cotangent  line
      !  x                   [1, 2, 0]                         [2, 1, inf]
      !  %1 = log(x)         [0, 0.6931, -inf]  [1, 0.5, inf]  [2, 2, 2]  ...:2  y = F.log(x)
      !  %2 = multiply(%1, 2.0)  [0, 1.386, -inf]   [2, 2, 2]  [1, 1, 1]  ...
      !  %3 = sum(%2)        -inf               linear         1          ...
      loss = -inf
      ! first value that is not finite: %1 = log(x) at ...:2 gives 1 inf of 3
      ! first cotangent that is not finite: x gets 1 inf of 3, out of log(x) at ...:2
    """
    where = f"explain({name_of(fun)})"

    @functools.wraps(fun, updated=())
    def explained(*args: Any, **kwargs: Any) -> Explanation:
        split = [split_modules(a) for a in args]
        leaves, spec = array_leaves((tuple(p for p, _ in split), kwargs), where)
        below = VjpTrace("explain", fun)
        show = ShowTrace("explain", fun)
        inputs = []
        for label, leaf in zip(argument_names(fun, spec), leaves, strict=True):
            if is_inexact(as_dtype(leaf.dtype)):
                inputs.append((label, below.input(leaf)))
            else:
                inputs.append(("", constant(leaf)))
        handles = [show.wrap(x, label) if label else x for label, x in inputs]
        with Running(below), Running(show), np.errstate(all="ignore"):  # shown in the table
            call_args, call_kwargs = tree.unflatten(spec, handles)
            positional = [join(a) for (_, join), a in zip(split, call_args, strict=True)]
            result = settled(fun(*positional, **call_kwargs))
            if type(result) is Tracer and result.trace is show:
                result = _frozen(result.value)
        var, loss = _loss(below, result, where, False)
        cts = _Kept()
        if var is not None:
            cts[var] = _one(loss)
            sweep(below.entries, cts, consume=False)
        cts.kept.update(cts)
        return Explanation(
            where,
            tuple(
                Step(label, "", (), x.value, (), cts.kept.get(x.var), Line("?", 0, ""))
                for label, x in inputs
                if label
            ),
            tuple(
                step._replace(cotangent=_cotangent(step.cotangent, cts.kept)) for step in show.steps
            ),
            loss,
        )

    return explained


class _Kept(dict[Any, Any]):
    """Cotangents of a sweep, of which none is forgotten."""

    def __init__(self) -> None:
        self.kept: dict[Any, Any] = {}

    def pop(self, key: Any, *default: Any) -> Any:
        ct = super().pop(key, *default)
        if ct is not None:
            self.kept[key] = ct
        return ct


def _cotangent(variables: Any, kept: dict[Any, Any]) -> Any:
    if isinstance(variables, tuple):
        found = tuple(kept.get(v) for v in variables)
        return None if all(c is None for c in found) else found
    return kept.get(variables)


class ShowTrace(Trace):
    """Notes each operation and its values, and leaves it to the trace below."""

    __slots__ = ("labels", "steps")

    def __init__(self, transform: str, fun: Any) -> None:
        super().__init__(transform, fun)
        self.steps: list[Step] = []
        self.labels = 0

    def wrap(self, value: Any, label: str) -> Tracer:
        """Tracer of a value below; its variable is its label."""
        return Tracer(self, label, value)

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Run the operation below and note it."""
        meeting_place(args, primitive.name)
        values, shown = [], []
        for a in args:
            label = summary(a)
            if type(a) is Tracer:
                if a.trace is self:
                    label, a = a.var, _frozen(a.value)
                else:
                    a = a.value if a.trace is None else _frozen(a)
                    label = summary(a)
            values.append(a)
            shown.append(label)
        out = primitive(*values, **params)
        outs = (out,) if primitive.results == 1 else tuple(out)
        labels = []
        for _ in outs:
            self.labels += 1
            labels.append(f"%{self.labels}")
        variables = tuple(o.var if _traced(o) else None for o in outs)
        raw = tuple(_raw(o) for o in outs)
        self.steps.append(
            Step(
                ", ".join(labels),
                f"{primitive.name}({', '.join(shown)})",
                tuple(s for s, v in zip(shown, values, strict=True) if _traced(v)),
                raw[0] if primitive.results == 1 else raw,
                _slopes(primitive, values, params),
                variables[0] if primitive.results == 1 else variables,
                line_of(*here()),
            )
        )
        wrapped = tuple(self.wrap(o, label) for o, label in zip(outs, labels, strict=True))
        return wrapped[0] if primitive.results == 1 else wrapped


def _traced(x: Any) -> bool:
    return type(x) is Tracer and x.trace is not None


def _raw(x: Any) -> Any:
    while type(x) is Tracer:
        x = x.value
    return x


def _slopes(primitive: Primitive, values: list[Any], params: dict[str, Any]) -> tuple[Any, ...]:
    """Local derivative in each operand that is traced."""
    wanted = [i for i, v in enumerate(values) if _traced(v)]
    if primitive.pair is not None and not primitive.elementwise:
        return tuple("its own rule" for _ in wanted)
    raw = [_raw(v) for v in values]
    if not primitive.elementwise:
        entries = primitive.entries(len(values))
        kinds = (Linear, Variadic)
        return tuple("linear" if isinstance(entries[i], kinds) else "0" for i in wanted)
    if not wanted:
        return ()
    shape = np.broadcast_shapes(*[typeof(v).shape for v in raw])
    spread = [v if type(v) in SCALARS else ops.broadcast_to(v, shape) for v in raw]

    def alone(*xs: Any) -> Any:
        full = list(spread)
        for i, x in zip(wanted, xs, strict=True):
            full[i] = x
        return primitive(*full, **params)

    out, pull = vjp(alone, *[spread[i] for i in wanted])
    if not is_inexact(as_dtype(out.dtype)):
        return tuple("0" for _ in wanted)
    return tuple(map(_raw, pull(ops.ones_like(out))))


# Words for numbers -------------------------------------------------------------------------------


def _parts(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return tuple(v for v in value if v is not None) if isinstance(value, tuple) else (value,)


def summary(x: Any) -> str:
    """Numbers of an array in few words; a word as it is."""
    if isinstance(x, str):
        return x
    x = _raw(x)
    if type(x) in SCALARS:
        return repr(x)
    host = np.asarray(_host(x))
    if not host.size:
        return "empty"
    with np.errstate(all="ignore"):
        return _in_few_words(host)


def _in_few_words(host: Any) -> str:
    if host.size == 1:
        return _number(host.reshape(())[()])
    if host.size <= 4 and host.ndim == 1:
        return f"[{', '.join(map(_number, host))}]"
    if host.dtype.kind == "b":
        return f"{np.count_nonzero(host)} of {host.size} true"
    told = _count_wrong(host)
    sizes = np.abs(host) if host.dtype.kind == "c" else host
    sizes = sizes[np.isfinite(sizes)]
    if not sizes.size:
        return told
    same = sizes.min() == sizes.max()
    text = (
        f"all {_number(sizes.min())}"
        if same
        else f"[{_number(sizes.min())}, {_number(sizes.max())}] mean {_number(sizes.mean())}"
    )
    text = f"|·| {text}" if host.dtype.kind == "c" else text
    return f"{text}, {told}" if told else text


def _host(x: Any) -> Any:
    """NumPy array of the numbers of any library's array."""
    x = _raw(x)
    if isinstance(x, np.ndarray | np.generic):
        return x.astype(np.float32) if x.dtype.name == "bfloat16" else x
    if as_dtype(x.dtype).name == "bfloat16":
        x = ops.astype(x, as_dtype("float32"))
    return unwrap_constants(ops.to_device(x, xp=np))


def _number(x: Any) -> str:
    if isinstance(x, np.bool_):
        return str(bool(x))
    return f"{complex(x):.4g}" if np.iscomplexobj(x) else f"{x + 0:.4g}"  # −0 is 0


def _count_wrong(x: Any) -> str:
    """``2 NaN, 1 inf of 9``, or nothing where all is finite."""
    if isinstance(x, str):
        return ""
    host = np.asarray(_host(x))
    if host.dtype.kind not in "fc":
        return ""
    nan = np.count_nonzero(np.isnan(host))
    infinite = np.count_nonzero(np.isinf(host))
    told = [f"{n} {word}" for n, word in ((nan, "NaN"), (infinite, "inf")) if n]
    return f"{', '.join(told)} of {host.size}" if told else ""


def _warnings(inputs: tuple[Step, ...], steps: tuple[Step, ...]) -> list[str]:
    told = []
    for s in (*inputs, *steps):
        wrong = next(filter(None, map(_count_wrong, _parts(s.value))), "")
        if wrong:
            name = f"{s.label} = {s.operation}{_at(s)} gives" if s.operation else f"{s.label} has"
            told.append(f"first value that is not finite: {name} {wrong}")
            break
    for s in (*reversed(steps), *inputs):
        wrong = next(filter(None, map(_count_wrong, _parts(s.cotangent))), "")
        if wrong:
            users = [u for u in steps if s.label in u.operands and u.cotangent is not None]
            users.sort(key=lambda u: not any(_count_wrong(d) for d in u.slopes))
            out_of = f", out of {users[0].operation}{_at(users[0])}" if users else ""
            told.append(f"first cotangent that is not finite: {s.label} gets {wrong}{out_of}")
            break
    return told


def _at(s: Step) -> str:
    return f" at {s.line}"
