"""What is saved in each format is loaded again, here and by the format's own program."""

import json
import os
import struct
import subprocess
import sys
import zipfile

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
import weight_files as files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volta.core.errors import DTypeError, LoadError, VoltaError
from volta.io import StateDict, load_file, load_metadata, save_file
from volta.io.formats import FORMATS
from volta.io.gguf import DTYPES as GGUF_DTYPES
from volta.io.gguf import PLAIN as GGUF_PLAIN
from volta.io.npz import DTYPES as NUMPY_DTYPES
from volta.io.onnx import DTYPES as ONNX_DTYPES
from volta.io.onnx import write as onnx_write
from volta.io.pytorch import DTYPES as TORCH_DTYPES
from volta.io.reading import dtype_named


def facts(arrays):
    return {name: (x.dtype.name, x.shape, x.tobytes()) for name, x in arrays.items()}


def values(name):
    return np.array([[0, 1, 2], [3, 4, 1]]).astype(dtype_named(name))


def written(tmp_path, suffix, data):
    path = tmp_path / f"file{suffix}"
    path.write_bytes(data)
    return path


# Every format


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(".pt", name) for name in TORCH_DTYPES]
    + [(".npz", name) for name in NUMPY_DTYPES]
    + [(".gguf", name) for name in GGUF_DTYPES]
    + [(".onnx", name) for name in ONNX_DTYPES]
    + [(".bin", "float32")],
)
def test_every_dtype_is_saved_and_loaded(tmp_path, suffix, name):
    arrays = {"a": values(name), "b": values(name)[0, 0], "c": values(name)[:0]}
    save_file(arrays, tmp_path / f"file{suffix}")
    loaded = load_file(tmp_path / f"file{suffix}")
    assert facts(loaded) == facts(arrays)
    assert not any(x.flags.writeable for x in loaded.values())


# strings of the code are drawn, too, and safetensors keeps one of them for itself
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=15
).filter(lambda name: name != "__metadata__")


@pytest.mark.parametrize("row", [row for row in FORMATS if row.write], ids=lambda row: row.name)
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_saved_is_loaded(tmp_path, row, data):
    """Any names, shapes, bits and metadata; whatever a format cannot hold is refused."""
    shapes = st.lists(st.integers(0, 3), max_size=4).map(tuple)
    arrays = {}
    for name in data.draw(st.lists(NAMES, unique=True, max_size=4)):
        name = name or "name" * (row.name == "ONNX")
        dtype = dtype_named(data.draw(st.sampled_from(row.dtypes)))
        shape = data.draw(shapes)
        size = int(np.prod(shape)) * dtype.itemsize
        bits = data.draw(st.binary(min_size=size, max_size=size))
        if dtype.kind == "b":
            bits = bytes(b & 1 for b in bits)
        arrays[name] = np.frombuffer(bits, dtype).reshape(shape)
    metadata = {"format": row.layout or "volta"}
    if row.name != "bincode":
        metadata |= data.draw(st.dictionaries(NAMES, NAMES, max_size=3)) | metadata
    path = tmp_path / f"file{'.bin' if row.name == 'bincode' else row.suffixes[0]}"
    save_file(arrays, path, metadata)
    loaded = load_file(path)
    assert facts(loaded) == facts(arrays)
    assert loaded.metadata == metadata


