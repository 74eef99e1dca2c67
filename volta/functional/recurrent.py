"""Steps of recurrent networks, with PyTorch's weights and order of gates."""

import functools
from typing import Any, Final

import numpy as np

from volta.core.derivatives import Pair
from volta.core.errors import DTypeError, ShapeError
from volta.core.primitive import Unspecified
from volta.core.trace import located, ops
from volta.core.types import Array, ArrayType, as_dtype, typeof
from volta.functional.declare import composite, primitive
from volta.functional.elementwise import add, multiply, subtract, tanh
from volta.functional.manipulation import broadcast_to, concat, matrix_transpose
from volta.functional.products import matmul
from volta.functional.rectifier import relu

__all__ = ["gru_cell", "lstm_cell", "rnn_cell"]

NONLINEARITIES: Final = {"tanh": tanh, "relu": relu}


# Gates --------------------------------------------------------------------------------------------
#
# One primitive holds all that is elementwise in a step: its derivatives are short in terms of the
# activated gates, which it returns for that.


def _gates_type(parts: int, states: int) -> Any:
    def type_rule(*types: ArrayType) -> tuple[ArrayType, ...]:
        *gates, state = types
        lead, n = state.shape[:-1], state.shape[-1]
        if any(t.shape != (*lead, parts * n) for t in gates):
            shapes = " and ".join(str(t.shape) for t in types)
            msg = f"gates: there must be {parts} for each element of the state; got {shapes}."
            raise ShapeError(msg)
        if state.dtype.kind != "float" or any(t.dtype is not state.dtype for t in gates):
            names = " and ".join(t.dtype.name for t in types)
            msg = f"gates: arrays must have one real floating dtype; got {names}."
            raise Unspecified(msg)
        return *(state,) * states, ArrayType((*lead, parts * n), state.dtype)

    return type_rule


def _gates_batch(apply: Any) -> Any:
    def batch(size: int, batched: tuple[bool, ...], *xs: Any) -> Any:
        whole = [
            x if b else broadcast_to(x, (size, *x.shape)) for x, b in zip(xs, batched, strict=True)
        ]
        return apply(*whole)

    return batch


def _parts(x: Any, count: int) -> list[Any]:
    n = x.shape[-1] // count
    return [x[..., i * n : (i + 1) * n] for i in range(count)]


def _slopes(gates: Any, count: int) -> Any:
    """Slopes of σ, and of tanh in the third part, by their values: ``(y + is_tanh) (1 − y)``."""
    curved = _curved(gates.shape[-1], count, as_dtype(gates.dtype))
    return multiply(add(gates, curved), subtract(1, gates))


