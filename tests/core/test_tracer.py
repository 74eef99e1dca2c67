"""What code may do with a traced array: the contract of the one handle class."""

import copy
import gc
import operator
import pickle

import array_api_compat
import array_api_strict as strict
import numpy as np
import pytest
from programs import PROGRAMS, random_program
from strategies import LINE

import volta
import volta.functional as F
from volta.core.tracer import Tracer

pytestmark = pytest.mark.core

X = np.asarray([1.0, 2.0, 3.0])
M = np.random.default_rng(0).random((4, 3))


def inside(look, x=X):
    """`look`'s result on `x` while grad traces it."""
    found = []
    volta.grad(lambda t: found.append(look(t)) or F.sum(t))(x)
    return found[0]


# Reading concrete values -------------------------------------------------------------------------

READS = {
    "bool": lambda x: bool(x[0]),
    "int": lambda x: int(x[1]),
    "compare": lambda x: "more" if x[2] > 2 else "less",
    "not": lambda x: not x[0],
    "max": lambda x: float(volta.stop_gradient(max(x))),
    "index": lambda x: ["a", "b", "c"][F.argmax(x)],
    "range": lambda x: list(range(F.argmax(x))),
    "slice": lambda x: x[: F.argmax(x)].shape,
    "while": lambda x: _halvings(x[2]),
}
WANTED = {
    "bool": True,
    "int": 2,
    "compare": "more",
    "not": False,
    "max": 3.0,
    "index": "c",
    "range": [0, 1],
    "slice": (2,),
    "while": 2,
}


def _halvings(v):
    n = 0
    while v > 1:
        v, n = v / 2, n + 1
    return n


reads = pytest.mark.parametrize("read", list(READS), ids=list(READS))


@reads
def test_reads_of_values_under_grad(read):
    assert inside(READS[read]) == WANTED[read]


@reads
def test_reads_of_values_under_jvp(read):
    found = []
    volta.jvp(lambda x: found.append(READS[read](x)) or x, (X,), (X,))
    assert found == [WANTED[read]]


@reads
def test_reads_of_values_under_grad_of_jvp(read):
    found = []

    def look(x):
        return F.sum(volta.jvp(lambda y: found.append(READS[read](y)) or y, (x,), (x,))[0])

    volta.grad(look)(X)
    assert found == [WANTED[read]]


OTHER = np.asarray([-3.0, 5.0, 0.0])  # a lane that every read finds different from X


@reads
def test_no_reads_of_values_under_vmap_where_lanes_differ(read):
    message = (
        r"needs one concrete value; got an array batched by vmap\(<lambda>\) at \w+\.py:\d+, whose "
        r"lanes differ\. Use functional\.where to choose between values, or on_branch='split'\."
    )
    with pytest.raises(volta.TraceError, match=message):
        volta.vmap(lambda x: READS[read](x) and x, on_branch="raise")(np.stack([X, OTHER]))


@pytest.mark.parametrize("read", [r for r in READS if r != "max"])  # float raises on traced arrays
def test_reads_of_values_that_all_lanes_share(read):
    found = []
    volta.vmap(lambda x: found.append(READS[read](x)) or x)(np.stack([X, X]))
    assert found == [WANTED[read]]


def test_lanes_share_nan():
    found = []
    volta.vmap(lambda x: found.append(bool(x)) or x)(np.full(2, np.nan))
    assert found == [True]


def test_no_lane_has_no_value():
    with pytest.raises(volta.TraceError, match=r"^bool: needs one .*, which has no lanes\."):
        volta.vmap(lambda x: bool(x) and x)(np.zeros(0))


@reads
def test_no_reads_of_values_while_staging(read):
    message = (
        r"needs a concrete value; got an array traced by trace\(<lambda>\) at \w+\.py:\d+\. "
        r"Use functional\.where to choose between values\.$"
    )
    if read == "max":
        message = "needs a concrete value|would cut the array off"
    with pytest.raises(volta.TraceError, match=message):
        volta.trace(lambda x: READS[read](x) and x)(X)


@pytest.mark.parametrize("outer", ["grad", "jvp"])
def test_no_reads_through_a_vmap_below(outer):
    def look(x):
        return x if x[0] > 0 else -x

    under = {
        "grad": lambda x: volta.grad(lambda y: F.sum(look(y)))(x),
        "jvp": lambda x: volta.jvp(look, (x,), (x,)),
    }[outer]
    with pytest.raises(volta.TraceError, match=r"^bool: needs one concrete value.* vmap"):
        volta.vmap(under, on_branch="raise")(np.stack([X, OTHER]))


def test_the_message_of_a_read_names_what_was_asked_and_where():
    def asks(x):
        return x if x else -x

    line = asks.__code__.co_firstlineno + 1
    with pytest.raises(volta.TraceError) as caught:
        volta.trace(asks)(np.asarray(1.0))
    assert str(caught.value) == (
        "bool: needs a concrete value; got an array traced by trace(asks) at "
        f"test_tracer.py:{line}. Use functional.where to choose between values."
    )


def test_a_bool_of_several_elements_is_numpys_error():
    with pytest.raises(ValueError, match="truth value of an array"):
        inside(lambda x: bool(x))


# Conversions that would lose the derivative ------------------------------------------------------

