"""The default dtype, and that it belongs to a thread."""

import threading

import array_api_strict as strict
import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core.context import RUNNING, STAGING, default_dtype_of

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("dtype", "real", "cplx"),
    [
        (F.float64, "float64", "complex128"),
        (np.float32, "float32", "complex64"),
        ("float16", "float16", "complex64"),
        (F.bfloat16, "bfloat16", "complex64"),
        (strict.float64, "float64", "complex128"),
    ],
)
def test_default_dtype_is_that_of_creation(dtype, real, cplx):
    with volta.default_dtype(dtype):
        assert default_dtype_of("float").name == real
        assert default_dtype_of("complex").name == cplx
        assert F.zeros(2).dtype == getattr(F, real)
        assert F.asarray([1.0]).dtype == getattr(F, real)
    assert F.zeros(2).dtype == F.float32


def test_other_kinds_have_one_default():
    assert F.asarray([1]).dtype == F.int64
    assert F.asarray([True]).dtype == F.bool
    assert F.asarray([1j]).dtype == F.complex64
    assert F.arange(3).dtype == F.int64


def test_contexts_nest_and_end_with_an_error():
    def inside():
        with volta.default_dtype(F.float16):
            assert F.ones(1).dtype == F.float16
            raise KeyError

    with volta.default_dtype(F.float64):
        with pytest.raises(KeyError):
            inside()
        assert F.ones(1).dtype == F.float64
    assert F.ones(1).dtype == F.float32


@pytest.mark.parametrize("bad", [F.int64, "complex64", bool])
def test_default_dtype_must_be_real_floating(bad):
    message = "^default_dtype: must be a real floating dtype; got "
    with pytest.raises(volta.DTypeError, match=message), volta.default_dtype(bad):
        pass


def test_a_thread_has_a_default_of_its_own():
    found = []
    with volta.default_dtype(F.float64):
        thread = threading.Thread(target=lambda: found.append(F.ones(1).dtype))
        thread.start()
        thread.join()
    assert found == [np.dtype("float32")]


def test_python_numbers_take_the_default_dtype_under_grad():
    assert volta.grad(F.sin)(1.0).dtype == np.float32
    with volta.default_dtype(F.float64):
        assert volta.grad(F.sin)(1.0).dtype == np.float64


def test_what_runs_is_known_only_while_it_runs():
    seen = []

    def look(x):
        seen.append((RUNNING.get(), STAGING.get() is not None))
        return F.sum(x)

    def inside(x):
        look(x)
        return volta.grad(look)(x)[0]

    volta.grad(inside)(np.ones(2))
    volta.trace(look)(np.ones(2))
    assert seen == [(1, False), (2, False), (1, True)]
    assert (RUNNING.get(), STAGING.get()) == (0, None)
