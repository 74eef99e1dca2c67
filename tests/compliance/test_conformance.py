"""The standard's own properties, of raw and of traced arrays, with array-api-strict as the oracle.

The public suite (`scripts/compliance`) needs a checkout; this is what CI runs in its place. The
oracle and every kind of array get the same drawn arguments. Results are of the same structure,
dtype and shape; values that the standard leaves to rounding may differ by what the row says.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from compliance.properties import REASONS, ROWS, DType, Host
from compliance.traced import Traced
from hypothesis import given, note, settings
from hypothesis import strategies as st
from strategies import library, quiet

from volta.core.dispatch import library_for
from volta.core.tracer import concrete
from volta.core.types import as_dtype
from volta.functional.namespace import namespace as view_of

pytestmark = pytest.mark.core

# Namespaces ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Kind of arrays: of a library, perhaps traced by a transform."""

    name: str
    library: Any
    mode: str = ""

    @contextmanager
    def opened(self):
        """Namespace of the arrays."""
        if not self.mode:
            yield view_of(library_for(self.library.xp))
            return
        traced = Traced(self.mode, self.library.xp.__name__)
        with traced.running:
            yield traced

    def argument(self, xp, x):
        """`x` as this namespace's: arrays, dtypes, and lists of them."""
        if isinstance(x, np.ndarray):
            made = self.library.asarray(x)
            return xp.asarray(made) if self.mode else made
        return as_argument(self, xp, x)

    def host(self, x):
        """`x` as the host's."""
        return as_host(x, lambda v: self.library.host(concrete(v, "read")))


class Oracle:
    def argument(self, xp, x):
        return (
            strict.asarray(x, copy=True) if isinstance(x, np.ndarray) else as_argument(self, xp, x)
        )

    def host(self, x):
        return as_host(x, np.asarray)


