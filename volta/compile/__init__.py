"""Compiling lists: what a list can do without, and the program written for the rest.

Read `passes` (list to list), then `numpy` (a list to a Python program of kernel calls), and
`program`, which puts them together.
"""

__all__: list[str] = []
