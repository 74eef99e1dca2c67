"""The benchmark harness runs, and its table and JSON have the promised form; no time is judged."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_one_case_runs_and_is_written_as_json(tmp_path):
    path = tmp_path / "ops.json"
    command = ["ops", "--cases", "exp", "--peers", "numpy", "--rounds", "1", "--json", str(path)]

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "exp: volta above numpy" in done.stdout
    written = json.loads(path.read_text(encoding="utf-8"))
    assert {"cpu", "cores", "python", "packages", "threads"} <= written["machine"].keys()
    assert str(ROOT) not in path.read_text(encoding="utf-8")
    (group,) = written["groups"]
    assert group["group"] == "ops"
    found = {(m["case"], m["implementation"]) for m in group["measurements"]}
    assert found == {("exp", "volta"), ("exp", "numpy")}
    assert all(len(m["rounds"]) == 1 and m["median"] > 0 for m in group["measurements"])
    assert [budget["name"] for budget in group["budgets"]] == ["exp: volta above numpy"]
    assert group["failed"] == []
    assert group["absent"] == {}


def test_a_missing_peer_is_absent_and_a_wrong_case_fails_alone(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.harness import Budget, Case, Group, Results, rounds, take
    from benchmarks.report import table

    group = Group(
        name="none",
        title="nothing",
        unit="s",
        scale=1.0,
        implementations={"nobody": ("no_such_module",)},
        case_names=("case",),
        cases=lambda name: [],
        budgets=lambda medians: [],
    )
    results = rounds(group, ["nobody"], ["case"], 1, 1, lambda line: None)
    assert results == Results(absent={"nobody": "no_such_module not installed"})

    results.failed["case", "nobody"] = "ValueError: wrong"
    text = table(group, results, ["nobody"], ["case"])
    assert "absent: nobody (no_such_module not installed)" in text
    assert "failed: nobody (case): ValueError: wrong" in text
    assert take(Case("direct", lambda: lambda: 3, direct=True)) == (3.0, None)
    assert Budget("limit", 2.0, 2.0, "µs").met


def test_results_that_differ_are_reported(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.harness import Results

    results = Results(checks={("f", "a"): 1.0, ("f", "b"): 1.1, ("g", "b"): 2.0})

    assert results.disagreements() == ["f: b gives 1.1, a 1"]
