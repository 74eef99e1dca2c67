"""The exception tree, and the line of the user's program in messages."""

import pickle

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.core import errors
from volta.core.trace import located

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
        ("NonFiniteError", ("VoltaError", FloatingPointError)),
        ("DonationError", ("VoltaError", ValueError)),
        ("KeyReuseError", ("VoltaError",)),
    ],
)
def test_the_tree(error, bases):
    found = getattr(volta, error)
    for base in bases:
        assert issubclass(found, getattr(volta, base) if isinstance(base, str) else base)


def test_everything_is_exported_and_documented():
    names = {n for n, v in vars(errors).items() if getattr(v, "__module__", "") == errors.__name__}
    assert names == set(errors.__all__)
    assert all(getattr(volta, n).__doc__ for n in names)


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_survive_pickling(name):
    error = getattr(errors, name)("f: must; got that.")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_errors_name_the_users_line_where_nothing_is_traced():
    with pytest.raises(volta.BroadcastError) as caught:
        F.add(np.ones(2), np.ones(3))
    assert str(caught.value) == (
        "add: the shapes must broadcast together; got (2,) and (3,), which differ at axis -1. "
        "Make these lengths equal, or one of them 1. "
        f"(line: test_errors.py:{caught.traceback[0].lineno + 1})"
    )


def test_a_line_in_the_message_is_not_said_twice():
    line = test_a_line_in_the_message_is_not_said_twice.__code__.co_firstlineno + 2
    error = volta.TraceError(f"f: must not; got one at test_errors.py:{line}. Do not.")
    assert str(error) == f"f: must not; got one at test_errors.py:{line}. Do not."


def test_a_line_that_is_given_stays():
    error = located(located(volta.ShapeError("f: must; got."), "model.py:3"), "other.py:4")
    assert str(error) == "f: must; got. (line: model.py:3)"


def test_other_errors_are_given_a_line():
    line = test_other_errors_are_given_a_line.__code__.co_firstlineno + 2
    error = located(TypeError("f: must; got."))
    assert str(error) == f"f: must; got. (line: test_errors.py:{line})"
    assert located(error).args == error.args


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
        r"axis -1\. Make these lengths equal, or one of them 1\. "
        rf"\(line: test_errors\.py:{line}\)$"
    )
    with pytest.raises(volta.BroadcastError, match=message):
        transform(wrong)


def test_an_error_of_the_users_own_passes_through():
    def wrong(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        volta.grad(wrong)(np.ones(2))
