"""Defaults: optax's of what has a lower-case name, PyTorch's of what has CapWords."""

import inspect

import pytest

from volta import optim

pytestmark = pytest.mark.optimizer

PAIRS = [name for name in optim.__all__ if name.islower()]
CLASSES = "Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS Muon NAdam RAdam RMSprop Rprop SGD"
PLAIN = (bool, int, float, str, tuple, type(None))  # a chain is a tuple too, but another type

# Where Volta's default is another, and why
OTHERWISE = {
    ("adadelta", "learning_rate"): 1.0,  # optax's is none, which is no rate at all but 1
    ("muon", "ns_coeffs"): "standard",  # the name of optax's three numbers
    ("scale_by_muon", "ns_coeffs"): "standard",
    ("scale_by_zoom_linesearch", "initial_guess_strategy"): "one",  # as optax's lbfgs passes it
    ("scale_by_zoom_linesearch", "tol"): 1e-9,  # PyTorch's: brackets shrink as there
}


def defaults(function):
    """Those of a function's arguments that are numbers and the like."""
    found = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in found if type(p.default) in PLAIN}


def shared(name, ours, theirs):
    """Defaults here and there of the arguments that both have."""
    both = [n for n in ours if n in theirs and (name, n) not in OTHERWISE]
    return {n: ours[n] for n in both}, {n: theirs[n] for n in both}


@pytest.mark.parametrize("name", PAIRS)
def test_defaults_are_optax_s(name):
    optax = pytest.importorskip("optax")
    there = getattr(optax, name, None) or getattr(optax.contrib, name, None)
    if there is None:
        pytest.skip("optax has none")
    found, expected = shared(name, defaults(getattr(optim, name)), defaults(there))
    assert found == expected


@pytest.mark.parametrize("name", CLASSES.split())
def test_defaults_are_torch_s(name):
    torch = pytest.importorskip("torch")
    found, expected = shared(
        name, defaults(getattr(optim, name)), defaults(getattr(torch.optim, name))
    )
    assert found == expected
    assert "lr" in found


def test_functions_have_the_defaults_of_what_they_are_made_of():
    """`scale_by_rss` and its like, which a user may call with less than all arguments."""
    whole = {
        "adam": "scale_by_adam",
        "amsgrad": "scale_by_amsgrad",
        "adamax": "scale_by_adamax",
        "radam": "scale_by_radam",
        "adagrad": "scale_by_rss",
        "adadelta": "scale_by_adadelta",
        "rmsprop": "scale_by_rms",
        "lion": "scale_by_lion",
        "muon": "scale_by_muon",
        "rprop": "scale_by_rprop",
        "NAdam": "scale_by_nadam",
    }
    for name, part in whole.items():
        ours, theirs = (defaults(getattr(optim, n)) for n in (name, part))
        found, expected = shared(name, theirs, ours)
        assert found
        assert found == expected, name
