"""GPUs of any vendor, through WebGPU: devices, their memory and the work given to them.

Needs the extra ``wgpu`` (``pip install 'volta-array[wgpu]'``), whose wheel has all that is needed
but the vendor's driver of Vulkan, Metal or Direct3D 12.
"""

from volta.wgpu.device import Device, Limits, devices
from volta.wgpu.memory import MemoryStats
from volta.wgpu.queue import Counts

__all__ = ["Counts", "Device", "Limits", "MemoryStats", "devices"]
