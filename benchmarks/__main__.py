"""``python -m benchmarks [group ...]``: run and print, write JSON, compare with an earlier one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import compare, report
from benchmarks.busy import busy
from benchmarks.groups import GROUPS
from benchmarks.harness import Group, rounds


def main(argv: Sequence[str] | None = None) -> int:
    """Run the groups asked for; return 1 when something failed or disagreed, never for time."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        earlier = compare.read(options.compare) if options.compare else None
    except compare.ResultsFileError as error:
        parser.error(str(error))
    found = report.machine(options.threads, options.busy)
    print(report.facts(found), flush=True)
    for line in compare.warnings(found, earlier.machine) if earlier else []:
        print(line, flush=True)
    records, budgets, sound = [], [], True
    for group in options.groups or GROUPS.values():
        names = _implementations(group, options.peers)
        cases = [c for c in group.case_names if not options.cases or c in options.cases]
        if not cases:
            continue
        count = options.rounds or group.rounds
        with busy(options.busy):
            results = rounds(group, names, cases, count, options.threads, _tell)
        found_budgets = group.budgets(results.medians() if group.by_median else results.best())
        budgets += found_budgets
        records.append(report.record(group, results, found_budgets))
        sound = sound and not results.failed and not results.disagreements()
        print(f"\n{report.table(group, results, names, cases, options.busy)}", flush=True)
        if earlier:
            print(f"\n{compare.table(group, results, names, cases, earlier)}", flush=True)
    if budgets:
        print(f"\n{report.budget_table(budgets)}")
    if options.json:
        options.json.write_text(report.document(found, records), encoding="utf-8")
    return 0 if sound else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    named = f"of {', '.join(GROUPS)} (default: all)"
    parser.add_argument("groups", nargs="*", type=_group, metavar="group", help=named)
    parser.add_argument("--rounds", type=_count, help="rounds (default: each group's own)")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--compare", type=Path, help="results that --json wrote before")
    parser.add_argument("--peers", nargs="*", help="implementations beside Volta's (default: all)")
    parser.add_argument("--cases", nargs="*", help="cases (default: all)")
    parser.add_argument("--threads", type=_count, default=1, help="0: each library's own default")
    parser.add_argument("--busy", type=_count, default=0, help="processes that compute meanwhile")
    return parser


def _group(name: str) -> Group:
    if name not in GROUPS:
        msg = f"there is no group {name!r}; there are {', '.join(GROUPS)}"
        raise argparse.ArgumentTypeError(msg)
    return GROUPS[name]


def _count(text: str) -> int:
    if not text.isdecimal():
        msg = f"must be a number of at least 0; got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _implementations(group: Group, peers: Sequence[str] | None) -> list[str]:
    """Return Volta and the peers asked for; ``torch`` stands for ``volta-torch`` … as well."""
    if peers is None:
        return list(group.implementations)
    return [
        name
        for name in group.implementations
        if name == report.OURS or any(peer in (name, name.rpartition("-")[2]) for peer in peers)
    ]


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
