"""What every optimizer must do, from the rows of rows.py."""

import functools

import numpy as np
import pytest
from optim.rows import PAIRS, STATEFUL

import volta
import volta.functional as F
from volta import ShapeError, io, nn, optim, tree
from volta.functional import random

pytestmark = pytest.mark.optimizer
pairs = pytest.mark.parametrize("row", PAIRS, ids=lambda row: row.name)
stateful = pytest.mark.parametrize("row", STATEFUL, ids=lambda row: row.name)
STEPS = 7


def start(dtype="float64", lanes=()):
    """Parameters of several shapes; one more than a block of Adam's on NumPy arrays."""
    draw = np.random.default_rng(0)
    return {
        "w": draw.normal(size=(*lanes, 3, 2)).astype(dtype),
        "layers": [draw.normal(size=(*lanes, 5)).astype(dtype), draw.normal(size=lanes) * 0 + 0.5],
    } | ({} if lanes else {"long": draw.normal(size=40_000).astype(dtype)})


def gradients(params):
    """Those of a loss that is no quadratic; by hand, so that they are the same everywhere."""
    return tree.map(lambda p: p - 0.3 * p**3 / (1 + p**2) + 0.2, params)


def run(optimizer, params, steps=STEPS):
    """All the parameters that an Optimizer goes through."""
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(gradients(params), state, params)
        params = optim.apply_updates(params, updates)
    return params


def run_stateful(optimizer, steps=STEPS):
    """Parameters after some steps of a stateful optimizer."""
    for _ in range(steps):
        optimizer.step(gradients(optimizer.params))
    return optimizer.params


def close(a, b, rtol=1e-12):
    for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


def apart(a, b, tolerance):
    assert all(np.all(np.isfinite(x)) for x in tree.leaves(a))
    return not all(
        np.max(np.abs(x - y)) <= tolerance
        for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True)
    )


# Trajectories ------------------------------------------------------------------------------------


LONG = 50


def landscape():
    """Parameters of a quadratic, of Rosenbrock's valley, and of a small network."""
    draw = np.random.default_rng(1)
    return {
        "quadratic": {"x": draw.normal(size=7)},
        "valley": {"x": draw.uniform(0.3, 1.2, size=(2, 3)), "y": np.asarray(0.5)},
        "network": {
            "w": draw.normal(size=(3, 4)) * 0.5,
            "b": draw.normal(size=4) * 0.1,
            "v": draw.normal(size=(4, 2)) * 0.5,
        },
    }


DATA = np.random.default_rng(2).normal(size=(5, 3)), np.random.default_rng(3).normal(size=(5, 2))


def slopes(params, inputs, targets):
    """Gradients there, by hand and with operators alone, so that they are the same everywhere.

    The valley is Rosenbrock's function, divided by 500 so that no row's steps leave it.
    """
    quadratic, valley, network = (params[k] for k in ("quadratic", "valley", "network"))
    x, y = valley["x"], valley["y"]
    z = inputs @ network["w"] + network["b"]
    hidden = z / (1 + z**2) ** 0.5
    error = (hidden @ network["v"] - targets) / 5
    back = (error @ network["v"].T) * (1 + z**2) ** -1.5
    return {
        "quadratic": {"x": (quadratic["x"] - 0.3) * 0.7},
        "valley": {
            "x": (2 * (x - 1) - 400 * x * (y - x**2)) / 500,
            "y": 200 * (y - x**2).sum() / 500,
        },
        "network": {"w": inputs.T @ back, "b": back.sum(0), "v": hidden.T @ error},
    }


def along(optimizer):
    """Parameters of an Optimizer after many steps there."""
    params = landscape()
    state = optimizer.init(params)
    for _ in range(LONG):
        updates, state = optimizer.update(slopes(params, *DATA), state, params)
        params = optim.apply_updates(params, updates)
    return params


def along_stateful(row, arguments):
    """Parameters of a stateful optimizer after many steps there."""
    optimizer = row.make(of(row, landscape()), **arguments)
    for _ in range(LONG):
        rest = landscape() if row.matrices else optimizer.params
        params = {k: rest[k] | optimizer.params.get(k, {}) for k in rest}
        optimizer.step(of(row, slopes(params, *DATA)))
    return optimizer.params


