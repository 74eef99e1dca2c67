"""Maxima and sums of windows, what these are transposed, and what lies at indices of maxima.

An invocation computes a window from its elements, or an element from the windows that it is in: no
two write to one place, and sums are the same each time. Axes before those of the windows are lanes.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from volta.functional.windowed import Windows
from volta.wgpu.kernels.elements import each, key, loaded, place, split, stored
from volta.wgpu.launch import COMPUTED, STORED, View, Writer

__all__ = ["is_looped", "max_places", "max_windows", "pick", "put", "spread_windows", "sum_windows"]

# Turns of an invocation: llvmpipe stops after 65,535 steps, of which one of three loops takes six
_LONG: Final = 1 << 13


def is_looped(name: str, windows: Windows) -> bool:
    """Whether a primitive is computed by a kernel below, not by other operations.

    Windows that are long runs are rows, which workgroups reduce or which are broadcast.
    """
    if windows.runs and name in ("max_windows", "spread_windows", "sum_windows"):
        return False
    if name in ("put", "spread_windows"):
        axes = zip(windows.kernel, windows.stride, windows.dilation, windows.places, strict=True)
        return math.prod(min(m, d * (k - 1) // s + 1) for k, s, d, m in axes) <= _LONG
    return name == "pick" or windows.taps <= _LONG


class _Body(NamedTuple):
    """WGSL before a loop, of each of its steps, and of what is stored after it."""

    before: str
    step: str
    result: str


# Windows ------------------------------------------------------------------------------------------


def max_windows(to: Writer, x: View, out: View, *, windows: Windows) -> None:
    """List a kernel of the largest element of each window, or NaN if it has one.

    Parameters
    ----------
    to : Writer
    x : View, shape (*lanes, *lengths)
    out : View, shape (*lanes, *places), dtype of x
    windows : Windows
    """
    _maxima(to, "maxima of windows", x, out, windows, "x_at", "x[best]")


def max_places(to: Writer, x: View, out: View, *, windows: Windows) -> None:
    """List a kernel of the index of each maximum, in the flattened lengths; see `max_windows`.

    Of equals it is that of the first, and of NaNs that of the last. `out` is of integers.
    """
    index = f"{STORED[out.dtype.name]}(best)"
    number = _number("e", "length", len(windows.kernel))
    _maxima(to, "indices of maxima of windows", x, out, windows, number, index)


def _maxima(
    to: Writer, label: str, x: View, out: View, windows: Windows, number: str, result: str
) -> None:
    """From the last element to the first: an equal one takes the place of what was found."""
    kind, function = key(x.dtype)
    is_number = f" & (most != ~{kind}())" if x.dtype.kind == "float" else ""  # a NaN stays
    step = f"""
