"""Results of before, which ``--json`` wrote, beside those of now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Group, Results
from benchmarks.report import VERSION, align

CONDITIONS = ("cpu", "cores", "system", "python", "threads", "busy")


class ResultsFileError(Exception):
    """A file holds no results that can be compared."""


@dataclass(frozen=True)
class Earlier:
    """What a file holds: the machine's facts; rounds by group, case and implementation."""

    machine: Mapping[str, Any]
    rounds: Mapping[tuple[str, str, str], Sequence[float]]


def read(path: Path) -> Earlier:
    """Return the results in a file that ``--json`` wrote, or raise a ResultsFileError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"--compare: {path} must be a file of results; it cannot be read: {error}"
        raise ResultsFileError(msg) from error
    try:
        found = json.loads(text)
        version = found["version"]
        if version == VERSION:
            return _parsed(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"--compare: {path} must hold results that --json wrote; got something else."
        raise ResultsFileError(msg) from error
    msg = f"--compare: {path} must be of version {VERSION}; got version {version}. Measure again."
    raise ResultsFileError(msg)


def _parsed(found: Any) -> Earlier:
    machine, rounds = dict(found["machine"]), {}
    for group in found["groups"]:
        for line in group["measurements"]:
            values = [float(value) for value in line["rounds"]]
            if not values:
                raise ValueError(line)
            rounds[str(group["group"]), str(line["case"]), str(line["implementation"])] = values
    return Earlier(machine, rounds)


def warnings(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[str]:
    """Say in what the machines and conditions differ, other than in load."""
    pairs = [(name, then.get(name), now.get(name)) for name in CONDITIONS]
    before, after = dict(then.get("packages", {})), now["packages"]
    pairs += [(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
    return [
        f"warning: {name} was {_known(old)}, and is {_known(new)}"
        for name, old, new in pairs
        if old != new
    ]


def _known(fact: Any) -> str:
    return "unknown" if fact is None else str(fact)


def table(
    group: Group, results: Results, names: Sequence[str], cases: Sequence[str], then: Earlier
) -> str:
    """Return now over then: one row a case, one column an implementation.

    Of the best rounds, as other programs can only add to a cost; or, as for budgets, of the median.
    """
    summary = Results.medians if group.by_median else Results.best
    rounds = {place[1:]: list(r) for place, r in then.rounds.items() if place[0] == group.name}
    before, after = summary(Results(rounds)), summary(results)
    common = before.keys() & after.keys()
    if not common:
        return f"{group.name}: there is nothing to compare"
    shown = [name for name in names if any(name == place[1] for place in common)]
    rows = [["", *shown]]
    for case in cases:
        cells = [
            f"{after[case, name] / before[case, name]:.2f}" if (case, name) in common else ""
            for name in shown
        ]
        rows.append([case, *cells])
    return "\n".join([f"{group.name}: now over then, below 1 is faster now", *align(rows)])
