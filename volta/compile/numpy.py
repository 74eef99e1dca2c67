"""Programs for NumPy: straight-line Python that calls kernels, the larger ones with ``out=``.

Where results go is planned when a program is written. That of a ufunc goes to memory that nothing
reads any more if there is some of its size: that of a dying operand, or a slot of the program's
*arena*, which is kept from call to call, so that large arrays cost no fresh pages. What the list
returns, and all that may share memory with it, is never in the arena; large ones of it go to
`Results`, and some to inputs that are donated (see `donation`).
"""

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, TracebackType
from typing import Any, Final, NamedTuple

import numpy as np

from volta.compile.assembly import Assembly, assembled
from volta.compile.blocks import blocked, within
from volta.compile.calls import QUIET, Call, Function, call_of
from volta.compile.donation import Donation, Homes, homes_of, may_keep, raising_first, to_home
from volta.compile.formulas import Requirement, written_out
from volta.compile.kernel import Kernel
from volta.compile.memory import Results, Slots, sharing
from volta.compile.native import llvm
from volta.compile.native.products import Product
from volta.compile.parts import Parts, written
from volta.compile.passes import optimized
from volta.compile.pieces import Pieces, Together, pieces
from volta.compile.schedule import fused, native_of
from volta.compile.standin import Divided
from volta.compile.threads import sharing_products
from volta.core.call import as_result, code_of, function_of
from volta.core.derivatives import is_finite
from volta.core.dispatch import NUMPY
from volta.core.errors import TraceError, VoltaError
from volta.core.trace import located, source_line
from volta.core.types import ArrayType, broadcast_shapes
from volta.core.wengert import Entry, Literal, WengertList, carried, needed, operands_of

__all__ = ["Program", "body", "takes", "write"]

_SMALLEST: Final = 8192  # bytes of an array that is worth a planned buffer; less is malloc's
_LARGE: Final = 1 << 17  # bytes from which malloc asks the system for pages
_NEVER: Final = 1 << 62  # the number of no entry
_FOUND: Final = (Function, Parts)  # what stands for objects of a process


def takes(wengert: WengertList) -> bool:
    """Whether all arrays of a list are NumPy's."""
    used = {*wengert.inputs, *wengert.captured, *(r for e in wengert.entries for r in e.results)}
    return all(wengert.places[v].library is NUMPY for v in used)


class Program(NamedTuple):
    """A program, with nothing in it of the process that wrote it.

    Attributes
    ----------
    code : code
        Of a function of the inputs of a list that returns a list of its outputs.
    space : dict of str to object
        What it names, but for native functions.
    natives : Kept or None
        Native functions that it calls.
    native : bool
    donation : Donation or None
        What it was written with.
    homes : Homes
        Donated inputs that results go to.
    shares : bool
        Whether threads share operations, products among them.
    description : str
        What entries have become, and the names of those that run on NumPy's kernels.
    """

    code: CodeType
    space: dict[str, Any]
    natives: llvm.Kept | None
    native: bool
    donation: Donation | None
    homes: Homes
    shares: bool
    description: str

    def function(self, natives: Sequence[Any], wengert: WengertList) -> Callable[..., Any]:
        """The function, with its native ones, for the list that it was written for."""
        space = {k: v.found if type(v) in _FOUND else v for k, v in self.space.items()}
        space |= {"pool": [], "explained": _Errors(wengert, self.native, self.donation)}
        space |= {_NATIVE.format(i): native for i, native in enumerate(natives)}
        run = function_of(self.code, space)
        if self.shares:
            run = sharing_products(run)
        run.__dict__.update(description=self.description, homes=self.homes)
        return run


def write(
    wengert: WengertList, native: bool = False, donation: Donation | None = None
) -> tuple[Program, list[Any]]:
    """Program of an optimized list and the native functions that it calls.

    Where it is `native`, elementwise entries are kernels that LLVM compiles. Results may be in the
    memory of inputs that are donated.
    """
    return _Writer(wengert, native, donation).program()


