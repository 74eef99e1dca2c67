"""The groups of measurements, one file each, in the order in which they run."""

from __future__ import annotations

from benchmarks.groups import conv, families, grad, imports, jit, memory, mlp, ops, transforms

GROUPS = {
    group.name: group
    for group in (
        ops.GROUP,
        families.GROUP,
        grad.GROUP,
        mlp.GROUP,
        jit.GROUP,
        transforms.GROUP,
        conv.GROUP,
        conv.CHOICE,
        imports.GROUP,
        memory.GROUP,
        conv.MEMORY,
    )
}
