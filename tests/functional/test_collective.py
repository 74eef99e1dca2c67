"""Collectives: against loops over the lanes, finite differences, and JAX where installed."""

import numpy as np
import pytest

import volta
import volta.functional as F

pytestmark = [pytest.mark.core, pytest.mark.grad_check]

rng = np.random.default_rng(0)
X = rng.normal(size=(4, 3))
FULL = ((0, 1), (1, 2), (2, 0), (3, 3))
PART = ((0, 2), (3, 1))


def over(fun, **options):
    return volta.vmap(fun, axis_name="i", **options)


def slope(fun, x):
    found = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-6
        found[i] = (fun(x + step) - fun(x - step)) / 2e-6
    return found


def in_all(x):
    return np.broadcast_to(x, (4, *x.shape))


# What each is of all lanes, by hand ---------------------------------------------------------------

Y = rng.normal(size=(4, 4, 2, 8))
VALUES = {
    "psum": (lambda x: volta.psum(x, "i"), X, in_all(X.sum(axis=0))),
    "psum of ints": (lambda x: volta.psum(x, "i"), np.arange(4, dtype=np.int32), [6] * 4),
    "psum of bools": (lambda x: volta.psum(x > 0, "i"), X, in_all((X > 0).sum(axis=0))),
    "psum of a number": (lambda x: x * volta.psum(2, "i"), X, X * 8),
    "pmean": (lambda x: volta.pmean(x, "i"), X, in_all(X.mean(axis=0))),
    "pmax": (lambda x: volta.pmax(x, "i"), X, in_all(X.max(axis=0))),
    "pmin": (lambda x: volta.pmin(x, "i"), X, in_all(X.min(axis=0))),
    "pmax of a number": (lambda x: x * volta.pmax(2, "i"), X, X * 2),
    "all_gather": (lambda x: volta.all_gather(x, "i"), X, in_all(X)),
    "all_gather, axis": (lambda x: volta.all_gather(x, "i", axis=-1), X, in_all(X.T)),
    "all_gather, tiled": (lambda x: volta.all_gather(x, "i", tiled=True), X, in_all(X.reshape(-1))),
    "all_gather of a number": (lambda x: volta.all_gather(1, "i"), X, in_all(np.ones(4))),
    "all_to_all": (lambda x: volta.all_to_all(x, "i", 0, 0), Y, Y.swapaxes(0, 1)),
    "all_to_all, axes": (
        lambda x: volta.all_to_all(x, "i", 0, -1),
        Y,
        np.moveaxis(Y.swapaxes(0, 1), 1, 3),
    ),
    "all_to_all, tiled": (
        lambda x: volta.all_to_all(x, "i", 2, 1, tiled=True),
        Y,
        np.stack([np.concatenate([y[..., 2 * j : 2 * j + 2] for y in Y], 1) for j in range(4)]),
    ),
    "all_to_all, tiled along one axis": (
        lambda x: volta.all_to_all(x, "i", 2, 2, tiled=True),
        Y,
        np.stack([np.concatenate([y[..., 2 * j : 2 * j + 2] for y in Y], 2) for j in range(4)]),
    ),
    "ppermute": (lambda x: volta.ppermute(x, "i", FULL), X, X[[2, 0, 1, 3]]),
    "ppermute of some": (
        lambda x: volta.ppermute(x, "i", PART),
        X,
        [X[0] * 0, X[3], X[0], X[0] * 0],
    ),
    "ppermute of none": (lambda x: volta.ppermute(x, "i", []), X, X * 0),
    "axis_index": (lambda x: volta.axis_index("i"), X, np.arange(4)),
    "axis_size": (lambda x: x * volta.axis_size("i"), X, X * 4),
    "trees": (lambda x: volta.psum({"a": (x, None)}, "i")["a"][0], X, in_all(X.sum(axis=0))),
}
values = pytest.mark.parametrize(("fun", "x", "wanted"), list(VALUES.values()), ids=list(VALUES))


