"""The exception tree, and the line of the user's program in messages."""

import pickle

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core import errors

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        ("ShapeError", ("VoltaError", ValueError)),
        ("BroadcastError", ("ShapeError", ValueError)),
        ("DTypeError", ("VoltaError", TypeError)),
        ("DimensionError", ("VoltaError", IndexError)),
        ("AxisNameError", ("VoltaError", NameError)),
        ("DeviceError", ("VoltaError",)),
        ("TraceError", ("VoltaError",)),
        ("RuleError", ("VoltaError", NotImplementedError)),
        ("LoadError", ("VoltaError",)),
        ("KeyReuseError", ("VoltaError",)),
    ],
)
def test_the_tree(error, bases):
    found = getattr(volta, error)
    for base in bases:
        assert issubclass(found, getattr(volta, base) if isinstance(base, str) else base)


def test_everything_is_exported_and_documented():
    names = {n for n, v in vars(errors).items() if isinstance(v, type)}
    assert names == set(errors.__all__)
    assert all(getattr(volta, n).__doc__ for n in names)


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_survive_pickling(name):
    error = getattr(errors, name)("f: must; got that.")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_untraced_errors_name_no_line():
    with pytest.raises(volta.BroadcastError) as caught:
        F.add(np.ones(2), np.ones(3))
    assert str(caught.value) == (
        "add: the shapes must broadcast together; got (2,) and (3,), which differ at axis -1."
    )


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: volta.grad(f)(np.ones(2)),
        lambda f: volta.jvp(f, (np.ones(2),), (np.ones(2),)),
        lambda f: volta.vmap(f)(np.ones((4, 2))),
        lambda f: volta.trace(f)(np.ones(2)),
        lambda f: volta.grad(lambda x: F.sum(volta.vmap(f)(x)))(np.ones((4, 2))),
    ],
    ids=["grad", "jvp", "vmap", "trace", "grad of vmap"],
)
def test_traced_errors_name_the_users_line(transform):
    def wrong(x):
        return F.sum(x + np.ones(3))

    line = wrong.__code__.co_firstlineno + 1
    message = (
        r"^add: the shapes must broadcast together; got \(2,\) and \(3,\), which differ at "
        rf"axis -1\. \(line: test_errors\.py:{line}\)$"
    )
    with pytest.raises(volta.BroadcastError, match=message):
        transform(wrong)


def test_an_error_of_the_users_own_passes_through():
    def wrong(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        volta.grad(wrong)(np.ones(2))
