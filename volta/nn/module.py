"""`Module`: what layers and models are made of."""

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from inspect import isfunction
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np

from volta.core import tree
from volta.core.context import RUNNING
from volta.core.errors import LoadError, ShapeError, TraceError
from volta.core.keywords import suggesting
from volta.core.trace import at_line, located
from volta.io import StateDict
from volta.nn import loading
from volta.nn.structure import (
    ARRAY,
    Record,
    Slot,
    children_of,
    flatten_module,
    kind_of,
    modules_of,
    put,
    rebuild,
    role_of,
    slots_of,
    source_of,
    turned,
    unflatten_module,
)
from volta.transforms.modules import base_of_modules

__all__ = ["Module"]

# What PyTorch's modules have, and what serves here
_MOVED: Final = "volta.tree.to(model, xp=, device=, dtype=) returns it elsewhere"
_INSTEAD: Final = {
    "forward": "call the module itself",
    "zero_grad": "gradients are what volta.grad returns, and nothing keeps them",
    "requires_grad_": "freeze(*patterns) and unfreeze(*patterns) say what is trained",
    "register_parameter": "an array that is assigned to a field is a parameter",
    "register_module": "a module that is assigned to a field is part of this one",
    "add_module": "a module that is assigned to a field is part of this one",
    **dict.fromkeys(("to", "cuda", "cpu", "float", "double", "half", "bfloat16"), _MOVED),
}

SEALED, OPEN = "sealed", "open"  # whether a copy made for a transform lets buffers be written


