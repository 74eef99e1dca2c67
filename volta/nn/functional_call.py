"""The pure faces of a module, and tied arrays."""

from collections.abc import Mapping
from typing import Any

from volta.core.errors import LoadError, ShapeError
from volta.core.trace import located
from volta.nn.module import OPEN, SEALED, Module, matched
from volta.nn.structure import Record, places_of, rebuild

__all__ = ["functional_call", "stateful_call", "tie"]


def functional_call(
    model: Module, params: Mapping[str, Any], *args: Any, key: Any = None, **kwargs: Any
) -> Any:
    """Call a model with other arrays in place of its own, which stay as they are.

    Parameters
    ----------
    model : Module
    params : mapping of str to array
        By the names of ``model.state_dict()``, of the shapes there, usually what ``parameters()``
        returns. Arrays that are not named are the model's own.
    *args, **kwargs
        Passed on.
    key : array, shape (2,), uint32, optional
        Passed on if given.

    Returns
    -------
    tree
        What the model returns.

    Raises
    ------
    LoadError
        If the model has no array of a name.
    ShapeError
        If a shape is another.
    TraceError
        If the model writes to a buffer: `stateful_call` returns those.

    Examples
    --------
    >>> model = volta.nn.Linear(2, 1, bias=False, key=F.random.key(0))
    >>> loss = lambda params, x: F.sum(volta.nn.functional_call(model, params, x))
    >>> volta.grad(loss)(model.parameters(), np.asarray([3.0, 4.0]))
    {'weight': array([[3.], [4.]], dtype=float32)}
    """
    new = rebuild(
        model,
        {slot.key: value for slot, value in matched(model, params, "functional_call")},
        SEALED,
    )
    return new(*args, **kwargs) if key is None else new(*args, key=key, **kwargs)


def stateful_call(
    model: Module,
    params: Mapping[str, Any],
    buffers: Mapping[str, Any],
    *args: Any,
    key: Any = None,
    **kwargs: Any,
) -> tuple[Any, dict[str, Any]]:
    """Call a model that updates its buffers, and return them beside the result.

    Parameters
    ----------
    model : Module
        Stays as it is.
    params, buffers : mapping of str to array
        As for `functional_call`.
    *args, **kwargs
        Passed on.
    key : array, shape (2,), uint32, optional
        Passed on if given.

    Returns
    -------
    out : tree
        What the model returns.
    buffers : dict of str to array
        All buffers of the model after the call.

    Raises
    ------
    LoadError
        If the model has no array of a name.
    ShapeError
        If a shape is another.

    Examples
    --------
    >>> class Counter(volta.nn.Module):
    ...     def __init__(self):
    ...         self.register_buffer("calls", np.zeros(()))
    ...
    ...     def __call__(self, x):
    ...         self.calls = self.calls + 1
    ...         return x
    >>> model = Counter()
    >>> volta.nn.stateful_call(model, model.parameters(), model.buffers(), 7)
    (7, {'calls': array(1.)})
    """
    chosen = matched(model, {**params, **buffers}, "stateful_call")
    new = rebuild(model, {slot.key: value for slot, value in chosen}, OPEN)
    out = new(*args, **kwargs) if key is None else new(*args, key=key, **kwargs)
    return out, new.buffers()


def tie(model: Module, name: str, *others: str, transpose: bool = False) -> None:
    """Make names of arrays stand for one array, in every copy of the model too.

    Parameters
    ----------
    model : Module
    name : str
        The array that stays.
    *others : str
        The names that stand for it from now on; what they held is dropped. They must be fields of
        modules, not entries of lists. Assigning to one assigns to all.
    transpose : bool
        Whether the others stand for the transpose: an `Embedding`'s (n, d) is so tied to the
        (d, n) of a `Linear`.

    Raises
    ------
    LoadError
        If the model has no array of a name.
    ShapeError
        If the shapes do not fit.
    ValueError
        If a name is an entry of a container.

    Examples
    --------
    >>> model = volta.nn.Sequential(
    ...     encoder=volta.nn.Linear(4, 2, key=F.random.key(0)),
    ...     decoder=volta.nn.Linear(2, 4, key=F.random.key(1)),
    ... )
    >>> volta.nn.tie(model, "encoder.weight", "decoder.weight", transpose=True)
    >>> list(model.parameters())
    ['encoder.weight', 'encoder.bias', 'decoder.bias']
    """
    for other in others:
        places = places_of(model)
        for n in (name, other):
            if n not in places:
                msg = f"tie: names must be those of the model's arrays; got {n!r}."
                raise LoadError(msg)
            if len(places[n].path) != 1:
                msg = f"tie: arrays must be fields of modules; got {n!r}, in a container."
                raise located(ValueError(msg))
        source, alias = places[name], places[other]
        if source.slot.key == alias.slot.key:
            continue
        kept, dropped = _shape(source), _shape(alias)
        if dropped != (kept[::-1] if transpose else kept):
            msg = f"tie: the shapes must fit; got {kept} for {name!r} and {dropped} for {other!r}."
            raise ShapeError(msg)
        owner, field = alias.slot.owner, alias.slot.path[0]
        turned = transpose ^ source.transposed ^ alias.transposed
        held = source.slot
        object.__delattr__(owner, field)
        owner._ties = Record(owner._ties | {field: (held.owner, held.path[0], turned)})


def _shape(place: Any) -> tuple[int, ...]:
    shape = tuple(place.slot.value.shape)
    return shape[::-1] if place.transposed else shape
