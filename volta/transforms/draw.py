"""Pictures of programs: `draw` lays a Wengert list out in layers and writes it as SVG.

In reading order: what is drawn (`_boxes`), where it goes (`_arrange`), how it looks (`_svg`).
"""

import functools
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from volta.core import tree
from volta.core.keywords import suggesting
from volta.core.trace import located
from volta.core.wengert import Entry, Literal, WengertList, carried
from volta.transforms.arguments import array_leaves, name_of, split_modules
from volta.transforms.lines import Line, argument_names, line_of
from volta.transforms.trace import trace

__all__ = ["Drawing", "draw"]


class Drawing:
    """Picture of a program; a notebook shows it.

    Attributes
    ----------
    svg : str
        The picture.
    dot : str
        The same graph as Graphviz text.
    """

    __slots__ = ("dot", "svg")

    def __init__(self, svg: str, dot: str) -> None:
        self.svg, self.dot = svg, dot

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<drawing of {len(self.svg)} characters of SVG>"

    def save(self, path: Any) -> None:
        """Write the picture to a file, ``.svg`` or ``.dot``.

        Parameters
        ----------
        path : str or path
            Its suffix chooses the format.

        Raises
        ------
        ValueError
            If the suffix is another one.
        """
        target = Path(path)
        texts = {".svg": self.svg, ".dot": self.dot}
        if target.suffix not in texts:
            msg = (
                f"draw: the file must end in .svg or .dot; got {target.name!r}. Browsers and "
                "rsvg-convert make other formats of an SVG."
            )
            raise located(ValueError(msg))
        target.write_text(texts[target.suffix], encoding="utf-8")


@suggesting
def draw(
    fun: Callable[..., Any],
    static_argnums: int | tuple[int, ...] = (),
    *,
    max_boxes: int = 40,
) -> Callable[..., Drawing]:
    """Return a function that draws what `fun` does to arrays like its arguments.

    Parameters
    ----------
    fun : callable
        Function of trees of arrays. ``draw(grad(fun))`` draws the backward sweep too.
    static_argnums : int or tuple of int
        Positional arguments passed as they are, as for `trace`.
    max_boxes : int
        With more operations than that, those that follow each other and come from one line of the
        source are drawn as one box, the longest runs first; then neighbours, until there are so
        many boxes. The picture says so.

    Returns
    -------
    callable
        Same arguments as `fun`; returns a `Drawing`, with the picture as ``svg`` and as Graphviz
        text (``dot``), shown by notebooks, and with a method ``save(path)``.

    Raises
    ------
    TraceError
        If the function asks a traced array for a concrete value.
    ValueError
        If `max_boxes` is less than 1.

    Notes
    -----
    A box has the operation's name, with numbers among its operands, the type of its result and
    the user's line, whose text shows where the pointer rests on it; of loops, branches and
    checkpoints it says how many operations are inside. Each is as far down as its
    longest way from an input; inputs stand above what uses them first. Within the layers, boxes
    are ordered by the means of their neighbours' places (K. Sugiyama et al., "Methods for visual
    understanding of hierarchical system structures", IEEE Trans. Syst. Man Cybern. 11, 1981), and
    put as near to those as their order allows, in the sense of least squares.

    Examples
    --------
    >>> drawing = volta.draw(lambda x: F.sum(F.exp(x) * 2.0))(np.ones(3))
    >>> drawing.svg.startswith("<svg")
    True
    >>> print(drawing.dot)  # doctest: +ELLIPSIS
    digraph {
      ...
    }
    """
    where = f"draw({name_of(fun)})"
    if max_boxes < 1:
        msg = f"{where}: max_boxes must be at least 1; got {max_boxes}."
        raise located(ValueError(msg))

    @functools.wraps(fun, updated=())
    def drawn(*args: Any, **kwargs: Any) -> Drawing:
        listed = trace(fun, static_argnums)(*args, **kwargs)
        boxes, title = _boxes(fun, listed, _names(fun, static_argnums, args, kwargs), max_boxes)
        return Drawing(_svg(boxes, title), _dot(boxes, title))

    return drawn