@pytest.mark.parametrize(
    "suffix", [".safetensors", ".pt", ".pth", ".npz", ".gguf", ".onnx", ".bin"]
)
def test_any_strides_and_order_are_saved(tmp_path, suffix):
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    arrays = {"t": x.T, "s": x[::2, ::-3], "big": x.astype(">f4"), "f": np.asfortranarray(x)}
    save_file(arrays, tmp_path / f"file{suffix}")
    loaded = load_file(tmp_path / f"file{suffix}")
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".npz", ".gguf", ".onnx"])
def test_metadata_is_kept(tmp_path, suffix):
    path = tmp_path / f"file{suffix}"
    state = StateDict({"ä.w": files.W}, metadata={"format": "pt", "step": "7"})
    save_file(state, path, {"more": "ü"})
    assert load_file(path).metadata == {"format": "pt", "step": "7", "more": "ü"}
    assert load_metadata(path) == load_file(path).metadata
    assert list(load_file(path)) == ["ä.w"]


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".onnx"])
def test_a_state_dict_of_unknown_layout_stays_one(tmp_path, suffix):
    path = tmp_path / f"file{suffix}"
    save_file(StateDict({"w": files.W}), path)
    assert load_file(path).metadata == {}
    save_file({"w": files.W}, path)
    assert load_file(path).metadata == {"format": "volta"}


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".gguf", ".onnx", ".bin"])
def test_files_are_the_same_each_time(tmp_path, suffix):
    for name in ("a", "b"):
        save_file({"w": files.W}, tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("xp", ["torch", "array_api_strict"])
@pytest.mark.parametrize("name", [n for n in files.WHOLE if n != "onnx"])
def test_arrays_of_other_libraries(tmp_path, name, xp):
    xp = pytest.importorskip(xp)
    path = written(tmp_path, *files.WHOLE[name])
    for key, array in load_file(path, xp=xp).items():
        np.testing.assert_array_equal(np.asarray(array), load_file(path)[key])
    if xp is array_api_strict:
        return
    loaded = load_file(path, xp=xp)
    for array in loaded.values():
        array[...] = 0  # of copies of the pages
    assert path.read_bytes() == files.WHOLE[name][1]


@pytest.mark.parametrize("suffix", [".PT", ".NPZ", ".SafeTensors"])
def test_suffixes_in_capitals(tmp_path, suffix):
    save_file({"w": files.W}, tmp_path / f"file{suffix}")
    np.testing.assert_array_equal(load_file(tmp_path / f"file{suffix}")["w"], files.W)


@pytest.mark.parametrize("name", ["safetensors", "pytorch", "legacy", "npz", "npy", "gguf"])
def test_files_without_a_suffix_are_told_by_their_first_bytes(tmp_path, name):
    suffix, data = files.WHOLE[name]
    with_suffix, without = written(tmp_path, suffix, data), written(tmp_path, "", data)
    assert facts(load_file(without)) == facts(load_file(with_suffix))


@pytest.mark.parametrize("name", ["pytorch", "legacy", "bincode"])
def test_bin_is_pytorchs_or_the_rust_frameworks(tmp_path, name):
    path = written(tmp_path, ".bin", files.WHOLE[name][1])
    assert load_metadata(path)["format"] == ("volta" if name == "bincode" else "pt")


def test_files_of_no_format(tmp_path):
    path = written(tmp_path, ".dat", b"abcdefghij")
    message = r"^load_file: the format must show .*; got b'abcdefgh' in .*file.dat. Give it one of"
    with pytest.raises(LoadError, match=message):
        load_file(path)
    message = r"^save_file: the suffix must be one of .safetensors, .pt, .*; got 'file.dat'"
    with pytest.raises(ValueError, match=message):
        save_file({}, path)
    with pytest.raises(ValueError, match=r"^save_file: the suffix must be one of .*; got 'a.npy'"):
        save_file({}, "a.npy")


def test_dtypes_that_a_format_lacks(tmp_path):
    with pytest.raises(
        DTypeError, match=r"^save_file: dtypes .* got float64 for 'w'. Cast .* float32"
    ):
        save_file({"w": np.ones(2)}, tmp_path / "a.bin")
    with pytest.raises(DTypeError, match=r"^save_file: dtypes must be .* got complex256 for 'w'"):
        save_file({"w": np.ones(2, np.clongdouble)}, tmp_path / "a.npz")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_views_that_no_memory_holds(tmp_path, suffix):
    vast = np.lib.stride_tricks.as_strided(np.zeros(1), (2**50,), (0,))
    message = (
        r"a copy of each tensor in its order must fit in memory; got shape \(1125899906842624,\)"
    )
    with pytest.raises(VoltaError, match=f"^save_file: {message} and strides .* for 'w'"):
        save_file({"w": vast}, tmp_path / f"a{suffix}")
    assert os.listdir(tmp_path) == []


def test_layouts_that_a_format_does_not_have(tmp_path):
    ours = StateDict({"w": files.W}, metadata={"format": "volta"})
    message = r"a PyTorch file must hold weights as 'pt' .*; got format 'volta'. Save nn.to_torch"
    with pytest.raises(ValueError, match=f"^save_file: {message}"):
        save_file(ours, tmp_path / "a.pt")
    theirs = StateDict({"w": files.W}, metadata={"format": "pt"})
    message = r"a bincode file must hold weights as 'volta' .*; got format 'pt'. Load them into"
    with pytest.raises(ValueError, match=f"^save_file: {message}"):
        save_file(theirs, tmp_path / "a.bin")
    with pytest.raises(ValueError, match=r"got format None"):
        save_file(StateDict({"w": files.W}), tmp_path / "a.pt")
    save_file(ours, tmp_path / "a.pt", {"format": "pt"})  # said to be so


def test_metadata_that_bincode_cannot_hold(tmp_path):
    with pytest.raises(
        ValueError, match=r"^save_file: a bincode file must have no metadata; got {'a'"
    ):
        save_file({"w": files.W}, tmp_path / "a.bin", {"a": "b"})


def test_names_that_zip_cannot_hold(tmp_path):
    for name in ("a\0b", "a" * 70_000):
        with pytest.raises(
            ValueError, match=r"^save_file: a name in an .npz file must fit; got 'a"
        ):
            save_file({name: files.W}, tmp_path / "a.npz")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX file size limits")
@pytest.mark.parametrize("suffix", [".pt", ".npz", ".gguf", ".onnx", ".bin"])
def test_a_full_disk_leaves_the_old_file(tmp_path, suffix):
    path = tmp_path / f"file{suffix}"
    save_file({"w": files.W}, path)
    program = """
import resource, sys
import numpy as np
from volta.io import save_file
from volta.core.errors import VoltaError
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_file({"w": np.ones(100_000, np.float32)}, sys.argv[1])
except VoltaError as error:
    print(error)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, path], env=environment, capture_output=True, text=True
    )
    assert done.stdout.startswith("save_file: the disk must take the whole file; got")
    np.testing.assert_array_equal(load_file(path)["w"], files.W)
    assert os.listdir(tmp_path) == [path.name]


def test_rows_of_the_table_have_what_they_need():
    for row in FORMATS:
        assert (row.write is None) == (row.dtypes == ())
        assert VoltaError not in row


# NumPy


def test_numpy_reads_what_is_saved(tmp_path):
    arrays = {
        "file": files.W,
        "deep/name.b": files.B,
        "b": np.array(True),
        "c": np.ones(2, complex),
    }
    save_file(arrays, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert json.loads(str(found["__metadata__"])) == {"format": "volta"}
        assert facts({name: found[name] for name in arrays}) == facts(arrays)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves_is_read(tmp_path, save):
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.normal(size=(30, 40)),
        "f": np.asfortranarray(rng.normal(size=(3, 4, 5))),
        "big": np.arange(3, dtype=">i4"),
        "empty": np.zeros((0, 3)),
        "scalar": np.float16(2),
        "zeros": np.zeros(10_000),
        "unsigned": np.arange(3, dtype=np.uint16),
    }
    save(tmp_path / "a.npz", **arrays)
    loaded = load_file(tmp_path / "a.npz")
    assert loaded.metadata == {}
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype.isnative
        assert loaded[name].flags.aligned


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_an_array_alone(tmp_path, version):
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array(file, files.W, version)
    assert facts(load_file(tmp_path / "a.npy")) == facts({"arr_0": files.W})
    assert not load_file(tmp_path / "a.npy")["arr_0"].flags.owndata  # mapped


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", r"the metadata must be an object; got b'\[1\]'"),
        ('{"a": 1}', "the metadata must be text; got '1' for 'a'"),
        ("{", "the metadata must be JSON"),
    ],
)
def test_metadata_of_npz_is_checked(tmp_path, text, message):
    data = files.zip_file({"__metadata__.npy": files.npy_file(np.asarray(text))})
    with pytest.raises(LoadError, match=message):
        load_file(written(tmp_path, ".npz", data))
    data = files.zip_file({"__metadata__.npy": files.npy_file()})
    with pytest.raises(LoadError, match="the metadata must be a text; got '<f4'"):
        load_file(written(tmp_path, ".npz", data))


def test_large_archives_have_64_bit_sizes(tmp_path):
    """The records of zip64, which files of more than 4 GB have, on a small one."""
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w") as archive,
        archive.open("w.npy", "w", force_zip64=True) as member,
    ):
        member.write(files.npy_file())
    data = (tmp_path / "a.npz").read_bytes()
    end, start = data.rindex(b"PK\x05\x06"), data.rindex(b"PK\x01\x02")
    size, length = end - start, len(files.npy_file())
    # the sizes of the record, then those of the end, move to 64-bit fields
    extra = struct.pack("<HHQQQ", 1, 24, length, length, 0)
    record = bytearray(data[start:end])
    record[20:28] = b"\xff" * 8
    record[30:32] = struct.pack("<H", len(extra))
    record[42:46] = b"\xff" * 4
    record = bytes(record[:46]) + b"w.npy" + extra
    end_64 = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, len(record), start)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, start + len(record), 1)
    tail = b"PK\x05\x06" + bytes(4) + b"\xff" * 12 + bytes(2)
    path = written(tmp_path, ".npz", data[:start] + record + end_64 + locator + tail)
    assert size
    assert facts(load_file(path)) == facts({"w": files.W})
    with np.load(path) as found:
        np.testing.assert_array_equal(found["w"], files.W)
    moved = (
        record + end_64 + locator.replace(struct.pack("<Q", start + len(record)), bytes(8)) + tail
    )
    with pytest.raises(LoadError, match="the 64-bit end of an archive must be where"):
        load_file(written(tmp_path, ".npz", data[:start] + moved))


# The index of shards


def shards(tmp_path, places, **contents):
    for name, state in contents.items():
        save_file(state, tmp_path / f"{name}.safetensors")
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 5, "a": "b"}, "weight_map": places}))
    return path


def test_shards_are_read_in_the_order_of_the_index(tmp_path):
    one = StateDict({"b": files.B, "w": files.W}, metadata={"format": "pt"})
    two = StateDict({"v": files.W + 1}, metadata={"format": "pt"})
    places = {"w": "one.safetensors", "v": "two.safetensors", "b": "one.safetensors"}
    loaded = load_file(shards(tmp_path, places, one=one, two=two))
    assert list(loaded) == ["w", "v", "b"]
    assert facts(loaded) == facts({"w": files.W, "v": files.W + 1, "b": files.B})
    assert loaded.metadata == {"format": "pt", "a": "b"}


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"w": "one.safetensors"}, "a tensor must be where the index says; got 'b' in one"),
        (
            {"w": "one.safetensors", "b": "one.safetensors", "x": "two.safetensors"},
            "a shard must have the tensors of the index; got no 'x' in two",
        ),
        (
            {"w": "one.safetensors", "b": "two.safetensors"},
            "a shard must have the tensors|a tensor must be where the index says",
        ),
    ],
)
def test_an_index_that_shards_do_not_bear_out(tmp_path, places, message):
    one, two = {"w": files.W, "b": files.B}, {"v": files.W}
    with pytest.raises(LoadError, match=f"^load_file: ({message})"):
        load_file(shards(tmp_path, places, one=one, two=two))


def test_shards_of_two_layouts(tmp_path):
    one = StateDict({"w": files.W}, metadata={"format": "pt"})
    two = StateDict({"v": files.W}, metadata={"format": "volta"})
    places = {"w": "one.safetensors", "v": "two.safetensors"}
    with pytest.raises(LoadError, match="shards must agree on metadata 'format'; got 'volta' in"):
        load_file(shards(tmp_path, places, one=one, two=two))


def test_a_broken_shard_is_named(tmp_path):
    path = shards(tmp_path, {"w": "one.safetensors"}, one={"w": files.W})
    whole = (tmp_path / "one.safetensors").read_bytes()
    (tmp_path / "one.safetensors").write_bytes(whole[:-1])
    with pytest.raises(LoadError, match=r"must hold all its tensors; got .* in its shard one.safe"):
        load_file(path)


def test_an_index_under_the_name_of_a_shard_is_no_shard(tmp_path):
    """Neither an index nor a link to one can name itself again."""
    path = shards(tmp_path, {"w": "one.safetensors"})
    (tmp_path / "one.safetensors").symlink_to(path)
    with pytest.raises(LoadError, match=r"in its shard one.safetensors"):
        load_file(path)


def test_shards_of_pytorchs_files(tmp_path):
    (tmp_path / "one.bin").write_bytes(files.torch_file())
    path = tmp_path / "pytorch_model.bin.index.json"
    path.write_text(json.dumps({"weight_map": {"w": "one.bin", "b": "one.bin"}}))
    assert facts(load_file(path)) == facts({"w": files.W, "b": files.B})


# bincode


def test_the_rust_frameworks_bytes(tmp_path):
    """Worked out by hand from bincode's specification."""
    numbers = np.arange(300, dtype=np.float32)
    save_file({"b": files.W, "a": numbers}, tmp_path / "a.bin")
    want = b"\x02" + b"\x01a" + b"\xfb\x2c\x01" + numbers.tobytes() + b"\x01" + b"\xfb\x2c\x01"
    want += b"\x01b" + b"\x06" + files.W.tobytes() + b"\x02\x02\x03"
    assert (tmp_path / "a.bin").read_bytes() == want
    loaded = load_file(tmp_path / "a.bin")
    assert facts(loaded) == facts({"a": numbers, "b": files.W})
    assert loaded.metadata == {"format": "volta"}


@pytest.mark.parametrize(("mark", "width"), [(251, 2), (252, 4), (253, 8)])
def test_integers_of_every_width(tmp_path, mark, width):
    data = files.bincode_file((b"w", files.W.ravel(), (2, 3)))
    data = data.replace(b"\x02\x03", bytes([mark]) + (2).to_bytes(width, "little") + b"\x03")
    assert facts(load_file(written(tmp_path, ".bin", data))) == facts({"w": files.W})


# GGUF


def test_gguf_by_hand(tmp_path):
    loaded = load_file(written(tmp_path, *files.WHOLE["gguf"]))
    np.testing.assert_array_equal(loaded["w"], files.W)
    assert not loaded["w"].flags.owndata  # mapped
    codes = np.arange(32, dtype=np.int8)
    np.testing.assert_array_equal(loaded["q"], (0.5 * codes).astype(np.float32)[None])
    assert loaded.metadata == {"general.name": "a", "n": "[1, 2]", "format": "pt"}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("alignment", [1, 8, 64])
def test_gguf_of_other_versions_and_alignments(tmp_path, version, alignment):
    items = [("general.alignment", 4, struct.pack("<I", alignment))]
    tensors = [("w", (3, 2), 0, 0)]
    data = files.gguf_file(tensors, items, files.W.tobytes(), version, alignment=alignment)
    path = written(tmp_path, ".gguf", data)
    assert facts(load_file(path)) == facts({"w": files.W})


def test_metadata_of_every_type(tmp_path):
    numbers = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 10: "Q", 11: "q"}
    items = [(f"n{kind}", kind, struct.pack(f"<{code}", 3)) for kind, code in numbers.items()]
    items += [("f", 6, struct.pack("<f", 0.5)), ("d", 12, struct.pack("<d", 0.1)), ("t", 7, b"\1")]
    items += [("texts", 9, struct.pack("<IQ", 8, 2) + files.gguf_text("ä") + files.gguf_text(""))]
    items += [
        ("lists", 9, struct.pack("<IQIQ", 9, 1, 0, 2) + b"\1\2"),
        ("format", 8, files.gguf_text("volta")),
    ]
    path = written(tmp_path, ".gguf", files.gguf_file(items=items))
    want = {f"n{kind}": "3" for kind in numbers} | {"f": "0.5", "d": "0.1", "t": "true"}
    want |= {"texts": '["ä", ""]', "lists": "[[1, 2]]", "format": "pt"}
    assert load_metadata(path) == want