@values
def test_values(fun, x, wanted):
    np.testing.assert_allclose(over(fun)(x), wanted, rtol=1e-12)


@values
def test_another_axis_is_passed_over(fun, x, wanted):
    """In one order of the axes it has to be brought out of the way, in the other it is inside."""
    two, wanted = np.stack([x, x]), np.stack([np.asarray(wanted)] * 2)
    np.testing.assert_allclose(volta.vmap(over(fun))(two), wanted, rtol=1e-12)
    outside = over(volta.vmap(fun), out_axes=1)(np.moveaxis(two, 0, 1))
    np.testing.assert_allclose(outside, wanted, rtol=1e-12)


@values
def test_a_list_keeps_the_name(fun, x, wanted):
    staged = []

    def through(x):
        wengert = volta.trace(fun)(x)
        wengert.check()
        staged.append(wengert)
        return wengert(x)

    np.testing.assert_allclose(over(through)(x), wanted, rtol=1e-12)
    named = {e.params["axis_name"] for e in staged[0].entries if "axis_name" in e.params}
    assert named <= {"i"}
    np.testing.assert_allclose(volta.trace(over(fun))(x)(x), wanted, rtol=1e-12)


@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
@values
def test_other_libraries(fun, x, wanted, library):
    xp = pytest.importorskip(library)
    found = over(fun)(xp.asarray(np.ascontiguousarray(x)))
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-12)


