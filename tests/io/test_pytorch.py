"""PyTorch's files, against torch itself."""

import collections
import io
import pickle
import zipfile

import numpy as np
import pytest
import weight_files as files

from volta.core.errors import LoadError
from volta.io import load_file, load_metadata, save_file
from volta.io.pytorch import DTYPES

torch = pytest.importorskip("torch")
KINDS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def assert_same(array, tensor):
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    assert array.dtype.name == str(tensor.dtype).removeprefix("torch.")
    assert array.shape == tuple(tensor.shape)
    assert array.tobytes() == tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def saved(tmp_path, value, zipped, **options):
    path = tmp_path / "file.pt"
    torch.save(value, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def tensors():
    base = torch.arange(24.0).reshape(4, 6)
    return {
        "base": base,
        "t": base.T,
        "row": base[1],
        "column": base[:, 2],
        "expanded": base[0].expand(3, 6),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base[2:]),
        "strange stride": base[:1].as_strided((1, 6), (2**61, 1)),
        **{str(n): torch.arange(1, 7).reshape(2, 3).to(getattr(torch, n)) for n in DTYPES},
    }


@KINDS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_torch_saves_is_read(tmp_path, zipped, protocol):
    whole = tensors()
    path = saved(tmp_path, whole, zipped, pickle_protocol=protocol)
    loaded = load_file(path)
    assert list(loaded) == list(whole)
    for name, tensor in whole.items():
        assert_same(loaded[name], tensor)
        assert loaded[name].flags.aligned, name
    assert loaded.metadata == {"format": "pt"}


@KINDS
def test_tensors_of_one_storage_share_memory(tmp_path, zipped):
    loaded = load_file(saved(tmp_path, tensors(), zipped))
    for name in ("t", "row", "column", "expanded", "parameter"):
        assert np.shares_memory(loaded["base"], loaded[name]), name
    again = load_file(saved(tmp_path, tensors(), zipped), xp=torch)
    again["base"][1, 2] = -1
    assert again["t"][2, 1] == again["row"][2] == again["column"][1] == -1


def test_archives_are_mapped(tmp_path):
    path = saved(tmp_path, tensors(), True)
    assert not load_file(path)["base"].flags.owndata
    base = load_file(path)["base"].base
    while isinstance(base, np.ndarray):
        base = base.base
    assert type(base).__name__ == "mmap"


def test_conjugated_and_negated_tensors(tmp_path):
    z = torch.tensor([1 + 2j, 3 - 1j])
    whole = {"z": z, "conj": z.conj(), "neg": torch.tensor([1 + 2j, 3 - 1j]).conj().imag}
    whole |= {"scalar": z.conj()[1], "expanded": z.conj()[:, None].expand(2, 5)}
    assert whole["conj"].is_conj()
    assert whole["neg"].is_neg()
    loaded = load_file(saved(tmp_path, whole, True))
    for name, tensor in whole.items():
        assert_same(loaded[name], tensor)
    assert not loaded["conj"].flags.writeable


def test_a_conjugated_view_takes_the_memory_of_its_storage(tmp_path):
    """One number that is said to be there 2**28 times."""
    data = files._flagged(files._storage("ctorch\nComplexFloatStorage\n", count=b"K\x03"), b"conj")
    data = data.replace(b"K\x02\x85", b"J\0\0\0\x10\x85").replace(b"K\x01\x85", b"K\0\x85")
    (tmp_path / "a.pt").write_bytes(files.torch_file(data))
    loaded = load_file(tmp_path / "a.pt")["tensor"]
    assert loaded.shape == (2**28,)
    assert loaded.strides == (0,)
    assert loaded[2**27] == np.conjugate(files.W.ravel()[:2].view(np.complex64)[0])


def test_bytes_of_the_other_order_that_are_no_whole_numbers(tmp_path):
    storage = files._storage("ctorch.storage\nUntypedStorage\n", count=b"K\x07")
    data = files.rebuilt(storage, shape=b"K\x03\x85", strides=b"K\x01\x85")
    data = data.replace(b"tensor_v2", b"tensor_v3").replace(b")RtR.", b")Rctorch\nuint16\ntR.")
    members = {"a/data.pkl": data, "a/byteorder": b"big", "a/data/0": bytes(range(7))}
    (tmp_path / "a.pt").write_bytes(files.zip_file(members))
    assert load_file(tmp_path / "a.pt")["tensor"].tolist() == [0x0001, 0x0203, 0x0405]


