"""Kernels that are written by hand: each function lists the launches of an operation."""

__all__: list[str] = []
