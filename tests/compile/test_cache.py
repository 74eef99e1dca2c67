"""Compiled code on the disk: used again, never when damaged, and no more than a limit of it."""

import os
import shutil
import subprocess
import sys

import pytest

from volta.compile import cache
from volta.compile.native import llvm

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed"),
]

PROGRAM = """
import numpy as np, volta, volta.functional as F
from volta.compile.native import machine
made = []
plain = machine._object
machine._object = lambda text: made.append(1) or plain(text)
x = np.linspace(0, 1, 1000)
found = volta.jit(lambda x: F.exp(-x) * x + F.sum(x))(x)
np.testing.assert_allclose(found, np.exp(-x) * x + x.sum(), rtol=1e-12)
print(len(made))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VOLTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # without the workers' module
    return tmp_path / "cache"


def compiled():
    """How many modules a new process compiles."""
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return int(found.stdout)


@pytest.fixture(scope="module")
def whole_folder(tmp_path_factory):
    """What one process leaves."""
    folder = tmp_path_factory.mktemp("whole") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOLTA_CACHE", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        assert compiled() == 1
    return folder


def files(folder):
    return sorted(p for p in folder.iterdir() if p.is_file())


def test_a_second_process_compiles_nothing(folder):
    assert compiled() == 1
    assert len(files(folder)) == 2  # the code, and the program that calls it
    assert compiled() == 0
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("which", ["code", "program"])
@pytest.mark.parametrize("damage", ["empty", "short", "first", "middle", "last", "other", "longer"])
def test_a_damaged_file_is_written_again(whole_folder, folder, damage, which):
    shutil.copytree(whole_folder, folder)
    code, program = sorted(files(folder), key=lambda p: b"ELF" not in p.read_bytes()[:64])
    path = code if which == "code" else program
    held = bytearray(path.read_bytes())
    if damage == "other":
        held = held[:32] + b"\x7fELF" + bytes(100)
    elif damage == "longer":
        held += b"\x00"
    elif damage in ("empty", "short"):
        held = held[: 0 if damage == "empty" else len(held) // 2]
    else:
        held[{"first": 0, "middle": len(held) // 2, "last": -1}[damage]] ^= 1
    path.write_bytes(held)
    whole = len(files(folder))
    assert compiled() == (which == "code")
    assert len(files(folder)) == whole
    assert bytes(held) != path.read_bytes()
    assert compiled() == 0


def test_code_of_another_key_is_not_used(folder):
    cache.write(b"one", b"code of one")
    (path,) = files(folder)
    cache.write(b"two", b"code of two")
    (other,) = (p for p in files(folder) if p != path)
    other.write_bytes(path.read_bytes())
    assert cache.read(b"two") is None
    assert cache.read(b"one") == b"code of one"


def test_an_empty_name_is_no_cache(folder, monkeypatch):
    monkeypatch.setenv("VOLTA_CACHE", "")
    assert compiled() == 1
    assert compiled() == 1
    assert not folder.exists()


def test_a_folder_that_others_may_write_to_is_not_used(folder):
    folder.mkdir()
    folder.chmod(0o777)
    assert compiled() == 1
    assert not files(folder)


def test_where_there_can_be_no_folder_there_is_no_cache(folder, monkeypatch):
    folder.write_text("a file")
    assert compiled() == 1
    monkeypatch.setenv("VOLTA_CACHE", str(folder / "below"))
    assert compiled() == 1


def test_nothing_is_left_of_a_file_that_could_not_be_written(folder, monkeypatch):
    cache.write(b"one", b"code")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    cache.write(b"two", b"code")
    assert len(files(folder)) == 1
    assert cache.read(b"two") is None


def test_the_files_used_longest_ago_go_first(folder, monkeypatch):
    monkeypatch.setattr(cache, "_LIMIT", 1000)
    monkeypatch.setattr(cache, "_OFTEN", 2)
    for i in range(5):
        monkeypatch.setattr(cache, "_count", [0])
        cache.write(str(i).encode(), bytes(200))
        for place, path in enumerate(sorted(files(folder), key=lambda p: p.stat().st_mtime_ns)):
            os.utime(path, (1000 + place, 1000 + place))
        if i == 3:
            assert cache.read(b"0") is not None  # the newest now
    assert cache.read(b"0") is not None
    assert cache.read(b"1") is None
    assert cache.read(b"4") is not None
    assert sum(p.stat().st_size for p in files(folder)) <= 1000


def test_the_default_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("VOLTA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache._folder() == tmp_path / "volta"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache._folder() == tmp_path / "home" / ".cache" / "volta"
