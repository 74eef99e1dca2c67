"""Imports point down, no layer knows another library, and importing is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import volta
from volta import functional

ROOT = Path(volta.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
BELOW = {  # layer: what it may import besides itself
    "core": set(),
    "functional": {"core"},
    "compile": {"core"},
    "transforms": {"core", "compile", "tree"},
    "debug": {"core", "transforms", "tree"},
    "tree": {"core", "functional"},
    "io": {"core", "functional", "tree"},
    "data": {"core", "functional", "tree"},
    "exported": {"core", "compile", "functional", "transforms", "io"},
    "emission": {"core", "compile", "functional", "transforms"},
    "emitted": {"core", "emission", "exported", "io"},
    "nn": {"core", "functional", "transforms", "tree", "io"},
    "optim": {"core", "functional", "transforms", "tree", "nn", "io"},
    "implicit": {"core", "functional", "transforms", "tree"},
    "optimize": {"core", "functional", "transforms", "tree"},
    "sparse": {"core", "functional", "transforms"},
    "testing": {"core", "functional", "transforms", "tree"},
    "wgpu": {"core", "compile", "functional"},
    "__main__": {"core", "io"},
}
# at the top of a file; others are looked for in sys.modules or imported where they are needed
OUTSIDE = {
    "core": {"numpy", "optree"},
    "functional": {"numpy"},
    "compile": {"numpy"},
    "transforms": {"numpy"},
    "debug": {"numpy"},
    "emission": {"numpy"},
    "emitted": {"numpy"},
    "exported": {"numpy"},
    "io": {"numpy"},
    "data": {"numpy"},
    "nn": {"numpy"},
    "optim": {"numpy"},
    "implicit": {"numpy"},
    "optimize": {"numpy"},
    "sparse": {"numpy"},
    "testing": {"numpy"},
    "wgpu": {"numpy"},
    "tree": set(),
    "__main__": set(),
}


def layer_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(node):
    """Full names of the modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        if node.module == "volta":
            return [f"volta.{alias.name}" for alias in node.names]
        return [node.module]
    return []


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_imports_point_down(path):
    layer = layer_of(path)
    if layer == "__init__":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for name in imported(node):
            if name.partition(".")[0] == "volta":
                target = name.split(".")[1]
                assert target == layer or target in BELOW[layer], f"{name}, line {node.lineno}"
    for node in tree.body:
        for name in imported(node):
            package = name.partition(".")[0]
            known = package == "volta" or package in sys.stdlib_module_names
            assert known or package in OUTSIDE[layer], f"{name}, line {node.lineno}"


def test_every_layer_is_in_the_table():
    assert {layer_of(p) for p in FILES} - {"__init__"} == set(BELOW)
    order = list(BELOW)
    assert all(order.index(b) < order.index(a) for a in BELOW for b in BELOW[a] - {"tree", "nn"})


LOUD = {
    "array_api_compat",
    "jax",
    "llvmlite",
    "matplotlib",
    "ml_dtypes",
    "opt_einsum",
    "safetensors",
    "scipy",
    "torch",
    "tqdm",
    "wgpu",
}


@pytest.mark.parametrize(
    "program",
    [
        "import volta",
        "import volta, numpy as np; volta.grad(lambda x: volta.functional.sum(x * x))(np.ones(3))",
        "import volta; volta.nn, volta.optim",
        "import volta.io, volta.data, volta.transforms, volta.tree",
    ],
)
def test_importing_volta_imports_nothing_heavy(program):
    script = f"import sys\n{program}\nprint(*sorted({LOUD!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_the_first_gradient_imports_no_later_chapter():
    program = (
        "import volta, numpy as np; volta.grad(lambda x: volta.functional.sum(x * x))(np.ones(3))"
    )
    script = f"import sys; {program}; print(*(m for m in sys.modules if m.startswith('volta.')))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    later = (*functional._CHAPTERS, *functional._EXTENSIONS)
    assert set(run.stdout.split()) & {f"volta.functional.{name}" for name in later} == set()


def test_importing_volta_warns_of_nothing_and_prints_nothing():
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import volta"], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