CONVERSIONS = {
    "float": lambda x: float(x[0]),
    "complex": lambda x: complex(x[0]),
    "item": lambda x: x[0].item(),
    "numpy.asarray": lambda x: np.asarray(x),
    "numpy.array": lambda x: np.array(x, dtype=np.float32),
    "numpy.array of a list": lambda x: np.array([x[0], x[1]]),
    "numpy.float64": lambda x: np.float64(x[0]),
    "__array__": lambda x: x.__array__(),
    "__dlpack__": lambda x: x.__dlpack__(),
    "__dlpack_device__": lambda x: x.__dlpack_device__(),
    "from_dlpack": lambda x: np.from_dlpack(x),
    "math": lambda x: __import__("math").sin(x[0]),
    "slice of an array that numpy made": lambda x: np.zeros(3).__setitem__(slice(None), x),
    "integers of an array that numpy made": lambda x: np.zeros(3).__setitem__([0, 1], x[:2]),
    "strict": lambda x: strict.from_dlpack(x),
}
ENTER = {
    "grad": lambda f: volta.grad(f)(X),
    "jvp": lambda f: volta.jvp(f, (X,), (X,)),
    "vmap": lambda f: volta.vmap(f)(np.stack([X, X])),
    "trace": lambda f: volta.trace(f)(X),
}


@pytest.mark.parametrize("enter", list(ENTER.values()), ids=list(ENTER))
@pytest.mark.parametrize("convert", list(CONVERSIONS.values()), ids=list(CONVERSIONS))
def test_conversions_raise_on_a_traced_array(enter, convert):
    message = (
        r"would cut the array off from \w+\(<lambda>\), silently losing its derivative; got a "
        r"traced array at \w+\.py:\d+\. Apply volta\.stop_gradient first if that is meant, or use "
        r"the function of volta\.functional\."
    )
    with pytest.raises(volta.TraceError, match=message):
        enter(lambda x: convert(x))


@pytest.mark.parametrize(
    "convert", [c for n, c in CONVERSIONS.items() if n not in ("strict", "__dlpack__")]
)
def test_conversions_of_a_constant_are_free(convert):
    inside(lambda x: convert(volta.stop_gradient(x)))
    inside(lambda x: convert(F.ones(3)))


def test_conversions_name_the_users_line():
    def converts(x):
        return float(x[0])

    line = converts.__code__.co_firstlineno + 1
    with pytest.raises(volta.TraceError) as caught:
        volta.grad(converts)(X)
    assert str(caught.value) == (
        "float: would cut the array off from grad(converts), silently losing its derivative; got "
        f"a traced array at test_tracer.py:{line}. Apply volta.stop_gradient first if that is "
        "meant, or use the function of volta.functional. To assign it into an array, create that "
        "array with volta.functional (F.zeros)."
    )


def test_assigning_an_element_into_an_array_that_numpy_made():
    """NumPy puts an error of its own before Volta's, which stays its cause."""

    def assigns(x):
        out = np.zeros(3)
        out[0] = x[0]
        return F.sum(out)

    with pytest.raises(volta.TraceError) as caught:  # for NumPy's own ValueError
        volta.grad(assigns)(X)
    assert f"test_tracer.py:{assigns.__code__.co_firstlineno + 2}" in str(caught.value)
    assert "create that array with volta.functional (F.zeros)" in str(caught.value)
    assert any(entry.name == "assigns" for entry in caught.traceback)


def test_in_place_operators_of_an_array_that_numpy_made():
    def adds(x):
        out = np.zeros(3)
        out += x
        return F.sum(out)

    line = adds.__code__.co_firstlineno + 2
    with pytest.raises(volta.TraceError) as caught:
        volta.grad(adds)(X)
    assert str(caught.value) == (
        "add: cannot write a traced value into an array that NumPy made; got an in-place "
        f"operation at test_tracer.py:{line}. Create the array with volta.functional (F.zeros), "
        "or write x = x + y."
    )


@pytest.mark.parametrize("name", ["as_tensor", "sin", "tensor"])
def test_torch_functions_refuse_a_traced_array(name):
    torch = pytest.importorskip("torch")
    with pytest.raises((volta.TraceError, TypeError)):
        volta.grad(lambda x: getattr(torch, name)(x))(torch.ones(3))


# Constants ---------------------------------------------------------------------------------------

CREATIONS = {
    "zeros": lambda: F.zeros(3),
    "ones": lambda: F.ones(3),
    "full": lambda: F.full(3, 2.0),
    "empty": lambda: F.empty(3),
    "arange": lambda: F.arange(3.0),
    "linspace": lambda: F.linspace(0.0, 1.0, 3),
    "eye": lambda: F.eye(3),
    "asarray of a list": lambda: F.asarray([1.0, 2.0, 3.0]),
    "asarray of an array": lambda: F.asarray(X),
    "zeros_like": lambda: F.zeros_like(X),
    "ones_like": lambda: F.ones_like(X),
    "full_like": lambda: F.full_like(X, 3.0),
    "empty_like": lambda: F.empty_like(X),
}
creations = pytest.mark.parametrize("create", list(CREATIONS.values()), ids=list(CREATIONS))


@creations
@pytest.mark.parametrize("enter", ["grad", "jvp", "vmap"])
def test_creation_gives_constants_while_a_transform_runs(create, enter):
    made = []
    ENTER[enter](lambda x: made.append(create()) or F.sum(x))
    assert type(made[0]) is Tracer
    assert made[0].trace is None
    assert type(create()) is np.ndarray


@creations
@pytest.mark.parametrize("enter", ["grad", "jvp", "vmap", "trace"])
def test_constants_accept_what_is_traced(create, enter):
    def fun(x):
        made = create()
        made[..., 0] = x[1]
        return F.sum(made * made)

    if enter == "grad":
        gradient = ENTER["grad"](fun)
        assert gradient[0] == 0
        assert gradient[1] != 0
    else:
        ENTER[enter](fun)


@creations
def test_constants_are_unwrapped_on_return(create):
    out, vjp_fn = volta.vjp(lambda x: {"made": create(), "x": x}, X)
    assert type(out["made"]) is np.ndarray
    assert vjp_fn({"made": out["made"], "x": X})[0].tolist() == X.tolist()
    assert type(volta.jvp(lambda x: create(), (X,), (X,))[0]) is np.ndarray
    assert type(volta.vmap(lambda x: create())(X)) is np.ndarray
    _, (_, extra) = volta.grad(lambda x: (F.sum(x), (1, create())), has_aux=True)(X)
    assert type(extra) is np.ndarray


