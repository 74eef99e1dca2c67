"""Kernels of the shared representation (`volta.compile.kernel`) as launches.

Three shapes of loops: elements, each by an invocation; rows, each by a workgroup, which goes over
it in the passes of `volta.compile.stages`; and folds, where an invocation goes over the axes that
are folded. Axes that all arrays have side by side are one.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from volta.compile.kernel import Kernel, Node, Operand, Result
from volta.compile.stages import Pass, stages
from volta.wgpu.launch import COMPUTED, STORED, View, Writer, itemsize, row_major
from volta.wgpu.scalars import Expressions, identity, loaded, merged, stored
from volta.wgpu.splits import along, halves, is_too_large, sliced, widest

__all__ = ["loops"]

_GROUP: Final = 64  # invocations of a workgroup
_WIDE: Final = 256  # of one that goes over a long row
_NARROW: Final = 8  # of one that does on the host, whose cores have so many elements in a register
_SHORT: Final = 32  # elements of an innermost axis over which invocations do not lie
_LONG: Final = 1 << 14  # elements of a row that workgroups share, if there are few
_FEW: Final = 64  # rows, or sums, that leave much of a device idle
_BUSY: Final = {"cpu": 1 << 15}  # invocations that keep a device busy
_TILE: Final = 16  # elements along two axes that invocations lie over
_PIECE: Final = 1 << 13  # elements of a row that a workgroup goes over
_EXCHANGED: Final = {"f32", "i32", "u32"}  # what subgroups do, on all devices that have them
_SMALL: Final = 1 << 13  # elements that are computed one by one
_FEW_NODES: Final = 64  # of a kernel that computes four


def loops(to: Writer, kernel: Kernel, operands: Sequence[View], results: Sequence[View]) -> None:
    """List launches of a kernel.

    Parameters
    ----------
    to : Writer
    kernel : Kernel
    operands : sequence of View
        Memory that its operands are in; strides and offsets are those of the kernel.
    results : sequence of View
        Where its results go, of which each has the shape of its own.
    """
    if is_too_large(kernel, results, to.facts.limits.binding):
        _in_parts(to, kernel, operands, results)
    elif kernel.folds:
        if _kept(kernel) < _FEW:
            loops(to, _as_rows(kernel), operands, results)
        else:
            _Folds(to, kernel, operands, results).write()
    elif kernel.rows:
        length = math.prod(kernel.shape[a] for a in kernel.rows)
        if length > _LONG and math.prod(kernel.shape) // length < _FEW:
            _in_pieces(to, kernel, operands, results)
        else:
            _Rows(to, kernel, operands, results).write()
    else:
        _Elements(to, kernel, operands, results).write()


def _in_parts(
    to: Writer, kernel: Kernel, operands: Sequence[View], results: Sequence[View]
) -> None:
    """List launches each of which sees only a part of an array that is too large."""
    parts = halves(kernel, results)
    if parts is not None:
        for part in parts:
            loops(to, part.kernel, operands, part.results)
    elif kernel.folds:
        loops(to, _as_rows(kernel), operands, results)
    elif kernel.rows:
        _in_pieces(to, kernel, operands, results)
    else:
        _Elements(to, kernel, operands, results).write()  # which says what there is too much of


def _kept(kernel: Kernel) -> int:
    return math.prod(n for a, n in enumerate(kernel.shape) if a not in kernel.folds)


def _as_rows(kernel: Kernel) -> Kernel:
    """A kernel that reduces rows in place of folding."""
    nodes, results = [*kernel.nodes], []
    for r in kernel.results:
        if r.fold is not None:
            dtype = kernel.nodes[r.node].dtype
            nodes.append(Node("reduce", (r.node,), dtype, r.fold))
            r = Result(len(nodes) - 1, r.strides)
        results.append(r)
    return kernel._replace(rows=kernel.folds, folds=(), nodes=(*nodes,), results=(*results,))


def _in_pieces(
    to: Writer, kernel: Kernel, operands: Sequence[View], results: Sequence[View]
) -> None:
    """Have workgroups share rows: first what is reduced of the elements as they are loaded."""
    made = stages(kernel)
    first = made.passes[0]
    kept = tuple(n for a, n in enumerate(kernel.shape) if a not in kernel.rows)
    count = math.prod(kept)
    if is_too_large(kernel, results, to.facts.limits.binding):
        done: tuple[int, ...] = ()
        parts = _halves_of_rows(to, kernel, operands, results, first)
    else:
        done = first.stores
        pieces = -(-math.prod(kernel.shape[a] for a in kernel.rows) // _PIECE)
        parts = [to.scratch(kernel.nodes[i].dtype, (count, pieces)) for i in first.reduces]
        _Rows(to, kernel, operands, results).pieces(parts, pieces)
    totals = []
    for i in first.reduces:
        j = _result_of_rows(kernel, results, i)
        done = done if j is None else (*done, j)
        goal = to.scratch(kernel.nodes[i].dtype, (count,)) if j is None else results[j]
        totals.append(goal._replace(shape=(count,), strides=row_major((count,))))
    loops(to, _totals(kernel, first, *parts[0].shape), parts, totals)
    # what is left loads these
    lead = list(row_major(kept))
    strides = tuple(0 if a in kernel.rows else lead.pop(0) for a in range(len(kernel.shape)))
    nodes = [*kernel.nodes]
    loads = [*kernel.operands]
    for i in first.reduces:
        nodes[i] = Node("load", (), nodes[i].dtype, len(loads))
        loads.append(Operand(nodes[i].dtype, kept, strides))
    left = kernel._replace(nodes=(*nodes,), operands=(*loads,))
    places = [j for j in range(len(results)) if j not in done]
    of_rows = [j for j in places if _is_of_rows(kernel, kernel.results[j], made.of_row)]
    of_elements = [j for j in places if j not in of_rows]
    more = any(n.op == "reduce" for n in nodes)
    if more:
        of_rows, of_elements = [], places
    for chosen, rows in ((of_rows, True), (of_elements, False)):
        if not chosen:
            continue
        its = left._replace(results=tuple(kernel.results[j] for j in chosen))
        if not more:
            its = its._replace(rows=())
        if rows:
            shape = tuple(1 if a in kernel.rows else n for a, n in enumerate(kernel.shape))
            its = its._replace(shape=shape)
        pruned, wanted = _pruned(its)
        arrays = [*operands, *totals]
        loops(to, pruned, [arrays[i] for i in wanted], [results[j] for j in chosen])


def _result_of_rows(kernel: Kernel, results: Sequence[View], node: int) -> int | None:
    """The result that is what a node reduces of each row, in their order, if there is one."""
    kept = tuple(n for a, n in enumerate(kernel.shape) if a not in kernel.rows)
    in_order = iter(row_major(kept))
    strides = tuple(0 if a in kernel.rows else next(in_order) for a in range(len(kernel.shape)))
    for j, (r, view) in enumerate(zip(kernel.results, results, strict=True)):
        if r.node == node and r.strides == strides and view.is_row_major:
            return j
    return None


def _is_of_rows(kernel: Kernel, r: Result, of_row: Iterable[int]) -> bool:
    """Whether a result is one for a row, and not stored for each of its elements."""
    return r.node in of_row and not any(r.strides[a] for a in kernel.rows)


def _halves_of_rows(
    to: Writer, kernel: Kernel, operands: Sequence[View], results: Sequence[View], first: Pass
) -> list[View]:
    """What the first pass reduces of each half of a row."""
    axis = widest(kernel, results, kernel.rows)
    assert axis is not None
    half = kernel.shape[axis] // 2
    shape = tuple(1 if a in kernel.rows else n for a, n in enumerate(kernel.shape))
    made = tuple(Result(i, row_major(shape)) for i in first.reduces)
    parts = [to.scratch(kernel.nodes[i].dtype, (math.prod(shape), 2)) for i in first.reduces]
    strides = tuple(2 * s for s in row_major(shape))
    for k, part in enumerate(((0, half), (half, kernel.shape[axis]))):
        goals = [p._replace(shape=shape, strides=strides, offset=k) for p in parts]
        pruned, wanted = _pruned(kernel._replace(results=made))
        split = sliced(pruned, goals, axis, *part)
        loops(to, split.kernel, [operands[i] for i in wanted], split.results)
    return parts


def _totals(kernel: Kernel, first: Pass, count: int, pieces: int) -> Kernel:
    """The kernel that reduces what pieces of rows gave."""
    nodes: list[Node] = []
    loads, made = [], []
    for k, i in enumerate(first.reduces):
        n = kernel.nodes[i]
        loads.append(Operand(n.dtype, (count, pieces), (pieces, 1)))
        nodes.append(Node("load", (), n.dtype, k))
        nodes.append(Node("reduce", (len(nodes) - 1,), n.dtype, n.value))
        made.append(Result(len(nodes) - 1, (1 if count > 1 else 0, 0)))
    return Kernel((count, pieces), (1,), (), (*loads,), (*nodes,), (*made,))


def _pruned(kernel: Kernel) -> tuple[Kernel, list[int]]:
    """A kernel without nodes that nothing needs, and which operands it loads."""
    wanted = {r.node for r in kernel.results}
    for i in range(len(kernel.nodes) - 1, -1, -1):
        if i in wanted:
            wanted.update(kernel.nodes[i].operands)
    kept = sorted(wanted)
    place = {old: new for new, old in enumerate(kept)}
    loads = [*dict.fromkeys(kernel.nodes[i].value for i in kept if kernel.nodes[i].op == "load")]
    number = {old: new for new, old in enumerate(loads)}
    nodes = tuple(
        n._replace(
            operands=tuple(place[o] for o in n.operands),
            value=number[n.value] if n.op == "load" else n.value,
        )
        for n in (kernel.nodes[i] for i in kept)
    )
    results = tuple(r._replace(node=place[r.node]) for r in kernel.results)
    operands = tuple(kernel.operands[i] for i in loads)
    return kernel._replace(nodes=nodes, results=results, operands=operands), loads


# Where elements are -------------------------------------------------------------------------------


class Axes(NamedTuple):
    """Axes that are gone over together, the last of them innermost.

    Attributes
    ----------
    name : str
        What parameters of their lengths begin with.
    sizes : tuple of int
    strides : list of tuple of int
        Of each array, along them.
    """

    name: str
    sizes: tuple[int, ...]
    strides: list[tuple[int, ...]]

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.sizes)

    def params(self) -> dict[str, int]:
        """Their lengths but the first, which nothing is divided by."""
        return {f"{self.name}{a}": n for a, n in enumerate(self.sizes) if a}

    def coordinates(self, number: str) -> list[str]:
        """Statements that compute `name`'s coordinates from the number of an element."""
        lines, left = [], number
        for a in range(len(self.sizes) - 1, 0, -1):
            lines.append(f"let {self.name}c{a} = {left} % p.{self.name}{a};")
            lines.append(f"let {self.name}q{a} = {left} / p.{self.name}{a};")
            left = f"{self.name}q{a}"
        return [*lines, *([f"let {self.name}c0 = {left};"] if self.sizes else [])]

    def terms(self, array: int, label: str) -> tuple[list[str], dict[str, int]]:
        """Terms of the place of an element of an array, and the parameters that they name."""
        terms, params = [], {}
        for a, stride in enumerate(self.strides[array]):
            if stride == 1:
                terms.append(f"{self.name}c{a}")
            elif stride:
                params[f"{label}_{self.name}{a}"] = stride
                terms.append(f"{self.name}c{a} * p.{label}_{self.name}{a}")
        return terms, params


