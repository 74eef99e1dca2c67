"""From a list to the function that runs it."""

from collections.abc import Callable
from typing import Any

from volta.core.wengert import WengertList

__all__ = ["compiled"]


def compiled(wengert: WengertList) -> Callable[..., Any]:
    return wengert.run