def body(wengert: WengertList, program: Program, natives: Sequence[Any]) -> WengertList:
    """The same list, that runs as its program."""
    constants = dict(zip(wengert.captured, wengert.constants, strict=True))
    args = wengert.name, wengert.inputs, wengert.entries, wengert.outputs, wengert.types
    made = WengertList(*args, wengert.places, constants, wengert.rebuild)
    made.__dict__["_run"] = program.function(natives, wengert)
    made.__dict__["made_of"] = wengert, program
    return made


_NATIVE: Final = "native{}"
_GROUP: Final = "group{}"


class _Writer:
    """A program being written.

    Attributes
    ----------
    guards : dict of int to int
        Of each result that is an operand but where that is infinite, the operand.
    calls : list of Call
        Of each entry.
    group : dict of int to int
        Of each variable, one that stands for all that may share memory with it.
    ends : dict of int to int
        Of each group, the number of the last entry that reads one of it.
    slots : Slots
        The arena.
    by_line : dict
        Entries, by the name of a function, the program's or a group's, and its line.
    homes : Homes
        Donated inputs that results go to.
    """

    def __init__(
        self, wengert: WengertList, native: bool = False, donation: Donation | None = None
    ) -> None:
        self.list, self.native, self.donation = wengert, native, donation
        self.types = dict(wengert.types)
        self.constants = dict(zip(wengert.captured, wengert.constants, strict=True))
        self.space: dict[str, Any] = {
            "as_result": as_result,
            "is_finite": is_finite,
            "quiet": QUIET,
        }
        self.by_line: dict[tuple[str, int], Entry] = {}
        self.slots = Slots()
        entries = needed(_broadcast_in_place(wengert), wengert.outputs, (), slice(None))
        entries = assembled(entries, wengert.outputs, self.types)
        entries = needed(entries, wengert.outputs, (), slice(None))
        if native:
            entries, made = written_out(entries, wengert.outputs, self.types, self.constants)
            self.constants |= made
            entries = needed(entries, wengert.outputs, (), slice(None))
            entries = fused(entries, wengert.outputs, self.types)
        entries, self.guards = _guarded(entries, self.types)
        entries = needed(entries, wengert.outputs, (), slice(None))
        quiet = 0  # entries that may raise an error
        if donation is not None:
            entries, quiet = raising_first(entries, self.types)
        first, rest = entries[:quiet], entries[quiet:]
        if not native:
            read = (*wengert.outputs, *(o for e in rest for o in operands_of(e)))
            first = pieces(blocked(first, read, self.types, self._is_guard), self.types)
            rest = pieces(blocked(rest, wengert.outputs, self.types, self._is_guard), self.types)
        self.entries = first + rest
        found = {repr(k): k for e in self.entries if (k := native_of(e))}  # 0.0 == -0.0
        self.codes = [*found.values()]
        self.numbers = {text: i for i, text in enumerate(found)}
        self.calls = [self._call_of(e) for e in self.entries]
        shared = {id(e): c.shares for e, c in zip(self.entries, self.calls, strict=True)}
        self.group = {v: v for v in self._given()}
        self.group |= sharing(self.entries, self.types, lambda e, _: shared[id(e)])
        self.homes = self._homes(donation, len(first))
        silent = self.entries[self.homes.first :]  # see `donation`
        self.silent = {id(x) for e in silent for x in (e, *within(e))}
        self.ends = self._ends()

    def _given(self) -> tuple[int, ...]:
        return *self.list.inputs, *self.constants

    def _is_guard(self, e: Entry) -> bool:
        return bool(e.results) and e.results[0] in self.guards

    def _call_of(self, e: Entry) -> Call:
        if self._is_guard(e):
            x, y = e.operands
            text = f"{{0}} if f{x} else {{function}}({{0}}, {{1}})"
            return Call(text, {"function": _guard}, (x, y), (x,))
        if (code := native_of(e)) is not None:
            return self._native_call(e, code)
        primitive: Any = e.primitive
        if isinstance(primitive, Divided):
            return Call("", {}, tuple(e.operands))
        if type(primitive) is Assembly:
            args = ", ".join(f"{{{i}}}" for i in range(len(e.operands)))
            held = {"put": primitive.put}
            return Call(f"{{put}}({args}{{out}})", held, tuple(e.operands), into=True)
        if type(primitive) is Requirement:
            args = ", ".join(f"{{{i}}}" for i in range(len(e.operands)))
            return Call(f"{{check}}({args})", {"check": primitive.check}, tuple(e.operands))
        return call_of(e._replace(params=self._compiled(e)), self.types)

    def _compiled(self, e: Entry) -> dict[str, Any]:
        """Parameters of an entry in which bodies of loops and branches run as programs."""

        def changed(value: Any) -> Any:
            if type(value) is tuple and any(type(v) is WengertList for v in value):
                return tuple(map(changed, value))
            if type(value) is not WengertList:
                return value
            short = optimized(value)
            return body(value, *write(short, self.native)) if takes(short) else value

        return {k: changed(v) for k, v in e.params.items()} if carried(e) else e.params

    def _native_call(self, e: Entry, code: Any) -> Call:
        """Native code, or it once more on copies of arrays that are not as it needs them."""
        native = _NATIVE.format(self.numbers[repr(code)])
        args = ", ".join([*(f"{{{i}}}" for i in range(len(e.operands))), "{out}"])
        if type(code) is Product:
            text = f"{native}({args}) or {{again}}({args})"
            return Call(text, {"again": _product}, tuple(e.operands))
        again = _Again([self.types[v] for v in operands_of(e)])
        text = f"{native}({args}) or {{again}}({native}, {args})"
        return Call(text, {"again": again}, tuple(e.operands))

    def _homes(self, donation: Donation | None, quiet: int) -> Homes:
        """Homes of results, of which entries before number `quiet` write none."""
        if donation is None:
            return Homes({}, {}, len(self.entries))
        for v, d in donation.views:
            ours, theirs = self.group[v], self.group[d]
            self.group = {w: theirs if g == ours else g for w, g in self.group.items()}
        parts = self.list.outputs, self.entries, self.calls, self.group, self.types
        return homes_of(donation.given, *parts, quiet)

    def _ends(self) -> dict[int, int]:
        ends: dict[int, int] = {}
        for i, e in enumerate(self.entries):
            kept = _NEVER if may_keep(e) else i
            for v in operands_of(e):
                ends[self.group[v]] = max(kept, ends.get(self.group[v], 0))
            for v in e.results:
                ends.setdefault(self.group[v], i)
        for v in self.homes.copied:
            ends[self.group[v]] = max(len(self.entries), ends.get(self.group[v], 0))
        returned = (o for o in self.list.outputs if o not in self.homes.copied)
        for v in (*self._given(), *returned):
            if type(v) is not Literal:
                ends[self.group[v]] = _NEVER
        return ends

    # writing -------------------------------------------------------------------------------------
    def program(self) -> tuple[Program, list[Any]]:
        """The program, and its native functions."""
        text = self.text()
        natives, kept = llvm.functions(self.codes) if self.codes else ([], None)
        shares = any(isinstance(e.primitive, (Pieces, Together)) for e in self.entries)
        made_of = self.native, self.donation, self.homes, shares
        return Program(code_of(text), self.space, kept, *made_of, self._description()), natives

    def text(self) -> str:
        """The program's text."""
        body = [*self._body()]
        lines = [
            f"def run({', '.join(f'v{v}' for v in self.list.inputs)}):",
            *(f"    v{v} = {self._held(c)}" for v, c in self.constants.items()),
        ]
        if self.slots.views:
            self.space["arena"] = self.slots.arena
            views = "".join(f"{name}, " for name in self.slots.views.values())
            lines += [
                "    try:",
                "        used = pool.pop()",
                "    except IndexError:",
                "        used = arena()",
                f"    {views}= used",
            ]
        lines.append("    try:")
        quiet = False
        for text, e in body:
            warns = e is not None and native_of(e) is None
            if e is not None and warns and self._is_quiet(e) is not quiet:
                quiet = not quiet
                lines += ["        with quiet():"] if quiet else []
            lines.append(f"{'            ' if quiet else '        '}{text}")
            if e is not None:
                self.by_line["run", len(lines)] = e
        returned = ", ".join(map(self._read, self.list.outputs))
        lines += [
            f"        return [{returned}]",
            "    except Exception as error:",
            "        told = explained(error)",
            "        if told is error:",
            "            raise",
            "        raise told from error",
        ]
        if self.slots.views:
            lines += ["    finally:", "        pool.append(used)"]
        return "\n".join(lines) + "\n"

    def _is_quiet(self, e: Entry) -> bool:
        """Whether an entry gives no warnings, which may be errors, too."""
        return e.origin is not None or id(e) in self.silent

    def _description(self) -> str:
        natives = Counter(type(n).__name__.lower() for e in self.entries if (n := native_of(e)))
        parts = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in natives.items()]
        plain = [e for e in self.entries if native_of(e) is None]
        others = Counter(inner.primitive.name for e in plain for inner in within(e))
        names = ", ".join(f"{name} ({n})" if n > 1 else name for name, n in others.items())
        return "; ".join([", ".join(parts)] * bool(parts) + [f"on NumPy {names}"] * bool(names))

    def _body(self) -> Iterator[tuple[str, Entry | None]]:
        """Lines, each with the entry that it is of."""
        dying = defaultdict(list)
        for g, end in self.ends.items():
            dying[end].append(g)
        members = defaultdict(list)
        for v, g in self.group.items():
            members[g].append(f"v{v}")
        homes: dict[int, int] = {}  # of groups, the slot
        asked = set()  # of which it is known whether they are finite

        def release(groups: Sequence[int]) -> None:
            for g in groups:
                if g in homes:
                    self.slots.give(homes.pop(g))

        for i, (e, call) in enumerate(zip(self.entries, self.calls, strict=True)):
            out = ""
            primitive: Any = e.primitive
            if native_of(e) is not None or isinstance(primitive, Divided):
                yield from self._results(e, homes, release, dying[i])
            elif e.results[:1] and e.results[0] in self.homes.placed:
                out = f"v{self.homes.placed[e.results[0]]}"
            elif call.into and self._is_planned(e.results[0]):
                kind = self.types[e.results[0]]
                if call.over:
                    release(dying[i])
                slot = self.slots.take(kind.nbytes)
                homes[self.group[e.results[0]]] = slot
                out = self.slots.view(slot, kind)
            elif call.into and self.types[e.results[0]].nbytes >= _LARGE:
                out = f"{self._held(Results(self.types[e.results[0]]))}()"
            if self._is_guard(e) and (x := e.operands[0]) not in asked:
                asked.add(x)
                yield f"f{x} = is_finite(v{x})", e
            if isinstance(primitive, Divided):
                yield self._group(e), e
            else:
                yield self._line(e, call, out), e
            release(dying[i])
            if dying[i]:
                yield f"del {', '.join(v for g in dying[i] for v in members[g])}", None
        yield from ((line, None) for line in self._copies())

    def _copies(self) -> Iterator[str]:
        """Lines that copy results to donated arrays, first those that lie in such."""
        copied = self.homes.copied
        written = {self.group[d] for d in copied.values()}
        places = ", ".join(f"v{d}" for d in copied.values())
        for v in dict.fromkeys(o for o in self.list.outputs if type(o) is not Literal):
            if self.group[v] in written:
                home = f"v{copied[v]}" if v in copied else "None"
                yield f"v{v} = {self._held(to_home)}(v{v}, {home}, {places})"
        for v, d in copied.items():
            yield f"{self._held(np.copyto)}(v{d}, v{v})"
            yield f"v{v} = v{d}"

    def _results(
        self,
        e: Entry,
        homes: dict[int, int],
        release: Callable[[Sequence[int]], None],
        dying: Sequence[int],
    ) -> Iterator[tuple[str, Entry]]:
        """Lines that give the results of a kernel their memory."""
        if self._may_overwrite(e, dying):
            release(dying)
        code = native_of(e)
        order = code.order if type(code) is Product else ()
        for v in e.results:
            kind, turned = self.types[v], ""
            if order and v == e.results[0]:
                kind = kind._replace(shape=tuple(kind.shape[a] for a in order))
                turned = f".transpose({tuple(map(order.index, range(len(order))))})"
            if v in self.homes.placed:
                text = f"v{self.homes.placed[v]}"
            elif self.ends[self.group[v]] != _NEVER:
                slot = self.slots.take(kind.nbytes)
                homes[self.group[v]] = slot
                text = self.slots.view(slot, kind)
            elif kind.nbytes >= _LARGE:
                text = f"{self._held(Results(kind))}()"
            else:
                text = f"{self._held(np.empty)}({kind.shape}, {self._held(kind.dtype.dtype)})"
            yield f"v{v} = {text}{turned}", e

    def _group(self, e: Entry) -> str:
        """Line that computes a group part by part."""
        name = _GROUP.format(e.results[0])
        parts, by_line = written(e, name, self.types)
        self.by_line |= {(name, line): inner for line, inner in by_line.items()}
        return f"{self._held(parts)}({', '.join(f'v{v}' for v in (*e.operands, *e.results))})"

    def _may_overwrite(self, e: Entry, dying: Sequence[int]) -> bool:
        """Whether a kernel may write where what it reads last is: at the same places."""
        code = native_of(e)
        if type(code) is not Kernel or code.rows or code.folds:
            return False
        shape = self.types[e.results[0]].shape
        own = code.results[0].strides
        return all(
            self.group[v] == v and operand[1:] == (shape, own, 0)
            for v, operand in zip(e.operands, code.operands, strict=True)
            if self.group[v] in dying
        )

    def _is_planned(self, v: int) -> bool:
        return self.ends[self.group[v]] != _NEVER and self.types[v].nbytes >= _SMALLEST

    def _line(self, e: Entry, call: Call, out: str) -> str:
        held = {name: self._held(value) for name, value in call.held.items()}
        if native_of(e) is not None:
            out = ", ".join(f"v{r}" for r in e.results)
            return call.text.format(*map(self._read, call.operands), out=out, **held)
        text = call.text.format(
            *map(self._read, call.operands), out=f", out={out}" if out else "", **held
        )
        if e.primitive.results == 1 and not self.types[e.results[0]].shape:
            text = f"as_result({text})"
        results = ", ".join(f"v{r}" for r in e.results) + ("," if e.primitive.results == 0 else "")
        return f"{results} = {text}" if e.results else text

    def _held(self, value: Any) -> str:
        name = f"c{len(self.space)}"
        self.space[name] = value
        return name

    def _read(self, operand: Any) -> str:
        if type(operand) is int:
            return f"v{operand}"
        return self._held(operand.value if type(operand) is Literal else operand)