def _names(
    fun: Callable[..., Any], static: int | tuple[int, ...], args: Any, kwargs: Any
) -> list[str]:
    """Names of the list's inputs, which are the leaves of what is not static."""
    numbers = {n % len(args) for n in ((static,) if isinstance(static, int) else static)}
    kept = tuple(None if i in numbers else split_modules(a)[0] for i, a in enumerate(args))
    _, spec = array_leaves((kept, kwargs), "draw")
    return argument_names(fun, spec)


# What is drawn -----------------------------------------------------------------------------------


class _Box:
    """A box of the picture: lines of text, and where it gets its arrows from."""

    __slots__ = ("above", "below", "family", "height", "layer", "rows", "title", "width", "x", "y")

    def __init__(self, family: str, rows: list[tuple[str, str]], title: str = "") -> None:
        self.family, self.rows, self.title = family, rows, title
        self.above: list[_Box] = []
        self.below: list[_Box] = []
        self.layer = 0
        self.x = self.y = 0.0
        self.width = (
            max((len(text) * _WIDTHS[style] for text, style in rows), default=0.0) + 2 * _PADDING
        )
        self.height = len(rows) * _ROW + _PADDING if rows else 0.0

    def takes(self, other: "_Box") -> None:
        """Add an arrow from `other`."""
        if other is not self and other not in self.above:
            self.above.append(other)
            other.below.append(self)


_WIDTHS: Final = {"name": 7.9, "type": 6.7, "line": 5.7}  # of a letter, in pixels
_PADDING: Final = 12
_ROW: Final = 16
_FAMILIES: Final = {  # fill and stroke
    "input": ("#fef6d8", "#b98a00"),
    "constant": ("#ffffff", "#a0a4ab"),
    "elementwise": ("#e9f1fc", "#3f77c4"),
    "product": ("#fcebdd", "#c8701b"),
    "reduction": ("#e6f5e9", "#36894c"),
    "movement": ("#f0f1f3", "#7d838e"),
    "other": ("#f2eafa", "#8452b8"),
    "run": ("#ffffff", "#4a5160"),
    "result": ("#2d3440", "#2d3440"),
}
_PRODUCTS: Final = frozenset(("matmul", "convolve", "solve", "inv"))
_MOVEMENTS: Final = frozenset(
    [
        *("astype", "basic_slice", "broadcast_to", "concat", "embed_add", "embed_slice", "flip"),
        *("gather", "permute_dims", "permuted", "reshape", "restored", "roll", "scatter"),
        *("slice_update", "transfer", "tril", "triu", "unstack"),
    ]
)


def _family(e: Entry) -> str:
    primitive = e.primitive
    if primitive.elementwise:
        return "elementwise"
    if primitive.name in _PRODUCTS:
        return "product"
    if primitive.name in _MOVEMENTS:
        return "movement"
    return "reduction" if {"axis", "keepdims"} <= {*e.params} else "other"


