"""The stateful face of optimizers: an object that steps a model, or a tree it holds itself."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np

from volta.core import tree
from volta.core.errors import LoadError
from volta.core.trace import located, ops
from volta.core.types import as_dtype
from volta.nn.loading import fitted
from volta.nn.module import Module
from volta.optim.base import (
    Optimizer,
    Rate,
    add_decayed_weights,
    chain,
    check_number,
    check_rate,
    conjugate,
    kept,
    leafwise,
    merged,
    number,
    rate_at,
    scale,
    selected,
    times,
)

__all__ = ["Groups", "Stateful", "decay_of", "restored"]

Groups = Sequence[Mapping[str, Any]]


class Stateful:
    """An optimizer with the parameters it changes and its state.

    Parameters
    ----------
    params : Module, or tree of arrays
        A module is changed in place; a tree is not, but replaced.
    groups : sequence of dict
        Each has ``params``, a name or several, with ``*`` and ``?`` as in file names, of the
        parameters it takes, and hyperparameters that are others for them. The first group that
        takes a parameter has it; the last group is of all that no other took.
    **hyperparameters
        ``lr``, ``maximize``, and the arguments of `_direction`.

    Attributes
    ----------
    lr : float or callable
        Of the group of all others; setting it sets those of all groups.
    param_groups : list of dict
        Hyperparameters of each group, which may be changed between steps, and the names of its
        parameters.
    steps : int
        Number of steps so far.
    state : tree
        State of the optimizer; for several groups the tuple of theirs.
    """

    # Whether _direction takes the rate and makes whole steps of it
    _own_rate = False

    def __init__(self, params: Any, groups: Groups = (), **hyperparameters: Any) -> None:
        self._model = params if isinstance(params, Module) else None
        self._params = None if isinstance(params, Module) else params
        self._names = tuple(hyperparameters)
        self.defaults = dict(hyperparameters)
        self.param_groups = self._grouped(groups)
        self.steps = 0
        self._built = [self._made(group, 0) for group in self.param_groups]
        self.state: Any = self._joined(
            [
                optimizer.init(self._part(self.params, i))
                for i, (_, optimizer) in enumerate(self._built)
            ]
        )

    def _direction(self, *args: Any, **kwargs: Any) -> Optimizer:
        """Optimizer of what is subtracted from the parameters, before the rate multiplies it."""
        raise NotImplementedError

    def _grouped(self, groups: Groups) -> list[dict[str, Any]]:
        """Parameter groups, and in `_own` which leaves each has."""
        operation = type(self).__name__
        names = self._paths()
        owner = [len(groups)] * len(names)
        for i in reversed(range(len(groups))):
            patterns = self._patterns(groups[i])
            taken = [any(fnmatchcase(name, p) for p in patterns) for name in names]
            if not any(taken):
                msg = (
                    f"{operation}: a group must take a parameter; got {', '.join(patterns)} for "
                    f"{', '.join(names)}."
                )
                raise located(ValueError(msg))
            owner = [i if t else before for t, before in zip(taken, owner, strict=True)]
        self._own = [[o == i for o in owner] for i in range(len(groups) + 1)]
        found = []
        for group, own in zip((*groups, {}), self._own, strict=True):
            changed = {k: v for k, v in group.items() if k != "params"}
            of_group = self.defaults | changed
            check_rate(operation, of_group["lr"], "lr")
            mine = [name for name, m in zip(names, own, strict=True) if m]
            found.append({"params": mine} | of_group)
        return found

    def _paths(self) -> list[str]:
        """Names of all parameters, in order."""
        paths = [path for path, _ in tree.leaves_with_path(self.params)]
        return [tree.keystr(path, simple=True, separator=".") for path in paths]

    def _patterns(self, group: Mapping[str, Any]) -> list[str]:
        operation = type(self).__name__
        patterns = group.get("params")
        if isinstance(patterns, str):
            patterns = [patterns]
        if not isinstance(patterns, list | tuple) or not all(type(p) is str for p in patterns):
            msg = f"{operation}: a group's params must be a name or several; got {patterns!r}."
            raise located(TypeError(msg))
        unknown = [k for k in group if k != "params" and k not in self._names]
        if unknown:
            msg = (
                f"{operation}: a group has hyperparameters of the optimizer; got "
                f"{', '.join(unknown)}. There are {', '.join(self._names)}."
            )
            raise located(TypeError(msg))
        return list(patterns)

    def _made(self, group: Mapping[str, Any], step: int) -> tuple[dict[str, Any], Optimizer]:
        """Hyperparameters that the optimizer of a group is made of, and the optimizer."""
        values = {name: group[name] for name in self._names if name != "lr"}
        if self._own_rate:
            values["lr"] = rate_at(group["lr"], step)
        optimizer = self._direction(**{k: v for k, v in values.items() if k != "maximize"})
        return values, chain(scale(-1.0), optimizer) if values.get("maximize") else optimizer

    def _part(self, arrays: Any, i: int) -> Any:
        """Tree of what belongs to a group."""
        return arrays if len(self.param_groups) == 1 else selected(arrays, self._own[i])

    def _joined(self, states: list[Any]) -> Any:
        """State of the optimizer, of those of its groups."""
        return states[0] if len(states) == 1 else tuple(states)

    @property
    def lr(self) -> Rate:
        """Learning rate, or a schedule from step to rate; setting it sets that of all groups."""
        return self.param_groups[-1]["lr"]

    @lr.setter
    def lr(self, value: Rate) -> None:
        check_rate(type(self).__name__, value, "lr")
        for group in self.param_groups:
            group["lr"] = value

    @property
    def params(self) -> Any:
        """The parameters as they are now: those of the model, or the tree."""
        return self._params if self._model is None else self._model.parameters()

    def step(self, grads: Any) -> Any:
        """Change the parameters.

        Parameters
        ----------
        grads : tree
            Like `params`: what ``volta.grad(loss)(model, …)`` returns.

        Returns
        -------
        tree
            The new parameters, which are in the model already.

        Raises
        ------
        ShapeError
            If the structure or a shape is not that of the parameters; nothing is changed then.
        """
        old = self.params
        leafwise(f"{type(self).__name__}.step", lambda p, g: None, params=old, grads=grads)
        if len(self.param_groups) == 1:
            new, state = self._stepped(0, grads, self.state, old)
        else:
            new, states = old, []
            for i, own in enumerate(self._own):
                if not any(own):
                    states.append(self.state[i])
                    continue
                part, after = self._stepped(
                    i, selected(grads, own), self.state[i], selected(old, own)
                )
                new = merged(new, own, part)
                states.append(after)
            state = self._joined(states)
        if self._model is None:
            self._params = new
        else:
            self._model.update(new)
        self.state, self.steps = state, self.steps + 1
        return new

    def _stepped(self, i: int, grads: Any, state: Any, old: Any) -> tuple[Any, Any]:
        """Parameters and state of a group after a step."""
        group = self.param_groups[i]
        values, optimizer = self._built[i]
        rate = rate_at(group["lr"], self.steps)
        now = {name: rate if name == "lr" else group[name] for name in values}
        if any(now[k] is not v and now[k] != v for k, v in values.items()):
            _, optimizer = self._built[i] = self._made(group, self.steps)
            # A momentum or a decay of 0 has no state, or no place in it.
            state = _carried(state, optimizer.init(old))
        directions, state = optimizer.update(grads, state, old)
        factor = 1.0 if self._own_rate else rate
        new = leafwise(
            f"{type(self).__name__}.step",
            lambda p, d: kept(ops.subtract(p, times(conjugate(d), factor)), p),
            params=old,
            directions=directions,
        )
        return new, state

    def state_dict(self) -> dict[str, Any]:
        """Return the state and the hyperparameters by name, to be saved.

        Returns
        -------
        dict of str to array
            ``steps``; the fields of the state, for `Adam` ``mu.0.weight`` and so on; and for each
            group ``param_groups.0.lr``, its other hyperparameters that are numbers, and
            ``param_groups.0.params``, the numbers of its parameters. Flags are numbers; schedules
            and names are not in it.

        Examples
        --------
        >>> optimizer = volta.optim.SGD({"w": np.zeros(2)}, lr=0.1, momentum=0.9)
        >>> state = optimizer.state_dict()
        >>> [name for name in state if not name.startswith("param_groups.")]
        ['steps', 'count', 'velocity.w']
        >>> state["param_groups.0.lr"], state["param_groups.0.momentum"]
        (array(0.1), array(0.9))
        """
        leaves = {"steps": self.steps} | self._named(self.state)
        for i, (group, own) in enumerate(zip(self.param_groups, self._own, strict=True)):
            leaves[_of_group(i, "params")] = np.flatnonzero(own)
            leaves |= _hyperparameters(i, group)
        return {name: _array(leaf) for name, leaf in leaves.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned, with its hyperparameters.

        To go on with another rate, set `lr` afterwards.

        Parameters
        ----------
        state_dict : mapping of str to array
            Of the same kind of optimizer with the same parameters in the same groups; arrays of
            any library.

        Raises
        ------
        LoadError
            If names, shapes or groups do not fit, or a hyperparameter is out of its range; all
            differences are named, and nothing is changed.
        """
        groups, wrong = self._loaded_groups(state_dict)
        built, state = self._built, self.state
        if not wrong:
            try:
                for group in groups:
                    check_rate(type(self).__name__, group["lr"], "lr")
                built = [self._made(group, 0) for group in groups]
                starts = [o.init(self._part(self.params, i)) for i, (_, o) in enumerate(built)]
                state = self._joined(starts)
            except (TypeError, ValueError) as error:
                wrong = [str(error.args[0]).rstrip(".")]
        named = {"steps": 0} | self._named(state)
        rest = [name for name in state_dict if not name.startswith("param_groups.")]
        wrong += [f"no {name}" for name in named if name not in state_dict]
        wrong += [f"unknown {name}" for name in rest if name not in named]
        wrong += _other_shapes(state_dict, named)
        if wrong:
            msg = (
                f"{type(self).__name__}.load_state_dict: the state must be that of the same "
                f"optimizer and parameters; got {', '.join(wrong)}. Nothing was changed."
            )
            raise LoadError(msg)
        leaves = [restored(state_dict[name], leaf) for name, leaf in named.items()]
        self.steps = leaves[0]
        self.state = tree.unflatten(tree.structure(state), leaves[1:])
        self.param_groups, self._built = groups, built

    def _loaded_groups(self, saved: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
        """Groups with hyperparameters of a state dict, and what does not fit."""
        groups: list[dict[str, Any]] = []
        wrong: list[str] = []
        wanted: set[str] = set()
        names = self._paths()
        for i, (group, own) in enumerate(zip(self.param_groups, self._own, strict=True)):
            numbers, params = _hyperparameters(i, group), _of_group(i, "params")
            # That of a scheduler, which one of the two may have and the other not
            first = _of_group(i, "initial_lr")
            numbers.pop(first, None)
            kept = {k: v for k, v in group.items() if k != "initial_lr"}
            wanted |= {*numbers, params, first}
            missing = [f"no {name}" for name in (params, *numbers) if name not in saved]
            shapes = _other_shapes(saved, {**numbers, first: 0.0})
            wrong += missing + shapes
            if params in saved and (found := _listed(saved[params])) != _listed(
                np.flatnonzero(own)
            ):
                had = ", ".join(names[j] if 0 <= j < len(names) else str(j) for j in found)
                mine = ", ".join(group["params"])
                wrong.append(f"group {i} of {had or 'none'} instead of {mine or 'none'}")
            if missing or shapes:
                continue

            def number_of(path: Any, leaf: Any, i: int = i) -> Any:
                name = _of_group(i, *path)
                return restored(saved[name], leaf) if name in saved else leaf

            groups.append(tree.map_with_path(number_of, kept))
            if first in saved:
                groups[i]["initial_lr"] = restored(saved[first], group["lr"])
        unknown = [n for n in saved if n.startswith("param_groups.") and n not in wanted]
        return groups, wrong + [f"unknown {name}" for name in unknown]

    def _named(self, state: Any) -> dict[str, Any]:
        """Leaves of a state of all groups by name, in order."""
        if len(self.param_groups) == 1:
            return _leaves(state)
        parts = [_leaves(part).items() for part in state]
        return {f"{i}.{name}": leaf for i, part in enumerate(parts) for name, leaf in part}


def restored(saved: Any, like: Any) -> Any:
    """Number or array of a state dict: an array as `like`, or the number that it is."""
    like = number(like)
    if hasattr(like, "dtype"):
        return fitted(saved, like)
    return {"bool": bool, "int": int, "uint": int}.get(as_dtype(saved.dtype).kind, float)(saved)


def decay_of(operation: str, weight_decay: Any) -> list[Optimizer]:
    """Links of a chain that add the parameters to what goes through it: one, or none for 0."""
    check_number(operation, "weight_decay", weight_decay)
    none = type(weight_decay) in _NUMBERS and weight_decay == 0
    return [] if none else [add_decayed_weights(weight_decay)]


def _carried(old: Any, new: Any) -> Any:
    """State of the form of `new`, with what `old` has of it."""
    held = _leaves(old)
    leaves = [held.get(name, leaf) for name, leaf in _leaves(new).items()]
    return tree.unflatten(tree.structure(new), leaves)


def _leaves(state: Any) -> dict[str, Any]:
    """Leaves of a state by name, in order; the later of two alike are numbered."""
    found: dict[str, Any] = {}
    for path, leaf in _fields(state):
        name = unique = tree.keystr(path, simple=True, separator=".")
        count = 0
        while unique in found:
            count += 1
            unique = f"{name}.{count}"
        found[unique] = leaf
    return found


def _fields(state: Any) -> list[tuple[Any, Any]]:
    """Leaves with their paths, which begin with names of fields, not with numbers of links."""
    if not hasattr(state, "_fields"):
        return [pair for link in state for pair in _fields(link)]
    return [
        ((field, *path), leaf)
        for field in state._fields
        for path, leaf in tree.leaves_with_path(getattr(state, field))
    ]


def _of_group(i: int, *path: Any) -> str:
    return tree.keystr(("param_groups", i, *path), simple=True, separator=".")


def _hyperparameters(i: int, group: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a group that are numbers, by name."""
    values = {name: value for name, value in group.items() if name != "params"}
    leaves = tree.leaves_with_path(values)
    return {
        _of_group(i, *path): leaf
        for path, leaf in leaves
        if type(leaf) in _NUMBERS or hasattr(leaf, "dtype")
    }


def _other_shapes(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    both = [(n, np.shape(saved[n]), np.shape(_array(x))) for n, x in wanted.items() if n in saved]
    return [f"{name} of shape {a} instead of {b}" for name, a, b in both if a != b]


def _listed(numbers: Any) -> list[int]:
    return [int(j) for j in numbers] if len(numbers.shape) == 1 else []


def _array(leaf: Any) -> Any:
    leaf = number(leaf)
    return np.asarray(leaf) if type(leaf) in _NUMBERS else leaf


_NUMBERS: Final = (bool, int, float)
