"""Random keys that are used twice: `debug_key_reuse`."""

import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from volta.core.errors import KeyReuseError
from volta.core.source import INSIDE
from volta.debug.watch import SWEEPING, Observer, Watching, entry, line, placed

__all__ = ["debug_key_reuse"]

_NOT_USED: Final = ("random_fold_in", "random_seed")
_WRAPPERS: Final = ("bound", "inner", "wrapped")  # of functions and methods
_Key = tuple[int, ...]


def debug_key_reuse() -> Watching:
    """Raise where a random key is used twice.

    Returns
    -------
    context manager
        A decorator as well. It holds for the thread or task that enters it.

    Raises
    ------
    KeyReuseError
        From the second use, naming the lines of both.

    Notes
    -----
    A key is used by samplers and by `split`, not by `fold_in`, as in JAX. Keys are known by their
    values, so copies of a key, and what indexing and unpacking make of an array of keys, are that
    key. A key made anew by ``random.key(seed)`` is a new one, with all that comes from it. What a
    reverse sweep computes again (`checkpoint`, `while_loop`) is no second use; nor is what the
    branches of one `cond` do. A loop whose body draws with one key at each step uses it twice.

    Examples
    --------
    >>> import volta, volta.functional as F
    >>> key = F.random.key(0)
    >>> with volta.debug_key_reuse():
    ...     x, y = F.random.normal(key, (2,)), F.random.uniform(key, (2,))
    Traceback (most recent call last):
    volta.core.errors.KeyReuseError: uniform: a random key must be ...
    """
    return Watching(_Keys)


class _Keys(Observer):
    """Remembers the keys that were used.

    Attributes
    ----------
    used : dict
        By a key's words, the function that used it, and where.
    children : dict
        By a key's words, those of the keys that were made of it.
    """

    def __init__(self) -> None:
        self.used: dict[_Key, tuple[str, str, Any]] = {}
        self.children: dict[_Key, set[_Key]] = {}

    def done(self, primitive: Any, args: tuple[Any, ...], params: dict[str, Any], out: Any) -> None:
        """Take note of a use."""
        if not primitive.name.startswith("random_") or SWEEPING.get():
            return
        if primitive.type_rule.__code__.co_varnames[:1] != ("key",):
            return
        keys = _words(args[0])
        if primitive.name not in _NOT_USED:
            before = self.used.keys() & set(keys)
            for words in keys:
                self._use(primitive, words, len(keys) > 1 and words in before)
        if primitive.name in ("random_split", "random_fold_in"):
            for new in dict.fromkeys(_words(out)):
                for words in dict.fromkeys(keys):
                    self.children.setdefault(words, set()).add(new)

    def _use(self, primitive: Any, words: _Key, lanes: bool) -> None:
        where, name = line(), _called(primitive)
        at = entry()
        if words in self.used:
            first, there, by = self.used[words]
            if lanes and at is not None and at == by:
                return  # of a lane that stands still while others go on
            msg = (
                f"{name}: a random key must be used once; got one that {first} used at {there}. "
                "Split it first, key1, key2 = random.split(key), and use each part once."
            )
            raise placed(KeyReuseError(msg), where)
        self.used[words] = name, where, at

    def source(self, key: Any) -> None:
        """Forget what is known of a key that is made anew, and of all that comes from it."""
        pending = _words(key)
        while pending:
            words = pending.pop()
            self.used.pop(words, None)
            pending += self.children.pop(words, ())

    def forked(self) -> Callable[[bool], None]:
        """Each alternative starts with what was used before all of them."""
        before, after = dict(self.used), dict(self.used)

        def told(last: bool) -> None:
            after.update(self.used)
            self.used = dict(after) if last else dict(before)

        return told


def _words(key: Any) -> list[_Key]:
    """Keys in an array of them."""
    rows = np.asarray(key).reshape(-1, 2)
    return [(int(a), int(b)) for a, b in rows]


def _called(primitive: Any) -> str:
    """The function that the user called, or the operation of an entry that is run."""
    at = entry()
    if at is not None:
        return at[1].removeprefix("random_")
    frame: Any = sys._getframe(1)
    name: str = primitive.name
    while frame is not None and frame.f_code.co_filename in INSIDE:
        own, owner = frame.f_code.co_name, frame.f_locals.get("self")
        if own in ("__call__", "__init__"):
            name = type(owner).__name__
        elif not own.startswith(("_", "<")) and own not in _WRAPPERS:
            name = own
        frame = frame.f_back
    return primitive.name.removeprefix("random_") if name == "call" else name
