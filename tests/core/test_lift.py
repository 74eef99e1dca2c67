"""Constants made by hand."""

import array_api_compat
import array_api_strict as strict
import numpy as np
import pytest
from strategies import LINE

import volta
import volta.functional as F
from volta.core.tracer import Tracer

pytestmark = pytest.mark.core


def test_arrays_become_constants_and_numbers_stay():
    tree = volta.lift({"a": np.ones(2), "b": (3, 2.0, True, 1j), "c": None})
    assert type(tree["a"]) is Tracer
    assert tree["a"].trace is None
    assert tree["b"] == (3, 2.0, True, 1j)
    assert tree["c"] is None


@pytest.mark.parametrize("make", [np.asarray, strict.asarray], ids=["numpy", "strict"])
def test_a_constant_converts_freely(make):
    c = volta.lift(make([1.0, 2.0]))
    assert float(c[0]) == 1.0
    assert complex(c[1]) == 2.0
    assert int(c[1]) == 2
    assert bool(c[0])
    np.testing.assert_array_equal(np.asarray(c), [1.0, 2.0])
    np.testing.assert_array_equal(np.from_dlpack(c), [1.0, 2.0])


def test_item_and_index_of_a_constant():
    c = volta.lift(np.asarray(2))
    assert c.item() == 2
    assert [10, 20, 30][c] == 30
    assert list(range(c)) == [0, 1]
    assert volta.lift(np.ones(1)).item() == 1.0


def test_writing_to_a_constant_leaves_the_array_alone():
    a = np.zeros(2)
    c = volta.lift(a)
    c[0] = 1.0
    c += 1
    np.testing.assert_array_equal(c, [2.0, 1.0])
    np.testing.assert_array_equal(a, [0.0, 0.0])


def test_a_constant_of_rank_0_is_written_to_in_place():
    c = volta.lift(np.asarray(1.0))
    alias = c
    c += 1
    assert alias is c
    assert float(alias) == 2.0


def test_numpys_scalars_become_arrays_of_rank_0():
    c = volta.lift(np.float32(2.0))
    assert (c.shape, c.dtype) == ((), np.float32)


def test_lifting_twice_is_lifting_once():
    c = volta.lift(np.ones(2))
    assert volta.lift(c) is c


def test_a_traced_array_stays_traced():
    assert volta.grad(lambda x: F.sum(volta.lift({"x": x})["x"] * 2))(np.ones(2)).tolist() == [2, 2]


def test_what_is_no_array_is_refused():
    message = r"^lift: operands must be arrays or Python numbers; got str\." + LINE
    with pytest.raises(volta.DTypeError, match=message):
        volta.lift(["a"])


def test_constants_share_the_namespace_of_traced_arrays():
    target = np.asarray([1.0, 2.0])

    def loss(x):
        y = volta.lift(target)
        xp = array_api_compat.array_namespace(x, y)
        return xp.sum((x - y) ** 2)

    np.testing.assert_array_equal(volta.grad(loss)(np.zeros(2)), [-2.0, -4.0])


def test_constants_prints_show_the_array():
    assert repr(volta.lift(np.ones(2))) == "Constant(array([1., 1.]))"
    assert f"{volta.lift(np.asarray(0.5)):.2f}" == "0.50"
