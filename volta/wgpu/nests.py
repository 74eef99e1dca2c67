"""Nests of loops as WGSL, of kernels of the shared representation (`volta.compile.kernel`).

Three shapes: elements, each by an invocation; rows, each by a workgroup, which goes over it in the
passes of `volta.compile.stages`; and folds, where an invocation goes over the axes that are folded.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from volta.compile.kernel import Kernel, Node, Operand, Result
from volta.compile.stages import Pass, stages
from volta.wgpu.axes import Axes
from volta.wgpu.launch import COMPUTED, STORED, View, Writer, itemsize, row_major
from volta.wgpu.scalars import Expressions, identity, loaded, merged, stored
from volta.wgpu.splits import along

__all__ = ["PIECE", "Elements", "Folds", "Left", "Rows"]

PIECE: Final = 1 << 13  # elements of a row that a workgroup goes over
_GROUP: Final = 64  # invocations of a workgroup
_WIDE: Final = 256  # of one that goes over a long row
_NARROW: Final = 8  # of one that does on the host, whose cores have so many elements in a register
_SHORT: Final = 32  # elements of an innermost axis over which invocations do not lie
_TILE: Final = 16  # elements along each of two axes that a workgroup lies over
_MANY: Final = {"cpu": 1 << 15}  # invocations that occupy a device, if not
_OTHERS: Final = 1 << 19
_LONG: Final = 1 << 14  # elements that an invocation goes over, at most
_EXCHANGED: Final = {"f32", "i32", "u32"}  # what subgroups do, on all devices that have them
_SMALL: Final = 1 << 13  # elements that are computed one by one
_FEW_NODES: Final = 64  # of a kernel that computes four


class _Nest:
    """A nest of loops being written.

    Attributes
    ----------
    names : list of str
        What each operand is bound as.
    reads, writes : dict of str to View
        What is bound, by name.
    strides : list of tuple of int
        Along the kernel's axes, of operands and of results.
    params : dict of str to number
    fours : dict of str to str
        Names of arrays that are bound as arrays of four elements each, and what these are.
    steps : list of int
        If four elements are computed in a row, strides along it, of each array.
    """

    def __init__(
        self, to: Writer, kernel: Kernel, operands: Sequence[View], results: Sequence[View]
    ) -> None:
        self.to, self.kernel, self.results = to, kernel, results
        self.expressions = Expressions(kernel.nodes)
        self.params: dict[str, float] = {}
        self.fours: dict[str, str] = {}
        self.steps: list[int] = []
        seen = [
            View(view.var, view.dtype, kernel.shape, o.strides, o.offset)
            for o, view in zip(kernel.operands, operands, strict=True)
        ]
        # an array is bound once, however often it is read, unless that is too much of it
        first: dict[int, str] = {}
        self.names = [first.setdefault(view.var, f"x{k}") for k, view in enumerate(seen)]
        self.reads = _spanned(self.names, seen)
        if any(_nbytes(view) > to.facts.limits.binding for view in self.reads.values()):
            self.names = [f"x{k}" for k in range(len(seen))]
            self.reads = _spanned(self.names, seen)
        self.writes = {f"y{k}": view for k, view in enumerate(results)}
        self.strides = [o.strides for o in kernel.operands]
        for r, view in zip(kernel.results, results, strict=True):
            self.strides.append(along(r.strides, view))

    def axes(self, name: str, chosen: Iterable[int]) -> Axes:
        """Some of the kernel's axes."""
        chosen = [*chosen]
        strides = [[s[a] for a in chosen] for s in self.strides]
        return Axes.of(name, [self.kernel.shape[a] for a in chosen], strides)

    def places(self, axes: Sequence[Axes]) -> dict[int, str]:
        """Place of the element of each array, in terms of coordinates along axes."""
        found = {}
        for k in range(len(self.strides)):
            if k < len(self.names):
                label, name = f"x{k}", self.names[k]
                first = self.kernel.operands[k].offset - self.reads[name].offset
                first //= 4 if name in self.fours else 1
                start = [f"p.{name}_0"]
                if first:
                    self.params[f"{label}_o"] = first
                    start.append(f"p.{label}_o")
            else:
                label = f"y{k - len(self.names)}"
                start = [f"p.{label}_0"]
            for group in axes:
                terms, params = group.terms(k, label)
                start += terms
                self.params.update(params)
            found[k] = " + ".join(start)
        return found

    def load(self, n: Node, places: dict[int, str]) -> str:
        """An element of an operand."""
        return loaded(f"{self.names[n.value]}[{places[n.value]}]", n.dtype)

    def store(self, j: int, places: dict[int, str], value: str) -> str:
        """Statement that stores an element of a result."""
        r = self.kernel.results[j]
        text = stored(value, self.kernel.nodes[r.node].dtype)
        return f"y{j}[{places[len(self.names) + j]}] = {text};"

    def computed(
        self, numbers: Iterable[int], places: dict[int, str], given: dict[int, str]
    ) -> list[str]:
        """Statements that compute nodes; those in `given` have these names."""
        lines = []
        for i in numbers:
            n = self.kernel.nodes[i]
            if n.op == "call" and i not in given:
                lines += self.expressions.called(f"n{i}", n, [f"n{o}" for o in n.operands])
                continue
            if i in given:
                text = given[i]
            elif n.op == "load":
                text = self.load(n, places)
            else:
                text = self.expressions.text(n, [f"n{o}" for o in n.operands])
            lines.append(f"let n{i} = {text};")
        return lines

    # four elements in a row ----------------------------------------------------------------------
    def by_four(self, inner: Axes, *outer: Axes) -> tuple[Axes, ...]:
        """Axes of fours along the last of `inner`, if such are to be computed, else as they are.

        It takes more text, which is worth it for arrays that are not small. All results that have
        elements along these axes must have them together; of operands that have not, elements are
        loaded one by one.
        """
        size = math.prod(axes.size for axes in (inner, *outer))
        few = len(self.kernel.nodes) <= _FEW_NODES
        if size < _SMALL or not few or not inner.sizes or inner.sizes[-1] % 4:
            return inner, *outer
        names = [*self.names, *self.writes]
        offsets = [o.offset for o in self.kernel.operands] + [v.offset for v in self.results]
        bound = {**self.reads, **self.writes}
        fit: dict[str, bool] = {}
        for k, (name, offset) in enumerate(zip(names, offsets, strict=True)):
            *others, last = inner.strides[k]
            others += [s for axes in outer for s in axes.strides[k]]
            together = last == 1 and not any(n % 4 for n in (offset, *others))
            word = STORED[bound[name].dtype.name] in _EXCHANGED
            fit[name] = fit.get(name, True) and together and word
            if name in self.writes and any(inner.strides[k]) and not fit[name]:
                return inner, *outer
        self.fours = {n: f"vec4<{STORED[bound[n].dtype.name]}>" for n, its in fit.items() if its}
        if not self.fours:
            return inner, *outer
        self.steps = [s[-1] for s in inner.strides]
        most = [(*s[:-1], 4 * s[-1]) for s in inner.strides]
        found = []
        for axes, strides in zip((inner, *outer), (most, *(o.strides for o in outer)), strict=True):
            own = [*strides]
            for k, name in enumerate(names):
                if name in self.fours:
                    own[k] = tuple(s // 4 for s in own[k])
            found.append(axes._replace(strides=own))
        found[0] = found[0]._replace(sizes=(*inner.sizes[:-1], inner.sizes[-1] // 4))
        return tuple(found)

    def of_each(
        self,
        numbers: Sequence[int],
        places: dict[int, str],
        stores: Sequence[int],
        saved: Mapping[int, int] = MappingProxyType({}),
        reduces: Sequence[int] = (),
    ) -> list[str]:
        """What is done with an element, or four of them.

        Nodes are computed, results stored, and the operands of `reduces` merged with what came
        before; nodes in `saved` are loaded from results.
        """
        if self.steps:
            return self._of_four(numbers, places, stores, saved, reduces)
        at = len(self.names)
        kept = {i: f"y{j}[{places[at + j]}]" for i, j in saved.items()}
        given = {i: loaded(text, self.kernel.nodes[i].dtype) for i, text in kept.items()}
        lines = self._merging(numbers, places, given, reduces)
        return lines + [self.store(j, places, f"n{self.kernel.results[j].node}") for j in stores]

    def _merging(
        self,
        numbers: Sequence[int],
        places: dict[int, str],
        given: dict[int, str],
        reduces: Sequence[int],
    ) -> list[str]:
        lines = self.computed(numbers, places, given)
        for i in reduces:
            n = self.kernel.nodes[i]
            lines.append(f"t{i} = {merged(n.value, f't{i}', f'n{n.operands[0]}', n.dtype)};")
        return lines

    def _of_four(
        self,
        numbers: Sequence[int],
        places: dict[int, str],
        stores: Sequence[int],
        saved: Mapping[int, int],
        reduces: Sequence[int],
    ) -> list[str]:
        nodes, results, at = self.kernel.nodes, self.kernel.results, len(self.names)
        loads = {i: nodes[i].value for i in numbers if nodes[i].op == "load" and i not in saved}
        lines = [f"let s{i} = y{j}[{places[at + j]}];" for i, j in saved.items()]
        for k in dict.fromkeys(loads.values()):
            name = self.names[k]
            if name in self.fours or not self.steps[k]:
                lines.append(f"let q{k} = {name}[{places[k]}];")
            else:
                lines.append(f"let q{k} = {places[k]};")
                self.params[f"x{k}_step"] = self.steps[k]
        lines += [f"var r{j}: {self.fours[f'y{j}']};" for j in stores]
        for c, component in enumerate("xyzw"):
            given = {i: loaded(f"s{i}.{component}", nodes[i].dtype) for i in saved}
            for i, k in loads.items():
                text = f"q{k}"
                if self.names[k] in self.fours:
                    text += f".{component}"
                elif self.steps[k]:
                    text = f"{self.names[k]}[{text} + {c}u * p.x{k}_step]"
                given[i] = loaded(text, nodes[i].dtype)
            inside = self._merging(numbers, places, given, reduces)
            for j in stores:
                value = stored(f"n{results[j].node}", nodes[results[j].node].dtype)
                inside.append(f"r{j}.{component} = {value};")
            lines += ["{", *(f"  {line}" for line in inside), "}"]
        return [*lines, *(f"y{j}[{places[at + j]}] = r{j};" for j in stores)]

    def launch(self, kind: str, body: list[str], **options: Any) -> None:
        """List the kernel."""
        options |= {"pairs": self.fours}
        ops = [n.op for n in self.kernel.nodes if n.op not in ("load", "constant", "convert")]
        label = f"{kind} of {', '.join(dict.fromkeys(ops[:4])) or 'copies'}"
        writes = options.pop("writes", self.writes)
        params = {**self.params, **self.expressions.numbers, **options.pop("params", {})}
        text = "\n".join(f"  {line}" for line in body)
        self.to.launch(label, text, reads=self.reads, writes=writes, params=params, **options)


def _spanned(names: Sequence[str], views: Sequence[View]) -> dict[str, View]:
    """By name, all from the first element that some views of an array have to the last."""
    found = {}
    for name in dict.fromkeys(names):
        mine = [view for own, view in zip(names, views, strict=True) if own == name]
        low, high = min(v.extent[0] for v in mine), max(v.extent[1] for v in mine)
        found[name] = View(mine[0].var, mine[0].dtype, (high - low,), (1,), low)
    return found


def _nbytes(view: View) -> int:
    return view.shape[0] * itemsize(view.dtype)


# Elements -----------------------------------------------------------------------------------------


class Elements(_Nest):
    """Each element, or each four in a row, by an invocation, the last by all that are left over.

    A condition around them, or a return, takes half of llvmpipe's speed.
    """

    def write(self) -> None:
        """The whole kernel."""
        axes = self.axes("a", range(len(self.kernel.shape)))
        across = self._across(axes)
        if across is None:
            self._in_rows(*self.by_four(axes))
        else:
            self._in_squares(axes, across)

    def _across(self, axes: Axes) -> int | None:
        """Axis along which elements of an operand lie side by side that do not along the last."""
        if self.to.facts.kind == "cpu" or len(axes.sizes) < 2:
            return None
        for strides in axes.strides[: len(self.names)]:
            if strides[-1] > 1 and 1 in strides:
                a = strides.index(1)
                if min(axes.sizes[a], axes.sizes[-1]) >= _TILE:
                    return a
        return None

    def _in_rows(self, axes: Axes) -> None:
        size = _GROUP if self.to.facts.kind == "cpu" else _WIDE
        count = axes.size
        body, groups = [], -(-count // size)
        if len(axes.sizes) > 1 and axes.sizes[-1] >= _SHORT:
            last = len(axes.sizes) - 1
            inner, axes = axes.only("i", [last]), axes.only("a", range(last))
            across = -(-inner.size // size)
            self.params |= {"inner": inner.size, "columns": across}
            groups = across * axes.size
            body += [f"let ic0 = min((group % p.columns) * {size}u + lane, p.inner - 1u);"]
            body += ["let row = group / p.columns;", *axes.coordinates("row")]
            over = [axes, inner]
        else:
            self.params["count"] = count
            body += [f"let element = min(group * {size}u + lane, p.count - 1u);"]
            body += [*axes.coordinates("element")]
            over = [axes]
        self._computing("elements", axes, over, body, groups, size)

    def _in_squares(self, axes: Axes, across: int) -> None:
        """Each workgroup computes a square, so that what it loads lies side by side as well."""
        last = len(axes.sizes) - 1
        inner, second = axes.only("i", [last]), axes.only("j", [across])
        outer = axes.only("a", [a for a in range(last) if a != across])
        columns, rows = (-(-its.size // _TILE) for its in (inner, second))
        self.params |= {"columns": columns, "rows": rows, "inner": inner.size}
        self.params["second"] = second.size
        body = [
            f"let ic0 = min((group % p.columns) * {_TILE}u + lane % {_TILE}u, p.inner - 1u);",
            "let band = group / p.columns;",
            f"let jc0 = min((band % p.rows) * {_TILE}u + lane / {_TILE}u, p.second - 1u);",
            "let square = band / p.rows;",
            *outer.coordinates("square"),
        ]
        groups = columns * rows * outer.size
        over = [outer, second, inner]
        self._computing("squares of elements", outer, over, body, groups, _TILE * _TILE)

    def _computing(
        self, label: str, outer: Axes, over: list[Axes], body: list[str], groups: int, size: int
    ) -> None:
        """List the kernel, whose body begins with the coordinates along axes."""
        self.params.update(outer.params())
        places = self.places(over)
        nodes, results = range(len(self.kernel.nodes)), range(len(self.kernel.results))
        body += self.of_each(nodes, places, results)
        self.launch(label, body, groups=groups, size=(size, 1, 1))


# Rows ---------------------------------------------------------------------------------------------


class Rows(_Nest):
    """Each row by a workgroup."""

    def __init__(self, to: Writer, kernel: Kernel, *memory: Sequence[View]) -> None:
        super().__init__(to, kernel, *memory)
        rows, others = kernel.rows, [a for a in range(len(kernel.shape)) if a not in kernel.rows]
        inner, outer = self.axes("r", rows), self.axes("a", others)
        self.inner, self.outer = self.by_four(inner, outer)
        self.stages = stages(kernel, room=0)
        length = self.inner.size
        self.size = _WIDE if length > 2 * _GROUP else _GROUP if length > _SHORT else 32
        self.size = min(self.size, self.to.facts.limits.group)
        if to.facts.kind == "cpu":
            self.size = _NARROW
        kinds = {_shared(n) for n in kernel.nodes if n.op == "reduce"}
        self.subgroups = "subgroups" in to.facts.features and kinds <= _EXCHANGED
        self.params |= {"length": length, **self.inner.params(), **self.outer.params()}
        self.outside = {
            i: f"var<workgroup> w{i}: array<{_shared(n)}, {self.size}>;"
            for i, n in enumerate(kernel.nodes)
            if n.op == "reduce"
        }

    def write(self) -> None:
        """The whole kernel."""
        self.params["rows"] = self.outer.size
        row = self.outer.coordinates("group")
        of_row, of_element = self.places([self.outer]), self.places([self.outer, self.inner])
        body = [*row]
        given: dict[int, str] = {}
        for its in self.stages.passes:
            body += self.computed(its.before, of_row, given)
            inside = self._pass(its, of_element)
            if inside:
                body += self._loop("lane", "p.length", its, inside)
            for i in its.reduces:
                body += self._together(i)
                given[i] = f"v{i}"
        for j, r in enumerate(self.kernel.results):
            if r.node in self.stages.of_row and not any(j in p.stores for p in self.stages.passes):
                body += [f"if lane == 0u {{ {self.store(j, of_row, f'n{r.node}')} }}"]
        self.launch(
            "rows",
            body,
            groups=self.outer.size,
            size=(self.size, 1, 1),
            outside="\n".join(self.outside.values()),
            subgroups=self.subgroups,
        )

    def pieces(self, parts: Sequence[View], pieces: int) -> None:
        """The first pass alone, of which each workgroup does a piece of a row."""
        first = self.stages.passes[0]
        self.params["pieces"] = pieces
        self.params["piece"] = PIECE // 4 if self.steps else PIECE
        of_element = self.places([self.outer, self.inner])
        of_row = self.places([self.outer])
        body = ["let row = group / p.pieces;", "let at_piece = group % p.pieces;"]
        body += self.outer.coordinates("row")
        body += self.computed(first.before, of_row, {})
        body += ["let until = min(p.length, (at_piece + 1u) * p.piece);"]
        inside = self._pass(first, of_element)
        body += self._loop("at_piece * p.piece + lane", "until", first, inside)
        writes = {f"y{j}": self.results[j] for j in first.stores}
        for k, i in enumerate(first.reduces):
            body += self._together(i)
            value = stored(f"v{i}", self.kernel.nodes[i].dtype)
            body += [f"if lane == 0u {{ part{k}[p.part{k}_0 + group] = {value}; }}"]
            writes[f"part{k}"] = parts[k]
        outside = "\n".join(self.outside[i] for i in first.reduces)
        self.launch(
            "pieces of rows",
            body,
            groups=self.outer.size * pieces,
            size=(self.size, 1, 1),
            writes=writes,
            outside=outside,
            subgroups=self.subgroups,
        )

    def _pass(self, its: Pass, places: dict[int, str]) -> list[str]:
        """What is done with each element."""
        results = self.kernel.results
        saved = {i: next(j for j, r in enumerate(results) if r.node == i) for i in its.loads}
        return self.of_each(its.nodes, places, its.stores, saved, its.reduces)

    def _loop(self, first: str, until: str, its: Pass, inside: list[str]) -> list[str]:
        lines = []
        for i in its.reduces:
            n = self.kernel.nodes[i]
            lines.append(f"var t{i} = {identity(n.value, n.dtype)};")
        lines.append(f"for (var element = {first}; element < {until}; element += {self.size}u) {{")
        lines += [f"  {line}" for line in (*self.inner.coordinates("element"), *inside)]
        return [*lines, "}"]

    def _together(self, i: int) -> list[str]:
        """Reduce what the invocations of a workgroup have."""
        value, out = f"t{i}", f"u{i}"
        if COMPUTED[self.kernel.nodes[i].dtype.name] == "bool":
            value, out = f"select(0u, 1u, {value})", f"({out} != 0u)"
        lines = self._by_subgroups(i) if self.subgroups else self._tree(i)
        return [f"var u{i} = {value};", *lines, f"let v{i} = {out};"]

    def _by_subgroups(self, i: int) -> list[str]:
        """Subgroups exchange what they have; every invocation reduces what they came to."""
        n = self.kernel.nodes[i]
        other = f"subgroupShuffleXor(u{i}, width)"
        return [
            f"for (var width = min(subgroup_size, {self.size}u) / 2u; width > 0u; width /= 2u) {{",
            f"  u{i} = {_merged(n, f'u{i}', other)};",
            "}",
            f"if subgroup_lane == 0u {{ w{i}[subgroup] = u{i}; }}",
            "workgroupBarrier();",
            f"u{i} = w{i}[0];",
            f"for (var k = 1u; k * subgroup_size < {self.size}u; k++) {{",
            f"  u{i} = {_merged(n, f'u{i}', f'w{i}[k]')};",
            "}",
        ]

    def _tree(self, i: int) -> list[str]:
        """Half of the invocations, then a quarter, …, take in what another one has."""
        both = _merged(self.kernel.nodes[i], f"w{i}[lane]", f"w{i}[lane + width]")
        return [
            f"w{i}[lane] = u{i};",
            "workgroupBarrier();",
            f"for (var width = {self.size // 2}u; width > 0u; width /= 2u) {{",
            f"  if lane < width {{ w{i}[lane] = {both}; }}",
            "  workgroupBarrier();",
            "}",
            f"u{i} = w{i}[0];",
        ]


def _merged(n: Node, x: str, y: str) -> str:
    """Two elements of a reduction as one, as workgroups share them."""
    if COMPUTED[n.dtype.name] == "bool":
        return f"{x} {'&' if n.value == 'and' else '|'} {y}"
    return merged(n.value, x, y, n.dtype)


def _shared(n: Node) -> str:
    kind = COMPUTED[n.dtype.name]
    return "u32" if kind == "bool" else kind


# Folds --------------------------------------------------------------------------------------------


class Left(NamedTuple):
    """A kernel that is left to be listed, and the memory of its operands and results."""

    kernel: Kernel
    operands: list[View]
    results: list[View]


class Folds(_Nest):
    """Each sum by an invocation, or pieces of it by several if it is long."""

    def write(self) -> list[Left]:
        """List the kernel; those that fold what pieces gave are left."""
        kernel = self.kernel
        folds, others = kernel.folds, [a for a in range(len(kernel.shape)) if a not in kernel.folds]
        length, count = (math.prod(kernel.shape[a] for a in axes) for axes in (folds, others))
        piece = _piece(length, count, _MANY.get(self.to.facts.kind, _OTHERS))
        pieces = -(-length // piece)
        chosen = [j for j, r in enumerate(kernel.results) if r.fold is not None]
        dtypes = [kernel.nodes[r.node].dtype for r in kernel.results]
        parts: dict[int, View] = {}
        if pieces > 1:
            parts = {j: self.to.scratch(dtypes[j], (pieces, count)) for j in chosen}
            own = [*row_major(tuple(kernel.shape[a] for a in others))]
            strides = tuple(0 if a in folds else own.pop(0) for a in range(len(kernel.shape)))
            for j in chosen:
                self.strides[len(self.names) + j] = strides
        inner, outer = self.axes("r", folds), self.axes("a", others)
        across = -(-count // _GROUP)
        self.params |= {"count": count, "columns": across, "length": length, "piece": piece}
        self.params |= {**inner.params(), **outer.params()}
        places, totals = self.places([outer, inner]), self.places([outer])
        body = [f"let column = (group % p.columns) * {_GROUP}u + lane;"]
        body += ["if column >= p.count { return; }", "let at_piece = group / p.columns;"]
        body += outer.coordinates("column")
        body += ["let until = min(p.length, (at_piece + 1u) * p.piece);"]
        inside = inner.coordinates("element")
        inside += self.computed(range(len(kernel.nodes)), places, {})
        for j, (r, dtype) in enumerate(zip(kernel.results, dtypes, strict=True)):
            if r.fold is None:
                inside += [self.store(j, places, f"n{r.node}")]
            else:
                body += [f"var t{j} = {identity(r.fold, dtype)};"]
                inside += [f"t{j} = {merged(r.fold, f't{j}', f'n{r.node}', dtype)};"]
        body += ["for (var element = at_piece * p.piece; element < until; element++) {"]
        body += [f"  {line}" for line in inside] + ["}"]
        more = " + at_piece * p.count" if parts else ""
        for j in chosen:
            goal = totals[len(self.names) + j] + more
            body += [f"y{j}[{goal}] = {stored(f't{j}', dtypes[j])};"]
        writes = self.writes | {f"y{j}": part for j, part in parts.items()}
        self.launch("sums", body, groups=across * pieces, writes=writes)
        return [self._left(j, others, part) for j, part in parts.items()]

    def _left(self, j: int, others: Sequence[int], part: View) -> Left:
        """The kernel that folds what pieces gave of a result."""
        r = self.kernel.results[j]
        pieces, count = part.shape
        kept = tuple(self.kernel.shape[a] for a in others)
        load = Operand(part.dtype, (pieces, *kept), (count, *row_major(kept)))
        nodes = (Node("load", (), part.dtype, 0),)
        result = Result(0, (0, *(r.strides[a] for a in others)), r.fold)
        kernel = Kernel(load.shape, (), (0,), (load,), nodes, (result,))
        return Left(kernel, [part], [self.results[j]])


def _piece(length: int, count: int, many: int) -> int:
    """Elements that an invocation goes over, of `count` sums of so many each."""
    pieces = min(-(-length // _GROUP), -(-many // count))
    return -(-length // max(pieces, -(-length // _LONG), 1))
