"""Recurrent layers: PyTorch's arguments, weights, names and order of gates."""

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from volta import functional as F  # noqa: N812 - the name that the documentation gives it
from volta.core.errors import ShapeError
from volta.core.trace import located
from volta.core.types import Array
from volta.functional import random
from volta.functional.recurrent import NONLINEARITIES, gru_step, lstm_step, projected, rnn_step
from volta.nn import init
from volta.nn.module import Module
from volta.nn.packing import PackedSequence, pack_padded_sequence, pad_packed_sequence
from volta.transforms import scan

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]


# Parameters ---------------------------------------------------------------------------------------


def _assign(layer: Any, shapes: dict[str, Any], key: Any, **where: Any) -> None:
    """Parameters uniform between ±1/√hidden, None where there is no shape."""
    bound = 1 / math.sqrt(layer.hidden_size)
    keys = F.unstack(random.split(key, len(shapes)))
    for (name, shape), k in zip(shapes.items(), keys, strict=True):
        value = None if shape is None else init.uniform(k, shape, -bound, bound, **where)
        setattr(layer, name, value)


def _check_sizes(name: str, **sizes: int) -> None:
    for size, n in sizes.items():
        if n < 1:
            msg = f"{name}: {size} must be positive; got {n}."
            raise located(ValueError(msg))


def _check_nonlinearity(name: str, nonlinearity: str) -> None:
    if nonlinearity not in NONLINEARITIES:
        msg = f'{name}: nonlinearity must be "tanh" or "relu"; got {nonlinearity!r}.'
        raise located(ValueError(msg))


# Cells --------------------------------------------------------------------------------------------


def _make_cell(
    cell: Any, gates: int, sizes: tuple[int, int], bias: bool, key: Any, **where: Any
) -> None:
    inputs, hidden = sizes
    _check_sizes(type(cell).__name__, input_size=inputs, hidden_size=hidden)
    cell.input_size, cell.hidden_size = inputs, hidden
    one = (gates * hidden,) if bias else None
    shapes: dict[str, Any] = {
        "weight_ih": (gates * hidden, inputs),
        "weight_hh": (gates * hidden, hidden),
        "bias_ih": one,
        "bias_hh": one,
    }
    _assign(cell, shapes, key, **where)


def _weights(cell: Any) -> tuple[Any, Any, Any, Any]:
    return cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh


class RNNCell(Module):
    """Step of an Elman network: `functional.rnn_cell`.

    Parameters
    ----------
    input_size, hidden_size : int
        Lengths of the input and of the state.
    bias : bool
        Whether there are biases.
    nonlinearity : {"tanh", "relu"}
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype : dtype, optional
        A real floating dtype; by default the default dtype, float32.
    xp, device : optional
        Array library and device of the parameters; by default those of `key`.

    Attributes
    ----------
    weight_ih : array, shape (hidden_size, input_size)
    weight_hh : array, shape (hidden_size, hidden_size)
    bias_ih, bias_hh : array, shape (hidden_size,), or None

    Raises
    ------
    ValueError
        If a size is not positive, or there is no such nonlinearity.
    ShapeError
        From a call, if the input or the state has another length.

    Notes
    -----
    All parameters start uniform between ±1/√hidden_size, as PyTorch's do.

    Examples
    --------
    >>> cell = volta.nn.RNNCell(3, 2, key=F.random.key(0))
    >>> h = cell(np.ones((5, 3), np.float32))
    >>> cell(np.ones((5, 3), np.float32), h).shape
    (5, 2)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        _check_nonlinearity("RNNCell", nonlinearity)
        self.nonlinearity = nonlinearity
        where = {"dtype": dtype, "xp": xp, "device": device}
        _make_cell(self, 1, (input_size, hidden_size), bias, key, **where)

    def __call__(self, x: Array, h: Array | None = None) -> Any:
        """State after `x`, of shape (..., input_size); zero before by default."""
        weights = _weights(self)
        h = _initial(self, x, weights) if h is None else h
        return F.rnn_cell(x, h, *weights, nonlinearity=self.nonlinearity)


class LSTMCell(Module):
    """Step of a long short-term memory: `functional.lstm_cell`.

    Parameters
    ----------
    input_size, hidden_size : int
        Lengths of the input and of the state.
    bias : bool
        Whether there are biases.
    key, dtype, xp, device
        As for `RNNCell`.

    Attributes
    ----------
    weight_ih : array, shape (4 hidden_size, input_size)
        Rows of the gates i, f, g, o.
    weight_hh : array, shape (4 hidden_size, hidden_size)
    bias_ih, bias_hh : array, shape (4 hidden_size,), or None

    Raises
    ------
    ValueError
        If a size is not positive.
    ShapeError
        From a call, if the input or the state has another length.

    Notes
    -----
    All parameters start uniform between ±1/√hidden_size, as PyTorch's do.

    Examples
    --------
    >>> cell = volta.nn.LSTMCell(3, 2, key=F.random.key(0))
    >>> h, c = cell(np.ones((5, 3), np.float32))
    >>> h, c = cell(np.ones((5, 3), np.float32), (h, c))
    >>> h.shape
    (5, 2)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        where = {"dtype": dtype, "xp": xp, "device": device}
        _make_cell(self, 4, (input_size, hidden_size), bias, key, **where)

    def __call__(self, x: Array, state: tuple[Array, Array] | None = None) -> Any:
        """Output and cell after `x`, of shape (..., input_size); zero before by default."""
        weights = _weights(self)
        if state is None:
            state = (_initial(self, x, weights),) * 2
        return F.lstm_cell(x, state, *weights)