def of(row, params):
    """What an optimizer of matrices takes, or all."""
    if not row.matrices:
        return params
    return {k: {n: x for n, x in params[k].items() if x.ndim == 2} for k in ("valley", "network")}


@pairs
def test_goes_optax_s_way(row):
    if not row.optax:
        pytest.skip("optax goes another way")
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    make = optax
    for name in row.optax.split("."):
        make = getattr(make, name)
    with jax.enable_x64(True):
        oracle = make(**row.arguments)
        params = tree.map(jax.numpy.asarray, landscape())
        state = oracle.init(params)

        @jax.jit
        def step(params, state):
            updates, state = oracle.update(slopes(params, *DATA), state, params)
            return optax.apply_updates(params, updates), state

        for _ in range(LONG):
            params, state = step(params, state)
        rtol = 1e-6 if row.optax == "adafactor" else 1e-7  # there the decay is float32
        close(along(row.make(**row.arguments)), tree.map(np.asarray, params), rtol=rtol)


def zeroth_power(grad, ns_coefficients, ns_steps, eps):
    """PyTorch's Newton–Schulz iteration in float64, in place of bfloat16."""
    a, b, c = ns_coefficients
    x = grad / grad.norm().clamp(min=eps)
    for _ in range(ns_steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


@stateful
def test_goes_torch_s_way(row, monkeypatch):
    if not row.torch:
        pytest.skip("PyTorch has none")
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.optim._muon, "_zeropower_via_newtonschulz", zeroth_power)
    # or else numbers in its state are of float32
    monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float64)

    def turned(x):
        return x.T if row.matrices else x  # PyTorch's matrices have their inputs last

    arrays, spec = tree.flatten(of(row, landscape()))
    leaves = [torch.tensor(turned(x).copy(), requires_grad=True) for x in arrays]
    oracle = getattr(torch.optim, row.torch)(leaves, **row.arguments)
    for _ in range(LONG):
        now = tree.unflatten(spec, [turned(p.detach().numpy()) for p in leaves])
        params = {k: v | now.get(k, {}) for k, v in landscape().items()}
        grads = tree.leaves(of(row, slopes(params, *DATA)))
        for p, g in zip(leaves, grads, strict=True):
            p.grad = torch.tensor(turned(np.asarray(g)).copy())
        oracle.step()
    expected = tree.unflatten(spec, [turned(p.detach().numpy()) for p in leaves])
    close(along_stateful(row, row.arguments), expected, rtol=1e-10)


def test_rprop_goes_the_stateful_one_s_way():
    """Which is PyTorch's; in optax every step is that of the step before."""
    (row,) = [row for row in STATEFUL if row.name == "Rprop, all terms"]
    (low, high), (least, most) = row.arguments["etas"], row.arguments["step_sizes"]
    pair = optim.rprop(row.arguments["lr"], low, high, least, most)
    close(along(pair), along_stateful(row, row.arguments), rtol=0)


@functools.cache
def with_all_terms(name):
    (row,) = (r for r in PAIRS if r.name == name)
    return along(row.make(**row.arguments))


@functools.cache
def stateful_with_all_terms(name):
    (row,) = (r for r in STATEFUL if r.name == name)
    return along_stateful(row, row.arguments)


@pytest.mark.parametrize(
    ("row", "change"),
    [(row, change) for row in PAIRS for change in row.without],
    ids=lambda x: getattr(x, "name", None) or "-".join(x),
)
def test_every_term_of_a_pair_shows(row, change):
    assert apart(with_all_terms(row.name), along(row.make(**row.arguments | change)), 100 * 1e-7)


@pytest.mark.parametrize(
    ("row", "change"),
    [(row, change) for row in STATEFUL for change in row.without],
    ids=lambda x: getattr(x, "name", None) or "-".join(x),
)
def test_every_term_of_a_stateful_one_shows(row, change):
    with np.errstate(over="ignore", invalid="ignore"):  # climbing has no end
        other = along_stateful(row, row.arguments | change)
    assert apart(stateful_with_all_terms(row.name), other, 100 * 1e-10)


