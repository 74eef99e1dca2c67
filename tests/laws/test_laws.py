"""The laws every primitive keeps, run on every row of tests/samples.py."""

import itertools

import ml_dtypes
import numpy as np
import pytest
from samples import SAMPLES
from strategies import library, on_devices, raw, running

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


def differentiable_part(sample, fun=None):
    """The row's function, or another one, of the row's differentiable operands alone."""
    return lambda *varied: (fun or sample.fun)(*with_diff(sample, varied))


def assert_same_numbers(sample, x, y):
    """Exactly so for a primitive; without a transform a composition may go a shorter way."""
    np.testing.assert_allclose(host(x), host(y), rtol=0 if sample.primitive else 1e-14)


def inner(a, b):
    """Re Σ a·b, without conjugation, over the differentiable results, and the sum of all sizes."""
    products = [
        host(x) * host(y)
        for x, y in zip(leaves(a), leaves(b), strict=True)
        if host(x).dtype.kind in "fc"
    ]
    return sum(np.sum(np.real(p)) for p in products), sum(np.sum(np.abs(p)) for p in products)


def assert_equal_inner(sample, *pairs):
    """Assert that the inner products of all pairs are one number."""
    (first, size), *others = itertools.starmap(inner, pairs)
    tolerance = 1e-5 if sample.coarse else 1e-10
    for value, other_size in others:
        assert abs(first - value) <= tolerance * (size + other_size) + 1e-12


def slopes(fun, primals, tangents, step):
    """Derivatives of the results of `fun` along `tangents`, and the largest number around of each.

    Central differences of four points, whose error is of fourth order in the step.
    """

    def ahead(steps):
        return map(
            host,
            leaves(fun(*(p + steps * step * t for p, t in zip(primals, tangents, strict=True)))),
        )

    for values in zip(*map(ahead, (1, -1, 2, -2)), strict=True):
        one, minus_one, two, minus_two = values
        slope = (8 * (one - minus_one) - (two - minus_two)) / (12 * step)
        yield slope, max(np.max(np.abs(v), initial=0) for v in (slope, *values))


def assert_is_slope(sample, found, fun, primals, tangents, step=3e-4):
    """Assert that `found` is the derivative of `fun` along `tangents`, to 1e-6 of each element.

    Differences round by 1e-9 of the largest number around.
    """
    step, relative, rounding = (0.1, 1e-3, 1e-5) if sample.coarse else (step, 1e-6, 1e-9)
    numeric = slopes(fun, primals, tangents, step)
    for got, (slope, largest) in zip(leaves(found), numeric, strict=True):
        tolerance = rounding * largest + 1e-12
        np.testing.assert_allclose(host(got), slope, rtol=relative, atol=tolerance)


def test_every_primitive_has_a_row():
    # no functions of arrays alone: tests/functional/test_collective.py, tests/debug/test_effects.py
    other = {n for n, p in REGISTRY.items() if "axis_name" in (p.params or ()) or p.effect}
    assert set(REGISTRY) - other == {s.primitive for s in SAMPLES if s.primitive}


@pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
def test_type_rule_tells_shape_and_dtype(sample):
    wengert = volta.trace(sample.fun)(*sample.args)
    wengert.check()
    if sample.primitive:
        assert sample.primitive in {e.primitive.name for e in wengert.entries}
    out = leaves(sample.fun(*sample.args))
    for operand, value in zip(wengert.outputs, out, strict=True):
        assert wengert.types[operand] == typeof(value)
    again = leaves(wengert(*sample.args))
    for x, y in zip(again, out, strict=True):
        assert_same_numbers(sample, x, y)


@pytest.mark.parametrize("sample", SAMPLES, ids=IDS)
def test_raw_results_are_raw_arrays(sample):
    for out in leaves(volta.jvp(lambda: sample.fun(*sample.args), (), ())[0]):
        assert type(out) is np.ndarray


@pytest.mark.covers("jvp")
@pytest.mark.grad_check
@pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=DIFF_IDS)
def test_forward_is_the_finite_difference(sample):
    rng = np.random.default_rng(1)
    fun = differentiable_part(sample)
    primals = tuple(sample.args[i] for i in sample.diff)
    tangents = tuple(random_like(rng, p) for p in primals)
    out, t_out = volta.jvp(fun, primals, tangents)
    plain = sample.fun(*sample.args)
    for o, p, t in zip(*map(leaves, (out, plain, t_out)), strict=True):
        assert_same_numbers(sample, o, p)
        assert (t.shape, t.dtype) == (o.shape, o.dtype)
    compared = differentiable_part(sample, sample.reference)
    assert_is_slope(sample, t_out, compared, primals, tangents)


@pytest.mark.covers("vjp")
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
    assert_equal_inner(sample, (ct, t_out), (pulled, tangents))


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