# What a program calls -----------------------------------------------------------------------------


class _Again:
    """Calls a native function once more, on copies of arrays that are not as it needs them."""

    def __init__(self, operands: Sequence[ArrayType]) -> None:
        self.operands = operands

    def __call__(self, native: Callable[..., bool], *arrays: Any) -> None:
        count = len(self.operands)
        given, results = arrays[:count], arrays[count:]
        copies = [
            np.empty(a.shape, o.dtype.dtype) for a, o in zip(given, self.operands, strict=True)
        ]
        for copy, a in zip(copies, given, strict=True):
            copy[...] = a
        if not native(*copies, *results):
            kinds = ", ".join(f"{a.dtype}{list(a.shape)}" for a in copies)
            msg = (
                "jit: operands of native code must be as they were staged, "
                f"{', '.join(map(str, self.operands))}; got {kinds}"
            )
            raise TraceError(msg)


def _product(x1: Any, x2: Any, out: Any, scratch: Any = None) -> None:
    """Product of matrices that native code does not take."""
    np.matmul(x1, x2, out)


class _Errors:
    """Says of an error what the list's entry says that failed, and its line.

    The entries are found, when there is an error, by writing the program once more.
    """

    def __init__(self, wengert: WengertList, native: bool, donation: Donation | None) -> None:
        self.list, self.native, self.donation = wengert, native, donation

    @functools.cached_property
    def by_line(self) -> dict[tuple[str, int], Entry]:
        """Entries by the functions and lines of the program."""
        writer = _Writer(optimized(self.list), self.native, self.donation)
        writer.text()
        return writer.by_line

    def __call__(self, error: Exception) -> Exception:
        """Error of the entry that failed, with its line."""
        found = self._failed(error.__traceback__)
        if found is None:
            return error
        e, values = found
        args = tuple(
            o.value if type(o) is Literal else values.get(f"b{o}", values.get(f"v{o}"))
            for o in e.operands
        )
        told = e.primitive.explain(error, args, e.params)
        if isinstance(told, VoltaError) and e.code is not None:
            located(told, source_line(e.code, e.offset))
        return told

    def _failed(self, traceback: TracebackType | None) -> tuple[Entry, dict[str, Any]] | None:
        """The entry that failed, and what is named where it was called: here, or in a group."""
        found = None
        while traceback is not None:
            frame = traceback.tb_frame
            e = self.by_line.get((frame.f_code.co_name, traceback.tb_lineno))
            if e is not None:
                found = e, frame.f_locals
            primitive: Any = found and found[0].primitive
            if not isinstance(primitive, Divided):
                break
            traceback = traceback.tb_next
        return found


