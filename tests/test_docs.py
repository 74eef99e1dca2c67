"""The documentation runs, and names everything that is public."""

import doctest
import importlib.util
import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import samples

import volta
import volta.debug  # declares primitives when it is first asked for, which `new_rows` would remove
import volta.functional as F
from volta.core.primitive import REGISTRY
from volta.core.trace import ops

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.M)


def run(page):
    """Run the page's blocks in order, and the examples in them; returns the names they define."""
    names = {"__name__": "docs"}
    for i, source in enumerate(blocks(page)):
        title = f"{page.name}[{i}]"
        if source.startswith(">>>"):
            check(source, title, names)
            continue
        before = set(names)
        exec(compile(source, title, "exec"), names)
        # a reader publishes what a block declares by writing it into the package
        public = {"np": np, "F": SimpleNamespace(**vars(F) | names)}
        public["volta"] = SimpleNamespace(nn=public["F"])
        for name in names.keys() - before:
            if getattr(names[name], "__module__", None) == "docs":
                check(inspect.getdoc(names[name]) or "", name, dict(public))
    return names


def check(source, title, names):
    """Run the examples in a text; `names` then has what they define."""
    test = doctest.DocTestParser().get_doctest(source, names, title, title, 0)
    report = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    failed, _ = runner.run(test, out=report.append, clear_globs=False)
    assert not failed, "".join(report)
    names.update(test.globs)


@pytest.fixture
def new_rows():
    """Rows that the test adds; they and the primitives it declares are gone afterwards."""
    registered, published, rows = dict(REGISTRY), dict(vars(ops)), list(samples.SAMPLES)
    yield lambda: samples.SAMPLES[len(rows) :]
    for table, before in ((REGISTRY, registered), (vars(ops), published)):
        table.clear()
        table.update(before)
    samples.SAMPLES[:] = rows


PAGES = [page for page in sorted(DOCS.rglob("*.md")) if blocks(page)]


@pytest.mark.usefixtures("new_rows")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_page_runs(page):
    run(page)


def test_the_laws_hold_for_what_adding_declares(new_rows):
    run(DOCS / "adding.md")
    rows = new_rows()
    assert {row.primitive for row in rows} == {"isru", "moving_sum", "length"}
    for row in rows:
        for law in laws():
            law(row)
        for call, error, message in row.errors:
            with pytest.raises(error, match=message):
                call()


def laws():
    """The test functions of tests/laws that take nothing but a row."""
    spec = importlib.util.spec_from_file_location("laws", ROOT / "tests" / "laws" / "test_laws.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = [f for name, f in vars(module).items() if name.startswith("test_")]
    found = [f for f in found if list(inspect.signature(f).parameters) == ["sample"]]
    assert len(found) >= 6
    return found


API = "\n".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.md")))
# a function in a file of its own name goes by both, package.name.name
DESCRIBED = {re.sub(r"(\.\w+)\1$", r"\1", n) for n in re.findall(r"^::: (\S+)$", API, re.MULTILINE)}
MENTIONED = set(re.findall(r"`(volta\.[\w.]+)`", API))
PACKAGES = (
    "",
    ".core",
    ".data",
    ".debug",
    ".functional",
    ".functional.random",
    ".io",
    ".nn",
    ".nn.init",
    ".nn.models",
    ".nn.parametrizations",
)
PACKAGES = (*PACKAGES, ".functional.fft", ".functional.linalg", ".functional.special")
PACKAGES = (*PACKAGES, ".implicit", ".optim", ".optimize", ".sparse", ".testing", ".tree", ".wgpu")
PACKAGES = [f"volta{name}" for name in PACKAGES]

EXTENSIONS = ("volta.functional.fft", "volta.functional.linalg", "volta.functional.special")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_on_an_api_page(package):
    module = importlib.import_module(package)
    missing = []
    for name in module.__all__:
        full, found = f"{package}.{name}", getattr(module, name)
        if package in EXTENSIONS and name in F.__all__:
            full = f"volta.functional.{name}"
        if package == "volta.core" and hasattr(volta, name):
            full = f"volta.{name}"
        if inspect.ismodule(found):
            assert found.__name__ in PACKAGES
        elif full in MENTIONED and not (callable(found) and found.__module__.startswith("volta")):
            continue  # a value, or another library's: no docstring of ours
        elif full not in DESCRIBED:
            missing.append(full)
    assert missing == []


def test_every_name_on_an_api_page_is_public():
    for full in DESCRIBED:
        package, name = full.rsplit(".", 1)
        assert name in importlib.import_module(package).__all__, full
