"""Files of arrays: safetensors, read without a copy and written in one step."""

from volta.io.safetensors import load_file, load_metadata, save_file
from volta.io.state import StateDict

__all__ = ["StateDict", "load_file", "load_metadata", "save_file"]
