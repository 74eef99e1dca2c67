"""Programs that assign into arrays: as NumPy, and with gradients equal to finite differences."""

import numpy as np
import pytest

import volta
import volta.functional as F

pytestmark = pytest.mark.core

# Four programs that users of HIPS autograd asked for ------------------------------------------
#
# Written as they were there, but for `np.zeros` and its kin, which come from `xp`.


def matrix_of_an_objective(xp, theta):
    """Entries of a matrix computed one by one (HIPS autograd, issue 58)."""
    n = 3
    a = xp.zeros((n, n))
    for i in range(n):
        for j in range(n):
            a[i, j] = xp.exp(-((theta[i] - theta[j]) ** 2)) + (i == j)
    return xp.sum(xp.linalg.inv(a) @ theta)


def recurrence(xp, theta):
    """A trajectory in which each state is written from the one before (issue 177)."""
    steps = 6
    x = xp.zeros((steps, 3))
    x[0, :] = theta
    for t in range(1, steps):
        x[t, :] = x[t - 1, :] + 0.1 * xp.sin(x[t - 1, ::-1])
        x[t, 0] *= 0.5
    return xp.sum(x[-1] ** 2) + xp.sum(x[::2, 1])


def padded_convolution(xp, theta):
    """A signal set into zeros, and summed over windows (issue 556)."""
    signal = xp.zeros(7)
    signal[2:5] = theta**2
    out = xp.zeros(5)
    for i in range(5):
        out[i] = xp.sum(signal[i : i + 3] * xp.asarray([0.25, 0.5, 0.25]))
    return xp.sum(out**2)


def masked_update(xp, theta):
    """Elements chosen by a mask, and others by their indices (issue 559)."""
    y = xp.zeros((2, 3))
    y[0] = theta
    y[1, [0, 2]] = theta[1] * theta[:2]
    y[y > 1.0] = 1.0
    y[:, 1] += xp.cumulative_sum(theta)[:2]
    return xp.sum(y * xp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))


HIPS = [matrix_of_an_objective, recurrence, padded_convolution, masked_update]
THETA = np.asarray([0.3, -0.7, 1.2])


def differences(fun, x, step=1e-6):
    """Central differences of a function of one array."""
    found = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[i] = step
        found[i] = (fun(x + e) - fun(x - e)) / (2 * step)
    return found


