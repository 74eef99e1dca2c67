"""Arrays by name, with the metadata of their file, and how two such dicts differ."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from volta.core import tree

__all__ = ["StateDict", "StateDictDiff", "diff_state_dict"]


class StateDict(dict[str, Any]):
    """A dict of arrays by name that knows how they are laid out.

    Attributes
    ----------
    metadata : dict of str to str
        Of the file the arrays come from. Its ``"format"`` says how weights are laid out:
        ``"volta"``, or ``"pt"`` for PyTorch.

    Examples
    --------
    >>> state_dict = volta.io.StateDict({"bias": np.zeros(2)}, metadata={"format": "pt"})
    >>> state_dict, state_dict.metadata
    ({'bias': array([0., 0.])}, {'format': 'pt'})
    """

    def __init__(self, *args: Any, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(*args)
        self.metadata: dict[str, str] = dict(metadata or {})


tree.register_pytree_node(
    StateDict,
    lambda d: (tuple(d.values()), (tuple(d), d.metadata), tuple(d)),
    lambda aux, values: StateDict(zip(aux[0], values, strict=True), metadata=aux[1]),
)


class Mismatch(NamedTuple):
    """An array of another shape or dtype than was expected."""

    key: str
    expected: Any
    found: Any


class StateDictDiff(NamedTuple):
    """How a state dict differs from another; false if it does not.

    Attributes
    ----------
    missing_keys : list of str
        Names that were expected and not found.
    unexpected_keys : list of str
        Names that were found and not expected.
    shape_mismatches : list of (key, expected, found)
        Arrays under one name with other shapes.
    dtype_mismatches : list of (key, expected, found)
        The same with other dtypes, by their names.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]
    shape_mismatches: list[Mismatch]
    dtype_mismatches: list[Mismatch]

    def __bool__(self) -> bool:
        return any(self[:])

    def __str__(self) -> str:
        lines = [f"missing     {key}" for key in self.missing_keys]
        lines += [f"unexpected  {key}" for key in self.unexpected_keys]
        for kind, mismatches in (("shape", self[2]), ("dtype", self[3])):
            lines += [
                f"{kind:11} {key}: expected {expected}, found {found}"
                for key, expected, found in mismatches
            ]
        return "\n".join(lines) or "no difference"


def diff_state_dict(expected: Mapping[str, Any], found: Mapping[str, Any]) -> StateDictDiff:
    """Compare the names, shapes and dtypes of two state dicts, not their numbers.

    Parameters
    ----------
    expected, found : mapping of str to array
        Arrays of any libraries. Layouts are not considered: a `Linear` weight of PyTorch's
        differs in shape, unless it is square.

    Returns
    -------
    StateDictDiff
        All differences, in the order of the dicts. It is false if there is none, and prints one
        a line.

    Examples
    --------
    >>> model = volta.nn.Linear(2, 3, key=F.random.key(0))
    >>> found = {"weight": np.zeros((3, 2), np.float32), "beta": np.zeros(3, np.float32)}
    >>> print(volta.io.diff_state_dict(model.state_dict(), found))
    missing     bias
    unexpected  beta
    shape       weight: expected (2, 3), found (3, 2)
    """
    both = [(name, expected[name], found[name]) for name in expected if name in found]
    shapes = [(name, tuple(x.shape), tuple(y.shape)) for name, x, y in both]
    dtypes = [(name, _named(x.dtype), _named(y.dtype)) for name, x, y in both]
    return StateDictDiff(
        [name for name in expected if name not in found],
        [name for name in found if name not in expected],
        [Mismatch(*row) for row in shapes if row[1] != row[2]],
        [Mismatch(*row) for row in dtypes if row[1] != row[2]],
    )


def _named(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]