@pytest.mark.grad_check
@pytest.mark.parametrize(
    ("create", "wanted"),
    [
        (lambda x: F.full(4, x[0] * x[1]), [8, 4, 0]),
        (lambda x: F.full_like(x, x[2] ** 2), [0, 0, 18]),
        (lambda x: F.full((2, 2), x[1], dtype=F.float32), [0, 4, 0]),
        (lambda x: F.asarray([x[0], 2.0, x[2] * x[2]]), [1, 0, 6]),
        (lambda x: F.asarray([[x[0], x[1]], [x[1], 1]]), [1, 2, 0]),
        (lambda x: F.asarray(x, copy=True), [1, 1, 1]),
        (lambda x: F.asarray(x, dtype=F.float32), [1, 1, 1]),
        (lambda x: F.linspace(x[0], x[2], 3), [1.5, 0, 1.5]),
        (lambda x: F.stack(F.meshgrid(x, x[:2])), [2 + 3, 2 + 3, 2]),
    ],
)
def test_creation_from_what_is_traced(create, wanted):
    gradient = volta.grad(lambda x: F.sum(F.astype(create(x), F.float64)))(X)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-6)


def test_constants_stay_wrapped_inside_an_outer_transform():
    seen = []

    def outer(x):
        _, aux = volta.grad(lambda y: (F.sum(y), F.zeros(3)), has_aux=True)(x)
        seen.append(aux)
        aux[0] = x[0]
        return F.sum(aux * x)

    np.testing.assert_array_equal(volta.grad(outer)(X), [2.0, 0.0, 0.0])
    assert type(seen[0]) is Tracer


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x > 1,
        lambda x: F.argmax(x),
        lambda x: F.floor(x),
        lambda x: x.astype(F.int64),
        lambda x: volta.stop_gradient(x),
        lambda x: F.zeros_like(x),
        lambda x: F.isfinite(x),
        lambda x: F.zeros(3) + 1,
        lambda x: F.ones(3)[:2],
        lambda x: F.reshape(F.ones(3), (3, 1)),
    ],
)
def test_what_does_not_vary_is_a_constant(make):
    assert inside(lambda x: make(x).trace is None)


def test_numpy_functions_run_on_constants_as_they_are():
    def fun(x):
        total = np.cumsum(F.ones(3, dtype=F.float64))
        total[0] = x[0]
        buffer = np.zeros(3)
        buffer += F.ones(3)
        assert np.linalg.norm(F.ones(4)) == 2
        assert np.add.reduce(F.ones(3)) == 3
        return F.sum(total * x * buffer)

    np.testing.assert_array_equal(volta.grad(fun)(X), [2.0, 2.0, 3.0])


# Item assignment, in-place operators and views: as NumPy runs the program ------------------------


def results(out):
    return out if isinstance(out, tuple) else (out,)


RUN = {
    "grad": lambda f, x: results(volta.vjp(f, x)[0]),
    "jvp": lambda f, x: results(volta.jvp(f, (x,), (x,))[0]),
    "vmap": lambda f, x: [o[1] for o in volta.vmap(lambda v: results(f(v)))(np.stack([0 * x, x]))],
    "trace": lambda f, x: results(volta.trace(f)(0 * x)(x)),
    "constant": lambda f, x: results(volta.vjp(lambda _: f(volta.lift(x.copy())), x)[0]),
    "grad of jvp": lambda f, x: results(volta.vjp(lambda v: volta.jvp(f, (v,), (v,))[0], x)[0]),
}
modes = pytest.mark.parametrize("run", list(RUN.values()), ids=list(RUN))
programs = pytest.mark.parametrize("program", list(PROGRAMS.values()), ids=list(PROGRAMS))


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12)


@modes
@programs
def test_programs_that_write_do_what_numpy_does(program, run):
    given = M.copy()
    found = run(program, given)
    same(found, results(program(M.copy())))
    np.testing.assert_array_equal(given, M)  # the caller's array is left alone


@pytest.mark.grad_check
@programs
def test_programs_that_write_differentiate(program):
    def fun(x):
        return F.concat([F.reshape(F.asarray(r), (-1,)) for r in results(program(x))])

    t = np.cos(np.arange(12.0)).reshape(4, 3)
    _, forward = volta.jvp(fun, (M,), (t,))
    step = 1e-6
    above, below = (np.asarray(fun(M + s * t)) for s in (step, -step))
    np.testing.assert_allclose(forward, (above - below) / (2 * step), rtol=1e-5, atol=1e-6)
    out, vjp_fn = volta.vjp(fun, M)
    ct = np.sin(1.0 + np.arange(out.size))
    np.testing.assert_allclose(np.sum(vjp_fn(ct)[0] * t), np.sum(ct * forward), rtol=1e-9)


@pytest.mark.parametrize("seed", range(150))
def test_drawn_programs_do_what_numpy_does_or_raise(seed):
    program = random_program(seed)
    wanted = program(M.copy())
    runs = ("grad", "vmap", "trace", "constant")
    found = []
    for name in runs:
        try:
            found.append(RUN[name](program, M))
        except volta.TraceError as error:
            found.append(str(error)[:20])
    if isinstance(found[0], str):
        assert found == [found[0]] * len(runs)  # all refuse alike
    else:
        for one in found:
            same(one, wanted)


def test_most_drawn_programs_run():
    ran = 0
    for seed in range(150):
        try:
            RUN["grad"](random_program(seed), M)
            ran += 1
        except volta.TraceError:
            pass
    assert ran > 100


