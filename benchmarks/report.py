"""Tables for people, JSON for programs, and the facts about the machine that both carry."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.harness import Budget, Group, Results

OURS = "volta"
VERSION = 1  # of the files that `document` is written to
PACKAGES = (
    "numpy", "array-api-compat", "optree", "ml-dtypes", "torch", "jax", "jaxlib", "optax",
    "autograd", "onnxruntime", "onnxscript", "llvmlite", "scipy-openblas64", "wgpu",
)  # fmt: skip


def machine(threads: int, busy: int = 0) -> dict[str, Any]:
    """Return what a reader needs to judge the numbers; no host names, no paths."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "threads": threads or "each library's default",
        "busy": busy,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "packages": packages,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def facts(found: dict[str, Any]) -> str:
    """Return the machine's facts as two lines of text."""
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return (
        f"{found['cpu']}, {found['cores']} cores, load {found['load']}, {found['system']}, "
        f"Python {found['python']}, threads: {found['threads']}{_beside(found['busy'])}\n{packages}"
    )


def _beside(busy: int) -> str:
    return f", beside {busy} busy {'process' if busy == 1 else 'processes'}" if busy else ""


def table(
    group: Group, results: Results, names: Sequence[str], cases: Sequence[str], busy: int = 0
) -> str:
    """Return one row a case, one column an implementation: median, and ratio to Volta's."""
    medians = results.medians()
    shown = [name for name in names if name not in results.absent]
    rows = [["", *shown]]
    for case in cases:
        row = [case]
        for name in shown:
            value, ours = medians.get((case, name)), medians.get((case, OURS))
            if value is None:
                row.append("failed" if (case, name) in results.failed else "")
            elif ours is None or name == OURS:
                row.append(_number(value))
            else:
                row.append(f"{_number(value)} ({value / ours:.2f}×)")
        rows.append(row)
    title = f"{group.name}: {group.title}; {group.unit}, ratio to {OURS}{_beside(busy)}"
    lines = [title, *align(rows)]
    lines += [f"  absent: {name} ({why})" for name, why in results.absent.items()]
    omitted = {p: why for p, why in group.left_out.items() if p[0] in cases and p[1] in shown}
    lines += [f"  left out: {line}" for line in _reasons(omitted)]
    lines += [f"  failed: {line}" for line in _reasons(results.failed)]
    lines += [f"  DISAGREES: {note}" for note in results.disagreements()]
    return "\n".join(lines)


def budget_table(budgets: Sequence[Budget]) -> str:
    """Return one line a budget, met or missed."""
    rows = [["budget", "measured", "limit", ""]]
    for budget in budgets:
        verdict = "met" if budget.met else "MISSED"
        rows.append(
            [budget.name, f"{budget.value:.2f} {budget.unit}", f"{budget.limit:g}", verdict]
        )
    return "\n".join(align(rows))


def record(group: Group, results: Results, budgets: Sequence[Budget]) -> dict[str, Any]:
    """Return a group's results as JSON-ready data."""
    medians = results.medians()
    return {
        "group": group.name,
        "title": group.title,
        "unit": group.unit,
        "measurements": [
            {
                "case": case,
                "implementation": name,
                "median": medians[case, name],
                "ratio": medians[case, name] / medians[case, OURS]
                if (case, OURS) in medians
                else None,
                "best": min(values),
                "rounds": values,
            }
            for (case, name), values in results.values.items()
        ],
        "absent": results.absent,
        "failed": [
            {"case": case, "implementation": name, "error": why}
            for (case, name), why in results.failed.items()
        ],
        "disagreements": results.disagreements(),
        "budgets": [
            {"name": b.name, "value": b.value, "limit": b.limit, "unit": b.unit, "met": b.met}
            for b in budgets
        ],
    }


def document(found: dict[str, Any], records: Sequence[dict[str, Any]]) -> str:
    """Return the machine's facts and the groups' records as the text of a file."""
    content = {"version": VERSION, "machine": found, "groups": records}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _reasons(places: Mapping[tuple[str, str], str]) -> list[str]:
    """Return one line an implementation and reason, naming the cases that it holds for."""
    cases: dict[tuple[str, str], list[str]] = {}
    for (case, name), why in places.items():
        cases.setdefault((name, why), []).append(case)
    return [f"{name} ({'; '.join(found)}): {why}" for (name, why), found in cases.items()]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of cells in columns, the first of them to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        ).rstrip()
        for row in rows
    ]
