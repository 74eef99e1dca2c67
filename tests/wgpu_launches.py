"""Running launches on arrays of the host, for tests of what writes them."""

from types import SimpleNamespace

import numpy as np

from volta.core.types import as_dtype
from volta.wgpu.launch import STORED, View, Writer, itemsize, row_major
from volta.wgpu.program import Program

HOST = {"u32": np.uint32, "i32": np.int32, "f32": np.float32, "f16": np.float16}
HOST |= {"i64": np.int64, "u64": np.uint64, "f64": np.float64}


def stored(x):
    """An array as the device has it."""
    return np.asarray(x).astype(HOST[STORED[as_dtype(x.dtype).name]])


def view_of(var, x, strides=None, offset=0, shape=None):
    """View of an array in row-major order, or of a part of it."""
    shape = x.shape if shape is None else shape
    strides = row_major(x.shape) if strides is None else strides
    return View(var, as_dtype(x.dtype), shape, strides, offset)


def ran(device, write, inputs, results):
    """Run what `write(writer, *inputs' views, *results' views)` lists.

    `inputs` are arrays or pairs of an array and a function from its variable to a `View`; `results`
    are pairs of a shape and a dtype.
    """
    queue, writer = device.queue, Writer(device)
    views, buffers = [], {}
    for v, x in enumerate(inputs):
        x, view = x if isinstance(x, tuple) else (x, None)
        buffers[v] = queue.write(stored(x))
        views.append(view(v) if view else view_of(v, x))
    made = {}
    for v, (shape, dtype) in enumerate(results, len(inputs)):
        kind = as_dtype(dtype)
        views.append(View(v, kind, shape, row_major(shape)))
        made[v] = itemsize(kind) * int(np.prod(shape))
    write(writer, *views)
    program = Program(queue, writer.launches, {**made, **writer.sizes}, made)
    out = program.run(buffers)
    return [
        queue.read(out[v])
        .view(HOST[STORED[as_dtype(dtype).name]])[: int(np.prod(shape))]
        .reshape(shape)
        .astype(as_dtype(dtype).dtype)
        for v, (shape, dtype) in zip(made, results, strict=True)
    ]


def pretend(device, *, kind=None, **limits):
    """Facts of a device, but for what kind it is or some of its limits."""
    return SimpleNamespace(
        limits=device.limits._replace(**limits),
        features=device.features,
        kind=kind or device.kind,
    )


def lacks(device, dtype):
    """Whether a device has no elements of a dtype."""
    name = as_dtype(dtype).name
    wanted = {"uint64": "int64"}.get(name, name)
    return wanted in ("int64", "float16", "float64") and wanted not in device.features
