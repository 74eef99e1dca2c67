"""The stateful face of optimizers: an object that steps a model, or a tree it holds itself."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import numpy as np

from volta.core import tree
from volta.core.errors import LoadError
from volta.core.trace import located, ops
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
    rate_at,
    scale,
    selected,
    times,
)

__all__ = ["Groups", "Stateful", "decay_of"]

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
        self._built: list[tuple[Any, Optimizer]] = [(None, chain())] * len(self.param_groups)
        states = [
            self._optimizer(i, rate_at(group["lr"], 0) if self._own_rate else None).init(
                self._part(self.params, i)
            )
            for i, group in enumerate(self.param_groups)
        ]
        self.state: Any = states[0] if len(states) == 1 else tuple(states)

    def _direction(self, *args: Any, **kwargs: Any) -> Optimizer:
        """Optimizer of what is subtracted from the parameters, before the rate multiplies it."""
        raise NotImplementedError

    def _grouped(self, groups: Groups) -> list[dict[str, Any]]:
        """Parameter groups, and in `_own` which leaves each has."""
        operation = type(self).__name__
        names = [
            tree.keystr(path, simple=True, separator=".")
            for path, _ in tree.leaves_with_path(self.params)
        ]
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

    def _optimizer(self, i: int, rate: Any) -> Optimizer:
        """Optimizer of a group, made again only if its hyperparameters changed."""
        group = self.param_groups[i]
        values = {name: group[name] for name in self._names}
        values["lr"] = rate if self._own_rate else None
        before, optimizer = self._built[i]
        if before is None or any(values[k] is not v and values[k] != v for k, v in before.items()):
            arguments = {k: v for k, v in values.items() if k not in ("lr", "maximize")}
            if self._own_rate:
                arguments["lr"] = rate
            optimizer = self._direction(**arguments)
            if values.get("maximize"):
                optimizer = chain(scale(-1.0), optimizer)
            self._built[i] = (values, optimizer)
        return optimizer

    def _part(self, arrays: Any, i: int) -> Any:
        """Tree of what belongs to a group."""
        return arrays if len(self.param_groups) == 1 else selected(arrays, self._own[i])

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
            state = tuple(states)
        if self._model is None:
            self._params = new
        else:
            self._model.update(new)
        self.state, self.steps = state, self.steps + 1
        return new

    def _stepped(self, i: int, grads: Any, state: Any, old: Any) -> tuple[Any, Any]:
        """Parameters and state of a group after a step."""
        rate = rate_at(self.param_groups[i]["lr"], self.steps)
        directions, state = self._optimizer(i, rate).update(grads, state, old)
        factor = 1.0 if self._own_rate else rate
        new = leafwise(
            f"{type(self).__name__}.step",
            lambda p, d: kept(ops.subtract(p, times(conjugate(d), factor)), p),
            params=old,
            directions=directions,
        )
        return new, state

    def state_dict(self) -> dict[str, Any]:
        """Return the state by name, to be saved; hyperparameters are not in it.

        Returns
        -------
        dict of str to array
            ``steps``, and the fields of the state: for `Adam` ``mu.0.weight`` and so on.

        Examples
        --------
        >>> optimizer = volta.optim.Adam({"w": np.zeros(2)})
        >>> list(optimizer.state_dict())
        ['steps', 'count', 'mu.w', 'nu.w']
        """
        named = dict(self._named())
        return {"steps": np.asarray(self.steps), **{n: _array(x) for n, x in named.items()}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a state that `state_dict` returned.

        Parameters
        ----------
        state_dict : mapping of str to array
            Of the same kind of optimizer with the same parameters; arrays of any library.

        Raises
        ------
        LoadError
            If names or shapes do not fit; all differences are named, and nothing is changed.
        """
        named = self._named()
        wanted = {"steps": np.asarray(0), **{name: _array(leaf) for name, leaf in named}}
        wrong = [f"no {name}" for name in wanted if name not in state_dict]
        wrong += [f"unknown {name}" for name in state_dict if name not in wanted]
        wrong += [
            f"{name} of shape {tuple(state_dict[name].shape)} instead of {tuple(x.shape)}"
            for name, x in wanted.items()
            if name in state_dict and tuple(state_dict[name].shape) != tuple(x.shape)
        ]
        if wrong:
            msg = (
                f"{type(self).__name__}.load_state_dict: the state must be that of the same "
                f"optimizer and parameters; got {', '.join(wrong)}. Nothing was changed."
            )
            raise LoadError(msg)
        leaves = [
            int(state_dict[name]) if type(leaf) is int else fitted(state_dict[name], leaf)
            for name, leaf in named
        ]
        self.state = tree.unflatten(tree.structure(self.state), leaves)
        self.steps = int(state_dict["steps"])

    def _named(self) -> list[tuple[str, Any]]:
        """Leaves of the state, in order, with their names; the later of two alike are numbered."""
        states = [self.state] if len(self.param_groups) == 1 else self.state
        found: dict[str, Any] = {}
        for i, state in enumerate(states):
            prefix = f"{i}." if len(states) > 1 else ""
            for path, leaf in _fields(state):
                name = unique = prefix + tree.keystr(path, simple=True, separator=".")
                number = 0
                while unique in found:
                    number += 1
                    unique = f"{name}.{number}"
                found[unique] = leaf
        return list(found.items())


def decay_of(operation: str, weight_decay: Any) -> list[Optimizer]:
    """Links of a chain that add the parameters to what goes through it: one, or none for 0."""
    check_number(operation, "weight_decay", weight_decay)
    none = type(weight_decay) in _NUMBERS and weight_decay == 0
    return [] if none else [add_decayed_weights(weight_decay)]


def _fields(state: Any) -> list[tuple[Any, Any]]:
    """Leaves with their paths, which begin with names of fields, not with numbers of links."""
    if not hasattr(state, "_fields"):
        return [pair for link in state for pair in _fields(link)]
    return [
        ((field, *path), leaf)
        for field in state._fields
        for path, leaf in tree.leaves_with_path(getattr(state, field))
    ]


def _array(leaf: Any) -> Any:
    return np.asarray(leaf) if type(leaf) in _NUMBERS else leaf


_NUMBERS: Final = (int, float)