@pytest.mark.covers("jvp of jvp", "jvp of vjp", "vjp of jvp", "vjp of vjp")
@pytest.mark.grad_check
@pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=DIFF_IDS)
def test_second_order(sample):
    """Both modes over both: one of the four against finite differences, the others against it."""
    rng = np.random.default_rng(4)
    fun = differentiable_part(sample)
    primals = tuple(sample.args[i] for i in sample.diff)
    along, then = (tuple(random_like(rng, p) for p in primals) for _ in range(2))
    ct = tuple(random_like(rng, o) for o in leaves(fun(*primals)))

    def pulled(*xs):
        out, vjp_fn = volta.vjp(fun, *xs)
        return vjp_fn(ct if isinstance(out, tuple) else ct[0])

    def pushed(*xs):
        return volta.jvp(fun, xs, along)[1]

    _, forward_over_reverse = volta.jvp(pulled, primals, then)
    if not sample.reference:
        assert_is_slope(sample, forward_over_reverse, pulled, primals, then)
    reverse_over_reverse = volta.vjp(pulled, *primals)[1](along)
    _, forward_over_forward = volta.jvp(pushed, primals, then)
    if sample.reference:
        compared = differentiable_part(sample, sample.reference)

        def slope(*xs):
            return tuple(found for found, _ in slopes(compared, xs, along, 3e-3))

        assert_is_slope(sample, forward_over_forward, slope, primals, then, step=3e-3)
    out, vjp_fn = volta.vjp(pushed, *primals)
    reverse_over_forward = vjp_fn(ct if isinstance(out, tuple) else ct[0])
    assert_equal_inner(
        sample,
        (forward_over_reverse, along),
        (reverse_over_reverse, then),
        (ct, forward_over_forward),
        (reverse_over_forward, then),
    )


PRECISIONS = {
    "float32": {"f": np.float32, "c": np.complex64},
    "float16": {"f": np.float16},
    "bfloat16": {"f": ml_dtypes.bfloat16},
}
ROUNDING = {"float32": 2e-4, "float16": 5e-2, "bfloat16": 2e-1}


@pytest.mark.covers("{precision}")
@pytest.mark.grad_check
@pytest.mark.parametrize("sample", DIFFERENTIABLE, ids=DIFF_IDS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_derivatives_in_fewer_bits(sample, precision):
    """Types of what they belong to, and numbers that those in 64 bits round to."""
    dtypes = PRECISIONS[precision]
    if not {a.dtype.kind for a in sample.args} & {"f", "c"} <= dtypes.keys():
        pytest.skip("NumPy has no complex numbers of 32 bits")
    if sample.coarse or (sample.sixteen and precision != "float32"):
        pytest.skip(sample.coarse or sample.sixteen)
    rng = np.random.default_rng(7)
    narrow = [a.astype(dtypes.get(a.dtype.kind, a.dtype)) for a in sample.args]
    wide = [a.astype(b.dtype) for a, b in zip(narrow, sample.args, strict=True)]

    def derivatives(args, directions, cotangents):
        def fun(*varied):
            full = list(args)
            for i, a in zip(sample.diff, varied, strict=True):
                full[i] = a
            return sample.fun(*full)

        primals = tuple(args[i] for i in sample.diff)
        tangents = tuple(t.astype(p.dtype) for t, p in zip(directions, primals, strict=True))
        _, pushed = volta.jvp(fun, primals, tangents)
        out, vjp_fn = volta.vjp(fun, *primals)
        ct = tuple(c.astype(o.dtype) for c, o in zip(cotangents, leaves(out), strict=True))
        pulled = vjp_fn(ct if isinstance(out, tuple) else ct[0])
        for x, y in zip((*leaves(pushed), *pulled), (*leaves(out), *primals), strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
        return (*leaves(pushed), *pulled)

    directions = [random_like(rng, sample.args[i]).round(1) for i in sample.diff]
    cotangents = [random_like(rng, o).round(1) for o in leaves(sample.fun(*wide))]
    found = derivatives(narrow, directions, cotangents)
    for x, y in zip(found, derivatives(wide, directions, cotangents), strict=True):
        scale = np.max(np.abs(y), initial=0) + 1e-3
        tolerance = ROUNDING[precision] * scale
        np.testing.assert_allclose(host(x).astype(y.dtype), y, rtol=0, atol=tolerance)


@pytest.mark.covers("vmap")
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


# Chapters of which a row takes longer there, a third of a second or much more
SLOW = {
    "array_api_strict": {"special"},  # whose functions run there in tests of their own
    "jax": {"fft", "linalg", "random", "searching", "sets", "solutions", "sorting", "special"},
    "dask": {"linalg", "random", "solutions", "special"},
}


def stands_for_others(sample):
    """Whether a row is its primitive's first: of JAX, slow uncompiled, the sweep runs the rest."""
    return sample.name == sample.primitive


def on_other_libraries():
    """Every row on every library, the slow ones for the sweep."""
    for lib in ("array_api_strict", "torch", "jax", "dask", *on_devices()):
        for sample in SAMPLES:
            slow = sample.chapter in SLOW.get(lib, ())
            slow |= lib == "jax" and not stands_for_others(sample)
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(sample, lib, marks=marks, id=f"{lib}-{sample.name}")


@pytest.fixture
def lib(request):
    with running(request.param):
        yield library(request.param)


@pytest.mark.covers("on {lib}")
@pytest.mark.parametrize(("sample", "lib"), [*on_other_libraries()], indirect=["lib"])
def test_other_libraries_agree_with_numpy(sample, lib):
    reason = getattr(sample, {"array_api_strict": "strict"}.get(lib.name, lib.name))
    reason = reason or (sample.torch if lib.name == "cuda" else "")
    if reason:
        pytest.skip(reason)
    if lib.name in ("jax", "dask") and not sample.primitive:
        pytest.skip("the rows of the primitives that it composes run there")
    args = tuple(map(lib.asarray, sample.args))
    tolerance = 1e-6 if sample.coarse else 1e-10

    def same(found, wanted):
        for x, y in zip(leaves(found), leaves(wanted), strict=True):
            x = raw(x)  # perhaps a lifted constant
            assert isinstance(x, lib.kind)
            assert typeof(x) == typeof(y)
            np.testing.assert_allclose(lib.host(x), host(y), rtol=tolerance, atol=tolerance)

    same(sample.fun(*args), sample.fun(*sample.args))
    brief = lib.name == "jax" and not stands_for_others(sample)
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
