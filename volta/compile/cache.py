"""Compiled code on the disk, so that a second process need not compile it again.

A file holds an object file of the processor at hand; its name is a digest of all that it depends
on, and the digest of its content is checked before any of it is used: a file that is damaged, or
not from here, counts as none. Files are written whole or not at all. The oldest are removed when
all take more than a limit.

``VOLTA_CACHE`` names the folder; empty, there is no cache.
"""

import contextlib
import functools
import hashlib
import os
import stat
import sys
from pathlib import Path
from typing import Final

__all__ = ["is_open", "read", "write"]

_LIMIT: Final = 256 << 20  # bytes
_OFTEN: Final = 64  # writes between two looks at how much there is
_DIGEST: Final = hashlib.sha256().digest_size


def is_open() -> bool:
    """Whether there is a folder for it."""
    return _folder() is not None


def read(key: bytes) -> bytes | None:
    """What was written for a key, if it is there and whole."""
    folder = _folder()
    if folder is None:
        return None
    path = folder / hashlib.sha256(key).hexdigest()
    try:
        held = path.read_bytes()
        os.utime(path)  # the newest now
    except OSError:
        return None
    digest, content = held[:_DIGEST], held[_DIGEST:]
    return content if _digest(key, content) == digest else None


def write(key: bytes, content: bytes) -> None:
    """Write what belongs to a key; where that fails there is no cache."""
    folder = _folder()
    if folder is None:
        return
    import tempfile  # 8 ms

    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(dir=folder, prefix=".new")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(key, content) + content)
            os.replace(name, folder / hashlib.sha256(key).hexdigest())
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        _count[0] += 1
        if _count[0] % _OFTEN == 1:
            _trim(folder)


_count: Final = [0]


def _digest(key: bytes, content: bytes) -> bytes:
    return hashlib.sha256(key + content).digest()


def _trim(folder: Path) -> None:
    """Remove the files used longest ago beyond the limit."""
    found = []
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= _LIMIT:
            return
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size


def _folder() -> Path | None:
    named = os.environ.get("VOLTA_CACHE")
    if named is None:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        named = os.path.join(base, "volta")
    return _safe(named) if named else None


@functools.cache
def _safe(name: str) -> Path | None:
    """The folder, made if need be, unless others may write there: what it holds is run."""
    folder = Path(name)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError:
        return None
    if sys.platform == "win32":
        return folder
    shared = found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return None if shared else folder