# What a program does otherwise than its list ------------------------------------------------------


def _broadcast_in_place(wengert: WengertList) -> list[Entry]:
    """Entries without the broadcasts that a ufunc makes by itself."""
    sources: dict[Any, int] = {}
    entries = []
    for e in wengert.entries:
        if e.primitive.name == "broadcast_to" and type(e.operands[0]) is not Literal:
            sources[e.results[0]] = e.operands[0]
        elif e.primitive.elementwise:
            operands = list(e.operands)
            for i, o in enumerate(operands):
                if o in sources:
                    operands[i] = sources[o]
                    kinds = (wengert.types[v] for v in operands if type(v) is not Literal)
                    shapes = [k.shape for k in kinds]
                    if broadcast_shapes("", *shapes) != wengert.types[e.results[0]].shape:
                        operands[i] = o
            e = e._replace(operands=tuple(operands))
        entries.append(e)
    return entries


def _guarded(
    entries: list[Entry], types: dict[int, ArrayType]
) -> tuple[list[Entry], dict[int, int]]:
    """Entries in which ``where(isfinite(x) | (y != 0), x, 0)`` is one, of x and y.

    A sweep makes such of every product of masked cotangents (`volta.core.derivatives.scale`). To
    ask whether all of x is finite takes less time, and then it is x.
    """
    made = {e.results[0]: e for e in entries if e.primitive.results == 1}
    guards: dict[int, int] = {}

    def operands(v: Any, name: str) -> Sequence[Any] | None:
        e = made.get(v)
        return e.operands if e is not None and e.primitive.name == name else None

    def guard(e: Entry) -> Entry:
        if e.primitive.name != "where" or repr(e.operands[2]) != repr(Literal(0)):
            return e
        either, x = operands(e.operands[0], "logical_or"), e.operands[1]
        if either is None or operands(either[0], "isfinite") != (x,):
            return e
        compared = operands(either[1], "not_equal")
        if compared is None or repr(compared[1]) != repr(Literal(0)):
            return e
        if types[x] != types[e.results[0]] or types[x].dtype.name not in ("float32", "float64"):
            return e
        guards[e.results[0]] = x
        return e._replace(operands=(x, compared[0]))

    return [guard(e) for e in entries], guards


def _guard(x: Any, y: Any) -> Any:
    return np.where(np.logical_or(np.isfinite(x), np.not_equal(y, 0)), x, 0)
