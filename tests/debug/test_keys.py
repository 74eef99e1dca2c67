"""debug_key_reuse: a key is used once."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import nn

pytestmark = pytest.mark.core

R = F.random
ONE = np.asarray(1.0, np.float32)


def two_samplers():
    key = R.key(0)
    R.normal(key, (2,))
    R.uniform(key, (2,))


def sampler_and_split():
    key = R.key(0)
    R.normal(key)
    R.split(key)


def split_twice():
    key = R.key(0)
    R.split(key)
    R.split(key)


def an_element_twice():
    keys = R.split(R.key(0), 3)
    R.normal(keys[0])
    R.bernoulli(keys[0])


def an_unpacked_key_and_its_element():
    keys = R.split(R.key(0))
    first, _ = keys
    R.normal(first), R.normal(keys[0])


def a_copy():
    key = R.key(0)
    R.normal(key)
    R.normal(key.copy())


def folded_alike():
    key = R.key(0)
    R.normal(R.fold_in(key, 1))
    R.normal(R.fold_in(key, 1))


def lanes_twice():
    keys = R.split(R.key(0), 4)
    volta.vmap(lambda k: R.normal(k, (2,)))(keys)
    volta.vmap(lambda k: R.uniform(k, (2,)))(keys)


def a_lane_and_an_element():
    keys = R.split(R.key(0), 4)
    volta.vmap(R.normal)(keys)
    R.normal(keys[2])


def in_a_gradient():
    key = R.key(0)
    volta.grad(lambda x: F.sum(x * R.normal(key, (2,)) * R.normal(key, (2,))))(np.ones(2))


def each_step_of_a_loop():
    key = R.key(0)
    volta.scan(lambda c, x: (c + R.normal(key), None), ONE, np.ones(3))


def after_both_branches():
    key = R.key(0)

    def either(x):
        return volta.cond(x > 0, lambda: R.normal(key), lambda: R.uniform(key))

    volta.vmap(either)(np.asarray([1.0, -1.0]))
    R.normal(key)


def two_layers():
    key = R.key(1)
    layer = nn.Dropout(0.5)
    layer(np.ones(3), key=key)
    layer(np.ones(3), key=key)


REUSES = [
    two_samplers,
    sampler_and_split,
    split_twice,
    an_element_twice,
    an_unpacked_key_and_its_element,
    a_copy,
    folded_alike,
    lanes_twice,
    a_lane_and_an_element,
    in_a_gradient,
    each_step_of_a_loop,
    after_both_branches,
    two_layers,
]


@pytest.mark.parametrize("program", REUSES, ids=lambda p: p.__name__)
def test_a_second_use_is_refused(program):
    program()  # without the context nothing is
    context = volta.debug_key_reuse()
    with (
        pytest.raises(volta.KeyReuseError, match=r"^\w+: a random key must be used once; got one"),
        context,
    ):
        program()
    program()


def test_both_lines_and_both_functions_are_named():
    line = two_samplers.__code__.co_firstlineno
    with pytest.raises(volta.KeyReuseError) as caught, volta.debug_key_reuse():
        two_samplers()
    assert str(caught.value) == (
        f"uniform: a random key must be used once; got one that normal used at test_keys.py:"
        f"{line + 2}. Split it first, key1, key2 = random.split(key), and use each part once. "
        f"(line: test_keys.py:{line + 3})"
    )


def test_lanes_must_have_keys_of_their_own():
    key = R.key(0)
    keys = np.stack([np.asarray(key)] * 2)
    for draw in (R.normal, R.split):
        message = rf"^{draw.__name__}: a random key .* got one that {draw.__name__} used at"
        with pytest.raises(volta.KeyReuseError, match=message), volta.debug_key_reuse():
            volta.vmap(lambda k, draw=draw: draw(k))(keys)


def test_the_layer_that_used_a_key_twice_is_named():
    key = R.key(0)
    message = "^Linear: a random key must be used once; got one that Linear used at test_keys.py"
    with pytest.raises(volta.KeyReuseError, match=message), volta.debug_key_reuse():
        nn.Linear(2, 3, key=key), nn.Linear(2, 3, key=key)


def parts():
    first, second = R.split(R.key(0))
    R.normal(first), R.uniform(second)


def folds():
    key = R.key(0)
    for i in range(3):
        R.normal(R.fold_in(key, i))
    R.normal(key)


def made_anew():
    for _ in range(2):
        keys = R.split(R.key(0))
        R.normal(keys[0]), R.normal(R.fold_in(keys[1], 7))


def checkpointed():
    key = R.key(0)
    volta.grad(volta.checkpoint(lambda x: F.sum(F.sin(x) * x * R.normal(key, (2,)))))(np.ones(2))


def lanes_with_gradients():
    keys = R.split(R.key(0), 4)

    def loss(x, key):
        return F.sum(x * R.normal(key, (2,)) * R.uniform(R.fold_in(key, 1)))

    volta.vmap(volta.grad(loss))(np.ones((4, 2)), keys)


def second_order():
    key = R.key(0)

    def loss(x):
        return F.sum(x**3 * R.normal(key, (2,)))

    volta.jvp(volta.grad(loss), (np.ones(2),), (np.ones(2),))


def carried():
    def step(carry, x):
        value, key = carry
        key, part = R.split(key)
        return (value + R.normal(part) * value, key), None

    volta.grad(lambda v: volta.scan(step, (v, R.key(0)), np.ones(3))[0][0])(ONE)


def branches():
    key = R.key(0)

    def either(x):
        return volta.cond(x > 0, lambda: R.normal(key), lambda: R.uniform(key))

    volta.vmap(either)(np.asarray([1.0, -1.0]))


def until():
    def body(carry):
        value, key = carry
        key, part = R.split(key)
        return value * (1.5 + R.uniform(part)), key

    def loop(x, key):
        return volta.while_loop(lambda c: c[0] < 5, body, (x, key))[0]

    volta.grad(loop)(ONE, R.key(0))
    volta.vmap(loop)(np.asarray([1.0, 2.0, 4.0], np.float32), R.split(R.key(1), 3))


def lanes_that_part():
    shared = R.key(1)

    def fun(x, key):
        y = R.normal(key) + R.normal(shared)
        return y * x if x > 1 else y - x

    volta.vmap(fun)(np.asarray([1.0, 2.0, 3.0]), R.split(R.key(0), 3))


def layers():
    model = nn.Sequential(nn.Linear(3, 3, key=R.key(0)), nn.Dropout(0.5), nn.Dropout(0.5))
    model(np.ones(3, np.float32), key=R.key(1))


FINE = [
    parts,
    folds,
    made_anew,
    checkpointed,
    lanes_with_gradients,
    second_order,
    carried,
    branches,
    until,
    lanes_that_part,
    layers,
]


@pytest.mark.parametrize("program", FINE, ids=lambda p: p.__name__)
def test_one_use_is_one(program):
    with volta.debug_key_reuse():
        program()


def test_samplers_that_draw_twice_split_first():
    with volta.debug_key_reuse():
        R.randint(R.key(0), (3,), 0, 5)
        R.gamma(R.key(1), 2.0, (3,))
        R.choice(R.key(2), 5, (3,), replace=False)
        R.permutation(R.key(3), np.arange(4))
        R.truncated_normal(R.key(4), -1.0, 1.0, (3,))


@pytest.mark.parametrize("name", ["torch", "jax.numpy", "array_api_strict"])
def test_other_libraries(name):
    xp = pytest.importorskip(name)
    key = R.key(0, xp=xp)
    with volta.debug_key_reuse():
        keys = R.split(key)
        first, second = keys[0, :], keys[1, :]
        R.normal(first), R.normal(second)
        with pytest.raises(volta.KeyReuseError):
            R.normal(first)
