"""Devices of this machine, where there are any, and kernels that map arrays.

Which driver runs them is what VK_DRIVER_FILES says, or the first that is found.
"""

import importlib.util

import numpy as np
import pytest

from volta.wgpu.wgsl.prelude import prelude


@pytest.fixture(scope="session")
def first():
    """The first device."""
    if importlib.util.find_spec("wgpu") is None:
        pytest.skip("the extra wgpu is not installed")
    import volta.wgpu

    found = volta.wgpu.devices()
    if not found:
        pytest.skip("no driver of a device")
    return found[0]


@pytest.fixture
def device(first):
    """The first device, newly opened."""
    first.reset()
    yield first
    first.reset()


@pytest.fixture(scope="session")
def mapped(first):
    """Map arrays through a function of the prelude."""
    return Mapping(first)


WGSL = {"float32": "f32", "int32": "i32", "uint32": "u32", "bool": "u32"}
WORKGROUP = 64


class Mapping:
    """Maps arrays through functions on one device."""

    def __init__(self, device):
        self.device = device
        tiny = np.full(1, np.finfo(np.float32).tiny)
        #: Whether denormal numbers may be taken and given as 0, as WGSL allows.
        self.flushes = self("v_abs", tiny, of="{} * 0.5")[0] == 0
        x = np.linspace(1, 2, 4096, dtype=np.float32)
        #: Whether quotients are not the nearest numbers: WGSL allows 2.5 units in the last place.
        self.coarse = np.any(self("v_abs", x, of="1.0 / {}") != 1 / x)

    def __call__(self, name, *args, dtype=None, of="{}"):
        """Apply a function to each element, or to an expression of it; a bool is an integer."""
        dtype = np.dtype(dtype or args[0].dtype)
        queue, count = self.device.queue, args[0].size
        buffers = [queue.write(np.asarray([0, count], np.uint32)), *map(queue.write, args)]
        buffers.append(queue.take(4 * count))
        kinds = ["read"] * (len(args) + 1) + ["write"]
        pipeline = queue.native.pipeline(source(name, args, dtype, of), kinds, name)
        group = queue.native.group(pipeline, [(b.handle, 0, b.size) for b in buffers])
        queue.dispatch(pipeline, group, (-(-count // WORKGROUP), 1, 1), buffers)
        return queue.read(buffers[-1]).view(dtype)


def source(name, args, dtype, of):
    """WGSL of a kernel that maps through a function."""
    lines = [prelude(["v_zero", name])]
    lines += ["struct Parameters { zero: u32, count: u32 }"]
    lines += ["@group(0) @binding(0) var<storage, read> parameters: Parameters;"]
    for i, a in enumerate(args):
        kind = WGSL[a.dtype.name]
        lines += [f"@group(0) @binding({i + 1}) var<storage, read> x{i}: array<{kind}>;"]
    to = WGSL[dtype.name]
    at = len(args) + 1
    lines += [f"@group(0) @binding({at}) var<storage, read_write> out: array<{to}>;"]
    lines += [f"@compute @workgroup_size({WORKGROUP})"]
    lines += ["fn main(@builtin(global_invocation_id) id: vec3<u32>) {"]
    lines += ["  v_zero = parameters.zero;"]
    lines += ["  if id.x >= parameters.count { return; }"]
    operands = ", ".join(of.format(f"x{i}[id.x]") for i in range(len(args)))
    lines += [f"  out[id.x] = {to}({name}({operands}));", "}"]
    return "\n".join(lines)
