"""Steps of recurrent networks, with PyTorch's weights and order of gates."""

from typing import Any, Final

from volta.core.errors import ShapeError
from volta.core.trace import located
from volta.core.types import Array, typeof
from volta.functional.activation import relu, sigmoid
from volta.functional.declare import composite
from volta.functional.elementwise import add, multiply, subtract, tanh
from volta.functional.manipulation import matrix_transpose
from volta.functional.products import matmul

__all__ = ["gru_cell", "lstm_cell", "rnn_cell"]

NONLINEARITIES: Final = {"tanh": tanh, "relu": relu}


# Steps of an input that was multiplied by its weight already ------------------------------------


def projected(x: Any, weight: Any, *biases: Any) -> Any:
    """``x Wᵀ`` and the biases that there are."""
    out = matmul(x, matrix_transpose(weight))
    for bias in biases:
        out = out if bias is None else add(out, bias)
    return out


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
    n = c.shape[-1]
    gates = add(x, projected(h, weight_hh, bias_hh))
    doors = sigmoid(gates[..., : 2 * n])  # input, forget
    kept = multiply(doors[..., n:], c)
    c = add(kept, multiply(doors[..., :n], tanh(gates[..., 2 * n : 3 * n])))
    h = multiply(sigmoid(gates[..., 3 * n :]), tanh(c))
    return h if weight_hr is None else projected(h, weight_hr), c


def gru_step(x: Any, state: tuple[Any, ...], weight_hh: Any, bias_hh: Any) -> tuple[Any, ...]:
    """New state; the reset gate acts after the product, as in PyTorch and cuDNN."""
    (h,) = state
    n = h.shape[-1]
    own = projected(h, weight_hh, bias_hh)
    doors = sigmoid(add(x[..., : 2 * n], own[..., : 2 * n]))  # reset, update
    new = tanh(add(x[..., 2 * n :], multiply(doors[..., :n], own[..., 2 * n :])))
    return (add(new, multiply(doors[..., n:], subtract(h, new))),)


# Public -------------------------------------------------------------------------------------------


def _check(
    name: str, gates: int, x: Any, h: Any, weights: tuple[Any, Any], biases: tuple[Any, Any]
) -> None:
    """Raise unless all fit a hidden state of the length of `h`."""
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
