"""GPUs of any vendor, through WebGPU: devices, and arrays on them, as an Array API namespace.

Needs the extra ``wgpu`` (``pip install 'volta-array[wgpu]'``), whose wheel has all that is needed
but the vendor's driver of Vulkan, Metal or Direct3D 12.

What is not listed below is `volta.functional`'s, whose functions take these arrays.
"""

import sys
from typing import Any, Final

from volta.wgpu import applied, creation, replay
from volta.wgpu.array import Array
from volta.wgpu.creation import (
    arange,
    asarray,
    empty,
    eye,
    from_dlpack,
    full,
    linspace,
    nonzero,
    ones,
    zeros,
)
from volta.wgpu.device import Device, Limits, devices
from volta.wgpu.memory import MemoryStats
from volta.wgpu.pressure import MemoryPressureWarning, Monitor
from volta.wgpu.queue import Counts

__all__ = [
    "Array",
    "Counts",
    "Device",
    "Limits",
    "MemoryPressureWarning",
    "MemoryStats",
    "Monitor",
    "arange",
    "asarray",
    "devices",
    "empty",
    "eye",
    "from_dlpack",
    "full",
    "linspace",
    "nonzero",
    "ones",
    "zeros",
]

__array_api_version__: Final = "2025.12"
__volta_kernel__: Final = applied.kernel_of
__volta_compiled__: Final = replay.compiled
_LEFT_OUT: Final = ("fft", "linalg")  # extensions that have no kernels


def __array_namespace_info__() -> creation.Info:  # noqa: N807 - the standard's name
    """Inspection functions of the standard."""
    return creation.Info()


def __getattr__(name: str) -> Any:
    from volta import functional

    if name == "requires":  # what portable values ask of arrays whose elements there are not yet
        return applied.requires
    if name.startswith("__") or name in _LEFT_OUT or name not in dir(functional):
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg, name=name, obj=sys.modules[__name__])
    return getattr(functional, name)
