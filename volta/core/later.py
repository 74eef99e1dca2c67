"""What a package holds and imports only when it is first named, to keep its own import short."""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["importing_later"]


def importing_later(
    package: str, modules: Sequence[str], chapters: Sequence[str], own: Sequence[str] = ()
) -> Callable[[str], Any]:
    """Make a package's ``__getattr__``, which imports what is missing.

    Parameters
    ----------
    package : str
        Full name.
    modules : sequence of str
        Modules in it that are imported each by its own name.
    chapters : sequence of str
        Modules in it whose public names are the package's, too: those in its ``__all__``, or all
        where it does not write one. They are imported together, when the first such name is asked
        for, but for one deeper in the package that is called as the name is. None directly in it is
        called so: importing a module binds its name in the package, which would hide the other.
    own : sequence of str
        The package's other names, for the ``__all__`` that it does not write.
    """
    names = vars(sys.modules[package])

    def find(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        for chapter in chapters:
            if chapter.endswith(f".{name}"):
                found = getattr(importlib.import_module(f"{package}.{chapter}"), name)
                return names.setdefault(name, found)
        if name == "__all__" or not name.startswith("_"):
            loaded = [importlib.import_module(f"{package}.{chapter}") for chapter in chapters]
            later = {
                public: getattr(chapter, public) for chapter in loaded for public in chapter.__all__
            }
            listed = names.setdefault("__all__", [*own, *modules, *later])
            for public in later.keys() & set(listed):
                names.setdefault(public, later[public])
            if name in names:
                return names[name]
        msg = f"module {package!r} has no attribute {name!r}"
        raise AttributeError(msg)

    return find
