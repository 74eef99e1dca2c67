"""Programs on the disk: found for an equal list, never for another, and whole or not at all."""

import subprocess
import sys

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import optim
from volta.compile import numpy as programs
from volta.compile import store
from volta.compile.native import llvm
from volta.compile.program import backend
from volta.core.context import default_dtype
from volta.core.primitive import REGISTRY, Primitive
from volta.core.types import ArrayType

pytestmark = [pytest.mark.core, pytest.mark.filterwarnings("error")]

BACKENDS = [
    "numpy",
    pytest.param(
        "llvm",
        marks=pytest.mark.skipif(not llvm.available(), reason="llvmlite is not installed"),
    ),
]


@pytest.fixture(params=BACKENDS)
def by(request, tmp_path, monkeypatch):
    """A backend, with an empty folder for what is kept."""
    monkeypatch.setenv("VOLTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "_FEWEST", 0)
    with backend(request.param):
        yield request.param


@pytest.fixture
def wrote(monkeypatch):
    """How many programs were written since."""
    made = []
    plain = programs.write
    monkeypatch.setattr(programs, "write", lambda *args: made.append(1) or plain(*args))
    return made


def bits(found):
    return [(x.dtype, x.shape, x.tobytes()) for x in map(np.asarray, volta.tree.leaves(found))]


def params_and_data():
    random = np.random.default_rng(0)
    params = {"w": random.normal(size=(5, 7)), "v": random.normal(size=(7, 3))}
    return params, random.normal(size=(11, 5)), np.arange(11) % 3


def step(params, x, labels):
    def loss(params):
        return F.cross_entropy(F.tanh(x @ params["w"]) @ params["v"], labels)

    optimizer = optim.adam(1e-2)
    value, grads = volta.value_and_grad(loss)(params)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return optim.apply_updates(params, updates), value


def loops(x):
    def body(carry, row):
        carry = F.tanh(carry @ x) + row
        return carry, F.sum(carry * carry)

    last, sums = volta.scan(body, np.ones(x.shape[1]), x)
    larger = volta.cond(F.sum(last) > 0, lambda v: F.exp(-v) * v, lambda v: v - 1, last)
    return volta.while_loop(lambda v: F.sum(v) < 9, lambda v: v * 2 + 1, F.abs(larger)), sums


def dropped(x, key):
    return F.sum(F.dropout(x, 0.5, key=key, training=True) * x), F.sort(x, axis=-1)


X = np.random.default_rng(1).normal(size=(4, 4))
TABLE = np.random.default_rng(2).normal(size=(50, 3))
PLACES = np.asarray([3, 0, 49])

FUNCTIONS = {
    "training step": (step, params_and_data()),
    "loops": (loops, (X,)),
    "gradient of loops": (
        volta.grad(
            lambda x: F.sum(volta.scan(lambda c, r: (F.tanh(c @ x) + r, c), np.ones(4), x)[1])
        ),
        (X,),
    ),
    "random numbers": (dropped, (X, F.random.key(3))),
    "captured arrays": (lambda x: F.sum(F.exp(x @ TABLE.T[:, :4].T) * 2), (X,)),
    "indices": (
        lambda x: F.sum(F.exp(x)) + TABLE[PLACES].sum() + F.take(x, PLACES % 4, axis=0)[:1],
        (X,),
    ),
    "nested": (lambda x: volta.jit(lambda y: F.exp(y) * TABLE[:4, :1])(x) - 1, (X,)),
    "complex": (lambda x: F.abs(F.exp(x * 1j) + 2) * 3, (X,)),
    "branches": (lambda x: F.exp(x) * 2 if F.sum(x) > 0 else F.exp(-x) / 3, (X,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_list_that_is_staged_again_finds_its_program(by, wrote, name):
    function, args = FUNCTIONS[name]
    first = bits(volta.jit(function)(*args))
    count = len(wrote)
    assert count
    again = volta.jit(lambda *args: function(*args))
    assert bits(again(*args)) == first
    assert bits(again(*args)) == first
    assert len(wrote) == count


def test_it_says_of_it_what_it_said_before(by):
    function, args = FUNCTIONS["training step"]
    told = []
    for _ in range(2):
        jitted = volta.jit(function)
        jitted(*args)
        told.append(jitted.explain())
    assert told[0] == told[1]
    assert "matmul" in told[0] or "product" in told[0]


def test_captured_arrays_are_those_of_the_list(by, wrote):
    def made(table):
        return volta.jit(lambda x: F.exp(x) * table + F.sum(table @ x))

    one, two = np.arange(9.0).reshape(3, 3), np.full((3, 3), 7.0)
    x = np.linspace(0, 1, 9).reshape(3, 3)
    bits(made(one)(x))
    count = len(wrote)
    np.testing.assert_allclose(made(two)(x), np.exp(x) * 7 + (two @ x).sum(), rtol=1e-14)
    assert len(wrote) == count
    two[...] = 1
    np.testing.assert_allclose(made(two)(x), np.exp(x) + (two @ x).sum(), rtol=1e-14)


def test_indices_are_part_of_a_list(by):
    """A program may take it for granted that an index counts an axis."""

    def made(rows):
        return volta.jit(lambda x, c: F.exp(x[rows, c]))

    x, columns = np.arange(12.0).reshape(4, 3), np.asarray([[2], [1], [0], [1]])
    for rows in ([[0], [1], [2], [3]], [[0], [1], [2], [2]], [[3], [2], [1], [0]]):
        rows = np.asarray(rows)
        np.testing.assert_allclose(made(rows)(x, columns), np.exp(x[rows, columns]), rtol=1e-15)


def listed(function, *args):
    return store.staged(volta.trace(function)(*args), native=False).key


DIFFERENT = {
    "a zero's sign": (lambda x: x + 0.0, lambda x: x + -0.0),
    "kinds of numbers": (lambda x: x * 1, lambda x: x * 1.0),
    "numbers": (lambda x: x * 2.5, lambda x: x * 2.25),
    "operations": (F.exp, F.exp2),
    "order": (lambda x: x - F.exp(x), lambda x: F.exp(x) - x),
    "parameters": (lambda x: F.sum(x, axis=0), lambda x: F.sum(x, axis=1)),
    "dtypes": (lambda x: F.astype(x, F.float32), lambda x: F.astype(x, F.float64)),
    "what is returned": (lambda x: (F.exp(x), x), lambda x: (x, F.exp(x))),
    "slices": (lambda x: x[1:3], lambda x: x[1:2]),
    "numbers of indices": (lambda x: x[PLACES % 3], lambda x: x[PLACES % 2]),
    "bodies": tuple(
        lambda x, rate=rate: volta.scan(lambda c, r: (c * rate, r), x[0], x) for rate in (2, 3)
    ),
    "a sweep's entries": (lambda x: F.exp(x) * F.ones(3), volta.grad(lambda x: F.sum(F.exp(x)))),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_lists_that_differ_have_keys_that_do(by, name):
    one, two = DIFFERENT[name]
    x = np.ones((3, 3))
    assert listed(one, x) == listed(one, x)
    assert listed(one, x) != listed(two, x)


def test_types_and_settings_are_part_of_a_key(by, monkeypatch):
    x = np.ones((3, 3))
    key = listed(F.exp, x)
    assert key == listed(F.exp, x + 1)
    others = [listed(F.exp, np.ones((3, 4))), listed(F.exp, x.astype(np.float32))]
    with default_dtype("float64"):
        others.append(listed(F.exp, x))
    others.append(store.staged(volta.trace(F.exp)(x), native=llvm.available()).key)
    monkeypatch.setattr(store, "_versions", lambda: "another")
    others.append(listed(F.exp, x))
    assert key not in others[: 3 + llvm.available()]
    assert key != others[-1]


def test_another_file_of_volta_is_another_version(tmp_path, monkeypatch):
    folder = tmp_path / "volta" / "compile"
    folder.mkdir(parents=True)
    path = folder / "store.py"
    path.write_text("one = 1\n")
    monkeypatch.setattr(store, "__file__", str(path))
    found = [store._versions.__wrapped__()]
    path.write_text("three = 3\n")
    found.append(store._versions.__wrapped__())
    (folder / "other.py").write_text("")
    found.append(store._versions.__wrapped__())
    assert len({*found}) == 3


def test_arrays_of_other_libraries_find_no_program_of_numpys(by):
    strict = pytest.importorskip("array_api_strict")

    def fun(x):
        return F.exp(x) * 2 + F.sum(x)

    volta.jit(fun)(np.ones(3))
    found = volta.jit(lambda x: fun(x))(strict.ones(3))
    assert type(found) is type(strict.ones(3))


def test_what_calls_the_users_functions_is_not_kept(by, wrote):
    @volta.custom_jvp
    def twice(x):
        return x * 2

    twice.defjvp(lambda primals, tangents: (twice(*primals), tangents[0] * 2))
    called = []
    for factor in (1, 2):

        def told(x, factor=factor):
            volta.debug.callback(lambda v: called.append(float(v) * factor), F.sum(x))
            return F.exp(x)

        volta.jit(told)(np.ones(3))
    assert called == [3.0, 6.0]
    assert len(wrote) == 2
    assert store.staged(volta.trace(lambda x: twice(x) + 1)(np.ones(3)), False) is None


def test_a_primitive_of_the_users_is_not_kept(by):
    rate = [2]

    def made():
        return Primitive(
            "test_store_rate",
            type_rule=lambda x: ArrayType(x.shape, x.dtype),
            batch=lambda size, batched, x: REGISTRY["test_store_rate"].call(x),
            derivatives=(),
            value=lambda xp, x, rate=rate[0]: x * rate,
            elementwise=True,
        )

    try:
        for rate[0] in (2, 3):
            REGISTRY.pop("test_store_rate", None)
            primitive = made()
            found = volta.jit(lambda x, call=primitive.call: call(x) + 1)(np.ones(3))
            np.testing.assert_array_equal(found, rate[0] + np.ones(3))
    finally:
        REGISTRY.pop("test_store_rate", None)


def test_errors_of_a_kept_program_name_the_line_and_both_sides(by, wrote):
    def picked(x, i):
        y = F.exp(x) * 2
        return F.take(y, i, axis=0) + 1  # the line

    messages = []
    for _ in range(2):
        jitted = volta.jit(lambda x, i: picked(x, i))
        jitted(X, np.asarray([1, 2]))
        with pytest.raises(IndexError) as raised:
            jitted(X, np.asarray([1, 9]))
        messages.append(str(raised.value))
    assert len(wrote) == 1
    assert messages[0] == messages[1]
    assert "test_store.py" in messages[0]
    assert "9" in messages[0]


def test_code_that_is_gone_is_made_again(tmp_path, monkeypatch, wrote):
    if not llvm.available():
        pytest.skip("llvmlite is not installed")
    monkeypatch.setenv("VOLTA_CACHE", str(tmp_path / "cache"))
    first = bits(volta.jit(lambda x: F.exp(x) * 2)(X))
    for path in (tmp_path / "cache").iterdir():
        if b"ELF" in path.read_bytes()[:64]:
            path.unlink()
    assert bits(volta.jit(lambda x: F.exp(x) * 2)(X)) == first
    assert len(wrote) == 2


def test_programs_of_one_key_share_no_memory(by):
    def fun(x):
        y = F.exp(x @ x) * 2
        return F.sort(y, axis=0) @ x, y * 3

    x = np.random.default_rng(0).normal(size=(200, 200)) / 100
    one, two = volta.jit(fun), volta.jit(lambda x: fun(x))
    first = one(x)
    before = bits(first)
    second = two(x + 1)
    assert bits(first) == before
    arrays = [*first, *second]
    pairs = [(a, b) for i, a in enumerate(arrays) for b in arrays[:i]]
    assert not any(np.shares_memory(a, b) for a, b in pairs)


def test_what_is_donated_is_part_of_a_key(by, wrote):
    def fun(x, y):
        return F.exp(x @ y) * 2, y + x

    def args():
        return [np.random.default_rng(i).normal(size=(9, 9)) for i in range(2)]

    wanted = bits(fun(*args()))
    for given in ((), 0, (0, 1), 1):
        for again in (False, True):
            count, given_args = len(wrote), args()
            found = volta.jit(lambda x, y: fun(x, y), donate_argnums=given)(*given_args)
            assert (len(wrote) == count) is again
            for x, (dtype, shape, held) in zip(found, wanted, strict=True):
                np.testing.assert_allclose(
                    x, np.frombuffer(held, dtype).reshape(shape), rtol=1e-13, atol=1e-13
                )
            numbers = (given,) if isinstance(given, int) else given
            assert all(any(x is given_args[i] for x in found) for i in numbers)


PROGRAM = """
import numpy as np, volta, volta.functional as F
from volta.compile import numpy as programs, store
made = []
plain = programs.write
programs.write = lambda *args: made.append(1) or plain(*args)
store._FEWEST = 0
x = np.random.default_rng(0).normal(size=(8, 6))
def loss(w):
    h, _ = volta.scan(lambda c, r: (F.tanh(c @ w) + r[:3], c), np.ones(3), x)
    return F.sum(F.exp(h) * F.softmax(h))
value, grads = volta.jit(volta.value_and_grad(loss), backend=BACKEND)(np.ones((3, 3)))
print(len(made), float(value).hex(), grads.tobytes().hex())
"""


@pytest.mark.parametrize("name", BACKENDS)
def test_a_second_process_writes_no_program(tmp_path, monkeypatch, name):
    monkeypatch.setenv("VOLTA_CACHE", str(tmp_path / "cache"))
    found = []
    for seed in ("0", "1"):  # of the hashes of text, on which no key may depend
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        command = [sys.executable, "-c", PROGRAM.replace("BACKEND", repr(name))]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        found.append(run.stdout.split())
    assert int(found[0][0]) > 0
    assert int(found[1][0]) == 0
    assert found[0][1:] == found[1][1:]
