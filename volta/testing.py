"""Checks for programs: `assert_close`, `check_grads`, and `check_backends` between libraries.

All three raise AssertionError with the place of the first difference and the numbers there. They
share one table of tolerances, `TOLERANCES`, by the least precise dtype that takes part.
"""

import importlib
import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

import numpy as np

from volta import tree
from volta.core.dispatch import NUMPY
from volta.core.errors import TraceError, VoltaError
from volta.core.trace import located, source_line
from volta.core.tracer import Tracer, library_under
from volta.core.types import SCALARS, DType, as_dtype, is_inexact, typeof
from volta.core.wengert import Entry, Literal, WengertList
from volta.functional import add, astype, finfo, multiply
from volta.transforms.arguments import array_leaves, name_of, split_modules
from volta.transforms.jvp import jvp
from volta.transforms.trace import trace
from volta.transforms.vjp import vjp

__all__ = [
    "TOLERANCES",
    "Tolerance",
    "assert_close",
    "check_backends",
    "check_grads",
    "gradcheck",
    "gradgradcheck",
]


class Tolerance(NamedTuple):
    """How far numbers of a dtype may be apart.

    Attributes
    ----------
    rtol, atol : float
        Two computations agree if they differ by at most ``atol + rtol · |desired|``.
    slope_rtol, slope_atol : float
        The same for a derivative and a finite difference.
    step : float
        Step of the finite difference.

    Examples
    --------
    >>> volta.testing.TOLERANCES["float32"].rtol
    1e-05
    """

    rtol: float
    atol: float
    slope_rtol: float
    slope_atol: float
    step: float


# Some tens of units in the last place. The finite differences are of fourth order, so that a step
# h costs h⁴ in truncation and eps/h in rounding, which the steps below about balance.
TOLERANCES: Final = {
    "bfloat16": Tolerance(2e-2, 1e-2, 0.3, 0.3, 0.25),
    "float16": Tolerance(4e-3, 1e-3, 5e-2, 5e-2, 0.125),
    "float32": Tolerance(1e-5, 1e-6, 5e-3, 1e-3, 0.03),
    "float64": Tolerance(1e-9, 1e-12, 1e-6, 1e-7, 1e-3),
}
_EXACT: Final = Tolerance(0, 0, 0, 0, 0)
_REAL: Final = {"complex64": "float32", "complex128": "float64"}


def _tolerance(*dtypes: DType) -> Tolerance:
    """Tolerance of the least precise of `dtypes`."""
    found = [TOLERANCES[n] for d in dtypes if (n := _REAL.get(d.name, d.name)) in TOLERANCES]
    return max(found, key=lambda t: t.rtol, default=_EXACT)


# Trees of arrays that should be alike ------------------------------------------------------------


def assert_close(
    actual: Any, desired: Any, *, rtol: float | None = None, atol: float | None = None
) -> None:
    """Raise unless two trees have one structure, and their arrays one shape, dtype and numbers.

    Parameters
    ----------
    actual, desired : tree
        Of arrays of any libraries, not necessarily the same one, and of numbers. A Python number
        has no dtype to compare.
    rtol, atol : float, optional
        Largest relative and absolute difference, both from `TOLERANCES` by default: of the less
        precise dtype, and 0 for integers and booleans.

    Raises
    ------
    AssertionError
        With the path of the first leaf that differs, and there the worst element.

    Notes
    -----
    Numbers agree if ``|actual − desired| ≤ atol + rtol · |desired|``. Infinities agree with
    themselves, and NaN with NaN. Arrays are compared on the host.

    Examples
    --------
    >>> volta.testing.assert_close({"w": np.ones(2)}, {"w": np.ones(2) + 1e-12})
    >>> volta.testing.assert_close({"w": np.ones(2)}, {"w": np.asarray([1.0, 2.0])})
    Traceback (most recent call last):
        ...
    AssertionError: assert_close: numbers must agree within rtol=1e-09 and atol=1e-12; got 1.0 and
    2.0 at tree['w'][1]; 1 of 2 elements differ.
    """
    told = _difference(actual, desired, rtol, atol, "tree")
    if told is not None:
        msg = f"assert_close: {told}"
        raise AssertionError(msg)


