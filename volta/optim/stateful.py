"""The stateful face of optimizers: an object that steps a model, or a tree it holds itself."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from volta.core import tree
from volta.core.errors import LoadError
from volta.core.trace import ops
from volta.nn.loading import fitted
from volta.nn.module import Module
from volta.optim.base import Optimizer, Rate, check_rate, conjugate, kept, leafwise, rate_at, times

__all__ = ["Stateful"]


class Stateful:
    """An optimizer with the parameters it changes and its state.

    Parameters
    ----------
    params : Module, or tree of arrays
        A module is changed in place; a tree is not, but replaced.
    lr : float or callable
        Learning rate, or a schedule from step to rate.
    direction : Optimizer
        What comes before the learning rate.

    Attributes
    ----------
    lr : float or callable
    steps : int
        Number of steps so far.
    state : tree
        State of `direction`.
    """

    def __init__(self, params: Any, lr: Rate, direction: Optimizer) -> None:
        self.lr = lr
        self._model = params if isinstance(params, Module) else None
        self._params = None if isinstance(params, Module) else params
        self._direction = direction
        self.steps = 0
        self.state = direction.init(self.params)

    @property
    def lr(self) -> Rate:
        """Learning rate, or a schedule from step to rate."""
        return self._lr

    @lr.setter
    def lr(self, value: Rate) -> None:
        check_rate(type(self).__name__, value, "lr")
        self._lr = value

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
        where = f"{type(self).__name__}.step"
        old = self.params
        leafwise(where, lambda p, g: None, params=old, grads=grads)
        directions, state = self._direction.update(grads, self.state, old)
        rate = rate_at(self._lr, self.steps)
        new = leafwise(
            where,
            lambda p, d: kept(ops.subtract(p, times(conjugate(d), rate)), p),
            params=old,
            directions=directions,
        )
        if self._model is None:
            self._params = new
        else:
            self._model.update(new)
        self.state, self.steps = state, self.steps + 1
        return new

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
        named = {name: leaf for name, leaf, _ in self._named()}
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
        wanted = {"steps": np.asarray(0), **{name: _array(leaf) for name, leaf, _ in named}}
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
            for name, leaf, _ in named
        ]
        self.state = tree.unflatten(tree.structure(self.state), leaves)
        self.steps = int(state_dict["steps"])

    def _named(self) -> list[tuple[str, Any, Any]]:
        """Leaves of the state, in order, with their names and paths."""
        found = []
        for stage in self.state:
            for field in getattr(stage, "_fields", ()):
                for path, leaf in tree.leaves_with_path(getattr(stage, field)):
                    name = tree.keystr((field, *path), simple=True, separator=".")
                    found.append((name, leaf, path))
        return found


def _array(leaf: Any) -> Any:
    return np.asarray(leaf) if type(leaf) in _NUMBERS else leaf


_NUMBERS: Final = (int, float)