# Arrays ------------------------------------------------------------------------------------------


@pairs
@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_keeps_the_library(row, library):
    xp = pytest.importorskip(library)
    params = tree.map(xp.asarray, start("float32"))
    found = run(row.make(**row.arguments), params)
    for x, y in zip(tree.leaves(found), tree.leaves(params), strict=True):
        assert type(x) is type(y)
        assert x.dtype == y.dtype
    expected = run(row.make(**row.arguments), start("float32"))
    close(tree.map(np.from_dlpack, found), expected, rtol=2e-5)


@pairs
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_keeps_the_dtype(row, dtype):
    params = tree.map(lambda x: F.astype(x, dtype), start())
    found = run(row.make(**row.arguments), params)
    assert {x.dtype for x in tree.leaves(found)} == {x.dtype for x in tree.leaves(params)}
    tolerance = {"float16": 2e-2, "bfloat16": 2e-1, "float32": 2e-5, "float64": 1e-12}[dtype]
    if not row.smooth and tolerance > 1e-2:
        return  # signs of small numbers turn
    found = tree.map(lambda x: F.astype(x, "float64"), found)
    close(found, run(row.make(**row.arguments), start()), rtol=tolerance)


@pairs
def test_an_array_as_rate_or_a_numpy_number_keeps_the_dtype(row):
    rate = row.arguments.get("learning_rate", 0.1)
    if callable(rate):
        arguments = [{"learning_rate": lambda step: np.float64(0.1 / (1 + step))}]
    else:
        arguments = [{"learning_rate": np.asarray(rate)}, {"learning_rate": np.float64(rate)}]
    for change in arguments:
        found = run(row.make(**row.arguments | change), start("float32"))
        assert found["w"].dtype == np.float32
        close(found, run(row.make(**row.arguments), start("float32")), rtol=1e-6)


@pairs
def test_the_caller_s_arrays_stay(row):
    optimizer, params = row.make(**row.arguments), start()
    state = optimizer.init(params)
    grads = gradients(params)
    for _ in range(2):
        kept = tree.map(np.copy, (params, state, grads))
        updates, new = optimizer.update(grads, state, params)
        moved = optim.apply_updates(params, updates)
        for before, after in zip(
            tree.leaves(kept), tree.leaves((params, state, grads)), strict=True
        ):
            np.testing.assert_array_equal(before, after)
        for x in tree.leaves((new, moved)):
            assert not any(
                x is y for y in tree.leaves((params, grads)) if isinstance(x, np.ndarray)
            )
        params, state = moved, new


@pytest.mark.parametrize(
    "link",
    [
        optim.scale_by_rss(0.0, 0.0),
        optim.scale_by_rss(0.0, 0.1, eps_in_sqrt=False),
        optim.scale_by_adam(),
        optim.scale_by_adam(nesterov=True),
        optim.scale_by_nadam(),
        optim.scale_by_amsgrad(),
        optim.scale_by_adamax(),
        optim.scale_by_radam(),
        optim.scale_by_adadelta(),
        optim.scale_by_rms(),
        optim.scale_by_rms(eps_in_sqrt=False),
        optim.scale_by_stddev(),
        optim.scale_by_lion(),
        optim.scale_by_rprop(0.1),
        optim.scale_by_muon(),
        optim.scale_by_factored_rms(min_dim_size_to_factor=2),
        optim.scale_by_momentum(0.9, nesterov=True),
        optim.scale_by_lbfgs(),
        optim.clip_by_norm(0.0),
        optim.clip_by_global_norm(0.0),
        optim.clip_by_block_rms(1.0),
        optim.adaptive_grad_clip(0.1),
        optim.scale_by_trust_ratio(),
        optim.centralize(),
    ],
)
def test_gradients_of_zero_move_nothing(link):
    params = {"w": np.ones((3, 2))}
    state = link.init(params)
    for _ in range(7):
        updates, state = link.update({"w": np.zeros((3, 2))}, state, params)
        assert updates["w"].tolist() == np.zeros((3, 2)).tolist()


