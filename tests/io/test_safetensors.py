import json
import mmap
import os
import re
import subprocess
import sys

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import volta
from volta.core.errors import DeviceError, DTypeError, LoadError, TraceError
from volta.core.tracer import constant
from volta.io import load_file, load_metadata, save_file
from volta.io.reading import ML_DTYPES
from volta.io.safetensors import DTYPES


def dtype_of(code):
    name = DTYPES[code][0]
    return np.dtype(getattr(ml_dtypes, name) if name in ML_DTYPES else name)


def file_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(dtype="F32", shape=(1,), begin=0, end=4):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def facts(arrays):
    """Name to dtype, shape and bytes: equality that tells NaNs and zeros apart."""
    return {name: (a.dtype.name, a.shape, a.tobytes()) for name, a in arrays.items()}


def oracle_facts(data):
    return {
        name: (DTYPES[t["dtype"]][0], tuple(t["shape"]), bytes(t["data"]))
        for name, t in safetensors.deserialize(data)
    }


@st.composite
def arrays(draw):
    code = draw(st.sampled_from(sorted(DTYPES)))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    size = int(np.prod(shape, dtype=int)) * DTYPES[code][1]
    data = draw(st.binary(min_size=size, max_size=size))
    if code == "BOOL":
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(data, dtype_of(code)).reshape(shape)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
TREES = st.dictionaries(NAMES, arrays(), max_size=4)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("safetensors") / "file.safetensors"


# Round trips


@settings(derandomize=True, max_examples=60, deadline=None)
@given(tensors=TREES, metadata=st.dictionaries(NAMES, NAMES, max_size=3))
def test_what_is_saved_is_loaded_here_and_by_the_package(path, tensors, metadata):
    save_file(tensors, path, metadata)
    assert facts(load_file(path)) == facts(tensors)
    assert load_metadata(path) == {"format": "volta"} | metadata
    assert oracle_facts(path.read_bytes()) == facts(tensors)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(tensors=TREES, metadata=st.dictionaries(NAMES, NAMES, max_size=3))
def test_what_the_package_saves_is_loaded(path, tensors, metadata):
    # The package writes two empty dictionaries as a header that it cannot read itself.
    path.write_bytes(safetensors.numpy.save(tensors, metadata or None))
    assert facts(load_file(path)) == facts(tensors)
    assert load_metadata(path) == metadata


@settings(derandomize=True, max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_file_loads_as_the_package_loads_it_or_not_at_all(path, data):
    whole = bytearray(
        file_of({"a": tensor("U8", (2, 2)), "b": tensor("U8", (3,), 4, 7)}, b"abcdefg")
    )
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.sampled_from(b'\x00\xff0123456789{}[]",: aby'))
    path.write_bytes(whole)
    try:
        loaded = load_file(path)
    except LoadError:
        return
    assert facts(loaded) == oracle_facts(bytes(whole))


def test_metadata_comes_in_the_order_of_its_keys(path):
    save_file({}, path, dict.fromkeys("hgabdc", ""))
    assert list(load_metadata(path)) == ["a", "b", "c", "d", "format", "g", "h"]


@pytest.mark.parametrize("code", sorted(DTYPES))
def test_every_dtype_of_the_format(path, code):
    values = np.array([0, 1, 0, 1], np.uint8).astype(dtype_of(code))
    save_file({"values": values}, path)
    loaded = load_file(path)
    assert loaded["values"].dtype == dtype_of(code)
    assert facts(loaded) == {"values": (DTYPES[code][0], (4,), values.tobytes())}


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12).reshape(3, 4).T,
        np.arange(12)[::-2],
        np.broadcast_to(np.float32(2), (3, 4)),
        np.arange(4, dtype=">i4"),
        np.float64(2.5),
        np.asfortranarray(np.eye(3)),
    ],
    ids=["transposed", "reversed", "broadcast", "big-endian", "scalar", "fortran"],
)
def test_any_layout_is_saved_by_value(path, array):
    save_file({"array": array}, path)
    loaded = load_file(path)["array"]
    assert loaded.shape == array.shape
    np.testing.assert_array_equal(loaded, array)


# Loading


def test_arrays_are_read_only_views_of_the_mapped_file(path):
    save_file({"weight": np.ones((2, 3)), "step": np.int64(3)}, path)
    loaded = load_file(path)
    for array in loaded.values():
        assert isinstance(array.base, mmap.mmap)
        assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        loaded["weight"][0, 0] = 2


