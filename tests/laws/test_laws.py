"""The laws every primitive keeps, run on every row of tests/samples.py."""

import itertools

import numpy as np
import pytest
from samples import SAMPLES
from strategies import library, raw, running

import volta
import volta.functional as F
from volta.core.dispatch import library_of
from volta.core.primitive import REGISTRY
from volta.core.types import typeof

DIFFERENTIABLE = [s for s in SAMPLES if s.diff]
IDS = [s.name for s in SAMPLES]
DIFF_IDS = [s.name for s in DIFFERENTIABLE]
pytestmark = pytest.mark.core


def leaves(out):
    return out if isinstance(out, tuple) else (out,)


def host(x):
    return np.asarray(x)


def random_like(rng, x):
    x = np.asarray(x)
    t = rng.normal(size=x.shape)
    if x.dtype.kind == "c":
        t = t + 1j * rng.normal(size=x.shape)
    return np.asarray(t, dtype=x.dtype)


def with_diff(sample, varied):
    args = list(sample.args)
    for i, a in zip(sample.diff, varied, strict=True):
        args[i] = a
    return args


def differentiable_part(sample):
    """The row's function of its differentiable operands alone."""
    return lambda *varied: sample.fun(*with_diff(sample, varied))


def inner(a, b):
    """Re Σ a·b, without conjugation, over the differentiable results."""
    return sum(
        float(np.real(np.sum(host(x) * host(y))))
        for x, y in zip(leaves(a), leaves(b), strict=True)
        if host(x).dtype.kind in "fc"
    )


def test_every_primitive_has_a_row():
    assert sorted(REGISTRY) == sorted({s.primitive for s in SAMPLES})


@pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
def test_type_rule_tells_shape_and_dtype(sample):
    wengert = volta.trace(sample.fun)(*sample.args)
    wengert.check()
    assert sample.primitive in {e.primitive.name for e in wengert.entries}
    out = leaves(sample.fun(*sample.args))
    for operand, value in zip(wengert.outputs, out, strict=True):
        assert wengert.types[operand] == typeof(value)
    again = leaves(wengert(*sample.args))
    for x, y in zip(again, out, strict=True):
        np.testing.assert_array_equal(host(x), host(y))


@pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
def test_raw_results_are_raw_arrays(sample):
    for out in leaves(volta.jvp(lambda: sample.fun(*sample.args), (), ())[0]):
        assert type(out) is np.ndarray


@pytest.mark.grad_check
@pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=DIFF_IDS)
def test_forward_is_the_finite_difference(sample):
    rng = np.random.default_rng(1)
    fun = differentiable_part(sample)
    primals = tuple(sample.args[i] for i in sample.diff)
    tangents = tuple(random_like(rng, p) for p in primals)
    out, t_out = volta.jvp(fun, primals, tangents)
    plain = sample.fun(*sample.args)
    step = 1e-6 if sample.tolerance < 1e-4 else 1e-2
    above = fun(*(p + step * t for p, t in zip(primals, tangents, strict=True)))
    below = fun(*(p - step * t for p, t in zip(primals, tangents, strict=True)))
    for o, p, t, hi, lo in zip(*map(leaves, (out, plain, t_out, above, below)), strict=True):
        np.testing.assert_array_equal(host(o), host(p))
        assert (t.shape, t.dtype) == (o.shape, o.dtype)
        numeric = (host(hi) - host(lo)) / (2 * step)
        scale = 1 + np.max(np.abs(numeric), initial=0)
        np.testing.assert_allclose(host(t), numeric, atol=sample.tolerance * scale)