@pairs
def test_a_gradient_of_nan_is_seen(row):
    optimizer, params = row.make(**row.arguments), {"w": np.ones((3, 2)), "b": np.ones(2)}
    grads = {"w": np.ones((3, 2)), "b": np.asarray([np.nan, 1.0])}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert np.isnan(updates["b"][0])


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: np.stack([x, x], -1)[..., 0]])
@pairs
def test_arrays_that_are_not_contiguous(row, layout):
    params = {"w": np.random.default_rng(0).normal(size=(300, 200))}
    found = run(row.make(**row.arguments), tree.map(layout, params), steps=2)
    close(found, run(row.make(**row.arguments), params, steps=2))


@pairs
def test_trees_of_any_kind(row):
    optimizer = row.make(**row.arguments)
    for params in ([], {}, np.ones(2), (np.ones(2), [None, np.ones((0, 3))])):
        state = optimizer.init(params)
        updates, _ = optimizer.update(params, state, params)
        assert tree.structure(updates) == tree.structure(params)


# Under transforms --------------------------------------------------------------------------------


@pairs
def test_runs_under_vmap(row):
    optimizer = row.make(**row.arguments)
    params = start(lanes=(3,))
    state = volta.vmap(optimizer.init)(params)
    lanes = params
    for _ in range(3):
        updates, state = volta.vmap(optimizer.update)(gradients(lanes), state, lanes)
        lanes = optim.apply_updates(lanes, updates)
    for i in range(3):
        one = tree.map(lambda x, i=i: x[i, ...], params)
        rtol = 1e-6 if "warmup_steps" in row.arguments else 1e-9  # schedules of arrays: float32
        close(tree.map(lambda x, i=i: x[i], lanes), run(optimizer, one, steps=3), rtol=rtol)


@pairs
def test_runs_under_scan(row):
    """Where the number of the step is traced, too; radam needs more than ten steps for all ways."""
    optimizer, params = row.make(**row.arguments), {"w": start()["w"], "s": np.asarray(0.5)}

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(gradients(params), state, params)
        return (optim.apply_updates(params, updates), state), None

    (found, _), _ = volta.scan(step, (params, optimizer.init(params)), None, length=12)
    # schedules of arrays are float32
    scheduled = "warmup_steps" in row.arguments or any(map(callable, row.arguments.values()))
    close(found, run(optimizer, params, steps=12), rtol=1e-6 if scheduled else 1e-10)


@pairs
def test_differentiates(row):
    """The derivative of the parameters after three steps, against a difference."""
    optimizer = row.make(**row.arguments)
    params = {"w": np.asarray([0.5, -1.0, 2.0])}
    weights = np.asarray([1.0, 2.0, -1.0])

    def end(params):
        return F.sum(run(optimizer, params, steps=3)["w"] * weights)

    slope = volta.grad(end)(params)["w"]
    h = 1e-6
    for i in range(3):
        step = np.eye(3)[i] * h
        ahead, behind = end({"w": params["w"] + step}), end({"w": params["w"] - step})
        np.testing.assert_allclose(slope[i], (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-8)


@pairs
def test_differentiates_in_the_rate(row):
    falls = callable(row.arguments.get("learning_rate"))

    def end(rate):
        change = {"learning_rate": (lambda t: rate / (1 + t)) if falls else rate}
        optimizer = row.make(**row.arguments | change)
        return F.sum(run(optimizer, {"w": np.asarray([0.5, -1.0, 2.0])}, steps=3)["w"])

    slope = volta.grad(end)(np.asarray(0.1))
    difference = (end(0.1 + 1e-6) - end(0.1 - 1e-6)) / 2e-6
    np.testing.assert_allclose(slope, difference, rtol=1e-7)
    lanes = volta.vmap(end)(np.asarray([0.1, 0.2]))
    np.testing.assert_allclose(lanes, [end(0.1), end(0.2)], rtol=1e-12)


@pairs
def test_is_recorded_by_trace(row):
    optimizer, params = row.make(**row.arguments), {"w": np.ones(3)}
    state = optimizer.init(params)
    program = volta.trace(lambda g: optimizer.update(g, state, params)[0])({"w": np.ones(3)})
    program.check()
    expected, _ = optimizer.update({"w": np.full(3, 2.0)}, state, params)
    close(program(np.full(3, 2.0)), expected)


@pairs
def test_complex_parameters_descend(row):
    """|z - c|² falls; along the gradient itself the imaginary part would run away."""
    optimizer, target = row.make(**row.arguments), np.asarray([0.1 + 0.2j, -0.3j])

    def loss(params):
        return F.sum(F.abs(params["z"] - target) ** 2)

    params = {"z": np.asarray([1 - 1j, 1j])}
    state = optimizer.init(params)
    losses = []
    for _ in range(40):
        value, grads = volta.value_and_grad(loss)(params)
        updates, state = optimizer.update(grads, state, params)
        params = optim.apply_updates(params, updates)
        losses.append(float(value))
    assert params["z"].dtype == np.complex128
    assert losses[-1] < 0.5 * losses[0]


# Convergence -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [optim.sgd(0.1), optim.sgd(0.02, momentum=0.9, nesterov=True), optim.adam(0.05)],
    ids=["sgd", "nesterov", "adam"],
)
def test_finds_a_regression_s_solution(optimizer):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(50, 3))
    y = x @ np.asarray([1.0, -2.0, 0.5]) + 3.0
    params = {"w": np.zeros(3), "b": np.zeros(())}
    state = optimizer.init(params)
    slopes = volta.grad(lambda p: F.mean((x @ p["w"] + p["b"] - y) ** 2))
    for _ in range(600):
        updates, state = optimizer.update(slopes(params), state, params)
        params = optim.apply_updates(params, updates)
    np.testing.assert_allclose(params["w"], [1, -2, 0.5], atol=1e-4)
    np.testing.assert_allclose(params["b"], 3, atol=1e-4)


