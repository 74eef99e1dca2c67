"""Which array of a foreign state dict goes where in a module: a proposal, to be looked at."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from volta.io import StateDictMapper
from volta.io.mapping import transposed_names
from volta.nn.loading import fault_of, layout_of
from volta.nn.structure import places_of, slots_of

__all__ = ["StateDictMatch", "match_state_dict"]

# Words for one thing in the names of arrays, here and in other frameworks.
SYNONYMS: Final = {
    "gamma": "weight",
    "scale": "weight",
    "kernel": "weight",
    "w": "weight",
    "beta": "bias",
    "offset": "bias",
    "b": "bias",
    "moving": "running",
    "variance": "var",
}

_Pairs = dict[str, list[str]]  # of the module's names, those that fit


class StateDictMatch(NamedTuple):
    """A proposal of which foreign array goes where, and what is open.

    Attributes
    ----------
    mapping : dict of str to str
        Foreign names to the module's.
    reasons : dict of str to str
        Why, by foreign name: ``"name"`` for the same name, ``"words"`` for the most alike,
        ``"shape"`` for the only one that fits, ``"order"`` for the same place among as many that
        are alike in everything else.
    undecided : dict of str to list of str
        Names of the module for which several fit, with these.
    missing_keys : list of str
        Names of the module for which nothing fits.
    unexpected_keys : list of str
        Foreign names that fit nowhere, or were not decided upon.
    """

    mapping: dict[str, str]
    reasons: dict[str, str]
    undecided: dict[str, list[str]]
    missing_keys: list[str]
    unexpected_keys: list[str]

    def mapper(self) -> StateDictMapper:
        """Mapper that keeps what was matched, under the module's names."""
        return StateDictMapper().select_keys(self.mapping).rename_keys(self.mapping)

    def __str__(self) -> str:
        lines = [f"{self.reasons[old]:10}  {new} <- {old}" for old, new in self.mapping.items()]
        lines += [
            f"undecided   {name} <- {' or '.join(fitting)}"
            for name, fitting in self.undecided.items()
        ]
        lines += [f"missing     {name}" for name in self.missing_keys]
        lines += [f"unexpected  {name}" for name in self.unexpected_keys]
        return "\n".join(lines)


def match_state_dict(
    model: Any, foreign: Mapping[str, Any], layout: str | None = None
) -> StateDictMatch:
    """Propose which array of a foreign state dict goes where in a module.

    Nothing is loaded. Look at the proposal, then load what its mapper makes of `foreign`.

    Parameters
    ----------
    model : Module
        Where the arrays are to go.
    foreign : mapping of str to array
        State dict with names of its own.
    layout : "volta" or "torch", optional
        As in `Module.load_state_dict`. Where it is not known, `Linear` weights may fit either way
        around.

    Returns
    -------
    StateDictMatch
        Prints as a table.

    Raises
    ------
    ValueError
        If `layout` is neither of the two.

    Notes
    -----
    An array fits where shape and kind of dtype do. In this order, and each in both directions:
    the same name; the most words in common from the end of the name, and then anywhere (*gamma*
    counts as *weight*, and so on); the only shape that fits; the order of as many arrays, alike
    in shape and last word. What is left after that is reported, not guessed.

    Examples
    --------
    >>> model = volta.nn.Sequential(
    ...     ("hidden", volta.nn.Linear(2, 3, key=F.random.key(0))),
    ...     ("norm", volta.nn.LayerNorm(3)),
    ... )
    >>> foreign = {
    ...     "fc.weight": np.zeros((3, 2)), "fc.bias": np.zeros(3),
    ...     "ln.gamma": np.ones(3), "ln.beta": np.zeros(3),
    ... }
    >>> match = volta.nn.match_state_dict(model, foreign, layout="torch")
    >>> print(match)
    words       hidden.weight <- fc.weight
    order       hidden.bias <- fc.bias
    words       norm.weight <- ln.gamma
    order       norm.bias <- ln.beta
    >>> list(match.mapper().map(foreign))
    ['hidden.weight', 'hidden.bias', 'norm.weight', 'norm.bias']
    """
    layout = layout_of(foreign, layout)
    fitting = _fitting(model, foreign, layout)
    mapping: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for reason, choose in _STAGES:
        while found := choose({name: old for name, old in fitting.items() if old}):
            mapping.update(found)
            reasons.update(dict.fromkeys(found, reason))
            taken = set(found.values())
            fitting = {
                name: [old for old in olds if old not in found]
                for name, olds in fitting.items()
                if name not in taken
            }
    ordered = {old: mapping[old] for old in foreign if old in mapping}
    return StateDictMatch(
        ordered,
        {old: reasons[old] for old in ordered},
        {name: olds for name, olds in fitting.items() if olds},
        [name for name, olds in fitting.items() if not olds],
        [old for old in foreign if old not in mapping],
    )