def _boxes(
    fun: Callable[..., Any], listed: WengertList, names: list[str], most: int
) -> tuple[list[_Box], str]:
    """Boxes in the order of the list, and the title."""
    made: dict[Any, _Box] = {}  # variable to the box it comes out of
    boxes: list[_Box] = []
    for var, name in zip(listed.inputs, names, strict=True):
        rows = [(_cut(name, 40), "name"), (str(listed.types[var]), "type")]
        boxes.append(_Box("input", rows))
        made[var] = boxes[-1]
    used = {o for e in listed.entries for o in e.operands} | {*listed.outputs}
    for var in listed.captured:
        if var in used:
            boxes.append(_Box("constant", [("captured", "line"), (str(listed.types[var]), "type")]))
            made[var] = boxes[-1]
    runs = _runs(listed.entries, most)
    for run in runs:
        box = _entry(listed, run[0]) if len(run) == 1 else _run(listed, run)
        boxes.append(box)
        for e in run:
            for o in e.operands:
                if type(o) is not Literal:
                    box.takes(made[o])
            made.update(dict.fromkeys(e.results, box))
    outputs = tree.flatten_with_path(listed.rebuild(list(range(len(listed.outputs)))))[0]
    for path, i in outputs:
        o = listed.outputs[i]
        kind = repr(o.value) if type(o) is Literal else str(listed.types[o])
        box = _Box("result", [("result" + tree.keystr(path), "name"), (kind, "type")])
        boxes.append(box)
        if type(o) is not Literal:
            box.takes(made[o])
    count = f"{len(listed)} operation{'s' * (len(listed) != 1)}"
    if len(runs) < len(listed):
        count += f" in {len(runs)} boxes: runs are drawn as one"
    return boxes, f"{name_of(fun)}: {count}"


def _entry(listed: WengertList, e: Entry) -> _Box:
    name = e.primitive.name
    if any(type(o) is Literal for o in e.operands):
        shown = [f"{o.value:.4g}" if type(o) is Literal else "·" for o in e.operands]
        name += f"({', '.join(shown)})"
    rows = [(_cut(name, 32), "name")]
    inside = sum(map(len, carried(e)))
    words = f"{inside} operations inside" if inside else ""
    if not inside:
        words = ", ".join(f"{k}={v}" for k, v in e.params.items() if k not in _UNSAID)
    rows += [(_cut(words, 36), "line")] if words else []
    rows.append((_cut(", ".join(str(listed.types[r]) for r in e.results), 44), "type"))
    line = line_of(e.code, e.offset)
    rows.append((_cut(str(line), 40), "line"))
    return _Box(_family(e), rows, line.text)


_UNSAID: Final = frozenset(("call", "device", "keepdims", "library", "source", "stable"))


def _run(listed: WengertList, run: list[Entry]) -> _Box:
    """One box for several entries."""
    counted = Counter(e.primitive.name for e in run)
    words = ", ".join(f"{n} ×{k}" if k > 1 else n for n, k in counted.items())
    lines = list(dict.fromkeys(line_of(e.code, e.offset) for e in run))
    result = listed.types[run[-1].results[-1]]
    head, told = f"{len(run)} operations", f"{lines[0]} and {len(lines) - 1} more"
    if len(lines) == 1:
        head, told = lines[0].text or head, f"{lines[0]}, {head}"
    rows = [(_cut(head, 40), "name"), (_cut(words, 48), "line")]
    rows += [(f"… {result}", "type"), (_cut(told, 48), "line")]
    return _Box("run", rows, f"{words}\n" + "\n".join(x.text for x in lines))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _runs(entries: list[Entry], most: int) -> list[list[Entry]]:
    """Entries in runs of the list, of one each if they are few enough.

    Runs are neighbours in the order of execution, so that no arrow between them points up.
    """
    runs: list[list[Entry]] = []
    before: Line | None = None
    for e in entries:
        line = line_of(e.code, e.offset)
        if line == before:
            runs[-1].append(e)
        else:
            runs.append([e])
        before = line
    left = len(entries)
    whole = set()
    for run in sorted(runs, key=len, reverse=True):
        if left <= most:
            break
        whole.add(id(run))
        left -= len(run) - 1
    if left <= most:
        return [r for run in runs for r in ([run] if id(run) in whole else [[e] for e in run])]
    return _merged(runs, most)