def _difference(
    actual: Any, desired: Any, rtol: float | None, atol: float | None, root: str
) -> str | None:
    """What differs first between two trees, as the end of a message."""
    found, spec = tree.flatten(actual)
    wanted, other = tree.flatten(desired)
    if spec != other:
        return f"trees must have one structure; got {spec} and {other}."
    for path, x, y in zip(spec.paths(), found, wanted, strict=True):
        told = _leaf_difference(x, y, rtol, atol, root + tree.keystr(path))
        if told is not None:
            return told
    return None


def _leaf_difference(
    x: Any, y: Any, rtol: float | None, atol: float | None, path: str
) -> str | None:
    kinds = typeof(x), typeof(y)
    if kinds[0].shape != kinds[1].shape:
        return f"shapes must agree; got {kinds[0].shape} and {kinds[1].shape} at {path}."
    weak = type(x) in SCALARS or type(y) in SCALARS
    if kinds[0].dtype is not kinds[1].dtype and not weak:
        return f"dtypes must agree; got {kinds[0].dtype} and {kinds[1].dtype} at {path}."
    tolerance = _tolerance(*(k.dtype for k in kinds))
    rtol = tolerance.rtol if rtol is None else rtol
    atol = tolerance.atol if atol is None else atol
    a, b = _host(x), _host(y)
    far = _apart(a, b, rtol, atol)
    if not np.any(far):
        return None
    worst = _worst(a, b, far)
    return (
        f"numbers must agree within rtol={rtol:g} and atol={atol:g}; got {a[worst]} and "
        f"{b[worst]} at {path}{_at(worst)}; {np.count_nonzero(far)} of {far.size} elements differ."
    )


def _apart(a: Any, b: Any, rtol: float, atol: float) -> Any:
    """Where the numbers of two host arrays do not agree."""
    if a.dtype.kind in "iub" and b.dtype.kind in "iub" and not rtol and not atol:
        return np.asarray(a != b)
    with np.errstate(all="ignore"):
        if a.dtype.kind == "b" or b.dtype.kind == "b":
            return np.asarray(a != b)
        if a.dtype.kind in "iu" and b.dtype.kind in "iu":  # whose differences may not fit
            if max(a.dtype.itemsize, b.dtype.itemsize) == 8:
                return _apart_exactly(a, b, rtol, atol)
            a, b = a.astype(np.float64), b.astype(np.float64)
        near = np.isfinite(b) & (np.abs(a - b) <= atol + rtol * np.abs(b))
        return np.asarray(~(near | (a == b) | ((a != a) & (b != b))))


def _apart_exactly(a: Any, b: Any, rtol: float, atol: float) -> Any:
    """The same for integers of 64 bits."""
    pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
    far = [abs(x - y) > atol + rtol * abs(y) for x, y in pairs]
    return np.asarray(far, bool).reshape(a.shape)


def _worst(a: Any, b: Any, far: Any) -> tuple[int, ...]:
    """Index of the element that is furthest off; one that is NaN or infinite on one side first."""
    with np.errstate(all="ignore"):
        gap = np.abs(np.asarray(a, np.complex128) - np.asarray(b, np.complex128))
    gap = np.where(far, np.where(np.isfinite(gap), gap, np.inf), -1.0)
    return tuple(int(i) for i in np.unravel_index(np.argmax(gap), gap.shape))


def _at(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""


def _host(x: Any) -> Any:
    """NumPy array of the numbers in `x`; of bfloat16, whose arithmetic NumPy lacks, as float32."""
    if type(x) in SCALARS:
        return np.asarray(x)
    if as_dtype(x.dtype).name == "bfloat16":
        x = astype(x, "float32")
    if hasattr(x, "resolve_conj"):  # torch
        x = x.resolve_conj().resolve_neg()
    if library_under(x).name == "dask.array":
        x = x.compute()
    return np.asarray(tree.to(x, xp=np))


# Derivatives -------------------------------------------------------------------------------------


class _Settings(NamedTuple):
    modes: tuple[str, ...]
    rtol: float | None
    atol: float | None
    eps: float | None
    paths: list[str]


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Raise unless the derivatives of `f` agree with finite differences, to a given order.

    Parameters
    ----------
    f : callable
        Function of trees of arrays, returning a tree of arrays.
    args : sequence of tree
        Point at which to check. Leaves that are not real or complex floating are held fixed, and
        so is what `f` returns of such dtypes.
    order : int
        Highest order: the derivatives in the given modes, then the derivatives of those, ….
    modes : sequence of str
        ``"fwd"`` checks `volta.jvp`, ``"rev"`` `volta.vjp`; with both, each over each.
    atol, rtol, eps : float, optional
        Tolerances, and step of the finite differences; by default those of `TOLERANCES` for the
        least precise dtype among the arguments.

    Raises
    ------
    AssertionError
        With mode, order, path of the argument, and both numbers.
    ValueError
        If `order` is less than 1, a mode unknown, or no argument or no result floating.

    Notes
    -----
    For each leaf x of the arguments a direction t and a cotangent c are drawn, always the same,
    from the normal distribution. `f` gets copies of the arguments. With the finite difference

        Δ = (8 (f(x + h t) − f(x − h t)) − (f(x + 2h t) − f(x − 2h t))) / 12 h

    forward mode must give ``J t = Δ``, and reverse mode the transpose, ``Re Σ (Jᵀc)·t = Re Σ c·Δ``,
    within `rtol` of the root of the sum of the squared terms, which is what their errors add up to,
    and the rounding of `f` over h. One wrong element of many may pass that; so reverse mode is
    checked again along single elements of x, where ``Jᵀc`` is least and where it is greatest. Keep
    away from kinks by 2h. This is `jax.test_util.check_grads`, with finite differences of fourth
    order.

    References
    ----------
    M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 25.3.21 (the five-point
    formula).

    Examples
    --------
    >>> volta.testing.check_grads(lambda x: F.sum(F.tanh(x) ** 3), (np.asarray([0.5, -1.0]),), 3)
    >>> def wrong(x):
    ...     return x * volta.stop_gradient(x)
    >>> volta.testing.check_grads(wrong, (np.asarray(1.5),))
    Traceback (most recent call last):
        ...
    AssertionError: check_grads(wrong): the fwd derivative of order 1 in args[0] must agree with
    the finite difference; got 0.18859... and 0.37719... at output.
    """
    where = f"check_grads({name_of(f)})"
    unknown = [m for m in modes if m not in ("fwd", "rev")]
    if unknown or not modes:
        msg = f"{where}: modes must be among 'fwd' and 'rev'; got {tuple(modes)!r}."
        raise located(ValueError(msg))
    if order < 1:
        msg = f"{where}: order must be at least 1; got {order}."
        raise located(ValueError(msg))
    split = [split_modules(a) for a in args]
    leaves, spec = array_leaves(tuple(p for p, _ in split), where)
    varied = [i for i, x in enumerate(leaves) if is_inexact(as_dtype(x.dtype))]
    if not varied:
        listed = ", ".join(as_dtype(x.dtype).name for x in leaves) or "no arrays"
        msg = f"{where}: some argument must be real or complex floating; got {listed}."
        raise located(ValueError(msg))

    def whole(*xs: Any) -> Any:
        full = list(leaves)
        for i, x in zip(varied, xs, strict=True):
            full[i] = x
        parts = tree.unflatten(spec, [_copied(x) for x in full])
        return f(*[join(p) for (_, join), p in zip(split, parts, strict=True)])

    def flat(*xs: Any) -> tuple[Any, ...]:
        return tuple(_inexact(whole(*xs)))

    out = tree.flatten_with_path(whole(*[leaves[i] for i in varied]))[0]
    named = ["output" + tree.keystr(path) for path, leaf in out if _has_derivative(leaf)]
    if not named:
        kinds = (typeof(x).dtype.name if hasattr(x, "dtype") else type(x).__name__ for _, x in out)
        listed = ", ".join(kinds) or "no arrays"
        msg = f"{where}: some result must be real or complex floating; got {listed}."
        raise located(ValueError(msg))
    paths = ["args" + tree.keystr(spec.paths()[i]) for i in varied]
    settings = _Settings(tuple(modes), rtol, atol, eps, paths)
    _check(where, flat, [leaves[i] for i in varied], named, (), order, settings)


def gradcheck(f: Callable[..., Any], args: Sequence[Any], **options: Any) -> None:
    """Check first derivatives: `check_grads` of order 1, by PyTorch's name.

    Parameters
    ----------
    f : callable
        Function of trees of arrays.
    args : sequence of tree
        Point at which to check.
    **options
        Other arguments of `check_grads`.

    Examples
    --------
    >>> volta.testing.gradcheck(F.sin, (np.asarray([0.5, 1.0]),))
    """
    check_grads(f, args, 1, **options)


def gradgradcheck(f: Callable[..., Any], args: Sequence[Any], **options: Any) -> None:
    """Check first and second derivatives: `check_grads` of order 2, by PyTorch's name.

    Parameters
    ----------
    f : callable
        Function of trees of arrays.
    args : sequence of tree
        Point at which to check.
    **options
        Other arguments of `check_grads`.

    Examples
    --------
    >>> volta.testing.gradgradcheck(F.sin, (np.asarray([0.5, 1.0]),))
    """
    check_grads(f, args, 2, **options)


def _copied(x: Any) -> Any:
    """`x`, which a function may write to."""
    if type(x) is Tracer:
        return x
    return x.copy() if type(x) is np.ndarray else library_under(x).xp.asarray(x, copy=True)


def _has_derivative(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and is_inexact(as_dtype(leaf.dtype))


def _inexact(out: Any) -> list[Any]:
    return [leaf for leaf in tree.leaves(out) if _has_derivative(leaf)]


def _check(
    where: str,
    f: Callable[..., tuple[Any, ...]],
    xs: list[Any],
    outputs: list[str],
    done: tuple[str, ...],
    order: int,
    settings: _Settings,
) -> None:
    """Check the derivatives of `f`, a derivative itself by the modes `done`, then theirs."""
    rng = np.random.default_rng(len(done))
    value = f(*xs)
    directions = [_random_like(rng, x) for x in xs]
    seeds = tuple(_random_like(rng, y) for y in value)
    tolerance = _tolerance(*(as_dtype(x.dtype) for x in (*xs, *value)))
    rtol = tolerance.slope_rtol if settings.rtol is None else settings.rtol
    atol = tolerance.slope_atol if settings.atol is None else settings.atol
    step = tolerance.step if settings.eps is None else settings.eps

    cotangents: tuple[Any, ...] = ()
    if "rev" in settings.modes:
        again, vjp_fn = vjp(f, *xs)
        cotangents = vjp_fn(seeds)
        _same_value(where, "rev", done, again, value, outputs)
    for i, path in enumerate(settings.paths):
        only = [t if i == j else multiply(t, 0) for j, t in enumerate(directions)]
        slope, unsure = _slope(f, xs, only, step)
        order_here = f"derivative of order {len(done) + 1} in {path}"
        if done:
            order_here += f" ({' over '.join(('{mode}', *reversed(done)))})"
        if "fwd" in settings.modes:
            again, tangents = jvp(f, tuple(xs), tuple(only))
            _same_value(where, "fwd", done, again, value, outputs)
            for name, t, wanted in zip(outputs, tangents, slope, strict=True):
                t = _host(t)
                far = _apart(t, wanted, rtol, atol)
                if np.any(far):
                    worst = _worst(t, wanted, far)
                    msg = (
                        f"{where}: the fwd {order_here.format(mode='fwd')} must agree with the "
                        f"finite difference; got {t[worst]} and {wanted[worst]} at "
                        f"{name}{_at(worst)}."
                    )
                    raise AssertionError(msg)
        if "rev" in settings.modes:
            lines = [(directions[i], slope, unsure, "the sums of products")]
            for index, t in _probes(_host(cotangents[i]), _host(directions[i])):
                only[i] = _like(t, xs[i])
                lines.append((only[i], *_slope(f, xs, only, step, True), f"element {list(index)}"))
            for t, slope, unsure, which in lines:
                terms = [_host(cotangents[i]) * _host(t)]
                wanted_terms = [_host(c) * s for c, s in zip(seeds, slope, strict=True)]
                got, wanted = _total(terms), _total(wanted_terms)
                size = math.hypot(*map(_norm, (*terms, *wanted_terms)))
                noise = sum(_norm(_host(c) * u) for c, u in zip(seeds, unsure, strict=True))
                if not abs(got - wanted) <= atol + rtol * size + noise and not (
                    got != got and wanted != wanted
                ):
                    msg = (
                        f"{where}: the rev {order_here.format(mode='rev')} must be the transpose "
                        f"of the finite difference; got {got} and {wanted} for {which}."
                    )
                    raise AssertionError(msg)
    if order == 1:
        return
    if "fwd" in settings.modes:

        def pushed(*ys: Any) -> tuple[Any, ...]:
            return tuple(jvp(f, ys, tuple(directions))[1])

        _check(where, pushed, xs, outputs, (*done, "fwd"), order - 1, settings)
    if "rev" in settings.modes:

        def pulled(*ys: Any) -> tuple[Any, ...]:
            return tuple(vjp(f, *ys)[1](seeds))

        names = [f"cotangent of {p}" for p in settings.paths]
        _check(where, pulled, xs, names, (*done, "rev"), order - 1, settings)


def _same_value(
    where: str, mode: str, done: tuple[str, ...], found: Any, wanted: Any, outputs: list[str]
) -> None:
    for name, x, y in zip(outputs, found, wanted, strict=True):
        told = _leaf_difference(x, y, None, None, name)
        if told is not None:
            under = " over ".join((mode, *reversed(done)))
            msg = f"{where}: the value under {under} must be the function's: {told}"
            raise AssertionError(msg)


def _random_like(rng: np.random.Generator, x: Any) -> Any:
    """Normal numbers of the type, library and device of `x`."""
    numbers = rng.standard_normal(tuple(x.shape))
    if _is_complex(x):
        numbers = numbers + 1j * rng.standard_normal(tuple(x.shape))
    return _like(numbers, x)


def _like(numbers: Any, x: Any) -> Any:
    """Numbers of the host as an array of the dtype, library and device of `x`."""
    dtype, library = as_dtype(x.dtype), library_under(x)
    host = np.asarray(numbers, "complex64" if dtype.name == "complex64" else None)
    if library is NUMPY:
        return np.asarray(host, dtype.dtype)
    return library.asarray(host, library.dtype(dtype), library.device(x))


def _probes(cotangent: Any, direction: Any) -> list[tuple[tuple[int, ...], Any]]:
    """Where a cotangent is least and greatest, and unit vectors there."""
    if cotangent.size < 2:
        return []
    found = []
    size = np.where(cotangent == cotangent, np.abs(cotangent), np.inf)
    for place in dict.fromkeys((int(np.argmin(size)), int(np.argmax(size)))):
        index = tuple(map(int, np.unravel_index(place, size.shape)))
        unit = np.zeros(size.shape, np.result_type(direction, np.float64))
        unit[index] = direction[index] / abs(direction[index])
        found.append((index, unit))
    return found


def _norm(x: Any) -> float:
    return float(np.linalg.norm(np.ravel(x)))


def _slope(
    f: Callable[..., Any], xs: list[Any], ts: list[Any], step: float, spread: bool = False
) -> tuple[list[Any], list[Any]]:
    """Directional derivative of each output by the five-point formula, on the host.

    With it comes what it may be wrong by: some roundings of the values, over the step, and with
    `spread` how far the differences of the two steps are apart, which shows inner roundings.
    """

    def ahead(steps: int) -> list[Any]:
        out = f(*[add(x, multiply(t, steps * step)) for x, t in zip(xs, ts, strict=True)])
        return [_host(y).astype(np.complex128 if _is_complex(y) else np.float64) for y in out]

    eps = [float(finfo(t.dtype).eps) for t in ts if t.size]
    slopes, unsure = [], []
    with np.errstate(all="ignore"):
        for p1, m1, p2, m2 in zip(ahead(1), ahead(-1), ahead(2), ahead(-2), strict=True):
            near, far = (p1 - m1) / (2 * step), (p2 - m2) / (4 * step)
            slopes.append((4 * near - far) / 3)
            rounded = 4 * max(eps, default=0.0) / step * np.abs(p1)
            unsure.append(rounded + (2 * np.abs(near - far) if spread else 0.0))
    return slopes, unsure


def _is_complex(x: Any) -> bool:
    return as_dtype(x.dtype).kind == "complex"


def _total(terms: list[Any]) -> float:
    return float(sum(np.sum(np.real(t), dtype=np.float64) for t in terms))


# Array libraries ---------------------------------------------------------------------------------

_NAMESPACES: Final = {"jax": "jax.numpy", "dask": "dask.array"}


def check_backends(
    f: Callable[..., Any],
    args: Sequence[Any],
    backends: Sequence[Any] = ("numpy", "torch"),
    *,
    derivatives: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """Raise unless `f` and its derivatives are the same on several array libraries.

    Parameters
    ----------
    f : callable
        Function of trees of arrays, returning a tree of arrays.
    args : sequence of tree
        Arguments, of any library; they are moved to each.
    backends : sequence of str or namespace
        Libraries, such as ``"torch"``, ``"jax"`` or ``"array_api_strict"``; the first is what the
        others are compared with.
    derivatives : bool
        Whether to compare `volta.jvp` and `volta.vjp` too, in directions drawn once.
    rtol, atol : float, optional
        As for `assert_close`.

    Raises
    ------
    AssertionError
        With the first operation that differs, its types, the line of the user, and both numbers.
    ValueError
        If there are fewer than two backends.
    ImportError
        If a backend is not installed.

    Notes
    -----
    Where results differ, the program is staged (`volta.trace`) and run again, one entry at a time
    on both libraries. Each entry gets the first library's operands on both sides, so what differs
    there is due to that operation and to nothing before it.

    JAX computes in 32 bits unless ``jax_enable_x64`` is set, and dtypes then differ.

    Examples
    --------
    >>> volta.testing.check_backends(lambda x: F.sum(F.exp(x)), (np.ones(3),), ["numpy", np])
    """
    where = f"check_backends({name_of(f)})"
    if len(backends) < 2:
        msg = f"{where}: there must be at least two backends; got {len(backends)}."
        raise located(ValueError(msg))
    namespaces = [_namespace(b, where) for b in backends]
    labels = [b if isinstance(b, str) else b.__name__.rpartition(".")[2] for b in backends]
    leaves, spec = array_leaves(tuple(args), where)
    host = [_as_is(x) for x in leaves]
    programs = _programs(f, host, spec, derivatives)
    for label, xp in zip(labels[1:], namespaces[1:], strict=True):
        for what, program, inputs in programs:
            sides = _moved(inputs, namespaces[0]), _moved(inputs, xp)
            told = _difference(program(*sides[1]), program(*sides[0]), rtol, atol, "output")
            if told is not None:
                msg = (
                    f"{where}: {what} on {label} must be as on {labels[0]}: {told} "
                    f"{_first_operation(program, sides, (labels[0], label), xp, rtol, atol)}"
                )
                raise AssertionError(msg)


def _namespace(backend: Any, where: str) -> Any:
    if not isinstance(backend, str):
        return backend
    try:
        return importlib.import_module(_NAMESPACES.get(backend, backend))
    except ImportError as error:
        msg = f"{where}: every backend must be installed; got {backend!r}. Install it."
        raise ImportError(msg) from error


def _as_is(x: Any) -> Any:
    """Array on the host with its dtype, if NumPy has it."""
    return x if library_under(x) is NUMPY else np.asarray(_host(x), as_dtype(x.dtype).dtype)


def _moved(xs: Sequence[Any], xp: Any) -> list[Any]:
    return [_to(x, xp) for x in xs]


def _programs(
    f: Callable[..., Any], leaves: list[Any], spec: tree.PyTreeSpec, derivatives: bool
) -> list[tuple[str, Callable[..., Any], list[Any]]]:
    """Value, and derivatives in fixed directions, as functions of flat lists of arrays."""

    def value(*xs: Any) -> Any:
        return f(*tree.unflatten(spec, xs))

    programs = [("the value", value, leaves)]
    varied = [i for i, x in enumerate(leaves) if is_inexact(as_dtype(x.dtype))]
    if not derivatives or not varied:
        return programs

    def of_varied(xs: Sequence[Any]) -> Callable[..., Any]:
        def fun(*ys: Any) -> Any:
            full = list(xs)
            for i, y in zip(varied, ys, strict=True):
                full[i] = y
            return _inexact(value(*full))

        return fun

    rng = np.random.default_rng(0)
    directions = [_random_like(rng, leaves[i]) for i in varied]
    seeds = [_as_is(_random_like(rng, y)) for y in _inexact(value(*leaves))]
    n = len(leaves)

    def pushed(*xs: Any) -> Any:
        primals = tuple(xs[i] for i in varied)
        return jvp(of_varied(xs[:n]), primals, tuple(xs[n:]))[1]

    def pulled(*xs: Any) -> Any:
        return vjp(of_varied(xs[:n]), *[xs[i] for i in varied])[1](list(xs[n:]))

    return [
        *programs,
        ("the forward derivative", pushed, leaves + directions),
        ("the reverse derivative", pulled, leaves + seeds),
    ]


def _first_operation(
    program: Callable[..., Any],
    sides: tuple[list[Any], list[Any]],
    labels: tuple[str, str],
    xp: Any,
    rtol: float | None,
    atol: float | None,
) -> str:
    """Say which operation differs first, given equal operands."""
    try:
        staged: list[WengertList] = [trace(program)(*xs) for xs in sides]
    except TraceError:
        return "The program reads values, so that it cannot be staged to find the operation."
    ours, theirs = staged
    values: dict[int, Any] = dict(zip(ours.inputs, sides[0], strict=True))
    values.update(zip(ours.captured, ours.constants, strict=True))
    others_values = dict(zip(theirs.captured, theirs.constants, strict=True))
    for e, o in zip_longest(ours.entries, theirs.entries):
        if e is None or o is None or e.primitive is not o.primitive:
            runs = ["nothing more" if p is None else p.primitive.name for p in (e, o)]
            line = source_line((e or o).code, (e or o).offset)
            return (
                f"The programs themselves differ: at {line}, {labels[0]} runs {runs[0]} and "
                f"{labels[1]} {runs[1]}."
            )
        if not _same_call(e, o):
            return (
                f"The programs themselves differ: {labels[0]} runs {_described(ours, e, True)}, "
                f"and {labels[1]} {_described(theirs, o, True)}."
            )
        for v in others_values.keys() & set(e.operands):
            told = _leaf_difference(others_values[v], values[v], rtol, atol, "an operand")
            if told is not None:
                return f"The programs themselves differ, in {_described(ours, e)}: {told}"
        operands = [p.value if type(p) is Literal else values[p] for p in e.operands]
        out = e.primitive(*operands, **e.params)
        outs = (out,) if e.primitive.results == 1 else tuple(out)
        values.update(zip(e.results, outs, strict=True))
        try:
            found = o.primitive(*[_to(x, xp) for x in operands], **o.params)
        except VoltaError as error:
            return f"The first operation that differs is {_described(ours, e)}: {error}"
        others = (found,) if o.primitive.results == 1 else tuple(found)
        for r, (x, y) in enumerate(zip(others, outs, strict=True)):
            path = f"result {r}" if len(outs) > 1 else "its result"
            told = _leaf_difference(x, y, rtol, atol, path)
            if told is not None:
                return f"The first operation that differs is {_described(ours, e)}: {told}"
    return (
        f"No operation differs by itself: the roundings of {len(ours)} operations add up. "
        "Pass rtol and atol."
    )


def _same_call(e: Entry, o: Entry) -> bool:
    """Whether two entries of one primitive take the same variables, numbers and options."""
    if len(e.operands) != len(o.operands):
        return False
    pairs = [
        *zip(e.operands, o.operands, strict=True),
        *((e.params[k], o.params[k]) for k in e.params if type(e.params[k]) in _PLAIN),
    ]
    return all(p == q or p != p for p, q in pairs)


_PLAIN: Final = (*SCALARS, str, tuple, type(None))


def _to(x: Any, xp: Any) -> Any:
    """Copy of an array in a library: torch shares no memory with one that is read-only."""
    return x if type(x) in SCALARS else tree.to(np.array(_as_is(x)), xp=xp)


def _described(listed: WengertList, e: Entry, options: bool = False) -> str:
    """``add(float64[3], 1) -> float64[3] at file.py:12``, perhaps with its options."""
    given = e.params.items() if options else ()
    params = "".join(f"; {k}={v}" for k, v in given if type(v) in _PLAIN)
    operands = ", ".join(
        repr(o.value) if type(o) is Literal else str(listed.types[o]) for o in e.operands
    )
    results = ", ".join(str(listed.types[r]) for r in e.results)
    return f"{e.primitive.name}({operands}{params}) -> {results} at {source_line(e.code, e.offset)}"
