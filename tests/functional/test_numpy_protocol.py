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
    "zeros_like": np.zeros_like,
    "ones_like": np.ones_like,
    "argmax": lambda x: np.argmax(x, axis=1),
    "argmin-keepdims": lambda x: np.argmin(x, axis=1, keepdims=True),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CALLS)
def test_functions_with_numpys_arguments(name, mode):
    same(mode, CALLS[name], X.copy())


@pytest.mark.grad_check
@pytest.mark.parametrize("name", [n for n in CALLS if "arg" not in n and "like" not in n])
def test_their_derivatives(name):
    x, t = X + 0.01, np.cos(X)
    with quiet():
        out, tangent = volta.jvp(CALLS[name], (x,), (t,))
        above, below = (np.asarray(CALLS[name](x + s * t)) for s in (1e-6, -1e-6))
        np.testing.assert_allclose(tangent, (above - below) / 2e-6, atol=1e-8)
        ct = np.sin(np.arange(out.size).reshape(out.shape) + 1.0)
        pulled = volta.vjp(CALLS[name], x)[1](ct)[0]
    np.testing.assert_allclose(np.sum(ct * tangent), np.sum(pulled * t), rtol=1e-12)


REFUSED = {
    "sum": lambda x: np.sum(x, dtype=np.float32),
    "mean": lambda x: np.mean(x, where=X > 0.3),
    "max": lambda x: np.max(x, initial=0.0),
    "cumsum": np.cumsum,
    "sort": np.sort,
    "linalg": np.linalg.norm,
    "reshape": lambda x: np.reshape(x, (3, 2), order="F"),
    "add.accumulate": np.add.accumulate,
    "add.reduce": lambda x: np.add.reduce(x, initial=1.0),
    "add.outer": lambda x: np.add.outer(x, X),
    "hypot": lambda x: np.hypot(x, X, where=X > 0.3),
    "where": lambda x: np.where(x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_lose_a_derivative_is_refused(name):
    with pytest.raises(TraceError, match=r"numpy\..*: must have a counterpart in volta.functional"):
        volta.vjp(REFUSED[name], X)
