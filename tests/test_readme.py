"""What README shows is what happens."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.search(r"```sh\n(.*?)```", README, re.DOTALL).group(1).splitlines()


def run(source, names):
    test = doctest.DocTestParser().get_doctest(source, names, "README.md", "README.md", 0)
    assert test.examples
    failed, _ = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
        test, clear_globs=False
    )
    names.update(test.globs)
    assert failed == 0


def test_the_example_shows_its_gradient():
    run(PYTHON[0], {})


def test_the_same_on_torch():
    pytest.importorskip("torch")
    names = {}
    run(PYTHON[0], names)
    run(PYTHON[1], names)


def test_every_example_is_run():
    assert len(PYTHON) == 2


def test_two_commands_that_continuous_integration_runs_too():
    first, second = COMMANDS
    script = re.match(r"pip install -e '\.\[examples\]' && python (\S+)$", first).group(1)
    assert (ROOT / script).is_file()
    assert second == "pip install -e '.[test]' && python -m pytest -n auto"
    assert second in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / target).exists(), target
