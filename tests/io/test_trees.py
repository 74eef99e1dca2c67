"""Trees of arrays and plain values, taken apart and put together again."""

import json
import random
import struct
from collections import OrderedDict, deque
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import volta
import volta.functional as F
from volta import io, nn, tree
from volta.core.errors import DTypeError, TraceError
from volta.io.trees import Fitting, packed, unpacked


def again(part, name="part", copy=False):
    """A tree taken apart, through JSON, and put together as it was saved."""
    node, arrays = packed("save", name, part, copy=copy)
    text = json.dumps(node, allow_nan=False)
    fitting = Fitting("restore")
    return fitting.fitted(unpacked(json.loads(text), arrays), None, (name,))


def exact(x):
    """A value in which numbers are their bits, and everything has its type."""
    if isinstance(x, list | tuple):
        return type(x), [exact(child) for child in x]
    if isinstance(x, dict):
        return type(x), [(exact(k), exact(v)) for k, v in x.items()]
    if isinstance(x, float):
        return type(x), struct.pack("d", x)
    if isinstance(x, complex):
        return type(x), struct.pack("2d", x.real, x.imag)
    if hasattr(x, "dtype"):
        return type(x), str(x.dtype), x.shape, x.tobytes()
    return type(x), x


NAN = struct.unpack(">d", bytes.fromhex("fff8000000000123"))[0]
PLAIN = {
    "none": None,
    "bools": [True, False],
    "small integers": [0, -1, 2**31, 2**53, -(2**53)],
    "large integers": [2**53 + 1, -(2**63), 2**64, -(10**5000)],
    "floats": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1e22],
    "floats that are no numbers": [float("inf"), float("-inf"), float("nan"), NAN],
    "complex": [1j, complex(-0.0, float("inf")), complex(NAN, 2.0)],
    "text": ["", 'ä\n"\\\x00', "\ud800", "{}", "1.0"],
    "sequences": [[], (), [()], ([1, (2, [3])], (4,)), [None]],
    "dicts": {"b": 1, "a": {}, 3: "int", True: "bool", None: (), (1, "x"): [2.5], 0.5: {"": 0}},
    "like what stands for others": {"tuple": [1], "dict": [["a", 1]], "array": "x", "int": "0x1"},
    "scalars of numpy": [np.float32(0.1), np.int64(3), np.bool_(True), np.complex128(1j)],
    "python's generator": random.Random(0).getstate(),
    "numpy's generator": np.random.default_rng(0).bit_generator.state,
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_keep_type_and_bits(name):
    assert exact(again(PLAIN[name])) == exact(PLAIN[name])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.complex_numbers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_any_tree_of_plain_values(value):
    assert exact(again(value)) == exact(value)


def test_arrays_have_the_names_of_their_places():
    part = {"layers": [{"w": np.ones(2)}, (np.zeros(3),)], 7: np.ones(1)}
    assert list(packed("save", "part", part, copy=False).arrays) == [
        "layers.0.w",
        "layers.1.0",
        "7",
    ]
    assert list(packed("save", "key", np.ones(1), copy=False).arrays) == ["key"]


def test_names_that_would_meet_are_numbered():
    part = {"a.b": np.asarray(0), "a": {"b": np.asarray(1)}, "__metadata__": np.asarray(2)}
    part |= {"\ud800": np.asarray(3), "\\ud800": np.asarray(4)}
    held = packed("save", "part", part, copy=False)
    assert list(held.arrays) == ["a.b", "a.b.1", "__metadata__.1", "\\ud800", "\\ud800.1"]
    assert exact(again(part)) == exact(part)


def test_a_state_dict_stays_one():
    state = io.StateDict({"w": np.ones(2)}, metadata={"format": "pt", "step": "3"})
    found = again({"state": state})["state"]
    assert type(found) is io.StateDict
    assert exact(found) == exact(state)
    assert found.metadata == {"format": "pt", "step": "3"}


def test_copies_do_not_follow_their_arrays():
    x = np.ones(2)
    copied, shared = (packed("save", "x", x, copy=copy).arrays["x"] for copy in (True, False))
    x += 1
    np.testing.assert_array_equal(copied, [1, 1])
    np.testing.assert_array_equal(shared, [2, 2])


class State(NamedTuple):
    count: int
    mean: object


class Renamed(NamedTuple):
    count: int
    mean: object


class Other(NamedTuple):
    count: int
    variance: object


def fit(part, like):
    """A tree brought into the form of a template, and what did not fit."""
    node, arrays = packed("save", "part", part, copy=False)
    fitting = Fitting("restore")
    found = fitting.fitted(unpacked(json.loads(json.dumps(node)), arrays), like, ("part",))
    return found, fitting.faults


