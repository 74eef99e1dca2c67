"""What stands for a primitive in entries that are none of the op set's."""

from typing import Any

__all__ = ["StandIn"]


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