def test_pickles_that_number_from_one(tmp_path):
    """As Python 2 wrote them."""
    (tmp_path / "a.pt").write_bytes(files.torch_file(b"\x80\x02}q\x01U\x01aq\x02h\x02s."))
    assert load_metadata(tmp_path / "a.pt") == {"a": "a", "format": "pt"}


@KINDS
def test_long_lists_of_numbers(tmp_path, zipped):
    numbers = {"ids": list(range(20_000)), "losses": [0.5] * 1000, "pairs": [(1, 2)] * 1000}
    tied = dict.fromkeys([f"layers.{i}.w" for i in range(1000)], torch.ones(1))
    path = saved(tmp_path, {**numbers, **tied}, zipped)
    loaded = load_file(path)
    assert len(loaded) == 1000
    assert loaded.metadata["ids.19999"] == "19999"
    assert loaded.metadata["losses.999"] == "0.5"
    assert loaded.metadata["pairs.999.1"] == "2"


@KINDS
def test_a_checkpoint_of_model_and_optimizer(tmp_path, zipped):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "name": "x",
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "best": 10**40,
    }
    loaded = load_file(saved(tmp_path, checkpoint, zipped))
    for name, tensor in model.state_dict().items():
        assert_same(loaded[f"model.{name}"], tensor)
    assert_same(loaded["optimizer.state.0.exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    metadata = loaded.metadata
    assert metadata["optimizer.param_groups.0.lr"] == "0.01"
    assert metadata["optimizer.param_groups.0.betas.1"] == "0.999"
    assert (metadata["epoch"], metadata["name"], metadata["best"]) == ("3", "x", str(10**40))
    assert (metadata["size.1"], metadata["device"], metadata["dtype"]) == (
        "2",
        "cpu",
        "torch.float32",
    )
    assert metadata["format"] == "pt"
    assert load_metadata(tmp_path / "file.pt") == metadata


@KINDS
def test_other_things_at_the_top(tmp_path, zipped):
    assert list(load_file(saved(tmp_path, torch.ones(2), zipped))) == ["tensor"]
    assert list(load_file(saved(tmp_path, [torch.ones(2), {3: torch.ones(1)}], zipped))) == [
        "0",
        "1.3",
    ]
    assert load_file(saved(tmp_path, {}, zipped)) == {}


@KINDS
def test_a_tensor_with_attributes(tmp_path, zipped):
    tensor = torch.ones(2)
    tensor.note = "a"
    assert_same(load_file(saved(tmp_path, {"w": tensor}, zipped))["w"], torch.ones(2))


@KINDS
def test_a_whole_module_is_refused(tmp_path, zipped):
    path = saved(tmp_path, torch.nn.Linear(2, 3), zipped)
    message = (
        "a pickle of tensors must name only what tensors need; got 'torch.nn.modules.linear.Linear'"
        ".* Save a dictionary of tensors alone. Nothing was run"
    )
    with pytest.raises(LoadError, match=f"^load_file: {message}"):
        load_file(path)


@KINDS
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: torch.eye(2).to_sparse(), "_rebuild_sparse_tensor"),
        (lambda: torch.empty(2, device="meta"), "_rebuild_meta_tensor_no_storage"),
    ],
    ids=["sparse", "meta"],
)
def test_tensors_that_are_no_arrays_are_refused(tmp_path, zipped, make, name):
    with pytest.raises(LoadError, match=rf"got 'torch._utils.{name}'|must have storage"):
        load_file(saved(tmp_path, {"w": make()}, zipped))


def test_the_other_byte_order(tmp_path):
    whole = {
        "w": torch.arange(3.0),
        "z": torch.tensor([1 + 2j]),
        "b": torch.tensor([1.5]).bfloat16(),
    }
    path = saved(tmp_path, whole, True)
    swapped = {"data/0": ("<f4", ">f4"), "data/1": ("<c8", ">c8"), "data/2": ("<u2", ">u2")}
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    for name, data in members.items():
        here, there = swapped.get(name.partition("/")[2], (None, None))
        if here:
            members[name] = np.frombuffer(data, here).astype(there).tobytes()
        elif name.endswith("byteorder"):
            members[name] = b"big"
    path.write_bytes(files.zip_file(members))
    loaded, theirs = load_file(path), torch.load(path, weights_only=True)
    for name, tensor in whole.items():
        assert_same(loaded[name], tensor)
        assert_same(loaded[name], theirs[name])