def test_what_gguf_writes_is_read(tmp_path):
    gguf = pytest.importorskip("gguf")
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(3, 256)).astype(np.float32)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_array("tokens", ["a", "b"])
    writer.add_uint32("layers", 3)
    plain = {"f2": numbers.astype(np.float16), "i4": np.arange(3, dtype=np.int32), "f4": numbers}
    for name, array in plain.items():
        writer.add_tensor(name, array)
    types = [gguf.GGMLQuantizationType[n] for n in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "BF16")]
    quantized = {kind: gguf.quants.quantize(numbers, kind) for kind in types}
    for kind, blocks in quantized.items():
        writer.add_tensor(kind.name, blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    loaded = load_file(tmp_path / "a.gguf")
    for name, array in plain.items():
        np.testing.assert_array_equal(loaded[name], array)
    for kind, blocks in quantized.items():
        want = gguf.quants.dequantize(blocks, kind)
        np.testing.assert_array_equal(loaded[kind.name].astype(np.float32), want)
    assert loaded.metadata["tokens"] == '["a", "b"]'
    assert loaded.metadata["layers"] == "3"


def test_gguf_reads_what_is_saved(tmp_path):
    gguf = pytest.importorskip("gguf")
    arrays = {
        **{name: values(name) for name in GGUF_DTYPES},
        "rank 0": np.array(2.5),
        "rank 4": np.arange(24, dtype=np.int16).reshape(1, 2, 3, 4),
        "ä" * 31: np.ones(33, np.float16),
    }
    metadata = {"general.architecture": "bert", "ä.note": "ü", "general.alignment": "64"}
    save_file(arrays, tmp_path / "a.gguf", metadata)
    assert facts(load_file(tmp_path / "a.gguf")) == facts(arrays)
    assert load_metadata(tmp_path / "a.gguf") == {"format": "pt", **metadata}
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    assert reader.alignment == 64
    assert {k: reader.fields[k].contents() for k in metadata} == metadata | {
        "general.alignment": 64
    }
    assert [tensor.name for tensor in reader.tensors] == list(arrays)
    for tensor, (name, array) in zip(reader.tensors, arrays.items(), strict=True):
        assert tensor.data_offset % 64 == 0
        assert tuple(reversed(tensor.shape.tolist())) == array.shape
        assert tensor.data.tobytes() == array.tobytes()
        assert tensor.tensor_type.name == {n: k for k, n in GGUF_PLAIN.values()}[array.dtype.name]
        if name != "bfloat16":  # which the package gives as bytes
            assert tensor.data.dtype == array.dtype


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        (
            {"w": np.ones((1,) * 5, np.float32)},
            {},
            r"a tensor in a GGUF file must have at most 4 axes; got shape \(1, 1, 1, 1, 1\) for",
        ),
        (
            {"w" * 64: files.W},
            {},
            "a name in a GGUF file must be at most 63 bytes long; got 64 for 'wwwww",
        ),
        (
            {"w": files.W},
            {"k" * 65536: ""},
            "a key in a GGUF file must be at most 65535 bytes long; got 65536 for 'kkkk",
        ),
        (
            {"w": files.W},
            {"general.alignment": "24"},
            "the metadata 'general.alignment' must be a power of two below 1000000; got '24'",
        ),
    ],
)
def test_what_gguf_cannot_hold(tmp_path, arrays, metadata, message):
    save_file({"old": files.W}, tmp_path / "a.gguf")
    before = (tmp_path / "a.gguf").read_bytes()
    with pytest.raises(ValueError, match=f"^save_file: {message}"):
        save_file(arrays, tmp_path / "a.gguf", metadata)
    assert os.listdir(tmp_path) == ["a.gguf"]
    assert (tmp_path / "a.gguf").read_bytes() == before


