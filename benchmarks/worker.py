"""One worker process: ``python -m benchmarks.worker GROUP IMPLEMENTATION [CASE ...]``.

Prints one JSON object a line and case: ``{"case", "value", "check"}`` or ``{"case", "error"}``.
"""

from __future__ import annotations

import json
import sys

from benchmarks.groups import GROUPS
from benchmarks.harness import take


def main(group: str, implementation: str, *wanted: str) -> None:
    for case in GROUPS[group].cases(implementation):
        if wanted and case.name not in wanted:
            continue
        try:
            value, check = take(case)
        except Exception as error:  # a case that cannot run is a line of the report
            line = {"case": case.name, "error": f"{type(error).__name__}: {error}"}
        else:
            line = {"case": case.name, "value": value, "check": check}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
