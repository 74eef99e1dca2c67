"""Which library an array belongs to, and what happens where libraries meet."""

import pickle
import subprocess
import sys

import array_api_compat
import array_api_strict as strict
import numpy as np
import pytest
from strategies import LINE

import volta
import volta.functional as F
from volta.core.dispatch import (
    LIBRARIES,
    NUMPY,
    Library,
    common_library,
    library_for,
    library_of,
)

pytestmark = pytest.mark.core


class Sub(np.ndarray):
    pass


@pytest.mark.parametrize(
    "x",
    [np.ones(2), np.float64(1), np.int8(1), np.bool_(True), np.ones(2).view(Sub)],
    ids=lambda x: type(x).__name__,
)
def test_numpys_arrays_scalars_and_subclasses_are_numpys(x):
    assert library_of(x, "f") is NUMPY


def test_a_library_is_found_once_for_each_type(monkeypatch):
    class Foreign:
        def __array_namespace__(self, api_version=None):
            return strict

    calls = []
    original = array_api_compat.array_namespace
    monkeypatch.setattr(
        array_api_compat, "array_namespace", lambda *xs: calls.append(xs) or original(*xs)
    )
    assert library_of(Foreign(), "f").name == "array_api_strict"
    assert library_of(Foreign(), "f") is library_for(strict)
    assert len(calls) == 1
    del LIBRARIES[Foreign]


@pytest.mark.parametrize(
    "bad", ["text", None, [1, 2], object(), {}], ids=lambda v: type(v).__name__
)
def test_what_is_no_array_is_refused(bad):
    message = rf"^f: operands must be arrays or Python numbers; got {type(bad).__name__}\." + LINE
    with pytest.raises(volta.DTypeError, match=message):
        library_of(bad, "f")
    with pytest.raises(volta.DTypeError, match=r"^add: operands must be arrays or Python numbers"):
        F.add(np.ones(2), bad)


@pytest.mark.parametrize(
    ("xp", "name"), [(np, "numpy"), (strict, "array_api_strict"), (NUMPY, "numpy")]
)
def test_library_for_a_namespace(xp, name):
    library = library_for(xp)
    assert library.name == name
    assert library_for(library) is library
    assert repr(library) == f"Library({name!r})"
    assert pickle.loads(pickle.dumps(library)) is library


def test_library_for_torch_its_compat_layer_and_voltas_view_of_it_is_one():
    torch = pytest.importorskip("torch")
    library = library_for(torch)
    assert library is library_for(array_api_compat.array_namespace(torch.ones(1)))
    views = []
    volta.grad(lambda x: views.append(x.__array_namespace__()) or F.sum(x))(torch.ones(1))
    assert library_for(views[0]) is library


def test_library_for_what_is_no_namespace():
    message = r"^xp: must be an array namespace such as numpy or torch; got 'numpy'\." + LINE
    with pytest.raises(volta.DeviceError, match=message):
        library_for("numpy")


def test_dtypes_of_a_library():
    assert NUMPY.dtype("float32") == np.dtype("float32")
    assert library_for(strict).dtype(np.float32) is strict.float32
    with pytest.raises(
        volta.DTypeError, match=r"^dtype: array_api_strict must have the dtype; got"
    ):
        library_for(strict).dtype("bfloat16")


def test_asarray_of_a_library():
    library = library_for(strict)
    x = library.asarray(np.ones(2, np.float32))
    assert type(x) is type(strict.asarray(0))
    assert x.dtype == strict.float32
    assert library.asarray(np.float32(2)).dtype == strict.float32
    assert library.asarray([1, 2], dtype=strict.int8, device=x.device).dtype == strict.int8
    assert NUMPY.asarray([1, 2], dtype=np.int8).dtype == np.int8


def test_devices():
    x = strict.ones(2, device=strict.Device("device1"))
    assert library_for(strict).device(x) == strict.Device("device1")
    moved = library_for(strict).to_device(x, strict.Device("CPU_DEVICE"))
    assert moved.device == strict.Device("CPU_DEVICE")
    assert NUMPY.device(np.ones(1)) == "cpu"
    a = np.ones(1)
    assert NUMPY.to_device(a, "cpu") is a


def test_which_libraries_write_in_place():
    assert NUMPY.in_place
    assert library_for(strict).in_place
    assert not Library("jax.numpy", None).in_place


