"""Datasets and their batches, files of images, and a bar that shows how far a loop over them is."""

from volta.data.collation import collate
from volta.data.datasets import (
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    random_split,
    train_test_split,
)
from volta.data.images import normalize, read_idx, to_one_hot
from volta.data.loader import DataLoader
from volta.data.progress import Progress, progress
from volta.data.samplers import (
    DistributedSampler,
    RandomSampler,
    Sampler,
    WeightedRandomSampler,
)

__all__ = [
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "Progress",
    "RandomSampler",
    "Sampler",
    "Subset",
    "WeightedRandomSampler",
    "collate",
    "normalize",
    "progress",
    "random_split",
    "read_idx",
    "to_one_hot",
    "train_test_split",
]
