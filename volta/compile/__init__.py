"""Compiling lists: what a list can do without, and the program written for the rest.

Read `passes` (list to list), then `calls` and `memory` (what NumPy is called for an entry, where
results go), `numpy` (a list to a Python program of such calls), and `program`, which puts them
together.
"""

__all__: list[str] = []