@pytest.mark.grad_check
@pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=DIFF_IDS)
def test_reverse_is_the_transpose_of_forward(sample):
    rng = np.random.default_rng(2)
    fun = differentiable_part(sample)
    primals = tuple(sample.args[i] for i in sample.diff)
    tangents = tuple(random_like(rng, p) for p in primals)
    _, t_out = volta.jvp(fun, primals, tangents)
    out, vjp_fn = volta.vjp(fun, *primals)
    ct = tuple(random_like(rng, o) for o in leaves(out))
    pulled = vjp_fn(ct if isinstance(out, tuple) else ct[0])
    for p, c in zip(primals, pulled, strict=True):
        assert (c.shape, c.dtype, type(c)) == (p.shape, p.dtype, type(p))
    a, b = inner(ct, t_out), inner(pulled, tangents)
    size = sum(np.sum(np.abs(c)) for c in map(host, ct))
    assert abs(a - b) <= (1e-10 if sample.tolerance < 1e-4 else 1e-5) * (1 + abs(a) + size)


@pytest.mark.grad_check
@pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=DIFF_IDS)
def test_each_operand_alone_agrees_with_all_together(sample):
    rng = np.random.default_rng(3)
    primals = tuple(sample.args[i] for i in sample.diff)
    out, vjp_fn = volta.vjp(differentiable_part(sample), *primals)
    ct = tuple(random_like(rng, o) for o in leaves(out))
    ct = ct if isinstance(out, tuple) else ct[0]
    together = vjp_fn(ct)
    for k, i in enumerate(sample.diff):

        def alone(x, i=i):
            return sample.fun(*(x if j == i else a for j, a in enumerate(sample.args)))

        np.testing.assert_allclose(host(volta.vjp(alone, primals[k])[1](ct)[0]), host(together[k]))


@pytest.mark.grad_check
@pytest.mark.parametrize("sample", [s for s in DIFFERENTIABLE if s.order > 1], ids=lambda s: s.name)
def test_second_order(sample):
    """Forward and reverse over reverse, against the finite difference of the reverse sweep."""
    rng = np.random.default_rng(4)
    fun = differentiable_part(sample)
    primals = tuple(sample.args[i] for i in sample.diff)
    tangents = tuple(random_like(rng, p) for p in primals)
    ct = tuple(random_like(rng, o) for o in leaves(fun(*primals)))

    def pulled(*xs):
        out, vjp_fn = volta.vjp(fun, *xs)
        return vjp_fn(ct if isinstance(out, tuple) else ct[0])

    _, forward = volta.jvp(pulled, primals, tangents)
    step = 1e-6
    above = pulled(*(p + step * t for p, t in zip(primals, tangents, strict=True)))
    below = pulled(*(p - step * t for p, t in zip(primals, tangents, strict=True)))
    for f, hi, lo in zip(forward, above, below, strict=True):
        numeric = (host(hi) - host(lo)) / (2 * step)
        scale = 1 + np.max(np.abs(numeric), initial=0)
        np.testing.assert_allclose(host(f), numeric, atol=10 * sample.tolerance * scale)
    out, vjp_fn = volta.vjp(pulled, *primals)
    second = tuple(random_like(rng, o) for o in out)
    a, b = inner(second, forward), inner(vjp_fn(second), tangents)
    assert abs(a - b) <= 1e-9 * (1 + abs(a) + abs(b))


@pytest.mark.parametrize("sample", [s for s in SAMPLES if not s.vmap], ids=lambda s: s.name)
def test_vmap_is_the_loop(sample):
    n = len(sample.args)
    size = 3
    for batched in itertools.product((False, True), repeat=n):
        if not any(batched):
            continue
        args = []
        for i, (a, b) in enumerate(zip(sample.args, batched, strict=True)):
            lanes = [a if a.dtype.kind in "biu" else a * (1 + 0.03 * k) for k in range(size)]
            if a.dtype.kind in "iu" and sample.primitive.startswith(
                ("gather", "scatter", "embed_add")
            ):
                lanes = [np.roll(a, k) for k in range(size)]
            axis = min(i, a.ndim) if b else 0
            args.append(np.stack(lanes, axis=axis) if b else a)
        axes = tuple(
            min(i, a.ndim) if b else None
            for i, (a, b) in enumerate(zip(sample.args, batched, strict=True))
        )
        out = volta.vmap(sample.fun, in_axes=axes)(*args)
        loop = [
            sample.fun(
                *(
                    a if x is None else np.take(a, k, axis=x)
                    for a, x in zip(args, axes, strict=True)
                )
            )
            for k in range(size)
        ]
        for j, o in enumerate(leaves(out)):
            expected = np.stack([host(leaves(lane)[j]) for lane in loop])
            assert type(o) is np.ndarray
            assert o.dtype == expected.dtype
            np.testing.assert_allclose(o, expected, rtol=1e-12, atol=1e-14, err_msg=str(batched))


