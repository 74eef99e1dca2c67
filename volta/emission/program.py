"""The module that a list becomes: constants, functions that it needs, and the function itself."""

import inspect
import keyword
import linecache
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.passes import optimized
from volta.core.errors import RuleError
from volta.core.source import line_number, source_line
from volta.core.trace import located
from volta.core.wengert import Entry, Literal, WengertList, operands_of
from volta.emission import standins
from volta.emission.bundle import Bundle
from volta.emission.constants import array_text
from volta.emission.control import CONTROL
from volta.emission.spelling import Spelling
from volta.emission.text import collected, indented

__all__ = ["Module", "Writer", "written"]

_WORDS: Final = {"complex", "frozenset", "np", "range", "reversed", "set", "slice"}  # of lines
_QUIET: Final = '@np.errstate(all="ignore")'


class Module(NamedTuple):
    """Text of a module, the arrays that it reads from a file beside it, and its function's name."""

    text: str
    constants: dict[str, Any]
    name: str


def written(
    wengert: WengertList,
    name: str,
    signature: inspect.Signature,
    given: dict[str, Any],
    result: Any,
) -> Module:
    """The module of a list.

    Parameters
    ----------
    wengert : WengertList
    name : str
        Of the function, if it may have that.
    signature : Signature
        Of the function, without annotations and defaults.
    given : dict of str to tree
        By the function's parameters, numbers of the list's inputs in trees as the arguments are.
    result : tree
        Numbers of the outputs, as they are returned.
    """
    hidden: set[str] = set()
    while True:
        writer = Writer(wengert, name, hidden)
        module = writer.module(signature, given, result)
        imports = {line.removeprefix("import ") for line in writer.bundle.imports}
        more = (_WORDS | imports) & given.keys() - hidden
        if not more:
            return module
        hidden |= more  # parameters with names that the function itself needs


