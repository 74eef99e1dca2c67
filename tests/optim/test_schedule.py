import numpy as np
import pytest

import volta
import volta.functional as F
from volta import optim

pytestmark = pytest.mark.optimizer
STEPS = range(60)
ROWS = [
    ("constant_schedule", (0.3,), {}),
    ("linear_schedule", (0.1, 0.7, 20), {"transition_begin": 5}),
    ("polynomial_schedule", (0.9, 0.1, 3, 20), {"transition_begin": 5}),
    ("exponential_decay", (0.5, 10, 0.3), {"transition_begin": 4}),
    ("exponential_decay", (0.5, 10, 0.3), {"staircase": True, "end_value": 0.05}),
    ("exponential_decay", (0.5, 10, 1.5), {"end_value": 2.0}),
    ("cosine_decay_schedule", (0.5, 40), {"alpha": 0.1, "exponent": 1.5}),
    ("piecewise_constant_schedule", (0.5, {10: 0.5, 30: 0.1}), {}),
    ("piecewise_constant_schedule", (0.5,), {}),
    ("piecewise_interpolate_schedule", ("linear", 0.5, {10: 0.5, 30: 3.0}), {}),
    ("piecewise_interpolate_schedule", ("cosine", 0.5, {10: 0.5, 30: 3.0}), {}),
    ("linear_onecycle_schedule", (50, 0.7), {}),
    (
        "linear_onecycle_schedule",
        (50, 0.7),
        {"pct_start": 0.4, "pct_final": 0.7, "div_factor": 10.0, "final_div_factor": 5.0},
    ),
    ("cosine_onecycle_schedule", (50, 0.7), {}),
    (
        "cosine_onecycle_schedule",
        (50, 0.7),
        {"pct_start": 0.4, "div_factor": 10.0, "final_div_factor": 5.0},
    ),
    ("warmup_constant_schedule", (0.1, 0.7, 20), {}),
    ("warmup_cosine_decay_schedule", (0.1, 0.7, 10, 50), {"end_value": 0.2, "exponent": 2.0}),
    (
        "warmup_exponential_decay_schedule",
        (0.1, 0.7, 10, 5, 0.8),
        {"transition_begin": 3, "staircase": True, "end_value": 0.2},
    ),
    (
        "sgdr_schedule",
        (
            [
                {"init_value": 0.1, "peak_value": 0.7, "warmup_steps": 5, "decay_steps": 20},
                {"init_value": 0.2, "peak_value": 0.5, "warmup_steps": 3, "decay_steps": 30},
            ],
        ),
        {},
    ),
]
rows = pytest.mark.parametrize(
    ("name", "arguments", "options"), ROWS, ids=[f"{r[0]}-{i}" for i, r in enumerate(ROWS)]
)


def values(schedule):
    return [float(schedule(step)) for step in STEPS]


@rows
def test_goes_optax_s_way(name, arguments, options):
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        oracle = getattr(optax, name)(*arguments, **options)
        expected = [float(oracle(jax.numpy.asarray(step))) for step in STEPS]
    # an array of steps is float32 there in places
    found = values(getattr(optim, name)(*arguments, **options))
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-9)


@rows
def test_every_option_shows(name, arguments, options):
    make = getattr(optim, name)
    whole = values(make(*arguments, **options))
    for option in options:
        rest = {k: v for k, v in options.items() if k != option}
        assert np.max(np.abs(np.subtract(whole, values(make(*arguments, **rest))))) > 1e-3


@rows
@pytest.mark.parametrize("library", ["numpy", "array_api_strict", "torch"])
def test_arrays_of_steps(name, arguments, options, library):
    xp = pytest.importorskip(library)
    schedule = getattr(optim, name)(*arguments, **options)
    for step in (0, 3, 10, 20, 45):
        found = schedule(xp.asarray(step, dtype=xp.int32))
        np.testing.assert_allclose(float(found), schedule(step), rtol=2e-6)
    if name != "constant_schedule":
        lanes = volta.vmap(schedule)(np.asarray([0, 10, 45], np.int32))
        np.testing.assert_allclose(lanes, [schedule(s) for s in (0, 10, 45)], rtol=2e-6)


def test_python_numbers_give_python_numbers():
    for name, arguments, options in ROWS:
        value = getattr(optim, name)(*arguments, **options)(7)
        assert type(value) is float, name


def test_join_counts_from_the_boundary():
    schedule = optim.join_schedules([lambda t: t, lambda t: 100 + t, lambda t: 200 + t], [3, 5])
    assert [schedule(t) for t in range(7)] == [0, 1, 2, 100, 101, 200, 201]