# ONNX


ONNX_NUMBERS = {
    "float32": (1, "floats", struct.pack("<2f", 1.5, -2)),
    "float64": (11, None, struct.pack("<2d", 1.5, -2)),
    "int8": (3, "int32s", files.varint(-3) + files.varint(5)),
    "bool": (9, "int32s", b"\x01\x00"),
    "float16": (10, "int32s", files.varint(0x3E00) + files.varint(0xC000)),
    "bfloat16": (16, "int32s", files.varint(0x3FC0) + files.varint(0xC000)),
    "float8_e4m3fn": (17, "int32s", files.varint(0x3C) + files.varint(0xC0)),
}
ONNX_VALUES = {"int8": [-3, 5], "bool": [True, False]}


@pytest.mark.parametrize("name", list(ONNX_NUMBERS))
def test_onnx_numbers_in_fields_of_their_types(tmp_path, name):
    kind, where, data = ONNX_NUMBERS[name]
    body = files.field(1, 2) + files.field(2, kind) + files.field(8, b"w")
    body += files.field({"floats": 4, "int32s": 5, None: 10}[where], data)
    loaded = load_file(written(tmp_path, ".onnx", files.onnx_file(body)))["w"]
    assert loaded.dtype.name == name
    np.testing.assert_array_equal(loaded.astype(np.float64), ONNX_VALUES.get(name, [1.5, -2.0]))


