"""Batches of data sets, and a bar that shows how far a loop over them is."""

from volta.data.images import normalize, read_idx, to_one_hot
from volta.data.loader import DataLoader, train_test_split
from volta.data.progress import Progress, progress

__all__ = [
    "DataLoader",
    "Progress",
    "normalize",
    "progress",
    "read_idx",
    "to_one_hot",
    "train_test_split",
]
