"""What shares memory, and arrays for results that are used again."""

import gc
import threading

import numpy as np
import pytest
from samples import SAMPLES

import volta
import volta.functional as F
from volta.compile.memory import Results, is_fresh, sharing
from volta.core.primitive import REGISTRY
from volta.core.types import DTYPES, ArrayType

pytestmark = [pytest.mark.core, pytest.mark.usefixtures("by_numpy")]
KIND = ArrayType((3, 2), DTYPES["float32"])


# Sharing ------------------------------------------------------------------------------------------


def test_views_and_what_they_are_of_are_one_group():
    wengert = volta.trace(lambda x: (F.reshape(F.exp(x), (2, 2)).T[0], F.sin(x)))(np.ones(4))
    group = sharing(wengert.entries, wengert.types)
    (x,), (part, sine) = wengert.inputs, wengert.outputs
    exp = wengert.entries[0].results[0]
    assert group[part] == group[exp]
    assert len({group[x], group[exp], group[sine]}) == 3


def test_a_long_list_takes_no_square_of_its_length():
    def fun(x):
        for _ in range(3000):
            x = F.reshape(x + 1, (2, 2)).T
        return x

    wengert = volta.trace(fun)(np.ones((2, 2)))
    group = sharing(wengert.entries, wengert.types)
    assert len(set(group.values())) == 3001


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_what_is_called_fresh_on_numpy_is(name):
    for sample in SAMPLES:
        if sample.primitive != name:
            continue
        wengert = volta.trace(sample.fun)(*sample.args)
        values = dict(zip(wengert.inputs, sample.args, strict=True))
        values.update(zip(wengert.captured, wengert.constants, strict=True))
        for e in wengert.entries:
            args = [o.value if hasattr(o, "value") else values[o] for o in e.operands]
            out = e.primitive.call(*args, **e.params)
            outs = (out,) if e.primitive.results == 1 else out
            values.update(zip(e.results, outs, strict=True))
            if is_fresh(e, wengert.types):
                arrays = [a for a in args if isinstance(a, np.ndarray)]
                assert not any(np.shares_memory(o, a) for o in outs for a in arrays), name


# Results ------------------------------------------------------------------------------------------


def address(x):
    return x.__array_interface__["data"][0]


def test_an_array_is_used_again_when_nothing_refers_to_it():
    results = Results(KIND)
    first = results()
    assert (first.shape, first.dtype) == ((3, 2), np.float32)
    place = address(first)
    del first
    assert address(results()) == place


@pytest.mark.parametrize(
    "hold",
    [
        lambda x: x,
        lambda x: x[1:],
        lambda x: x.T[0],
        lambda x: x.view(np.int32),
        lambda x: memoryview(x),
        lambda x: np.from_dlpack(x),
        lambda x: np.frombuffer(x, np.uint8),
        lambda x: np.broadcast_to(x[0], (4, 2)),
        lambda x: x.flat,
    ],
)
def test_whatever_refers_to_an_array_keeps_it(hold):
    results = Results(KIND)
    first = results()
    held, place = hold(first), address(first)
    del first
    for _ in range(5):
        assert address(results()) != place
    del held
    gc.collect()


def test_a_tensor_of_torch_keeps_its_array():
    torch = pytest.importorskip("torch")
    results = Results(KIND)
    first = results()
    tensor, place = torch.from_numpy(first), address(first)
    del first
    for _ in range(5):
        assert address(results()) != place
    del tensor


def test_two_arrays_take_turns_in_a_loop():
    results, places = Results(KIND), set()
    state = results()
    for _ in range(10):
        new = results()
        assert not np.shares_memory(new, state)
        places.add(address(new))
        state = new
    assert len(places) <= 3
    assert len(results.kept) == 2


@pytest.mark.filterwarnings("ignore:Setting the shape:DeprecationWarning")
def test_what_is_done_to_an_array_does_not_stay():
    results = Results(KIND)
    for _ in range(4):
        x = results()
        assert x.shape == (3, 2)
        assert x.flags.writeable
        x.shape = (6,)
        x.flags.writeable = False
        del x


def test_threads_never_get_the_same_array():
    results, wrong = Results(KIND), []

    def work(number):
        for _ in range(2000):
            x = results()
            x[...] = number
            y = results()
            y[...] = -number
            if not (np.all(x == number) and np.all(y == -number)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
