"""Optimizers of a part of the parameters: masks, and a rule for each group."""

from collections.abc import Hashable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from volta.core import tree
from volta.core.errors import ShapeError
from volta.core.keywords import suggesting
from volta.core.trace import located
from volta.optim.base import (
    MaskedState,
    Optimizer,
    merged,
    restricted,
    selected,
    set_to_zero,
    with_extra_args_support,
)

__all__ = ["MaskedState", "PartitionState", "freeze", "masked", "multi_transform", "partition"]


class PartitionState(NamedTuple):
    """State of `partition`: those of its optimizers, by label."""

    inner_states: dict[Hashable, Any]


@suggesting
def masked(inner: Optimizer, mask: Any) -> Optimizer:
    """Apply an optimizer to some parameters; the gradients of the others stay as they are.

    Parameters
    ----------
    inner : Optimizer
    mask : tree of bool, or callable
        Of the structure of the parameters, or a prefix of it; or a function from them, or their
        gradients, to such a tree.

    Returns
    -------
    Optimizer
        For `inner` the other parameters are None, which is an empty node of a tree.

    Raises
    ------
    ShapeError
        From `init` and `update`, if the mask's structure is another.
    TypeError
        If it holds something else than booleans.

    Examples
    --------
    >>> decay = volta.optim.masked(volta.optim.scale(10.0), {"w": True, "b": False})
    >>> params = {"w": np.ones(1), "b": np.ones(1)}
    >>> decay.update(params, decay.init(params))[0]
    {'w': array([10.]), 'b': array([1.])}
    """
    return restricted("masked", inner, mask)


@suggesting
def freeze(mask: Any) -> Optimizer:
    """Replace the updates of some parameters by zeros, so that they stay.

    Parameters
    ----------
    mask : tree of bool, or callable
        Which stay; as for `masked`.

    Returns
    -------
    Optimizer

    Examples
    --------
    >>> frozen = volta.optim.freeze({"w": True, "b": False})
    >>> params = {"w": np.ones(1), "b": np.ones(1)}
    >>> frozen.update(params, frozen.init(params))[0]
    {'w': array([0.]), 'b': array([1.])}
    """
    return restricted("freeze", set_to_zero(), mask)


@suggesting
def partition(transforms: Mapping[Any, Optimizer], param_labels: Any) -> Optimizer:
    """Apply to each parameter the optimizer of its label.

    Parameters
    ----------
    transforms : mapping of label to Optimizer
    param_labels : tree of labels, callable, or mapping of str to label
        A tree like the parameters, or a prefix of it, or a function from them to it. For flat
        dicts, which models have, also names with ``*`` and ``?`` as in file names; the first that
        matches counts.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        From `init` and `update`, if a label has no optimizer or a parameter no label.
    ShapeError
        If the structure of the labels is another.

    Examples
    --------
    >>> optimizer = volta.optim.partition(
    ...     {"slow": volta.optim.sgd(0.1), "fast": volta.optim.sgd(1.0)},
    ...     {"*.bias": "fast", "*": "slow"},
    ... )
    >>> params = {"0.weight": np.ones(1), "0.bias": np.ones(1)}
    >>> optimizer.update(params, optimizer.init(params))[0]
    {'0.weight': array([-0.1]), '0.bias': array([-1.])}
    """
    links = {label: with_extra_args_support(o) for label, o in transforms.items()}

    def init(params: Any) -> PartitionState:
        found = _labels(params, param_labels, links)
        return PartitionState(
            {
                label: link.init(selected(params, [x == label for x in found]))
                for label, link in links.items()
            }
        )

    def update(
        grads: Any, state: PartitionState, params: Any = None, **extra: Any
    ) -> tuple[Any, PartitionState]:
        found = _labels(grads, param_labels, links)
        updates, states = grads, {}
        for label, link in links.items():
            own = [x == label for x in found]
            if not any(own):
                states[label] = state.inner_states[label]
                continue
            part = None if params is None else selected(params, own)
            some, states[label] = link.update(
                selected(grads, own), state.inner_states[label], part, **extra
            )
            updates = merged(updates, own, some)
        return updates, PartitionState(states)

    return Optimizer(init, update)


multi_transform = partition


def _labels(params: Any, given: Any, known: Mapping[Any, Any]) -> list[Any]:
    """Label of each leaf."""
    labels = given(params) if callable(given) else given
    if (
        isinstance(labels, Mapping)
        and isinstance(params, Mapping)
        and labels.keys() != params.keys()
    ):
        found = [_matching(name, labels) for name, _ in _names(params)]
    else:
        try:
            spread = tree.map(lambda label, part: tree.map(lambda _: label, part), labels, params)
        except ValueError as error:
            msg = (
                "partition: the labels must have the structure of the parameters, or be a prefix "
                f"of it; got {tree.structure(labels)} for {tree.structure(params)}."
            )
            raise located(ShapeError(msg)) from error
        found = tree.leaves(spread)
    unknown = sorted({repr(label) for label in found if label not in known})
    if unknown:
        msg = (
            f"partition: every label must have an optimizer; got {', '.join(unknown)}, and "
            f"optimizers for {', '.join(map(repr, known))}."
        )
        raise located(ValueError(msg))
    return found


def _names(params: Any) -> list[tuple[str, Any]]:
    return [
        (tree.keystr(path, simple=True, separator="."), leaf)
        for path, leaf in tree.leaves_with_path(params)
    ]


def _matching(name: str, labels: Mapping[str, Any]) -> Any:
    for pattern, label in labels.items():
        if fnmatchcase(name, pattern):
            return label
    msg = f"partition: every parameter must have a label; got none for {name}. Add '*'."
    raise located(ValueError(msg))
