"""Convolutions by kernels."""

from types import SimpleNamespace

import numpy as np
import pytest
from wgpu_launches import ran, view_of

from volta.functional.conv.primitives import conv, conv_input, conv_weight, result_lengths
from volta.wgpu.kernels.convolution import convolution, convolution_input, convolution_weight

ROWS = {
    # batch, groups, inputs, outputs, space, kernel, stride, padding, dilation
    "one_axis": (2, 1, 3, 4, (11,), (3,), (1,), ((0, 0),), (1,)),
    "one_axis_all": (3, 2, 2, 3, (17,), (4,), (3,), ((2, 1),), (2,)),
    "plain": (2, 1, 3, 5, (9, 8), (3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "padded": (1, 1, 4, 9, (6, 7), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "strided": (2, 1, 3, 4, (9, 10), (3, 3), (2, 3), ((1, 0), (0, 2)), (1, 1)),
    "dilated": (2, 1, 3, 4, (9, 12), (3, 2), (1, 2), ((2, 1), (0, 3)), (2, 3)),
    "cropped": (2, 1, 2, 3, (9, 8), (2, 2), (1, 1), ((-2, 1), (1, -1)), (1, 1)),
    "depthwise": (2, 5, 1, 2, (7, 6), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    "pointwise": (2, 1, 5, 40, (5, 5), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "many_places": (4, 1, 1, 6, (28, 28), (5, 5), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "space": (2, 2, 2, 3, (5, 4, 6), (2, 3, 2), (2, 1, 2), ((0, 1), (1, 1), (2, 0)), (1, 1, 2)),
}


class Case:
    """A convolution, and its three arrays, drawn at random."""

    def __init__(self, row, dtype=np.float32):
        batch, groups, inputs, outputs, space, kernel, stride, padding, dilation = row
        self.params = {"stride": stride, "padding": padding, "dilation": dilation}
        self.params["groups"] = groups
        places = result_lengths(space, kernel, self.params)
        rng = np.random.default_rng(0)
        shapes = [(batch, groups * inputs, *space), (groups * outputs, inputs, *kernel)]
        shapes += [(batch, groups * outputs, *places)]
        self.x, self.w, self.y = ((4 * rng.standard_normal(s)).astype(dtype) for s in shapes)

    def wanted(self, name):
        options = {**self.params, "algo": "auto", "memory_cap": 1 << 30, "precision": "fast"}
        wide = np.float64 if self.x.dtype.kind == "f" else self.x.dtype
        x, w, y = (a.astype(wide) for a in (self.x, self.w, self.y))
        if name == "result":
            return conv(x, w, **options)
        if name == "input":
            return conv_input(y, w, lengths=x.shape[2:], **options)
        return conv_weight(x, y, lengths=w.shape[2:], **options)

    def operands(self, name):
        return {"result": (self.x, self.w), "input": (self.y, self.w)}.get(name, (self.x, self.y))


MAPS = {"result": convolution, "input": convolution_input, "weight": convolution_weight}


@pytest.fixture(params=["own", "discrete"])
def convolve(first, request):
    """Convolve on the first device as its kind has it, or with the kernel of GPUs."""

    def compute(case, name, operands, shape):
        def write(writer, *views):
            if request.param != "own":
                facts = {n: getattr(first, n) for n in ("limits", "features")}
                writer.facts = SimpleNamespace(kind=request.param, **facts)
            MAPS[name](writer, *views, **case.params)

        (out,) = ran(first, write, operands, [(shape, case.x.dtype)])
        return out

    return compute


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_maps(convolve, row, name):
    case = Case(row)
    wanted = case.wanted(name)
    found = convolve(case, name, case.operands(name), wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("name", MAPS)
def test_integers(convolve, name):
    case = Case(ROWS["dilated"], np.int8)
    wanted = case.wanted(name)
    found = convolve(case, name, case.operands(name), wanted.shape)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", MAPS)
def test_strided_operands(convolve, name):
    case = Case(ROWS["strided"])
    wanted = case.wanted(name)
    operands = [channels_last(a) for a in case.operands(name)]
    found = convolve(case, name, operands, wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-6 * np.abs(wanted).max())


def channels_last(x):
    """An array with its second axis innermost, and its view."""
    kept = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    strides = tuple(s // x.itemsize for s in np.moveaxis(kept, -1, 1).strides)
    return kept, lambda v: view_of(v, kept, strides, 0, x.shape)


def test_long_sums_of_a_weight_are_parted(convolve):
    case = Case((3, 1, 2, 3, (40, 40), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)))
    wanted = case.wanted("weight")
    found = convolve(case, "weight", (case.x, case.y), wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-6 * np.abs(wanted).max())


def test_no_batch_gives_a_weight_of_zeros(convolve):
    case = Case((0, 1, 2, 3, (4, 4), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)))
    found = convolve(case, "weight", (case.x, case.y), case.w.shape)
    np.testing.assert_array_equal(found, np.zeros(case.w.shape))
