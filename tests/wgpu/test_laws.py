"""The laws on a device: every row's value, derivatives and lanes, against NumPy's in float32."""

import numpy as np
import pytest
from laws.test_compiled import of_row, rows

import volta
import volta.wgpu
from volta.core.errors import DTypeError
from volta.core.types import as_dtype


def narrowed(x):
    """A tree with floats of 32 bits."""

    def leaf(a):
        if isinstance(a, np.ndarray | np.generic) and a.dtype == np.float64:
            return np.asarray(a, np.float32)
        return a

    return volta.tree.map(leaf, x)


def to_device(x, device):
    return volta.tree.map(
        lambda a: volta.wgpu.asarray(a, device=device) if isinstance(a, np.ndarray) else a, x
    )


def dtypes_of(x):
    return {as_dtype(a.dtype).name for a in volta.tree.leaves(x) if hasattr(a, "dtype")}


def compared(found, wanted):
    for x, y in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
        if not isinstance(x, volta.wgpu.Array):
            np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-4, atol=1e-5)
            continue
        assert x.shape == y.shape
        assert x.dtype == y.dtype
        if x.dtype.kind != "float":
            np.testing.assert_array_equal(x.to_numpy(), y)
            continue
        size = np.max(np.abs(y[np.isfinite(y)]), initial=1e-30)
        np.testing.assert_allclose(x.to_numpy(), y, rtol=2e-4, atol=1e-5 * size)


@pytest.mark.parametrize(
    ("sample", "run"), [*rows()], ids=lambda x: x if isinstance(x, str) else x.id
)
def test_laws_on_a_device(first, sample, run):
    fun, args = of_row(sample, run)
    try:
        fun(*narrowed(args))
        args = narrowed(args)
    except DTypeError:  # of a row that asks for 64 bits
        pass
    lacking = dtypes_of(args) - {*volta.wgpu.__array_namespace_info__().dtypes()}
    if lacking:
        pytest.skip(f"the device has no {', '.join(sorted(lacking))}")
    wanted = fun(*args)
    lacking = dtypes_of(wanted) - {*volta.wgpu.__array_namespace_info__().dtypes()}
    if lacking:
        pytest.skip(f"the device has no {', '.join(sorted(lacking))}")
    found = fun(*to_device(args, first))
    compared(found, wanted)
