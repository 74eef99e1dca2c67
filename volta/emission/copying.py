"""The text of a function of Volta's, as it stands in a module of its own.

It is taken from the file as it is written, with its comments, and edited: names are those of the
new module, annotations go, and where a condition is known to hold, or not to, of NumPy's arrays,
the branch that is taken stands in place of the choice.
"""

import ast
import builtins
import functools
import importlib
import linecache
import sys
import textwrap
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from volta.core.errors import RuleError
from volta.core.types import DTYPES
from volta.emission import standins

if TYPE_CHECKING:
    from volta.emission.bundle import Bundle

__all__ = ["Copied", "copied_class"]

Place = tuple[int, int]  # line, from 1, and byte in it
Extent = tuple[Place, Place]

# Whether they hold of NumPy's arrays and its namespace
_CONDITIONS: Final = {
    "hasattr(arrays[0], '__dask_graph__')": False,
    "hasattr(index, 'detach')": False,
    "hasattr(out, 'at')": False,
    "hasattr(x, 'at')": False,
    "hasattr(x, 'detach')": False,
    "hasattr(xp, 'counter')": False,
    "is_torch(xp)": False,
    "isinstance(x, np.ndarray)": True,
    "xp is not np": False,
    "xp is np": True,
    "xp is ops": False,
}
_DROPPED: Final = "pass  # nothing is left"  # in place of a statement where others stand


class _Edit(NamedTuple):
    """Text in place of what stands between two places."""

    start: Place
    end: Place
    text: str