def _axes(name: str, shape: Sequence[int], strides: Sequence[Sequence[int]]) -> Axes:
    """Axes of a shape, as few as there can be."""
    sizes: list[int] = []
    found: list[list[int]] = [[] for _ in strides]
    for a, n in enumerate(shape):
        if n == 1:
            continue
        own = [s[a] for s in strides]
        if sizes and all(f[-1] == s * n for f, s in zip(found, own, strict=True)):
            sizes[-1] *= n
            for f, s in zip(found, own, strict=True):
                f[-1] = s
        else:
            sizes.append(n)
            for f, s in zip(found, own, strict=True):
                f.append(s)
    return Axes(name, tuple(sizes), [tuple(f) for f in found])


def _reach(kernel: Kernel, operands: Sequence[View]) -> int:
    """The most bytes of an array within which all that is read of it lies."""
    extents: dict[int, list[int]] = {}
    for o, view in zip(kernel.operands, operands, strict=True):
        seen = View(0, o.dtype, kernel.shape, o.strides, o.offset)
        ends = (n * itemsize(o.dtype) for n in seen.extent)
        extents.setdefault(view.var, []).extend(ends)
    return max((max(ends) - min(ends) for ends in extents.values()), default=0)


class _Loops:
    """A kernel being written.

    Attributes
    ----------
    arrays : list of tuple
        Label, memory, strides along the kernel's axes and offset of operands and results, and of
        the number of the element, if the kernel asks for it.
    params : dict of str to number
    fours : dict of str to str
        Names of arrays that are bound as arrays of four elements each, and what these are.
    steps : list of int
        If four elements are computed in a row, strides along it, of each array.
    """

    def __init__(
        self, to: Writer, kernel: Kernel, operands: Sequence[View], results: Sequence[View]
    ) -> None:
        self.to, self.kernel = to, kernel
        self.memory = operands
        self.results = results
        self.expressions = Expressions(kernel.nodes)
        self.params: dict[str, float] = {}
        self.fours: dict[str, str] = {}
        self.steps: list[int] = []
        # arrays bound once, however often they are read, unless that is too much of them
        apart = _reach(kernel, operands) > to.facts.limits.binding
        self.reads: dict[str, View] = {}
        bound: dict[int, str] = {}
        self.labels: list[tuple[str, str]] = []  # of each operand, and of what it is bound as
        for k, view in enumerate(operands):
            name = f"x{k}" if apart else bound.setdefault(view.var, f"x{k}")
            if name not in self.reads:
                self.reads[name] = view
            self.labels.append((f"x{k}", name))
        self.writes = {f"y{k}": view for k, view in enumerate(results)}
        self.strides = [o.strides for o in kernel.operands]
        for r, view in zip(kernel.results, results, strict=True):
            self.strides.append(along(r.strides, view))
        self.counted = any(n.op == "index" for n in kernel.nodes)
        if self.counted:
            self.strides.append(row_major(kernel.shape))

    def _reached(self) -> dict[str, View]:
        """What is bound to be read: all that the operands need of it."""
        reads = {}
        for name, view in self.reads.items():
            mine = [
                o for o, (_, n) in zip(self.kernel.operands, self.labels, strict=True) if n == name
            ]
            extents = [
                View(0, view.dtype, self.kernel.shape, o.strides, o.offset).extent for o in mine
            ]
            low, high = min(e[0] for e in extents), max(e[1] for e in extents)
            reads[name] = View(view.var, view.dtype, (high - low,), (1,), low)
        return reads

    def places(self, axes: Sequence[Axes]) -> dict[int, str]:
        """Place of the element of each array, in terms of coordinates along axes."""
        found = {}
        lows = {name: view.offset for name, view in self._reached().items()}
        for k in range(len(self.strides)):
            if k < len(self.labels):
                label, name = self.labels[k]
                first = self.kernel.operands[k].offset - lows[name]
                first //= 4 if name in self.fours else 1
                start = [f"p.{name}_0"]
                if first:
                    self.params[f"{label}_o"] = first
                    start.append(f"p.{label}_o")
            elif k < len(self.labels) + len(self.results):
                label = f"y{k - len(self.labels)}"
                start = [f"p.{label}_0"]
            else:
                label, start = "n", []
            for group in axes:
                terms, params = group.terms(k, label)
                start += terms
                self.params.update(params)
            found[k] = " + ".join(start) or "0u"
        return found

    def load(self, n: Node, places: dict[int, str]) -> str:
        """An element of an operand."""
        _, name = self.labels[n.value]
        return loaded(f"{name}[{places[n.value]}]", n.dtype)

    def store(self, j: int, places: dict[int, str], value: str) -> str:
        """Statement that stores an element of a result."""
        r = self.kernel.results[j]
        text = stored(value, self.kernel.nodes[r.node].dtype)
        return f"y{j}[{places[len(self.labels) + j]}] = {text};"

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
            elif n.op == "index":
                text = places[len(self.strides) - 1]
                if n.value:  # of the first element
                    self.params["n_first"] = n.value
                    text = f"p.n_first + {text}"
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
        names = [name for _, name in self.labels] + [*self.writes]
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
        at = len(self.labels)
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
        nodes, results, at = self.kernel.nodes, self.kernel.results, len(self.labels)
        loads = {i: nodes[i].value for i in numbers if nodes[i].op == "load" and i not in saved}
        lines = [f"let s{i} = y{j}[{places[at + j]}];" for i, j in saved.items()]
        for k in dict.fromkeys(loads.values()):
            label, name = self.labels[k]
            if name in self.fours or not self.steps[k]:
                lines.append(f"let q{k} = {name}[{places[k]}];")
            else:
                lines.append(f"let q{k} = {places[k]};")
                self.params[f"{label}_step"] = self.steps[k]
        lines += [f"var r{j}: {self.fours[f'y{j}']};" for j in stores]
        for c, component in enumerate("xyzw"):
            given = {i: loaded(f"s{i}.{component}", nodes[i].dtype) for i in saved}
            for i, k in loads.items():
                label, name = self.labels[k]
                text = f"q{k}"
                if name in self.fours:
                    text += f".{component}"
                elif self.steps[k]:
                    text = f"{name}[{text} + {c}u * p.{label}_step]"
                given[i] = loaded(text, nodes[i].dtype)
            for i in numbers:
                if nodes[i].op == "index":
                    given[i] = f"{places[len(self.strides) - 1]} + {c * self.steps[-1]}u"
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
        self.to.launch(label, text, reads=self._reached(), writes=writes, params=params, **options)