ON_JAX_AND_DASK = (
    *("creation", "elementwise", "indexing", "loss", "manipulation", "products", "reduction"),
    *("padding", "segment", "update"),
)


@pytest.fixture(params=["array_api_strict", "torch", "jax", "dask"])
def lib(request):
    with running(request.param):
        yield library(request.param)


@pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
def test_other_libraries_agree_with_numpy(sample, lib):
    reason = getattr(sample, {"array_api_strict": "strict"}.get(lib.name, lib.name))
    if reason:
        pytest.skip(reason)
    if lib.name in ("jax", "dask") and sample.chapter not in ON_JAX_AND_DASK:
        pytest.skip("this chapter does not run on JAX and dask yet")
    args = tuple(map(lib.asarray, sample.args))
    tolerance = 1e-6 if sample.tolerance > 1e-4 else 1e-10

    def same(found, wanted):
        for x, y in zip(leaves(found), leaves(wanted), strict=True):
            x = raw(x)  # perhaps a lifted constant
            assert isinstance(x, lib.kind)
            assert typeof(x) == typeof(y)
            np.testing.assert_allclose(lib.host(x), host(y), rtol=tolerance, atol=tolerance)

    same(sample.fun(*args), sample.fun(*sample.args))
    # JAX is slow without compiling, slower with it: the first row of a primitive stands for others
    brief = lib.name == "jax" and sample.name != sample.primitive
    if not sample.vmap and not brief:
        lanes = [np.stack([a, a[..., ::-1] if a.ndim else a]) for a in sample.args]
        same(volta.vmap(sample.fun)(*map(lib.asarray, lanes)), volta.vmap(sample.fun)(*lanes))
    if not sample.diff:
        return
    rng = np.random.default_rng(5)
    primals = tuple(sample.args[i] for i in sample.diff)
    theirs = tuple(args[i] for i in sample.diff)

    def fun(*varied):
        full = list(args)
        for i, v in zip(sample.diff, varied, strict=True):
            full[i] = v
        return sample.fun(*full)

    tangents = tuple(random_like(rng, p) for p in primals)
    if not brief:
        _, t = volta.jvp(fun, theirs, tuple(map(lib.asarray, tangents)))
        same(t, volta.jvp(differentiable_part(sample), primals, tangents)[1])
    out, vjp = volta.vjp(differentiable_part(sample), *primals)
    ct = tuple(random_like(rng, o) for o in leaves(out))
    single = not isinstance(out, tuple)
    _, vjp_fn = volta.vjp(fun, *theirs)
    made = tuple(map(lib.asarray, ct))
    pulled = vjp_fn(made[0] if single else made)
    same(pulled, vjp(ct[0] if single else ct))
    for x, y in zip(pulled, theirs, strict=True):
        device = library_of(x, "device").device
        assert device(x) == device(y)


@pytest.mark.parametrize(
    ("sample", "call", "error", "message"),
    [(s, *e) for s in SAMPLES for e in s.errors],
    ids=lambda v: v.name if hasattr(v, "primitive") else "",
)
def test_bad_operands_raise_the_stated_error(sample, call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_staging_states_the_same_errors():
    with pytest.raises(volta.ShapeError, match="the last axis of x1"):
        volta.trace(F.matmul)(np.ones((3, 4)), np.ones((5, 2)))
