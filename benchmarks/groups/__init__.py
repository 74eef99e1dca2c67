"""The groups of measurements, one file each, in the order in which they run."""

from __future__ import annotations

from benchmarks.groups import (
    compile,
    conv,
    families,
    gpu_comparison,
    grad,
    imports,
    jit,
    memory,
    mlp,
    neural_networks,
    ops,
    tensor_ops,
    transforms,
    wgpu,
)

GROUPS = {
    group.name: group
    for group in (
        ops.GROUP,
        families.GROUP,
        grad.GROUP,
        mlp.GROUP,
        jit.GROUP,
        compile.GROUP,
        transforms.GROUP,
        tensor_ops.GROUP,
        neural_networks.GROUP,
        conv.GROUP,
        conv.CHOICE,
        imports.GROUP,
        memory.GROUP,
        conv.MEMORY,
        wgpu.GROUP,
        gpu_comparison.GROUP,
    )
}
