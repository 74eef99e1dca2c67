"""Files of arrays: read without a copy where the format allows it, and written in one step."""

from volta.io.formats import load_file, load_metadata, save_file
from volta.io.state import StateDict

__all__ = ["StateDict", "load_file", "load_metadata", "save_file"]
