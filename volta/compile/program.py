"""From a list to the function that runs it."""

from collections.abc import Callable
from typing import Any

from volta.compile import numpy
from volta.compile.passes import optimized
from volta.core.context import STAGING
from volta.core.trace import live
from volta.core.wengert import WengertList

__all__ = ["compiled"]


def compiled(wengert: WengertList) -> Callable[..., Any]:
    """Function of the inputs of a list that returns a list of its outputs, made once.

    While a trace looks at all operations, the list runs entry by entry instead.
    """
    if live.staging and (current := STAGING.get()) is not None and current.watches:
        return wengert.run
    made = wengert.__dict__.get("compiled")
    if made is None:
        short = optimized(wengert)
        made = numpy.write(short) if numpy.takes(short) else short.run
        wengert.__dict__["compiled"] = made
    return made
