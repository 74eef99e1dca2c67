"""Reverse mode: `vjp`, `grad`, `value_and_grad`, by one backward sweep over a Wengert list."""

import functools
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import numpy as np

from volta.core import tree
from volta.core.call import MOST
from volta.core.derivatives import Variadic, cast_back
from volta.core.errors import DTypeError, ShapeError
from volta.core.keywords import suggesting
from volta.core.plan import record_many
from volta.core.primitive import Primitive
from volta.core.trace import Running, Trace, located, ops
from volta.core.tracer import (
    Tracer,
    check_foreign,
    constant,
    meeting_place,
    refresh,
    settled,
    unwrap_constants,
)
from volta.core.types import SCALARS, ArrayType, as_dtype, is_inexact, typeof
from volta.core.wengert import Recorded, sweep
from volta.transforms.arguments import (
    array_leaves,
    check_inexact,
    chosen_arguments,
    name_of,
    split_modules,
)

__all__ = ["grad", "value_and_grad", "vjp"]


class VjpTrace(Trace):
    """Computes on the values below and records what the backward sweep will need."""

    __slots__ = ("append", "entries", "fresh")

    def __init__(self, transform: str, fun: Any) -> None:
        super().__init__(transform, fun)
        self.records = True
        self.entries: list[Recorded] = []
        self.append = self.entries.append
        self.fresh = count(1).__next__  # atomic: threads of one function may record together

    def input(self, value: Any) -> Tracer:
        """Tracer of an input with a variable of its own."""
        return Tracer(self, self.fresh(), _frozen(value))

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """Run the operation on the values below and append an entry."""
        values = []
        operands = []
        mask = 0
        bit = 1
        kind = None
        mixed = False
        for a in args:
            var = None
            if type(a) is Tracer:
                if a.trace is self:
                    var = a.var
                    mask += bit
                    a = a.value
                else:
                    a = a.value if a.trace is None else _frozen(a)
            t = type(a)
            if t is not kind and t not in SCALARS:
                mixed, kind = kind is not None, t
            values.append(a)
            operands.append(var)
            bit += bit
        if mixed:
            meeting_place(args, primitive.name)
        if primitive.carries:
            out, residuals = primitive.pair.fwd(tuple(operands), *values, **params)
            check_foreign(self, primitive, params, (out, residuals))
        elif primitive.pair is None or primitive.pair.fwd is None:
            out = residuals = primitive.call(*values, **params)
        else:
            out, residuals = primitive.pair.fwd(*values, **params)
        if primitive.record_pair is not None:
            return primitive.record_pair(self, tuple(operands), out, residuals, params)
        if len(args) > MOST and type(primitive.derivatives) is Variadic:
            return record_many(self, primitive, operands, values, out, params)
        return primitive.plan(mask + bit).record(self, *args, *values, out, params)

    def several(self, variables: tuple[int, ...], out: tuple[Any, ...]) -> tuple[Any, ...]:
        """Tracers of several results; of those that have no derivative, constants."""
        return tuple(
            [
                Tracer(self, v, o) if is_inexact(as_dtype(o.dtype)) else constant(o)
                for v, o in zip(variables, out, strict=True)
            ]
        )


def _frozen(value: Any) -> Any:
    """Value, as of now, that later writes to its handle do not reach."""
    if type(value) is not Tracer:
        return value
    if value.view is not None:
        refresh(value)
    return Tracer(value.trace, value.var, value.value)


def _read(trace: VjpTrace, leaf: Any) -> tuple[int | None, Any]:
    """Variable of an output leaf in `trace` (None if it does not depend on it), and its value."""
    if type(leaf) is Tracer and leaf.trace is trace:
        return leaf.var, _frozen(leaf.value)
    return None, unwrap_constants(leaf)


