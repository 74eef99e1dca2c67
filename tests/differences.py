"""Derivatives of whole programs against differences, in every mode and order."""

import itertools

import numpy as np

import volta
import volta.functional as F
from volta import tree


def scalar(fun, seed=0):
    """`fun` followed by a smooth real function of all that it returns."""

    def total(*args):
        rng = np.random.default_rng(seed)
        out = np.asarray(0.0)
        for leaf in tree.leaves(fun(*args)):
            kind = str(leaf.dtype)
            if "float" not in kind and "complex" not in kind:
                continue
            weights = rng.normal(size=tuple(leaf.shape))
            if "complex" in kind:
                leaf = F.real(leaf) + 0.7 * F.imag(leaf)
            out = out + F.sum(F.sin(leaf + weights) * (1.5 + weights))
        return out

    return total


def along(fun, args, directions):
    """Derivatives of orders 0 to 3 of ``fun(args + t · directions)`` at t = 0, by interpolation."""
    n, radius = 13, 0.01
    nodes = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    values = [
        float(fun(*[a + radius * t * d for a, d in zip(args, directions, strict=True)]))
        for t in nodes
    ]
    series = np.polynomial.Chebyshev.fit(nodes, values, n - 1, domain=[-1, 1])
    return [series.deriv(k)(0.0) / radius**k if k else series(0.0) for k in range(4)]


def forward(fun, directions):
    return lambda *args: volta.jvp(fun, args, directions)[1]


def reverse(fun, directions):
    def slope(*args):
        grads = volta.grad(fun, argnums=tuple(range(len(args))))(*args)
        terms = [F.sum(F.real(g * d)) for g, d in zip(grads, directions, strict=True)]
        return sum(terms[1:], terms[0])

    return slope


MODES = {"forward": forward, "reverse": reverse}


def check(fun, *args, order=2, rtol=1e-6):
    """Compare derivatives along a direction, in all sequences of modes, with differences."""
    rng = np.random.default_rng(1)
    directions = tuple(
        rng.normal(size=a.shape) + (1j * rng.normal(size=a.shape) if a.dtype.kind == "c" else 0)
        for a in args
    )
    total = scalar(fun)
    wanted = along(total, args, directions)
    for n in range(1, order + 1):
        for modes in itertools.product(MODES, repeat=n):
            slope = total
            for mode in modes:
                slope = MODES[mode](slope, directions)
            found = float(slope(*args))
            scale = max(abs(wanted[n]), 1.0)
            loose = rtol if n < 3 else rtol * 100
            assert abs(found - wanted[n]) < loose * scale, (modes, found, wanted[n])


SEQUENCES = [m for n in (1, 2, 3) for m in itertools.product(MODES, repeat=n)]


def in_modes(fun, modes):
    """Derivative of a function of one number, by a sequence of modes."""
    for mode in modes:

        def fun(y, fun=fun, mode=mode):
            return MODES[mode](fun, (F.ones_like(y),))(y)

    return fun


def check_masked(fun, modes):
    """Beside a singular 0 that `fun` masks, derivatives in a 4 are those beside a regular 1."""

    def derived(first):
        def beside(y):
            return F.sum(fun(F.stack([first + 0.0 * y, y])))

        return in_modes(beside, modes)(np.asarray(4.0))

    found = derived(0.0)
    assert np.isfinite(found)
    np.testing.assert_allclose(found, derived(1.0), rtol=1e-9)


def same(found, wanted, rtol=1e-10, atol=1e-12):
    """Two trees of arrays have one structure, the same dtypes and close values."""
    a, spec = tree.flatten(found)
    b, other = tree.flatten(wanted)
    assert spec == other
    for x, y in zip(a, b, strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)