CLASSES = {
    "named tuple": State(3, {"w": np.ones(2)}),
    "nested": (State(1, State(2, np.ones(2))), [State(3, None)]),
    "ordered": OrderedDict(b=np.ones(2), a=1),
    "deque": deque([np.ones(2), 3]),
    "dataclass": nn.DynamicLossScale(8.0, growth_interval=7),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_come_back_by_their_templates(name):
    part = CLASSES[name]
    found, faults = fit(part, tree.map(lambda x: x * 0, part))
    assert not faults
    assert tree.structure(found) == tree.structure(part)
    assert exact(tree.leaves(found)) == exact(tree.leaves(part))


def test_without_a_template_a_class_is_a_dict():
    assert again((State(3, [State(1, None)]),)) == (
        {"count": 3, "mean": [{"count": 1, "mean": None}]},
    )
    assert type(again(OrderedDict(b=1))) is dict


def test_a_class_may_be_renamed_and_static_fields_are_the_templates():
    assert fit(State(3, 4), Renamed(0, 0)) == (Renamed(3, 4), [])
    saved = nn.DynamicLossScale(np.float32(8), growth_interval=7, factor=3.0)
    found, faults = fit(saved, nn.DynamicLossScale(1.0, growth_interval=5))
    assert not faults
    assert (float(found.value), found.growth_interval, found.factor) == (8, 5, 2.0)


def test_none_takes_what_there_is():
    assert fit({"a": [1, 2], "b": State(1, 2)}, {"a": None, "b": None}) == (
        {"a": [1, 2], "b": {"count": 1, "mean": 2}},
        [],
    )


def test_numbers_and_arrays_without_axes_stand_for_one_another():
    found, faults = fit([np.asarray(2.0), 3, 4.5], [1.0, np.asarray(0), 7])
    assert not faults
    assert exact(found) == exact([np.asarray(2.0), 3, 4.5])


@pytest.mark.parametrize(
    ("part", "like", "faults"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "c": 3}, ["no part.c", "unknown part.a"]),
        ({1: 1}, {"1": 1}, ["no part.1", "unknown part.1"]),
        ([1, 2], [1], ["part of 2 items instead of 1"]),
        ((1,), [1], ["part of type tuple instead of list"]),
        ([1], {"a": 1}, ["part of type list instead of dict"]),
        ({"a": [1]}, {"a": 1}, ["part.a of type list instead of int"]),
        ({"a": 1}, {"a": [1]}, ["part.a of type int instead of list"]),
        ({"a": None}, {"a": 1.0}, ["part.a of type NoneType instead of float"]),
        ({"a": "x"}, {"a": 1}, ["part.a of type str instead of int"]),
        ({"a": "x"}, {"a": np.ones(2)}, ["part.a of type str instead of ndarray"]),
        ({"a": 1}, {"a": np.ones(2)}, ["part.a of type int instead of ndarray"]),
        (State(1, 2), {"count": 1, "mean": 2}, ["part of type State instead of dict"]),
        ({"count": 1, "mean": 2}, State(1, 2), ["part of type dict instead of State"]),
        (State(1, 2), Other(1, 2), ["no part.variance", "unknown part.mean"]),
        ([np.ones((2, 3))], [np.ones((3, 2))], ["part.0 of shape (2, 3) instead of (3, 2)"]),
        ([np.ones(2)], [np.ones(2, int)], ["part.0 of dtype float64 instead of int64"]),
        ([np.ones(2, bool)], [np.ones(2)], ["part.0 of dtype bool instead of float64"]),
        ([1, [np.ones(1)]], ["", [np.ones(2)]], [
            "part.0 of type int instead of str",
            "part.1.0 of shape (1,) instead of (2,)",
        ]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(part, like, faults):
    assert fit(part, like)[1] == faults


def test_an_8_bit_float_is_no_other():
    import ml_dtypes

    part, like = np.ones(1, ml_dtypes.float8_e5m2), np.ones(1, np.float32)
    assert fit(part, like)[1] == ["part of dtype float8_e5m2 instead of float32"]
    assert fit(part, part * 0)[0].tobytes() == part.tobytes()


def test_arrays_are_cast_to_what_a_template_has():
    found, faults = fit({"w": np.asarray([1.5, 2.5])}, {"w": F.zeros(2, dtype="bfloat16")})
    assert not faults
    assert (found["w"].dtype.name, found["w"].tolist()) == ("bfloat16", [1.5, 2.5])


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object, range(3)], ids=repr)
def test_what_is_neither_array_nor_plain(value):
    message = (
        r"^save: parts must be trees of arrays and plain values; got (set|bytes|type|range) "
        r"for 'part\.a\.0'\. Save what it is made of\."
    )
    with pytest.raises(TypeError, match=message):
        packed("save", "part", {"a": [value]}, copy=False)


def test_a_list_in_itself():
    value = []
    value.append(value)
    message = (
        r"^save: parts must be nested less deep than Python recurses; got a deeper one for "
        r"'part'\. A list may hold itself\."
    )
    with pytest.raises(ValueError, match=message):
        packed("save", "part", value, copy=False)


def test_arrays_that_are_not_stored():
    message = r"^save: dtypes must be those of the format; got object for 'part\.a'"
    with pytest.raises(DTypeError, match=message):
        packed("save", "part", {"a": np.asarray([None])}, copy=False)
    with pytest.raises(TraceError, match=r"^save: tensors must not be traced; got .* for 'part'"):
        volta.grad(lambda x: packed("save", "part", x, copy=False) and x)(1.0)
    state = io.StateDict(metadata={"step": 3})
    with pytest.raises(TypeError, match=r"^save: metadata must be text; got 3\. "):
        packed("save", "part", state, copy=False)


def test_json_that_is_no_tree():
    with pytest.raises(ValueError, match="set"):
        unpacked({"set": []}, {})