@base_of_modules
class Module:
    """Base class of layers and models.

    A subclass assigns its fields in ``__init__`` and computes in ``__call__``. What a field holds
    says what it is:

    - a real or complex floating array is a *parameter*, which is trained;
    - any other array is a *buffer*, and so is one that `register_buffer` declared;
    - a module, or a list, tuple or dict, contributes what it holds in turn;
    - everything else is static: part of what the module is, compared by ``==``.

    Arrays have dotted names, such as ``"layers.0.weight"``. A module reached twice counts once,
    by its first name.

    A module is mutable outside of transforms: assign to its fields, or use `update`. Inside, pass
    it as an argument (``volta.grad(loss)(model, x)`` returns the dict that `parameters` has), or
    pass its parameters (`nn.functional_call`).

    Attributes
    ----------
    training : bool
        Whether layers such as `Dropout` behave as in training; set by `train` and `eval`.

    Notes
    -----
    A module is a tree (`volta.tree`) of all its arrays, so ``tree.to(model, xp=torch)`` is the
    model on another library.

    Examples
    --------
    >>> class Scale(volta.nn.Module):
    ...     def __init__(self, size):
    ...         self.factor = F.ones(size)
    ...
    ...     def __call__(self, x):
    ...         return x * self.factor
    >>> model = Scale(2)
    >>> model.parameters()
    {'factor': array([1., 1.], dtype=float32)}
    >>> volta.grad(lambda model, x: F.sum(model(x)))(model, np.asarray([3.0, 4.0]))
    {'factor': array([3., 4.], dtype=float32)}
    """

    training: bool = True
    # From PyTorch's axes to Volta's, for the fields where they differ.
    _torch_axes: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    _roles: Record = Record()  # path of an array, or of a field → "buffer" or "frozen"
    _ties: Record = Record()  # field → (module, field, whether transposed) that holds its array
    _parametrized: frozenset[str] = frozenset()  # fields that `parametrizations` compute
    _writes: str | None = None

    if TYPE_CHECKING:
        __call__: Callable[..., Any]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__dict__.get("__slots__"):
            msg = (
                f"{cls.__name__}: a module's fields must be in its __dict__; got __slots__. "
                "Leave them out."
            )
            raise located(TypeError(msg))
        called = any("__call__" in vars(base) for base in cls.__mro__)
        if "forward" in vars(cls) and not called:
            msg = (
                f"{cls.__name__}: a module must compute in __call__; got a forward. Rename it to "
                "__call__."
            )
            raise located(TypeError(msg))
        if isfunction(vars(cls).get("__init__")):
            cls.__init__ = suggesting(cls.__init__)  # type: ignore[method-assign]  # same signature
        tree.register_pytree_node(cls, flatten_module, unflatten_module)

    # fields --------------------------------------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        if self._writes == SEALED or (self._writes != OPEN and RUNNING.get()):
            self._check_write(name)
        if name in self._parametrized:
            self.parametrizations[name].assign(value)
            return
        if isinstance(value, np.generic) and kind_of(getattr(self, name, None)) is ARRAY:
            value = np.asarray(value)  # what NumPy makes of an array of shape () plus one
        if name in self._ties:
            if kind_of(value) is ARRAY:
                owner, field, transposed = source_of(self, name)
                setattr(owner, field, turned(value, transposed))
                return
            object.__setattr__(self, "_ties", _without(self._ties, name))
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name in self._ties:
            owner, field, transposed = source_of(self, name)
            return turned(getattr(owner, field), transposed)
        if name in self._parametrized:
            return self.parametrizations[name]()
        msg = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name in _INSTEAD:
            msg = f"{type(self).__name__}: has no {name}; {_INSTEAD[name]}."
        raise AttributeError(msg, name=name, obj=self)  # so that Python tells what is like it

    def __delattr__(self, name: str) -> None:
        if name in self._ties:
            object.__setattr__(self, "_ties", _without(self._ties, name))
        else:
            object.__delattr__(self, name)

    def _check_write(self, name: str) -> None:
        old = vars(self).get(name)
        if kind_of(old) is ARRAY and role_of(Slot(name, self, (name,), old)) == "buffer":
            msg = (
                f"{type(self).__name__}.{name}: a buffer must not change inside a transform or "
                f"functional_call, where the change would be lost; got an assignment{at_line()}. "
                "Call the model through nn.stateful_call, which returns the new buffers, or in "
                "eval mode."
            )
            raise TraceError(msg)

    def register_buffer(self, name: str, value: Any) -> None:
        """Assign a field whose arrays are buffers: part of the state, not trained.

        Parameters
        ----------
        name : str
        value : array, or container of arrays

        Examples
        --------
        >>> model = volta.nn.Identity()
        >>> model.register_buffer("mean", np.zeros(2))
        >>> model.parameters(), model.buffers()
        ({}, {'mean': array([0., 0.])})
        """
        self._roles = Record(self._roles | {(name,): "buffer"})
        setattr(self, name, value)

    # arrays by name ------------------------------------------------------------------------------
    def parameters(self) -> dict[str, Any]:
        """Return the arrays that are trained, by name.

        Returns
        -------
        dict of str to array
            The tree that transforms, optimizers and files use. Frozen parameters are not in it.

        Examples
        --------
        >>> model = volta.nn.Linear(2, 3, key=F.random.key(0))
        >>> {name: p.shape for name, p in model.parameters().items()}
        {'weight': (2, 3), 'bias': (3,)}
        """
        return {slot.name: slot.value for slot in slots_of(self) if role_of(slot) == "parameter"}

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the items of `parameters`."""
        return iter(self.parameters().items())

    def buffers(self) -> dict[str, Any]:
        """Return the arrays that are part of the state but not trained, by name."""
        return {slot.name: slot.value for slot in slots_of(self) if role_of(slot) == "buffer"}

    def named_buffers(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the items of `buffers`."""
        return iter(self.buffers().items())

    def modules(self) -> Iterator["Module"]:
        """Iterate over this module and those inside it, each once."""
        return (module for _, module in modules_of(self))

    def named_modules(self) -> Iterator[tuple[str, "Module"]]:
        """Iterate over this module, named ``""``, and those inside it, each once."""
        return modules_of(self)

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Iterate over the modules in the fields of this one, with names; not those inside them."""
        return children_of(self)

    def children(self) -> Iterator["Module"]:
        """Iterate over the modules in the fields of this one."""
        return (child for _, child in children_of(self))

    def apply(self, function: Callable[["Module"], Any]) -> Self:
        """Call a function with every module inside, then with this one; returns itself.

        Parameters
        ----------
        function : callable
            Of a module; what it returns is not looked at.

        Returns
        -------
        Module
            Itself.

        Examples
        --------
        >>> def start_at_zero(module):
        ...     if isinstance(module, volta.nn.Linear):
        ...         module.bias = F.zeros_like(module.bias)
        >>> model = volta.nn.Linear(2, 3, key=F.random.key(0)).apply(start_at_zero)
        >>> model.bias
        array([0., 0., 0.], dtype=float32)
        """
        for _, module in reversed(list(modules_of(self))):
            function(module)
        return self

    def state_dict(self) -> StateDict:
        """Return all arrays by name: parameters, frozen ones and buffers.

        Returns
        -------
        StateDict
            A dict whose ``metadata`` says that the layout is Volta's.

        Examples
        --------
        >>> model = volta.nn.Linear(2, 3, key=F.random.key(0))
        >>> list(model.state_dict()), model.state_dict().metadata
        (['weight', 'bias'], {'format': 'volta'})
        """
        arrays = {slot.name: slot.value for slot in slots_of(self)}
        return StateDict(arrays, metadata={"format": "volta"})

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, layout: str | None = None
    ) -> loading.IncompatibleKeys:
        """Copy arrays into this module, by name.

        Parameters
        ----------
        state_dict : mapping of str to array
            Arrays of any library. They are converted to the library, device and dtype of the
            arrays they replace. Layers of a named `Sequential` also go by their position, and
            tied or shared arrays by any of their names.
        strict : bool
            Whether every array must be given, and none besides.
        layout : "volta" or "torch", optional
            How the weights of `Linear` layers lie: ``"torch"``'s (out, in) are transposed. Needed
            where the state dict does not say it itself: those of `state_dict`, of files that
            Volta wrote, and of PyTorch's files and modules do. What a `StateDictMapper` has
            transposed is taken as it is.

        Returns
        -------
        IncompatibleKeys
            ``missing_keys`` and ``unexpected_keys``; both empty if strict.

        Raises
        ------
        LoadError
            If names, shapes or kinds of dtype do not fit, or the layout is not known; all
            differences are named, and the module stays as it is.
        ValueError
            If `layout` is neither of the two.

        Examples
        --------
        >>> model = volta.nn.Linear(1, 2, key=F.random.key(0))
        >>> weights = {"weight": np.asarray([[3.0], [4.0]]), "bias": np.zeros(2)}
        >>> model.load_state_dict(weights, layout="torch")
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
        >>> model(np.ones(1))
        array([3., 4.])
        """
        return loading.load(self, state_dict, strict, layout)

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Replace arrays by name, in place; the others stay.

        Parameters
        ----------
        arrays : mapping of str to array
            By the names of `state_dict`, of the shapes there.

        Raises
        ------
        LoadError
            If there is no array of a name.
        ShapeError
            If a shape is another.

        Examples
        --------
        >>> model = volta.nn.Linear(1, 1, key=F.random.key(0))
        >>> model.update({"bias": F.ones(1)})
        >>> model.bias
        array([1.], dtype=float32)
        """
        for slot, value in matched(self, arrays, "update"):
            put(slot, value)

    # roles and modes -----------------------------------------------------------------------------
    def freeze(self, *patterns: str) -> Self:
        """Hold parameters constant: leave them out of `parameters` and of derivatives.

        Parameters
        ----------
        *patterns : str
            Names of parameters or modules, with ``*`` and ``?`` as in file names; all without.

        Returns
        -------
        Module
            Itself.

        Raises
        ------
        ValueError
            If a pattern matches no parameter.

        Examples
        --------
        >>> model = volta.nn.Linear(2, 3, key=F.random.key(0)).freeze("weight")
        >>> list(model.parameters())
        ['bias']
        """
        return self._give_role(patterns, "freeze", "frozen")

    def unfreeze(self, *patterns: str) -> Self:
        """Undo `freeze`; arguments as there."""
        return self._give_role(patterns, "unfreeze", None)

    def _give_role(self, patterns: tuple[str, ...], operation: str, role: str | None) -> Self:
        slots = [slot for slot in slots_of(self) if role_of(slot) != "buffer"]
        for pattern in patterns:
            if not any(_matches(slot.name, pattern) for slot in slots):
                names = ", ".join(slot.name for slot in slots)
                msg = f"{operation}: a pattern must match a parameter; got {pattern!r} and {names}."
                raise located(ValueError(msg))
        for _, owner, path, _ in slots if not patterns else _chosen(slots, patterns):
            if path[0] in owner._ties:  # tied to an array outside of this tree
                owner, field, _ = source_of(owner, path[0])
                path = (field,)
            roles = _without(owner._roles, path)
            owner._roles = roles if role is None else Record(roles | {path: role})
        return self

    def train(self, mode: bool = True) -> Self:
        """Set the training mode of this module and those inside it; returns itself."""
        for _, module in modules_of(self):
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set the evaluation mode, in which dropout does nothing; returns itself."""
        return self.train(False)

    # transforms and text -------------------------------------------------------------------------
    def __volta_split__(self) -> tuple[dict[str, Any], Callable[[Mapping[str, Any]], Any]]:
        """Parameters, and the function from others to a copy of this module that has them."""
        slots = [slot for slot in slots_of(self) if role_of(slot) == "parameter"]

        def join(parameters: Mapping[str, Any]) -> Any:
            return rebuild(self, {slot.key: parameters[slot.name] for slot in slots}, SEALED)

        return {slot.name: slot.value for slot in slots}, join

    def extra_repr(self) -> str:
        """Text between the parentheses of the representation: the static fields."""
        shown = (bool, int, float, str, tuple)
        fields = vars(self).items()
        return ", ".join(
            f"{field}={value!r}"
            for field, value in fields
            if isinstance(value, shown) and field != "training" and not field.startswith("_")
        )

    @recursive_repr()
    def __repr__(self) -> str:
        title = type(self).__name__
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in children_of(self)]
        if not lines:
            return f"{title}({self.extra_repr()})"
        if self._parametrized:
            lines = [self.extra_repr(), *lines]
        return "\n  ".join([f"{title}(", *lines]) + "\n)"


def _without(record: Record, key: Any) -> Record:
    return Record({k: v for k, v in record.items() if k != key})


def _chosen(slots: list[Slot], patterns: tuple[str, ...]) -> list[Slot]:
    return [slot for slot in slots if any(_matches(slot.name, p) for p in patterns)]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def matched(module: Module, arrays: Mapping[str, Any], operation: str) -> list[tuple[Slot, Any]]:
    """Slots of a module with the arrays to put there, checked to fit."""
    slots = {slot.name: slot for slot in slots_of(module)}
    pairs = []
    for name, value in arrays.items():
        slot = slots.get(name)
        if slot is None:
            msg = (
                f"{operation}: names must be those of the module's arrays; got {name!r} and "
                f"{', '.join(slots)}."
            )
            raise LoadError(msg)
        if tuple(value.shape) != tuple(slot.value.shape):
            msg = (
                f"{operation}: an array must have the shape of the one it replaces; got "
                f"{tuple(value.shape)} and {tuple(slot.value.shape)} for {name!r}."
            )
            raise ShapeError(msg)
        pairs.append((slot, value))
    return pairs