def as_argument(place, xp, x):
    if isinstance(x, DType):
        return getattr(xp, x.name)
    if isinstance(x, Host):
        return x.array if getattr(place, "mode", "") else place.argument(xp, x.array)
    if isinstance(x, dict):
        return {k: place.argument(xp, v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return type(x)(place.argument(xp, v) for v in x)
    return x


def as_host(x, array):
    if isinstance(x, list | tuple):
        parts = (as_host(v, array) for v in x)
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if x is None or isinstance(x, bool | int | float | complex | str):
        return x
    if hasattr(x, "dtype") and hasattr(x, "ndim") and not isinstance(x, type):
        return array(x)
    return as_dtype(x).name


@cache
def places():
    found = [Place("numpy", library("numpy"))]
    found += [Place(f"{m}.numpy", library("numpy"), m) for m in ("vjp", "jvp", "vmap")]
    try:
        torch = library("torch")
    except pytest.skip.Exception:
        return found
    return [*found, Place("torch", torch), Place("vjp.torch", torch, "vjp")]


# Comparison ---------------------------------------------------------------------------------------


def leaves(x):
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple):
        return [leaf for v in x for leaf in leaves(v)]
    return [x.array if isinstance(x, Host) else x]


def same_structure(found, wanted):
    assert isinstance(found, tuple | list) == isinstance(wanted, tuple | list), (found, wanted)
    if isinstance(wanted, tuple | list):
        assert len(found) == len(wanted)
        assert getattr(found, "_fields", ()) == getattr(wanted, "_fields", ())
        assert isinstance(found, type(wanted)) or hasattr(wanted, "_fields")
        for one, other in zip(found, wanted, strict=True):
            same_structure(one, other)
    elif isinstance(wanted, np.ndarray):
        assert isinstance(found, np.ndarray)
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    else:
        assert type(found) is type(wanted), (found, wanted)


def same_values(row, place, found, wanted, held):
    """Values of the standard's, within the row's rounding, where `held`."""
    if not isinstance(wanted, np.ndarray):
        assert found == wanted or (found != found and wanted != wanted)
        return
    if wanted.dtype.kind not in "fc":
        np.testing.assert_array_equal(found[held], wanted[held])
        return
    found, wanted = found[held], wanted[held]
    ulps = max(row.ulps, 16) if place.library.name == "torch" else row.ulps
    eps = float(np.finfo(wanted.dtype).eps)
    if wanted.dtype.kind == "c":
        # which part of a complex number is NaN beside infinities the standard leaves open
        open_ = np.isnan(wanted) | np.isinf(wanted)
        np.testing.assert_array_equal(open_, np.isnan(found) | np.isinf(found))
        found, wanted = found[~open_], wanted[~open_]
    # a part of a complex number is as exact as the number; NumPy's log1p only as 1 + x
    scale = max(row.scale, 1) if wanted.dtype.kind == "c" else row.scale
    tiny = 4 * float(np.finfo(wanted.dtype).smallest_subnormal) if ulps else 0
    np.testing.assert_allclose(found, wanted, rtol=ulps * eps, atol=max(ulps * eps * scale, tiny))
    if row.signs and wanted.dtype.kind == "f":
        zero = (wanted == 0) & (found == 0)
        np.testing.assert_array_equal(np.signbit(found)[zero], np.signbit(wanted)[zero])


def tame(args, wanted):
    """Where all operands are finite and moderate, of a function that works by elements."""
    held = np.ones(np.shape(wanted), bool)
    for x in args:
        if np.asarray(x).dtype.kind in "fc":
            size = np.abs(np.asarray(x))
            held &= (size == 0) | ((size > 1e-6) & (size < 1e6))
    return held


def with_defaults(xp, row, args, kwargs, wanted):
    """The oracle's result in the default dtypes of the namespace."""
    if not row.own or "dtype" in kwargs or any(isinstance(a, np.ndarray) for a in args):
        return wanted
    kinds = {"f": "real floating", "c": "complex floating", "i": "integral"}
    if wanted.dtype.kind not in kinds:
        return wanted
    default = xp.__array_namespace_info__().default_dtypes()[kinds[wanted.dtype.kind]]
    return wanted.astype(as_dtype(default).name)


# The properties -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=max(16, settings().max_examples))
@given(data=st.data())
def test_agrees_with_the_standard(name, data):
    row = ROWS[name]
    args, kwargs = row.draw(data.draw)
    oracle = Oracle()
    with quiet():
        given_ = [oracle.argument(strict, v) for v in (args, kwargs)]
        wanted_ = oracle.host(row.call(strict, *given_[0], **given_[1]))
    note(f"{args} {kwargs} -> {wanted_}")
    for place in places():
        note(place.name)
        if name.startswith("Array.") and not place.mode:
            continue  # the methods of raw arrays are their library's
        if place.name in row.skip or lacks(place, (args, kwargs, wanted_)):
            continue
        with quiet(), place.opened() as xp:
            mine = [place.argument(xp, v) for v in (args, kwargs)]
            found = place.host(row.call(xp, *mine[0], **mine[1]))
            wanted = with_defaults(xp, row, args, kwargs, wanted_)
        compare(row, place, args, kwargs, found, wanted)


def compare(row, place, args, kwargs, found, wanted):
    same_structure(found, wanted)
    if row.check:
        with quiet():
            row.check(args, kwargs, found, wanted)
        return
    for one, other in zip(leaves(found), leaves(wanted), strict=True):
        held = ...
        if row.tame and isinstance(other, np.ndarray):
            is_complex = any(np.iscomplexobj(a) for a in leaves((args, other)))
            if is_complex or place.library.name == "torch":
                held = tame([v.array if isinstance(v, Host) else v for v in args], other)
        same_values(row, place, one, other, held)


def lacks(place, values):
    """Whether torch has no operations on a dtype that occurs."""
    named = {v.name for v in leaves(values) if isinstance(v, DType)}
    named |= {str(v.dtype) for v in leaves(values) if isinstance(v, np.ndarray)}
    return not named <= set(place.library.dtypes)


# Completeness -------------------------------------------------------------------------------------

# what array-api-strict's module and class have beside the standard
UTILITIES = {n for n in strict.__all__ if "lags" in n or n.startswith(("Array", "Device"))}
OBJECT = {
    *("__array__", "__array_priority__", "__array_ufunc__", "__buffer__", "__hash__", "__init__"),
    "__reduce__",
    *(
        "__iter__",
        "__len__",
        "__module__",
        "__new__",
        "__repr__",
        "__slots__",
        "__str__",
        "__doc__",
    ),
    *("__weakref__", "__dict__", "__firstlineno__", "__static_attributes__", "__annotations__"),
}


def standard_names():
    names = {n for n in strict.__all__ if n not in UTILITIES and not n.startswith("__array_api")}
    for extension in ("linalg", "fft"):
        names |= {f"{extension}.{n}" for n in getattr(strict, extension).__all__}
    members = vars(type(strict.asarray(0)))
    kept = (n for n in members if n.startswith("__") or not n.startswith("_"))
    names -= {"linalg", "fft", "__version__"}
    return (
        names | {"linalg.eig", "linalg.eigvals"} | {f"Array.{n}" for n in kept if n not in OBJECT}
    )


def test_every_name_of_the_standard_has_a_property_or_a_reason():
    assert not set(ROWS) & set(REASONS)
    assert standard_names() == set(ROWS) | set(REASONS)
