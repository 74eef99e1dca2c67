"""docs/coverage.md has every public function, and no blank without a reason."""

import json
from pathlib import Path

import pytest
from coverage_table import REASONS, blanks, functions, page, reason, rows_of

DOCS = Path(__file__).resolve().parent.parent / "docs"
FOUND = json.loads((DOCS / "coverage.json").read_text(encoding="utf-8"))
AGAIN = "run scripts/write_coverage, or scripts/write_coverage -k NAME for new rows alone"


@pytest.mark.parametrize("name", functions())
def test_a_function_has_a_row_with_derivatives_or_a_reason(name):
    assert any(row.diff for row in rows_of(name)) or reason(name, functions()), (
        f"{name}: add a row to tests/samples, or a reason to tests/coverage_table.py; then {AGAIN}"
    )


def test_the_table_has_the_functions_and_rows_that_there_are():
    assert FOUND["functions"].keys() == functions().keys(), AGAIN
    for name, entry in FOUND["functions"].items():
        rows = {row.id for row in rows_of(name) if row.diff}
        assert entry.get("rows", {}).keys() == rows, f"{name}: {AGAIN}"


def test_no_blank_is_without_a_reason():
    assert list(blanks(FOUND)) == [], AGAIN
    results = [r for e in FOUND["functions"].values() for r in e.get("rows", {}).values()]
    assert not [r for r in results if "failed" in r.values()], AGAIN


def test_the_page_is_made_of_the_table():
    assert (DOCS / "coverage.md").read_text(encoding="utf-8") == page(FOUND), AGAIN


def test_reasons_are_of_functions_that_exist():
    assert {n for names in REASONS.values() for n in names} <= functions().keys()