class Writer:
    """A module being written.

    Attributes
    ----------
    bundle : Bundle
    names : dict of int to str
        Of the variables of the list that is being written.
    """

    def __init__(self, wengert: WengertList, name: str, hidden: set[str]) -> None:
        self.list, self.hidden = wengert, hidden
        self.bundle = Bundle({"np", "numpy", "held", *sys.stdlib_module_names}, self.constant)
        self.spelling = Spelling(self.bundle)
        usable = name.isidentifier() and not keyword.iskeyword(name)
        self.name = self.bundle.fresh(name if usable else "program")
        self.names: dict[int, str] = {}
        self._constants: dict[str, Any] = {}  # that stand in a file
        self._defined: list[str] = []  # lines of the others
        self._held: dict[int, tuple[str, Any]] = {}  # their names, by their ids
        self._counts: dict[str, int] = {}
        self._place = ""  # what the last comment says
        self.commented = True  # whether lines of the user's code are told

    # names ---------------------------------------------------------------------------------------
    def fresh(self, wanted: str) -> str:
        """A name that begins like `wanted` and ends with a number."""
        while True:
            number = self._counts[wanted] = self._counts.get(wanted, 0) + 1
            name = f"{wanted}_{number}"
            if name not in self.bundle.taken:
                self.bundle.taken.add(name)
                return name

    def helper(self, function: Callable[..., Any]) -> str:
        """Name of a function of `standins`, which the module then has."""
        return self.bundle.text(function, function.__name__)

    def constant(self, array: Any) -> str:
        """Name of a constant."""
        if id(array) in self._held:
            return self._held[id(array)][0]
        name = self.fresh("constant")
        self._held[id(array)] = name, array  # so that the id stays its own
        array = np.asarray(array)
        text = array_text(array, self.bundle.dtype(array.dtype))
        if text is None:
            self._constants[name] = array
        else:
            self._defined.append(f"{name} = {text}  # {_kind(array)}")
        return name

    # the module ----------------------------------------------------------------------------------
    def module(self, signature: inspect.Signature, given: dict[str, Any], result: Any) -> Module:
        """The text, and what stands beside it."""
        self.bundle.taken.update(given)
        own = {n: self.fresh(n) if n in self.hidden else n for n in given}
        leaves: dict[int, str] = {}
        lines: list[str] = []
        for parameter, tree in given.items():
            lines += self._unpacked(own[parameter], parameter, tree, leaves)
        names = {v: leaves[i] for i, v in enumerate(self.list.inputs)}
        lines += self.entries(self.list, names)
        outputs = [self._output(o) for o in self.list.outputs]
        lines.append(f"return {self._tree(result, outputs)}")
        functions = self._functions(signature, own, lines)
        title = f'"""`{self.name}` as a program for NumPy alone, written by `volta.emit_source`."""'
        constants = [*self._defined, *self._loading()]
        head = [title, "", *sorted(self.bundle.imports), *([""] if constants else []), *constants]
        parts = ["\n".join(head), *_together(self.bundle.definitions), *functions]
        return Module("\n\n\n".join(parts) + "\n", self._constants, self.name)

    def _functions(
        self, signature: inspect.Signature, own: dict[str, str], lines: list[str]
    ) -> list[str]:
        """The function; where a parameter hides a name that it needs, it calls another one."""
        head = f"def {self.name}{signature}:"
        if not self.hidden:
            return ["\n".join([_QUIET, *indented(head, lines)])]
        inner = self.fresh(self.name)
        called = indented(f"def {inner}({', '.join(own.values())}):", lines)
        calling = indented(head, [f"return {inner}({', '.join(own)})"])
        return ["\n".join([_QUIET, *called]), "\n".join(calling)]

    def _loading(self) -> list[str]:
        """Lines that read constants from the file beside the module."""
        if not self._constants:
            return []
        path = f'{self.bundle.imported("pathlib")}.Path(__file__).with_suffix(".npz")'
        lines = []
        for name, array in self._constants.items():
            dtype = self.bundle.dtype(array.dtype)
            view = f".view({dtype})" if array.dtype.name == "bfloat16" else ""
            lines.append(f'{name} = held["{name}"]{view}  # {_kind(array)}')
        return indented(f"with np.load({path}) as held:", lines)

    # arguments and results -----------------------------------------------------------------------
    def _unpacked(self, name: str, label: str, tree: Any, leaves: dict[int, str]) -> list[str]:
        """Lines that take a tree apart; `leaves` gets the names of what is in it."""
        if tree is None:
            return []
        if type(tree) is int:
            leaves[tree] = name
            kind = self.list.types[self.list.inputs[tree]]
            dtype = self.bundle.dtype(kind.dtype.dtype)
            check = self.helper(standins.argument)
            return [f"{name} = {check}({name}, {label!r}, {dtype}, {kind.shape})"]
        keys = sorted(tree) if type(tree) is dict else range(len(tree))
        parts = [self._part(name, k) for k in keys]
        target = ", ".join(parts) + "," * (len(parts) == 1) or "()"
        value = name
        if type(tree) is dict:
            listed = "".join(f", {k!r}" for k in keys)
            value = f"{self.helper(standins.fields)}({name}, {label!r}{listed})"
        lines = [f"{target} = {value}"]
        for part, k in zip(parts, keys, strict=True):
            lines += self._unpacked(part, f"{label}[{k!r}]", tree[k], leaves)
        return lines

    def _part(self, name: str, key: Any) -> str:
        wanted = f"{name}_{key}"
        return self.bundle.fresh(wanted) if wanted.isidentifier() else self.fresh(name)

    def _output(self, o: Any) -> str:
        name = self.read(o)
        constants = {n for n, _ in self._held.values()}
        return f"{name}.copy()" if name in constants else name  # the caller may write to it

    def _tree(self, tree: Any, texts: Sequence[str]) -> str:
        if type(tree) is int:
            return texts[tree]
        if type(tree) is dict:
            return "{" + ", ".join(f"{k!r}: {self._tree(v, texts)}" for k, v in tree.items()) + "}"
        if tree is None:
            return "None"
        return collected(type(tree), [self._tree(v, texts) for v in tree])

    # entries -------------------------------------------------------------------------------------
    def read(self, o: Any) -> str:
        """Text of an operand."""
        return self.bundle.text(o.value) if type(o) is Literal else self.names[o]

    def entries(self, wengert: WengertList, names: dict[int, str]) -> list[str]:
        """Lines of a list whose inputs have these names."""
        self.names = names
        for v, c in zip(wengert.captured, wengert.constants, strict=True):
            names[v] = self.constant(c)
        read = {o for e in wengert.entries for o in operands_of(e)}
        read.update(o for o in wengert.outputs if type(o) is not Literal)
        lines: list[str] = []
        for e in wengert.entries:
            lines += self._comment(e)
            given = [self.read(o) for o in e.operands]
            for v in e.results:
                names[v] = self.fresh(e.primitive.name.strip("_")) if v in read else "_"
            results = [names[v] for v in e.results]
            control = CONTROL.get(e.primitive.name)
            if control is not None:
                lines += control(self, e, wengert.types, given, results)
                continue
            text = self._spelled(e, wengert, given)
            kinds = "; ".join(str(wengert.types[v]) for v in e.results)
            target = ", ".join(results) + "," * (e.primitive.results == 0 and len(results) == 1)
            lines.append(f"{target or '()'} = {text}  # {kinds}")
        return lines

    def _spelled(self, e: Entry, wengert: WengertList, given: Sequence[str]) -> str:
        try:
            return self.spelling.text(e, wengert.types, given)
        except RuleError as error:
            line = None if e.code is None else source_line(e.code, e.offset)
            msg = f"emit_source: {e.primitive.name} must be written in NumPy, where {error.args[0]}"
            raise located(RuleError(msg), line) from None

    def _comment(self, e: Entry) -> list[str]:
        """Line of the user's code that an entry is from, where that changes."""
        if e.code is None or not self.commented:
            return []
        number = line_number(e.code, e.offset)
        line = " ".join(linecache.getline(e.code.co_filename, number or 0).split())
        origin = "" if e.origin is None else "derivative of "
        text = f"# {origin}{source_line(e.code, e.offset)}{': ' * bool(line)}{line}"
        if text == self._place:
            return []
        self._place = text
        return [text]

    def function(
        self, wanted: str, wengert: WengertList, likes: Sequence[str], first: Sequence[str] = ()
    ) -> tuple[str, list[str]]:
        """Name and lines of a function of a list, whose inputs are called like `likes`.

        Parameters named `first` come before them.
        """
        short = optimized(wengert)
        name = self.fresh(wanted)
        inputs = [self.fresh(_base(n)) for n in likes]
        outer, place = self.names, self._place
        body = self.entries(short, dict(zip(short.inputs, inputs, strict=True)))
        returned = ", ".join(map(self.read, short.outputs)) or "()"
        self.names, self._place = outer, place
        head = f"def {name}({', '.join([*first, *inputs])}):"
        return name, indented(head, [*body, f"return {returned}"])


def _base(name: str) -> str:
    """A name without the number at its end."""
    base = name.rstrip("0123456789").rstrip("_")
    return base if base.isidentifier() and not keyword.iskeyword(base) else "x"


def _kind(array: Any) -> str:
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


def _together(definitions: Sequence[str]) -> list[str]:
    """Definitions, of which constants stand together."""
    out: list[str] = []
    constant = False
    for text in definitions:
        was, constant = constant, not text.startswith(("@", "class ", "def "))
        if was and constant:
            out[-1] += f"\n{text}"
        else:
            out.append(text)
    return out
