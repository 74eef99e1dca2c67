"""What may be chosen about convolutions: the algorithm, its memory and its precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, Final

from volta.core.context import SETTINGS
from volta.core.trace import located
from volta.functional.conv.choice import PRECISIONS

__all__ = ["ConvAlgo", "algorithm", "conv_options", "current"]


class ConvAlgo(StrEnum):
    """Algorithms of convolution; each is equal to its name in lower case.

    ``DIRECT`` sums up products by the definition, without matrix products; ``IM2COL`` multiplies
    matrices of columns, made for some images or rows at a time; ``IGEMM`` (implicit GEMM)
    multiplies what each element of the kernel sees. All three take any convolution, of any dtype.

    ``WINOGRAD2`` is Winograd's F(2×2, 3×3), ``WINOGRAD4`` F(4×4, 3×3), for kernels of 3 elements
    along every axis with stride and dilation 1. ``FFT`` multiplies Fourier transforms. Their
    rounding errors are relative to the largest numbers near an element of the result, not to the
    products that it is the sum of, and an infinity or NaN spreads further than the kernel.

    ``AUTO`` is the fastest by estimate that the options allow; see `conv_options`, `conv_algo`.

    Examples
    --------
    >>> F.ConvAlgo.WINOGRAD2 == "winograd2"
    True
    """

    DIRECT = "direct"
    IM2COL = "im2col"
    IGEMM = "igemm"
    WINOGRAD2 = "winograd2"
    WINOGRAD4 = "winograd4"
    FFT = "fft"
    AUTO = "auto"


_Options = tuple[int, str]
_CURRENT: Final[ContextVar[_Options]] = ContextVar(
    "volta.conv_options", default=(256 * 2**20, "highest")
)
SETTINGS.append(_CURRENT)


def current() -> _Options:
    """Memory cap and precision."""
    return _CURRENT.get()


@contextmanager
def conv_options(memory_cap: int | None = None, precision: str | None = None) -> Iterator[None]:
    """Set what convolutions may use, in a ``with`` block.

    Parameters
    ----------
    memory_cap : int, optional
        Bytes that an algorithm may take at once, besides operands and result; 256 MiB at first.
        Algorithms divide their work into images, rows and channels to stay below it. Under `jit`
        it is that of each thread, where several share the images.
    precision : str, optional
        What ``algo="auto"`` chooses among. ``"highest"``, at first: algorithms that add up the
        products of each element, with an error relative to these. ``"high"``: also ``"fft"`` and
        ``"winograd2"``, whose error is relative to the largest numbers nearby. ``"fast"``: also
        ``"winograd4"``, whose error is some ten times as large.

    Yields
    ------
    None

    Raises
    ------
    ValueError
        If the cap is not positive, or there is no such precision.

    Notes
    -----
    What is traced keeps the options of when it was traced; the backward sweep has those of the
    operations that it belongs to. Torch's and JAX's own convolutions, which ``"auto"`` takes on
    their arrays, know nothing of the options.

    Examples
    --------
    >>> with F.conv_options(memory_cap=2**20):
    ...     F.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))).shape
    (1, 1, 2, 2)
    """
    cap, grade = _CURRENT.get()
    if memory_cap is not None:
        cap = int(memory_cap)
        if cap < 1:
            msg = f"conv_options: memory_cap must be a positive number of bytes; got {memory_cap}."
            raise ValueError(msg)
    if precision is not None:
        grade = precision
        if grade not in PRECISIONS:
            msg = f"conv_options: precision must be one of {', '.join(PRECISIONS)}; got {grade!r}."
            raise ValueError(msg)
    token = _CURRENT.set((cap, grade))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def algorithm(name: str, algo: Any) -> str:
    """Name of an algorithm that there is; `name` is the function that was asked."""
    try:
        return ConvAlgo(algo).value
    except ValueError:
        msg = f"{name}: algo must be one of {', '.join(ConvAlgo)}; got {algo!r}."
        raise located(ValueError(msg)) from None