def _merged(runs: list[list[Entry]], most: int) -> list[list[Entry]]:
    """Runs joined with their neighbours, the shortest first, until there are at most so many."""
    after = [*range(1, len(runs)), -1]
    ahead = [-1, *range(len(runs) - 1)]
    pairs = [(len(runs[i]) + len(runs[j]), i, j) for i, j in pairwise(range(len(runs)))]
    heapq.heapify(pairs)
    left = len(runs)
    while left > most:
        size, i, j = heapq.heappop(pairs)
        if after[i] != j or not runs[i] or size != len(runs[i]) + len(runs[j]):
            continue  # one of the two has grown
        runs[i] += runs[j]
        runs[j] = []
        left -= 1
        after[i] = k = after[j]
        if k >= 0:
            ahead[k] = i
            heapq.heappush(pairs, (len(runs[i]) + len(runs[k]), i, k))
        if ahead[i] >= 0:
            heapq.heappush(pairs, (len(runs[i]) + len(runs[ahead[i]]), ahead[i], i))
    return [r for r in runs if r]


# Where it goes -----------------------------------------------------------------------------------

_ACROSS: Final = 26.0  # between boxes of a layer
_DOWN: Final = 44.0  # between layers


def _arrange(boxes: list[_Box]) -> tuple[list[list[_Box]], dict[tuple[int, int], list[_Box]]]:
    """Give boxes their places; returns the layers, and the bends of arrows that cross layers."""
    for box in boxes:  # in the order of the list: what is above comes before
        box.layer = max((a.layer + 1 for a in box.above), default=0)
    for box in reversed(boxes):
        if not box.above and box.below:
            box.layer = min(b.layer for b in box.below) - 1
    layers: list[list[_Box]] = [[] for _ in range(max((b.layer for b in boxes), default=0) + 1)]
    for box in boxes:
        layers[box.layer].append(box)
    bends: dict[tuple[int, int], list[_Box]] = {}
    links: dict[int, tuple[list[_Box], list[_Box]]] = {id(b): ([], []) for b in boxes}
    for box in boxes:
        for source in box.above:
            way = [_Box("bend", []) for _ in range(source.layer + 1, box.layer)]
            bends[id(source), id(box)] = way
            for layer, bend in enumerate(way, source.layer + 1):
                bend.layer, bend.width = layer, 4.0
                layers[layer].append(bend)
                links[id(bend)] = ([], [])
            for a, b in zip([source, *way], [*way, box], strict=True):
                links[id(a)][1].append(b)
                links[id(b)][0].append(a)
    _order(layers, links)
    _place(layers, links)
    return layers, bends


Links = dict[int, tuple[list[_Box], list[_Box]]]


def _order(layers: list[list[_Box]], links: Links) -> None:
    """Order each layer by the means of neighbours' ranks; the fewest crossings win."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers, links)
    for sweep in range(24):
        down = sweep % 2 == 0
        for layer in layers[1:] if down else layers[-2::-1]:
            nearby = layers[layer[0].layer + (-1 if down else 1)] if layer else []
            rank = {id(b): i for i, b in enumerate(nearby)}
            means = {
                id(b): sum(rank[id(n)] for n in near) / len(near)
                if (near := links[id(b)][0 if down else 1])
                else float(i)
                for i, b in enumerate(layer)
            }
            layer.sort(key=lambda b, means=means: means[id(b)])  # type: ignore[misc]  # mypy 4226
        found = _crossings(layers, links)
        if found < fewest:
            best, fewest = [list(layer) for layer in layers], found
        if not fewest:
            break
    layers[:] = best


def _crossings(layers: list[list[_Box]], links: Links) -> int:
    """Number of pairs of arrows that cross."""
    total = 0
    for upper, lower in pairwise(layers):
        rank = {id(b): i for i, b in enumerate(lower)}
        ends = [r for b in upper for r in sorted(rank[id(n)] for n in links[id(b)][1])]
        total += sum(1 for i, a in enumerate(ends) for b in ends[i + 1 :] if b < a)
    return total


_PULL: Final = (8.0, 2.0, 1.0)  # of an arrow between bends, to a box, between boxes


def _place(layers: list[list[_Box]], links: Links) -> None:
    """Put each box at its neighbours' mean, as far as the order of the layer allows."""
    for layer in layers:
        x = 0.0
        for box in layer:
            box.x = x + box.width / 2
            x += box.width + _ACROSS
    for sweep in range(60):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            wanted, weights = [], []
            for box in layer:
                above, below = links[id(box)]
                near = [*above, *below] if sweep > 20 else (above if down else below)
                pulls = [(_PULL[bool(box.rows) + bool(n.rows)], n.x) for n in near]
                total = sum(p for p, _ in pulls)
                wanted.append(sum(p * x for p, x in pulls) / total if near else box.x)
                weights.append(total if near else 0.05)
            _settle(layer, wanted, weights)
    y = 0.0
    for layer in layers:
        height = max((b.height for b in layer), default=0.0)
        for box in layer:
            box.y = y + height / 2
            if not box.rows:
                box.height = height
        y += height + _DOWN