@suggesting
def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Evaluate `fun` and return its vector-Jacobian product.

    Parameters
    ----------
    fun : callable
        Function of trees of arrays, returning a tree of arrays.
    *primals : tree
        Point of evaluation; leaves are real or complex floating arrays.
    has_aux : bool
        Whether `fun` returns a pair ``(out, aux)``, of which `aux` is not differentiated.

    Returns
    -------
    out : tree
        ``fun(*primals)``.
    vjp_fn : callable
        From a cotangent of the structure of `out` to the tuple of cotangents of `primals`,
        ``ctᵀ ∂out/∂primal`` (unconjugated for complex arrays, as in JAX). Callable repeatedly.
    aux : tree
        Only with `has_aux`.

    Raises
    ------
    DTypeError
        If an input has an integer or boolean dtype.
    ShapeError
        From `vjp_fn`, if a cotangent's structure, shape or dtype is not the output's.

    Notes
    -----
    `vjp_fn` reads the arrays that `fun` took, closed over and returned; do not write to them as
    long as it is called.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> out, vjp_fn = volta.vjp(F.sin, np.asarray(0.0))
    >>> vjp_fn(np.asarray(2.0))
    (array(2.),)
    """
    where = f"vjp({name_of(fun)})"
    trace = VjpTrace("vjp", fun)
    split = [split_modules(p) for p in primals]
    leaves, spec = array_leaves(tuple(p for p, _ in split), where)
    for i, leaf in enumerate(leaves):
        check_inexact(leaf, spec, i, where, holomorphic=False, allow_int=False)
    inputs = [trace.input(leaf) for leaf in leaves]
    variables = [x.var for x in inputs]  # now: the function may rebind its handles
    with Running(trace):
        args = tree.unflatten(spec, inputs)
        result = settled(fun(*[join(a) for (_, join), a in zip(split, args, strict=True)]))
        aux = None
        if has_aux:
            result, aux = _pair_of(result, where)
    outputs, out_spec = tree.flatten(result)
    read = [_read(trace, o) for o in outputs]
    out = tree.unflatten(out_spec, [v for _, v in read])
    types = [typeof(v) for _, v in read]

    def vjp_fn(ct: Any) -> tuple[Any, ...]:
        seeds, ct_spec = tree.flatten(ct)
        if ct_spec != out_spec:
            msg = (
                f"{where}: the cotangent must have the output's structure; got "
                f"{ct_spec} and {out_spec}."
            )
            raise ShapeError(msg)
        cts: dict[int, Any] = {}
        for (var, value), seed, kind in zip(read, seeds, types, strict=True):
            seed = _matching(seed, value, kind, where)
            if var is not None:
                cts[var] = seed if var not in cts else ops.add(cts[var], seed)
        sweep(trace.entries, cts, consume=False)
        grads = _gradients(cts, variables, leaves, seeds)
        return tree.unflatten(spec, grads)  # type: ignore[no-any-return]  # a tuple, as `spec` is

    if has_aux:
        return out, vjp_fn, tree.map(lambda leaf: _read(trace, leaf)[1], aux)
    return out, vjp_fn


@suggesting
def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    argnames: str | Sequence[str] | None = None,
) -> Callable[..., Any]:
    """Return a function that computes the gradient of `fun`.

    Parameters
    ----------
    fun : callable
        Returns one real number, an array of shape (); with `has_aux` a pair ``(loss, aux)``.
    argnums : int or sequence of int
        Positional arguments to differentiate; each a tree of floating arrays.
    has_aux : bool
        Whether `fun` also returns auxiliary results.
    holomorphic : bool
        Whether `fun` is holomorphic: inputs and output complex, the result ``df/dz``.
    allow_int : bool
        Whether integer inputs are accepted; their gradients are zeros of their own type.
    argnames : str or sequence of str, optional
        Keyword arguments to differentiate as well.

    Returns
    -------
    callable
        Same arguments as `fun`. Returns the gradient, a tree like the argument with arrays of the
        same library, shape and dtype; for a sequence of argnums a tuple; with `argnames` a pair
        of that and a dict; with `has_aux` a pair ``(gradient, aux)``.

    Raises
    ------
    DTypeError
        If an input is not floating, or the loss not real.
    TypeError
        If the loss is not an array of shape ().
    ValueError
        If argnums or argnames do not fit the call.

    Notes
    -----
    For complex inputs of a real loss the result is ``∂f/∂x − i ∂f/∂y``, as in JAX: the
    conjugate is the direction of steepest ascent.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> volta.grad(lambda w: F.sum(w**2))(np.asarray([1.0, 2.0]))
    array([2., 4.])
    """
    both = value_and_grad(fun, argnums, has_aux, holomorphic, allow_int, argnames=argnames)

    @functools.wraps(fun, updated=())
    def grad_fn(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return grad_fn


@suggesting
def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    argnames: str | Sequence[str] | None = None,
) -> Callable[..., Any]:
    """Return a function that computes the value and the gradient of `fun`; see `grad`.

    Parameters
    ----------
    fun, argnums, has_aux, holomorphic, allow_int, argnames
        As for `grad`.

    Returns
    -------
    callable
        Returns ``(value, gradient)``; with `has_aux` ``((value, aux), gradient)``.

    Examples
    --------
    >>> import numpy as np, volta, volta.functional as F
    >>> value, slope = volta.value_and_grad(F.square)(np.asarray(3.0))
    >>> float(value), float(slope)
    (9.0, 6.0)
    """
    where = f"grad({name_of(fun)})"
    place = argnums if isinstance(argnums, int) and argnames is None and not holomorphic else None

    @functools.wraps(fun, updated=())
    def value_and_grad_fn(*args: Any, **kwargs: Any) -> Any:
        trace = VjpTrace("grad", fun)
        only = args[place] if place is not None and -len(args) <= place < len(args) else None
        assemble: Callable[[list[Any]], Any] = _first
        if type(only) is np.ndarray and only.dtype.char in "efd":  # the common case, at less cost
            leaves, inputs = [only], [trace.input(only)]
            args = (*args[:place], inputs[0], *args[place:][1:])
        else:
            args, kwargs, leaves, inputs, assemble = _opened(
                trace, where, args, kwargs, argnums, argnames, holomorphic, allow_int
            )
        variables = [x.var for x in inputs]  # now: the function may rebind its handles
        with Running(trace):
            loss = settled(fun(*args, **kwargs))
            aux = None
            if has_aux:
                loss, aux = _pair_of(loss, where)
        var, value = _loss(trace, loss, where, holomorphic)
        cts = {} if var is None else {var: _one(value)}
        sweep(trace.entries, cts, consume=True)
        grads = assemble(_gradients(cts, variables, leaves))
        if has_aux:
            return (value, tree.map(lambda leaf: _read(trace, leaf)[1], aux)), grads
        return value, grads

    return value_and_grad_fn


def _first(grads: list[Any]) -> Any:
    return grads[0]


def _opened(
    trace: VjpTrace,
    where: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    argnums: int | Sequence[int],
    argnames: str | Sequence[str] | None,
    holomorphic: bool,
    allow_int: bool,
) -> tuple[tuple[Any, ...], dict[str, Any], list[Any], list[Tracer], Callable[..., Any]]:
    """Arguments with tracers in place of the chosen leaves, and how to arrange the gradients."""
    positions, names = chosen_arguments(where, args, kwargs, argnums, argnames)
    split = [split_modules(args[p]) for p in positions]
    named = [split_modules(kwargs[n]) for n in names]
    leaves, spec = array_leaves(([p for p, _ in split], [p for p, _ in named]), where)
    inputs = [
        trace.input(leaf)
        if check_inexact(leaf, spec, i, where, holomorphic=holomorphic, allow_int=allow_int)
        else constant(leaf)
        for i, leaf in enumerate(leaves)
    ]
    by_position, by_name = tree.unflatten(spec, inputs)
    call_args, call_kwargs = list(args), dict(kwargs)
    for p, (_, join), a in zip(positions, split, by_position, strict=True):
        call_args[p] = join(a)
    for n, (_, join), a in zip(names, named, by_name, strict=True):
        call_kwargs[n] = join(a)

    def assemble(grads: list[Any]) -> Any:
        found, found_by_name = tree.unflatten(spec, grads)
        found = found[0] if isinstance(argnums, int) else tuple(found)
        return (found, dict(zip(names, found_by_name, strict=True))) if names else found

    return tuple(call_args), call_kwargs, leaves, inputs, assemble


def _memory(x: Any) -> int:
    """Number by which arrays that share memory are told: of NumPy and torch, whose are mutable."""
    if type(x) is np.ndarray:
        return id(x if x.base is None else x.base)
    storage = getattr(x, "untyped_storage", None)
    return id(x) if storage is None else -storage().data_ptr()


def _gradients(
    cts: dict[int, Any], variables: list[Any], leaves: list[Any], seeds: Sequence[Any] = ()
) -> list[Any]:
    """Cotangents of the inputs: zeros where there is none, each array its caller's own."""
    found = []
    seen = {_memory(s) for s in seeds}
    for var, leaf in zip(variables, leaves, strict=True):
        ct = cts.get(var)
        if ct is None:
            ct = unwrap_constants(ops.zeros_like(leaf))
        elif type(ct) is Tracer:
            ct = unwrap_constants(ct)
        if isinstance(ct, np.generic):
            ct = np.asarray(ct)
        if ct.dtype is not leaf.dtype and ct.dtype != leaf.dtype:
            ct = cast_back(ct, leaf.dtype)  # NumPy makes float32 of bfloat16 and a Python float
        # a rule may hand one array to two operands, views of one, or a broadcast view
        if type(ct) is np.ndarray:
            if _memory(ct) in seen or not ct.flags.writeable:
                ct = ct.copy()
        elif _memory(ct) in seen or (hasattr(ct, "stride") and 0 in ct.stride()):  # torch
            ct = ops.asarray(ct, copy=True)
        seen.add(_memory(ct))
        found.append(ct)
    return found