# Elements -----------------------------------------------------------------------------------------


class _Elements(_Loops):
    """Each element, or each four in a row, by an invocation, the last by all that are left over.

    A condition around them, or a return, takes half of llvmpipe's speed.
    """

    def write(self) -> None:
        axes = _axes("a", self.kernel.shape, self.strides)
        across = self._across(axes)
        if across is not None:
            self._in_tiles(axes, across)
            return
        (axes,) = self.by_four(axes)
        count = axes.size
        size = _GROUP if self.to.facts.kind == "cpu" else _WIDE
        body, groups = [], -(-count // size)
        if len(axes.sizes) > 1 and axes.sizes[-1] >= _SHORT:
            inner = Axes("i", axes.sizes[-1:], [s[-1:] for s in axes.strides])
            axes = Axes("a", axes.sizes[:-1], [s[:-1] for s in axes.strides])
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
        self.params.update(axes.params())
        places = self.places(over)
        nodes, results = range(len(self.kernel.nodes)), range(len(self.kernel.results))
        body += self.of_each(nodes, places, results)
        self.launch("elements", body, groups=groups, size=(size, 1, 1))

    def _across(self, axes: Axes) -> int | None:
        """Axis along which elements of an operand lie side by side that do not along the last."""
        if self.to.facts.kind == "cpu" or len(axes.sizes) < 2:
            return None
        for strides in axes.strides[: len(self.labels)]:
            if strides[-1] > 1 and 1 in strides:
                a = strides.index(1)
                if min(axes.sizes[a], axes.sizes[-1]) >= _TILE:
                    return a
        return None

    def _in_tiles(self, axes: Axes, across: int) -> None:
        """Each workgroup computes a square, so that what it loads lies side by side as well."""
        others = [a for a in range(len(axes.sizes) - 1) if a != across]

        def along(name: str, *chosen: int) -> Axes:
            of_each = [tuple(s[a] for a in chosen) for s in axes.strides]
            return Axes(name, tuple(axes.sizes[a] for a in chosen), of_each)

        last = along("i", len(axes.sizes) - 1)
        second, outer = along("j", across), along("a", *others)
        columns, rows = (-(-its.size // _TILE) for its in (last, second))
        self.params |= {"columns": columns, "rows": rows, "last": last.size, "second": second.size}
        self.params.update(outer.params())
        body = [
            f"let ic0 = min((group % p.columns) * {_TILE}u + lane % {_TILE}u, p.last - 1u);",
            "let band = group / p.columns;",
            f"let jc0 = min((band % p.rows) * {_TILE}u + lane / {_TILE}u, p.second - 1u);",
            "let square = band / p.rows;",
            *outer.coordinates("square"),
        ]
        nodes, results = range(len(self.kernel.nodes)), range(len(self.kernel.results))
        body += self.of_each(nodes, self.places([outer, second, last]), results)
        groups = columns * rows * outer.size
        self.launch("squares of elements", body, groups=groups, size=(_TILE * _TILE, 1, 1))


# Rows ---------------------------------------------------------------------------------------------


class _Rows(_Loops):
    """Each row by a workgroup."""

    def __init__(self, to: Writer, kernel: Kernel, *memory: Sequence[View]) -> None:
        super().__init__(to, kernel, *memory)
        rows, others = kernel.rows, [a for a in range(len(kernel.shape)) if a not in kernel.rows]
        inner = _axes("r", [kernel.shape[a] for a in rows], self._of(rows))
        outer = _axes("a", [kernel.shape[a] for a in others], self._of(others))
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

    def _of(self, axes: Sequence[int]) -> list[tuple[int, ...]]:
        return [tuple(s[a] for a in axes) for s in self.strides]

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
        self.params["piece"] = _PIECE // 4 if self.steps else _PIECE
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


class _Folds(_Loops):
    """Each sum by an invocation, or by some if it is long."""

    def write(self) -> None:
        kernel = self.kernel
        folds, others = kernel.folds, [a for a in range(len(kernel.shape)) if a not in kernel.folds]
        length = math.prod(kernel.shape[a] for a in folds)
        count = _kept(kernel)
        busy = _BUSY.get(self.to.facts.kind, 1 << 19)
        pieces = max(1, min(-(-length // 64), -(-busy // count)))
        pieces = max(pieces, -(-length // _LONG))
        piece = -(-length // pieces)
        pieces = -(-length // piece)
        chosen = [j for j, r in enumerate(kernel.results) if r.fold is not None]
        writes = dict(self.writes)
        if pieces > 1:
            parts = [
                self.to.scratch(kernel.nodes[kernel.results[j].node].dtype, (pieces, count))
                for j in chosen
            ]
            for j, part in zip(chosen, parts, strict=True):
                writes[f"y{j}"] = part
                kept = iter(row_major(tuple(kernel.shape[a] for a in others)))
                place = len(self.labels) + j
                self.strides[place] = tuple(
                    0 if a in folds else next(kept) for a in range(len(kernel.shape))
                )
        inner = _axes("r", [kernel.shape[a] for a in folds], self._of(folds))
        outer = _axes("a", [kernel.shape[a] for a in others], self._of(others))
        across = -(-count // _GROUP)
        self.params |= {"count": count, "columns": across, "length": length, "piece": piece}
        self.params |= {**inner.params(), **outer.params()}
        places = self.places([outer, inner])
        totals = self.places([outer])
        body = [f"let column = (group % p.columns) * {_GROUP}u + lane;"]
        body += ["if column >= p.count { return; }", "let at_piece = group / p.columns;"]
        body += outer.coordinates("column")
        body += ["let until = min(p.length, (at_piece + 1u) * p.piece);"]
        for j in chosen:
            r = kernel.results[j]
            body += [f"var t{j} = {identity(r.fold or '', kernel.nodes[r.node].dtype)};"]
        body += ["for (var element = at_piece * p.piece; element < until; element++) {"]
        inside = [*inner.coordinates("element")]
        inside += self.computed(range(len(kernel.nodes)), places, {})
        for j, r in enumerate(kernel.results):
            if r.fold is None:
                inside += [self.store(j, places, f"n{r.node}")]
            else:
                dtype = kernel.nodes[r.node].dtype
                inside += [f"t{j} = {merged(r.fold, f't{j}', f'n{r.node}', dtype)};"]
        body += [f"  {line}" for line in inside] + ["}"]
        for j in chosen:
            goal = totals[len(self.labels) + j]
            goal += " + at_piece * p.count" if pieces > 1 else ""
            value = stored(f"t{j}", kernel.nodes[kernel.results[j].node].dtype)
            body += [f"y{j}[{goal}] = {value};"]
        self.launch("sums", body, groups=across * pieces, writes=writes)
        if pieces > 1:
            self._finish(chosen, parts, pieces, count, others)

    def _of(self, axes: Sequence[int]) -> list[tuple[int, ...]]:
        return [tuple(s[a] for a in axes) for s in self.strides]

    def _finish(
        self, chosen: Sequence[int], parts: Sequence[View], pieces: int, count: int, others: Any
    ) -> None:
        """Fold what pieces gave."""
        kept = tuple(self.kernel.shape[a] for a in others)
        for j, part in zip(chosen, parts, strict=True):
            r = self.kernel.results[j]
            dtype = self.kernel.nodes[r.node].dtype
            load = Operand(dtype, (pieces, *kept), (count, *row_major(kept)))
            own = tuple(r.strides[a] for a in others)
            loops(
                self.to,
                Kernel(
                    (pieces, *kept),
                    (),
                    (0,),
                    (load,),
                    (Node("load", (), dtype, 0),),
                    (Result(0, (0, *own), r.fold),),
                ),
                [part],
                [self.results[j]],
            )