@pytest.mark.parametrize("seed", range(40))
def test_drawn_programs_do_what_torch_does_or_raise(seed):
    """Torch's elements are views, and rank 0 is written to in place: a handle does as they do."""
    torch = pytest.importorskip("torch")
    program = random_program(seed, backwards=False)
    wanted = program(torch.asarray(M.copy()))
    try:
        found = volta.vjp(program, torch.asarray(M.copy()))[0]
    except volta.TraceError:
        return
    same([f.numpy() for f in found], [w.numpy() for w in wanted])


# Refusals ----------------------------------------------------------------------------------------

VIEWS = {
    "reshape": lambda x: F.reshape(x, (-1,)),
    "permute_dims": lambda x: x.T,
    "flip": lambda x: F.flip(x, axis=0),
    "broadcast_to": lambda x: F.broadcast_to(x, (2, 4, 3)),
    "unstack": lambda x: F.unstack(x)[0],
    "matrix_transpose": lambda x: x.mT,
    "moveaxis": lambda x: F.moveaxis(x, 0, 1),
    "expand_dims": lambda x: F.expand_dims(x, axis=0),
    "squeeze": lambda x: F.squeeze(x[:, :1], 1),
    "of a slice": lambda x: F.reshape(x[1:], (-1,)),
    "of a view": lambda x: F.reshape(x.T, (-1,)),
    "slice of a view": lambda x: x.T[0],
    "view of a slice of a view": lambda x: x.T[1:].T,
}
views = pytest.mark.parametrize("view", list(VIEWS.values()), ids=list(VIEWS))


@modes
@views
def test_other_views_refuse_writes_while_their_base_lives(view, run):
    def fun(x):
        v = view(x)
        v[0] = 1.0
        return x

    message = (
        r"^assignment: must not go to a view made by \w+ while its base is alive; got one at "
        r"test_tracer\.py:\d+\. Write to the base, or to a copy \(functional\.asarray\(x, "
        r"copy=True\)\)\.$"
    )
    with pytest.raises(volta.TraceError, match=message):
        run(fun, M)


@modes
@views
def test_other_views_refuse_reads_after_their_base_was_written_to(view, run):
    def fun(x):
        v = view(x)
        x[0, 0] = 1.0
        return v * 1

    message = (
        r"^\w+: its result must not be used after the array it views was written to; got such a "
        r"use at test_tracer\.py:\d+\. Take the view again after the write\.$"
    )
    with pytest.raises(volta.TraceError, match=message):
        run(fun, M)


@views
@pytest.mark.parametrize("write", ["set", "in place", "through a slice"])
def test_every_write_to_the_base_counts(view, write):
    def fun(x):
        v = view(x)
        if write == "set":
            x[0, 0] = 1.0
        elif write == "in place":
            x += 1
        else:
            part = x[2:]
            part *= 2
        return F.sum(v)

    with pytest.raises(volta.TraceError, match="must not be used after"):
        volta.grad(fun)(M)


@views
def test_returning_a_stale_view_raises_too(view):
    def fun(x):
        v = view(x)
        x[0, 0] = 1.0
        return v

    with pytest.raises(volta.TraceError, match="must not be used after"):
        volta.vjp(fun, M)


@pytest.mark.parametrize(
    "fresh",
    [
        lambda x: F.tile(x, (2, 1)),
        lambda x: F.repeat(x, 2, axis=0),
        lambda x: F.roll(x, 1, axis=0),
        lambda x: F.roll(x, 1),
        lambda x: F.concat([x, x]),
        lambda x: F.stack([x])[0],
        lambda x: F.asarray(x, copy=True),
        lambda x: x.copy(),
        lambda x: F.take(x, np.asarray([0, 1]), axis=1),
        lambda x: F.astype(x, F.float64),
        lambda x: F.where(x > 0, x, 0),
        lambda x: F.positive(x),
        lambda x: F.tril(x),
        lambda x: F.clip(x, 0.0, 9.0),
    ],
)
def test_what_numpy_copies_may_be_written_to(fresh):
    def fun(x):
        y = x * 1
        v = fresh(y)
        v[0] = 1.0
        y[1] = 2.0
        return v, y

    same(volta.vjp(fun, M)[0], fun(M.copy()))


def test_two_views_of_an_array_that_is_gone():
    def fun(x):
        y = x * 2
        a, b = y.reshape((-1,)), y.T
        del y
        a[0] = 5.0
        return b * 1

    try:
        found = volta.vjp(fun, M)[0]
    except volta.TraceError:
        return
    np.testing.assert_array_equal(found, fun(M.copy()))


@pytest.mark.parametrize(
    ("write", "error", "message"),
    [
        (lambda x: x.__iadd__(np.ones((4, 1, 3))), volta.ShapeError, r"^add: .* keep the shape"),
        (
            lambda x: x.__imul__(1j),
            volta.DTypeError,
            r"^multiply: .* must fit the dtype; got float64",
        ),
        (
            lambda x: x.__setitem__(0, np.ones(2)),
            volta.ShapeError,
            r"value must broadcast to the part written; got shapes \(2,\) and \(3,\)",
        ),
        (
            lambda x: x.__setitem__(0, np.ones((2, 3))),
            volta.ShapeError,
            "must broadcast to the part",
        ),
        (lambda x: x.__setitem__(9, 1.0), volta.DimensionError, "indices must be from -4 to 3"),
        (
            lambda x: x.__setitem__((0, 0, 0), 1.0),
            volta.DimensionError,
            "no more indices than axes",
        ),
        (lambda x: x.__setitem__([9], 1.0), volta.DimensionError, "indices must be from -4 to 3"),
        (lambda x: x.__setitem__("a", 1.0), volta.DTypeError, "a key must hold ints, slices"),
        (lambda x: x.__setitem__(0.5, 1.0), volta.DTypeError, "a key must hold ints, slices"),
        (lambda x: x.__setitem__(0, 1j * x[0]), volta.DTypeError, "value's dtype must fit"),
        (
            lambda x: x.__setitem__(slice(None, None, 0), 1.0),
            volta.DimensionError,
            "must not be zero",
        ),
        (lambda x: x.__setitem__(np.ones(3, bool), 1.0), volta.DimensionError, "a mask must have"),
    ],
)
def test_writes_that_do_not_fit(write, error, message):
    with pytest.raises(error, match=message) as caught:
        volta.grad(lambda x: (write(x), F.sum(x))[1])(M)
    assert "test_tracer.py:" in str(caught.value)