let other = key(x[x_at]);
if (other >= most){is_number} {{
  most = other;
  best = {number};
}}"""
    body = _Body(f"var most = {kind}();\nvar best = 0u;", step, result)
    _of_windows(to, label, x, out, windows, body, function)


def sum_windows(to: Writer, x: View, out: View, *, windows: Windows) -> None:
    """List a kernel of the sum of each window; see `max_windows`."""
    body = _sum(f"total += {loaded('x[x_at]', x.dtype)};", out)
    _of_windows(to, "sums of windows", x, out, windows, body)


def _sum(step: str, out: View) -> _Body:
    before = f"var total = {COMPUTED[out.dtype.name]}();"
    return _Body(before, step, stored("total", out.dtype))


def _of_windows(
    to: Writer, label: str, x: View, out: View, windows: Windows, body: _Body, outside: str = ""
) -> None:
    """List a kernel that goes over the elements of each window, from the last to the first."""
    loops: list[str] = []
    params: dict[str, int] = {}
    for a, (n, k, s, p, d, _) in enumerate(zip(*windows, strict=True)):
        params |= {f"length{a}": n, f"kernel{a}": k, f"stride{a}": s, f"dilation{a}": d}
        params |= {f"last{a}": d * (k - 1) - p}
        loops += [
            f"for (var j{a} = 0u; j{a} < p.kernel{a}; j{a}++) {{",
            f"let e{a} = c{a} * p.stride{a} + p.last{a} - j{a} * p.dilation{a};",
            f"if e{a} >= p.length{a} {{ continue; }}",  # what is before the first is, too
        ]
    _looped(to, label, {"x": x}, out, windows, loops, body, params, outside)


# Elements -----------------------------------------------------------------------------------------


def spread_windows(to: Writer, ct: View, out: View, *, windows: Windows) -> None:
    """List a kernel that adds what each window has to all of its elements.

    Parameters
    ----------
    to : Writer
    ct : View, shape (*lanes, *places)
    out : View, shape (*lanes, *lengths), dtype of ct
    windows : Windows
    """
    body = _sum(f"total += {loaded('ct[ct_at]', ct.dtype)};", out)
    _of_elements(to, "windows spread", {"ct": ct}, out, windows, body)


def put(to: Writer, ct: View, places: View, out: View, *, windows: Windows) -> None:
    """List a kernel that adds what each window has to one of its elements; see `spread_windows`.

    `places` are their indices, of the shape of `ct`, as `max_places` has them.
    """
    index = _number("c", "length", len(windows.kernel))
    added = f"total += {loaded('ct[ct_at]', ct.dtype)};"
    body = _sum(f"if u32(places[places_at]) == index {{ {added} }}", out)
    body = body._replace(before=f"{body.before}\nlet index = {index};")
    reads = {"ct": ct, "places": places}
    _of_elements(to, "windows put", reads, out, windows, body)


def _of_elements(
    to: Writer, label: str, reads: Mapping[str, View], out: View, windows: Windows, body: _Body
) -> None:
    """List a kernel that goes over the windows each element is in, from the last to the first."""
    loops: list[str] = []
    params: dict[str, int] = {}
    for a, (n, k, s, p, d, m) in enumerate(zip(*windows, strict=True)):
        params |= {f"stride{a}": s, f"padding{a}": p, f"windows{a}": m, f"reach{a}": d * (k - 1)}
        params |= {f"length{a}": n} | ({f"dilation{a}": d} if d > 1 else {})
        tap = f"(y{a} - e{a} * p.stride{a})"
        last, near = f"e{a} = y{a} / p.stride{a}", f"{tap} <= p.reach{a}"
        there = f"(e{a} < p.windows{a})" + (f" & ({tap} % p.dilation{a} == 0u)" if d > 1 else "")
        loops += [f"let y{a} = c{a} + p.padding{a};"]
        if d * (k - 1) < s:  # one window at most: as a loop it took llvmpipe half as long again
            loops += [f"let {last};", f"if ({near}) & {there} {{"]
        else:  # windows before the first have numbers beyond the last
            loops += [f"for (var {last}; {near}; e{a}--) {{", f"if !({there}) {{ continue; }}"]
    _looped(to, label, reads, out, windows, loops, body, params)


def _looped(
    to: Writer,
    label: str,
    reads: Mapping[str, View],
    out: View,
    windows: Windows,
    loops: list[str],
    body: _Body,
    params: dict[str, int],
    outside: str = "",
) -> None:
    """List a kernel of results at ``c0, c1, …``, whose loops are over ``e0, e1, …`` of arrays."""
    nd = len(windows.kernel)
    lanes = range(len(out.shape) - nd)
    lines, found, places = ["var row = i;"], [], [place("out", out)]
    for a in reversed(range(nd)):
        params |= {f"size{a}": out.shape[a - nd]}
        lines += [f"let c{a} = row % p.size{a};", f"row /= p.size{a};"]
    for name, view in reads.items():
        places += [place(name, view, lanes)]
        params |= {f"{name}_along{a}": view.strides[a - nd] for a in range(nd)}
        lines += [f"let {name}_first = {name}_place(row);"]
        terms = [f"{name}_first", *(f"e{a} * p.{name}_along{a}" for a in range(nd))]
        found += [f"let {name}_at = {' + '.join(terms)};"]
    lines += [body.before, *loops, *found, body.step, "}" * nd]
    each(
        to,
        label,
        math.prod(out.shape),
        "\n".join([*lines, f"out[out_place(i)] = {body.result};"]),
        reads=reads,
        writes={"out": out},
        places=places,
        params=params,
        outside=outside,
    )


def _number(index: str, length: str, nd: int) -> str:
    """WGSL of the number in row-major order of an element at some indices."""
    number = f"{index}0"
    for a in range(1, nd):
        number = f"({number} * p.{length}{a} + {index}{a})"
    return number


# What lies at an index ----------------------------------------------------------------------------


def pick(to: Writer, x: View, places: View, out: View, *, windows: Windows) -> None:
    """List a kernel of the elements at indices in the flattened lengths.

    Parameters
    ----------
    to : Writer
    x : View, shape (*lanes, *lengths)
    places : View, shape (*lanes, *places)
        Of integers, as `max_places` has them.
    out : View, shape of `places`, dtype of x
    windows : Windows
    """
    lanes = len(x.shape) - len(windows.kernel)
    row = place("x", x, range(lanes))
    step = place("step", x, range(lanes, len(x.shape)))
    columns = math.prod(windows.places)
    each(
        to,
        "elements at indices of maxima",
        math.prod(out.shape),
        f"""
{split(columns)}
let step = step_place(u32(places[places_place(i)]));
out[out_place(i)] = x[x_place(row) + step];
""",
        reads={"x": x, "places": places},
        writes={"out": out},
        places=[row, step, place("places", places), place("out", out)],
        params={"step_0": 0, "columns": columns},
    )
