"""Functions of kernels against more digits, over all floats and near what is special."""

import numpy as np
import pytest

from volta.compile import functions
from volta.compile.kernel import Builder, Kernel, Operand, Result
from volta.compile.native import llvm, machine, vectors
from volta.core.types import DTYPES

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed"),
]
LIMITS = {"float32": 4, "float64": 2}  # units in the last place
MORE = {"float32": np.float64, "float64": np.longdouble}


def kernel_of(name, dtype, count):
    builder = Builder()
    x = builder.load(0, DTYPES[dtype])
    out = getattr(builder.namespace, name)(x)
    kind = Operand(DTYPES[dtype], (count,), (1,))
    result = Result(out.number, (1,))
    return Kernel((count,), (), (), (kind,), tuple(builder.nodes), (result,))


def numbers(dtype, count):
    """Of any bits, and of sizes at which functions change."""
    rng = np.random.default_rng(0)
    dtype = np.dtype(dtype)
    info = np.finfo(dtype)
    special = [0.0, np.inf, np.nan, 1.0, 1 - info.eps, 1 + info.eps, info.max, info.tiny]
    special += [info.smallest_subnormal, info.tiny * 0.75, np.log(info.max), 0.5, np.sqrt(0.5)]
    return np.concatenate(
        [
            np.asarray([*special, *(-x for x in special)], dtype),
            rng.integers(0, 256, count * dtype.itemsize, np.uint8).view(dtype),
            *(
                x.astype(dtype)
                for x in (
                    rng.normal(0, 1, count),
                    rng.normal(1, 0.3, count),
                    rng.normal(0, 1e-3, count),
                    rng.uniform(-110, 110, count),
                    rng.uniform(-750, 750, count),
                    np.exp(rng.uniform(-40, 40, count)),
                    -np.exp(rng.uniform(-40, 0, count)),
                )
            ),
        ]
    )


@pytest.mark.parametrize("wide", [64, 32])
@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("name", functions.__all__)
def test_errors_in_the_last_place(monkeypatch, name, dtype, wide):
    if wide > machine.vector_bytes():
        pytest.skip("the processor has no such vectors")
    monkeypatch.setattr(vectors, "vector_bytes", lambda: wide)
    if dtype == "float64" and np.finfo(np.longdouble).nmant < 60:
        pytest.skip("NumPy's longdouble has no more digits here")
    x = numbers(dtype, 50_000)
    (native,), _ = llvm.functions([kernel_of(name, dtype, len(x))])
    out = np.empty_like(x)
    assert native(x, out)
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(x.astype(MORE[dtype]))
        nearest = wanted.astype(dtype)
        np.testing.assert_array_equal(np.isnan(out), np.isnan(nearest))
        number = ~np.isnan(nearest)
        np.testing.assert_array_equal(np.signbit(out)[number], np.signbit(nearest)[number])
        unit = np.spacing(np.maximum(np.abs(nearest), np.finfo(dtype).tiny))
        finite = number & np.isfinite(nearest)
        errors = np.abs(out[finite] - wanted[finite]) / unit[finite]
        infinite = number & ~finite  # or the largest float, next to it
        np.testing.assert_array_equal(np.isinf(out[infinite]), True)
    assert errors.max() <= LIMITS[dtype], x[finite][errors.argmax()]