def test_differentiates_in_its_values():
    def last(rate):
        return optim.cosine_decay_schedule(rate, 10, alpha=0.5)(np.asarray(5))

    np.testing.assert_allclose(volta.grad(last)(np.asarray(2.0)), 0.75)


def test_lives_in_the_state():
    optimizer = optim.sgd(optim.linear_schedule(0.0, 1.0, 10))
    w, state = np.ones(1), optimizer.init(np.ones(1))
    sizes = []
    for _ in range(3):
        updates, state = optimizer.update(w, state)
        sizes.append(float(updates[0]))
    np.testing.assert_allclose(sizes, [0, -0.1, -0.2])
    assert state.step.dtype == np.int32
    later, _ = optimizer.update(w, optim.ScheduleState(np.asarray(7, np.int32)))
    np.testing.assert_allclose(later, -0.7)


def test_scale_by_schedule_under_trace():
    optimizer = optim.scale_by_schedule(optim.exponential_decay(1.0, 1, 0.5))

    def third(g, count):
        return optimizer.update(g, optim.ScheduleState(count))[0]

    program = volta.trace(third)(np.ones(2), np.asarray(3, np.int32))
    np.testing.assert_allclose(program(np.ones(2), np.asarray(1, np.int32)), 0.5)
    np.testing.assert_allclose(F.asarray(third(np.ones(2), np.asarray(3))), 0.125)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: optim.linear_schedule(0, 1, 0),
            "polynomial_schedule: transition_steps must be finite, at least 1; got 0",
        ),
        (
            lambda: optim.linear_schedule(0, 1, 1, -1),
            "polynomial_schedule: transition_begin must be finite, at least 0; got -1",
        ),
        (
            lambda: optim.exponential_decay(1, 0, 0.5),
            "exponential_decay: transition_steps must be finite, at least 1; got 0",
        ),
        (
            lambda: optim.exponential_decay(1, 1, 0.0),
            "exponential_decay: decay_rate must be positive; got 0.0",
        ),
        (
            lambda: optim.cosine_decay_schedule(1, 0),
            "cosine_decay_schedule: decay_steps must be finite, at least 1; got 0",
        ),
        (
            lambda: optim.piecewise_constant_schedule(1, {1: -1.0}),
            "piecewise_constant_schedule: factors must not be negative; got {1: -1.0}",
        ),
        (
            lambda: optim.piecewise_interpolate_schedule("cubic", 1),
            "interpolate_type must be 'linear' or 'cosine'; got 'cubic'",
        ),
        (
            lambda: optim.cosine_onecycle_schedule(0, 1),
            "cosine_onecycle_schedule: transition_steps must be finite, at least 1; got 0",
        ),
        (
            lambda: optim.linear_onecycle_schedule(0, 1),
            "linear_onecycle_schedule: transition_steps must be finite, at least 1; got 0",
        ),
        (
            lambda: optim.linear_schedule(0, 1, float("nan")),
            "polynomial_schedule: transition_steps must be finite, at least 1; got nan",
        ),
        (
            lambda: optim.exponential_decay(1, 1, float("inf")),
            "exponential_decay: decay_rate must be finite, at least 0; got inf",
        ),
        (
            lambda: optim.linear_onecycle_schedule(10, 1, pct_start=0.9),
            "linear_onecycle_schedule: pct_start must be finite, at least 0 and less than 0.85; ",
        ),
        (
            lambda: optim.linear_onecycle_schedule(10, 1, pct_final=1.0),
            "linear_onecycle_schedule: pct_final must be finite, at least 0 and less than 1; got 1",
        ),
        (
            lambda: optim.cosine_onecycle_schedule(10, 1, pct_start=1.0),
            "cosine_onecycle_schedule: pct_start must be finite, at least 0 and less than 1; got 1",
        ),
        (
            lambda: optim.cosine_onecycle_schedule(10, 1, div_factor=0.0),
            "cosine_onecycle_schedule: div_factor must be positive; got 0.0",
        ),
        (
            lambda: optim.linear_onecycle_schedule(10, 1, final_div_factor=0.0),
            "linear_onecycle_schedule: final_div_factor must be positive; got 0.0",
        ),
        (
            lambda: optim.warmup_cosine_decay_schedule(0, 1, 5, 5),
            "warmup_cosine_decay_schedule: decay_steps must be finite, at least 6; got 5",
        ),
        (
            lambda: optim.join_schedules([abs, abs], [3, 4]),
            r"join_schedules: boundaries must increase, and be one less than the schedules; got "
            r"\[3, 4\] for 2 schedules",
        ),
    ],
)
def test_numbers_of_steps_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_schedule_is_a_function():
    with pytest.raises(
        TypeError, match="scale_by_schedule: step_size_fn must be a function; got float"
    ):
        optim.scale_by_schedule(0.1)
