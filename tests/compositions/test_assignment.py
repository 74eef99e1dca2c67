"""Programs that assign into arrays: as NumPy, and with gradients equal to finite differences."""

import numpy as np
import pytest

import volta
import volta.functional as F

pytestmark = pytest.mark.core

# Four programs that users of HIPS autograd asked for ------------------------------------------
#
# They compute what those in the issues do, by NumPy's functions on traced arrays; the arrays that
# they assign into are of `xp`: NumPy, or Volta's functions.


def block(xp, a):
    """A matrix set into a corner of a larger one (issue 58)."""
    out = xp.zeros((4, 4))
    out[:2, :2] = a
    return out.sum()


def row_by_row(xp, rows):
    """Results stored one by one (issue 177)."""
    out = xp.zeros(5)
    for i in range(5):
        out[i] = np.sum(rows[i] * rows[0])
    return np.sum(out)


def conjugate_gradients(a, b, x, tolerance, most):
    residual = b - a @ x
    direction = residual + 0.0
    x = x + 0.0
    count = 0
    while count <= min(most, a.shape[0]):
        along = a @ direction
        x = x + np.dot(direction, residual) / np.dot(direction, along) * direction
        residual = b - a @ x
        if np.linalg.norm(residual) < tolerance:
            return x
        direction = residual - np.dot(along, residual) / np.dot(direction, along) * direction
        count += 1
    return x


def column_by_column(xp, weights):
    """Solutions, by a loop that stops where it has converged, in columns (issue 556)."""
    incidence = np.cos(np.arange(12.0) ** 2).reshape(4, 3)
    right = np.sin(np.arange(6.0)).reshape(3, 2)
    x = xp.zeros((3, 2))
    m = incidence.T @ np.diag(weights) @ incidence
    for z in range(2):
        x[:, z] = conjugate_gradients(m, right[:, z], np.zeros(3), 1e-10, 20)
    return np.sum((np.diag(weights) @ incidence @ x) ** 2)


def patch(xp, b):
    """A patch, flattened and back, written into a grid (issue 559)."""
    a = xp.ones((7, 7))
    a[2:5, 3:6] = b.flatten().reshape((3, 3))
    return np.sum(a**2 * np.arange(7.0))


HIPS = {
    block: np.asarray([[0.4, -1.1], [2.0, 0.3]]),
    row_by_row: np.cos(np.arange(15.0)).reshape(5, 3),
    column_by_column: np.asarray([0.7, 1.3, 2.0, 0.9]),
    patch: 2.0 * np.ones((3, 3)) + np.arange(3.0),
}


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
    x = HIPS[program]
    with volta.default_dtype(F.float64):
        value, grads = volta.value_and_grad(lambda x: program(F, x))(x)
        jacobian = volta.jacrev(lambda x: program(F, x))(x)
        tangent = volta.jvp(lambda x: program(F, x), (x,), (np.ones_like(x),))[1]
        lanes = volta.vmap(volta.grad(lambda x: program(F, x)))(np.stack([x, x]))
    wanted = differences(lambda x: program(np, x), x)
    np.testing.assert_allclose(value, program(np, x), rtol=1e-12)
    np.testing.assert_allclose(grads, wanted, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(jacobian, grads, rtol=1e-12)
    np.testing.assert_allclose(tangent, np.sum(wanted), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(lanes, [grads, grads], rtol=1e-12)


def test_the_one_that_assigns_into_an_array_made_outside_is_refused():
    a = np.ones((7, 7))

    def objective(b):
        a[2:5, 3:6] = b.flatten().reshape((3, 3))
        return np.sum(a)

    line = objective.__code__.co_firstlineno + 1
    with pytest.raises(volta.TraceError, match=rf"(?s)test_assignment\.py:{line}.*F\.zeros"):
        volta.jacrev(objective)(2.0 * np.ones((3, 3)))
    np.testing.assert_array_equal(a, np.ones((7, 7)))


# Longer programs ----------------------------------------------------------------------------------


def matrix_of_an_objective(xp, theta):
    """Entries of a matrix computed one by one."""
    n = 3
    a = xp.zeros((n, n))
    for i in range(n):
        for j in range(n):
            a[i, j] = xp.exp(-((theta[i] - theta[j]) ** 2)) + (i == j)
    return xp.sum(xp.linalg.inv(a) @ theta)


def recurrence(xp, theta):
    """A trajectory in which each state is written from the one before."""
    steps = 6
    x = xp.zeros((steps, 3))
    x[0, :] = theta
    for t in range(1, steps):
        x[t, :] = x[t - 1, :] + 0.1 * xp.sin(x[t - 1, ::-1])
        x[t, 0] *= 0.5
    return xp.sum(x[-1] ** 2) + xp.sum(x[::2, 1])


def padded_convolution(xp, theta):
    """A signal set into zeros, and summed over windows."""
    signal = xp.zeros(7)
    signal[2:5] = theta**2
    out = xp.zeros(5)
    for i in range(5):
        out[i] = xp.sum(signal[i : i + 3] * xp.asarray([0.25, 0.5, 0.25]))
    return xp.sum(out**2)


def masked_update(xp, theta):
    """Elements chosen by a mask, and others by their indices."""
    y = xp.zeros((2, 3))
    y[0] = theta
    y[1, [0, 2]] = theta[1] * theta[:2]
    y[y > 1.0] = 1.0
    y[:, 1] += xp.cumulative_sum(theta)[:2]
    return xp.sum(y * xp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))


LONGER = [matrix_of_an_objective, recurrence, padded_convolution, masked_update]
THETA = np.asarray([0.3, -0.7, 1.2])


@pytest.mark.grad_check
@pytest.mark.parametrize("program", LONGER, ids=lambda p: p.__name__)
def test_longer_programs(program):
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
