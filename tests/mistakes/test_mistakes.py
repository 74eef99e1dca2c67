"""Programs with a mistake: what they are told.

Each file in `programs` is a program as users write them, with the comment ``# mistake`` in the
line to be named; the file of that name that ends in ``.txt`` is its message. To write the messages
anew, run this file, and read what it wrote.
"""

import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "programs"
PROGRAMS = sorted(FOLDER.glob("*.py"))


def message_of(path):
    """What a program is told: the error's class and its message."""
    source = path.read_text(encoding="utf-8")
    try:
        exec(compile(source, str(path), "exec"), {"__name__": f"mistakes.{path.stem}"})
    except Exception as error:
        return f"{type(error).__name__}: {error}\n"
    raise AssertionError(path.name)


@pytest.fixture(params=PROGRAMS, ids=[p.stem for p in PROGRAMS])
def program(request):
    if "import torch" in request.param.read_text(encoding="utf-8"):
        pytest.importorskip("torch")
    return request.param


def test_there_are_thirty():
    assert len(PROGRAMS) >= 30


@pytest.mark.filterwarnings("ignore:invalid value")
def test_the_message(program, capsys):
    assert message_of(program) == program.with_suffix(".txt").read_text(encoding="utf-8")


def test_the_message_names_the_line_both_sides_and_what_to_do(program):
    told = program.with_suffix(".txt").read_text(encoding="utf-8")
    lines = program.read_text(encoding="utf-8").splitlines()
    (number,) = (i for i, line in enumerate(lines, 1) if line.endswith("# mistake"))
    assert re.search(rf"\b{program.name}:{number}\b", told)
    rule = r"^\w+: [^:]+: .+(; got |; did you mean |\. Got ).+"
    assert re.match(rule, told)
    advice = told.partition("; got ")[2] or told
    said = re.sub(r"\(line: .*\)", "", advice).strip()
    assert re.search(r"[.?] [A-Z][^.]+.*\.$|did you mean .*\?$", said), said


if __name__ == "__main__":
    for path in PROGRAMS:
        told = message_of(path)
        path.with_suffix(".txt").write_text(told, encoding="utf-8")
        sys.stdout.write(f"{path.stem}\n    {told}")