def test_onnx_numbers_that_are_not_packed(tmp_path):
    body = files.field(1, 2) + files.field(2, 1) + files.field(8, b"w")
    body += b"".join(files.varint(4 << 3 | 5) + struct.pack("<f", x) for x in (1.5, -2))
    assert load_file(written(tmp_path, ".onnx", files.onnx_file(body)))["w"].tolist() == [1.5, -2]
    body = files.field(1, 2) + files.field(2, 6) + files.field(8, b"w")
    body += files.field(5, 300) + files.field(5, -1)
    assert load_file(written(tmp_path, ".onnx", files.onnx_file(body)))["w"].tolist() == [300, -1]


def test_onnx_numbers_of_several_bytes_across_the_pieces_they_are_read_in(tmp_path):
    numbers = [1, *range(200, 20_000)]
    body = files.field(1, len(numbers)) + files.field(2, 7) + files.field(8, b"w")
    body += files.field(7, b"".join(map(files.varint, numbers)))
    assert load_file(written(tmp_path, ".onnx", files.onnx_file(body)))["w"].tolist() == numbers


def test_onnx_skips_what_it_does_not_know(tmp_path):
    noise = (
        files.field(99, 1)
        + files.varint(98 << 3 | 5)
        + bytes(4)
        + files.varint(97 << 3 | 1)
        + bytes(8)
    )
    data = noise + files.onnx_file(
        files.onnx_tensor() + noise, graph=noise + files.field(1, b"node")
    )
    loaded = load_file(written(tmp_path, ".onnx", data))
    assert facts(loaded) == facts({"w": files.W})
    assert loaded.metadata == {}