def _settle(layer: list[_Box], wanted: list[float], weights: list[float]) -> None:
    """Places nearest to those wanted, in order and apart: isotonic regression."""
    offset = [0.0]
    for a, b in pairwise(layer):
        gap = _ACROSS if a.rows and b.rows else _ACROSS * 0.6
        offset.append(offset[-1] + (a.width + b.width) / 2 + gap)
    blocks: list[list[float]] = []  # sum of weight·place, weight, number
    for place, start, weight in zip(wanted, offset, weights, strict=True):
        blocks.append([weight * (place - start), weight, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            last = blocks.pop()
            blocks[-1] = [p + q for p, q in zip(blocks[-1], last, strict=True)]
    means = [total / weight for total, weight, n in blocks for _ in range(int(n))]
    for box, mean, start in zip(layer, means, offset, strict=True):
        box.x = mean + start


# How it looks ------------------------------------------------------------------------------------

_STYLE: Final = """
text { font-family: ui-sans-serif, system-ui, "Segoe UI", Helvetica, "DejaVu Sans", sans-serif;
       text-anchor: middle; fill: #232830 }
.name { font-size: 13px; font-weight: 600 }
.type { font-size: 11px; font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.line { font-size: 10.5px; fill: #69707c }
.head { font-size: 15px; font-weight: 600; text-anchor: start }
.key { font-size: 11px; text-anchor: start; fill: #4a5160 }
.dark { fill: #ffffff }
.arrow { fill: none; stroke: #8a919d; stroke-width: 1.3 }
""".strip()
_KEYS: Final = (
    "input",
    "elementwise",
    "product",
    "reduction",
    "movement",
    "other",
    "run",
    "result",
)
_MARGIN: Final = 28.0
_HEAD: Final = 72.0


def _svg(boxes: list[_Box], title: str) -> str:
    layers, bends = _arrange(boxes)
    every = [b for layer in layers for b in layer]
    left = min((b.x - b.width / 2 for b in every), default=0.0)
    right = max((b.x + b.width / 2 for b in every), default=0.0)
    for box in every:
        box.x += _MARGIN - left
        box.y += _HEAD
    families = [f for f in _KEYS if any(b.family == f for b in boxes)]
    keys, keys_end = _legend(families)
    width = max(right - left, keys_end - _MARGIN, 8.4 * len(title)) + 2 * _MARGIN
    height = max((b.y + b.height / 2 for b in every), default=_HEAD) + _MARGIN
    shift = (width - 2 * _MARGIN - (right - left)) / 2
    for box in every:
        box.x += shift
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0.8 7 4 0 7.2z" fill="#8a919d"/></marker>'
        "</defs>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="#ffffff"/>',
        f'<text class="head" x="{_MARGIN:.0f}" y="30">{escape(title)}</text>',
        *keys,
        *_arrows(boxes, bends),
        *(line for box in boxes for line in _drawn(box)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _legend(families: Iterable[str]) -> tuple[list[str], float]:
    """Little boxes with the families' names, and where they end."""
    parts, x = [], _MARGIN
    for family in families:
        fill, stroke = _FAMILIES[family]
        word = "run of operations" if family == "run" else family
        parts.append(
            f'<rect x="{x:.1f}" y="43" width="12" height="12" rx="3" fill="{fill}" '
            f'stroke="{stroke}"/><text class="key" x="{x + 18:.1f}" y="53">{word}</text>'
        )
        x += 18 + 7.0 * len(word) + 18
    return parts, x


def _arrows(boxes: list[_Box], bends: dict[tuple[int, int], list[_Box]]) -> list[str]:
    parts = []
    for box in boxes:
        ways = [(source, bends[id(source), id(box)]) for source in box.above]
        ways.sort(key=lambda way: (way[1][-1] if way[1] else way[0]).x)
        for i, (source, way) in enumerate(ways):
            x = box.x + box.width * 0.7 * ((i + 1) / (len(ways) + 1) - 0.5)
            end = (x, box.y - box.height / 2 - 1)
            parts.append(
                f'<path class="arrow" d="{_curve(source, way, end)}" marker-end="url(#tip)"/>'
            )
    return parts


def _curve(source: _Box, way: Sequence[_Box], end: tuple[float, float]) -> str:
    """Smooth path from the lower side of a box through bends, upright at each."""
    x, y = source.x, source.y + source.height / 2
    path = [f"M{x:.1f} {y:.1f}"]
    stops = [(b.x, b.y - b.height / 2, b.y + b.height / 2) for b in way]
    for to_x, top, bottom in [*stops, (*end, end[1])]:
        middle = (y + top) / 2
        path.append(f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {top:.1f}")
        if bottom > top:
            path.append(f"V{bottom:.1f}")
        x, y = to_x, bottom
    return "".join(path)


def _drawn(box: _Box) -> list[str]:
    fill, stroke = _FAMILIES[box.family]
    x, y = box.x - box.width / 2, box.y - box.height / 2
    round_ = box.height / 2 if box.family in ("input", "result") else 6
    dash = ' stroke-dasharray="4 3"' if box.family == "constant" else ""
    shape = (
        f'<rect x="{{:.1f}}" y="{{:.1f}}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'rx="{round_:.0f}" fill="{fill}" stroke="{stroke}" stroke-width="1.2"{dash}/>'
    )
    parts = ["<g>"]
    if box.title:
        parts.append(f"<title>{escape(box.title)}</title>")
    if box.family == "run":
        parts.append(shape.format(x + 4, y + 4))
    parts.append(shape.format(x, y))
    dark = " dark" if box.family == "result" else ""
    for i, (text, style) in enumerate(box.rows):
        base = y + _PADDING / 2 + _ROW * i + 12
        parts.append(
            f'<text class="{style}{dark}" x="{box.x:.1f}" y="{base:.1f}">{escape(text)}</text>'
        )
    return [*parts, "</g>"]


def _dot(boxes: list[_Box], title: str) -> str:
    """The graph in Graphviz's language."""

    def quoted(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + escaped.replace("\n", "\\n") + '"'

    lines = ["digraph {", f"  label={quoted(title)}; labelloc=t; fontname=Helvetica"]
    lines.append("  node [shape=box, style=filled, fontname=Helvetica, fontsize=11]")
    number = {id(box): f"n{i}" for i, box in enumerate(boxes)}
    for box in boxes:
        fill, stroke = _FAMILIES[box.family]
        label = quoted("\n".join(text for text, _ in box.rows))
        font = ", fontcolor=white" if box.family == "result" else ""
        lines.append(
            f'  {number[id(box)]} [label={label}, fillcolor="{fill}", color="{stroke}"{font}]'
        )
    lines += [f"  {number[id(a)]} -> {number[id(b)]}" for b in boxes for a in b.above]
    return "\n".join([*lines, "}"]) + "\n"
