"""Packages whose modules are imported when they are first named."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import volta
from volta import functional
from volta.core.later import importing_later
from volta.core.primitive import REGISTRY
from volta.core.trace import ops

pytestmark = pytest.mark.core


def fresh(program):
    """Output of a program in an interpreter of its own, in which volta was imported."""
    script = f"import pickle, numpy as np, volta, volta.functional as F\n{program}"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a module `tools` and a chapter, none of them imported."""
    folder = tmp_path / "later_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("one = 1\n")
    (folder / "tools.py").write_text("")
    (folder / "chapter.py").write_text("two, three = 2, 3\n__all__ = ['two', 'three']\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("later_package")
    yield module
    for name in [n for n in sys.modules if n.partition(".")[0] == "later_package"]:
        del sys.modules[name]


def test_a_module_is_imported_alone(package):
    package.__getattr__ = importing_later("later_package", ["tools"], ["chapter"])
    assert package.tools is sys.modules["later_package.tools"]
    assert "later_package.chapter" not in sys.modules


def test_names_of_chapters_are_the_packages(package):
    package.__getattr__ = importing_later("later_package", ["tools"], ["chapter"], ["one"])
    assert (package.two, package.three) == (2, 3)
    assert package.__all__ == ["one", "tools", "two", "three"]


def test_only_names_that_the_package_lists_are_its_own(package):
    package.__all__ = ["two"]
    package.__getattr__ = importing_later("later_package", [], ["chapter"])
    assert package.two == 2
    assert not hasattr(package, "three")


def test_a_name_that_was_replaced_stays_so(package):
    package.__getattr__ = importing_later("later_package", [], ["chapter"])
    package.two = "mine"
    assert package.three == 3
    assert package.two == "mine"


def test_a_name_that_is_nowhere(package):
    package.__getattr__ = importing_later("later_package", ["tools"], ["chapter"])
    with pytest.raises(AttributeError, match=r"^module 'later_package' has no attribute 'four'$"):
        _ = package.four
    with pytest.raises(ImportError, match="cannot import name 'four' from 'later_package'"):
        exec("from later_package import four")


@pytest.mark.parametrize("module", [volta, functional], ids=["volta", "functional"])
def test_what_is_no_name_of_theirs(module):
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no .* 'reluu'"):
        _ = module.reluu


def test_an_operation_that_is_nowhere():
    with pytest.raises(AttributeError, match="the op set has no 'reluu'"):
        _ = ops.reluu


# The op set


def test_no_chapter_has_the_name_of_a_function():
    assert set(functional._CHAPTERS) & set(functional.__all__) == set()


def test_checkers_are_told_of_every_chapter():
    source = Path(functional.__file__).read_text(encoding="utf-8")
    told = re.findall(r"^    from volta\.functional\.(\w+) import \*", source, re.MULTILINE)
    assert tuple(told) == functional._CHAPTERS
    told = re.findall(r"^    from volta\.functional import (\w+) as \1$", source, re.MULTILINE)
    assert tuple(told) == functional._EXTENSIONS


PICKLED = {name: pickle.dumps(REGISTRY[name]) for name in ("sin", "ctc_paths", "betaincinv")}


@pytest.mark.parametrize(
    ("program", "wanted"),
    [
        ("from volta.functional import lstm_cell as f; print(f.__name__)", "lstm_cell"),
        (
            "from volta.functional import *; print(lstm_cell.__name__, pi == np.pi)",
            "lstm_cell True",
        ),
        ("import volta.functional.regularization; print(F.dropout.__name__)", "dropout"),
        ("print({'lstm_cell', 'sum', 'pi', 'special'} <= set(dir(F)))", "True"),
        ("import sys; F.random.key(3); print('volta.functional.ctc' in sys.modules)", "False"),
        ("print(volta.grad(lambda x: np.sort(x)[0] + np.convolve(x, x)[0])(np.ones(1)))", "[3.]"),
        ("print(volta.grad(lambda x: x.__array_namespace__().sort(x)[0])(np.ones(1)))", "[1.]"),
        ("print(volta.grad(lambda x: x.at[0].add(x[0])[0])(np.ones(1)))", "[2.]"),
        *((f"print(pickle.loads({PICKLED[n]!r}))", f"<primitive {n}>") for n in PICKLED),
    ],
)
def test_in_a_new_process(program, wanted):
    assert fresh(program) == wanted
