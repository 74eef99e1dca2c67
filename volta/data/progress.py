"""A progress bar around a loop: tqdm's, or a line of text where tqdm is not installed."""

import contextlib
import importlib
import numbers
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol, Self, TypeVar

__all__ = ["Progress", "progress"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

INTERVAL: Final = 0.1  # seconds between two lines, tqdm's


class Progress(Protocol[T_co]):
    """What `progress` returns: an iterable that shows how far it is."""

    def __iter__(self) -> Iterator[T_co]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> Any: ...

    def set_postfix(self, **values: object) -> Any:
        """Show `values` behind the bar from now on."""

    def close(self) -> Any:
        """Write the last state and end the line."""


def progress(
    iterable: Iterable[T],
    *,
    total: int | None = None,
    desc: str | None = None,
    disable: bool | None = None,
) -> Progress[T]:
    """Show on the standard error stream how far a loop over `iterable` is.

    Parameters
    ----------
    iterable : iterable
        What to loop over.
    total : int, optional
        Number of its items; its length if not given, where it has one.
    desc : str, optional
        Text in front of the bar.
    disable : bool, optional
        Whether to show nothing. If not given, shows where the stream is a terminal.

    Returns
    -------
    Progress
        An iterable of the same items, and a context manager that ends the line. It has
        ``set_postfix(**values)``. It is tqdm's where tqdm is installed.

    Examples
    --------
    >>> with progress(range(3), desc="epoch", disable=True) as bar:
    ...     for step in bar:
    ...         bar.set_postfix(loss=0.5 * step)
    """
    try:
        bar: Any = importlib.import_module("tqdm").tqdm
    except ModuleNotFoundError:
        bar = _TextBar
    shown: Progress[T] = bar(iterable, total=total, desc=desc, disable=disable)
    return shown


class _TextBar:
    def __init__(
        self, iterable: Iterable[Any], *, total: int | None, desc: str | None, disable: bool | None
    ) -> None:
        if total is None:
            with contextlib.suppress(TypeError):
                total = len(iterable)  # type: ignore[arg-type]  # not every iterable has a length
        self._iterable, self._total = iterable, total
        self._prefix = f"{desc}: " if desc else ""
        self._postfix = ""
        self._stream = sys.stderr
        self._shows = self._stream.isatty() if disable is None else not disable
        self._count, self._width = 0, 0
        self._begin = self._shown = time.monotonic()

    def __iter__(self) -> Iterator[Any]:
        try:
            for item in self._iterable:
                yield item
                self._count += 1
                self._show()
        finally:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def set_postfix(self, **values: object) -> None:
        self._postfix = "".join(f", {name}={_short(value)}" for name, value in values.items())
        self._show()

    def close(self) -> None:
        if self._shows:
            self._write()
            self._stream.write("\n")
            self._stream.flush()
        self._shows = False

    def _show(self) -> None:
        if self._shows and time.monotonic() - self._shown >= INTERVAL:
            self._write()

    def _write(self) -> None:
        self._shown = time.monotonic()
        seconds = self._shown - self._begin
        of = "" if self._total is None else f"/{self._total}"
        rate = f", {self._count / seconds:.3g}/s" if seconds else ""
        line = f"{self._prefix}{self._count}{of} [{seconds:.1f}s{rate}{self._postfix}]"
        self._stream.write("\r" + line.ljust(self._width))  # spaces over what was longer
        self._stream.flush()
        self._width = len(line)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, numbers.Real) else str(value)
