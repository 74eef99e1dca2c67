"""Arrays by name, with the metadata of their file."""

from collections.abc import Mapping
from typing import Any

from volta.core import tree

__all__ = ["StateDict"]


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