class Copied:
    """A function being copied.

    Parameters
    ----------
    bundle : Bundle
        Of the module, which gets what the function needs.
    function : function
    """

    def __init__(self, bundle: "Bundle", function: FunctionType) -> None:
        self.bundle, self.function = bundle, function
        code = function.__code__
        self.lines, module = _file(code.co_filename)
        self.node = _node(module, code)
        self.space: dict[str, Any] = dict(function.__globals__)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self.space[name] = cell.cell_contents
        for imported in _imports(self.node):
            self.space |= imported
        self.locals = _bound(self.node)
        self.given: dict[str, str] = {}  # texts that take the place of parameters
        self.edits: list[_Edit] = []

    @property
    def positional(self) -> list[str]:
        """Parameters that may be given by their places."""
        return [a.arg for a in (*self.node.args.posonlyargs, *self.node.args.args)]

    def text(self, name: str) -> str:
        """The function, called `name`."""
        node = self.node
        self._visit(node.args)
        if isinstance(node, ast.Lambda):
            self._visit(node.body)
            body = self._cut(_extent(node.body))
            if "\n" in body:
                body = textwrap.indent(textwrap.dedent(" " * 8 + body), " " * 8)
                body = f"(\n{body}\n    )"
            return f"def {name}({self._cut(self._arguments())}):\n    return {body}"
        self._block(node.body)
        head = f"def {name}({self._cut(self._arguments())}):\n"
        body = textwrap.dedent(self._cut(((node.body[0].lineno, 0), _extent(node.body[-1])[1])))
        short = "\n".join(line for line in body.splitlines() if line.strip() != _DROPPED)
        text = head + textwrap.indent(short, "    ")
        try:
            ast.parse(text)
        except SyntaxError:  # nothing is left of a block
            text = head + textwrap.indent(body.replace(_DROPPED, "pass"), "    ")
        return text

    def inlined(self, given: dict[str, str]) -> str | None:
        """The body of a lambda with texts in place of its parameters, if it is of one line."""
        node = self.node
        if not isinstance(node, ast.Lambda) or node.body.lineno != node.body.end_lineno:
            return None
        if node.args.vararg or node.args.kwarg or self.locals != set(given):
            return None
        self.given = given
        self._visit(node.body)
        return self._cut(_extent(node.body))

    # what is edited ------------------------------------------------------------------------------
    def _visit(self, node: ast.AST) -> None:
        match node:
            case ast.If() if (known := self._known(node.test)) is not None:
                self._choose(node, node.body if known else node.orelse)
                return
            case ast.IfExp() if (known := self._known(node.test)) is not None:
                chosen = node.body if known else node.orelse
                self._visit(chosen)
                self._keep(node, chosen)
                return
            case ast.Call(func=ast.Name(id=name), args=[error, *_]) if (
                name not in self.locals and self._value(name) in standins.DROPPED
            ):
                self._visit(error)
                self._keep(node, error)
                return
            case ast.Name(id=name) if name in self.given:
                self._put(_extent(node), self.given[name])
                return
            case ast.Name(id=name) if name not in self.locals:
                self._name(node, name, self._value(name))
                return
            case ast.Subscript() | ast.Attribute() if (found := self._part(node)) is not None:
                self._name(node, "value", found[0])
                return
            case ast.arg(annotation=ast.expr() as annotation):
                start = (node.lineno, node.col_offset + len(node.arg))
                self._put((start, _extent(annotation)[1]), "")
                return
            case ast.AnnAssign(value=None):
                self._put(_extent(node), _DROPPED)
                return
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._put((_extent(target)[1], _extent(node.annotation)[1]), "")
                self._visit(target)
                self._visit(value)
                return
            case ast.ImportFrom(module=str(module)) if module.startswith("volta"):
                self._put(_extent(node), _DROPPED)
                return
            case ast.FunctionDef(returns=ast.expr() as returns):
                self._put((self._before_arrow(returns), _extent(returns)[1]), "")
                self._visit(node.args)
                self._block(node.body)
                return
            case ast.arguments():
                self._defaults(node)
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                self._block(value)
            else:
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        self._visit(child)

    def _block(self, body: list[ast.stmt]) -> None:
        """Statements, up to one that returns now that a condition is known."""
        for i, statement in enumerate(body):
            self._visit(statement)
            if not isinstance(statement, ast.If) or not self._known(statement.test):
                continue
            if isinstance(statement.body[-1], ast.Return | ast.Raise):
                for rest in body[i + 1 :]:
                    self._put(_extent(rest), _DROPPED)
                return

    def _known(self, test: ast.expr) -> bool | None:
        """Whether a condition holds of NumPy's arrays, where that is known."""
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                known = self._known(operand)
                return None if known is None else not known
            case ast.BoolOp(op=op, values=values):
                found = [self._known(v) for v in values]
                decides = isinstance(op, ast.Or)
                if decides in found:
                    return decides
                return None if None in found else not decides
        return _CONDITIONS.get(ast.unparse(test))

    def _choose(self, node: ast.If, body: list[ast.stmt]) -> None:
        """One branch in place of a choice."""
        at = node.col_offset
        otherwise = self.lines[node.lineno - 1][at:].startswith(b"elif")
        text = _DROPPED
        if body:
            self._block(body)
            extent = (body[0].lineno, 0), _extent(body[-1])[1]
            text = textwrap.dedent(self._cut(extent))
            text = f"if{text[4:]}" if text.startswith("elif") else text
            self.edits = [e for e in self.edits if not extent[0] <= e.start < extent[1]]
        if otherwise:
            text = "else:\n" + textwrap.indent(text, "    ")
        self._put(_extent(node), textwrap.indent(text, " " * at).lstrip())

    def _defaults(self, node: ast.arguments) -> None:
        """``a: int = 1`` becomes ``a=1``."""
        plain = [*node.posonlyargs, *node.args]
        pairs = [*zip(plain[len(plain) - len(node.defaults) :], node.defaults, strict=True)]
        pairs += [(a, d) for a, d in zip(node.kwonlyargs, node.kw_defaults, strict=True) if d]
        for a, default in pairs:
            if a.annotation is not None:
                self._put((_extent(a.annotation)[1], _extent(default)[0]), "=")

    def _name(self, node: ast.expr, name: str, value: Any) -> None:
        """What a value is called in the new module."""
        text = self.bundle.text(value, name)
        is_global = self.function.__globals__.get(name) is value
        if is_global and type(value) in (int, float, tuple, list, frozenset):
            text = self.bundle.named(value, name)
        assert text not in self.locals, (self.function.__qualname__, text)
        self._put(_extent(node), text)

    # what names mean -----------------------------------------------------------------------------
    def _value(self, name: str) -> Any:
        return self.space[name] if name in self.space else getattr(builtins, name)

    def _part(self, node: ast.expr) -> tuple[Any] | None:
        """Value of ``module.name`` or ``options["kernels"]["numpy"]``, of what Volta defines."""
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                owner = None if name in self.locals else self._value(name)
                ours = isinstance(owner, ModuleType) and owner.__name__.startswith("volta.")
                return (getattr(owner, attribute),) if ours or owner is standins.OPS else None
            case ast.Subscript(value=inner, slice=ast.Constant(value=str(key))):
                if isinstance(inner, ast.Name) and inner.id not in self.locals:
                    owner = self._value(inner.id)
                else:
                    (owner,) = self._part(inner) or (None,)
                if type(owner) is dict and owner is not DTYPES:
                    return (owner[key],)
        return None

    # places --------------------------------------------------------------------------------------
    def _put(self, extent: Extent, text: str) -> None:
        self.edits.append(_Edit(*extent, text))

    def _keep(self, node: ast.expr, part: ast.expr) -> None:
        """Leave of an expression a part."""
        (start, end), (first, last) = _extent(node), _extent(part)
        self._put((start, first), "")
        self._put((last, end), "")

    def _before_arrow(self, returns: ast.expr) -> Place:
        text = self.lines[returns.lineno - 1][: returns.col_offset]
        return returns.lineno, text.rindex(b"->") - 1

    def _arguments(self) -> Extent:
        """Where the arguments stand."""
        node = self.node
        if isinstance(node, ast.Lambda):
            start = (node.lineno, node.col_offset + len("lambda"))
            while self.lines[start[0] - 1][start[1] : start[1] + 1] == b" ":
                start = (start[0], start[1] + 1)
            line, column = _extent(node.body)[0]
            text = self.lines[line - 1][:column]
            while b":" not in text:
                line -= 1
                text = self.lines[line - 1]
            return start, max(start, (line, text.rindex(b":")))
        line, column = node.lineno, self.lines[node.lineno - 1].index(b"(", node.col_offset)
        start, depth = (line, column + 1), 0
        while True:  # to the bracket that closes the first
            for i, c in enumerate(self.lines[line - 1][column:].decode("latin-1"), column):
                depth += (c in "([{") - (c in ")]}")
                if not depth:
                    return start, (line, i)
            line, column = line + 1, 0

    def _cut(self, extent: Extent) -> str:
        """Text between two places, with the edits in it."""
        at, end = extent
        out = []
        for edit in sorted(self.edits):
            if at <= edit.start < end:
                out += [self._between(at, edit.start), edit.text]
                at = edit.end
        return "".join([*out, self._between(at, end)])

    def _between(self, start: Place, end: Place) -> str:
        (first, a), (last, b) = start, end
        if first == last:
            return self.lines[first - 1][a:b].decode()
        lines = [self.lines[first - 1][a:], *self.lines[first : last - 1], self.lines[last - 1][:b]]
        return b"\n".join(lines).decode()


