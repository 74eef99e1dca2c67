"""The laws on a device: every row's value, derivatives and lanes, against NumPy's in float32.

Every fourth row's value is compared by default, and few of the others; all are by `slow`.
"""

import re

import numpy as np
import pytest
from coverage_table import NO_KERNEL
from laws.test_compiled import of_row, rows

import volta
import volta.wgpu
from volta.core.errors import DTypeError, RuleError
from volta.core.types import as_dtype

HOST = {  # rows that are of the host, and why
    "to_device": "names the host as a device",
    "conv_weight": "closes over an array of NumPy's",
}

DRAWS = {  # rows that draw by a dtype which a device may lack, and then draw others
    "int64": ("random.choice-array", "random.randint"),
    "float64": ("random.binomial", "random.geometric", "random.multinomial", "random.poisson"),
}


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


def has():
    """Dtypes of the device."""
    return {*volta.wgpu.__array_namespace_info__().dtypes(), "bfloat16"}


def on_device(name):
    """The dtype that the device has for one: integers have 32 bits where it has no more."""
    narrow = "int" in name and name not in has()
    return name.replace("64", "32") if narrow else name


def lacking(x):
    """Dtypes of a tree that the device has not."""
    return ", ".join(sorted({on_device(name) for name in dtypes_of(x)} - has()))


def compared(found, wanted, atol):
    for x, y in zip(volta.tree.leaves(found), volta.tree.leaves(wanted), strict=True):
        if not isinstance(x, volta.wgpu.Array):
            np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-4, atol=1e-5)
            continue
        assert x.shape == y.shape
        assert x.dtype.name == on_device(as_dtype(y.dtype).name)
        if x.dtype.kind != "float":
            np.testing.assert_array_equal(x.to_numpy(), y)
            continue
        size = np.max(np.abs(y[np.isfinite(y)]), initial=1e-30)
        np.testing.assert_allclose(x.to_numpy(), y, rtol=2e-4, atol=atol * size)


def cases():
    for i, (sample, run) in enumerate(rows()):
        marks = () if i % (4 if run == "value" else 29) == 0 else pytest.mark.slow
        yield pytest.param(sample, run, marks=marks, id=f"{sample.id}-{run}")


@pytest.mark.parametrize(("sample", "run"), [*cases()])
def test_laws_on_a_device(first, sample, run):
    if sample.id in HOST and (run != "value" or sample.id == "to_device"):
        pytest.skip(HOST[sample.id])
    fun, args = of_row(sample, run)
    try:
        fun(*narrowed(args))
        args = narrowed(args)
    except DTypeError:  # of a row that asks for 64 bits
        pass
    if lacks := lacking(args):
        pytest.skip(f"the row asks for {lacks}, which the device has not")
    for dtype, names in DRAWS.items():
        if sample.id in names and dtype not in has():
            pytest.skip(f"it draws by {dtype}, which the device has not")
    wanted = fun(*args)
    if lacks := lacking(wanted):
        pytest.skip(f"the row asks for {lacks}, which the device has not")
    try:
        found = fun(*to_device(args, first))
    except RuleError as error:
        (name,) = re.findall(r"(\w+): volta.wgpu must have a kernel", str(error))
        if name not in NO_KERNEL:
            raise
        pytest.skip(f"{name} has no kernel")
    except DTypeError as error:
        if "must have it; got complex64." not in str(error):
            raise
        pytest.skip("the device has no complex64, which the function computes in on its way")
    # others divide and take roots less exactly, which sums may show that nearly cancel
    compared(found, wanted, 1e-5 if first.kind == "cpu" else 5e-5)
