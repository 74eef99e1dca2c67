"""A device, and kernels that map arrays through functions of the prelude.

Which driver runs them is what VK_DRIVER_FILES says, or the first adapter that Vulkan has.
"""

import numpy as np
import pytest

from volta.wgpu.wgsl.prelude import prelude

WGSL = {"float32": "f32", "int32": "i32", "uint32": "u32", "bool": "u32"}
WORKGROUP = 64


class Mapping:
    """Maps arrays through functions on one device."""

    def __init__(self, wgpu, adapter):
        self.wgpu = wgpu
        self.driver = "swiftshader" if "SwiftShader" in adapter.info["device"] else "lavapipe"
        self.device = adapter.request_device_sync()

    @property
    def flushes(self):
        """Whether denormal numbers may be taken and given as 0."""
        return self.driver == "swiftshader"

    def __call__(self, name, *args, dtype=None, of="{}"):
        """Apply a function to each element, or to an expression of it; a bool is an integer."""
        dtype = np.dtype(dtype or args[0].dtype)
        usage = self.wgpu.BufferUsage
        count = args[0].size
        parameters = np.asarray([0, count], np.uint32)
        made = [self.device.create_buffer_with_data(data=parameters, usage=usage.UNIFORM)]
        made += [self.device.create_buffer_with_data(data=a, usage=usage.STORAGE) for a in args]
        made += [self.device.create_buffer(size=4 * count, usage=usage.STORAGE | usage.COPY_SRC)]
        pipeline = self.device.create_compute_pipeline(
            layout="auto",
            compute={
                "module": self.device.create_shader_module(code=source(name, args, dtype, of)),
                "entry_point": "main",
            },
        )
        group = self.device.create_bind_group(
            layout=pipeline.get_bind_group_layout(0),
            entries=[
                {"binding": i, "resource": {"buffer": b, "offset": 0, "size": b.size}}
                for i, b in enumerate(made)
            ],
        )
        encoder = self.device.create_command_encoder()
        compute = encoder.begin_compute_pass()
        compute.set_pipeline(pipeline)
        compute.set_bind_group(0, group)
        compute.dispatch_workgroups(-(-count // WORKGROUP))
        compute.end()
        self.device.queue.submit([encoder.finish()])
        return np.frombuffer(self.device.queue.read_buffer(made[-1]), dtype).copy()


def source(name, args, dtype, of):
    """WGSL of a kernel that maps through a function."""
    lines = [prelude(["v_zero", name])]
    lines += ["struct Parameters { zero: u32, count: u32 }"]
    lines += ["@group(0) @binding(0) var<uniform> parameters: Parameters;"]
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


@pytest.fixture(scope="session")
def mapped():
    """Map arrays through a function on the first adapter that Vulkan has."""
    wgpu = pytest.importorskip("wgpu", reason="wgpu is not installed")
    found = wgpu.gpu.enumerate_adapters_sync()
    found = [adapter for adapter in found if adapter.info["backend_type"] == "Vulkan"]
    if not found:
        pytest.skip("Vulkan has no adapter")
    return Mapping(wgpu, found[0])