def test_arrays_outlive_the_file_they_came_from(path):
    save_file({"weight": np.ones(3)}, path)
    loaded = load_file(path)
    save_file({name: 2 * array for name, array in loaded.items()}, path)
    np.testing.assert_array_equal(loaded["weight"], np.ones(3))
    np.testing.assert_array_equal(load_file(path)["weight"], 2 * np.ones(3))


def test_a_file_can_be_saved_over_itself(path):
    save_file({"weight": np.arange(5.0)}, path)
    save_file(load_file(path), path)
    np.testing.assert_array_equal(load_file(path)["weight"], np.arange(5.0))


def test_an_array_that_is_not_aligned_in_the_file_is_aligned(path):
    header = {"a": tensor("U8", (1,), 0, 1), "b": tensor("F64", (2,), 1, 17)}
    path.write_bytes(file_of(header, b"\x07" + np.array([1.5, -2.5]).tobytes()))
    loaded = load_file(path)
    np.testing.assert_array_equal(loaded["b"], [1.5, -2.5])
    assert loaded["b"].flags.aligned
    assert not loaded["b"].flags.writeable


def test_an_empty_file_of_the_format(path):
    path.write_bytes(file_of(b"{}"))
    assert load_file(path) == {}
    assert load_metadata(path) == {}


def test_a_padded_header(path):
    path.write_bytes(file_of(b'{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}    ', b"\x05"))
    assert load_file(path)["a"] == 5


def test_a_header_in_another_order_than_the_data(path):
    header = {"b": tensor("U8", (1,), 1, 2), "a": tensor("U8", (1,), 0, 1)}
    path.write_bytes(file_of(header, b"\x01\x02"))
    assert list(load_file(path)) == ["b", "a"]
    assert load_file(path)["b"] == 2


@pytest.mark.parametrize("load", [load_file, load_metadata])
def test_a_missing_file(tmp_path, load):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")


