"""Lanes that part: every lane runs as the function would alone, under every transform."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core import context

pytestmark = [pytest.mark.core, pytest.mark.grad_check]

rng = np.random.default_rng(0)
X = np.asarray([-1.0, 2.0, 3.0, -4.0, 0.5])
ROWS = rng.normal(size=(6, 4))


def looped(fun, *args):
    """`fun` of each lane alone, and the results of all lanes put together."""
    lanes = [fun(*map(np.asarray, lane)) for lane in zip(*args, strict=True)]
    return volta.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *lanes)


def assert_is_loop(fun, *args, calls=3):
    mapped = volta.vmap(fun)
    wanted = looped(fun, *args)
    for _ in range(calls):  # the first begins again, the others keep what they do from the start
        found = volta.tree.leaves(mapped(*args))
        for x, y in zip(found, volta.tree.leaves(wanted), strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


def slope(fun, x):
    """Gradient of a function of an array, by central differences."""
    found = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-6
        found[i] = (fun(x + step) - fun(x - step)) / 2e-6
    return found


# Control flow -------------------------------------------------------------------------------------


def bent(x):
    return F.sin(x) * x if x > 0 else x * 2


def bisected(c, low, high):
    """Root of x³ = c."""
    while high - low > 1e-12:
        middle = (low + high) / 2
        if (middle**3 - c) * (low**3 - c) > 0:
            low = middle
        else:
            high = middle
    return low


def written(x):
    out = F.zeros(3, dtype=F.float64)
    out[0] = x
    if x > 1:
        out[1] = x * x
        part = out[1:]
        part += 1.0
    elif x < 0:
        out[2:] = -x
    return out


def counted(x):
    total = x * 0
    for i in range(F.astype(F.abs(x), F.int64)):
        total = total + x * i
    return total


def sized(x):
    """Sum over a selection, whose length differs between lanes."""
    chosen = x[x > 0]
    return F.sum(chosen**2) / (1 + chosen.shape[0])


def listed(x):
    (places,) = F.nonzero(F.stack([x, x - 2, x + 1]) > 0)
    return F.sum(places) + x


def both(x):
    """Two reads, the second of which is met by some lanes only."""
    y = F.exp(x)
    if x > 0:
        y = y * 2 if y > 10 else y - x
    z = y + x
    return {"y": y, "z": (z, x * 3 if z > 0 else x)}


FUNCTIONS = {
    "if": (bent, X),
    "write": (written, X),
    "range": (counted, X),
    "boolean index": (sized, ROWS),
    "nonzero": (listed, X),
    "nested": (both, X),
    "repeat": (lambda x: F.sum(F.repeat(x, F.astype(x > 0, F.int64) + 1)), ROWS),
    "unique": (lambda x: F.sum(F.unique_values(F.round(x))), ROWS),
    "index": (lambda x: ROWS[F.argmax(x).__index__()] * x, ROWS),
    "constants": (lambda x: x + 1.0 if x > 0 else x * 0 + F.ones((), dtype=F.float64), X),
    "numbers": (lambda x: 1 if x > 0 else -1, X),
}


@pytest.mark.parametrize(("fun", "x"), list(FUNCTIONS.values()), ids=list(FUNCTIONS))
def test_every_lane_takes_its_own_way(fun, x):
    if fun is FUNCTIONS["numbers"][0]:
        np.testing.assert_array_equal(volta.vmap(fun)(x), np.where(x > 0, 1, -1))
    else:
        assert_is_loop(fun, x)


def test_bisection_of_many_lanes_is_the_loop_bit_for_bit():
    c = rng.uniform(1, 50, size=200)
    assert_is_loop(bisected, c, np.zeros(200), rng.uniform(50, 100, size=200), calls=1)


def test_lanes_that_leave_a_loop_one_by_one():
    def halved(x):
        steps = 0
        while steps < 60 and x > 1.0:
            x, steps = x / 2, steps + 1
        return x, F.zeros_like(x) + steps

    assert_is_loop(halved, 2.0 ** np.arange(40), calls=2)


def test_each_branch_is_computed_for_its_own_lanes_once(monkeypatch):
    seen = []

    def spied(name):
        kernel = getattr(F, name).primitive.kernels[np.ndarray]

        def spy(x):
            seen.append((name, len(x)))
            return kernel(x)

        monkeypatch.setitem(getattr(F, name).primitive.kernels, np.ndarray, spy)

    def fun(x):
        y = F.exp(x)
        y = F.sinh(y) if x > 0 else F.cosh(y)
        return F.tanh(y)

    F.exp(X), F.sinh(X), F.cosh(X), F.tanh(X)  # so that there are kernels
    for name in ("exp", "sinh", "cosh", "tanh"):
        spied(name)
    mapped = volta.vmap(fun)
    mapped(X)
    ours = [("exp", 5), ("cosh", 2), ("tanh", 2), ("sinh", 3), ("tanh", 3)]
    assert seen == [("exp", 5), *ours]  # the first call in which lanes part begins again
    seen.clear()
    mapped(X)
    assert seen == ours


def test_equal_lanes_stay_together():
    calls = []
    mapped = volta.vmap(lambda x: calls.append(1) or (x if x > 0 else -x))
    np.testing.assert_array_equal(mapped(np.asarray([1.0, 2.0])), [1.0, 2.0])
    np.testing.assert_array_equal(mapped(np.full(3, np.nan)), np.full(3, np.nan))
    assert len(calls) == 2


def test_rows_are_equal_with_nan_and_with_both_zeros():
    groups = []

    def fun(x):
        found = F.unique_values(x)
        groups.append(found.shape[0])
        return F.sum(x) * 0 + 1.0

    x = np.asarray([[0.0, np.nan], [-0.0, np.nan], [1.0, 1.0], [0.0, -np.nan]])
    assert volta.vmap(fun)(x).shape == (4,)
    assert groups == [2, 1]


@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_other_libraries(library):
    xp = pytest.importorskip(library)
    found = volta.vmap(lambda r: bent(F.sum(r)) + sized(r))(xp.asarray(ROWS))
    assert type(found) is type(xp.asarray(ROWS))
    wanted = looped(lambda r: bent(F.sum(r)) + sized(r), ROWS)
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-12)


def test_half_precision_rows_of_torch():
    torch = pytest.importorskip("torch")
    x = torch.asarray([[1.0, 2.0], [1.0, 1.0]], dtype=torch.bfloat16)
    found = volta.vmap(lambda r: F.unique_values(r).shape[0] + r[0] * 0)(x)
    assert found.tolist() == [2.0, 1.0]


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 5, 6, 7])
def test_chunks_of_lanes_that_part(chunk_size):
    found = volta.vmap(sized, chunk_size=chunk_size)(ROWS)
    np.testing.assert_array_equal(found, looped(sized, ROWS))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_where_the_axis_goes(axis):
    found = volta.vmap(written, out_axes=axis)(X)
    np.testing.assert_array_equal(found, np.moveaxis(looped(written, X), 0, axis))


# Under other transforms ---------------------------------------------------------------------------

SMOOTH = {
    "if": bent,
    "boolean index": lambda x: F.sum(volta.lift(F.stack([x, x * x]))[F.stack([x, x]) > 0] ** 2),
    "nested": lambda x: both(x)["z"][0] * x,
    "write": lambda x: F.sum(written(x) ** 2),
    "loop": lambda x: counted(F.sin(x) * 4) * x,
}
smooth = pytest.mark.parametrize("fun", list(SMOOTH.values()), ids=list(SMOOTH))


@smooth
def test_grad_of_vmap(fun):
    def total(x):
        return F.sum(volta.vmap(fun)(x) ** 2)

    found = volta.grad(total)(X)
    np.testing.assert_allclose(found, 2 * looped(fun, X) * looped(volta.grad(fun), X), rtol=1e-12)
    np.testing.assert_allclose(found, slope(total, X), rtol=1e-6, atol=1e-6)


@smooth
def test_vmap_of_grad(fun):
    assert_is_loop(volta.grad(fun), X)


@smooth
def test_jvp_on_either_side(fun):
    direction = rng.normal(size=5)
    wanted = looped(volta.grad(fun), X) * direction
    out, found = volta.jvp(volta.vmap(fun), (X,), (direction,))
    np.testing.assert_array_equal(out, looped(fun, X))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    inside = volta.vmap(lambda x, t: volta.jvp(fun, (x,), (t,))[1])(X, direction)
    np.testing.assert_allclose(inside, wanted, rtol=1e-12)


@smooth
def test_second_derivatives(fun):
    wanted = looped(volta.grad(volta.grad(fun)), X)
    np.testing.assert_allclose(volta.vmap(volta.grad(volta.grad(fun)))(X), wanted, rtol=1e-12)
    outside = volta.grad(lambda x: F.sum(volta.vmap(volta.grad(fun))(x)))(X)
    np.testing.assert_allclose(outside, wanted, rtol=1e-12)
    hessian = volta.hessian(lambda x: F.sum(volta.vmap(fun)(x)))(X)
    np.testing.assert_allclose(hessian, np.diag(wanted), rtol=1e-12)


def test_results_beside_the_loss():
    def loss(x):
        return (x * x, {"sign": 1.0}) if x > 0 else (-x, {"sign": -1.0})

    grads, aux = volta.vmap(volta.grad(loss, has_aux=True))(X)
    np.testing.assert_array_equal(grads, np.where(X > 0, 2 * X, -1.0))
    np.testing.assert_array_equal(aux["sign"], np.sign(X))


inside = volta.vmap(bent)


def two_levels(row, inner=None):
    """Lanes of both axes part, the outer ones before, between and after the inner ones."""
    inner = inner or inside
    y = inner(row * 2)
    if F.sum(row) > 0:
        y = y + 1
    z = inner(y - 0.3)
    return F.sum(z) if z[0] > 0 else F.sum(z * row)


def by_hand(row):
    return two_levels(row, lambda r: F.stack([bent(r[i]) for i in range(4)]))


def made_each_time(row):
    return two_levels(row, volta.vmap(bent))


@pytest.mark.parametrize("fun", [two_levels, made_each_time])
def test_nested_vmap(fun):
    mapped = volta.vmap(fun)
    wanted = looped(by_hand, ROWS)
    for _ in range(3):
        np.testing.assert_allclose(mapped(ROWS), wanted, rtol=1e-14)
    found = volta.grad(lambda x: F.sum(volta.vmap(fun)(x) ** 2))(ROWS)
    wanted = volta.grad(lambda x: sum(by_hand(x[i]) ** 2 for i in range(6)))(ROWS)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_an_inner_vmap_that_begins_again_while_the_outer_one_repeats():
    """It is first met after the outer lanes have parted, and only then by the first group."""
    inner = volta.vmap(bent)

    def fun(row):
        return F.sum(inner(row)) if F.sum(row) > 0 else F.sum(row)

    found = volta.vmap(fun)(ROWS)
    np.testing.assert_allclose(found, looped(fun, ROWS), rtol=1e-14)
    assert_is_loop(lambda row: inner(row) + volta.vmap(bent)(row), ROWS)


def test_carried_lists_run_for_the_lanes_that_reach_them():
    def fun(row):
        if row[0] > 0:
            return volta.scan(lambda c, v: (c * v + 1, None), row[0], row)[0]
        return volta.fori_loop(0, 3, lambda i, c: c * 2, row[0])

    np.testing.assert_allclose(volta.vmap(fun)(ROWS), looped(fun, ROWS), rtol=1e-12)


def test_unmapped_arguments_are_whole_in_every_group():
    def fun(x, w):
        w[0] = w[0] + 1.0  # of a handle: what one run writes is nothing to the next
        return F.sum(w) * x if x > 0 else w[0] - x

    w = np.asarray([2.0, 3.0])
    found = volta.grad(lambda w: F.sum(volta.vmap(fun, (0, None))(X, w * 1)))(w)
    np.testing.assert_allclose(found, [X[X > 0].sum() + (X < 0).sum(), X[X > 0].sum()])


# Writes to what is outside ------------------------------------------------------------------------


def test_an_unmapped_array_is_new_in_every_run():
    def fun(v, b):
        b[0] += 1.0
        b += 1.0
        return v * b[0] if v > 1 else b[0] * v

    w = np.zeros(1)
    for x in (X, X[:1]):
        np.testing.assert_array_equal(volta.vmap(fun, in_axes=(0, None))(x, w), 2 * x)
    np.testing.assert_array_equal(w, [0.0])


def test_an_unmapped_array_is_returned_as_it_is():
    w = np.zeros(2)
    mapped = volta.vmap(lambda v, w: (v if v > 1 else -v, w), (0, None), (0, None))
    assert mapped(X, w)[1] is w


@pytest.mark.parametrize("options", [{}, {"chunk_size": 2}])
@pytest.mark.parametrize("traced", [False, True])
def test_a_write_to_an_array_outside_happens_once(options, traced):
    def outer(x):
        buf = x[:1] * 1 if traced else F.zeros(1, dtype=F.float64)
        part = buf[:]

        def fun(v):
            buf[0] = buf[0] + 1.0
            y = v * part[0]
            part[:] = part * 2
            return y * buf[0] if v > 1 else buf[0] * y

        return F.sum(volta.vmap(fun, **options)(x)) + buf[0]

    def straight(x):
        b = x[0] + 1 if traced else F.ones((), dtype=F.float64)
        return F.sum(x * b * b * 2) + b * 2

    found, wanted = volta.value_and_grad(outer)(X), volta.value_and_grad(straight)(X)
    volta.testing.assert_close(found, wanted)


def test_lanes_that_parted_must_not_write_to_an_array_outside():
    buf = volta.lift(np.zeros(1))

    def fun(v):
        if v > 1:
            buf[0] = 1.0
        return v

    message = (
        r"^vmap\(fun\): writes to an array that outlives the function must be done by all lanes "
        r"together, before they part; got one at test_lanes\.py:\d+ by 2 of 5, parted by bool at "
        r"test_lanes\.py:\d+\. Pass the array as an argument and return it, or write outside\."
    )
    with pytest.raises(volta.TraceError, match=message):
        volta.vmap(fun)(X)


def test_a_run_that_does_not_write_what_others_did():
    cache = []

    def fun(v):
        if not cache:
            table = F.zeros(1, dtype=F.float64)
            table[0] = 2.0
            cache.append(table)
        return v * cache[0][0] if v > 1 else v

    with pytest.raises(volta.TraceError, match=r"before they part; got none by 3 of 5"):
        volta.vmap(fun)(X)


def test_arrays_made_and_returned_by_lanes_that_parted_are_their_own():
    def fun(v):
        out, again = F.zeros(2, dtype=F.float64), F.zeros(2, dtype=F.float64)
        again[0] = 3.0
        if v > 1:
            out[0] = 2.0
            again[1] = 1.0
        return out, again

    assert_is_loop(fun, X)


# Errors -------------------------------------------------------------------------------------------


def test_the_error_of_one_lane_leaves_nothing_behind():
    def fun(x):
        if x > 2.5:
            msg = "too large"
            raise RuntimeError(msg)
        return x if x > 0 else -x

    mapped = volta.vmap(fun)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="too large") as caught:
            mapped(X)
        assert caught.value.__context__ is None
        assert context.RUNNING.get() == 0
        assert context.AXES.get() == ()
    np.testing.assert_array_equal(mapped(X[:2]), [1.0, 2.0])


def test_errors_that_the_function_handles_happen_again():
    def fun(x):
        try:
            F.add(x, np.ones(7))
        except volta.BroadcastError:
            x = x * 3
        return F.sum(x) if x[0] > 0 else x[0]

    assert_is_loop(fun, ROWS)


def test_functions_that_handle_everything():
    """Parting is no error, and a function that takes it for one does not matter."""

    def fun(x):
        y = x * 2
        try:
            return y if y > 0 else -y
        except BaseException as error:
            raise ValueError from error

    def silent(x):
        try:
            return x if x > 0 else -x
        except BaseException:
            return x

    np.testing.assert_array_equal(volta.vmap(fun)(X), np.abs(2 * X))
    np.testing.assert_array_equal(volta.vmap(silent)(X), np.abs(X))


def changing(*operations):
    """Function that does another operation each time it is called."""
    todo = list(operations)

    def fun(x):
        y = todo.pop(0)(x)
        return y if x > 0 else -y

    return fun


def test_a_function_that_does_something_else_the_next_time():
    message = (
        r"^vmap\(fun\): the function must do the same whenever it runs, because it runs again for "
        r"each group of lanes that part; got exp at test_lanes\.py:\d+ the first time, and sin at "
        r"test_lanes\.py:\d+ the next\. Pass what varies from call to call as an argument\."
    )
    with pytest.raises(volta.TraceError, match=message):
        volta.vmap(changing(F.exp, F.exp, F.sin, F.exp))(X)


@pytest.mark.parametrize("made", [float, np.asarray, volta.lift, "array_api_strict", "torch"])
def test_numbers_that_differ_the_next_time(made):
    x = X
    if isinstance(made, str):
        made = pytest.importorskip(made).asarray
        x = made(X)
    draw = np.random.default_rng(0)

    def fun(x):
        y = x * made(draw.uniform(1, 2))
        return y if y > 0 else -y

    message = (
        r"got multiply at test_lanes\.py:\d+ the first time, and multiply with other numbers at "
        r"test_lanes\.py:\d+ the next"
    )
    with pytest.raises(volta.TraceError, match=message):
        volta.vmap(fun)(x)


def test_indices_that_differ_the_next_time():
    calls = []

    def fun(row):
        calls.append(1)
        y = row[len(calls) - 1]
        return y if row[0] > 0 else -y

    with pytest.raises(
        volta.TraceError, match="the first time, and basic_slice with other numbers"
    ):
        volta.vmap(fun)(ROWS)


def test_numbers_that_are_the_same_the_next_time():
    def fun(x):
        y = x * np.nan + F.where(x > 0, np.nan, -0.0) + np.asarray([1.0, np.nan])
        return F.sum(y) if x > 0 else x

    assert_is_loop(fun, X)


def test_a_function_that_ends_before_it_did():
    calls = []

    def fun(x):
        calls.append(1)
        return x if len(calls) > 2 or x > 0 else -x

    message = r"got greater at test_lanes\.py:\d+ the first time, and its end the next"
    with pytest.raises(volta.TraceError, match=message):
        volta.vmap(fun)(X)


@pytest.mark.parametrize(
    ("fun", "error", "message"),
    [
        (
            lambda x: {"a": x[x > 0]},
            volta.ShapeError,
            r"all lanes must return one shape; got \(\d,\) and \(\d,\) at result\['a'\]\.",
        ),
        (
            lambda x: x if x[0] > 0 else (x, x),
            volta.ShapeError,
            r"all lanes must return one structure; got PyTreeSpec.* and PyTreeSpec.*\.",
        ),
        (
            lambda x: "left" if x[0] > 0 else x,
            volta.DTypeError,
            r"every leaf must be an array or a number; got str\.",
        ),
    ],
)
def test_results_of_lanes_that_parted_must_fit_together(fun, error, message):
    with pytest.raises(error, match=rf"^vmap\(<lambda>\): {message}"):
        volta.vmap(fun)(ROWS)


def test_results_without_the_axis_must_be_one():
    same = np.arange(2.0)
    assert volta.vmap(lambda x: bool(x > 0) and same, out_axes=None)(X[1:3]) is same
    assert volta.vmap(lambda x: bool(x > 0) * 0 + 2, out_axes=None)(X) == 2
    assert volta.vmap(lambda x: (bool(x > 0), same)[1], out_axes=None)(X) is same
    message = "out_axes must be an int for a result that each group of lanes makes; got None"
    with pytest.raises(ValueError, match=message):
        volta.vmap(lambda x: 1 if x > 0 else 2, out_axes=None)(X)
    with pytest.raises(ValueError, match="out_axes must be an int for a batched result; got None"):
        volta.vmap(bent, out_axes=None)(X)


def test_staged_reads_still_raise():
    with pytest.raises(volta.TraceError, match="needs a concrete value; got an array traced by"):
        volta.trace(volta.vmap(bent))(X)
