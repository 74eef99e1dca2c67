"""Volta and tinygrad as namespaces of `benchmarks.gpu.problems`."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.gpu.problems import RATE


def volta_wgpu() -> Any:
    """Volta on the first device."""
    import volta.wgpu as wgpu

    device = wgpu.devices()[0]
    return _volta(wgpu.asarray, device.synchronize)


def volta_host() -> Any:
    """Volta on arrays of NumPy."""
    import numpy as np

    return _volta(np.array, lambda: None)


def _volta(asarray: Callable[[Any], Any], wait: Callable[[], None]) -> Any:
    from volta import functional, jit, value_and_grad

    def trainer(loss: Any, params: Any) -> Callable[[], Any]:
        gradient = value_and_grad(loss)

        @jit
        def step(params: Any) -> Any:
            value, grads = gradient(params)
            return value, [p - RATE * g for p, g in zip(params, grads, strict=True)]

        def train() -> Any:
            nonlocal params
            value, params = step(params)
            return value

        return train

    return SimpleNamespace(
        asarray=asarray,
        compiled=jit,
        conv=lambda x, w, b, padding: functional.conv2d(x, w, b, padding=padding),
        exp=functional.exp,
        log_softmax=functional.log_softmax,
        matmul=functional.matmul,
        max_pool=lambda x: functional.max_pool2d(x, 2),
        relu=functional.relu,
        reshape=functional.reshape,
        softmax=functional.softmax,
        sum=lambda x, axis: functional.sum(x, axis=axis),
        tanh=functional.tanh,
        trainer=trainer,
        wait=wait,
    )


def tinygrad() -> Any:
    """Tinygrad with its WebGPU backend, whose library is looked for where dawn-python has it."""
    os.environ["DEV"] = "WEBGPU"
    os.environ.setdefault("WEBGPU_PATH", str(_dawn()))
    from tinygrad import Device, Tensor, TinyJit

    device = Device["WEBGPU"]

    def compiled(function: Callable[..., Any]) -> Any:
        return TinyJit(lambda *arrays: function(*arrays).realize())

    def trainer(loss: Any, params: Any) -> Callable[[], Any]:
        def step() -> Any:
            value = loss(params)
            grads = value.gradient(*params)
            for p, g in zip(params, grads, strict=True):
                p.assign(p - RATE * g)
            return value.realize(*params)

        return TinyJit(step)  # which realizes what it returns itself

    return SimpleNamespace(
        asarray=lambda x: Tensor(x).realize(),
        compiled=compiled,
        conv=lambda x, w, b, padding: x.conv2d(w, b, padding=padding),
        exp=Tensor.exp,
        log_softmax=Tensor.log_softmax,
        matmul=Tensor.matmul,
        max_pool=lambda x: x.max_pool2d(2),
        relu=Tensor.relu,
        reshape=Tensor.reshape,
        softmax=Tensor.softmax,
        sum=Tensor.sum,
        tanh=Tensor.tanh,
        trainer=trainer,
        wait=device.synchronize,
    )


def _dawn() -> Path:
    """Library of dawn-python for this machine."""
    spec = importlib.util.find_spec("pydawn")
    assert spec is not None
    assert spec.origin is not None
    system, machine = platform.system(), platform.machine()
    arm = machine in ("arm64", "aarch64")
    names = {
        "Darwin": f"libwebgpu_dawn_{'arm64' if arm else 'x86_64'}.dylib",
        "Windows": "libwebgpu_dawn.dll",
    }
    name = names.get(system, f"libwebgpu_dawn_{'aarch64' if arm else 'x86_64'}.so")
    return Path(spec.origin).parent / "lib" / name