# Meeting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "dtypes"),
    [
        ((True, 1), ["bool", "int64"]),
        ((True, 1, 2.0), ["bool", "float32", "float32"]),
        ((1, 2.0, 3j), ["complex64", "float32", "complex64"]),
    ],
)
def test_scalars_alone_meet_in_numpy_with_default_dtypes(args, dtypes):
    library, joined = common_library(args, "f")
    assert library is NUMPY
    assert [a.dtype.name for a in joined] == dtypes


@pytest.mark.parametrize("call", [lambda: F.add(1, 2.5), lambda: F.pow(2, 0.5)], ids=["add", "pow"])
def test_numbers_of_two_kinds_give_the_default_dtype_of_the_stronger(call):
    assert call().dtype == np.float32


@pytest.mark.parametrize("order", [1, -1])
def test_host_data_joins_another_library(order):
    x, y = strict.asarray([1.0, 2.0]), np.asarray([3.0, 4.0])
    out = F.add(*(x, y)[::order])
    assert type(out) is type(x)
    np.testing.assert_array_equal(np.asarray(out), [4.0, 6.0])


def test_host_data_joins_on_the_device_it_meets():
    x = strict.ones(2, device=strict.Device("device1"))
    assert F.add(np.ones(2), x).device == x.device


def test_numpys_scalars_are_strong_on_numpy_and_weak_elsewhere():
    torch = pytest.importorskip("torch")
    assert F.multiply(np.float64(2), np.ones(2, np.float32)).dtype == np.float64
    assert F.multiply(np.float64(2), torch.ones(2)).dtype == torch.float32
    assert F.multiply(torch.ones(2, dtype=torch.int8), np.int64(2)).dtype == torch.int8


def test_two_libraries_do_not_meet():
    torch = pytest.importorskip("torch")
    message = (
        r"^add: arrays of one library must meet; got array_api_strict and torch\. Move one with "
        r"volta\.tree\.to\(x, xp=…\)\." + LINE
    )
    with pytest.raises(volta.DeviceError, match=message):
        F.add(strict.ones(2), torch.ones(2))
    with pytest.raises(volta.DeviceError, match="arrays of one library must meet"):
        F.where(np.ones(2) > 0, strict.ones(2), torch.ones(2))
    with pytest.raises(volta.DeviceError, match="arrays of one library must meet"):
        volta.grad(lambda x: F.sum(x * torch.ones(2)))(strict.ones(2))


MEETING = r"a traced array must meet arrays of its own library; got numpy and torch.*tree\.to"


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, x: volta.grad(lambda v: F.sum(f(v)))(x),
        lambda f, x: volta.jvp(f, (x,), (x,)),
        lambda f, x: volta.vmap(f)(x),
        lambda f, x: volta.trace(f)(x),
    ],
    ids=["grad", "jvp", "vmap", "trace"],
)
@pytest.mark.parametrize(
    ("name", "mixed"),
    [
        ("multiply", lambda x, other: x * other),
        ("multiply", lambda x, other: F.multiply(other, x)),
        ("where", lambda x, other: F.where(np.asarray(True), other, x)),
        ("concat", lambda x, other: F.concat([F.reshape(x, (-1,)), F.reshape(other, (1,))])),
        ("matmul", lambda x, other: F.reshape(x, (-1, 1)) @ F.reshape(other, (1, 1))),
    ],
)
def test_a_traced_host_array_does_not_join_another_library(transform, name, mixed):
    torch = pytest.importorskip("torch")
    other = torch.ones((), dtype=torch.float64)
    with pytest.raises(volta.DeviceError, match=rf"^{name}: {MEETING}"):
        transform(lambda x: mixed(x, other), np.ones(2))


@pytest.mark.parametrize(
    ("transform", "wanted"),
    [
        (lambda f, x: volta.grad(lambda v: F.sum(f(v)))(x), [3.0, 4.0]),
        (lambda f, x: volta.jvp(f, (x,), (x,))[1], [3.0, 4.0]),
        (lambda f, x: volta.vmap(lambda v: F.sum(f(v)))(x.reshape(1, 2))[0], 7.0),
        (lambda f, x: volta.trace(f)(x)(x), [3.0, 4.0]),
    ],
    ids=["grad", "jvp", "vmap", "trace"],
)
@pytest.mark.parametrize("order", [1, -1])
def test_untraced_host_data_joins_a_traced_array(transform, wanted, order):
    torch = pytest.importorskip("torch")

    def mixed(x):
        return F.multiply(*(x, np.asarray([3.0, 4.0]))[::order])

    out = transform(mixed, torch.ones(2, dtype=torch.float64))
    assert isinstance(out, torch.Tensor)
    np.testing.assert_array_equal(out, wanted)


