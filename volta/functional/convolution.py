"""Convolutions and transposed convolutions, with PyTorch's names, layouts and arguments.

The arguments are read and checked here; how convolutions are computed is in `conv`.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from volta.core.errors import DTypeError, ShapeError
from volta.core.trace import located, ops
from volta.core.types import DTYPES, Array, as_dtype, promote
from volta.functional.axes import integer, per_axis
from volta.functional.conv.choice import estimates
from volta.functional.conv.options import ConvAlgo, algorithm, conv_options, current
from volta.functional.conv.primitives import conv as _conv
from volta.functional.conv.primitives import conv_input, geometry, result_lengths
from volta.functional.declare import composite, structural
from volta.functional.elementwise import add
from volta.functional.manipulation import expand_dims, reshape, squeeze

__all__ = [
    "ConvAlgo",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_algo",
    "conv_options",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

Sizes = tuple[int, ...]
Numbers = int | Sequence[int]
Padding = int | str | Sequence[Any]


# Arguments ----------------------------------------------------------------------------------------


def _padding(
    name: str,
    value: Any,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """A pair of numbers for each axis of space."""
    nd = len(kernel)
    if isinstance(value, str):
        if value not in ("same", "valid"):
            msg = f"{name}: padding must be ints, 'same' or 'valid'; got {value!r}."
            raise located(ValueError(msg))
        if value == "valid":
            return ((0, 0),) * nd
        if any(s != 1 for s in stride):
            msg = f"{name}: padding 'same' must come with stride 1; got stride {stride}."
            raise located(ValueError(msg))
        reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((n // 2, n - n // 2) for n in reach)
    if isinstance(value, tuple | list) and any(isinstance(v, tuple | list) for v in value):
        pairs = [per_axis(name, "padding", v, 2, 0) for v in value]
        if len(pairs) != nd:
            msg = f"{name}: padding must have a pair for each of {nd} axes; got {value!r}."
            raise located(ValueError(msg))
        return tuple((low, high) for low, high in pairs)
    return tuple((n, n) for n in per_axis(name, "padding", value, nd, 0))


def _check_channels(
    name: str, shape: Sizes, kernel: Sizes, bias: Sizes | None, groups: int, transposed: bool
) -> None:
    """Whether the shapes of input, weight and bias fit together."""
    nd = int(name[-2])
    channels = ("in", "out / groups") if transposed else ("out", "in / groups")
    if len(shape) not in (nd + 1, nd + 2) or len(kernel) != nd + 2:
        msg = (
            f"{name}: the input must have axes (batch, channels, {nd} of space) or no batch, and "
            f"the weight ({', '.join(channels)}, {nd} of space); got input of shape {shape} and "
            f"weight of shape {kernel}."
        )
        raise located(ShapeError(msg))
    inputs = shape[-nd - 1]
    expected = kernel[0] if transposed else kernel[1] * groups
    if inputs != expected or kernel[0] % groups:
        msg = (
            f"{name}: the weight ({', '.join(channels)}, …) must fit the input's channels in "
            f"{groups} groups; got weight of shape {kernel} and input of shape {shape}."
        )
        raise located(ShapeError(msg))
    outputs = kernel[1] * groups if transposed else kernel[0]
    if bias is not None and bias != (outputs,):
        msg = (
            f"{name}: bias must have one number for each of {outputs} output channels; got bias "
            f"of shape {bias} and weight of shape {kernel}."
        )
        raise located(ShapeError(msg))


def _promoted(name: str, x: Any, weight: Any) -> tuple[Any, Any]:
    """Operands of one numeric dtype."""
    first, second = as_dtype(x.dtype), as_dtype(weight.dtype)
    if first is second and first.kind != "bool":
        return x, weight
    dtype = promote((first, second))
    if dtype is None or dtype.kind == "bool":
        msg = (
            f"{name}: input and weight must be of numeric dtypes that promote; got {first.name} "
            f"and {second.name}. Convert one with F.astype."
        )
        raise located(DTypeError(msg))
    return ops.astype(x, dtype, copy=False), ops.astype(weight, dtype, copy=False)


def _groups(name: str, groups: Any) -> int:
    number = integer(name, "groups", groups)
    if number < 1:
        msg = f"{name}: groups must be at least 1; got {groups}."
        raise located(ValueError(msg))
    return number


def _parameters(
    name: str,
    kernel: Sizes,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    algo: Any,
    options: tuple[int, str],
) -> dict[str, Any]:
    """Parameters of the primitive."""
    nd = len(kernel)
    stride = per_axis(name, "stride", stride, nd, 1)
    dilation = per_axis(name, "dilation", dilation, nd, 1)
    return {
        "stride": stride,
        "padding": _padding(name, padding, kernel, stride, dilation),
        "dilation": dilation,
        "groups": groups,
        "algo": algorithm(name, algo),
        "memory_cap": options[0],
        "precision": options[1],
    }


def _of_convolution(
    name: str,
    shape: Sizes,
    kernel: Sizes,
    bias: Sizes | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    algo: Any,
    options: tuple[int, str],
) -> dict[str, Any]:
    """Parameters of a convolution whose arrays have these shapes."""
    groups = _groups(name, groups)
    _check_channels(name, shape, kernel, bias, groups, transposed=False)
    space = kernel[2:]
    params = _parameters(name, space, stride, padding, dilation, groups, algo, options)
    lengths = result_lengths(shape[-len(space) :], space, params)
    if any(n < 1 for n in lengths) or 0 in space:
        msg = (
            f"{name}: the kernel must have elements and fit into the padded input; got weight of "
            f"shape {kernel} and input of shape {shape}, with padding {params['padding']} and "
            f"dilation {params['dilation']}."
        )
        raise located(ShapeError(msg))
    return params


def _of_transposed(
    name: str,
    shape: Sizes,
    kernel: Sizes,
    bias: Sizes | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
    algo: Any,
    options: tuple[int, str],
) -> dict[str, Any]:
    """Parameters of a transposed convolution whose arrays have these shapes."""
    groups = _groups(name, groups)
    _check_channels(name, shape, kernel, bias, groups, transposed=True)
    if isinstance(padding, str):
        msg = f"{name}: padding must be ints; got {padding!r}."
        raise located(ValueError(msg))
    space = kernel[2:]
    params = _parameters(name, space, stride, padding, dilation, groups, algo, options)
    more = per_axis(name, "output_padding", output_padding, len(space), 0)
    most = map(max, params["stride"], params["dilation"])
    if any(n >= m for n, m in zip(more, most, strict=True)):
        msg = (
            f"{name}: output_padding must be less than stride or dilation; got {more}, stride "
            f"{params['stride']} and dilation {params['dilation']}."
        )
        raise located(ValueError(msg))
    pairs = tuple((low, high - n) for (low, high), n in zip(params["padding"], more, strict=True))
    before = shape[-len(space) :]
    lengths = tuple(
        (n - 1) * s + d * (k - 1) + 1 - low - high
        for n, k, s, d, (low, high) in zip(
            before, space, params["stride"], params["dilation"], pairs, strict=True
        )
    )
    if any(n < 1 for n in lengths) or 0 in (*space, *before):
        msg = (
            f"{name}: input and kernel must have elements, and more than the padding takes away; "
            f"got input of shape {shape} and weight of shape {kernel}, which give lengths "
            f"{lengths}."
        )
        raise located(ShapeError(msg))
    return {**params, "padding": pairs, "lengths": lengths}


def _remembered(check: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """`check` with what it found before: layers call with the same arguments again and again."""
    cached = lru_cache(maxsize=1024, typed=True)(check)

    def checked(*args: Any) -> dict[str, Any]:
        try:
            return cached(*args)
        except TypeError:  # a list, or an argument that is of a wrong type altogether
            return check(*args)

    return checked


def _applied(check: Callable[..., dict[str, Any]], apply: Any, nd: int) -> Callable[..., Any]:
    """Function of input, weight and bias, and of what `check` asks for besides shapes."""
    name = f"conv{nd}d" if apply is _conv else f"conv_transpose{nd}d"
    column = (-1, *(1,) * nd)

    def call(x: Any, weight: Any, bias: Any, *arguments: Any) -> Any:
        b_shape = None if bias is None else tuple(bias.shape)
        params = check(name, tuple(x.shape), tuple(weight.shape), b_shape, *arguments, current())
        x, weight = _promoted(name, x, weight)
        batched = x.ndim == nd + 2
        y = apply(x if batched else expand_dims(x, axis=0), weight, **params)
        if bias is not None:
            y = add(y, reshape(bias, column if b_shape != (0,) else (0, *column[1:])))
        return y if batched else squeeze(y, 0)

    return call


_convolved: Any = [_applied(_remembered(_of_convolution), _conv, nd) for nd in (1, 2, 3)]
_transposed: Any = [_applied(_remembered(_of_transposed), conv_input, nd) for nd in (1, 2, 3)]


# Convolution --------------------------------------------------------------------------------------


@structural(_conv)
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Numbers = 1,
    padding: Padding = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    algo: ConvAlgo | str = "auto",
) -> Any:
    """Convolution of images, ``y[o, p] = bias[o] + Σ x[c, stride p + dilation k] weight[o, c, k]``.

    Parameters
    ----------
    x : array, shape (batch, in, height, width) or (in, height, width)
        Of numeric dtype; 16-bit floats are added up in 32 bits.
    weight : array, shape (out, in / groups, kernel height, kernel width)
    bias : array, shape (out,), optional
    stride : int or pair of int
        Steps between the places of the kernel.
    padding : int, pair, pair of pairs, or str
        Zeros around the input: as many on all sides, along each axis, or before and after along
        each axis; ``"valid"``, none; or ``"same"``, as many as let the result be as large as the
        input, where strides are 1 (of an odd number the last lies after).
    dilation : int or pair of int
        Distance between the elements of the kernel.
    groups : int
        The channels are in so many groups, each of which has its own outputs.
    algo : ConvAlgo or str
        How to compute it; see `ConvAlgo`. By default the fastest by estimate (`conv_algo`), on
        torch's and JAX's arrays their own convolution. Derivatives use the same.

    Returns
    -------
    array, shape (batch, out, rows, columns), or without batch as the input
        Of the promoted dtype, with ⌊(n + padding − dilation (k − 1) − 1) / stride⌋ + 1 rows.

    Raises
    ------
    ShapeError
        If the shapes do not fit together, or the kernel is larger than the padded input.
    DTypeError
        If a dtype is boolean, or a number no integer.
    ValueError
        If an argument is out of range, or the algorithm does not apply or needs more memory than
        `conv_options` allow.

    Notes
    -----
    As in PyTorch, the kernel is not turned around: this is a cross-correlation. Sums are within
    4 √K eps Σ|x||w| of the exact ones, K being their number of products, except by algorithms
    that only ``precision="high"`` and ``"fast"`` of `conv_options` let ``"auto"`` choose.

    Examples
    --------
    >>> x = np.asarray([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    >>> F.conv2d(x, np.ones((1, 1, 2, 2)))
    array([[[[12., 16.],
             [24., 28.]]]])
    """
    return _convolved[1](x, weight, bias, stride, padding, dilation, groups, algo)


@structural(_conv)
def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Numbers = 1,
    padding: Padding = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    algo: ConvAlgo | str = "auto",
) -> Any:
    """Convolution of signals of several channels; see `conv2d`.

    Parameters
    ----------
    x : array, shape (batch, in, length) or (in, length)
    weight : array, shape (out, in / groups, kernel length)
    bias : array, shape (out,), optional
    stride, dilation, groups : int
    padding : int, pair of int in a sequence, or str
    algo : ConvAlgo or str
        As for `conv2d`.

    Returns
    -------
    array, shape (batch, out, places), or without batch as the input

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As `conv2d`.

    Examples
    --------
    >>> F.conv1d(np.asarray([[1.0, 2.0, 3.0]]), np.asarray([[[1.0, 10.0]]]), padding=1)
    array([[10., 21., 32.,  3.]])
    """
    return _convolved[0](x, weight, bias, stride, padding, dilation, groups, algo)


@structural(_conv)
def conv3d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Numbers = 1,
    padding: Padding = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    algo: ConvAlgo | str = "auto",
) -> Any:
    """Convolution of volumes; see `conv2d`.

    Parameters
    ----------
    x : array, shape (batch, in, depth, height, width) or (in, depth, height, width)
    weight : array, shape (out, in / groups, kernel depth, kernel height, kernel width)
    bias : array, shape (out,), optional
    stride, dilation : int or triple of int
    padding : int, triple, triple of pairs, or str
    groups : int
    algo : ConvAlgo or str
        As for `conv2d`.

    Returns
    -------
    array, shape (batch, out, *places), or without batch as the input

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As `conv2d`.

    Examples
    --------
    >>> F.conv3d(np.ones((2, 1, 4, 4, 4)), np.ones((3, 1, 2, 2, 2)), stride=2).shape
    (2, 3, 2, 2, 2)
    """
    return _convolved[2](x, weight, bias, stride, padding, dilation, groups, algo)


# Transposed convolution ---------------------------------------------------------------------------


@structural(conv_input)
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Numbers = 1,
    padding: Padding = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
    *,
    algo: ConvAlgo | str = "auto",
) -> Any:
    """Transpose of `conv2d`: every element of the input adds a multiple of the kernel.

    Parameters
    ----------
    x : array, shape (batch, in, height, width) or (in, height, width)
        Of numeric dtype; 16-bit floats are added up in 32 bits.
    weight : array, shape (in, out / groups, kernel height, kernel width)
    bias : array, shape (out,), optional
    stride : int or pair of int
        Steps between the kernel's places in the result.
    padding : int, pair, or pair of pairs
        How much of the result is taken away at its sides: what the convolution adds there.
    output_padding : int or pair of int
        How much the result goes on after that at its end; less than stride or dilation.
    groups : int
    dilation : int or pair of int
    algo : ConvAlgo or str
        As for `conv2d`.

    Returns
    -------
    array, shape (batch, out, rows, columns), or without batch as the input
        With (n − 1) stride + dilation (k − 1) + 1 − 2 padding + output_padding rows.

    Raises
    ------
    ShapeError
        If the shapes do not fit together, or nothing is left of the result.
    DTypeError
        If a dtype is boolean, or a number no integer.
    ValueError
        If an argument is out of range, or the algorithm does not apply or needs more memory than
        `conv_options` allow.

    Examples
    --------
    >>> F.conv_transpose2d(np.asarray([[[1.0, 2.0]]]), np.ones((1, 1, 2, 2)), stride=2)
    array([[[1., 1., 2., 2.],
            [1., 1., 2., 2.]]])
    """
    return _transposed[1](x, weight, bias, stride, padding, output_padding, groups, dilation, algo)


@structural(conv_input)
def conv_transpose1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Numbers = 1,
    padding: Padding = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
    *,
    algo: ConvAlgo | str = "auto",
) -> Any:
    """Transpose of `conv1d`; see `conv_transpose2d`.

    Parameters
    ----------
    x : array, shape (batch, in, length) or (in, length)
    weight : array, shape (in, out / groups, kernel length)
    bias : array, shape (out,), optional
    stride, padding, output_padding, groups, dilation : int
    algo : ConvAlgo or str
        As for `conv_transpose2d`.

    Returns
    -------
    array, shape (batch, out, places), or without batch as the input

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As `conv_transpose2d`.

    Examples
    --------
    >>> F.conv_transpose1d(np.asarray([[1.0, 2.0]]), np.asarray([[[1.0, 10.0]]]))
    array([[ 1., 12., 20.]])
    """
    return _transposed[0](x, weight, bias, stride, padding, output_padding, groups, dilation, algo)


@structural(conv_input)
def conv_transpose3d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Numbers = 1,
    padding: Padding = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
    *,
    algo: ConvAlgo | str = "auto",
) -> Any:
    """Transpose of `conv3d`; see `conv_transpose2d`.

    Parameters
    ----------
    x : array, shape (batch, in, depth, height, width) or (in, depth, height, width)
    weight : array, shape (in, out / groups, kernel depth, kernel height, kernel width)
    bias : array, shape (out,), optional
    stride, output_padding, dilation : int or triple of int
    padding : int, triple, or triple of pairs
    groups : int
    algo : ConvAlgo or str
        As for `conv_transpose2d`.

    Returns
    -------
    array, shape (batch, out, *places), or without batch as the input

    Raises
    ------
    ShapeError, DTypeError, ValueError
        As `conv_transpose2d`.

    Examples
    --------
    >>> F.conv_transpose3d(np.ones((2, 1, 2, 2, 2)), np.ones((1, 3, 2, 2, 2)), stride=2).shape
    (2, 3, 4, 4, 4)
    """
    return _transposed[2](x, weight, bias, stride, padding, output_padding, groups, dilation, algo)


# What is chosen, and why --------------------------------------------------------------------------


class Choice(NamedTuple):
    """What `conv_algo` finds, and what it knows of each algorithm.

    Attributes
    ----------
    algo : ConvAlgo
    estimates : dict of str to Estimate
        Seconds, bytes of memory, and why an algorithm is not chosen, by its name.
    """

    algo: ConvAlgo
    estimates: dict[str, Any]

    def __str__(self) -> str:
        lines = [f"{self.algo}, of:"]
        for name, e in self.estimates.items():
            cost = f"{1e3 * e.seconds:10.3f} ms {e.memory / 2**20:10.2f} MiB"
            lines.append(f"  {name:10}{cost}  {e.note}".rstrip())
        return "\n".join(lines)


@composite
def conv_algo(
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    stride: Numbers = 1,
    padding: Padding = 0,
    dilation: Numbers = 1,
    groups: int = 1,
    *,
    dtype: Any = None,
    of: str = "result",
) -> Any:
    """Tell which algorithm a convolution on NumPy's arrays is computed by, and why.

    Parameters
    ----------
    x_shape, weight_shape : sequence of int
        Shapes of the input, with its batch, and of the weight; one to three axes of space.
    stride, padding, dilation, groups
        As for `conv2d`.
    dtype : dtype, optional
        By default float32.
    of : str
        What is computed: the ``"result"``, or in the backward sweep the cotangent of the
        ``"input"`` (which is what a transposed convolution computes) or of the ``"weight"``.

    Returns
    -------
    Choice
        With attributes ``algo`` and ``estimates``, the seconds and bytes of each algorithm under
        the options of `conv_options`; it prints as a table.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    ValueError
        If an argument is out of range.

    Notes
    -----
    The time is a sum of what is done at fixed speeds: floating-point operations of matrix
    products and of Fourier transforms, bytes read and written, pieces of memory copied, and
    calls. The speeds were measured on one thread of one machine.

    Examples
    --------
    >>> choice = F.conv_algo((8, 64, 28, 28), (128, 64, 3, 3), padding=1)
    >>> choice.algo
    <ConvAlgo.IM2COL: 'im2col'>
    >>> choice.estimates["winograd4"].note
    "precision must be 'fast'; got 'highest'"
    """
    shape, kernel = tuple(map(int, x_shape)), tuple(map(int, weight_shape))
    nd = len(kernel) - 2
    groups = _groups("conv_algo", groups)
    if of not in ("result", "input", "weight"):
        msg = f"conv_algo: of must be 'result', 'input' or 'weight'; got {of!r}."
        raise located(ValueError(msg))
    if nd < 1 or len(shape) != nd + 2 or shape[1] != kernel[1] * groups or kernel[0] % groups:
        msg = (
            "conv_algo: the shapes must be (batch, in, …) and (out, in / groups, …) with as many "
            f"axes of space; got {shape} and {kernel} in {groups} groups."
        )
        raise located(ShapeError(msg))
    wanted = DTYPES["float32"] if dtype is None else as_dtype(dtype)
    params = _parameters(
        "conv_algo", kernel[2:], stride, padding, dilation, groups, "auto", current()
    )
    lengths = result_lengths(shape[2:], kernel[2:], params)
    if any(n < 1 for n in lengths):
        msg = (
            "conv_algo: the kernel must fit into the padded input; got weight of shape "
            f"{kernel} and input of shape {shape}."
        )
        raise located(ShapeError(msg))
    g = geometry(shape, kernel, (shape[0], kernel[0], *lengths), params)
    found = estimates(g, wanted, of, params["memory_cap"], params["precision"])
    allowed = {n: e for n, (e, _) in found.items() if not e.note}
    best = min(allowed, key=lambda n: allowed[n].seconds)
    return Choice(ConvAlgo(best), {n: e for n, (e, _) in found.items()})