def test_what_onnx_writes_is_read(tmp_path):
    onnx = pytest.importorskip("onnx")
    kinds = onnx.TensorProto
    make = onnx.helper.make_tensor
    tensors = [
        onnx.numpy_helper.from_array(files.W, "w"),
        onnx.numpy_helper.from_array(np.array([1 + 2j]), "c"),
        make("f", kinds.FLOAT, [3], [1.0, 2.0, 3.0]),
        make("i", kinds.INT64, [2], [-5, 2**40]),
        make("u", kinds.UINT64, [2], [2**63, 1]),
        make("h", kinds.FLOAT16, [2], [1.5, -2.0]),
        make("bf", kinds.BFLOAT16, [2], [1.5, -2.0]),
        make("cf", kinds.COMPLEX64, [2], [1 + 2j, 3]),
        make("s", kinds.DOUBLE, [], [2.5]),
        make("b", kinds.BOOL, [2], [True, False]),
        make("e", kinds.FLOAT, [0], []),
    ]
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [], tensors))
    model.metadata_props.add(key="a", value="b")
    model.producer_name = "someone"
    onnx.save(model, tmp_path / "a.onnx")
    options = {"save_as_external_data": True, "location": "b.data", "size_threshold": 0}
    onnx.save(model, tmp_path / "b.onnx", **options)
    for name in ("a.onnx", "b.onnx"):
        loaded = load_file(tmp_path / name)
        assert loaded.metadata == {"a": "b", "producer_name": "someone"}
        assert facts(loaded) == facts({t.name: onnx.numpy_helper.to_array(t) for t in tensors})