def test_in_place_on_integers_must_stay_integers():
    message = (
        r"^divide: the result of an in-place operation must fit the dtype; got int64 and float64 at"
    )
    with pytest.raises(volta.DTypeError, match=message):
        inside(lambda x: F.arange(3).__itruediv__(2))


@pytest.mark.parametrize("op", ["iadd", "isub", "imul", "itruediv", "ipow", "imod", "ifloordiv"])
def test_in_place_operators_keep_handle_and_dtype(op):
    def fun(x):
        y = x * 1
        handle = y
        y = getattr(operator, op)(y, np.asarray([1.5, 2.5, 3.5]))
        assert y is handle
        assert y.dtype == np.float32
        return F.sum(y)

    assert volta.grad(fun)(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("op", ["iand", "ior", "ixor", "ilshift", "irshift", "imatmul"])
def test_the_other_in_place_operators(op):
    a = np.asarray([[1, 2], [3, 4]])

    def fun(x):
        y = F.asarray(a, copy=True)
        handle = y
        y = getattr(operator, op)(y, np.asarray([[1, 0], [1, 2]]))
        assert y is handle
        return y

    np.testing.assert_array_equal(inside(fun), getattr(operator, op)(a.copy(), [[1, 0], [1, 2]]))


def test_in_place_on_an_immutable_library_gives_a_new_array():
    jax = pytest.importorskip("jax")

    def fun(x):
        y = x
        y += 1
        return F.sum(x * y)

    x = jax.numpy.asarray([1.0, 2.0])
    np.testing.assert_array_equal(volta.grad(fun)(x), [3.0, 5.0])


# Copies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: x.copy()])
def test_copies_are_the_same_variable_in_a_handle_of_their_own(copied):
    def fun(x):
        y = x * 2
        z = copied(y)
        assert z is not y
        z[0] = 0.0
        y[1] = 0.0
        return F.sum(y * 10 + z)

    np.testing.assert_array_equal(volta.grad(fun)(X), [20.0, 2.0, 22.0])


def test_a_copy_of_a_view_follows_nothing():
    def fun(x):
        y = x * 1
        v = copy.deepcopy(y[:2])
        y[0] = 9.0
        v[1] = 7.0
        return v, y

    same(volta.vjp(fun, X)[0], ([1.0, 7.0], [9.0, 2.0, 3.0]))


def test_deep_copies_of_structures_keep_identities():
    def fun(x):
        first, second = copy.deepcopy([x, x])
        assert first is second
        return F.sum(first * second)

    np.testing.assert_array_equal(volta.grad(fun)(X), 2 * X)


def test_traced_arrays_cannot_be_stored():
    message = (
        r"^pickle: a traced array cannot be stored; got one\. Return it from the function first\."
        + LINE
    )
    with pytest.raises(volta.TraceError, match=message):
        inside(lambda x: pickle.dumps(x))


def test_what_is_returned_is_apart_from_what_is_kept():
    def outer(x):
        out, vjp_fn = volta.vjp(F.exp, x)
        out += 1
        out[0] = 0.0
        return F.sum(vjp_fn(F.ones_like(x))[0])

    np.testing.assert_allclose(volta.grad(outer)(X), np.exp(X))


# Operators with arrays of others -----------------------------------------------------------------

ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


OTHERS = (np.asarray([1.5, 0.5, 2.0]), np.float64(1.5), np.float32(1.5), np.asarray(1.5), 1.5, 2)
MIXED = [(n, o) for n in (*ARITHMETIC, *COMPARISONS) for o in OTHERS] + [("matmul", OTHERS[0])]


@pytest.mark.parametrize(
    ("name", "other"), MIXED, ids=[f"{n} {type(o).__name__}{np.ndim(o)}" for n, o in MIXED]
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_operators_with_numpys_arrays_and_numbers(name, other, side):
    op = getattr(operator, name)

    def apply(x):
        return op(other, x) if side == "left" else op(x, other)

    seen = inside(lambda x: (type(apply(x)), apply(x).dtype))
    wanted = apply(X)
    assert seen == (Tracer, wanted.dtype)
    same(results(volta.vjp(apply, X)[0]), results(wanted))
    if name in ("add", "sub", "mul", "truediv", "pow", "matmul"):
        plain = volta.jvp(
            lambda x: op(F.asarray(other), x) if side == "left" else apply(x), (X,), (X,)
        )
        np.testing.assert_allclose(volta.jvp(apply, (X,), (X,))[1], plain[1])


@pytest.mark.parametrize("name", ["and_", "or_", "xor", "lshift", "rshift"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_operators_of_integers_and_booleans(name, side):
    op = getattr(operator, name)
    a, b = np.asarray([1, 2, 5]), np.asarray([3, 1, 2])

    def apply(x):
        c = F.asarray(b)
        return op(a, c) if side == "left" else op(c, a)

    np.testing.assert_array_equal(inside(apply), apply(None))
    if name not in ("lshift", "rshift"):
        mask = np.asarray([True, False, True])
        np.testing.assert_array_equal(inside(lambda x: op(mask, x > 1.5)), op(mask, X > 1.5))


@pytest.mark.parametrize("name", [*ARITHMETIC, *COMPARISONS, "matmul"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_operators_with_torchs_tensors(name, side):
    torch = pytest.importorskip("torch")
    op = getattr(operator, name)
    other = torch.tensor([1.5, 0.5, 2.0], dtype=torch.float64)
    x = torch.tensor(X)

    def apply(x):
        return op(other, x) if side == "left" else op(x, other)

    assert inside(lambda t: type(apply(t)), x) is Tracer
    np.testing.assert_allclose(volta.vjp(apply, x)[0], apply(x))


def test_torchs_in_place_operators_rebind_the_name():
    torch = pytest.importorskip("torch")

    def fun(x):
        q = torch.ones(3, dtype=torch.float64)
        q += x
        q *= x
        return F.sum(q)

    np.testing.assert_array_equal(volta.grad(fun)(torch.tensor(X)), 1 + 2 * X)


@pytest.mark.parametrize("op", [operator.neg, operator.pos, abs, operator.invert])
def test_unary_operators(op):
    mask = np.asarray([True, False, True])
    given = mask if op is operator.invert else -X
    np.testing.assert_array_equal(inside(lambda x: op(F.asarray(given))), op(given))
    if op is not operator.invert:
        np.testing.assert_array_equal(volta.vjp(op, -X)[0], op(-X))


@pytest.mark.parametrize(
    "bad", ["text", None, [1.0, 2.0, 3.0], object()], ids=lambda v: type(v).__name__
)
def test_operators_refuse_what_is_no_array(bad):
    with pytest.raises(volta.DTypeError, match=r"^add: operands must be arrays or Python numbers"):
        inside(lambda x: x + bad)
    with pytest.raises(volta.DTypeError, match=r"^add: operands must be arrays or Python numbers"):
        inside(lambda x: bad + x)


# NumPy's functions -------------------------------------------------------------------------------

UFUNCS = [
    "sin",
    "cos",
    "tan",
    "exp",
    "log",
    "sqrt",
    "square",
    "abs",
    "absolute",
    "tanh",
    "arctan",
    "negative",
    "positive",
    "reciprocal",
    "log1p",
    "expm1",
    "floor",
    "ceil",
    "rint",
    "sign",
    "isfinite",
    "conjugate",
    "true_divide",
    "add",
    "subtract",
    "multiply",
    "divide",
    "power",
    "maximum",
    "minimum",
    "hypot",
    "arctan2",
    "logaddexp",
    "copysign",
    "remainder",
    "floor_divide",
    "greater",
    "less",
    "equal",
    "not_equal",
    "logical_not",
]


@pytest.mark.parametrize("name", UFUNCS)
def test_ufuncs_run_through_the_op_set(name):
    ufunc = getattr(np, name)
    second = (np.asarray([0.5, 1.5, 2.5]),) * (ufunc.nin - 1)
    if name == "logical_not":
        np.testing.assert_array_equal(inside(lambda x: ufunc(x > 1)), ufunc(X > 1))
        return
    assert inside(lambda x: type(ufunc(x, *second))) is Tracer
    np.testing.assert_allclose(volta.vjp(lambda x: ufunc(x, *second), X)[0], ufunc(X, *second))
    if second:
        found = volta.vjp(lambda x: ufunc(*second, x), X)[0]
        np.testing.assert_allclose(found, ufunc(*second, X))


FUNCTIONS = {
    "sum": lambda x: np.sum(x),
    "sum over an axis": lambda x: np.sum(x, axis=0, keepdims=True),
    "mean": lambda x: np.mean(x, axis=1),
    "max": lambda x: np.max(x),
    "amin": lambda x: np.amin(x, axis=0),
    "prod": lambda x: np.prod(x),
    "std": lambda x: np.std(x, axis=0, ddof=1),
    "var": lambda x: np.var(x),
    "all": lambda x: np.all(x > 0),
    "argmax": lambda x: np.argmax(x, axis=1),
    "where": lambda x: np.where(x > 0.5, x, 0.0),
    "concatenate": lambda x: np.concatenate([x, x * 2], axis=1),
    "stack": lambda x: np.stack([x, x], axis=-1),
    "reshape": lambda x: np.reshape(x, (2, 6)),
    "ravel": lambda x: np.ravel(x),
    "transpose": lambda x: np.transpose(x),
    "transpose with axes": lambda x: np.transpose(x, (1, 0)),
    "moveaxis": lambda x: np.moveaxis(x, 0, 1),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "squeeze": lambda x: np.squeeze(x[:1], axis=0),
    "flip": lambda x: np.flip(x, axis=1),
    "roll": lambda x: np.roll(x, 1, axis=0),
    "repeat": lambda x: np.repeat(x, 2, axis=0),
    "take": lambda x: np.take(x, np.asarray([0, 2]), axis=0),
    "take flat": lambda x: np.take(x, np.asarray([0, 5])),
    "clip": lambda x: np.clip(x, 0.2, 0.8),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 4, 3)),
    "dot": lambda x: np.dot(x, x.T),
    "dot of vectors": lambda x: np.dot(x[0], x[1]),
    "dot of a matrix and a vector": lambda x: np.dot(x, x[0]),
    "dot of a number": lambda x: np.dot(x, 2.0),
    "tensordot": lambda x: np.tensordot(x, x, axes=([0, 1], [0, 1])),
    "matmul": lambda x: np.matmul(x, x.T),
    "zeros_like": lambda x: np.zeros_like(x),
    "ones_like": lambda x: np.ones_like(x) * x,
    "add.reduce": lambda x: np.add.reduce(x),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=1),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, axis=1),
}


@pytest.mark.parametrize("function", list(FUNCTIONS.values()), ids=list(FUNCTIONS))
def test_numpys_functions_run_through_the_op_set(function):
    assert inside(lambda x: type(function(x)), M) is Tracer
    np.testing.assert_allclose(volta.vjp(function, M)[0], function(M))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: np.linalg.cond(x), r"linalg\.cond"),
        (lambda x: np.power.accumulate(x), "power.accumulate"),
        (lambda x: np.nanmedian(x), "nanmedian"),
        (lambda x: np.cumsum(x, dtype=np.float32), "cumsum with dtype="),
        (lambda x: np.sum(x, where=[True, False, True]), "sum with .*"),
        (lambda x: np.sin(x, where=[True, False, True]), "sin"),
        (lambda x: np.frexp(x), "frexp"),
        (lambda x: np.multiply.at(x, [0], x), "multiply.at"),
        (lambda x: np.ravel(x, order="F"), "ravel with order='F'"),
        (lambda x: np.clip(x, 0, 1, casting="safe"), "clip.*"),
    ],
)
def test_what_has_no_counterpart_raises(call, name):
    message = (
        rf"^numpy\.{name}: must have a counterpart in volta\.functional to take a traced array; "
        r"got a call at test_tracer\.py:\d+ without one\.$"
    )
    with pytest.raises(volta.TraceError, match=message):
        inside(call)


