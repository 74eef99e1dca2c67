"""Both derivatives of rows against those of torch and JAX.

Without a transform of Volta its functions run a library's own on the library's arrays, and the
library differentiates them, forward and reverse, by rules of its own.
"""

import warnings

import numpy as np
import pytest
from samples import SAMPLES
from strategies import leaves, library, raw, running

import volta

ROWS = [s for s in SAMPLES if s.diff and s.of]
FIRST = list({s.of: s for s in reversed(ROWS)}.values())[::-1]  # one row of each function
pytestmark = [pytest.mark.core, pytest.mark.grad_check]

_MADE = ("full", "full_like", "linspace")
_SAMPLED = (
    *("ball", "beta", "chisquare", "dirichlet", "f", "gamma", "generalized_normal", "loggamma"),
    *("t", "wald"),
)
_QUANTILES = (
    *(f"{n}{c}inv" for n in ("betainc", "gammainc") for c in ("", "c")),
    *("bdtri", "chdtri", "fdtri", "gdtrix", "nbdtri", "pdtri", "stdtrit"),
)
_SAMPLER = "it differentiates the sampler's steps, which jump; numbers keep their probability here"
_NONE = "it has no derivative of the function"
_PARTLY = "it has no derivative in the parameters"
_SPACES = "it takes the rest of an orthonormal basis for constant"
_NUMBERS = "numbers are converted on the host"
_NUMPY = "the row moves to NumPy"
_KERNEL = "it differentiates the steps of Volta's kernel: choices, for which it gives NaN or zero"
_INPLACE = "it gives zero, or an error, for the products that it scatters in place"

# reasons why a library's derivatives of rows are none to compare with
TORCH = {
    **dict.fromkeys(_MADE, _NUMBERS),
    **dict.fromkeys((f"random.{n}" for n in _SAMPLED), _SAMPLER),
    "random.multivariate_normal-equal": "it divides by differences of eigenvalues",
    "remainder-reflected": _NONE,
    "floor_divide": _NONE,
    "pow-mixed": "its forward mode forgets that a real base has a real tangent",
    **{f"linalg.svd-{n}-full{k}": _SPACES for n in ("4-2", "2-4") for k in ("", "-complex")},
    **{f"linalg.qr-4-2-complete{k}": _NONE for k in ("", "-complex")},
    **dict.fromkeys(("linalg.det-rank-1", "linalg.det-rank-2"), "it divides by the determinant"),
    **{f"special.{n}{c}": _NONE for n in ("chdtr", "gammainc", "gdtr", "pdtr") for c in ("", "c")},
    **dict.fromkeys(("special._hurwitz", "special.zeta-q", "special.polygamma"), _NONE),
    **dict.fromkeys(("special.betainc", "special.betaincc", "special.stdtr"), _KERNEL),
    **dict.fromkeys((f"special.{n}" for n in _QUANTILES), _KERNEL),
    **dict.fromkeys((f"special.k{n}" for n in ("0", "0e", "1", "1e")), _NONE),
    "special.sinc-near-zero": "it cancels: 1e-9 is lost",
    **{f"scatter_multiply{k}": _INPLACE for k in ("", "-apart", "-zeros", "-complex")},
    "embedding-padding": "it does not see that the row is held constant",
    **dict.fromkeys(("at-divide", "segment_prod"), _INPLACE),
    **dict.fromkeys(("at-set", "scatter"), "it gives what was overwritten a cotangent as well"),
}
JAX = {
    **dict.fromkeys(_MADE, _NUMBERS),
    **dict.fromkeys((f"random.{n}" for n in _SAMPLED), _SAMPLER),
    "sign-complex": "it gives zero, as for real numbers",
    **dict.fromkeys(("linalg.eig", "linalg.eigvals"), _NONE),
    "transfer": _NUMPY,
    **dict.fromkeys(("special.betainc", "special.fdtr", "special.fdtrc"), _PARTLY),
    **{f"special.{n}{c}": _PARTLY for n in ("bdtr", "nbdtr") for c in ("", "c")},
    **dict.fromkeys(("special.betaincc", "special.stdtr"), _KERNEL),
    **dict.fromkeys((f"special.{n}" for n in _QUANTILES), _KERNEL),
    **dict.fromkeys(
        ("basic_slice", "slice_update", "scatter_multiply", "segment_prod"),
        "Volta does not take JAX's traced arrays as keys, or beside constants",
    ),
}


