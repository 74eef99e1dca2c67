"""What a row is: how to call an operation and on what.

Operands are float64 (or what the row says);
`diff` are those with derivatives. `errors` are calls that must fail, each with its message.
Exemptions stand in the row, with a reason.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import volta.functional as F
from volta.core.errors import BroadcastError, DTypeError

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
    order: int = 2  # highest derivative checked
    strict: str = ""  # why array-api-strict cannot run it
    torch: str = ""  # why torch cannot run it
    jax: str = ""  # why JAX cannot run it
    dask: str = ""  # why dask cannot run it
    vmap: str = ""  # why it has no vmap law
    tolerance: float = 1e-6

    def __post_init__(self):
        self.name = self.name or self.primitive

    def __repr__(self):
        return self.name


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


def add(primitive, fun, *args, **options):
    """Append a row; every floating or complex operand is differentiated unless `diff` says."""
    options.setdefault(
        "diff", tuple(i for i, a in enumerate(args) if np.asarray(a).dtype.kind in "fc")
    )
    chapter = sys._getframe(1).f_globals["__name__"].rpartition(".")[2]
    SAMPLES.append(Sample(primitive, fun, args, chapter=chapter, **options))
    global _rng
    _rng = np.random.default_rng(0)  # so that no row's operands depend on other rows