def test_ufuncs_with_an_output_raise():
    with pytest.raises(
        volta.TraceError, match="cannot write a traced value into an array that NumPy"
    ):
        inside(lambda x: np.add(x, 1, out=np.zeros(3)))
    with pytest.raises(
        volta.TraceError, match="cannot write a traced value into an array that NumPy"
    ):
        inside(lambda x: np.add(X, 1, out=x))


# The namespace -----------------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["numpy", "array_api_strict", "torch"])
def test_a_namespace_is_one_hashable_copyable_object(library):
    make = {"numpy": np.asarray, "array_api_strict": strict.asarray}.get(library)
    if make is None:
        make = pytest.importorskip("torch").asarray
    x = make([1.0, 2.0])
    xp = inside(lambda t: t.__array_namespace__(), x)
    assert xp is inside(lambda t: t.__array_namespace__(api_version="2022.12"), x)
    assert xp is volta.vmap(lambda t: t)(x) or {xp: 1}[xp] == 1
    assert xp.__name__ == f"volta.{library}"
    assert repr(xp) == f"<namespace volta.{library}>"
    assert copy.deepcopy(xp) is xp
    assert copy.copy(xp) is xp
    assert pickle.loads(pickle.dumps(xp)) is xp
    assert len({xp, xp}) == 1