def _one(value: Any) -> Any:
    if type(value) is np.ndarray:
        return np.ones((), value.dtype)
    return ops.ones_like(value)


def _pair_of(result: Any, where: str) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        got = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        got = "an array" if type(result) is Tracer else got
        msg = (
            f"{where}: with has_aux=True the function must return a pair (out, aux); got {got}. "
            "Return one, or leave has_aux out."
        )
        raise located(TypeError(msg))
    return result


def _loss(trace: VjpTrace, loss: Any, where: str, holomorphic: bool) -> tuple[int | None, Any]:
    """Variable and value of a loss, checked to be one number."""
    if type(loss) is Tracer and loss.trace is trace and loss.view is None and not holomorphic:
        value = loss.value
        if type(value) is np.ndarray and not value.ndim and value.dtype.kind == "f":
            return loss.var, value
    leaf = loss.value if type(loss) is Tracer and loss.trace is None else loss
    if not hasattr(leaf, "shape") and not isinstance(leaf, int | float | complex):
        msg = f"{where}: the function must return an array of shape (); got {type(leaf).__name__}."
        raise located(TypeError(msg))
    kind = typeof(leaf)
    if kind.shape != ():
        msg = (
            f"{where}: the function must return one number, shape (); got shape {kind.shape}. "
            "Reduce it with sum or mean, or use vjp."
        )
        raise located(TypeError(msg))
    if holomorphic and kind.dtype.kind != "complex":
        msg = f"{where}: with holomorphic=True the output must be complex; got {kind.dtype.name}."
        raise DTypeError(msg)
    if not holomorphic and kind.dtype.kind != "float":
        msg = f"{where}: the output must be real floating; got {kind.dtype.name}."
        if kind.dtype.kind == "complex":
            msg += " Take its real part or its absolute value, or pass holomorphic=True."
        raise DTypeError(msg)
    return _read(trace, loss)


def _matching(seed: Any, value: Any, kind: ArrayType, where: str) -> Any:
    """Cotangent checked against the output it belongs to; numbers become arrays."""
    if type(value) in SCALARS:  # a number that the function returned depends on nothing
        return seed
    if type(seed) in (int, float, complex):
        seed = ops.full_like(value, seed)
    got = typeof(seed)
    if got.shape != kind.shape:
        msg = (
            f"{where}: a cotangent must have its output's shape; got {got.shape} and {kind.shape}. "
            "Start from functional.ones_like of the output."
        )
        raise ShapeError(msg)
    if got.dtype is not kind.dtype and is_inexact(kind.dtype):
        msg = (
            f"{where}: a cotangent must have its output's dtype; got {got.dtype.name} "
            f"and {kind.dtype.name}. Convert it with functional.astype."
        )
        raise DTypeError(msg)
    return seed
