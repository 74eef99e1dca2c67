"""Arrays with some elements changed, as functions: ``F.at(x)[key].add(values)``."""

from typing import Any, Final

import numpy as np
from numpy import ndarray

from volta.core.derivatives import Pair, weigh
from volta.core.errors import DTypeError
from volta.core.trace import live, located, ops
from volta.core.types import DTYPES, HALVES, Array, ArrayType, typeof
from volta.functional.declare import composite, primitive
from volta.functional.elementwise import (
    add,
    divide,
    equal,
    isnan,
    logical_and,
    logical_or,
    maximum,
    minimum,
    multiply,
    subtract,
    where,
)
from volta.functional.indexing import (
    _basic_slice,
    _embed_add,
    _gather,
    _scatter,
    _scatter_type,
    _slice_update,
    converted,
    cupy_scatter,
    dask_scatter,
    getitem,
    jax_scatter,
    numpy_scatter,
    portable_scatter,
    scatter_batch,
    scattered,
    selects,
    setitem,
    split_key,
    spread,
    torch_scatter,
)

__all__ = ["at"]

Axes = tuple[int, ...]


# Primitives ---------------------------------------------------------------------------------------


def _reducing(mode: str, derivatives: Pair) -> Any:
    """Primitive that combines what is scattered with what is there, in the way of `mode`."""

    def type_rule(x: ArrayType, v: ArrayType, *indices: ArrayType, axes: Axes) -> ArrayType:
        return _scatter_type(x, v, *indices, axes=axes, mode=mode)

    def kernel(scatter: Any) -> Any:
        return lambda *operands, axes: scatter(*operands, axes=axes, mode=mode)

    apply: Any = primitive(
        f"scatter_{mode}",
        type_rule=type_rule,
        batch=scatter_batch(lambda: apply),
        derivatives=derivatives,
        value=kernel(portable_scatter),
        kernels={
            "numpy": kernel(numpy_scatter),
            "torch": kernel(torch_scatter),
            "cupy": kernel(cupy_scatter),
            "jax.numpy": kernel(jax_scatter),
            "dask.array": kernel(dask_scatter),
        },
        masks=True,
    )
    return apply


# The derivative of a product is the product of the other factors. Dividing by the factor gives it
# where none is zero. A factor of zero counts as one in `product`, and multiplies again by way of
# `rest`, the sum of such factors: of value zero, but with their derivatives. With two, the sum
# without the factor itself is the other; with more, nothing is left to second order.


class _Product:
    """Products of the values `v` that meet at each place of an array like `x`."""

    def __init__(self, x: Any, v: Any, indices: Any, axes: Axes) -> None:
        self.v, self.indices, self.axes = v, indices, axes
        shape = tuple(x.shape)
        self.zero = equal(v, 0)
        self.safe = where(self.zero, 1, v)
        self.product = scatter_multiply(ops.ones_like(x), self.safe, *indices, axes=axes)
        marks = ops.astype(self.zero, v.dtype)
        self.zeros = _embed_add(marks, *indices, axes=axes, shape=shape)
        self.rest = _embed_add(where(self.zero, v, 0), *indices, axes=axes, shape=shape)

    def whole(self) -> Any:
        """The product of all."""
        factor = where(equal(self.zeros, 0), 1, where(equal(self.zeros, 1), self.rest, 0))
        return multiply(self.product, factor)

    def of_others(self) -> Any:
        """For each value, the product of the others that it meets."""
        product, zeros, rest = (
            _gather(a, *self.indices, axes=self.axes) for a in (self.product, self.zeros, self.rest)
        )
        one = where(self.zero, 1, rest)
        two = where(logical_and(self.zero, equal(zeros, 2)), subtract(rest, self.v), 0)
        factor = where(equal(zeros, 0), 1, where(equal(zeros, 1), one, two))
        return multiply(divide(product, self.safe), factor)


def _multiply_jvp(primals: Any, tangents: Any, *, axes: Axes) -> Any:
    x, v, *indices = primals
    t_x, t_v, *_ = tangents
    out = scatter_multiply(x, v, *indices, axes=axes)
    factors = _Product(x, v, indices, axes)
    terms = []
    if t_x is not None:
        terms.append(multiply(t_x, factors.whole()))
    if t_v is not None:
        slope = multiply(_gather(x, *indices, axes=axes), factors.of_others())
        moved = multiply(t_v, slope)
        terms.append(_embed_add(moved, *indices, axes=axes, shape=tuple(x.shape)))
    return out, terms[0] if len(terms) == 1 else add(*terms)


def _multiply_fwd(x: Any, v: Any, *indices: Any, axes: Axes) -> Any:
    return scatter_multiply(x, v, *indices, axes=axes), (x, v, indices)


def _multiply_bwd(residuals: Any, ct: Any, needed: Any, *, axes: Axes) -> Any:
    x, v, indices = residuals
    factors = _Product(x, v, indices, axes)
    ct_x = ct_v = None
    if needed[0] is not None:
        ct_x = multiply(ct, factors.whole())
    if needed[1] is not None:
        ct_v = multiply(_gather(multiply(ct, x), *indices, axes=axes), factors.of_others())
    return (ct_x, ct_v, *(None for _ in indices))