class GRUCell(Module):
    """Step of a gated recurrent unit: `functional.gru_cell`.

    Parameters
    ----------
    input_size, hidden_size : int
        Lengths of the input and of the state.
    bias : bool
        Whether there are biases.
    key, dtype, xp, device
        As for `RNNCell`.

    Attributes
    ----------
    weight_ih : array, shape (3 hidden_size, input_size)
        Rows of the gates r, z, n.
    weight_hh : array, shape (3 hidden_size, hidden_size)
    bias_ih, bias_hh : array, shape (3 hidden_size,), or None

    Raises
    ------
    ValueError
        If a size is not positive.
    ShapeError
        From a call, if the input or the state has another length.

    Notes
    -----
    All parameters start uniform between ±1/√hidden_size, as PyTorch's do.

    Examples
    --------
    >>> cell = volta.nn.GRUCell(3, 2, key=F.random.key(0))
    >>> cell(np.ones((5, 3), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        where = {"dtype": dtype, "xp": xp, "device": device}
        _make_cell(self, 3, (input_size, hidden_size), bias, key, **where)

    def __call__(self, x: Array, h: Array | None = None) -> Any:
        """State after `x`, of shape (..., input_size); zero before by default."""
        weights = _weights(self)
        h = _initial(self, x, weights) if h is None else h
        return F.gru_cell(x, h, *weights)


def _initial(cell: Any, x: Any, weights: tuple[Any, Any, Any, Any]) -> Any:
    """Zero state: in the library, of the dtype and with the leading axes of the input."""
    _check_input(cell, x)
    return F.multiply(F.zeros_like(x[..., :1]), F.zeros_like(weights[1][0, :]))


def _check_input(layer: Any, x: Any) -> None:
    if not x.shape or x.shape[-1] != layer.input_size:
        msg = (
            f"{type(layer).__name__}: the last axis of the input must have input_size="
            f"{layer.input_size} elements; got input of shape {tuple(x.shape)}."
        )
        raise located(ShapeError(msg))


# Sequences ----------------------------------------------------------------------------------------


class _Kind(NamedTuple):
    """What distinguishes the layers of sequences."""

    gates: int
    states: int  # arrays of the state
    step: Any
    inner_bias: bool  # whether the state's bias belongs into the step


_RNN = _Kind(1, 1, rnn_step, False)
_LSTM = _Kind(4, 2, lstm_step, False)
_GRU = _Kind(3, 1, gru_step, True)


def _make(
    layer: Any,
    kind: _Kind,
    sizes: tuple[int, int, int],
    key: Any,
    *,
    bias: bool,
    batch_first: bool,
    dropout: float,
    bidirectional: bool,
    proj_size: int = 0,
    **where: Any,
) -> None:
    """Check and keep the arguments, and assign the parameters."""
    name = type(layer).__name__
    inputs, hidden, layers = sizes
    _check_sizes(name, input_size=inputs, hidden_size=hidden, num_layers=layers)
    if not 0 <= dropout <= 1:
        msg = f"{name}: dropout must be from 0 to 1; got {dropout}."
        raise located(ValueError(msg))
    if not 0 <= proj_size < hidden:
        msg = f"{name}: proj_size must be from 0 to hidden_size - 1; got {proj_size} and {hidden}."
        raise located(ValueError(msg))
    layer.input_size, layer.hidden_size, layer.num_layers = inputs, hidden, layers
    layer.bias, layer.batch_first, layer.dropout = bias, batch_first, dropout
    layer.bidirectional = bidirectional
    rows, out = kind.gates * hidden, proj_size or hidden
    shapes: dict[str, Any] = {}
    for i in range(layers):
        for suffix in _suffixes(layer, i):
            width = inputs if i == 0 else out * (2 if bidirectional else 1)
            shapes[f"weight_ih_{suffix}"] = (rows, width)
            shapes[f"weight_hh_{suffix}"] = (rows, out)
            if bias:
                shapes[f"bias_ih_{suffix}"] = shapes[f"bias_hh_{suffix}"] = (rows,)
            if proj_size:
                shapes[f"weight_hr_{suffix}"] = (proj_size, hidden)
    _assign(layer, shapes, key, **where)


def _suffixes(layer: Any, i: int) -> list[str]:
    return [f"l{i}", f"l{i}_reverse"] if layer.bidirectional else [f"l{i}"]


def _run(layer: Any, kind: _Kind, x: Any, state: Any, key: Any, step: Any = None) -> Any:
    """Outputs of the last layer, and the last states of all layers and directions."""
    if isinstance(x, PackedSequence):
        padded, lengths = pad_packed_sequence(x)
        out, states = _run_padded(layer, kind, padded, state, key, step, lengths)
        packed = pack_padded_sequence(out, lengths, enforce_sorted=False)
        return packed, states
    _check_input(layer, x)
    steps = x.shape[1 if layer.batch_first and x.ndim == 3 else 0]
    if x.ndim not in (2, 3) or not steps:
        msg = (
            f"{type(layer).__name__}: the input must have shape (length, input_size), or with a "
            f"batch three axes, and a step at least; got {tuple(x.shape)}."
        )
        raise located(ShapeError(msg))
    if x.ndim == 2:
        lanes = None if state is None else tuple(F.expand_dims(s, axis=1) for s in state)
        out, states = _run_padded(layer, kind, F.expand_dims(x, axis=1), lanes, key, step)
        return F.squeeze(out, axis=1), tuple(F.squeeze(s, axis=1) for s in states)
    x = F.moveaxis(x, 0, 1) if layer.batch_first else x
    out, states = _run_padded(layer, kind, x, state, key, step)
    return F.moveaxis(out, 0, 1) if layer.batch_first else out, states


def _run_padded(
    layer: Any,
    kind: _Kind,
    x: Any,
    state: Any,
    key: Any,
    step: Any = None,
    lengths: tuple[int, ...] | None = None,
) -> Any:
    """The same of `x`, shape (length, batch, input_size); beyond its length a sequence rests."""
    inside = None
    if lengths is not None:
        inside = (np.arange(x.shape[0])[:, None] < np.asarray(lengths))[..., None]
    dropping = layer.training and layer.dropout > 0 and layer.num_layers > 1
    if dropping and key is None:
        msg = (
            f"{type(layer).__name__}: a call in training with dropout must have a random key; got "
            "none. Pass key=F.random.key(seed), a new one in each step, or call eval()."
        )
        raise located(ValueError(msg))
    _check_state(layer, kind, state, x.shape[1])
    keys = F.unstack(random.split(key, layer.num_layers)) if dropping else None
    last: list[tuple[Any, ...]] = []
    for i in range(layer.num_layers):
        if keys is not None and i:
            x = F.dropout(x, layer.dropout, key=keys[i])
        outs = []
        for reverse, suffix in enumerate(_suffixes(layer, i)):
            own = None if state is None else tuple(s[len(last), ...] for s in state)
            final, out = _direction(layer, kind, x, own, suffix, bool(reverse), step, inside)
            last.append(final)
            outs.append(out)
        x = outs[0] if len(outs) == 1 else F.concat(outs, axis=-1)
    return x, tuple(F.stack(parts) for parts in zip(*last, strict=True))


def _check_state(layer: Any, kind: _Kind, state: Any, batch: int) -> None:
    lead = (layer.num_layers * (2 if layer.bidirectional else 1), batch)
    widths = (getattr(layer, "proj_size", 0) or layer.hidden_size, layer.hidden_size)
    wanted = [(*lead, n) for n in widths[: kind.states]]
    if state is not None and [tuple(s.shape) for s in state] != wanted:
        msg = (
            f"{type(layer).__name__}: the state must have the shape (layers and directions, batch, "
            f"hidden), {' and '.join(map(str, wanted))}; got "
            f"{' and '.join(str(tuple(s.shape)) for s in state)}."
        )
        raise located(ShapeError(msg))


def _direction(
    layer: Any,
    kind: _Kind,
    x: Any,
    state: Any,
    suffix: str,
    reverse: bool,
    step: Any,
    inside: Any,
) -> tuple[tuple[Any, ...], Any]:
    """Last state and outputs of one layer in one direction."""
    weight_hh = getattr(layer, f"weight_hh_{suffix}")
    bias_ih, bias_hh = (
        getattr(layer, f"{name}_{suffix}") if layer.bias else None
        for name in ("bias_ih", "bias_hh")
    )
    outside = () if kind.inner_bias else (bias_hh,)
    gates = projected(x, getattr(layer, f"weight_ih_{suffix}"), bias_ih, *outside)
    own = {}
    if getattr(layer, "proj_size", 0):
        own["weight_hr"] = getattr(layer, f"weight_hr_{suffix}")
    move = partial(step or kind.step, weight_hh=weight_hh, bias_hh=None, **own)
    if kind.inner_bias:
        move = partial(kind.step, weight_hh=weight_hh, bias_hh=bias_hh)
    if state is None:
        widths = (weight_hh.shape[1], layer.hidden_size)[: kind.states]
        state = tuple(F.zeros_like(gates[0, :, :n]) for n in widths)

    def body(state: Any, at: Any) -> Any:
        gates, inside = at
        new = move(gates, state)
        if inside is None:
            return new, new[0]
        held = tuple(F.where(inside, n, s) for n, s in zip(new, state, strict=True))
        return held, F.where(inside, new[0], 0.0)

    return scan(body, tuple(state), (gates, inside), reverse=reverse)


# Public layers of sequences -----------------------------------------------------------------------


class RNN(Module):
    """Elman network over sequences, in layers and perhaps both directions.

    Parameters
    ----------
    input_size, hidden_size : int
        Lengths of an input and of a state.
    num_layers : int
        Number of layers, each of which takes what the one before gives.
    nonlinearity : {"tanh", "relu"}
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether the batch is the first axis of inputs and outputs, and not the second.
    dropout : float
        Probability with which, in training, an output of a layer is dropped before the next.
    bidirectional : bool
        Whether each layer also runs from the end to the beginning; its outputs are joined.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype, xp, device
        As for `RNNCell`.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l0_reverse, … : array
        As of `RNNCell`, for each layer and direction.

    Raises
    ------
    ValueError
        If an argument is out of its range; from a call in training with dropout, without a key.
    ShapeError
        From a call, if the input or the state does not fit.

    Notes
    -----
    All parameters start uniform between ±1/√hidden_size, as PyTorch's do.

    Examples
    --------
    >>> layer = volta.nn.RNN(3, 2, num_layers=2, key=F.random.key(0))
    >>> out, h = layer(np.ones((7, 5, 3), np.float32))
    >>> out.shape, h.shape
    ((7, 5, 2), (2, 5, 2))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        _check_nonlinearity("RNN", nonlinearity)
        self.nonlinearity = nonlinearity
        _make(
            self,
            _RNN,
            (input_size, hidden_size, num_layers),
            key,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            dtype=dtype,
            xp=xp,
            device=device,
        )

    def __call__(self, x: Any, h: Array | None = None, *, key: Any = None) -> Any:
        """Outputs of the last layer, and the last states.

        `x` has shape (length, batch, input_size), or no batch, or is a `PackedSequence`; `h`, by
        default zero, and the states have shape (layers · directions, batch, hidden_size).
        """
        step = partial(rnn_step, nonlinearity=self.nonlinearity)
        out, (last,) = _run(self, _RNN, x, None if h is None else (h,), key, step)
        return out, last


