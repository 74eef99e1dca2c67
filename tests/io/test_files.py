import errno
import os
import re
import stat
import subprocess
import sys

import pytest

from volta.io import files
from volta.io.files import (
    atomic_directory,
    atomic_write,
    left_over,
    lock,
    make_directory,
    remove_directory,
)


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


def failing(number):
    """A call of the system that fails."""

    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.skipif(os.name == "nt", reason="POSIX directories")
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("which", [0, 1])  # of the files' names, and of the directory's
def test_names_that_did_not_reach_the_disk_are_a_failure(tmp_path, monkeypatch, number, which):
    sync, directories = os.fsync, []

    def broken(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            directories.append(descriptor)
            if len(directories) == which + 1:
                failing(number)()
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", broken)
    with (
        pytest.raises(OSError, match=re.escape(os.strerror(number))),
        atomic_directory(tmp_path / "new") as temporary,
    ):
        (temporary / "file").write_bytes(b"new")
    assert names(tmp_path) == []
    monkeypatch.setattr(files, "_sync_directory", failing(number))
    with (
        pytest.raises(OSError, match=re.escape(os.strerror(number))),
        atomic_write(tmp_path / "file") as temporary,
    ):
        temporary.write_bytes(b"new")


@pytest.mark.skipif(os.name == "nt", reason="POSIX directories")
def test_nothing_is_removed_before_its_name_is_gone_from_the_disk(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.EIO))):
        remove_directory(tmp_path / "old")
    (left,) = left_over(tmp_path)
    assert (left / "file").read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt", reason="POSIX directories")
def test_names_of_all_new_directories_reach_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "_sync_directory", synced.append)
    make_directory(tmp_path / "a" / "b" / "c")
    assert sorted(synced) == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    make_directory(tmp_path / "a" / "d")
    assert synced[3:] == [tmp_path / "a"]
    make_directory(tmp_path / "a")
    assert len(synced) == 4


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


# Directories


def test_a_directory_appears_whole(tmp_path):
    with atomic_directory(tmp_path / "new") as temporary:
        (temporary / "a").write_bytes(b"a")
        (temporary / "b").write_bytes(b"b")
        assert left_over(tmp_path) == [temporary]
    assert names(tmp_path) == ["new"]
    assert names(tmp_path / "new") == ["a", "b"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX directories")
def test_files_reach_the_disk_before_the_name_of_their_directory(tmp_path, monkeypatch):
    sync, rename, done = os.fsync, os.rename, []

    def syncing(descriptor):
        done.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    def renaming(*paths):
        done.append("rename")
        rename(*paths)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "rename", renaming)
    with atomic_directory(tmp_path / "new") as temporary:
        (temporary / "a").write_bytes(b"a")
        (temporary / "b").write_bytes(b"b")
    files = [(tmp_path / "new" / name).stat().st_ino for name in "ab"]
    assert sorted(done[:2]) == sorted(files)
    assert done[2:] == [(tmp_path / "new").stat().st_ino, "rename", tmp_path.stat().st_ino]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_raising_body_makes_no_directory(tmp_path, error):
    def interrupted():
        with atomic_directory(tmp_path / "new") as temporary:
            (temporary / "half").write_bytes(b"half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert names(tmp_path) == []


def test_a_directory_that_is_there_stays(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").write_bytes(b"old")
    with pytest.raises(OSError, match="old"), atomic_directory(tmp_path / "old") as temporary:
        (temporary / "file").write_bytes(b"new")
    assert (tmp_path / "old" / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["old"]


def test_a_directory_is_set_aside_and_removed(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    (tmp_path / ".volta-file.tmp").write_bytes(b"")  # of atomic_write, perhaps at work
    remove = files.shutil.rmtree
    monkeypatch.setattr(files.shutil, "rmtree", lambda *_, **__: None)
    remove_directory(tmp_path / "old")
    assert "old" not in names(tmp_path)
    assert len(left_over(tmp_path)) == 1
    monkeypatch.setattr(files.shutil, "rmtree", remove)
    remove_directory(left_over(tmp_path)[0])
    assert left_over(tmp_path) == []


def test_a_lock_is_held_once_until_its_file_is_closed(tmp_path):
    with (tmp_path / "lock").open("ab") as first, (tmp_path / "lock").open("ab") as second:
        assert lock(first)
        assert not lock(second)
        first.close()
        assert lock(second)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_does_not_hold_the_lock(tmp_path):
    program = """
import os, sys
from volta.io.files import lock
file = open(sys.argv[1], "ab")
assert lock(file)
done, tell = os.pipe()
if os.fork() == 0:
    assert file.closed
    os.write(tell, b".")
    sys.stdin.read()  # it lives longer than its parent
else:
    assert os.read(done, 1) == b"."
    assert not lock(open(sys.argv[1], "ab"))
    os._exit(0)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, tmp_path / "lock"]
    with (
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as run,
        (tmp_path / "lock").open("ab") as file,
    ):
        assert run.wait() == 0
        assert lock(file)
        run.stdin.close()
