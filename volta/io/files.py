"""Files that are replaced whole or not at all."""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["atomic_write"]


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
    temporary = target.with_name(f".volta-{secrets.token_hex(8)}.tmp")
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


def _sync_directory(directory: Path) -> None:
    # The file has been replaced by now, and some systems cannot sync or open a directory.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
