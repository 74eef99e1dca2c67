"""NumPy's own functions on traced arrays: the same answer with drawn arguments, or an error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MODES, assert_same, axes_of, fill, full_shapes, library, quiet, seeds, under

import volta
from volta.core.errors import TraceError

NUMPY = library("numpy")


def same(mode, fun, *arrays):
    with quiet():
        expected = np.asarray(fun(*arrays))
        (out,) = under(mode, fun, arrays)
    assert_same(out, expected, NUMPY, ulps=8)


def takes_floats(ufunc):
    return ufunc.nout == 1 and f"{'d' * ufunc.nin}->d" in ufunc.types


UFUNCS = sorted(
    name
    for name, ufunc in vars(np).items()
    if isinstance(ufunc, np.ufunc) and (takes_floats(ufunc) or ufunc in (np.less, np.isnan))
)


@pytest.mark.parametrize("name", UFUNCS)
@pytest.mark.parametrize("mode", MODES)
def test_every_ufunc_is_numpys_or_refused(name, mode):
    ufunc = getattr(np, name)
    low = 1 if name in ("acosh", "arccosh") else 0.3
    arrays = [fill(i, (3, 3), "float64", low, low + 0.6) for i in range(ufunc.nin)]
    try:
        (out,) = under(mode, lambda *a: ufunc(*a), tuple(arrays))
    except TraceError as error:
        assert f"numpy.{name}: must have a counterpart" in str(error)  # noqa: PT017 - or it runs
        return
    assert_same(out, np.asarray(ufunc(*arrays)), NUMPY, ulps=8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "minimum"])
@given(data=st.data())
def test_reductions_of_ufuncs(name, mode, data):
    shape = data.draw(full_shapes.filter(bool))
    x = fill(data.draw(seeds), shape, "float64")
    options = {}
    if data.draw(st.booleans()):
        options["axis"] = data.draw(axes_of(len(shape)))
    if data.draw(st.booleans()):
        options["keepdims"] = data.draw(st.booleans())
    same(mode, lambda x: getattr(np, name).reduce(x, **options), x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "name", ["sum", "mean", "max", "min", "amax", "amin", "prod", "std", "var", "all", "any"]
)
@given(data=st.data())
def test_reductions(name, mode, data):
    shape = data.draw(full_shapes)
    x = fill(data.draw(seeds), shape, "float64")
    options = {"axis": data.draw(axes_of(len(shape))), "keepdims": data.draw(st.booleans())}
    if name in ("std", "var") and options["axis"] is None and x.size > 1:
        options["ddof"] = data.draw(st.integers(0, 1))
    same(mode, lambda x: getattr(np, name)(x, **options), x)


X = np.arange(6.0).reshape(2, 3) / 7
CALLS = {
    "clip": lambda x: np.clip(x, 0.2, 0.6),
    "clip-none": lambda x: np.clip(x, None, 0.6),
    "clip-keywords": lambda x: np.clip(x, min=0.2, max=0.6),
    "concatenate": lambda x: np.concatenate([x, X], axis=1),
    "concatenate-flat": lambda x: np.concatenate([x, X], axis=None),
    "stack": lambda x: np.stack([X, x], axis=-1),
    "dot": lambda x: np.dot(x, X.T),
    "dot-vector": lambda x: np.dot(X, x[0]),
    "dot-scalar": lambda x: np.dot(x, 2.0),
    "dot-stack": lambda x: np.dot(x, np.stack([X.T, X.T])),
    "matmul": lambda x: np.matmul(x, X.T),
    "vecdot": lambda x: np.vecdot(x, X),
    "tensordot": lambda x: np.tensordot(x, X, axes=([1], [1])),
    "transpose": np.transpose,
    "transpose-axes": lambda x: np.transpose(x, (1, 0)),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "ravel": np.ravel,
    "squeeze": lambda x: np.squeeze(x[:1], axis=0),
    "expand_dims": lambda x: np.expand_dims(x, (0, 2)),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "flip": np.flip,
    "roll": lambda x: np.roll(x, 1, axis=1),
    "repeat": lambda x: np.repeat(x, 2, axis=0),
    "take": lambda x: np.take(x, [1, 0], axis=1),
    "take-flat": lambda x: np.take(x, [5, 0]),
    "where": lambda x: np.where(X > 0.3, x, 0),
    "nansum": lambda x: np.nansum(np.where(x > 0.5, np.nan, x), axis=0),
    "nanprod": lambda x: np.nanprod(np.where(x > 0.5, np.nan, x + 1)),
    "nanmax": lambda x: np.nanmax(np.where(x > 0.5, np.nan, x), axis=1, keepdims=True),
    "nanmin": lambda x: np.nanmin(np.where(x > 0.5, np.nan, x), axis=1),
    "nanmean": lambda x: np.nanmean(np.where(x > 0.5, np.nan, x), axis=1),
    "nanvar": lambda x: np.nanvar(np.where(x > 0.7, np.nan, x), axis=1, ddof=1),
    "nanstd": lambda x: np.nanstd(np.where(x > 0.7, np.nan, x), axis=1, keepdims=True),
    "nancumsum": lambda x: np.nancumsum(np.where(x > 0.7, np.nan, x)),
    "nan_to_num": lambda x: np.nan_to_num(np.where(x > 0.7, np.nan, x), nan=3.0),
    "ptp": lambda x: np.ptp(x, axis=1),
    "average": lambda x: np.average(x, axis=1),
    "average-weights": lambda x: np.average(x, axis=1, weights=x[0] + 1),
    "average-returned": lambda x: np.average(x, weights=x + 1, returned=True)[1],
    "quantile-lower": lambda x: np.quantile(x, [0.2, 0.7], axis=1, method="lower"),
    "quantile-nearest": lambda x: np.quantile(x, 0.3, method="nearest", keepdims=True),
    "median-integers": lambda x: x + np.median(np.astype(10 * x, np.int64), axis=1)[:, None],
    "cov": lambda x: np.cov(x),
    "cov-columns": lambda x: np.cov(x, x[::-1] ** 2, rowvar=False, ddof=0),
    "cov-vector": lambda x: np.cov(x[0]),
    "corrcoef": lambda x: np.corrcoef(x, np.cos(x)),
    "cumsum": np.cumsum,
    "cumsum-axis": lambda x: np.cumsum(x, axis=1),
    "cumulative_sum": lambda x: np.cumulative_sum(x, axis=1, include_initial=True),
    "diff": lambda x: np.diff(x * x, axis=0),
    "diff-ends": lambda x: np.diff(x * x, n=2, prepend=1.0, append=x[:, :1]),
    "ediff1d": np.ediff1d,
    "trapezoid": lambda x: np.trapezoid(x, x[0] ** 2),
    "trapezoid-dx": lambda x: np.trapezoid(x, dx=0.3, axis=0),
    "gradient": lambda x: np.gradient(x * x, 0.1, axis=1),
    "gradient-all": lambda x: np.stack(np.gradient(x * x, 0.1, 0.2)),
    "correlate": lambda x: np.correlate(x[1, :2], x[0], "same"),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x[:, ::-1], axis=1),
    "logaddexp.accumulate": lambda x: np.logaddexp.accumulate(x),
    "interp-period": lambda x: np.interp(x, X[1], X[0], period=0.37),
    "convolve": lambda x: np.convolve(x[0], x[1, :2]),
    "convolve-same": lambda x: np.convolve(x[1, :2], x[0], "same"),
    "convolve-valid": lambda x: np.convolve(x[0], x[1, :2], mode="valid"),
    "atleast_1d": lambda x: np.atleast_1d(x[0, 0]),
    "atleast_2d": lambda x: np.atleast_2d(x[0]),
    "atleast_3d": lambda x: np.atleast_3d(x),
    "swapaxes": lambda x: np.swapaxes(x, 0, -1),
    "rollaxis": lambda x: np.rollaxis(x, 1),
    "rollaxis-start": lambda x: np.rollaxis(x, 0, 2),
    "squeeze-all": lambda x: np.squeeze(x[:1, None]),
    "hstack": lambda x: np.hstack([x, X]),
    "hstack-vectors": lambda x: np.hstack([x[0], 3.0, X[1]]),
    "vstack": lambda x: np.vstack([x, X[0]]),
    "dstack": lambda x: np.dstack([x, X]),
    "column_stack": lambda x: np.column_stack([x.T, X[0]]),
    "append": lambda x: np.append(x, X),
    "append-axis": lambda x: np.append(x, X, axis=1),
    "block": lambda x: np.block([[x, X[:, :1]], [3.0, x[0]]]),
    "block-flat": lambda x: np.block([x, X]),
    "block-one": lambda x: np.block(x),
    "block-deep": lambda x: np.block([[[x, x]], [[X, x]]]),
    "split": lambda x: np.split(x, 3, axis=1)[1],
    "array_split": lambda x: np.array_split(x, 2, axis=1)[0],
    "array_split-places": lambda x: np.array_split(x, [1, 2], axis=-1)[2],
    "hsplit": lambda x: np.hsplit(x, [1])[1],
    "vsplit": lambda x: np.vsplit(x, 2)[1],
    "tile": lambda x: np.tile(x, 2),
    "tile-many": lambda x: np.tile(x, (2, 1, 2)),
    "pad": lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=3.0),
    "pad-edge": lambda x: np.pad(x, 1, mode="edge"),
    "pad-reflect": lambda x: np.pad(x, 1, mode="reflect"),
    "pad-symmetric": lambda x: np.pad(x, (1, 2), mode="symmetric"),
    "pad-wrap": lambda x: np.pad(x, 2, "wrap"),
    "pad-mean": lambda x: np.pad(x, 2, "mean", stat_length=1),
    "pad-ramp": lambda x: np.pad(x, 2, "linear_ramp", end_values=(1.0, 2.0)),
    "pad-odd": lambda x: np.pad(x, 1, "reflect", reflect_type="odd"),
    "fliplr": np.fliplr,
    "flipud": np.flipud,
    "rot90": lambda x: np.rot90(x, 3),
    "broadcast_arrays": lambda x: np.broadcast_arrays(x, X[:, None, :1])[0],
    "meshgrid": lambda x: np.meshgrid(x[0], x[1], indexing="ij")[0],
    "diagonal": np.diagonal,
    "diagonal-offset": lambda x: np.diagonal(np.stack([x, X]), 1, 1, 2),
    "trace": np.trace,
    "diag": lambda x: np.diag(x, 1),
    "diag-make": lambda x: np.diag(x[0], -1),
    "tril": np.tril,
    "triu": lambda x: np.triu(x, 1),
    "take-many": lambda x: np.take(x, [[1, 0], [2, 2]], axis=1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.asarray([[1], [0]]), 1),
    "delete": lambda x: np.delete(x, 1, axis=1),
    "select": lambda x: np.select([X > 0.6, X > 0.3], [x, 2 * x], 3.0),
    "round": lambda x: np.round(x + 10 * x, 1),
    "around": np.around,
    "sinc": lambda x: np.sinc(x - X[0, 1]),
    "angle": lambda x: np.angle(x * 1j + X[0, 1] + 0.5),
    "angle-degrees": lambda x: np.angle(x + 0.3, deg=True),
    "real": lambda x: np.real(x * (1 + 2j)),
    "imag": lambda x: np.imag(x * (1 + 2j)),
    "isclose": lambda x: np.isclose(x, X + 1e-9),
    "linspace": lambda x: np.linspace(x, 2.0, 5, axis=-1),
    "polyval": lambda x: np.polyval([1.0, 2.0, 3.0], x),
    "polyval-coefficients": lambda x: np.polyval(x[0], X),
    "inner": lambda x: np.inner(x, X),
    "outer": lambda x: np.outer(x, X),
    "vdot": lambda x: np.vdot(x * (1 + 1j), X * (2 - 1j)),
    "kron": lambda x: np.kron(x, X[:, None]),
    "cross": lambda x: np.cross(x, X[::-1]),
    "matrix_transpose": np.matrix_transpose,
    "unstack": lambda x: np.unstack(x, axis=1)[2],
    "copy": np.copy,
    "astype": lambda x: np.astype(x, np.float64),
    "full_like": lambda x: x + np.full_like(x, 2.0, shape=(3,)),
    "dot-list": lambda x: np.dot([1.0, 2.0], x),
    "linalg.trace": lambda x: np.linalg.trace(np.stack([x, X])),
    "linalg.diagonal": lambda x: np.linalg.diagonal(x, offset=1),
    "linalg.multi_dot": lambda x: np.linalg.multi_dot([x, X.T, x]),
    "add.accumulate": lambda x: np.add.accumulate(x, axis=1),
    "multiply.outer": lambda x: np.multiply.outer(x, X),
    "zeros_like": np.zeros_like,
    "ones_like": np.ones_like,
    "argmax": lambda x: np.argmax(x, axis=1),
    "argmin-keepdims": lambda x: np.argmin(x, axis=1, keepdims=True),
}
if np.lib.NumpyVersion(np.__version__) < "2.5.0":  # deprecated since
    CALLS["fix"] = np.fix


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CALLS)
def test_functions_with_numpys_arguments(name, mode):
    same(mode, CALLS[name], X.copy())


@pytest.mark.grad_check
@pytest.mark.parametrize(
    "name", [n for n in CALLS if not any(word in n for word in ("arg", "s_like", "isclose"))]
)
def test_their_derivatives(name):
    x, t = X + 0.01, np.cos(X)
    with quiet():
        out, tangent = volta.jvp(CALLS[name], (x,), (t,))
        above, below = (np.asarray(CALLS[name](x + s * t)) for s in (1e-6, -1e-6))
        np.testing.assert_allclose(tangent, (above - below) / 2e-6, atol=1e-8)
        ct = np.sin(np.arange(out.size).reshape(out.shape) + 1.0).astype(out.dtype)
        pulled = volta.vjp(CALLS[name], x)[1](ct)[0]
    np.testing.assert_allclose(np.sum(ct * tangent).real, np.sum(pulled * t), rtol=1e-10)


METHODS = {
    "argmax": lambda x: x.argmax(axis=1),
    "clip": lambda x: x.clip(0.2, 0.6),
    "conj": lambda x: x.conj() * x.conjugate(),
    "cumsum": lambda x: x.cumsum(axis=1),
    "diagonal": lambda x: x.diagonal(1),
    "dot": lambda x: x.dot(X.T),
    "flatten": lambda x: x.flatten() + x.ravel(),
    "prod": lambda x: x.prod(axis=1, keepdims=True),
    "round": lambda x: x.round(1),
    "squeeze": lambda x: x[:1].squeeze(),
    "std": lambda x: x.std(axis=0, ddof=1),
    "take": lambda x: x.take([0, 2], axis=1),
    "transpose": lambda x: x.transpose() + x.transpose(1, 0) + x.transpose((1, 0)),
    "swapaxes": lambda x: x.swapaxes(0, 1),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", METHODS)
def test_methods_are_numpys(name, mode):
    same(mode, METHODS[name], X.copy())


def test_methods_are_of_numpy_arrays_only():
    torch = pytest.importorskip("torch")
    with pytest.raises(AttributeError, match="a traced array of torch has no method 'std'"):
        volta.grad(lambda x: x.std())(torch.ones(3))


def test_questions_about_an_array():
    def ask(x):
        assert (np.shape(x), np.ndim(x), np.size(x), np.size(x, 1)) == ((2, 3), 2, 6, 3)
        assert np.isrealobj(x)
        assert not np.iscomplexobj(x)
        assert np.allclose(x, X)
        assert not np.allclose(x, X + 1)
        assert np.array_equal(x, X)
        assert not np.array_equal(x, X[:1])
        assert np.count_nonzero(x) == 5
        return np.sum(x)

    volta.grad(ask)(X)


REFUSED = {
    "sum": lambda x: np.sum(x, dtype=np.float32),
    "mean": lambda x: np.mean(x, where=X > 0.3),
    "max": lambda x: np.max(x, initial=0.0),
    "cumsum": lambda x: np.cumsum(x, dtype=np.float32),
    "block": lambda x: np.block([x, [x]]),
    "linalg": lambda x: np.linalg.lstsq(x, x),
    "out": lambda x: np.stack([x, X], out=np.empty((2, 2, 3))),
    "pad": lambda x: np.pad(x, 1, mode="empty"),
    "quantile": lambda x: np.quantile(x, 0.5, method="hazen"),
    "gradient": lambda x: np.gradient(x, np.arange(2.0), np.arange(3.0)),
    "reshape": lambda x: np.reshape(x, (3, 2), order="F"),
    "fmax.accumulate": np.fmax.accumulate,
    "add.reduce": lambda x: np.add.reduce(x, initial=1.0),
    "add.at": lambda x: np.add.at(x, [0], X),
    "hypot": lambda x: np.hypot(x, X, where=X > 0.3),
    "where": lambda x: np.where(x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_lose_a_derivative_is_refused(name):
    with pytest.raises(TraceError, match=r"numpy\..*: must have a counterpart in volta.functional"):
        volta.vjp(REFUSED[name], X)


@pytest.mark.parametrize("ufunc", [np.add, np.subtract, np.maximum, np.power])
def test_numpy_arrays_join_the_library_of_a_constant(ufunc):
    lib = library("torch")
    x, y = np.asarray(3), np.asarray([1, 2])
    for shape in ((), (2,)):
        own = lib.asarray(np.broadcast_to(y[0], shape).copy())
        out = ufunc(x, volta.lift(own))
        assert_same(out, ufunc(x, lib.host(own)), lib)
