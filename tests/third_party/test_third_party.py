"""Third-party code differentiates unmodified: calls of it against their finite differences.

What cannot work, because it leaves the array's namespace, must raise: it must never return a
derivative that is silently wrong.
"""

import collections
import functools
import importlib
import importlib.metadata
import json
import os
import pkgutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from strategies import quiet

import volta
import volta.tree

pytestmark = pytest.mark.grad_check

# rows file: the distribution it needs, and how many functions must differentiate
FILES = {
    "scipy": ("scipy", 220),
    "sklearn": ("scikit-learn", 50),
    "xpx": ("array-api-extra", 20),
    "einops": ("einops", 5),
    "numpy": ("numpy", 120),
}


def installed(distribution):
    """Version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


MODULES = {
    name: importlib.import_module(f"third_party.rows_{name}")
    for name, (package, _) in FILES.items()
    if installed(package)
}
ROWS = {row.name: row for module in MODULES.values() for row in module.ROWS}
# Written by scripts/pin_third_party: the releases it was written with, what differentiates, and
# for what is blocked the words of the error that says by what.
PINS = json.loads((Path(__file__).parent / "pins.json").read_text())
WORKING = [ROWS[name] for name in PINS["working"] if name in ROWS]
BLOCKED = [(ROWS[name], words) for name, words in PINS["blocked"].items() if name in ROWS]


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        yield


def fixed(row):
    """Places of the constants among a row's arguments."""
    integers = (i for i, a in enumerate(row.args) if a.dtype.kind not in "fc")
    return {*row.fixed, *integers}


def inexact(out):
    """The floating arrays of a result, as a list."""
    found = [x for x in volta.tree.leaves(out) if hasattr(x, "dtype") or isinstance(x, float)]
    kinds = [np.dtype(getattr(x, "dtype", "f8")).kind for x in found]
    return [x for x, kind in zip(found, kinds, strict=True) if kind in "fc"]


def split(row):
    """The row's call as a function of what it is differentiated by, and those arrays."""
    constant = fixed(row)
    places = [i for i in range(len(row.args)) if i not in constant]

    def call(constants, *given):
        args = list(constants)
        for place, x in zip(places, given, strict=True):
            args[place] = x
        return inexact(row.call(*args))

    return call, [row.args[i].copy() for i in places]


def direction(arrays, seed=0):
    rng = np.random.default_rng(seed)
    return [
        np.asarray(
            rng.normal(size=a.shape) + (1j * rng.normal(size=a.shape) if a.dtype.kind == "c" else 0)
        ).astype(a.dtype)
        for a in arrays
    ]


def differences(call, arrays, tangents, step=2e-4):
    """Derivative along `tangents` by central differences of fourth order."""

    def at(t):
        out = call(*(a + t * d for a, d in zip(arrays, tangents, strict=True)))
        return [np.asarray(o) for o in out]

    near = zip(at(step), at(-step), strict=True)
    far = zip(at(2 * step), at(-2 * step), strict=True)
    return [(8 * (a - b) - (c - d)) / (12 * step) for (a, b), (c, d) in zip(near, far, strict=True)]


def pushed(row, tangents):
    call, arrays = split(row)
    constants = volta.lift(tuple(row.args))
    return volta.jvp(lambda *a: call(constants, *a), tuple(arrays), tuple(tangents))


def pulled(row):
    call, arrays = split(row)
    return volta.vjp(lambda *a: call(volta.lift(tuple(row.args)), *a), *arrays)


@pytest.mark.parametrize("row", WORKING, ids=lambda row: row.name)
def test_differentiates(row):
    call, arrays = split(row)
    plain = functools.partial(call, row.args)
    tangents = direction(arrays)
    values = [np.asarray(v) for v in plain(*(a.copy() for a in arrays))]
    expected = differences(plain, arrays, tangents)
    largest = max(float(np.max(np.abs(e), initial=0)) for e in expected)
    assert largest > 1e-4

    out, pushed_tangents = pushed(row, tangents)
    for o, v in zip(out, values, strict=True):
        assert isinstance(o, np.ndarray | np.generic | float)
        np.testing.assert_allclose(o, v, rtol=1e-9, atol=row.tolerance / 100)
    for t, e in zip(pushed_tangents, expected, strict=True):
        np.testing.assert_allclose(t, e, rtol=row.tolerance, atol=row.tolerance * largest)

    out, pull = pulled(row)
    cotangents = direction([np.asarray(o) for o in out], seed=1)
    gradients = pull(cotangents)
    pairs = zip(cotangents, pushed_tangents, strict=True)
    forward = sum(np.sum(c * t).real for c, t in pairs)
    backward = sum(np.sum(g * t).real for g, t in zip(gradients, tangents, strict=True))
    assert all(isinstance(g, np.ndarray) for g in gradients)
    np.testing.assert_allclose(backward, forward, rtol=1e-8, atol=row.tolerance * largest / 10)