def test_onnx_reads_what_is_saved(tmp_path):
    onnx = pytest.importorskip("onnx")
    arrays = {
        **{name: values(name) for name in ONNX_DTYPES},
        "rank 0": np.array(2.5),
        "empty": np.ones((3, 0), np.float32),
        "many axes": np.ones((1,) * 9 + (200,), np.float32),
        "ä": files.W,
    }
    save_file(arrays, tmp_path / "a.onnx", {"producer_name": "someone", "ä": "ü"})
    model = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "someone"
    assert {p.key: p.value for p in model.metadata_props} == {"format": "volta", "ä": "ü"}
    found = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    assert facts(found) == facts(arrays)
    assert facts(load_file(tmp_path / "a.onnx")) == facts(arrays)
    assert load_metadata(tmp_path / "a.onnx")["producer_name"] == "someone"


def test_what_onnx_cannot_hold(tmp_path):
    save_file({"old": files.W}, tmp_path / "a.onnx")
    before = (tmp_path / "a.onnx").read_bytes()
    with pytest.raises(ValueError, match=r"^save_file: a tensor in an ONNX file must have a name"):
        save_file({"": files.W}, tmp_path / "a.onnx")
    vast = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (2**31,), (1,))
    with pytest.raises(
        ValueError,
        match=r"^save_file: an ONNX file must have at most 2147483647 .*; got 2147483692",
    ):
        onnx_write({"w": vast}, {}, tmp_path / "b.onnx")
    assert os.listdir(tmp_path) == ["a.onnx"]
    assert (tmp_path / "a.onnx").read_bytes() == before