scatter_multiply: Any = _reducing("multiply", Pair(_multiply_jvp, _multiply_fwd, _multiply_bwd))


def _shares(x: Any, v: Any, out: Any, indices: Any, axes: Axes) -> tuple[Any, Any]:
    """Weight of each element of `x` and `v` in an extremum: equal ones share it."""

    def chosen(a: Any, found: Any) -> Any:
        return ops.astype(logical_or(equal(a, found), isnan(a)), a.dtype)

    of_x = chosen(x, out)
    of_v = chosen(v, _gather(out, *indices, axes=axes))
    count = _scatter(of_x, of_v, *indices, axes=axes, mode="add")
    return divide(of_x, count), divide(of_v, _gather(count, *indices, axes=axes))


def _extremum(mode: str) -> Any:
    def jvp(primals: Any, tangents: Any, *, axes: Axes) -> Any:
        x, v, *indices = primals
        t_x, t_v, *_ = tangents
        out = apply(x, v, *indices, axes=axes)
        of_x, of_v = _shares(x, v, out, indices, axes)
        base = ops.zeros_like(out) if t_x is None else weigh(t_x, of_x)
        if t_v is None:
            return out, base
        return out, _scatter(base, weigh(t_v, of_v), *indices, axes=axes, mode="add")

    def fwd(x: Any, v: Any, *indices: Any, axes: Axes) -> Any:
        out = apply(x, v, *indices, axes=axes)
        return out, (x, v, out, indices)

    def bwd(residuals: Any, ct: Any, needed: Any, *, axes: Axes) -> Any:
        x, v, out, indices = residuals
        of_x, of_v = _shares(x, v, out, indices, axes)
        ct_x = None if needed[0] is None else weigh(ct, of_x)
        ct_v = None if needed[1] is None else weigh(_gather(ct, *indices, axes=axes), of_v)
        return (ct_x, ct_v, *(None for _ in indices))

    apply = _reducing(mode, Pair(jvp, fwd, bwd))
    return apply


scatter_max = _extremum("max")
scatter_min = _extremum("min")


def scatter_add(x: Any, v: Any, *indices: Any, axes: Axes) -> Any:
    """`x` with `v` added where the index arrays say."""
    return _scatter(x, v, *indices, axes=axes, mode="add")


def _scatter_divide(x: Any, v: Any, *indices: Any, axes: Axes) -> Any:
    return divide(x, scatter_multiply(ops.ones_like(x), v, *indices, axes=axes))


def in_32_bits(scatter: Any) -> Any:
    """`scatter`, its sums and products of 16-bit floats taken in 32 bits."""

    def wider(x: Any, v: Any, *indices: Any, axes: Axes) -> Any:
        if typeof(x).dtype not in HALVES:
            return scatter(x, v, *indices, axes=axes)
        full = DTYPES["float32"]
        out = scatter(ops.astype(x, full), ops.astype(v, full), *indices, axes=axes)
        return ops.astype(out, x.dtype)

    return wider


# For each mode the operation where no place is met twice, and the scatter for index arrays
_MODES: Final = {
    "add": (add, in_32_bits(scatter_add)),
    "multiply": (multiply, in_32_bits(scatter_multiply)),
    "divide": (divide, in_32_bits(_scatter_divide)),
    "min": (minimum, scatter_min),
    "max": (maximum, scatter_max),
}
# What converts to what without losing a part of its value
_RANKS: Final = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}


_UFUNCS: Final = {
    "add": np.add,
    "multiply": np.multiply,
    "divide": np.divide,
    "min": np.minimum,
    "max": np.maximum,
}
_add_at: Final = np.add.at
_AT: Final = {mode: ufunc.at for mode, ufunc in _UFUNCS.items()}
_KEYS: Final = frozenset((int, slice))  # besides arrays, what NumPy reads as Volta does
_new: Final = object.__new__  # which spares the frame of an `__init__`
_FLOATING: Final = "fdFD"
_NUMERIC: Final = "fdFDilqILQ"


def _updated(mode: str, x: Any, key: Any, values: Any) -> Any:
    if type(x) is ndarray and (type(key) is ndarray or type(key) in _KEYS) and not live.staging:
        kind, char = type(values), x.dtype.char
        if (kind is float and char in _FLOATING) or (
            char in (_FLOATING if mode == "divide" else _NUMERIC)
            and (
                kind is int or (kind is ndarray and values.dtype is x.dtype and values.size <= 256)
            )
        ):  # NumPy's own way, at less cost
            out = x.copy()
            try:
                if type(key) is ndarray:
                    _AT[mode](out, key, values)
                else:
                    out[key] = _UFUNCS[mode](out[key], values)
                return out
            except Exception:
                pass  # what is wrong is told below
    apply, scatter = _MODES[mode]
    dtype = typeof(x).dtype
    if mode == "divide" and dtype.kind not in ("float", "complex"):
        msg = f"at.divide: the dtype must be floating; got {dtype.name}. Convert the array first."
        raise located(DTypeError(msg))
    values = _fitting(mode, x, values, dtype)
    if selects(x, key, values):
        return where(key[0] if type(key) is tuple else key, apply(x, values), x)
    basic, arrays = split_key(x, key)
    if arrays:
        return scattered(scatter, x, key, basic, arrays, values)
    part = _basic_slice(x, key=basic)
    return _slice_update(x, apply(part, spread(values, tuple(part.shape))), key=basic)


def _fitting(mode: str, x: Any, values: Any, dtype: Any) -> Any:
    """`values` as an array of the dtype of `x`, of whose kind it must be."""
    if isinstance(values, list | tuple):
        values = ops.asarray(values)
    kind = typeof(values).dtype.kind if hasattr(values, "dtype") else type(values).__name__
    if _RANKS[kind] > _RANKS[dtype.kind]:
        msg = (
            f"at.{mode}: the values' dtype must fit the array's; got {kind} for {dtype.name}. "
            "Convert the array first."
        )
        raise located(DTypeError(msg))
    return converted(x, values, dtype)


# Public -------------------------------------------------------------------------------------------


@composite
def at(x: Array, /) -> "At":
    """Name a part of an array, to get a new array in which it is changed.

    ``F.at(x)[key].set(values)`` is what ``x`` would be after ``x[key] = values``; `x` stays as it
    is. The other ways of changing the part are ``add``, ``multiply``, ``divide``, ``min`` and
    ``max``; ``get()`` is ``x[key]``.

    Parameters
    ----------
    x : array

    Returns
    -------
    At
        To be indexed by any key that `x` takes: ints, slices, None, ``...``, arrays of ints or
        booleans, and tuples of them. The methods of what comes back take the values, which
        broadcast to the part and are converted to the dtype of `x`, and return the new array.

    Raises
    ------
    DimensionError
        If an index is outside its axis, or there are too many.
    ShapeError
        If the values do not broadcast to the part.
    DTypeError
        If the values are of another kind than `x`, such as floats for integers; ``set`` converts
        them as an assignment does. ``divide`` is for floating dtypes.

    Notes
    -----
    Where an index array names a place more than once, all its values count: they are added up,
    multiplied, divided by one after another, or the extreme one of them and of what was there is
    taken. ``set`` keeps one of them, of which only that one has a derivative. Equal extreme
    elements share the derivative. Derivatives of products are right where factors are zero too.

    Examples
    --------
    >>> x = np.asarray([1.0, 2.0, 3.0])
    >>> F.at(x)[np.asarray([0, 0, 2])].add(10.0)
    array([21.,  2., 13.])
    >>> F.at(x)[1:].multiply(np.asarray([5.0, 7.0]))
    array([ 1., 10., 21.])
    >>> x
    array([1., 2., 3.])
    """
    whole = _new(At)
    whole._x = x
    return whole


class At:
    """An array whose parts can be named; what `at` returns."""

    __slots__ = ("_x",)
    _x: Any

    def __getitem__(self, key: Any) -> "Part":
        part = _new(Part)
        part._x = self._x
        part._key = key
        return part


class Part:
    """Part of an array, with the ways of changing it; each returns a new array."""

    __slots__ = ("_key", "_x")
    _x: Any
    _key: Any

    def get(self) -> Any:
        """The part itself, ``x[key]``."""
        x, key = self._x, self._key
        if type(x) is type(key) is ndarray and not live.staging:
            try:
                part = x[key]
                return part if type(part) is ndarray else np.asarray(part)
            except IndexError:
                pass  # what is wrong is told below
        return getitem(x, key)

    def set(self, values: Any, /) -> Any:
        """`x` with `values` in place of the part."""
        x, key = self._x, self._key
        if type(x) is ndarray and (type(key) is ndarray or type(key) in _KEYS) and not live.staging:
            kind, char = type(values), x.dtype.char
            if (kind is float and char in _FLOATING) or (
                char in _NUMERIC and (kind is int or (kind is ndarray and values.dtype is x.dtype))
            ):
                out = x.copy()
                try:
                    out[key] = values
                    return out
                except Exception:
                    pass  # what is wrong is told below
        return setitem(x, key, values)

    def add(self, values: Any, /) -> Any:
        """`x` with `values` added to the part."""
        x, key = self._x, self._key
        if (
            type(x) is type(key) is ndarray
            and type(values) is float
            and x.dtype.char in _FLOATING
            and not live.staging
        ):
            out = x.copy()
            try:
                _add_at(out, key, values)
                return out
            except Exception:
                pass  # what is wrong is told below
        return _updated("add", x, key, values)

    def multiply(self, values: Any, /) -> Any:
        """`x` with the part multiplied by `values`."""
        return _updated("multiply", self._x, self._key, values)

    def divide(self, values: Any, /) -> Any:
        """`x` with the part divided by `values`."""
        return _updated("divide", self._x, self._key, values)

    def min(self, values: Any, /) -> Any:
        """`x` with the smaller of the part and `values`."""
        return _updated("min", self._x, self._key, values)

    def max(self, values: Any, /) -> Any:
        """`x` with the larger of the part and `values`."""
        return _updated("max", self._x, self._key, values)