def test_two_devices_do_not_meet():
    there = strict.ones(2, device=strict.Device("device1"))
    message = (
        r"^add: arrays must be on one device; got .*CPU_DEVICE.* and .*device1.*volta\.tree\.to"
    )
    with pytest.raises(volta.DeviceError, match=message):
        F.add(strict.ones(2), there)
    with pytest.raises(
        volta.DeviceError, match=r"^multiply: arrays must be on one device.*\(line:"
    ):
        volta.grad(lambda x: F.sum(x * there))(strict.ones(2))


@pytest.mark.parametrize("make", [F.zeros, F.ones, F.empty, F.arange])
def test_creation_goes_where_a_device_object_belongs(make):
    assert make(2, device=strict.Device("device1")).device == strict.Device("device1")
    assert type(make(2, device="cpu")) is np.ndarray
    torch = pytest.importorskip("torch")
    assert isinstance(make(2, device=torch.device("cpu")), torch.Tensor)


def test_creation_on_a_device_of_jax():
    jax = pytest.importorskip("jax")
    assert isinstance(F.zeros(2, device=jax.devices()[0]), jax.Array)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", 3])
def test_numpy_has_one_device(device):
    message = (
        rf"^zeros: device: NumPy arrays are on 'cpu'; got {device!r}\. Pass xp= as well\." + LINE
    )
    with pytest.raises(volta.DeviceError, match=message):
        F.zeros(2, device=device)


# JAX: immutable arrays, clamped indices, 64 bits only on demand ----------------------------------


def test_jax_arrays_are_indexed_and_written_to():
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray([1.0, 2.0, 3.0])

    def loss(x):
        y = x[::-1][:2] * x[np.asarray([0, 2])]
        z = F.zeros_like(x)
        z[1:] = y
        z[[0, 0]] = y * 2
        return F.sum(z * x)

    found = volta.grad(loss)(x)
    assert isinstance(found, jax.Array)
    np.testing.assert_allclose(found, volta.grad(loss)(np.asarray(x)))


@pytest.mark.parametrize("index", [3, -4])
def test_jaxs_indices_are_checked(index):
    jax = pytest.importorskip("jax")
    x = jax.numpy.ones(3)
    message = rf"take: gather: indices must be from -3 to 2 along axis 0; got {index}\."
    with pytest.raises(volta.DimensionError, match=message):
        F.take(x, np.asarray([0, index]))
    message = rf"^scatter: indices must be from -3 to 2 along axis 0; got {index}\."
    with pytest.raises(volta.DimensionError, match=message):
        volta.grad(lambda x: (x.__setitem__([index], 0.0), F.sum(x))[1])(x)


# Kernels -----------------------------------------------------------------------------------------


def test_numpys_kernels_are_numpys_own_functions():
    F.exp(np.ones(1))
    assert F.exp.primitive.kernels[np.ndarray] is np.exp


@pytest.mark.parametrize("make", [np.asarray, strict.asarray], ids=["numpy", "strict"])
def test_an_untraced_call_returns_the_type_it_was_given(make):
    x = make([[1.0, 2.0], [3.0, 4.0]])
    for out in (F.exp(x), x @ x, F.sum(x), F.reshape(x, (-1,)), F.where(x > 1, x, 0), x[0, 0]):
        assert type(F.asarray(out)) is type(x)


def test_a_subclass_of_ndarray_keeps_what_numpy_makes_of_it():
    assert type(F.exp(np.ones(2).view(Sub))) is Sub


def test_nothing_is_imported_to_recognize_numpy():
    program = (
        "import sys, numpy as np, volta, volta.functional as F\n"
        "volta.grad(lambda x: F.sum(F.exp(x) @ x))(np.ones(2))\n"
        "loud = {'array_api_compat', 'torch', 'jax', 'scipy', 'ml_dtypes'} & set(sys.modules)\n"
        "assert not loud, loud\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