@pytest.mark.grad_check
@pytest.mark.parametrize("program", HIPS, ids=lambda p: p.__name__)
def test_the_programs_of_autograds_users(program):
    with volta.default_dtype(F.float64):
        value, grads = volta.value_and_grad(lambda t: program(F, t))(THETA)
        wanted = differences(lambda t: program(np, t), THETA)
        tangent = volta.jvp(lambda t: program(F, t), (THETA,), (np.ones(3),))[1]
        lanes = volta.vmap(volta.grad(lambda t: program(F, t)))(np.stack([THETA, THETA]))
        again = volta.grad(volta.checkpoint(lambda t: program(F, t)))
        staged = again(THETA) if program is not masked_update else grads
    np.testing.assert_allclose(value, program(np, THETA), rtol=1e-12)
    np.testing.assert_allclose(grads, wanted, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(tangent, np.sum(wanted), rtol=1e-6)
    np.testing.assert_allclose(lanes, [wanted, wanted], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(staged, grads, rtol=1e-12)


def made_outside(theta):
    for i in range(3):
        OUTSIDE[i] = theta[i] ** 2
    return F.sum(OUTSIDE)


def made_outside_by_slices(theta):
    OUTSIDE[:2] = theta[:2]
    return F.sum(OUTSIDE)


def made_outside_by_mask(theta):
    OUTSIDE[np.asarray([True, False, True])] = theta[:2]
    return F.sum(OUTSIDE)


def made_outside_in_place(theta):
    global OUTSIDE
    OUTSIDE += theta
    return F.sum(OUTSIDE)


OUTSIDE = np.zeros(3)
FOREIGN = {  # and the line after the function's first that is to be named
    made_outside: 2,
    made_outside_by_slices: 1,
    made_outside_by_mask: 1,
    made_outside_in_place: 2,
}


@pytest.mark.parametrize("program", FOREIGN, ids=lambda p: p.__name__)
@pytest.mark.parametrize(
    "transform",
    [
        volta.grad,
        lambda f: lambda x: volta.jvp(f, (x,), (x,)),
        lambda f: lambda x: volta.vmap(f)(np.stack([x, 2 * x])),
        volta.trace,
        lambda f: volta.grad(volta.checkpoint(f)),
        lambda f: lambda x: volta.scan(lambda c, _: (c, f(c)), x, None, length=2),
    ],
    ids=["grad", "jvp", "vmap", "trace", "checkpoint", "scan"],
)
def test_arrays_that_numpy_made_outside_are_refused(transform, program):
    line = program.__code__.co_firstlineno + FOREIGN[program]
    with pytest.raises(volta.TraceError) as caught:
        transform(program)(THETA)
    assert f"test_assignment.py:{line}" in str(caught.value)
    assert "F.zeros" in str(caught.value)
    np.testing.assert_array_equal(OUTSIDE, np.zeros(3))


# Reads after writes -------------------------------------------------------------------------------


def read_after_write(xp, x):
    y = x + 0.0
    y[1] = y[0] * 2.0
    y[0] = y[1] + y[2]
    return y


def write_through_a_slice(xp, x):
    y = x + 0.0
    part = y[1:]
    part[0] = 5.0 * y[0]
    return y * part[0]


def slice_sees_a_write_to_its_base(xp, x):
    y = x + 0.0
    part = y[1:]
    y[2] = y[0] ** 2
    return xp.sum(part) * y


def slice_of_a_slice(xp, x):
    y = x + 0.0
    inner = y[1:][1:]
    inner[0] = y[0]
    y[0] = 3.0 * inner[0]
    return y


def in_place_operators(xp, x):
    y = x + 0.0
    y *= y[0]
    y[1:] -= y[0]
    y[0] **= 2
    y /= 1.0 + y[2] ** 2
    return y


def overlapping_slices(xp, x):
    y = x + 0.0
    y[1:] = y[:-1]
    y[:-1] += y[1:] * 2.0
    return y


def reversed_slice(xp, x):
    y = x + 0.0
    back = y[::-1]
    back[0] = 7.0 * x[1]
    return y + back


def masks_and_indices(xp, x):
    y = x + 0.0
    y[xp.asarray([True, False, True])] = x[1] * x[:2]
    y[xp.asarray([2, 0])] += y[xp.asarray([1, 1])]
    return y


def broadcast_into_rows(xp, x):
    y = xp.zeros((2, 3))
    y[...] = x
    y[1] = x[0]
    y[:, 0] = x[1:] * y[0, 2]
    return xp.sum(y, axis=0)


def created_inside(xp, x):
    y = xp.zeros_like(x)
    for i in range(3):
        y[i] = xp.sum(x[: i + 1])
    return y


def input_is_not_written_to(xp, x):
    y = xp.asarray(x, copy=True)
    y[0] = 0.0
    return y + x


def copies_do_not_follow(xp, x):
    y = x + 0.0
    z = y.copy()
    y[0] = 9.0 * x[2]
    return z * y


PROGRAMS = [
    read_after_write,
    write_through_a_slice,
    slice_sees_a_write_to_its_base,
    slice_of_a_slice,
    in_place_operators,
    overlapping_slices,
    reversed_slice,
    masks_and_indices,
    broadcast_into_rows,
    created_inside,
    input_is_not_written_to,
    copies_do_not_follow,
]
X = np.asarray([0.5, -1.5, 2.0])
ONE = np.asarray(1.0)
RUNS = {
    "grad": lambda f, x: volta.vjp(f, x)[0],
    "jvp": lambda f, x: volta.jvp(f, (x,), (x,))[0],
    "vmap": lambda f, x: volta.vmap(f)(np.stack([x, 2.0 * x]))[0],
    "trace": lambda f, x: volta.trace(f)(x)(x),
    "vmap of grad": lambda f, x: volta.vmap(lambda v: volta.vjp(f, v)[0])(np.stack([x, x]))[1],
    "checkpoint": lambda f, x: volta.vjp(volta.checkpoint(f), x)[0],
    "scan": lambda f, x: volta.scan(lambda c, k: (c, f(k)), ONE, np.stack([x, x]))[1][1],
    "cond": lambda f, x: volta.cond(ONE > 0, f, lambda v: v, x),
    "while_loop": lambda f, x: volta.while_loop(
        lambda c: c[0] < 1, lambda c: (c[0] + 1, f(c[1])), (0, x)
    )[1],
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_programs_do_what_numpy_does(program, run):
    with volta.default_dtype(F.float64):
        found = RUNS[run](lambda x: program(F, x), X.copy())
    np.testing.assert_allclose(found, program(np, X.copy()), rtol=1e-12)


@pytest.mark.grad_check
@pytest.mark.parametrize("body", ["eager", "checkpoint", "scan", "cond"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_their_gradients_equal_differences(program, body):
    weights = np.asarray([1.0, -2.0, 0.5])

    def loss(x):
        fun = {
            "eager": lambda x: program(F, x),
            "checkpoint": volta.checkpoint(lambda x: program(F, x)),
            "scan": lambda x: volta.scan(lambda c, _: (c, program(F, c)), x, None, length=1)[1][0],
            "cond": lambda x: volta.cond(x[0] > -9.0, lambda x: program(F, x), lambda x: x, x),
        }[body]
        return F.sum(weights * fun(x))

    with volta.default_dtype(F.float64):
        grads = volta.grad(loss)(X)
    wanted = differences(lambda x: float(np.sum(weights * program(np, x.copy()))), X)
    np.testing.assert_allclose(grads, wanted, rtol=1e-6, atol=1e-7)


# Where memory is shared in a way that a handle cannot follow --------------------------------------


def write_to_a_reshaped_base(xp, x):
    y = x + 0.0
    column = xp.reshape(y, (3, 1))
    y[0] = 4.0
    return xp.sum(column) + y


def write_to_a_reshaped_view(xp, x):
    y = x + 0.0
    column = xp.reshape(y, (3, 1))
    column[0] = 4.0
    return y


def write_to_a_transpose(xp, x):
    y = xp.broadcast_to(x, (2, 3)) + 0.0
    turned = y.T
    turned[0] = 4.0
    return y[0]


def write_to_an_expanded_view(xp, x):
    y = x + 0.0
    row = xp.expand_dims(y, axis=0)
    y[1] = 4.0
    return row[0]


SHARING = {
    write_to_a_reshaped_base: 4,
    write_to_a_reshaped_view: 3,
    write_to_a_transpose: 3,
    write_to_an_expanded_view: 4,
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("program", SHARING, ids=lambda p: p.__name__)
def test_what_cannot_be_followed_is_refused_with_its_line(program, run):
    line = program.__code__.co_firstlineno + SHARING[program]
    with pytest.raises(volta.TraceError, match=rf"test_assignment\.py:{line}"):
        RUNS[run](lambda x: program(F, x), X.copy())
