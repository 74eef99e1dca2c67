"""State dicts under other names: the steps from a foreign model's names to one's own."""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from volta.core.errors import LoadError
from volta.core.trace import located
from volta.io.state import StateDict

__all__ = ["StateDictMapper", "from_rust", "transposed_names"]

TRANSPOSED: Final = "volta.transposed"  # of the metadata: a JSON list of names

_Step = Callable[[StateDict, set[str]], tuple[StateDict, set[str]]]


def transposed_names(state_dict: Mapping[str, Any]) -> set[str]:
    """Names of the arrays that a mapper has transposed since their metadata was true."""
    text = getattr(state_dict, "metadata", {}).get(TRANSPOSED, "[]")
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        msg = (
            f"load_state_dict: the metadata {TRANSPOSED!r} must be a JSON list of names; got "
            f"{text[:80]!r}."
        )
        raise LoadError(msg)
    return set(names)


class StateDictMapper:
    """Steps that turn a state dict into one with other names.

    Each method returns a new mapper with one more step, and `map` takes them in that order. No
    step changes the arrays, and none changes their layout except `transpose` and
    `transpose_pattern`, which note what they transposed in the metadata, so that
    `Module.load_state_dict` does not do it again, even after the result went through a file.

    Examples
    --------
    >>> mapper = volta.io.StateDictMapper().strip_prefix("module.").rename("gamma", "weight")
    >>> mapper
    StateDictMapper().strip_prefix('module.').rename('gamma', 'weight')
    >>> mapper.map({"module.gamma": np.ones(2), "module.bias": np.zeros(2)})
    {'weight': array([1., 1.]), 'bias': array([0., 0.])}

    Two arrays never get one name:

    >>> mapper.map({"module.gamma": np.ones(2), "weight": np.zeros(2)})
    Traceback (most recent call last):
        ...
    volta.core.errors.LoadError: rename('gamma', 'weight'): names must stay distinct; got
    'gamma' and 'weight', both to be 'weight'. Exclude or rename one of them. ...
    """

    def __init__(self) -> None:
        self._steps: tuple[tuple[str, _Step], ...] = ()

    def __repr__(self) -> str:
        return "".join(["StateDictMapper()", *(f".{text}" for text, _ in self._steps)])

    def map(self, state_dict: Mapping[str, Any]) -> StateDict:
        """Take the steps, in the order in which they were added.

        Parameters
        ----------
        state_dict : mapping of str to array
            It stays as it is.

        Returns
        -------
        StateDict
            The same arrays and metadata.

        Raises
        ------
        LoadError
            If a step names an array that is not there, or would give two arrays one name.
        """
        metadata = getattr(state_dict, "metadata", None)
        if metadata is None and hasattr(state_dict, "_metadata"):  # PyTorch's state_dict()
            metadata = {"format": "pt"}
        turned = transposed_names(state_dict)
        current = StateDict(state_dict, metadata=metadata)
        for _, step in self._steps:
            current, turned = step(current, turned)
        kept = {key: value for key, value in (metadata or {}).items() if key != TRANSPOSED}
        if turned:
            kept[TRANSPOSED] = json.dumps(sorted(turned))
        return StateDict(current, metadata=kept)

    # names ---------------------------------------------------------------------------------------

    def rename(self, old: str, new: str) -> "StateDictMapper":
        """Give the array `old` the name `new`."""
        return self._renaming(f"rename({old!r}, {new!r})", lambda name: new, [old])

    def rename_keys(self, names: Mapping[str, str]) -> "StateDictMapper":
        """Give many arrays new names at once, old to new; two may swap theirs."""
        names = dict(names)
        return self._renaming(f"rename_keys({names!r})", names.__getitem__, names)

    def rename_prefix(self, old: str, new: str) -> "StateDictMapper":
        """Replace the prefix `old` of all names that have it; a dot at its end belongs to it."""
        return self._renaming(
            f"rename_prefix({old!r}, {new!r})",
            lambda name: new + name.removeprefix(old) if name.startswith(old) else name,
        )

    def strip_prefix(self, prefix: str) -> "StateDictMapper":
        """Take a prefix off the names that have it; the others stay."""
        return self._renaming(f"strip_prefix({prefix!r})", lambda name: name.removeprefix(prefix))

    def add_prefix(self, prefix: str) -> "StateDictMapper":
        """Put a prefix before all names."""
        return self._renaming(f"add_prefix({prefix!r})", lambda name: prefix + name)

    def replace(self, old: str, new: str) -> "StateDictMapper":
        """Replace a part of the names, wherever it occurs."""
        return self._renaming(f"replace({old!r}, {new!r})", lambda name: name.replace(old, new))

    # layout --------------------------------------------------------------------------------------

    def transpose(self, name: str) -> "StateDictMapper":
        """Swap the two axes of a matrix."""
        text = f"transpose({name!r})"

        def step(state: StateDict, turned: set[str]) -> tuple[StateDict, set[str]]:
            _check_there(text, state, [name])
            if state[name].ndim != 2:
                shape = tuple(state[name].shape)
                msg = f"{text}: the array must be a matrix; got shape {shape}."
                raise located(LoadError(msg))
            return _transposed(state, turned, {name})

        return self._then(text, step)

    def transpose_pattern(self, part: str) -> "StateDictMapper":
        """Swap the axes of all matrices with `part` in their names; other arrays stay."""

        def step(state: StateDict, turned: set[str]) -> tuple[StateDict, set[str]]:
            names = {name for name, x in state.items() if part in name and x.ndim == 2}
            return _transposed(state, turned, names)

        return self._then(f"transpose_pattern({part!r})", step)

    # choice --------------------------------------------------------------------------------------

    def select_keys(self, names: Iterable[str]) -> "StateDictMapper":
        """Keep these arrays alone, in the order they have."""
        names = list(names)
        return self._choosing(f"select_keys({names!r})", set(names).__contains__, names)

    def select_prefix(self, prefix: str) -> "StateDictMapper":
        """Keep the arrays whose names have a prefix; `strip_prefix` then takes it off."""
        return self._choosing(f"select_prefix({prefix!r})", lambda name: name.startswith(prefix))

    def exclude_keys(self, names: Iterable[str]) -> "StateDictMapper":
        """Leave these arrays out."""
        names = list(names)
        left_out = set(names)
        return self._choosing(f"exclude_keys({names!r})", lambda name: name not in left_out, names)

    def exclude_prefix(self, prefix: str) -> "StateDictMapper":
        """Leave out the arrays whose names have a prefix."""
        return self._choosing(
            f"exclude_prefix({prefix!r})", lambda name: not name.startswith(prefix)
        )

    # the rest ------------------------------------------------------------------------------------

    def transform(self, function: Callable[[StateDict], Mapping[str, Any]]) -> "StateDictMapper":
        """Call a function with the state dict; what it returns goes on.

        It gets a copy of the dict, with its metadata, and must return a dict. Of names that it
        keeps, it is still known whether they were transposed.
        """
        text = f"transform({getattr(function, '__name__', function)!s})"

        def step(state: StateDict, turned: set[str]) -> tuple[StateDict, set[str]]:
            result: object = function(state)
            if not isinstance(result, Mapping):
                msg = (
                    f"{text}: the function must return a state dict; got "
                    f"{type(result).__name__}. Return the dict that it changes."
                )
                raise located(TypeError(msg))
            return StateDict(result, metadata=state.metadata), turned & result.keys()

        return self._then(text, step)

    def then(self, other: "StateDictMapper") -> "StateDictMapper":
        """Take the steps of another mapper after these."""
        mapper = StateDictMapper()
        mapper._steps = self._steps + other._steps
        return mapper

    def _then(self, text: str, step: _Step) -> "StateDictMapper":
        mapper = StateDictMapper()
        mapper._steps = (*self._steps, (text, step))
        return mapper

    def _renaming(
        self, text: str, renamed: Callable[[str], str], names: Iterable[str] | None = None
    ) -> "StateDictMapper":
        """Step that renames `names`, or all."""

        def step(state: StateDict, turned: set[str]) -> tuple[StateDict, set[str]]:
            _check_there(text, state, names or ())
            chosen = state.keys() if names is None else set(names)
            new = {name: renamed(name) if name in chosen else name for name in state}
            _check_distinct(text, new)
            result = StateDict({new[k]: x for k, x in state.items()}, metadata=state.metadata)
            return result, {new[name] for name in turned if name in new}

        return self._then(text, step)

    def _choosing(
        self, text: str, kept: Callable[[str], bool], names: Iterable[str] = ()
    ) -> "StateDictMapper":
        def step(state: StateDict, turned: set[str]) -> tuple[StateDict, set[str]]:
            _check_there(text, state, names)
            chosen = {name: x for name, x in state.items() if kept(name)}
            return StateDict(chosen, metadata=state.metadata), turned & chosen.keys()

        return self._then(text, step)