def test_namespaces_of_two_libraries_differ():
    assert inside(lambda t: t.__array_namespace__()) is not inside(
        lambda t: t.__array_namespace__(), strict.asarray([1.0])
    )


def test_array_api_compat_knows_a_traced_array():
    def look(x):
        assert array_api_compat.is_array_api_obj(x)
        assert array_api_compat.is_writeable_array(x)
        assert not array_api_compat.is_numpy_array(x)
        assert array_api_compat.device(x) == "cpu"
        assert array_api_compat.size(x) == 3
        assert array_api_compat.to_device(x, "cpu").shape == (3,)
        return array_api_compat.array_namespace(x, x + 1, F.zeros(2), 3.0, None)

    assert inside(look).__name__ == "volta.numpy"


def test_a_namespace_refuses_versions_it_does_not_know():
    message = r"^__array_namespace__: api_version must be one of .*2025\.12.*; got '1999\.01'\."
    with pytest.raises(ValueError, match=message + LINE):
        inside(lambda x: x.__array_namespace__(api_version="1999.01"))


def test_a_namespace_has_its_librarys_dtypes_and_defaults():
    def look(x):
        xp = x.__array_namespace__()
        assert xp.float32 == np.float32
        assert xp.zeros(2).dtype == np.float64
        assert xp.asarray([1.0]).dtype == np.float64
        assert xp.arange(3.0).dtype == np.float64
        assert xp.asarray([1]).dtype == np.int64
        assert xp.asarray(np.float32([1])).dtype == np.float32
        return True

    assert inside(look)


def test_a_namespace_of_torch_makes_torchs_tensors():
    torch = pytest.importorskip("torch")

    def look(x):
        xp = x.__array_namespace__()
        assert xp.float64 is torch.float64
        for made in (xp.zeros(2), xp.asarray([1.0]), xp.asarray(np.ones(2)), xp.linspace(0, 1, 3)):
            assert isinstance(made.value, torch.Tensor)
            assert made.device == x.device
        assert xp.zeros(2).dtype is torch.float32
        assert xp.asarray(np.ones(2)).dtype is torch.float64
        assert xp.zeros(2, device=x.device).dtype is torch.float32
        return True

    assert inside(look, torch.ones(2))


@pytest.mark.parametrize("name", ["fit", "no_such_name", "percentile", "_private"])
def test_a_namespace_lacks_other_names(name):
    xp = inside(lambda x: x.__array_namespace__())
    with pytest.raises(AttributeError, match=rf"^volta\.numpy has no '{name}'$"):
        getattr(xp, name)
    assert not hasattr(xp, name)


def test_code_that_asks_for_the_namespace_is_differentiable():
    def softmax(x):
        xp = array_api_compat.array_namespace(x)
        e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return e / xp.sum(e, axis=-1, keepdims=True)

    def loss(x):
        return F.sum(softmax(x) ** 2)

    for make in (np.asarray, strict.asarray):
        gradient = volta.grad(loss)(make([[1.0, 2.0], [0.5, 0.25]]))
        step = 1e-6
        base = np.asarray([[1.0, 2.0], [0.5, 0.25]])
        numeric = np.zeros((2, 2))
        for i in np.ndindex(2, 2):
            d = np.zeros((2, 2))
            d[i] = step
            numeric[i] = (loss(base + d) - loss(base - d)) / (2 * step)
        np.testing.assert_allclose(np.asarray(gradient), numeric, atol=1e-8)


