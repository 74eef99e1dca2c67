"""What a row is: how to call an operation and on what.

Operands are float64 (or what the row says), constants of a row float32 where it does not ask for
more: a device may have no float64.
`diff` are those with derivatives. `errors` are calls that must fail, each with its message.
Exemptions stand in the row, with a reason. `of` is the public function that the row is for, from
which docs/coverage.md is made.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import volta.functional as F
from volta.core.errors import BroadcastError, DTypeError

EXTENSIONS = ("fft", "linalg", "random", "special")

_rng = np.random.default_rng(0)


def real(*shape, low=-2.0, high=2.0):
    """Uniform numbers, away from the kinks at the integers and halves."""
    x = _rng.uniform(low, high, shape)
    near = np.abs(x * 2 - np.round(x * 2)) < 0.1
    return np.asarray(np.where(near, x + 0.12, x))


def cplx(*shape):
    return _rng.normal(size=shape) + 1j * _rng.normal(size=shape)


def ints(*shape, low=0, high=10):
    return np.asarray(_rng.integers(low, high, shape))


def truth(*shape):
    return np.asarray(_rng.random(shape) < 0.5)


@dataclass
class Sample:
    primitive: str
    fun: Callable[..., Any]
    args: tuple[np.ndarray, ...]
    diff: tuple[int, ...] = ()
    errors: tuple[tuple[Callable[[], Any], type[Exception], str], ...] = ()
    name: str = ""
    chapter: str = ""  # file of the row
    strict: str = ""  # why array-api-strict cannot run it
    torch: str = ""  # why torch cannot run it
    jax: str = ""  # why JAX cannot run it
    dask: str = ""  # why dask cannot run it
    cupy: str = ""  # why CuPy cannot run it
    cuda: str = ""  # why torch cannot run it on a device of CUDA, besides `torch`
    vmap: str = ""  # why it has no vmap law
    jit: str = ""  # why its derivatives cannot be staged
    of: str = ""  # "" for what only other functions call
    reference: Callable[..., Any] | None = None  # whose finite differences count instead
    sixteen: str = ""  # why it does not run in 16 bits
    coarse: str = ""  # why derivatives are compared to 1e-3, not to 1e-6

    def __post_init__(self):
        self.name = self.name or self.primitive

    def __repr__(self):
        return self.name

    @property
    def id(self):
        """Name with the extension that it belongs to."""
        return f"{self.chapter}.{self.name}" if self.chapter in EXTENSIONS else self.name


def function(name):
    return getattr(F, name)


def arrays(*shapes):
    return tuple(np.zeros(s) for s in shapes)


def no_broadcast(fun):
    return (
        lambda: fun(*arrays((2, 3), (4,))),
        BroadcastError,
        r"the shapes must broadcast together; got \(2, 3\) and \(4,\)",
    )


def bad_dtype(fun, *args):
    return (lambda: fun(*args), DTypeError, "the dtype must be")


SAMPLES: list[Sample] = []


def public_name(chapter, name):
    """Name below `volta.functional` of the function that a row's name begins with, or ""."""
    name = name.partition("-")[0]
    space = getattr(F, chapter) if chapter in EXTENSIONS else F
    if name not in space.__all__:
        return ""
    return f"{chapter}.{name}" if chapter in EXTENSIONS else name


def add(primitive, fun, *args, **options):
    """Append a row; every floating or complex operand is differentiated unless `diff` says."""
    options.setdefault(
        "diff", tuple(i for i, a in enumerate(args) if np.asarray(a).dtype.kind in "fc")
    )
    frame = sys._getframe(1)
    if frame.f_code is compose.__code__:
        frame = frame.f_back
    chapter = frame.f_globals["__name__"].rpartition(".")[2]
    options.setdefault("of", public_name(chapter, options.get("name") or primitive))
    SAMPLES.append(Sample(primitive, fun, args, chapter=chapter, **options))
    global _rng
    _rng = np.random.default_rng(0)  # so that no row's operands depend on other rows


def compose(name, fun, *args, **options):
    """Append a row of a function that has no primitive of its own."""
    add("", fun, *args, name=name, **options)
