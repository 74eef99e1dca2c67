"""The same functions on NumPy and on a GPU: how long they take, and by how much results differ.

    python examples/gpu.py
    python examples/gpu.py --size 512

Needs ``pip install 'volta-array[wgpu]'`` and a driver of Vulkan, Metal or Direct3D 12. A device
that computes on the host, as Mesa's does, is slower than NumPy at products. The last line printed
is the largest difference, relative to the largest number of a result.
"""

import argparse
import statistics
import time

import numpy as np

import volta
import volta.functional as F
import volta.wgpu

RUNS = 5


def programs(size):
    """Functions, and the shapes of their arguments."""
    square = (size, size)

    def loss(w, x):
        return F.mean(F.gelu(x @ w) ** 2)

    return {
        "sum": (F.sum, [square]),
        "tanh(x) · exp(−y²)": (lambda x, y: F.tanh(x) * F.exp(-(y**2)), [square, square]),
        "softmax of rows": (lambda x: F.softmax(x, axis=1), [square]),
        "matrix product": (F.matmul, [square, square]),
        "gradient of a layer": (volta.grad(loss), [square, (64, size)]),
    }


def timed(function, args, wait):
    """Result of a function, and the milliseconds that a call takes."""
    out = function(*args)
    wait()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        out = function(*args)
        wait()
        times.append(1e3 * (time.perf_counter() - start))
    return out, statistics.median(times)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=256, help="of matrices; default %(default)s")
    options = parser.parse_args(arguments)
    devices = volta.wgpu.devices()
    if not devices:
        msg = "no device: install a driver of Vulkan, Metal or Direct3D 12"
        raise SystemExit(msg)
    device = devices[0]
    print(f"{device}: {device.name} ({device.kind}), with {', '.join(sorted(device.features))}")
    rng = np.random.default_rng(0)
    largest = 0.0
    print(f"{'':24}{'NumPy':>10}{'device':>10}{'difference':>14}")
    for name, (function, shapes) in programs(options.size).items():
        args = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
        moved = [volta.wgpu.asarray(x, device=device) for x in args]
        program = volta.jit(function)
        wanted, on_host = timed(program, args, lambda: None)
        found, on_device = timed(program, moved, device.synchronize)
        difference = np.abs(found.to_numpy() - wanted).max() / np.abs(wanted).max()
        largest = max(largest, float(difference))
        print(f"{name:24}{on_host:7.2f} ms{on_device:7.2f} ms{difference:14.1e}")
    print(f"largest difference: {largest:.1e}")
    return largest


if __name__ == "__main__":
    main()
