"""``python -m benchmarks [group ...]``: run, print, and on request write JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.groups import GROUPS
from benchmarks.harness import Group, rounds


def main(argv: Sequence[str] | None = None) -> int:
    """Run the groups asked for; return 1 when something failed or disagreed, never for time."""
    options = _parser().parse_args(argv)
    chosen = [GROUPS[name] for name in options.groups or GROUPS]
    found = report.machine(options.threads)
    print(report.facts(found), flush=True)
    records, budgets, sound = [], [], True
    for group in chosen:
        names = _implementations(group, options.peers)
        cases = [c for c in group.case_names if not options.cases or c in options.cases]
        if not cases:
            continue
        count = options.rounds or group.rounds
        results = rounds(group, names, cases, count, options.threads, _tell)
        found_budgets = group.budgets(results.medians() if group.by_median else results.best())
        budgets += found_budgets
        records.append(report.record(group, results, found_budgets))
        sound = sound and not results.failed and not results.disagreements()
        print(f"\n{report.table(group, results, names, cases)}", flush=True)
    if budgets:
        print(f"\n{report.budget_table(budgets)}")
    if options.json:
        text = json.dumps({"machine": found, "groups": records}, indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0 if sound else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="group", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, help="rounds (default: each group's own)")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--peers", nargs="*", help="implementations beside Volta's (default: all)")
    parser.add_argument("--cases", nargs="*", help="cases (default: all)")
    parser.add_argument("--threads", type=int, default=1, help="0: each library's own default")
    return parser


def _implementations(group: Group, peers: Sequence[str] | None) -> list[str]:
    """Return Volta and the peers asked for; ``torch`` stands for ``volta-torch`` … as well."""
    if peers is None:
        return list(group.implementations)
    return [
        name
        for name in group.implementations
        if name == report.OURS or any(peer in (name, *name.split("-")) for peer in peers)
    ]


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
