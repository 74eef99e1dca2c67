"""Checkpoints: everything of a training run in one directory, each step whole or absent.

`steps` writes and reads one step, and `trees` what is in it; here is which steps there are, who
may write them, and when.
"""

import contextlib
import gc
import operator
import os
import re
import threading
import warnings
import weakref
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import IO, Any, Final, NamedTuple, Self

from volta.core.errors import LoadError, VoltaError
from volta.core.keywords import suggesting
from volta.core.trace import located
from volta.io.files import left_over, lock, make_directory, remove_directory
from volta.io.steps import read_step, write_step
from volta.io.trees import Fitting, Packed, packed

__all__ = ["Checkpoint", "Checkpoints"]

STEP: Final = re.compile(r"step-(0|[1-9][0-9]*)")


class Checkpoint(NamedTuple):
    """A step that was restored, and its parts by name.

    Examples
    --------
    >>> step, parts = volta.io.Checkpoint(100, {"lr": 0.1})
    """

    step: int
    parts: dict[str, Any]


class Checkpoints:
    """Steps of a training run in a directory: all that is needed to go on as if nothing happened.

    Parameters
    ----------
    directory : str or path-like
        Of this run alone. It is created by the first `save`.
    max_to_keep : int, optional
        Steps to keep: when one has been saved, the earliest are deleted. All if not given.
    keep_period : int, optional
        Steps that are multiples of it are kept for good, and not counted.
    asynchronous : bool, default False
        Whether a thread writes what `save` has copied while training goes on. One step at a time:
        the next `save` waits for it. What goes wrong in it is raised by the next `save`,
        `restore`, `wait` or `close`. A program does not end before its last step is written.
    skip_damaged : bool, default False
        Whether `restore` without a step takes the newest step that is sound and warns of those it
        passed, instead of raising. The next `save` renames them to ``damaged-…``.

    Raises
    ------
    ValueError
        If `max_to_keep` or `keep_period` is not a positive integer, or `directory` is a file.

    See Also
    --------
    save_file : a file of named arrays.

    Notes
    -----
    A step is written to a temporary directory, brought to the disk (``fsync``), and renamed. So
    whenever the process is killed, or the power fails, a step is complete or absent; what a killed
    writer left is no step, and removed by the next one. One process at a time writes to a
    directory: it holds a lock from its first `save` to `close` or its end. Others may read.

    Every tensor has a checksum of its dtype, shape and bytes, and so has the list of them. Both
    are compared by `restore`, which raises `LoadError` if anything differs.

    Examples
    --------
    >>> import tempfile
    >>> model = volta.nn.Linear(2, 3, key=F.random.key(0))
    >>> optimizer = volta.optim.Adam(model, lr=0.1)
    >>> with volta.io.Checkpoints(tempfile.mkdtemp(), max_to_keep=2) as checkpoints:
    ...     for step in range(1, 4):
    ...         _ = optimizer.step(model.parameters())
    ...         checkpoints.save(step, model=model, optimizer=optimizer, key=F.random.key(step))
    ...     checkpoints.steps
    [2, 3]
    >>> fresh = volta.nn.Linear(2, 3, key=F.random.key(9))
    >>> step, parts = checkpoints.restore(model=fresh, key=None)
    >>> step, parts["key"], bool((fresh.weight == model.weight).all())
    (3, array([0, 3], dtype=uint32), True)
    """

    @suggesting
    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        max_to_keep: int | None = None,
        keep_period: int | None = None,
        asynchronous: bool = False,
        skip_damaged: bool = False,
    ) -> None:
        self.directory = Path(os.path.abspath(directory))  # wherever the program goes later
        if self.directory.exists() and not self.directory.is_dir():
            msg = f"Checkpoints: directory must be a directory; got the file {self.directory}."
            raise located(ValueError(msg))
        for name, count in (("max_to_keep", max_to_keep), ("keep_period", keep_period)):
            if count is not None and (type(count) is not int or count < 1):
                msg = f"Checkpoints: {name} must be a positive integer; got {count!r}."
                raise located(ValueError(msg))
        self.max_to_keep, self.keep_period = max_to_keep, keep_period
        self.asynchronous, self.skip_damaged = asynchronous, skip_damaged
        self._lock: IO[bytes] | None = None  # a file that is open while the lock is held
        self._unlock: Any = None  # what closes it, at the latest when nobody holds this object
        self._writer: threading.Thread | None = None
        self._failures: list[tuple[int, Exception]] = []  # at most one, not yet raised
        self._damaged: list[int] = []  # steps that `restore` passed over
        weakref.finalize(self, _tell, self._failures)

    @property
    def steps(self) -> list[int]:
        """Steps in the directory, ascending; one that is being written is not among them."""
        if not self.directory.is_dir():
            return []
        found = (STEP.fullmatch(name) for name in os.listdir(self.directory))
        return sorted(int(match[1]) for match in found if match)

    @property
    def latest(self) -> int | None:
        """Last of `steps`; None if there is none."""
        return max(self.steps, default=None)

    def save(self, step: int, /, **parts: Any) -> None:
        """Save the parts of a step.

        Parameters
        ----------
        step : int
            Not negative, and greater than all in the directory.
        **parts : object with a state, or tree
            By names of your own. An object that has ``state_dict`` and ``load_state_dict`` (a
            `Module`, an optimizer, a scheduler, a `DataLoader`) is saved as its state. A tree
            holds such objects, arrays of any library, and plain values: None, bool, int, float,
            complex, str, in lists, tuples, dicts, named tuples and registered classes. Dtypes:
            Volta's and the 8-bit floats. Nothing is cast; numbers keep every bit.

        Raises
        ------
        ValueError
            If `step` is not such a number, there are no parts, their names differ in case alone,
            or one is nested without end.
        TypeError
            If a part holds something else.
        DTypeError
            If an array has another dtype.
        TraceError
            If an array is traced.
        VoltaError
            If another process or object writes to the directory, or the disk does not take the
            step. Saved steps stay as they are.

        Warns
        -----
        RuntimeWarning
            If steps that are not to be kept could not be deleted.

        Notes
        -----
        What is saved is what the parts are now: arrays may be changed as soon as this returns.
        Static fields, such as a model's training mode, are not part of a state; what the program
        changes by hand it saves by hand: ``save(step, training=model.training)``.

        Examples
        --------
        >>> import tempfile
        >>> checkpoints = volta.io.Checkpoints(tempfile.mkdtemp())
        >>> checkpoints.save(7, ema={"w": np.ones(2)}, best=(float("inf"), None))
        >>> checkpoints.restore(7).parts
        {'ema': {'w': array([1., 1.])}, 'best': (inf, None)}
        """
        self.wait()
        step = _checked(step, parts)
        self._become_writer()
        latest = self.latest
        if latest is not None and step <= latest:
            msg = (
                f"Checkpoints.save: a step must be greater than those saved; got {step} and "
                f"{latest} in {self.directory}. Delete the later ones to go on from an earlier."
            )
            raise located(ValueError(msg))
        held = {
            name: packed("Checkpoints.save", name, part, copy=self.asynchronous)
            for name, part in parts.items()
        }
        if self.asynchronous:
            self._writer = threading.Thread(target=self._write_aside, args=(step, held))
            self._writer.start()
            return
        try:
            self._write(step, held)
        except OSError as error:
            raise self._failed(step, error) from error

    def restore(self, step: int | None = None, /, **into: Any) -> Checkpoint:
        """Read a step, check it, and put its parts where they are wanted.

        Parameters
        ----------
        step : int, optional
            The latest if not given.
        **into : object with a state, tree, or None
            For each part that is wanted; others are not read. An object with a state loads it. A
            tree of arrays and numbers, such as ``optimizer.init(params)``, says the structure, and
            for every array its library, device and dtype. With None the part is returned as it was
            saved, with NumPy arrays, and dicts in the place of named tuples and registered
            classes; so are all parts if none is named.

        Returns
        -------
        Checkpoint
            ``(step, parts)``: the step that was read, and the parts by name. Objects that loaded
            their state are among them. Plain values are those that were saved.

        Raises
        ------
        LoadError
            If there is no such step, a file is damaged, or something does not fit. All parts are
            read and compared before any object loads, and if one then refuses its state, those
            before it get their own back: nothing is changed.
        VoltaError
            If an earlier step could not be written.

        Warns
        -----
        RuntimeWarning
            With `skip_damaged`, of each step that is passed over.

        Notes
        -----
        The structure of a template must be that of the part: the keys of its dicts, the fields of
        its classes, the lengths of its lists. Static fields of classes are the template's.

        Examples
        --------
        >>> import tempfile
        >>> optimizer = volta.optim.adam(0.1)
        >>> state = optimizer.init({"w": np.ones(2)})
        >>> checkpoints = volta.io.Checkpoints(tempfile.mkdtemp())
        >>> checkpoints.save(1, state=state)
        >>> type(checkpoints.restore(state=state).parts["state"][0]).__name__
        'AdamState'
        """
        self.wait()
        step, saved, found = self._read(step, into)
        unknown = [name for name in into if name not in saved]
        if unknown:
            msg = (
                f"Checkpoints.restore: parts must be among those saved; got {', '.join(unknown)}, "
                f"and {', '.join(saved)} in {self._path(step)}."
            )
            raise located(LoadError(msg))
        fitting = Fitting("Checkpoints.restore")
        names = into or dict.fromkeys(found)
        parts = {name: fitting.fitted(found[name], like, (name,)) for name, like in names.items()}
        if fitting.faults:
            msg = (
                "Checkpoints.restore: parts must be like what they are restored into; got "
                f"{', '.join(fitting.faults)}. Nothing was changed. None takes a part as it is."
            )
            raise LoadError(msg)
        _load(fitting.loads)
        return Checkpoint(step, parts)

    def delete(self, *steps: int) -> None:
        """Delete steps, each at once or not at all.

        Parameters
        ----------
        *steps : int

        Raises
        ------
        ValueError
            If there is no such step; none is deleted then.
        VoltaError
            If another process or object writes to the directory, or an earlier step could not be
            written.
        OSError
            If the system does not let a directory go.

        Examples
        --------
        >>> import tempfile
        >>> checkpoints = volta.io.Checkpoints(tempfile.mkdtemp())
        >>> for step in range(4):
        ...     checkpoints.save(step, done=step)
        >>> checkpoints.delete(*(step for step in checkpoints.steps if step > 1))
        >>> checkpoints.steps
        [0, 1]
        """
        self.wait()
        self._become_writer()
        unknown = [step for step in steps if step not in self.steps]
        if unknown:
            msg = (
                f"Checkpoints.delete: steps must be among those saved; got {unknown} and "
                f"{self.steps} in {self.directory}."
            )
            raise located(ValueError(msg))
        for step in dict.fromkeys(steps):
            remove_directory(self._path(step))

    def wait(self) -> None:
        """Wait until the step that is being written is on the disk.

        Raises
        ------
        VoltaError
            If it could not be written. Saved steps stay as they are.
        """
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._failures:
            step, error = self._failures.pop()
            raise self._failed(step, error) from error

    def close(self) -> None:
        """Wait, and let others write to the directory; the next `save` opens it again.

        ``with Checkpoints(…) as checkpoints:`` does so at its end.

        Raises
        ------
        VoltaError
            If the last step could not be written.
        """
        try:
            self.wait()
        finally:
            if self._lock is not None:
                self._lock = None
                self._unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Checkpoints({str(self.directory)!r}, steps={self.steps})"

    # writing -------------------------------------------------------------------------------------
    def _path(self, step: int) -> Path:
        return self.directory / f"step-{step}"

    def _become_writer(self) -> None:
        """Take the lock if it is not held, and remove what killed writers left."""
        try:
            if self._lock is None or self._lock.closed:  # closed: this is a forked child
                self._lock = self._locked()
                for directory in left_over(self.directory):
                    rmtree(directory, ignore_errors=True)
            for step in self._damaged:
                if step in self.steps:
                    self._path(step).rename(_unused(self.directory / f"damaged-{step}"))
        except OSError as error:
            msg = (
                f"Checkpoints: the directory must be writable; got {error}. Choose another or "
                "change its permissions."
            )
            raise VoltaError(msg) from error
        self._damaged = []

    def _locked(self) -> IO[bytes]:
        """File whose lock is held now."""
        make_directory(self.directory)
        file = (self.directory / ".lock").open("ab")
        self._unlock = weakref.finalize(self, file.close)
        if lock(file):
            return file
        gc.collect()  # of one that nobody can close any more, in a cycle of references
        if lock(file):
            return file
        self._unlock()
        msg = (
            "Checkpoints: one writer at a time must have a directory; got another that has "
            f"{self.directory}. Close it, or give each run a directory of its own."
        )
        raise VoltaError(msg)

    def _write(self, step: int, parts: Mapping[str, Packed]) -> None:
        write_step(self._path(step), step, parts)
        if self.max_to_keep is None:
            return
        # The step is saved now: what goes wrong with others is no failure of it.
        try:
            kept = self.keep_period
            counted = [s for s in self.steps if kept is None or s % kept]
            for old in counted[: -self.max_to_keep]:
                remove_directory(self._path(old))
        except OSError as error:
            msg = (
                f"Checkpoints.save: step {step} was saved, but earlier ones could not be deleted: "
                f"{error}. The next save tries again."
            )
            warnings.warn(msg, RuntimeWarning, stacklevel=3)

    def _write_aside(self, step: int, parts: Mapping[str, Packed]) -> None:
        try:
            self._write(step, parts)
        except Exception as error:  # whatever it is, the next call raises it
            self._failures.append((step, error))

    def _failed(self, step: int, error: Exception) -> VoltaError:
        msg = (
            f"Checkpoints.save: the disk must take the whole step; got {error} for "
            f"{self._path(step)}. What was saved before is unchanged."
        )
        return VoltaError(msg)

    # reading -------------------------------------------------------------------------------------
    def _read(
        self, step: int | None, into: Collection[str]
    ) -> tuple[int, list[str], dict[str, Any]]:
        """The step that is read, the names of its parts, and those that are wanted."""
        steps = self.steps
        if not steps or (step is not None and step not in steps):
            msg = (
                "Checkpoints.restore: a step must have been saved; got "
                f"{'' if step is None else f'{step} and '}{steps or 'none'} in {self.directory}."
            )
            raise located(LoadError(msg))
        asked = steps[::-1] if self.skip_damaged else steps[-1:]
        asked = asked if step is None else [step]
        damaged: list[int] = []
        while True:
            candidate = asked[len(damaged)]
            try:
                names, found = read_step(self._path(candidate), candidate, into)
            except LoadError as error:
                if step is None and candidate not in self.steps:
                    return self._read(None, into)  # the writer has saved another and deleted this
                if candidate == asked[-1]:
                    raise
                damaged.append(candidate)
                msg = f"{error.args[0]} Step {candidate} is passed over."
                warnings.warn(msg, RuntimeWarning, stacklevel=3)
            else:
                self._damaged += damaged
                return candidate, names, found


