"""What stands for a primitive in entries that are none of the op set's."""

from typing import Any

__all__ = ["Divided", "StandIn"]


class StandIn:
    """Has what passes and programs ask a primitive for."""

    name = ""
    arity: Any = None
    value: Any = None
    results = 1
    carries = effect = elementwise = view = False

    def explain(self, error: Exception, args: tuple[Any, ...], params: dict[str, Any]) -> Exception:
        """The error: it says all that there is to say."""
        return error


class Divided(StandIn):
    """One that threads compute part by part.

    Attributes
    ----------
    entries : list of Entry
        What it stands for.
    starts : tuple of range
        First places of the parts, on each axis that is cut.
    """

    entries: list[Any]
    starts: tuple[range, ...]

    def overwrites(self, v: int, o: int) -> bool:
        """Whether the result `v` may be where the operand `o` of its shape is."""
        return False