# What asks for values that a list does not have, by the words of the error
UNSTAGED = {
    "scipy.stats.lmoment": "numpy.asarray",
    "sklearn.linear_model.RidgeClassifier": "__dlpack__",
    "sklearn.preprocessing.label_binarize": "__dlpack__",
    "sklearn.utils.extmath.density": "float: needs a concrete value",
}


def staged():
    """A third of each module's rows, the others in sweeps: `jit` meets the same in all of them."""
    seen = collections.Counter()
    for row in WORKING:
        module = row.name.rpartition(".")[0]
        often = seen[module] % 3 == 0 or row.name in UNSTAGED
        seen[module] += 1
        yield pytest.param(row, marks=() if often else pytest.mark.slow, id=row.name)


@pytest.mark.parametrize("row", [*staged()])
def test_gradients_are_the_same_under_jit(row):
    call, arrays = split(row)
    out, pull = pulled(row)
    cotangents = direction([np.asarray(o) for o in out], seed=1)
    wanted = pull(cotangents)

    def gradients(*given):
        constants = volta.lift(tuple(row.args))
        return volta.vjp(lambda *a: call(constants, *a), *given)[1](cotangents)

    step = volta.jit(gradients)
    if row.name in UNSTAGED:  # with another release of the library it may do something else
        with pytest.raises(volta.TraceError if is_pinned(row) else Exception) as raised:
            step(*arrays)
        assert not is_pinned(row) or UNSTAGED[row.name] in str(raised.value)
        return
    for _ in range(2):  # the second call is compiled
        for found, w in zip(step(*arrays), wanted, strict=True):
            size = np.abs(w).max(initial=0, where=np.isfinite(w))
            np.testing.assert_allclose(found, w, rtol=row.tolerance, atol=row.tolerance * size)


@pytest.mark.parametrize(("row", "words"), BLOCKED, ids=[row.name for row, _ in BLOCKED])
@pytest.mark.parametrize("mode", ["vjp", "jvp"])
def test_what_cannot_work_raises(row, words, mode):
    call, arrays = split(row)
    call(row.args, *arrays)  # without a transform it runs
    error = attempt(row, mode)
    if error is None and not is_pinned(row):
        test_differentiates(row)  # another release of the library: it may return, if it is right
    else:
        assert isinstance(error, volta.TraceError | TypeError | ValueError | AttributeError)
        assert words in str(error)


def attempt(row, mode):
    """The error that differentiating a row raises, or None."""
    try:
        pulled(row) if mode == "vjp" else pushed(row, direction(split(row)[1]))
    except Exception as error:
        return error
    return None


def is_pinned(row):
    """Whether the row's library is the release that the pins were written with."""
    (package,) = {FILES[name][0] for name, module in MODULES.items() if row in module.ROWS}
    return installed(package) == PINS["releases"][package]


@pytest.mark.parametrize("name", MODULES)
def test_rows_name_public_functions(name):
    for row in MODULES[name].ROWS:
        assert callable(pkgutil.resolve_name(row.function)), row.name
    assert len({row.name for row in MODULES[name].ROWS}) == len(MODULES[name].ROWS)


@pytest.mark.parametrize("name", MODULES)
def test_how_many_functions_differentiate(name):
    rows = MODULES[name].ROWS
    assert len({row.function for row in rows if row in WORKING}) >= FILES[name][1]
    assert len({row.function for row in WORKING if row.name in UNSTAGED}) <= 4


@pytest.mark.skipif("scipy" not in MODULES, reason="SciPy is not installed")
def test_scipys_array_api_is_on():
    """tests/conftest.py asks for it before anything imports SciPy."""
    assert os.environ["SCIPY_ARRAY_API"] == "1"