def test_the_other_byte_order_of_legacy_files(tmp_path):
    path = tmp_path / "file.pt"
    swapped = (files.W.astype(">f4"), files.B.astype(">i8"))
    path.write_bytes(files.legacy_file(storages=swapped, system={"little_endian": False}))
    np.testing.assert_array_equal(load_file(path)["w"], files.W)
    np.testing.assert_array_equal(load_file(path)["b"], files.B)


def test_legacy_views_of_storages(tmp_path):
    """What PyTorch before 0.4 wrote: a storage that is part of another."""
    storage = b"(" + files._short("storage") + b"ctorch\nFloatStorage\n" + files._short("0")
    storage += files._short("cpu") + b"K\x06" + files._short("v") + b"K\x02K\x03\x87tQ"
    data = files.rebuilt(storage, shape=b"K\x03\x85", strides=b"K\x01\x85")
    path = tmp_path / "file.pt"
    path.write_bytes(files.legacy_file(data, storages=(files.W,)))
    np.testing.assert_array_equal(load_file(path)["tensor"], files.W.ravel()[2:5])
    data = files.rebuilt(storage, shape=b"K\x04\x85", strides=b"K\x01\x85")
    path.write_bytes(files.legacy_file(data, storages=(files.W,)))
    with pytest.raises(LoadError, match=r"a tensor must lie within its storage; got .* of 3"):
        load_file(path)


def test_python_2s_text_and_older_tensors(tmp_path):
    data = files.rebuilt().replace(b"_rebuild_tensor_v2", b"_rebuild_tensor")
    data = data.replace(b"\x8c\x07storage", b"U\x07storage")
    data = data.replace(b"\x89ccollections\nOrderedDict\n)R", b"")
    path = tmp_path / "file.pt"
    path.write_bytes(files.torch_file(data))
    np.testing.assert_array_equal(load_file(path)["tensor"], files.W)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
@pytest.mark.parametrize("mmap", [True, False])
def test_torch_reads_what_is_saved(tmp_path, suffix, mmap):
    path = tmp_path / f"file{suffix}"
    whole = {name: x for name, x in tensors().items() if name != "strange stride"}
    save_file(whole, path, {"step": "7"})
    loaded = torch.load(path, weights_only=True, mmap=mmap)
    assert type(loaded) is collections.OrderedDict
    assert list(loaded) == list(whole)
    for name, tensor in whole.items():
        assert_same(load_file(path)[name], tensor)
        assert loaded[name].dtype == tensor.dtype
        assert_same(load_file(path, xp=np)[name], loaded[name])
    model = torch.nn.Linear(2, 3)
    save_file({"weight": torch.ones(3, 2), "bias": torch.zeros(3)}, path)
    model.load_state_dict(torch.load(path, weights_only=True))


def test_storages_are_aligned_in_the_file(tmp_path):
    save_file(
        {"a": np.ones(3, np.uint8), "b": np.ones(3), "c": np.ones(1, complex)}, tmp_path / "a.pt"
    )
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            data = (tmp_path / "a.pt").read_bytes()[info.header_offset :]
            start = info.header_offset + 30 + sum(np.frombuffer(data[26:30], "<u2"))
            assert start % 64 == 0


def test_a_buffer_that_torch_saved(tmp_path):
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(2)}, buffer)
    (tmp_path / "model").write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(load_file(tmp_path / "model")["w"], np.ones(2))


def test_a_protocol_of_pickle_that_torch_does_not_write(tmp_path):
    (tmp_path / "a.pt").write_bytes(files.torch_file(pickle.dumps({"a": 1}, 0)))
    with pytest.raises(LoadError, match="must have only the operations that data need") as caught:
        load_file(tmp_path / "a.pt")
    assert "Do not load this file by other means" in str(caught.value)