def _fitting(model: Any, foreign: Mapping[str, Any], layout: str | None) -> _Pairs:
    """Foreign names that fit each of a module's arrays by shape and kind of dtype."""
    turned = transposed_names(foreign)
    alike: dict[tuple[int, ...], list[str]] = {}
    for old, value in foreign.items():
        alike.setdefault(tuple(sorted(getattr(value, "shape", ()))), []).append(old)
    places = places_of(model)
    fitting: _Pairs = {}
    for slot in slots_of(model):
        place = places[slot.name]
        axes = place.owner._torch_axes.get(place.path[0])
        fitting[slot.name] = [
            old
            for old in alike.get(tuple(sorted(slot.value.shape)), ())
            if any(
                not fault_of(foreign[old], slot, place, way)
                for way in _ways(axes, layout, old in turned)
            )
        ]
    return fitting


def _ways(axes: Any, layout: str | None, turned: bool) -> tuple[Any, ...]:
    if axes is None or turned or layout == "volta":
        return (None,)
    return (axes,) if layout == "torch" else (axes, None)


# Stages: from what fits to pairs of which both sides are sure


def _by_name(fitting: _Pairs) -> dict[str, str]:
    return {name: name for name, olds in fitting.items() if name in olds}


def _by_words(fitting: _Pairs) -> dict[str, str]:
    words = {name: _words(name) for name in {*fitting, *_all(fitting)}}

    def score(name: str, old: str) -> tuple[int, int]:
        mine, theirs = words[name], words[old]
        suffix = next(
            (i for i, (a, b) in enumerate(zip(mine[::-1], theirs[::-1], strict=False)) if a != b),
            min(len(mine), len(theirs)),
        )
        return suffix, (Counter(mine) & Counter(theirs)).total()

    scores = {(name, old): score(name, old) for name, olds in fitting.items() for old in olds}
    best = _unique_best(scores, lambda pair: pair[0])
    worst = _unique_best(scores, lambda pair: pair[1])
    return {old: name for name, old in best & worst if scores[name, old][0]}


def _by_shape(fitting: _Pairs) -> dict[str, str]:
    wanted = Counter(_all(fitting))
    return {
        olds[0]: name for name, olds in fitting.items() if len(olds) == 1 and wanted[olds[0]] == 1
    }


def _by_order(fitting: _Pairs) -> dict[str, str]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, olds in fitting.items():
        alike = tuple(old for old in olds if _words(old)[-1:] == _words(name)[-1:])
        groups.setdefault(alike, []).append(name)
    wanted = Counter(old for olds in groups for old in olds)
    return {
        old: name
        for olds, names in groups.items()
        if len(olds) == len(names) and all(wanted[old] == 1 for old in olds)
        for old, name in zip(olds, names, strict=True)
    }


_STAGES: Final[tuple[tuple[str, Callable[[_Pairs], dict[str, str]]], ...]] = (
    ("name", _by_name),
    ("words", _by_words),
    ("shape", _by_shape),
    ("order", _by_order),
)


def _all(fitting: _Pairs) -> Iterable[str]:
    return (old for olds in fitting.values() for old in olds)


def _words(name: str) -> list[str]:
    parts = re.split(r"[._/]+", name.lower())
    return [SYNONYMS.get(part, part) for part in parts if part]


def _unique_best(
    scores: Mapping[tuple[str, str], tuple[int, int]], side: Callable[[tuple[str, str]], str]
) -> set[tuple[str, str]]:
    """Pairs that score higher than all others of the same side."""
    best: dict[str, list[tuple[str, str]]] = {}
    for pair, score in scores.items():
        kept = best.setdefault(side(pair), [])
        if kept and score > scores[kept[0]]:
            kept.clear()
        if not kept or score == scores[kept[0]]:
            kept.append(pair)
    return {pairs[0] for pairs in best.values() if len(pairs) == 1}
