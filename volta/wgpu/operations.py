"""Operations that are no loops over scalars: which launches they are, by their primitives."""

from collections.abc import Callable
from typing import Any, Final

from volta.core.wengert import Entry
from volta.wgpu.plan import Planner, copy

__all__ = ["OPERATIONS"]


def _copied(planner: Planner, e: Entry) -> None:
    """A copy in row-major order."""
    (v,) = e.results
    x = planner.view(e.operands[0])
    copy(planner.to, x, planner.made(v))


OPERATIONS: Final[dict[str, Callable[[Planner, Entry], None]]] = {
    "astype": _copied,  # to the dtype that it has: else it is a kernel's
}