def test_external_data_is_mapped(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(bytes(8) + files.W.tobytes())
    where = [
        files.entry(b"location", b"weights/w.bin"),
        files.entry(b"offset", b"8"),
        files.entry(b"length", b"24"),
    ]
    data = files.onnx_file(files.onnx_tensor(external=where, location=1))
    loaded = load_file(written(tmp_path, ".onnx", data))["w"]
    np.testing.assert_array_equal(loaded, files.W)
    assert not loaded.flags.owndata


def test_ml_dtypes_are_those_of_the_package():
    assert dtype_named("bfloat16") == np.dtype(ml_dtypes.bfloat16)


# Large files


COUNT = 2**28  # of 4 bytes
ENTRY = json.dumps({"w": {"dtype": "F32", "shape": [COUNT], "data_offsets": [0, 4 * COUNT]}})
GIGABYTES = {  # what stands before and after a gigabyte of zeros
    ".safetensors": (files.safetensors_file(ENTRY.ljust(80).encode()), b""),
    ".bin": (b"\x01\x01w\xfc" + struct.pack("<I", COUNT), b"\x01\xfc" + struct.pack("<I", COUNT)),
    ".gguf": (files.gguf_file([("w", (COUNT,), 0, 0)], data=b""), b""),
    ".npy": (
        files.npy_file(np.zeros(0, "f4")).replace(b"(0,), }        ", b"(268435456,), }"),
        b"",
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("suffix", list(GIGABYTES))
def test_a_gigabyte_is_mapped(tmp_path, suffix):
    path = tmp_path / f"file{suffix}"
    before, after = GIGABYTES[suffix]
    with open(path, "wb") as file:  # sparse: the zeros take no disk
        file.write(before)
        file.seek(4 * COUNT, os.SEEK_CUR)
        file.write(after)
        file.truncate()
    program = """
import sys
import numpy as np
from volta.io import load_file
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
before = resident()
(array,) = load_file(sys.argv[1]).values()
assert array.nbytes == 2**30 and array[12345] == 0
print(resident() - before)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < 32 * 2**20