# As a Python object ------------------------------------------------------------------------------


def test_attributes():
    def look(x):
        return x.shape, x.ndim, x.size, x.dtype, x.device, x.T.shape, x.mT.shape

    assert inside(look, M) == ((4, 3), 2, 12, np.float64, "cpu", (3, 4), (3, 4))


def test_attributes_under_vmap_are_those_of_a_lane():
    def look(x):
        assert (x.shape, x.ndim, x.size, len(x)) == ((3,), 1, 3, 3)
        return x

    volta.vmap(look)(M)


def test_real_and_imaginary_parts():
    z = np.asarray([1 + 2j, 3 - 1j])
    np.testing.assert_array_equal(volta.vjp(lambda z: z.real, z)[0], z.real)
    np.testing.assert_array_equal(volta.vjp(lambda z: z.imag, z)[0], z.imag)
    assert inside(lambda x: x.real is x)


@pytest.mark.parametrize(
    "method",
    [
        lambda x: x.sum(),
        lambda x: x.sum(axis=0),
        lambda x: x.mean(1),
        lambda x: x.max(axis=1, keepdims=True),
        lambda x: x.min(),
        lambda x: x.reshape(6, 2),
        lambda x: x.reshape((2, 6)),
        lambda x: x.reshape(-1),
        lambda x: x.astype(np.float32),
        lambda x: x.copy(),
    ],
)
def test_a_few_methods_of_numpys(method):
    found = volta.vjp(method, M)[0]
    wanted = np.asarray(method(M))
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("name", ["fit", "iloc", "flags", "name", "attrs", "chunks"])
def test_attributes_that_consumers_sniff_are_absent(name):
    assert not inside(lambda x: hasattr(x, name))


def test_iteration_and_length():
    assert inside(lambda x: [float(volta.stop_gradient(v)) for v in x]) == [1.0, 2.0, 3.0]
    assert inside(lambda x: [len(v) for v in x], M) == [3, 3, 3, 3]
    assert inside(lambda x: len(x), M) == 4
    assert inside(lambda x: len(list(x[:0])), M) == 0
    assert inside(lambda x: [v.shape for v in reversed(x)], M) == [(3,)] * 4


@pytest.mark.parametrize("use", [iter, len, list, lambda x: [*x]])
def test_rank_0_has_no_iteration_and_no_length(use):
    with pytest.raises(
        TypeError, match=r"^(iter|len): the array must have an axis; got shape \(\)\." + LINE
    ):
        inside(lambda x: use(x[0]))
    assert not inside(lambda x: np.iterable(x[0]))


def test_traced_arrays_are_unhashable():
    with pytest.raises(TypeError, match="unhashable"):
        inside(lambda x: hash(x))
    with pytest.raises(TypeError, match="unhashable"):
        inside(lambda x: {x})


def test_transposes_need_the_right_number_of_axes():
    with pytest.raises(
        volta.ShapeError, match=r"^T: the array must have two axes; got shape \(3,\)"
    ):
        inside(lambda x: x.T)
    with pytest.raises(volta.ShapeError, match=r"^matrix_transpose: the array must have two axes"):
        inside(lambda x: x.mT)


def test_traced_arrays_print_their_type_and_trace():
    def loss(x):
        texts.extend([repr(x), str(x), f"{x}", f"{x:.3f}"])
        return F.sum(x)

    texts = []
    volta.grad(loss)(X)
    assert texts == ["Traced<float64[3] by grad(loss)>"] * 4
    shown = []
    volta.vmap(lambda x: shown.append(repr(x)) or x)(M)
    assert shown == ["Traced<float64[3] by vmap(<lambda>)>"]


def test_a_stale_constant_prints_what_it_stands_for():
    def look(x):
        base = F.zeros(3)
        view = base[:2]
        base[0] = 4.0
        return repr(view), f"{view}"

    assert inside(look) == ("Constant(array([4., 0.], dtype=float32))", "[4. 0.]")


def test_to_device_is_differentiable():
    x = strict.asarray(X, device=strict.Device("device1"))

    def loss(x):
        moved = x.to_device(strict.Device("CPU_DEVICE"))
        assert moved.device == strict.Device("CPU_DEVICE")
        return F.sum(moved * moved)

    gradient = volta.grad(loss)(x)
    assert gradient.device == x.device
    np.testing.assert_array_equal(
        np.from_dlpack(gradient.to_device(strict.Device("CPU_DEVICE"))), 2 * X
    )


def test_a_handle_holds_no_cycle():
    gc.collect()
    gc.disable()
    try:
        counts = []

        def fun(x):
            y = x * 1
            v = y[1:]
            v[0] = 2.0
            w = y.T if y.ndim > 1 else F.reshape(y, (-1,))
            return F.sum(v) + F.sum(w)

        for _ in range(3):
            with pytest.raises(volta.TraceError):
                volta.grad(lambda x: (fun(x), float(x[0])))(X)
            volta.grad(fun)(X)
            counts.append(sum(type(o) is Tracer for o in gc.get_objects()))
        assert counts[-1] == counts[0]
    finally:
        gc.enable()


@pytest.mark.parametrize("mode", [volta.grad, lambda f: lambda x: volta.jvp(f, (x,), (x,))[1]])
def test_a_mask_of_nothing_may_be_written_to_any_view(mode):
    def program(x):
        rows = F.reshape(x, (2, 6))
        rows[rows > 100] = 0.0
        rows[np.zeros((2, 6), dtype=bool)] = 0.0
        return F.sum(rows * x[0, 0])

    mode(program)(M)

    def refused(x):
        rows = F.reshape(x, (2, 6))
        rows[rows > 0.5] = 0.0
        return F.sum(rows * x[0, 0])

    with pytest.raises(volta.TraceError, match="must not go to a view made by reshape"):
        mode(refused)(M)