def _tell(failures: list[tuple[int, Exception]]) -> None:
    """Warn of what went wrong in a thread whose owner asked no more."""
    for step, error in failures:
        msg = f"Checkpoints: step {step} was not saved: {error}"
        warnings.warn(msg, RuntimeWarning, stacklevel=2)


def _checked(step: Any, parts: Iterable[str]) -> int:
    """A step as an int, if it can be one and the parts have names for files."""
    try:
        number = -1 if isinstance(step, bool) else operator.index(step)
    except TypeError:
        number = -1
    if number < 0:
        msg = f"Checkpoints.save: a step must be an integer of at least 0; got {step!r}."
        raise located(ValueError(msg))
    names = list(parts)
    wrong = [name for name in names if not name.isidentifier()]
    if not names or wrong or len({name.casefold() for name in names}) < len(names):
        msg = (
            "Checkpoints.save: parts must have names that are identifiers and differ in more than "
            f"case; got {', '.join(map(repr, names)) or 'none'}."
        )
        raise located(ValueError(msg))
    return number


def _unused(path: Path) -> Path:
    """`path`, or the first with a number that does not exist."""
    number, found = 0, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}.{number}")
    return found


def _load(loads: list[tuple[str, Any, Any]]) -> None:
    """Let objects load their states, all of them or none."""
    before = [(owner, owner.state_dict()) for _, owner, _ in loads]
    refused: list[tuple[str, Exception]] = []
    try:
        for name, owner, state in loads:
            try:
                owner.load_state_dict(state)
            except Exception as error:  # whatever an object of the user's own raises
                refused.append((name, error))
        if refused:
            msg = (
                "Checkpoints.restore: objects must load the states that were saved; got, for "
                f"{'; for '.join(f'{name}, {_reason(error)}' for name, error in refused)}. "
                "Nothing was changed."
            )
            raise LoadError(msg) from refused[0][1]
    except BaseException:  # an interrupt too
        for owner, old in reversed(before):
            # One that refused may hold half of a state, or refuse its own as well.
            with contextlib.suppress(Exception):
                owner.load_state_dict(old)
        raise


def _reason(error: Exception) -> str:
    return str(error.args[0] if error.args else type(error).__name__).rstrip(".")
