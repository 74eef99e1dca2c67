"""State dicts: loading them into a module, whole or not at all, and PyTorch's layout."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from volta.core.dispatch import NUMPY, Library, library_of
from volta.core.errors import DTypeError, LoadError
from volta.core.trace import located, ops
from volta.core.tracer import Tracer
from volta.core.types import as_dtype
from volta.io import StateDict
from volta.io.mapping import transposed_names
from volta.nn.structure import Place, Slot, modules_of, places_of, put, slots_of, turned

__all__ = [
    "IncompatibleKeys",
    "fault_of",
    "fitted",
    "layout_of",
    "load",
    "to_torch_state_dict",
]

LAYOUTS: Final = {"volta": "volta", "pt": "torch"}  # by the format that metadata names


class IncompatibleKeys(NamedTuple):
    """Names that `load_state_dict` did not find, and those that it found and did not use."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def load(
    module: Any, state_dict: Mapping[str, Any], strict: bool, layout: str | None
) -> IncompatibleKeys:
    """Copy a state dict into a module; see `Module.load_state_dict`."""
    layout = layout_of(state_dict, layout)
    places = places_of(module, by_index=True)
    names = _new_names(module)
    turned = {names.get(name, name) for name in transposed_names(state_dict)}
    if names:
        state_dict = {names.get(name, name): x for name, x in state_dict.items()}
    unexpected = [name for name in state_dict if name not in places]
    given: dict[Any, list[tuple[str, Place]]] = {}
    for name, place in places.items():
        if name in state_dict:
            given.setdefault(place.slot.key, []).append((name, place))
    slots = slots_of(module)
    missing = [slot.name for slot in slots if slot.key not in given]
    wrong: list[str] = []
    unknown: list[str] = []
    new: list[tuple[Slot, Any]] = []
    for slot in slots:
        for i, (name, place) in enumerate(given.get(slot.key, [])):
            axes = place.owner._torch_axes.get(place.path[0])
            if axes is not None and name in turned:
                if layout == "volta":
                    wrong.append(f"{name} transposed by a mapper from Volta's own layout")
                    continue
                axes = None
            elif axes is not None and layout is None:
                unknown.append(name)
                continue
            axes = axes if layout == "torch" else None
            fault = fault_of(state_dict[name], slot, place, axes)
            if fault:
                wrong.append(f"{name} {fault}")
                continue
            value = fitted(state_dict[name], slot.value, axes, place.transposed)
            if i == 0:
                new.append((slot, value))
            elif new and new[-1][0] is slot and not bool(ops.all(ops.equal(new[-1][1], value))):
                wrong.append(f"{name} different from {given[slot.key][0][0]}, to which it is tied")
    problems = _problems(missing, unexpected, strict) + wrong
    if unknown:
        problems.append(f"no layout for {', '.join(unknown)}")
    if problems:
        hint = (
            ' Pass layout="torch" or layout="volta": a weight alone does not tell whether it is '
            "(out, in) or (in, out)."
            if unknown
            else " Nothing was changed. Pass strict=False to let names differ."
        )
        msg = (
            f"load_state_dict: the state dict must fit {type(module).__name__}; got "
            f"{'; '.join(problems)}.{hint}"
        )
        raise LoadError(msg)
    for slot, value in new:
        put(slot, value)
    return IncompatibleKeys(missing, unexpected)


def _new_names(module: Any) -> dict[str, str]:
    """Names of today, where PyTorch's parametrizations had others before."""
    return {
        f"{prefix}{field}{suffix}": f"{prefix}parametrizations.{field}.original{i}"
        for prefix, part in ((f"{n}." if n else "", part) for n, part in modules_of(module))
        for field in part._parametrized
        for i, suffix in enumerate(part.parametrizations[field].old_suffixes)
    }


def _problems(missing: list[str], unexpected: list[str], strict: bool) -> list[str]:
    named = (("missing_keys", missing), ("unexpected_keys", unexpected))
    return [f"{kind} {names}" for kind, names in named if names and strict]