def from_rust() -> StateDictMapper:
    """Return the mapper for state dicts of the Rust framework.

    There, the scale and shift of normalizations are ``gamma`` and ``beta``; here, as in PyTorch,
    ``weight`` and ``bias``. Weights of `Linear` are (in, out) in both. What does not fit one
    array for another is left: its attention has three matrices for what is one ``in_proj_weight``
    here.

    Returns
    -------
    StateDictMapper

    Examples
    --------
    >>> state = {"norm.gamma": np.ones(2), "norm.beta": np.zeros(2), "fc.weight": np.eye(2)}
    >>> list(volta.io.from_rust().map(state))
    ['norm.weight', 'norm.bias', 'fc.weight']
    """
    words = {"gamma": "weight", "beta": "bias"}

    def renamed(name: str) -> str:
        head, dot, last = name.rpartition(".")
        return f"{head}{dot}{words.get(last, last)}"

    return StateDictMapper()._renaming("from_rust()", renamed)


def _transposed(state: StateDict, turned: set[str], names: set[str]) -> tuple[StateDict, set[str]]:
    arrays = {name: x.T if name in names else x for name, x in state.items()}
    return StateDict(arrays, metadata=state.metadata), turned ^ names


def _check_there(text: str, state: StateDict, names: Iterable[str]) -> None:
    absent = [name for name in names if name not in state]
    if absent:
        close = [m for n in absent for m in difflib.get_close_matches(n, state, n=1)]
        hint = f"Is it {', '.join(map(repr, close))}?" if close else f"There are {len(state)}."
        msg = f"{text}: the names must be in the state dict; got none for {absent}. {hint}"
        raise located(LoadError(msg))


def _check_distinct(text: str, new: Mapping[str, str]) -> None:
    old: dict[str, str] = {}
    for name, renamed in new.items():
        if renamed in old:
            msg = (
                f"{text}: names must stay distinct; got {old[renamed]!r} and {name!r}, both to "
                f"be {renamed!r}. Exclude or rename one of them."
            )
            raise located(LoadError(msg))
        old[renamed] = name