@functools.lru_cache(maxsize=64)
def _curved(width: int, count: int, dtype: Any) -> Any:
    out = np.zeros(width, dtype.dtype)
    out[2 * (width // count) : 3 * (width // count)] = 1
    return out


def _sum(*terms: Any) -> Any:
    """Sum of the terms that are there; None of none."""
    out: Any = None
    for term in terms:
        out = term if out is None else out if term is None else add(out, term)
    return out


def _times(x: Any, factor: Any) -> Any:
    return None if x is None else multiply(x, factor)


def _logistic(xp: Any, x: Any) -> Any:
    e = xp.exp(-xp.abs(x))
    return xp.where(x >= 0, xp.ones_like(e), e) / (1 + e)


def _numpy_logistic(x: Any) -> Any:
    if x.dtype.kind == "c":
        raise TypeError(x.dtype)  # what is wrong the type rule tells
    e = np.abs(x)
    np.negative(e, out=e)
    np.exp(e, out=e)
    out = np.reciprocal(e + x.dtype.type(1))
    np.multiply(out, e, out=out, where=x < 0)
    return out


def _lstm_value(xp: Any, gates: Any, c: Any) -> Any:
    i, f, g, o = _parts(gates, 4)
    i, f, g, o = _logistic(xp, i), _logistic(xp, f), xp.tanh(g), _logistic(xp, o)
    c = f * c + i * g
    return o * xp.tanh(c), c, xp.concat([i, f, g, o], axis=-1)


def _numpy_lstm(gates: Any, c: Any) -> Any:
    acts = _numpy_logistic(gates)
    i, f, g, o = _parts(acts, 4)
    np.tanh(_parts(gates, 4)[2], out=g)
    c = f * c
    c += i * g
    h = np.tanh(c)
    h *= o
    return h, c, acts


def _lstm_jvp(primals: Any, tangents: Any) -> Any:
    (gates, c), (dgates, dc) = primals, tangents
    _, new, acts = result = _lstm_gates(gates, c)
    i, f, g, o = _parts(acts, 4)
    top = tanh(new)
    dacts = None if dgates is None else multiply(dgates, _slopes(acts, 4))
    di, df, dg, do = (None,) * 4 if dacts is None else _parts(dacts, 4)
    dnew = _sum(_times(df, c), _times(di, g), _times(dg, i), _times(dc, f))
    rise = multiply(o, subtract(1, multiply(top, top)))
    dh = _sum(_times(do, top), multiply(dnew, rise))
    return result, (dh, dnew, ops.zeros_like(acts) if dacts is None else dacts)


def _lstm_fwd(gates: Any, c: Any) -> Any:
    result = _lstm_gates(gates, c)
    return result, (c, *result[1:])


def _lstm_bwd(residuals: Any, ct: Any, needed: Any) -> Any:
    (c, new, acts), (gh, gnew, gacts) = residuals, ct
    i, f, g, o = _parts(acts, 4)
    top = tanh(new)
    rise = multiply(o, subtract(1, multiply(top, top)))
    gnew = _sum(gnew, _times(gh, rise))
    if gnew is not None:
        go = ops.zeros_like(gnew) if gh is None else multiply(gh, top)
        parts = [multiply(gnew, g), multiply(gnew, c), multiply(gnew, i), go]
        gacts = _sum(gacts, concat(parts, axis=-1))
    return multiply(gacts, _slopes(acts, 4)), _times(gnew, f)


_lstm_gates: Any = primitive(
    "lstm_gates",
    type_rule=_gates_type(4, 2),
    batch=_gates_batch(lambda *xs: _lstm_gates(*xs)),
    derivatives=Pair(_lstm_jvp, _lstm_fwd, _lstm_bwd),
    value=_lstm_value,
    kernels={"numpy": _numpy_lstm},
    results=3,
)


def _gru_value(xp: Any, x: Any, own: Any, h: Any) -> Any:
    (xr, xz, xn), (hr, hz, hn) = _parts(x, 3), _parts(own, 3)
    r, z = _logistic(xp, xr + hr), _logistic(xp, xz + hz)
    n = xp.tanh(xn + r * hn)
    return n + z * (h - n), xp.concat([r, z, n], axis=-1)


def _numpy_gru(x: Any, own: Any, h: Any) -> Any:
    acts = _numpy_logistic(x + own)
    r, z, n = _parts(acts, 3)
    np.multiply(r, _parts(own, 3)[2], out=n)
    n += _parts(x, 3)[2]
    np.tanh(n, out=n)
    out = h - n
    out *= z
    out += n
    return out, acts


def _gru_jvp(primals: Any, tangents: Any) -> Any:
    (x, own, h), (dx, down, dh) = primals, tangents
    _, acts = result = _gru_gates(x, own, h)
    r, z, n = _parts(acts, 3)
    slopes = _slopes(acts, 3)
    width = 2 * h.shape[-1]
    both = _sum(dx, down)
    doors: Any = None if both is None else multiply(both[..., :width], slopes[..., :width])
    nothing: list[Any] = [None] * 2
    dr, dz = nothing if doors is None else _parts(doors, 2)
    inner = _sum(
        None if dx is None else dx[..., width:],
        None if down is None else multiply(down[..., width:], r),
        _times(dr, own[..., width:]),
    )
    dn = _times(inner, slopes[..., width:])
    dout = _sum(_times(dn, subtract(1, z)), _times(dz, subtract(h, n)), _times(dh, z))
    dacts = ops.zeros_like(acts) if dn is None else concat([doors, dn], axis=-1)
    return result, (dout, dacts)


def _gru_fwd(x: Any, own: Any, h: Any) -> Any:
    result = _gru_gates(x, own, h)
    width = 2 * h.shape[-1]
    return result, (own[..., width:], h, result[1])


def _gru_bwd(residuals: Any, ct: Any, needed: Any) -> Any:
    (own, h, acts), (gout, gacts) = residuals, ct
    r, z, n = _parts(acts, 3)
    nothing: list[Any] = [None] * 3
    gr, gz, gn = nothing if gacts is None else _parts(gacts, 3)
    if gout is not None:
        gz = _sum(gz, multiply(gout, subtract(h, n)))
        gn = _sum(gn, multiply(gout, subtract(1, z)))
    slopes = _parts(_slopes(acts, 3), 3)
    inner = multiply(gn, slopes[2])
    gr = multiply(_sum(gr, multiply(inner, own)), slopes[0])
    gz = multiply(gz, slopes[1])
    return (
        concat([gr, gz, inner], axis=-1),
        concat([gr, gz, multiply(inner, r)], axis=-1),
        ops.zeros_like(h) if gout is None else multiply(gout, z),
    )


_gru_gates: Any = primitive(
    "gru_gates",
    type_rule=_gates_type(3, 1),
    batch=_gates_batch(lambda *xs: _gru_gates(*xs)),
    derivatives=Pair(_gru_jvp, _gru_fwd, _gru_bwd),
    value=_gru_value,
    kernels={"numpy": _numpy_gru},
    results=2,
)


# Steps of an input that was multiplied by its weight already ------------------------------------


def projected(x: Any, weight: Any, *biases: Any) -> Any:
    """``x Wᵀ`` and the biases that there are."""
    return _sum(matmul(x, matrix_transpose(weight)), *biases)


def _as(state: Any, gates: Any) -> Any:
    """A state with the leading axes and the dtype of the gates, for those that broadcast."""
    lead, kind = tuple(gates.shape[:-1]), typeof(state)
    if kind.dtype is not as_dtype(gates.dtype):
        state = ops.astype(state, gates.dtype)
    return state if kind.shape[:-1] == lead else broadcast_to(state, (*lead, kind.shape[-1]))


def rnn_step(
    x: Any, state: tuple[Any, ...], weight_hh: Any, bias_hh: Any, nonlinearity: str = "tanh"
) -> tuple[Any, ...]:
    """New state, of the part of the gates that is the input's."""
    (h,) = state
    return (NONLINEARITIES[nonlinearity](add(x, projected(h, weight_hh, bias_hh))),)


def lstm_step(
    x: Any, state: tuple[Any, ...], weight_hh: Any, bias_hh: Any, weight_hr: Any = None
) -> tuple[Any, ...]:
    """New output and cell; `weight_hr` projects the output."""
    h, c = state
    gates = add(x, projected(h, weight_hh, bias_hh))
    h, c, _ = _lstm_gates(gates, _as(c, gates))
    return h if weight_hr is None else projected(h, weight_hr), c


def gru_step(x: Any, state: tuple[Any, ...], weight_hh: Any, bias_hh: Any) -> tuple[Any, ...]:
    """New state; the reset gate acts after the product, as in PyTorch and cuDNN."""
    (h,) = state
    own = projected(h, weight_hh, bias_hh)
    if tuple(x.shape) != tuple(own.shape) or x.dtype != own.dtype:
        x, own = (_as(a, add(x, own)) for a in (x, own))
    new, _ = _gru_gates(x, own, _as(h, own))
    return (new,)


# Public -------------------------------------------------------------------------------------------


def _check(
    name: str, gates: int, x: Any, h: Any, weights: tuple[Any, Any], biases: tuple[Any, Any]
) -> None:
    """Raise unless all fit a hidden state of the length of `h`."""
    kinds = {typeof(a).dtype.kind for a in (x, h)}
    if gates > 1 and "float" not in kinds:  # of which some libraries make floats
        names = " and ".join(typeof(a).dtype.name for a in (x, h))
        msg = f"{name}: arrays must have one real floating dtype; got {names}."
        raise located(DTypeError(msg))
    n = h.shape[-1] if h.shape else None
    inputs = x.shape[-1] if x.shape else None
    wanted = ((gates * (n or 0), inputs), (gates * (n or 0), n))
    shapes = tuple(tuple(w.shape) for w in weights)
    if shapes != wanted or any(b is not None and tuple(b.shape) != wanted[0][:1] for b in biases):
        given = " and ".join(str(typeof(a)) for a in (x, h, *weights, *biases) if a is not None)
        msg = (
            f"{name}: for x of shape (..., inputs) and a state of shape (..., hidden) the weights "
            f"must be of shapes ({gates} hidden, inputs) and ({gates} hidden, hidden), and biases "
            f"({gates} hidden,); got {given}."
        )
        raise located(ShapeError(msg))


@composite
def rnn_cell(
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None = None,
    bias_hh: Array | None = None,
    nonlinearity: str = "tanh",
) -> Any:
    """Step of an Elman network, ``tanh(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh)``.

    Parameters
    ----------
    x : array, shape (..., inputs)
    h : array, shape (..., hidden)
        The state before.
    weight_ih : array, shape (hidden, inputs)
    weight_hh : array, shape (hidden, hidden)
    bias_ih, bias_hh : array, shape (hidden,), optional
    nonlinearity : {"tanh", "relu"}

    Returns
    -------
    array, shape (..., hidden)
        The state after.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ValueError
        If there is no such nonlinearity.

    References
    ----------
    J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990.

    Examples
    --------
    >>> F.rnn_cell(np.ones(2), np.zeros(1), np.ones((1, 2)), np.ones((1, 1)), nonlinearity="relu")
    array([2.])
    """
    if nonlinearity not in NONLINEARITIES:
        msg = f'rnn_cell: nonlinearity must be "tanh" or "relu"; got {nonlinearity!r}.'
        raise located(ValueError(msg))
    _check("rnn_cell", 1, x, h, (weight_ih, weight_hh), (bias_ih, bias_hh))
    return rnn_step(projected(x, weight_ih, bias_ih), (h,), weight_hh, bias_hh, nonlinearity)[0]


@composite
def lstm_cell(
    x: Array,
    state: tuple[Array, Array],
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None = None,
    bias_hh: Array | None = None,
) -> Any:
    """Step of a long short-term memory: ``c' = σ(f) c + σ(i) tanh(g)``, ``h' = σ(o) tanh(c')``.

    The gates i, f, g, o are the quarters, in this order, of ``x W_ihᵀ + b_ih + h W_hhᵀ + b_hh``.

    Parameters
    ----------
    x : array, shape (..., inputs)
    state : tuple of array, both of shape (..., hidden)
        Output h and cell c before.
    weight_ih : array, shape (4 hidden, inputs)
    weight_hh : array, shape (4 hidden, hidden)
    bias_ih, bias_hh : array, shape (4 hidden,), optional

    Returns
    -------
    tuple of array
        Output and cell after.

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; F. Gers,
    J. Schmidhuber and F. Cummins, "Learning to forget", Neural Computation 12, 2000.

    Examples
    --------
    >>> w = np.zeros((4, 1))
    >>> F.lstm_cell(np.ones(1), (np.zeros(1), np.ones(1)), w, w)[1]  # half is forgotten
    array([0.5])
    """
    _check("lstm_cell", 4, x, state[0], (weight_ih, weight_hh), (bias_ih, bias_hh))
    return lstm_step(projected(x, weight_ih, bias_ih), tuple(state), weight_hh, bias_hh)


@composite
def gru_cell(
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None = None,
    bias_hh: Array | None = None,
) -> Any:
    """Step of a gated recurrent unit: ``n = tanh(n_x + σ(r) n_h)``, ``h' = n + σ(z) (h − n)``.

    The gates r, z, n are the thirds of ``x W_ihᵀ + b_ih`` and ``h W_hhᵀ + b_hh``, which are added
    up but for n.

    Parameters
    ----------
    x : array, shape (..., inputs)
    h : array, shape (..., hidden)
        The state before.
    weight_ih : array, shape (3 hidden, inputs)
    weight_hh : array, shape (3 hidden, hidden)
    bias_ih, bias_hh : array, shape (3 hidden,), optional

    Returns
    -------
    array, shape (..., hidden)
        The state after.

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    References
    ----------
    K. Cho et al., "Learning phrase representations using RNN encoder–decoder", EMNLP 2014,
    https://arxiv.org/abs/1406.1078, with the reset gate after the product.

    Examples
    --------
    >>> w = np.zeros((3, 1))
    >>> F.gru_cell(np.ones(1), np.ones(1), w, w)
    array([0.5])
    """
    _check("gru_cell", 3, x, h, (weight_ih, weight_hh), (bias_ih, bias_hh))
    return gru_step(projected(x, weight_ih, bias_ih), (h,), weight_hh, bias_hh)[0]
