"""Kernels for tests of the device."""

from volta.wgpu.memory import Buffer
from volta.wgpu.queue import Queue

ADD = """
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) i: vec3<u32>) {
    if (i.x < arrayLength(&x)) { y[i.x] = x[i.x] + 1.0; }
}
"""
SLOW = """
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) i: vec3<u32>) {
    let n = i.x % arrayLength(&x);
    var t = x[n];
    for (var k = 0; k < 30000; k++) { t = t * 0.5 + 1.0; }
    y[n] = t + 1.0;
}
"""


def apply(queue: Queue, pipeline, x: Buffer, groups: int = 1, out: Buffer | None = None) -> Buffer:
    """Record a kernel from one buffer to another."""
    out = queue.take(x.nbytes) if out is None else out
    buffers = [x, out]
    group = queue.native.group(pipeline, [(b.handle, 0, b.size) for b in buffers])
    queue.dispatch(pipeline, group, (groups, 1, 1), buffers)
    return out