# The stateful face -------------------------------------------------------------------------------


both = pytest.mark.parametrize(
    "row", [r for r in STATEFUL if not r.matrices], ids=lambda row: row.name
)


@both
def test_a_model_goes_the_way_of_its_parameters(row):
    model = nn.Linear(3, 2, key=random.key(0), dtype="float64")
    before = model.parameters()
    on_tree = row.make(before, **row.arguments)
    on_model = row.make(model, **row.arguments)
    for _ in range(3):
        grads = gradients(model.parameters())
        returned = on_model.step(grads)
        assert all(model.parameters()[name] is p for name, p in returned.items())
        on_tree.step(grads)
    close(model.parameters(), on_tree.params)
    assert on_model.steps == on_tree.steps == 3
    assert apart(model.parameters(), before, 1e-6)
    close(before, nn.Linear(3, 2, key=random.key(0), dtype="float64").parameters())


@pytest.mark.parametrize(
    "row",
    [r for r in STATEFUL if not r.matrices and not r.arguments.get("maximize")],
    ids=lambda row: row.name,
)
def test_a_stateful_one_descends_on_complex_parameters_and_keeps_the_dtype(row):
    target = np.asarray([1 - 2j], np.complex64)
    optimizer = row.make({"z": np.zeros(1, np.complex64)}, **row.arguments)
    for _ in range(3):
        grads = volta.grad(lambda p: F.sum(F.abs(p["z"] - target) ** 2))(optimizer.params)
        z = optimizer.step({"z": grads["z"].astype(np.complex128)})["z"]
    assert z.dtype == np.complex64
    assert z.real > 0 > z.imag


@both
def test_a_stored_state_continues(row, tmp_path):
    path = tmp_path / "optimizer.safetensors"
    first = row.make(start(), **row.arguments)
    run_stateful(first, steps=3)
    io.save_file(first.state_dict(), path)
    second = row.make(first.params, **row.arguments)
    second.load_state_dict(io.load_file(path))
    assert second.steps == 3
    close(run_stateful(second, steps=3), run_stateful(first, steps=3), rtol=0)


FUNCTIONS = {
    "LAMB": lambda lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0: optim.lamb(
        lr, *betas, eps, weight_decay=weight_decay
    ),
    "LARS": lambda lr, **options: optim.lars(lr, **options),
    "SGDScheduleFree": lambda lr, momentum=0.9, warmup_steps=0, weight_decay=0.0, **options: (
        optim.schedule_free_sgd(
            lr, warmup_steps or None, momentum, weight_decay=weight_decay, **options
        )
    ),
    "AdamWScheduleFree": lambda lr, betas=(0.9, 0.999), warmup_steps=0, **options: (
        optim.schedule_free_adamw(lr, warmup_steps or None, *betas, **options)
    ),
}