def copied_class(bundle: "Bundle", kind: type, name: str) -> str:
    """Text of a class of functions and constants, or of a tuple with names."""
    _, module = _file(sys.modules[kind.__module__].__file__ or "")
    node = next(
        n for n in ast.walk(module) if isinstance(n, ast.ClassDef) and n.name == kind.__name__
    )
    parts = [f'"""{(ast.get_docstring(node) or name).splitlines()[0]}"""']
    for member in node.body:
        match member:
            case ast.FunctionDef(name=method):
                parts.append(_method(bundle, kind.__dict__[method], method))
            case ast.Assign(targets=[ast.Name(id=field)]):
                parts.append(f"{field} = {bundle.text(kind.__dict__[field], field)}")
    base = ""
    if hasattr(kind, "_fields"):
        fields = " ".join(kind._fields)
        base = f"({bundle.imported('collections')}.namedtuple({name!r}, {fields!r}))"
    return f"class {name}{base}:\n" + textwrap.indent("\n\n".join(parts), "    ")


def _method(bundle: "Bundle", member: Any, name: str) -> str:
    if isinstance(member, property):
        return "@property\n" + Copied(bundle, member.fget).text(name)  # type: ignore[arg-type]  # a function
    if isinstance(member, functools.cached_property):
        decorator = f"@{bundle.imported('functools')}.cached_property\n"
        return decorator + Copied(bundle, member.func).text(name)  # type: ignore[arg-type]  # a function
    return Copied(bundle, member).text(name)


# Files --------------------------------------------------------------------------------------------


def _extent(node: Any) -> Extent:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


@functools.cache
def _file(name: str) -> tuple[list[bytes], ast.Module]:
    """Lines of a file and what they mean."""
    text = "".join(linecache.getlines(name))
    return [line.encode() for line in text.split("\n")], ast.parse(text)


def _node(module: ast.Module, code: CodeType) -> Any:
    """Node of the function that was compiled to `code`."""
    found: list[Any] = [
        n
        for n in ast.walk(module)
        if isinstance(n, ast.FunctionDef)
        and n.name == code.co_name
        and min([n.lineno, *(d.lineno for d in n.decorator_list)]) == code.co_firstlineno
    ]
    if code.co_name == "<lambda>":
        found = [n for n in ast.walk(module) if isinstance(n, ast.Lambda) and _is_of(n, code)]
    if not found:
        msg = f"{code.co_qualname} must have its source text; got none."
        raise RuleError(msg)
    return min(found, key=lambda n: len(ast.dump(n)))


def _is_of(node: ast.Lambda, code: CodeType) -> bool:
    """Whether a lambda, or one in it, was compiled to `code`."""
    args = node.args
    more = [a for a in (args.vararg, args.kwarg) if a is not None]
    names = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs, *more)]
    if names != list(code.co_varnames[: len(names)]):
        return False
    start, end = _extent(node.body)
    places = [(line, column) for line, _, column, _ in code.co_positions()]
    known = [p for p in places if None not in p and p != (code.co_firstlineno, 0)]
    return all(start <= p < end for p in known)


def _bound(node: ast.AST) -> set[str]:
    """Names that a function binds, in it or in the functions within."""
    found = set()
    for n in ast.walk(node):
        match n:
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.FunctionDef(name=name) if n is not node:
                found.add(name)
            case ast.ExceptHandler(name=str(name)):
                found.add(name)
            case ast.Import(names=names):
                found.update((a.asname or a.name).partition(".")[0] for a in names)
    return found


def _imports(node: ast.AST) -> Iterator[dict[str, Any]]:
    """What a function imports from Volta where it runs."""
    for n in ast.walk(node):
        if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("volta"):
            module = importlib.import_module(n.module or "")
            yield {a.asname or a.name: getattr(module, a.name) for a in n.names}
