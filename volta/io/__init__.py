"""Files of arrays, mapped where the format allows it and written in one step; checkpoints."""

from volta.io.checkpoint import Checkpoint, Checkpoints
from volta.io.formats import load_file, load_metadata, save_file
from volta.io.mapping import StateDictMapper, from_rust
from volta.io.state import StateDict, StateDictDiff, diff_state_dict

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "StateDict",
    "StateDictDiff",
    "StateDictMapper",
    "diff_state_dict",
    "from_rust",
    "load_file",
    "load_metadata",
    "save_file",
]
