"""`__all__` is what exists, and what is public is documented, with an example that runs."""

import importlib
import inspect
import pkgutil
import re
import types
import typing

import pytest

import volta

MODULES = [
    volta,
    *(importlib.import_module(m.name) for m in pkgutil.walk_packages(volta.__path__, "volta.")),
]
PACKAGES = [m for m in MODULES if hasattr(m, "__path__")]
NAMES = [m.__name__ for m in MODULES]

# Public objects without an example, and why.
NO_EXAMPLE = {
    "volta.core.Array": "a protocol, of which nobody makes an instance",
    "volta.core.ArrayType": "what typeof returns, which has an example",
    "volta.core.DType": "made by Volta alone; as_dtype has an example",
    "volta.core.Tracer": "made by transforms alone",
    "volta.core.WengertList": "made by trace, which has an example",
    "volta.core.Primitive": "docs/adding.md declares several, and is run by tests/test_docs.py",
    "volta.core.Partial": "see Primitive",
    "volta.core.Linear": "see Primitive",
    "volta.core.Joint": "see Primitive",
    "volta.core.Variadic": "see Primitive",
    "volta.core.Pair": "see Primitive",
    "volta.core.Missing": "see Primitive",
    "volta.Exported": "what export returns, which has an example",
    "volta.Source": "what emit_source returns, which has an example",
    "volta.wgpu.Array": "made by asarray, which has an example",
    "volta.wgpu.Counts": "of a device; see Device",
    "volta.wgpu.Device": "what devices returns, which has an example",
    "volta.wgpu.Limits": "of a device; see Device",
    "volta.wgpu.MemoryStats": "of a device; see Device",
    "volta.data.Progress": "draws on a terminal",
    "volta.io.StateDictDiff": "what diff_state_dict returns",
    "volta.nn.models.BertOutput": "what BertModel returns, which has an example",
    "volta.nn.StateDictMatch": "what match_state_dict returns",
    "volta.optim.AdamState": "what adam's init returns",
    "volta.optim.EmptyState": "what sgd's init returns",
    "volta.optim.MomentumState": "what sgd's init returns",
    "volta.optim.ScheduleState": "what a scheduled rate's init returns",
    "volta.optim.AdadeltaState": "what an optimizer's init returns",
    "volta.optim.AdamaxState": "what an optimizer's init returns",
    "volta.optim.AmsgradState": "what an optimizer's init returns",
    "volta.optim.ApplyIfFiniteState": "what an optimizer's init returns",
    "volta.optim.EmaState": "what an optimizer's init returns",
    "volta.optim.FactoredState": "what an optimizer's init returns",
    "volta.optim.InjectHyperparamsState": "what an optimizer's init returns",
    "volta.optim.LbfgsState": "what an optimizer's init returns",
    "volta.optim.LinesearchState": "what an optimizer's init returns",
    "volta.optim.LionState": "what an optimizer's init returns",
    "volta.optim.LookaheadState": "what an optimizer's init returns",
    "volta.optim.LossScaleState": "what an optimizer's init returns",
    "volta.optim.MaskedState": "what an optimizer's init returns",
    "volta.optim.MultiStepsState": "what an optimizer's init returns",
    "volta.optim.MuonState": "what an optimizer's init returns",
    "volta.optim.NadamState": "what an optimizer's init returns",
    "volta.optim.NoiseState": "what an optimizer's init returns",
    "volta.optim.ParamsEmaState": "what an optimizer's init returns",
    "volta.optim.PartitionState": "what an optimizer's init returns",
    "volta.optim.RadamState": "what an optimizer's init returns",
    "volta.optim.RmsState": "what an optimizer's init returns",
    "volta.optim.RpropState": "what an optimizer's init returns",
    "volta.optim.RssState": "what an optimizer's init returns",
    "volta.optim.ReduceLROnPlateauState": "what an optimizer's init returns",
    "volta.optim.ScheduleFreeState": "what an optimizer's init returns",
    "volta.optim.StddevState": "what an optimizer's init returns",
    "volta.optim.LookaheadParams": "see lookahead",
    "volta.optim.Optimizer": "what adam and sgd return",
    "volta.tree.PyTreeSpec": "optree's own class",
}


def public():
    files = ("volta.testing", "volta.tree")
    for module in PACKAGES + [m for m in MODULES if m.__name__ in files]:
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isfunction(found) or inspect.isclass(found):
                yield f"{module.__name__}.{name}", found


PUBLIC = dict(public())
FUNCTIONS = {n: f for n, f in PUBLIC.items() if inspect.isfunction(f)}
ERRORS = {n for n, c in PUBLIC.items() if inspect.isclass(c) and issubclass(c, Exception)}


def described(found):
    return inspect.getdoc(found) or ""


@pytest.mark.parametrize("module", MODULES, ids=NAMES)
def test_every_module_says_what_it_holds(module):
    summary = (module.__doc__ or "").strip().partition("\n\n")[0]
    assert summary.endswith((".", ":")), module.__name__


@pytest.mark.parametrize("module", MODULES, ids=NAMES)
def test_all_names_exist_once(module):
    assert len(set(module.__all__)) == len(module.__all__)
    assert [n for n in module.__all__ if not hasattr(module, n)] == []


@pytest.mark.parametrize("package", PACKAGES, ids=[m.__name__ for m in PACKAGES])
def test_a_packages_all_is_what_exists(package):
    found = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and not hasattr(typing, name)
    }
    modules = {n for n in package.__all__ if isinstance(getattr(package, n), types.ModuleType)}
    assert found <= set(package.__all__)
    assert {n for n in package.__all__ if n in vars(package)} - modules == found


def test_star_import_gives_all_of_it():
    names = {}
    exec("from volta import *", names)
    assert set(volta.__all__) <= set(names)


@pytest.mark.parametrize("name", list(PUBLIC))
def test_public_objects_have_a_summary(name):
    text = described(PUBLIC[name])
    summary = text.partition("\n\n")[0]
    assert summary.rstrip().endswith((".", ":")), summary
    assert len(summary.splitlines()) <= 3


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_public_functions_state_parameters_and_returns(name):
    function, text = FUNCTIONS[name], described(FUNCTIONS[name])
    signature = inspect.signature(function)
    if signature.parameters:
        assert re.search(r"^Parameters\n-{10}$", text, re.MULTILINE)
    returned = str(signature.return_annotation)
    if returned != "None" and "Iterator[None]" not in returned:
        assert re.search(r"^(Returns\n-{7}|Yields\n-{6})$", text, re.MULTILINE)


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_public_functions_describe_every_parameter(name):
    text = described(FUNCTIONS[name])
    section = text.partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    told = set()
    for line in section.splitlines():
        if line and not line.startswith(" "):
            told.update(re.findall(r"\*{0,2}\w+", line.partition(" : ")[0]))
    told = {t.lstrip("*") for t in told}
    missing = [p for p in inspect.signature(FUNCTIONS[name]).parameters if p not in told]
    assert missing == []


@pytest.mark.parametrize("name", [n for n in PUBLIC if n not in ERRORS])
def test_public_objects_have_an_example(name):
    assert (">>>" in described(PUBLIC[name])) != (name in NO_EXAMPLE)


def test_exceptions_to_examples_are_still_there():
    assert NO_EXAMPLE.keys() <= PUBLIC.keys()