# One row a rule: what the file holds, and what the message says. 'w' has four bytes of data.
BROKEN = {
    "no length": (b"\x00" * 7, "must begin with the 8-byte length of its header; got 7 bytes"),
    "nothing": (b"", "must begin with the 8-byte length of its header; got 0 bytes"),
    "long header": (
        (100_000_001).to_bytes(8, "little"),
        "the header must be at most 100000000 bytes long; got a length of 100000001",
    ),
    "cut header": (
        file_of({})[:-1],
        "the header must lie within the file; got a length of 2, 9 bytes of file",
    ),
    "empty header": (file_of(b""), "the header must begin with '{'; got b''"),
    "other start": (file_of(b" {}"), "the header must begin with '{'; got b' '"),
    "not UTF-8": (file_of(b'{"\xff":0}'), "the header must be UTF-8 text; got 'utf-8' codec"),
    "surrogate": (
        file_of(b'{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
        "the header must be UTF-8 text; got 'utf-8' codec",
    ),
    "surrogate in the metadata": (
        file_of(b'{"__metadata__":{"a":"\\ud800"}}'),
        "the metadata must be UTF-8 text; got 'utf-8' codec",
    ),
    "not JSON": (file_of(b"{]"), "the header must be JSON; got a broken member at byte 9"),
    "trailing text": (
        file_of(b"{}x"),
        "the header must be JSON; got more after its end at byte 10",
    ),
    "deep JSON": (
        file_of(b'{"a":' + b"[" * 100_000),
        "the header must be JSON; got a broken member at byte 9",
    ),
    "long number": (file_of(b'{"a":' + b"9" * 5000 + b"}"), "the header must be JSON; got Exceeds"),
    "duplicate name": (
        file_of(b'{"w":%b,"w":%b}' % ((json.dumps(tensor(end=0, shape=[0])).encode(),) * 2)),
        "a name must be given once; got 'w' twice",
    ),
    "duplicate field": (
        file_of(b'{"w":{"dtype":"F32","dtype":"I32"}}'),
        "a name must be given once; got 'dtype' twice",
    ),
    "metadata list": (file_of({"__metadata__": ["a"]}), r"metadata must be an object; got \['a'\]"),
    "long text": (
        file_of({"w": {"dtype": "F32" * 1000, "shape": [], "data_offsets": [0, 0]}}),
        r"got 'F32F32F32F32\.\.\.2F32F32F32F32' for 'w'",
    ),
    "metadata null": (file_of({"__metadata__": None}), "metadata must be an object; got None"),
    "metadata number": (
        file_of({"__metadata__": {"step": 3}}),
        "the metadata must be text; got '3' for 'step'",
    ),
    "not an object": (
        file_of({"w": 3}),
        "a tensor must have dtype, shape and data_offsets; got 3 for 'w'",
    ),
    "missing field": (
        file_of({"w": {"dtype": "F32", "shape": []}}),
        r"a tensor must have dtype, shape and data_offsets; got \['dtype', 'shape'\] for 'w'",
    ),
    "unknown field": (
        file_of({"w": tensor() | {"strides": [4]}}, b"1234"),
        "a tensor must have dtype, shape and data_offsets; got .*'strides'.* for 'w'",
    ),
    "unknown dtype": (
        file_of({"w": tensor("F31")}, b"1234"),
        "the dtype of a tensor must be one of BOOL, .*F8_E8M0; got 'F31' for 'w'",
    ),
    "dtype without arrays": (
        file_of({"w": tensor("F4", (8,))}, b"1234"),
        "got 'F4' for 'w' in .* NumPy has no arrays of other dtypes",
    ),
    "dtype is no text": (file_of({"w": tensor(["F32"])}, b"1234"), r"got \['F32'\] for 'w'"),
    "shape is no list": (
        file_of({"w": tensor() | {"shape": 1}}, b"1234"),
        "a shape must be a list of sizes; got 1 for 'w'",
    ),
    "negative size": (
        file_of({"w": tensor(shape=(-1, -1))}, b"1234"),
        r"a shape must be a list of sizes; got \[-1, -1\] for 'w'",
    ),
    "fractional size": (
        file_of({"w": tensor(shape=(1.0,))}, b"1234"),
        r"a shape must be a list of sizes; got \[1.0\] for 'w'",
    ),
    "boolean size": (
        file_of({"w": tensor(shape=(True,))}, b"1234"),
        r"a shape must be a list of sizes; got \[True\] for 'w'",
    ),
    "many axes": (
        file_of({"w": tensor(shape=(1,) * 65)}, b"1234"),
        "a shape must have at most 64 axes; got 65 for 'w'",
    ),
    "vast shape": (
        file_of({"w": tensor(shape=(0, 2**40, 2**40), end=0)}),
        r"a shape must be addressable; got \(0, 1099511627776, 1099511627776\) for 'w'",
    ),
    "one offset": (
        file_of({"w": tensor() | {"data_offsets": [4]}}, b"1234"),
        r"data_offsets must be a begin and an end; got \[4\] for 'w'",
    ),
    "backward offsets": (
        file_of({"w": tensor(begin=4, end=0)}, b"1234"),
        r"data_offsets must be a begin and an end; got \[4, 0\] for 'w'",
    ),
    "negative offset": (
        file_of({"w": tensor(begin=-4, end=0)}, b"1234"),
        r"data_offsets must be a begin and an end; got \[-4, 0\] for 'w'",
    ),
    "wrong size": (
        file_of({"w": tensor(shape=(2,))}, b"1234"),
        r"as many bytes as its shape and dtype need; got 4 bytes for 'w', F32 of shape \(2,\)",
    ),
    "overlap": (
        file_of({"v": tensor(), "w": tensor(begin=2, end=6)}, b"123456"),
        "tensors must not overlap; got 'w' from byte 2, after one that ends at 4",
    ),
    "same bytes twice": (
        file_of({"v": tensor(), "w": tensor()}, b"1234"),
        "tensors must not overlap; got 'w' from byte 0, after one that ends at 4",
    ),
    "hole": (
        file_of({"v": tensor(), "w": tensor(begin=5, end=9)}, b"123456789"),
        "tensors must leave no hole; got 'w' from byte 5, after one that ends at 4",
    ),
    "hole at the start": (
        file_of({"w": tensor(begin=1, end=5)}, b"12345"),
        "tensors must leave no hole; got 'w' from byte 1, after one that ends at 0",
    ),
    "cut data": (
        file_of({"w": tensor()}, b"123"),
        "the file must hold all its tensors; got 3 bytes of 4 in .* cut short",
    ),
    "trailing bytes": (
        file_of({"w": tensor()}, b"12345"),
        "the file must end with its last tensor; got 1 bytes more",
    ),
    "data of no tensor": (file_of({}, b"1"), "must end with its last tensor; got 1 bytes more"),
}


@pytest.mark.parametrize("load", [load_file, load_metadata])
@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_rule(path, load, data, message):
    path.write_bytes(data)
    with pytest.raises(LoadError, match=f"^{load.__name__}: .*{message}") as raised:
        load(path)
    assert f" in {path}. " in str(raised.value)


# Other libraries


def test_torch_tensors_go_out_and_come_back(path):
    torch = pytest.importorskip("torch")
    names = [name for name, _ in DTYPES.values()]
    tensors = {name: torch.tensor([[0.0, 1.0]]).to(getattr(torch, name)) for name in names}
    tensors["parameter"] = torch.nn.Parameter(torch.ones(2, 3).to(torch.bfloat16))
    tensors["parameter of float32"] = torch.nn.Parameter(torch.ones(2))
    tensors["transposed"] = torch.arange(6).reshape(2, 3).T
    tensors["rank 0"] = torch.tensor(2.0, dtype=torch.bfloat16)
    tensors["conjugate"] = torch.tensor([1 + 2j]).conj()
    save_file(tensors, path)
    loaded = load_file(path, xp=torch)
    assert loaded.keys() == tensors.keys()
    for name, expected in tensors.items():
        assert loaded[name].dtype == expected.dtype
        assert loaded[name].tolist() == expected.tolist()


def test_torch_tensors_written_to_leave_the_file_alone(path):
    torch = pytest.importorskip("torch")
    save_file({"weight": np.ones(3)}, path)
    weight = load_file(path, xp=torch, device="cpu")["weight"]
    weight += 1
    assert weight.tolist() == [2, 2, 2]
    np.testing.assert_array_equal(load_file(path)["weight"], np.ones(3))


def test_torch_reads_the_file_alike(path):
    pytest.importorskip("torch")
    from safetensors.torch import load_file as torch_load_file

    save_file({"weight": np.arange(3).astype(ml_dtypes.bfloat16)}, path)
    assert torch_load_file(path)["weight"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "make",
    [lambda torch: torch.ones(2, device="meta"), lambda torch: torch.eye(2).to_sparse()],
    ids=["meta", "sparse"],
)
def test_a_torch_tensor_without_plain_memory(path, make):
    torch = pytest.importorskip("torch")
    with pytest.raises(DTypeError, match="must convert to NumPy arrays; got Tensor for 'w' "):
        save_file({"w": make(torch)}, path)


def test_array_api_strict_arrays(path):
    save_file({"weight": array_api_strict.ones((2, 3))}, path)
    weight = load_file(path, xp=array_api_strict)["weight"]
    assert weight.__array_namespace__() is array_api_strict
    assert weight.shape == (2, 3)
    device = array_api_strict.Device("device1")
    assert load_file(path, xp=array_api_strict, device=device)["weight"].device == device


class DLPackOnly:
    """What CuPy is to NumPy: it refuses the implicit conversion."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        msg = "Implicit conversion to a NumPy array is not allowed."
        raise TypeError(msg)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)


def test_an_array_that_only_speaks_dlpack(path):
    save_file({"weight": DLPackOnly(np.arange(3))}, path)
    np.testing.assert_array_equal(load_file(path)["weight"], np.arange(3))


def test_a_library_that_lacks_a_dtype(path):
    save_file({"w": np.ones(2, ml_dtypes.bfloat16)}, path)
    message = (
        "load_file: array_api_strict must be able to hold every tensor; got .* for 'w', "
        r"bfloat16 of shape \(2,\), device None"
    )
    with pytest.raises(LoadError, match=message):
        load_file(path, xp=array_api_strict)


def test_a_library_that_changes_a_dtype(path):
    jax = pytest.importorskip("jax")
    save_file({"w": np.ones(2)}, path)
    message = (
        "load_file: jax.numpy must keep the dtype of every tensor; got float32 for 'w', float64"
    )
    with pytest.raises(LoadError, match=message):
        load_file(path, xp=jax.numpy)


def test_a_device_without_a_library(path):
    message = f"load_file: NumPy arrays must stay on the host; got device 'cuda' for {path}"
    with pytest.raises(DeviceError, match=message):
        load_file(path, device="cuda")


def test_numpy_arrays_that_may_be_written_to(path):
    save_file({"weight": np.ones(3)}, path)
    load_file(path, xp=np)["weight"][:] = 2
    np.testing.assert_array_equal(load_file(path)["weight"], np.ones(3))


def test_a_constant_of_a_running_transform(path):
    save_file({"weight": constant(np.ones(3))}, path)
    np.testing.assert_array_equal(load_file(path)["weight"], np.ones(3))


# Saving: what is refused, and what is left then


REFUSED = {
    "float": ({"w": 3.0}, None, DTypeError, "tensors must be arrays; got float for 'w'"),
    "list": ({"w": [1.0]}, None, DTypeError, "tensors must be arrays; got list for 'w'"),
    "None": ({"w": None}, None, DTypeError, "tensors must be arrays; got NoneType for 'w'"),
    "nested": (
        {"layer": {"w": np.ones(2)}},
        None,
        DTypeError,
        "tensors must be arrays; got dict for 'layer'",
    ),
    "complex128": (
        {"w": np.ones(2, complex)},
        None,
        DTypeError,
        "dtypes must be those of the format; got complex128 for 'w'. Cast it to one of bool, ",
    ),
    "object": ({"w": np.array([None])}, None, DTypeError, "dtypes must be .* got object for 'w'"),
    "text": ({"w": np.array(["a"])}, None, DTypeError, "dtypes must be .* got <U1 for 'w'"),
    "name": ({1: np.ones(2)}, None, TypeError, "names of tensors must be text; got 1"),
    "surrogate": (
        {"\ud800": np.ones(2)},
        None,
        TypeError,
        re.escape("names of tensors must be text; got '\\ud800'"),
    ),
    "reserved name": (
        {"__metadata__": np.ones(2)},
        None,
        ValueError,
        "a tensor must have a name of its own; got '__metadata__'",
    ),
    "metadata key": ({}, {1: "a"}, TypeError, "keys of the metadata must be text; got 1"),
    "metadata value": ({}, {"a": 1}, TypeError, "metadata 'a' must be text; got 1"),
}


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "message"), REFUSED.values(), ids=list(REFUSED)
)
def test_what_is_refused_leaves_the_old_file(tmp_path, tensors, metadata, error, message):
    path = tmp_path / "file.safetensors"
    save_file({"w": np.ones(2)}, path)
    before = path.read_bytes()
    with pytest.raises(error, match=f"^save_file: {message}"):
        save_file({"first": np.ones(3)} | tensors, path, metadata)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("transform", [volta.grad, volta.vmap])
def test_a_traced_array(tmp_path, transform):
    def save(x):
        save_file({"w": x}, tmp_path / "file.safetensors")
        return x

    with pytest.raises(TraceError, match=r"must not be traced; got a traced array for 'w'"):
        transform(save)(np.ones(() if transform is volta.grad else 2))
    assert os.listdir(tmp_path) == []


def test_the_format_can_be_another(path):
    save_file({}, path, {"format": "pt"})
    assert load_metadata(path) == {"format": "pt"}


@pytest.mark.skipif(os.name == "nt", reason="POSIX file size limits")
def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.safetensors"
    save_file({"w": np.ones(2)}, path)
    program = """
import resource, sys
import numpy as np
from volta.io import save_file
from volta.core.errors import VoltaError
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_file({"w": np.ones(100_000)}, sys.argv[1])
except VoltaError as error:
    print(error)
"""
    done = run(program, path)
    assert done.startswith("save_file: the disk must take the whole file; got Error while")
    assert f"for {path}. What was there before is unchanged. (line: " in done
    np.testing.assert_array_equal(load_file(path)["w"], np.ones(2))
    assert os.listdir(tmp_path) == [path.name]


def test_nothing_is_imported_before_it_is_needed(path):
    save_file({"w": np.ones(2), "b": np.ones(2, np.float16)}, path)
    program = """
import sys
from volta.io import load_file
load_file(sys.argv[1])
print([name for name in ("ml_dtypes", "safetensors", "torch") if name in sys.modules])
"""
    assert run(program, path).strip() == "[]"


def run(program, path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, os.fspath(path)]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout
