"""Files that are replaced whole or not at all, directories that appear whole, and locks."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

__all__ = [
    "atomic_directory",
    "atomic_write",
    "left_over",
    "lock",
    "make_directory",
    "remove_directory",
]


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the body a temporary file to write, which then replaces `path` in one step.

    Whoever opens `path` meanwhile sees the old file or the new one, never a part. When the body
    raises, or a later step fails, the temporary file is removed and the old file stays. A process
    that is killed outright also leaves the old file, and beside it a hidden ``.volta-*.tmp``.

    Parameters
    ----------
    path : str or path-like
        The file to replace or create. A symbolic link stays, and the file it names is replaced.

    Yields
    ------
    Path
        An empty file in the same directory, with the permissions of the file it replaces, or
        those of a new file. The body may write it or put another file in its place.

    Raises
    ------
    OSError
        If the directory or the disk does not take the file.

    Notes
    -----
    The contents reach the disk (``fsync``) before the name does, so that a power failure cannot
    leave an empty file under the name.

    References
    ----------
    T. S. Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.
    https://www.usenix.org/conference/osdi14/technical-sessions/presentation/pillai

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "notes.txt") as temporary:
    ...     _ = temporary.write_text("all of it")
    >>> [file.name for file in folder.iterdir()]
    ['notes.txt']
    """
    target = Path(os.path.realpath(path))
    temporary = _temporary(target.parent)
    # os.open, not tempfile: 0o666 less the umask are the permissions a plain open() would give.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        mode = stat.S_IMODE((target if target.exists() else temporary).stat().st_mode)
        yield temporary
        with temporary.open("r+b") as file:
            temporary.chmod(mode)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(target.parent)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the body a temporary directory to write files to, which then gets its name in one step.

    Whoever looks at `path` sees no directory or the whole one. When the body raises, or a later
    step fails, the temporary directory is removed; that of a process that is killed outright is
    `left_over`.

    Parameters
    ----------
    path : str or path-like
        The directory to create.

    Yields
    ------
    Path
        An empty directory beside it, for files.

    Raises
    ------
    OSError
        If `path` is a directory that is not empty, or the disk does not take the files.

    Notes
    -----
    All files and their names reach the disk (``fsync``) before the name of the directory does:
    see `atomic_write`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with atomic_directory(folder / "notes") as temporary:
    ...     _ = (temporary / "first.txt").write_text("all of it")
    >>> [str(file.relative_to(folder)) for file in folder.rglob("*.txt")]
    ['notes/first.txt']
    """
    target = Path(os.path.abspath(path))
    temporary = _temporary(target.parent)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            with file.open("r+b") as opened:
                os.fsync(opened.fileno())
        _sync_directory(temporary)
        os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    try:
        _sync_directory(target.parent)
    except BaseException:
        shutil.rmtree(_set_aside(target), ignore_errors=True)
        raise


def _set_aside(path: Path) -> Path:
    """Take a directory's name away in one step; return where it is, among those `left_over`."""
    temporary = _temporary(path.parent)
    os.rename(path, temporary)
    return temporary


def remove_directory(path: Path) -> None:
    """Remove a directory that whoever looks at `path` sees whole or not at all."""
    temporary = _set_aside(path)
    _sync_directory(path.parent)  # or else files might be gone from the disk before the name is
    shutil.rmtree(temporary, ignore_errors=True)


def make_directory(path: Path) -> None:
    """Create a directory and those it is in, and bring their names to the disk."""
    made = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for place in made:
        _sync_directory(place.parent)


def left_over(directory: Path) -> list[Path]:
    """Return the temporary directories in a directory: those of writers at work or killed."""
    return [path for path in directory.glob(".volta-*.tmp") if path.is_dir()]


def lock(file: IO[Any]) -> bool:
    """Lock an open file until it is closed or the process ends; false if another has done so.

    In a child that is forked the file is closed, lest it hold the lock when its parent has ended.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # flock, not lockf: it also keeps two files that one process opened apart
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    _LOCKED.add(file)
    return True


def _let_go() -> None:
    for file in _LOCKED:
        file.close()


_LOCKED: Final[weakref.WeakSet[IO[Any]]] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_let_go)


def _temporary(directory: Path) -> Path:
    return directory / f".volta-{secrets.token_hex(8)}.tmp"


def _sync_directory(directory: Path) -> None:
    """Bring the names in a directory to the disk, where the system can."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise


# Of systems that cannot open a directory as a file, or cannot sync it. Any other error, as of a
# disk that is full or broken, means that the names may not be there after a power failure.
_CANNOT: Final = (errno.EACCES, errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOTSUP, errno.EPERM)