@pytest.mark.parametrize(
    "row", [r for r in STATEFUL if r.make.__name__ in FUNCTIONS], ids=lambda row: row.name
)
def test_a_class_that_torch_has_not_goes_its_function_s_way(row):
    """Of which another test compares the way with optax's."""
    rate = {"lr": row.make({}).lr}
    function = FUNCTIONS[row.make.__name__](**rate | row.arguments)
    close(along_stateful(row, row.arguments), along(function), rtol=1e-12)


@pytest.mark.parametrize("make", [optim.SGDScheduleFree, optim.AdamWScheduleFree])
def test_averages_to_evaluate_with(make):
    function = FUNCTIONS[make.__name__](lr=0.1)
    params, state = landscape(), function.init(landscape())
    for _ in range(5):
        updates, state = function.update(slopes(params, *DATA), state, params)
        params = optim.apply_updates(params, updates)
    expected = optim.schedule_free_eval_params(state, params)
    assert apart(expected, params, 1e-4)
    for groups in ((), [{"params": "valley*"}]):
        optimizer = make(landscape(), lr=0.1, groups=groups)
        for _ in range(5):
            optimizer.step(slopes(optimizer.params, *DATA))
        close(optimizer.eval_params(), expected)
        close(optimizer.params, params)


def test_a_group_of_lars_that_is_not_scaled():
    grads = {"w": np.full(2, 3.0), "b": np.full(2, 3.0)}
    group = {"params": "b", "trust_coefficient": None}
    optimizer = optim.LARS({"w": np.ones(2), "b": np.ones(2)}, lr=0.1, groups=[group])
    new = optimizer.step(grads)
    np.testing.assert_allclose(new["b"], 1 - 0.1 * 3)
    np.testing.assert_allclose(new["w"], 1 - 0.1 * 0.001)


@both
def test_a_state_dict_is_a_snapshot(row):
    optimizer = row.make(start(), **row.arguments)
    run_stateful(optimizer, steps=1)
    held = optimizer.state_dict()
    kept = {name: np.copy(x) for name, x in held.items()}
    run_stateful(optimizer, steps=2)
    for name, x in held.items():
        np.testing.assert_array_equal(x, kept[name])


@both
def test_a_schedule_is_called_with_the_step(row):
    seen = []

    def rate(step):
        seen.append(step)
        return np.float64(0.1)

    optimizer = row.make(start("float32"), **row.arguments | {"lr": rate})
    run_stateful(optimizer, steps=3)
    assert sorted(set(seen)) == [0, 1, 2]
    constant = row.make(start("float32"), **row.arguments | {"lr": 0.1})
    close(optimizer.params, run_stateful(constant, steps=3), rtol=0)
    if not row.at_rest:
        return
    optimizer.lr = 0.0
    before = optimizer.params
    run_stateful(optimizer, steps=1)
    close(optimizer.params, before, rtol=0)


@both
def test_gradients_that_do_not_fit_change_nothing(row):
    optimizer = row.make({"w": np.ones((3, 2)), "b": np.ones(2)}, **row.arguments)
    before, state = optimizer.params, optimizer.state_dict()
    name = row.make.__name__
    with pytest.raises(
        ShapeError,
        match=rf"{name}.step: grads must have the structure of params; got nothing at \['b'\] and "
        r"more at \['c'\]\.",
    ):
        optimizer.step({"w": np.ones((3, 2)), "c": np.ones(2)})
    with pytest.raises(
        ShapeError,
        match=rf"{name}.step: grads must have the shapes of params; got \(2, 3\) and \(3, 2\) at "
        r"\['w'\]\.",
    ):
        optimizer.step({"w": np.ones((2, 3)), "b": np.ones(2)})
    assert optimizer.params is before
    assert optimizer.steps == 0
    close(optimizer.state_dict(), state, rtol=0)
