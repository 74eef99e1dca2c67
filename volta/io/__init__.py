"""Files of arrays: read without a copy where the format allows it, and written in one step."""

from volta.io.formats import load_file, load_metadata, save_file
from volta.io.mapping import StateDictMapper, from_rust
from volta.io.state import StateDict, StateDictDiff, diff_state_dict

__all__ = [
    "StateDict",
    "StateDictDiff",
    "StateDictMapper",
    "diff_state_dict",
    "from_rust",
    "load_file",
    "load_metadata",
    "save_file",
]