W = np.asarray([1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("fun", "wanted"),
    [
        (lambda w: volta.psum(w, "i"), in_all(4 * W)),
        (lambda w: volta.pmean(w, "i"), in_all(W)),
        (lambda w: volta.pmax(w, "i"), in_all(W)),
        (lambda w: volta.all_gather(w, "i"), in_all(in_all(W))),
        (lambda w: volta.all_to_all(in_all(w), "i", 0, 1), np.stack([np.stack([W] * 4, 1)] * 4)),
        (lambda w: volta.ppermute(w, "i", FULL), in_all(W)),
        (lambda w: volta.ppermute(w, "i", PART), [W * 0, W, W, W * 0]),
    ],
)
def test_what_is_not_batched_is_the_same_in_all_lanes(fun, wanted):
    found = over(lambda x, w: (fun(w), fun(W)), in_axes=(0, None))(X, W)
    np.testing.assert_allclose(found[0], wanted)
    np.testing.assert_allclose(found[1], wanted)

    def outside(w):
        return F.sum(F.cos(over(lambda x: fun(w))(X)))

    np.testing.assert_allclose(volta.grad(outside)(W), slope(outside, W), rtol=1e-6, atol=1e-8)


def test_what_all_lanes_share_needs_no_axis():
    np.testing.assert_allclose(
        over(lambda x: volta.psum(x, "i"), out_axes=None)(X), X.sum(axis=0), rtol=1e-12
    )
    found = over(lambda x: x if volta.psum(x, "i")[0] > 1e9 else volta.psum(x, "i"))(X)
    np.testing.assert_allclose(found, in_all(X.sum(axis=0)))


def test_several_names_and_the_inner_of_two_alike():
    def inner(x):
        return volta.psum(x, ("i", "j")) + volta.pmean(x, ["j"]) * volta.axis_size(("i", "j"))

    found = over(volta.vmap(inner, axis_name="j"))(X)
    np.testing.assert_allclose(found, X.sum() + 12 * np.mean(X, axis=1, keepdims=True) + 0 * X)
    shadowed = over(volta.vmap(lambda x: volta.psum(x, "i"), axis_name="i"))(X)
    np.testing.assert_allclose(shadowed, np.sum(X, axis=1, keepdims=True) + 0 * X)


def test_an_axis_of_nothing_mapped():
    found = volta.vmap(lambda: volta.axis_index("i") * 2, axis_name="i", axis_size=3)()
    np.testing.assert_array_equal(found, [0, 2, 4])


# Derivatives --------------------------------------------------------------------------------------

SMOOTH = {
    "psum": lambda x: F.sum(volta.psum(x * x, "i") * F.sin(x)),
    "pmean": lambda x: F.sum(volta.pmean(F.exp(x), "i") * x),
    "pmax": lambda x: F.sum(volta.pmax(x * x, "i") * x),
    "pmin": lambda x: F.sum(volta.pmin(x, "i") ** 2 * x),
    "all_gather": lambda x: F.sum(volta.all_gather(x, "i") ** 2 * x),
    "all_gather, tiled": lambda x: F.sum(volta.all_gather(x, "i", tiled=True) ** 3),
    "all_to_all": lambda x: F.sum(
        volta.all_to_all(x * np.ones((4, 1)), "i", 0, 1) ** 2 * np.arange(12.0).reshape(3, 4)
    ),
    "all_to_all, tiled": lambda x: F.sum(
        volta.all_to_all(F.stack([x, x * x] * 2), "i", 0, 1, tiled=True)[0, :4] ** 2
    ),
    "ppermute": lambda x: F.sum(volta.ppermute(x * x, "i", PART) * x),
    "scatter": lambda x: F.sum(volta.grad(lambda y: F.sum(volta.all_gather(y, "i") ** 3))(x) * x),
}
smooth = pytest.mark.parametrize("fun", list(SMOOTH.values()), ids=list(SMOOTH))


@smooth
def test_derivatives_outside_and_inside(fun):
    """Reverse mode inside is of the sum of all lanes; forward mode inside needs their tangents."""

    def total(x):
        return F.sum(over(fun)(x))

    wanted = slope(total, X)
    np.testing.assert_allclose(volta.grad(total)(X), wanted, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(over(volta.grad(fun))(X), wanted, rtol=1e-6, atol=1e-7)
    direction = rng.normal(size=X.shape)
    for tangent in (
        volta.jvp(total, (X,), (direction,))[1],
        F.sum(over(lambda x, t: volta.jvp(fun, (x,), (t,))[1])(X, direction)),
    ):
        np.testing.assert_allclose(tangent, np.sum(wanted * direction), rtol=1e-6)


@smooth
def test_second_derivatives(fun):
    def total(x):
        return F.sum(over(fun)(x))

    direction = rng.normal(size=X.shape)
    wanted = slope(lambda x: np.sum(volta.grad(total)(x) * direction), X)
    for product in (
        volta.hvp(total, (X,), (direction,))[1],
        volta.vhp(total, (X,), (direction,))[1],
        over(lambda x, t: volta.jvp(volta.grad(fun), (x,), (t,))[1])(X, direction),
    ):
        np.testing.assert_allclose(product, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("extreme", [volta.pmax, volta.pmin])
def test_lanes_that_tie_share_the_derivative(extreme):
    x = np.asarray([2.0, 1.0, 2.0, 1.0])
    chosen = x == (2.0 if extreme is volta.pmax else 1.0)

    def total(x):
        return F.sum(over(lambda x: extreme(x, "i"), out_axes=None)(x))

    np.testing.assert_array_equal(volta.grad(total)(x), chosen / 2)
    assert volta.jvp(total, (x,), (np.arange(4.0),))[1] == np.sum(np.arange(4.0) * chosen) / 2


# In carried lists and custom rules ----------------------------------------------------------------


@volta.custom_jvp
def squares(x):
    return volta.psum(x * x, "i")


squares.defjvp(lambda primals, ts: (squares(*primals), volta.psum(2 * primals[0] * ts[0], "i")))


def summed(step):
    return lambda x: volta.scan(step, F.sum(x), x)[0]


CARRIED = {
    "scan": summed(lambda c, v: (c + volta.psum(c * v, "i") / 9, None)),
    "scan with the index": summed(lambda c, v: (c * v + volta.axis_index("i"), None)),
    "fori_loop": lambda x: volta.fori_loop(0, 3, lambda i, c: c + volta.pmean(c, "i"), F.sum(x)),
    "cond": lambda x: volta.cond(
        volta.pmax(x[0], "i") > 0, lambda: volta.psum(x[1], "i"), lambda: x[2]
    ),
    "checkpoint": volta.checkpoint(lambda x: F.sum(volta.psum(x * x, "i") * x)),
    "custom": lambda x: F.sum(squares(x) * x),
}
BY_HAND = {
    "scan": lambda x: _scanned(x, lambda c, v: c + (c * v).sum() / 9),
    "scan with the index": lambda x: _scanned(x, lambda c, v: c * v + np.arange(4)),
    "fori_loop": lambda x: _scanned(x, lambda c, v: c + c.mean()),
    "cond": lambda x: np.full(4, x[:, 1].sum()),
    "checkpoint": lambda x: (x * (x * x).sum(axis=0)).sum(axis=1),
    "custom": lambda x: (x * (x * x).sum(axis=0)).sum(axis=1),
}


# Nothing of these belongs to a lane but what the collectives make: function, and its value in lanes
APART = {
    "checkpoint": (lambda: volta.checkpoint(lambda: volta.axis_index("i") * 2.0)(), [0, 2, 4]),
    "cond": (
        lambda: volta.cond(np.asarray(True), lambda y: y + volta.axis_index("i"), abs, np.ones(())),
        [1, 2, 3],
    ),
    "scan": (
        lambda: volta.scan(lambda c, _: (c + volta.axis_index("i"), None), np.ones(()), length=2)[
            0
        ],
        [1, 3, 5],
    ),
    "while_loop": (
        lambda: volta.while_loop(
            lambda c: c < 5, lambda c: c + volta.psum(np.ones(()), "i"), np.zeros(())
        ),
        [6, 6, 6],
    ),
}


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("name", APART)
def test_collectives_in_a_body_without_lanes(name, staged):
    fun, wanted = APART[name]
    x = np.asarray([1.0, 2.0, 4.0])
    lanes = volta.vmap(lambda x: fun() * x, axis_name="i")
    found = volta.trace(lanes)(x)(x) if staged else lanes(x)
    np.testing.assert_array_equal(found, x * np.asarray(wanted))


def _scanned(x, step):
    c = x.sum(axis=1)
    for t in range(3):
        c = step(c, x[:, t])
    return c


@pytest.mark.parametrize("name", list(CARRIED))
def test_in_lists_that_operations_carry(name):
    fun, by_hand = CARRIED[name], BY_HAND[name]
    np.testing.assert_allclose(over(fun)(X), by_hand(X), rtol=1e-12)
    other = volta.vmap(over(fun))(np.stack([X, 2 * X]))
    np.testing.assert_allclose(other, [by_hand(X), by_hand(2 * X)], rtol=1e-12)
    wanted = slope(lambda x: np.sum(by_hand(x) ** 2), X)
    outside = volta.grad(lambda x: F.sum(over(fun)(x) ** 2))(X)
    np.testing.assert_allclose(outside, wanted, rtol=1e-6, atol=1e-7)
    inside = over(volta.grad(lambda x: fun(x) ** 2))(X)
    np.testing.assert_allclose(inside, wanted, rtol=1e-6, atol=1e-7)


def test_in_a_branch_that_some_lanes_take():
    """Both branches run for all lanes, as in JAX."""

    def fun(x):
        return volta.cond(x[0] > 0, lambda: volta.psum(x[1], "i"), lambda: x[2])

    def by_hand(x):
        return np.where(x[:, 0] > 0, x[:, 1].sum(), x[:, 2])

    np.testing.assert_allclose(over(fun)(X), by_hand(X), rtol=1e-12)
    found = volta.grad(lambda x: F.sum(over(fun)(x) ** 2))(X)
    wanted = slope(lambda x: np.sum(by_hand(x) ** 2), X)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)


def test_in_a_list_that_no_batched_array_reaches():
    def fun(x):
        ones, _ = volta.scan(lambda c, t: (c + volta.psum(t, "i"), None), 0.0, np.ones(3))
        own, _ = volta.scan(lambda c, t: (c + t, volta.axis_index("i")), 0.0, np.ones(3))
        return ones + own

    np.testing.assert_allclose(over(fun)(X), np.full(4, 15.0))


# Errors -------------------------------------------------------------------------------------------

UNKNOWN = r"axis_name must be of a vmap that the call is inside of; got 'k', and in scope is "
CALLS = {
    "psum": lambda x: volta.psum(x, "k"),
    "pmean": lambda x: volta.pmean(x, ("i", "k")),
    "pmax": lambda x: volta.pmax(x, "k"),
    "pmin": lambda x: volta.pmin(x, "k"),
    "all_gather": lambda x: volta.all_gather(x, "k"),
    "all_to_all": lambda x: volta.all_to_all(x, "k", 0, 0),
    "ppermute": lambda x: volta.ppermute(x, "k", []),
    "axis_index": lambda x: volta.axis_index("k"),
    "axis_size": lambda x: volta.axis_size("k"),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_names_of_no_axis(name):
    message = rf"^{name}: {UNKNOWN}'i', 'j'\. Name it with vmap\(…, axis_name=…\)\. \(line: test_"
    with pytest.raises(volta.AxisNameError, match=message):
        over(volta.vmap(volta.vmap(CALLS[name]), axis_name="j"))(rng.normal(size=(2, 2, 2, 2)))
    assert issubclass(volta.AxisNameError, NameError)


def test_a_list_run_outside_of_its_axis():
    lists = []
    over(lambda x: lists.append(volta.trace(lambda y: volta.psum(y, "i"))(x)) or x)(X)
    with pytest.raises(volta.AxisNameError, match="got 'i', and in scope is no named axis"):
        lists[0](X[0])


@pytest.mark.parametrize("name", ["psum", "pmax", "all_gather", "all_to_all", "ppermute"])
def test_lanes_that_have_parted(name):
    def fun(x):
        if x[0] > X[:, 0].mean():
            x = {
                "psum": lambda: volta.psum(x, "i"),
                "pmax": lambda: volta.pmax(x, "i"),
                "all_gather": lambda: volta.all_gather(x, "i")[0],
                "all_to_all": lambda: volta.all_to_all(in_all(x), "i", 0, 0)[0],
                "ppermute": lambda: volta.ppermute(x, "i", FULL),
            }[name]()
        return x

    n = int(np.sum(X[:, 0] > X[:, 0].mean()))
    message = (
        rf"^{name}: must be reached by all lanes of axis 'i' together; got {n} of 4 at "
        r"test_collective\.py:\d+, parted by bool at test_collective\.py:\d+\. Call it before they "
        r"part, or choose between values with functional\.where\."
    )
    with pytest.raises(volta.TraceError, match=message):
        over(fun)(X)


def test_chunks_are_not_together():
    with pytest.raises(volta.TraceError, match=r"got 2 of 4 at .*, parted by chunk_size=2\."):
        over(lambda x: volta.psum(x, "i"), chunk_size=2)(X)
    found = over(lambda x: volta.axis_index("i"), chunk_size=3)(X)
    np.testing.assert_array_equal(found, np.arange(4))


def test_before_and_after_lanes_part():
    """Before they do, a collective is over all; the number of a lane remains its own."""

    def fun(x):
        total = volta.psum(F.sum(x), "i") + volta.all_gather(x, "i")[0, 0]
        index = volta.axis_index("i")
        if x[0] > 0:
            return total * volta.axis_index("i") + volta.axis_size("i")
        return total + index

    mapped = over(fun)
    total = X.sum() + X[0, 0]
    wanted = np.where(X[:, 0] > 0, total * np.arange(4) + 4, total + np.arange(4))
    for _ in range(3):
        np.testing.assert_allclose(mapped(X), wanted, rtol=1e-12)


def test_parted_lanes_in_a_list_or_a_custom_rule():
    for fun in (CARRIED["scan"], CARRIED["custom"]):

        def some(x, fun=fun):
            return fun(x) if x[0] > X[:, 0].mean() else x[0]

        with pytest.raises(volta.TraceError, match="psum: must be reached by all lanes of axis"):
            over(some)(X)


@pytest.mark.parametrize(
    ("fun", "error", "message"),
    [
        (
            lambda x: volta.ppermute(x, "i", [(0, 1), (0, 2)]),
            ValueError,
            r"ppermute: perm must name each lane from 0 to 3 at most once as source and once as "
            r"destination; got \[\(0, 1\), \(0, 2\)\]\.",
        ),
        (lambda x: volta.ppermute(x, "i", [(0, 4)]), ValueError, r"from 0 to 3 at most once"),
        (
            lambda x: volta.all_to_all(x, "i", 0, 0),
            volta.ShapeError,
            r"all_to_all: the length of split_axis must be the number of lanes; got shape \(3,\), "
            r"split_axis=0 and 4 lanes\.",
        ),
        (
            lambda x: volta.all_to_all(x, "i", 0, 0, tiled=True),
            volta.ShapeError,
            r"all_to_all: the length of split_axis must be a multiple of the number of lanes",
        ),
        (
            lambda x: volta.all_gather(x, "i", axis=2),
            volta.DimensionError,
            "all_gather: axis must be from -2 to 1; got 2",
        ),
        (
            lambda x: volta.all_to_all(x, "i", 1, 0),
            volta.DimensionError,
            "all_to_all: axis must be from -1 to 0; got 1",
        ),
    ],
)
def test_arguments_must_fit(fun, error, message):
    with pytest.raises(error, match=message):
        over(fun)(X)


# Against JAX --------------------------------------------------------------------------------------

SAME = {
    "psum": lambda t, c, x: c.psum(x, "i") * x,
    "pmean": lambda t, c, x: c.pmean(x, "i") * x,
    "pmax": lambda t, c, x: c.pmax(x, "i") - c.pmin(x, "i") * x,
    "all_gather": lambda t, c, x: (c.all_gather(x, "i", axis=1), c.all_gather(x, "i", tiled=True)),
    "ppermute": lambda t, c, x: c.ppermute(x, "i", FULL) + c.axis_index("i"),
    "several": lambda t, c, x: t.vmap(
        lambda v: c.psum(v, "j") * v + c.psum(v * v, ("i", "j")) + c.pmax(v, "i"), axis_name="j"
    )(x),
    "shadowed": lambda t, c, x: t.vmap(lambda v: c.psum(v, "i") * v, axis_name="i")(x),
    "grad inside": lambda t, c, x: t.grad(
        lambda y: (c.psum(y * x, "i") ** 2 * c.all_gather(y, "i")[1]).sum()
    )(x),
    "grad between": lambda t, c, x: t.vmap(
        t.grad(lambda v: c.psum(v, "j") * v * c.psum(v * v, ("i", "j"))), axis_name="j"
    )(x),
    "jvp inside": lambda t, c, x: t.jvp(
        lambda y: c.psum(y * y, "i") * c.ppermute(y, "i", FULL), (x,), (x,)
    ),
}
SAME["not batched"] = lambda t, c, x: (x * c.psum(W, "i"), c.all_gather(W, "i"))


@pytest.mark.parametrize("name", list(SAME))
def test_agrees_with_jax(name):
    jax = pytest.importorskip("jax")
    fun = SAME[name]
    with jax.enable_x64(True):
        theirs = jax.vmap(lambda x: fun(jax, jax.lax, x), axis_name="i")(jax.numpy.asarray(X))
        ours = over(lambda x: fun(volta, volta, x))(X)
        for x, y in zip(volta.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12)