def by_torch(torch, fun, primals, tangents, cotangents):
    with torch.autograd.forward_ad.dual_level():
        duals = map(torch.autograd.forward_ad.make_dual, primals, tangents)
        results = [torch.autograd.forward_ad.unpack_dual(x) for x in fun(*duals)]
    pushed = [torch.zeros_like(p) if t is None else t for p, t in results]
    xs = [p.clone().requires_grad_(True) for p in primals]
    seeds = zip(fun(*xs), cotangents, strict=True)
    seeds = [(out, ct.conj()) for out, ct in seeds if out.requires_grad]  # torch's are conjugate
    if not seeds:
        return pushed, [torch.zeros_like(x) for x in xs]
    outs, cts = zip(*seeds, strict=True)
    pulled = torch.autograd.grad(outs, xs, cts, allow_unused=True, materialize_grads=True)
    return pushed, [p.conj() for p in pulled]


def by_jax(jax, fun, primals, tangents, cotangents):
    _, pushed = jax.jvp(fun, tuple(primals), tuple(tangents))
    return pushed, jax.vjp(fun, *primals)[1](tuple(cotangents))


def compare(sample, lib, differentiate):
    rng = np.random.default_rng(7)

    def of_varied(args):
        def fun(*varied):
            full = list(args)
            for i, x in zip(sample.diff, varied, strict=True):
                full[i] = x
            return leaves(sample.fun(*full))

        return fun

    def directions(xs):
        for x in xs:
            t = rng.normal(size=x.shape) + 1j * rng.normal(size=x.shape)
            yield np.asarray(t if x.dtype.kind == "c" else t.real).astype(x.dtype)

    def in_library(xs):
        return list(map(lib.asarray, xs))

    primals = [sample.args[i] for i in sample.diff]
    tangents = list(directions(primals))
    fun = of_varied(sample.args)
    _, pushed = volta.jvp(fun, tuple(primals), tuple(tangents))
    out, vjp_fn = volta.vjp(fun, *primals)
    cotangents = list(directions(out))
    theirs = of_varied(in_library(sample.args))
    found = differentiate(
        lambda *xs: tuple(map(raw, theirs(*xs))),
        *map(in_library, (primals, tangents, cotangents)),
    )
    ours = (*pushed, *vjp_fn(tuple(cotangents)))
    for got, expected in zip(ours, (*found[0], *found[1]), strict=True):
        tolerance = 1e-9 * np.max(np.abs(got), initial=0)
        np.testing.assert_allclose(got, lib.host(expected), rtol=0, atol=tolerance)


def by_torch_here(sample):
    """Every row, but of the quantiles only one here: torch takes seconds for a search's steps."""
    slow = sample.name in _QUANTILES and sample.name != "chdtri"
    return pytest.param(sample, marks=[pytest.mark.slow] if slow else [], id=sample.id)


@pytest.mark.covers("by torch")
@pytest.mark.parametrize("sample", [*map(by_torch_here, ROWS)])
def test_torch_finds_the_same_derivatives(sample):
    torch = pytest.importorskip("torch")
    reason = TORCH.get(sample.id) or sample.torch
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about itself
        if reason:
            with pytest.raises((Exception, AssertionError)):  # else the reason is out of date
                compare(sample, library("torch"), lambda *a: by_torch(torch, *a))
            pytest.skip(reason)
        compare(sample, library("torch"), lambda *a: by_torch(torch, *a))


@pytest.mark.slow
@pytest.mark.covers("by jax")
@pytest.mark.parametrize("sample", FIRST, ids=lambda s: s.id)
def test_jax_finds_the_same_derivatives(sample):
    jax = pytest.importorskip("jax")
    reason = JAX.get(sample.id) or sample.jax
    if reason:
        pytest.skip(reason)
    with running("jax"):
        compare(sample, library("jax"), lambda *a: by_jax(jax, *a))
