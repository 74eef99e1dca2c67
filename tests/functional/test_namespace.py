"""The op set as a namespace of the standard: names, signatures, and the view of each library."""

import inspect

import array_api_strict as strict
import numpy as np
import pytest
from strategies import assert_same, library

import volta
import volta.functional as F
from volta.core.dispatch import library_for
from volta.core.types import DTYPES
from volta.functional.namespace import namespace

LIBRARIES = ("numpy", "array_api_strict", "torch")

# what the standard has and the op set does not yet
MISSING: set[str] = set()
STANDARD = {
    n
    for n in strict.__all__
    if not n.startswith("_")
    and n
    not in (
        "ArrayAPIStrictFlags",
        "Device",
        "get_array_api_strict_flags",
        "reset_array_api_strict_flags",
        "set_array_api_strict_flags",
        "ArrayAPIStrictDeprecationWarning",
    )
}
# eig and eigvals came with the standard's last version; array-api-strict has them unlisted
LINALG = sorted({n for n in strict.linalg.__all__ if not n.startswith("_")} | {"eig", "eigvals"})
COMMON = sorted(n for n in STANDARD - MISSING if callable(getattr(strict, n)) and n not in DTYPES)


def test_names_of_the_standard():
    assert STANDARD - set(F.__all__) == MISSING


@pytest.mark.parametrize("name", strict.fft.__all__)
def test_signatures_of_fourier_transforms_are_the_standards(name):
    own = inspect.signature(getattr(F.fft, name)).parameters
    wanted = inspect.signature(getattr(strict.fft, name)).parameters
    assert [n for n in own if n != "xp"] == list(wanted)
    for p in wanted.values():
        assert (own[p.name].kind, own[p.name].default) == (p.kind, p.default)


def test_exported_names_exist_once():
    assert len(set(F.__all__)) == len(F.__all__)
    for name in F.__all__:
        assert hasattr(F, name)


@pytest.mark.parametrize("name", COMMON)
def test_signatures_are_the_standards(name):
    assert_signature(getattr(F, name), getattr(strict, name))


@pytest.mark.parametrize("name", LINALG)
def test_signatures_of_linear_algebra_are_the_standards(name):
    assert name in F.linalg.__all__
    assert_signature(getattr(F.linalg, name), getattr(strict.linalg, name))


def assert_signature(own, wanted):
    own, wanted = inspect.signature(own).parameters, inspect.signature(wanted).parameters
    positional = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    named = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    places = [p for p in own.values() if p.kind in positional]
    for i, p in enumerate(q for q in wanted.values() if q.kind in positional):
        assert i < len(places), p
        assert p.default is p.empty or places[i].default == p.default, p
        if p.kind is p.POSITIONAL_OR_KEYWORD:
            assert places[i].name == p.name
            assert places[i].kind is p.POSITIONAL_OR_KEYWORD
    for p in wanted.values():
        if p.kind is p.KEYWORD_ONLY:
            assert own[p.name].kind in named, p
            unset = p.name == "device" or "UNDEF" in repr(p.default)  # no value of the standard's
            assert own[p.name].default == p.default or unset, p
        if p.kind is p.VAR_POSITIONAL:
            assert any(q.kind is p.VAR_POSITIONAL for q in own.values())
    extra = [p for n, p in own.items() if p.kind is p.KEYWORD_ONLY and n not in wanted]
    assert all(p.default is not p.empty for p in extra)


@pytest.mark.parametrize("name", ["e", "inf", "nan", "newaxis", "pi"])
def test_constants_are_the_standards(name):
    own, wanted = getattr(F, name), getattr(strict, name)
    assert own == wanted or (own != own and wanted != wanted)
    assert type(own) is type(wanted)


# Views --------------------------------------------------------------------------------------------


@pytest.fixture(params=LIBRARIES)
def lib(request):
    return library(request.param)


@pytest.fixture
def xp(lib):
    return namespace(library_for(lib.xp))


@pytest.mark.parametrize("name", sorted(F.__all__))
def test_a_view_has_every_name(name, xp):
    if name in ("float16", "bfloat16") and xp.__name__ == "volta.array_api_strict":
        pytest.skip("the standard has no 16-bit floats")
    own, found = getattr(F, name), getattr(xp, name)
    if name in DTYPES:
        assert own == found
        return
    if inspect.ismodule(own) and found is not own:  # a view of an extension
        assert found.__all__ == own.__all__
        return
    assert found is own or found.__wrapped__ is own or own != own


def test_a_view_has_its_librarys_dtypes_and_defaults(xp, lib):
    for name in lib.dtypes:
        assert (
            getattr(xp, name) is getattr(lib.xp, name) or name in ("bool",) or lib.name == "numpy"
        )
        assert_same(xp.zeros(2, dtype=getattr(xp, name)), np.zeros(2, name), lib)
    default = np.float32 if lib.name == "torch" else np.float64
    for out in (xp.zeros(2), xp.full(2, 0.0), xp.empty(2), xp.asarray([0.0, 0.0])):
        assert_same(out, np.zeros(2, default), lib)
    assert_same(xp.arange(2), np.arange(2), lib)
    assert_same(xp.linspace(0, 1, 2), np.asarray([0, 1], default), lib)
    assert_same(xp.eye(1), np.eye(1, dtype=default), lib)
    assert_same(xp.asarray(np.ones(2, np.int8)), np.ones(2, np.int8), lib)
    with volta.default_dtype(F.float16):
        assert_same(xp.zeros(2), np.zeros(2, default), lib)


def test_a_view_lacks_what_is_not_public(xp):
    for name in ("_full", "getitem", "structural", "float128"):
        with pytest.raises(AttributeError, match=f"{xp.__name__} has no '{name}'"):
            getattr(xp, name)


def test_code_written_for_the_standard_differentiates_on_every_library(lib):
    def standardized(x):
        xp = x.__array_namespace__(api_version="2025.12")
        centred = x - xp.mean(x, axis=0, keepdims=True)
        weights = xp.arange(1, x.shape[0] + 1, dtype=x.dtype)[:, None]
        out = xp.zeros(x.shape, dtype=x.dtype, device=x.device)
        out[...] = centred / xp.std(x, axis=0)
        out[out < 0] *= 0.5
        return xp.sum(xp.where(xp.isfinite(out), out, xp.zeros_like(out)) * weights)

    x = np.asarray([[1.0, 5.0], [2.0, 3.5], [4.0, 1.0]])
    expected = volta.grad(standardized)(x)
    step = 1e-6
    for place in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[place] = step
        above, below = (volta.jvp(standardized, (p,), (d,))[0] for p in (x + d, x - d))
        np.testing.assert_allclose(expected[place], (above - below) / (2 * step), rtol=1e-6)
    assert_same(volta.grad(standardized)(lib.asarray(x)), expected, lib, ulps=64)
