import errno
import os
import stat
import subprocess
import sys

import pytest

from volta.io.files import atomic_write


def names(directory):
    return sorted(os.listdir(directory))


def test_creates_a_file(tmp_path):
    with atomic_write(tmp_path / "new") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "new").read_bytes() == b"new"
    assert names(tmp_path) == ["new"]


def test_the_old_file_is_there_until_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert temporary.parent == path.parent
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_raising_body_changes_nothing(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted():
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_disk_changes_nothing(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def save():
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"new")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        save()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "kill") or os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_killed_process_leaves_the_old_file(tmp_path, step):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    program = f"""
import os, signal, sys
from volta.io.files import atomic_write
os.{step} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with atomic_write(sys.argv[1]) as temporary:
    temporary.write_bytes(b"new")
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program, path], env=environment, check=False)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"
    with atomic_write(path) as temporary:  # and the next save goes through
        temporary.write_bytes(b"newer")
    assert path.read_bytes() == b"newer"
    assert all(name == "file" or name.startswith(".volta-") for name in names(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="POSIX directories")
def test_a_directory_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    sync, asked = os.fsync, []

    def refuse_directories(descriptor):
        asked.append(os.fstat(descriptor).st_ino)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_directories)
    with atomic_write(tmp_path / "file") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert asked == [(tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_are_those_of_a_plain_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with atomic_write(tmp_path / "file"):
        pass
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions_of_the_old_file_stay(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with atomic_write(path) as temporary:
        temporary.unlink()
        temporary.write_bytes(b"another file in its place")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_symbolic_link_stays(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_write(tmp_path / "link") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_missing_directory_is_not_made(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "missing" / "file"):
        pass