def layout_of(state_dict: Mapping[str, Any], layout: str | None) -> str | None:
    """Layout asked for, or the one that the state dict's metadata tells."""
    if layout is None:
        if hasattr(state_dict, "_metadata"):  # what PyTorch's Module.state_dict() returns has it
            return "torch"
        return LAYOUTS.get(getattr(state_dict, "metadata", {}).get("format", ""))
    if layout not in LAYOUTS.values():
        msg = f"load_state_dict: layout must be 'torch' or 'volta'; got {layout!r}."
        raise located(ValueError(msg))
    return layout


def fault_of(value: Any, slot: Slot, place: Place, axes: tuple[int, ...] | None) -> str:
    """Say what keeps a value from going into a slot, if anything."""
    try:
        library_of(value, "load_state_dict")
    except DTypeError:
        return f"of type {type(value).__name__} instead of an array"
    wanted = tuple(slot.value.shape)
    if place.transposed:
        wanted = wanted[::-1]
    if axes is not None and len(wanted) == len(axes):
        wanted = tuple(wanted[axes.index(i)] for i in range(len(axes)))
    shape = tuple(value.shape)
    if shape != wanted:
        return f"of shape {shape} instead of {wanted}"
    got, kept = as_dtype(value.dtype), as_dtype(slot.value.dtype)
    if got.kind != kept.kind:
        return f"of dtype {got.name} instead of {kept.name}"
    return ""


def fitted(
    value: Any, like: Any, axes: tuple[int, ...] | None = None, transposed: bool = False
) -> Any:
    """Copy of an array in the library, device and dtype of another, with the axes permuted.

    Only a NumPy array that cannot be written to, such as a mapped file's, is taken as it is.
    """
    if hasattr(value, "detach"):  # torch: no gradient tape of its own comes along
        value = value.detach()
    here = library_of(value, "load_state_dict")
    there = NUMPY if type(like) is Tracer else library_of(like, "load_state_dict")
    device = there.device(like)
    mine = here is NUMPY and not value.flags.writeable
    if here is NUMPY and there is not NUMPY:
        value = value.copy("K")  # torch warns of memory that it must not write to
        mine = True
    if here is not there or device != here.device(value):
        value = ops.to_device(value, device, xp=there.xp)
    if as_dtype(value.dtype) is not as_dtype(like.dtype):
        value, mine = ops.astype(value, like.dtype), True
    if transposed:
        axes = (1, 0) if axes is None else tuple(reversed(axes))
        axes = None if axes == (0, 1) else axes
    if axes is not None:
        return _permuted(there, value, axes)
    return value if mine else there.xp.asarray(value, copy=True)


def _permuted(library: Library, x: Any, axes: tuple[int, ...]) -> Any:
    """Copy in row-major order with the axes permuted."""
    if library is NUMPY:
        return np.array(np.transpose(x, axes), order="C", copy=True)
    x = library.xp.permute_dims(x, axes)
    x = library.xp.asarray(x, copy=True)
    return library.xp.reshape(library.xp.reshape(x, (-1,)), x.shape)


def to_torch_state_dict(model: Any) -> StateDict:
    """State dict of a model in PyTorch's layout, for the same model there.

    Parameters
    ----------
    model : Module

    Returns
    -------
    StateDict
        Arrays of the model's own library, those of shared and tied arrays under each of their
        names, `Linear` weights as (out, in). ``volta.tree.to(…, xp=torch)`` makes tensors of
        NumPy arrays; ``io.save_file`` a file that says whose layout it has.

    Examples
    --------
    >>> model = volta.nn.Linear(2, 3, key=F.random.key(0))
    >>> state_dict = volta.nn.to_torch_state_dict(model)
    >>> state_dict["weight"].shape, state_dict.metadata
    ((3, 2), {'format': 'pt'})
    """
    found = StateDict(metadata={"format": "pt"})
    for name, place in places_of(model).items():
        value = turned(place.slot.value, place.transposed)
        axes = place.owner._torch_axes.get(place.path[0])
        if axes is not None:
            back = tuple(axes.index(i) for i in range(len(axes)))
            value = ops.permute_dims(value, back)
        found[name] = value
    return found