class LSTM(Module):
    """Long short-term memory over sequences, in layers and perhaps both directions.

    Parameters
    ----------
    input_size, hidden_size : int
        Lengths of an input and of a state.
    num_layers : int
        Number of layers, each of which takes what the one before gives.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether the batch is the first axis of inputs and outputs, and not the second.
    dropout : float
        Probability with which, in training, an output of a layer is dropped before the next.
    bidirectional : bool
        Whether each layer also runs from the end to the beginning; its outputs are joined.
    proj_size : int
        Length to which outputs are projected by `weight_hr_l0`, …; 0 for none.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype, xp, device
        As for `RNNCell`.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l0_reverse, … : array
        As of `LSTMCell`, for each layer and direction.

    Raises
    ------
    ValueError
        If an argument is out of its range; from a call in training with dropout, without a key.
    ShapeError
        From a call, if the input or the state does not fit.

    Notes
    -----
    All parameters start uniform between ±1/√hidden_size, as PyTorch's do.

    Examples
    --------
    >>> layer = volta.nn.LSTM(3, 2, bidirectional=True, key=F.random.key(0))
    >>> out, (h, c) = layer(np.ones((7, 5, 3), np.float32))
    >>> out.shape, h.shape
    ((7, 5, 4), (2, 5, 2))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        self.proj_size = proj_size
        _make(
            self,
            _LSTM,
            (input_size, hidden_size, num_layers),
            key,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            proj_size=proj_size,
            dtype=dtype,
            xp=xp,
            device=device,
        )

    def __call__(self, x: Any, state: tuple[Array, Array] | None = None, *, key: Any = None) -> Any:
        """Outputs of the last layer, and the last outputs and cells of all.

        `x` has shape (length, batch, input_size), or no batch, or is a `PackedSequence`; both
        parts of the state, by default zero, have shape (layers · directions, batch, hidden_size).
        """
        return _run(self, _LSTM, x, state, key)


class GRU(Module):
    """Gated recurrent unit over sequences, in layers and perhaps both directions.

    Parameters
    ----------
    input_size, hidden_size : int
        Lengths of an input and of a state.
    num_layers : int
        Number of layers, each of which takes what the one before gives.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether the batch is the first axis of inputs and outputs, and not the second.
    dropout : float
        Probability with which, in training, an output of a layer is dropped before the next.
    bidirectional : bool
        Whether each layer also runs from the end to the beginning; its outputs are joined.
    key : array, shape (2,), uint32
        Random key of the initial values.
    dtype, xp, device
        As for `RNNCell`.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l0_reverse, … : array
        As of `GRUCell`, for each layer and direction.

    Raises
    ------
    ValueError
        If an argument is out of its range; from a call in training with dropout, without a key.
    ShapeError
        From a call, if the input or the state does not fit.

    Notes
    -----
    All parameters start uniform between ±1/√hidden_size, as PyTorch's do.

    Examples
    --------
    >>> layer = volta.nn.GRU(3, 2, batch_first=True, key=F.random.key(0))
    >>> out, h = layer(np.ones((5, 7, 3), np.float32))
    >>> out.shape, h.shape
    ((5, 7, 2), (1, 5, 2))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        key: Any,
        dtype: Any = None,
        xp: Any = None,
        device: Any = None,
    ) -> None:
        _make(
            self,
            _GRU,
            (input_size, hidden_size, num_layers),
            key,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            dtype=dtype,
            xp=xp,
            device=device,
        )

    def __call__(self, x: Any, h: Array | None = None, *, key: Any = None) -> Any:
        """Outputs of the last layer, and the last states; arguments as for `RNN`."""
        out, (last,) = _run(self, _GRU, x, None if h is None else (h,), key)
        return out, last
