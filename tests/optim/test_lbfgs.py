import importlib

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import LoadError, nn, optim, tree
from volta.functional import random
from volta.optim.line_search import Point, strong_wolfe

pytestmark = pytest.mark.optimizer
MATRIX = np.random.default_rng(0).normal(size=(6, 6))
HESSIAN = MATRIX @ MATRIX.T + np.eye(6)


def bowl(p):
    """Quadratic that is no multiple of the identity."""
    x = p["x"]
    return F.sum(x * (F.asarray(HESSIAN) @ x)) / 2 - F.sum(x) + F.sum(p["y"] ** 2)


def valley(p):
    """Rosenbrock's function."""
    x = p["x"]
    return F.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2) + F.sum(p["y"] ** 2)


def network(p):
    """Least squares of a small network."""
    inputs = np.random.default_rng(1).normal(size=(9, 2))
    hidden = F.tanh(inputs @ F.reshape(p["x"], (2, 3)))
    return F.mean((F.sum(hidden, axis=1) * p["y"][0] - np.sin(inputs[:, 0])) ** 2)


def start():
    return {"x": np.linspace(-1.0, 1.5, 6), "y": np.asarray([0.7])}


def in_torch(torch, f):
    """The same functions there."""

    def torch_bowl(x, y):
        return (x * (torch.tensor(HESSIAN) @ x)).sum() / 2 - x.sum() + (y**2).sum()

    def torch_valley(x, y):
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum() + (y**2).sum()

    def torch_network(x, y):
        inputs = torch.tensor(np.random.default_rng(1).normal(size=(9, 2)))
        hidden = torch.tanh(inputs @ x.reshape(2, 3))
        return ((hidden.sum(1) * y[0] - torch.sin(inputs[:, 0])) ** 2).mean()

    return {bowl: torch_bowl, valley: torch_valley, network: torch_network}[f]


@pytest.mark.parametrize("f", [bowl, valley, network], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "options",
    [
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "history_size": 2, "lr": 0.7},
        {"line_search_fn": "strong_wolfe", "max_iter": 4, "max_eval": 6},
        {"line_search_fn": "strong_wolfe", "tolerance_grad": 0.5, "tolerance_change": 1e-3},
        {"lr": 0.1, "max_iter": 5},
    ],
    ids=lambda options: "-".join(options),
)
def test_goes_torch_s_way(f, options):
    torch = pytest.importorskip("torch")
    x, y = (torch.tensor(v, requires_grad=True) for v in start().values())
    oracle = torch.optim.LBFGS([x, y], **options)
    there = in_torch(torch, f)

    def closure():
        oracle.zero_grad()
        value = there(x, y)
        value.backward()
        return value

    optimizer = optim.LBFGS(start(), **options)
    for _ in range(3 if f is network else 6):  # its minimum is flat
        expected = float(oracle.step(closure).detach())
        value = optimizer.step(volta.value_and_grad(f))
        np.testing.assert_allclose(float(value), expected, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(optimizer.params["x"], x.detach().numpy(), rtol=1e-4, atol=1e-6)
    state = oracle.state[x]
    assert (optimizer.n_iter, optimizer.func_evals) == (state["n_iter"], state["func_evals"])


def find(optimizer, f, steps, p=None):
    """Parameters that an Optimizer with a line search goes to."""
    p = start() if p is None else p
    state = optimizer.init(p)
    known = optim.value_and_grad_from_state(f)
    for _ in range(steps):
        value, grad = known(p, state=state)
        updates, state = optimizer.update(grad, state, p, value=value, grad=grad, value_fn=f)
        p = optim.apply_updates(p, updates)
    return p, state


@pytest.mark.parametrize("f", [bowl, valley, network], ids=lambda f: f.__name__)
@pytest.mark.parametrize("strategy", ["one", "keep"])
def test_finds_a_minimum(f, strategy):
    search = optim.scale_by_zoom_linesearch(initial_guess_strategy=strategy)
    p, state = find(optim.lbfgs(linesearch=search), f, 90)
    value, grad = volta.value_and_grad(f)(p)
    flat = f is network or (f is valley and strategy == "keep")
    assert max(float(np.max(np.abs(g))) for g in tree.leaves(grad)) < (5e-2 if flat else 1e-6)
    np.testing.assert_allclose(value, state[2].value)
    if not flat:
        direct = np.linalg.solve(HESSIAN, np.ones(6)) if f is bowl else np.ones(6)
        np.testing.assert_allclose(p["x"], direct, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"memory_size": 2}, {"scale_init_precond": False}], ids=str
)
def test_directions_are_optax_s(options):
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    ours = optim.chain(optim.scale_by_lbfgs(**options), optim.scale(-0.3))
    x = y = start()["x"]
    state = ours.init(x)
    seen = []
    with jax.enable_x64(True):
        oracle = optax.chain(optax.scale_by_lbfgs(**options), optax.scale(-0.3))
        theirs, update = oracle.init(jax.numpy.asarray(y)), jax.jit(oracle.update)
        for _ in range(12):
            updates, state = ours.update(HESSIAN @ x - 1, state, x)
            x = x + updates
            seen.append(x)
            updates, theirs = update(jax.numpy.asarray(HESSIAN @ y - 1), theirs, y)
            y = np.asarray(y + updates)
            np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-8)
    if options:
        plain = optim.chain(optim.scale_by_lbfgs(), optim.scale(-0.3))
        z, state = start()["x"], plain.init(start()["x"])
        for _ in range(12):
            updates, state = plain.update(HESSIAN @ z - 1, state, z)
            z = z + updates
        assert np.max(np.abs(z - x)) > 1e-3


def test_steps_of_negative_curvature_are_left_out():
    optimizer = optim.scale_by_lbfgs()
    x = np.asarray([1.0])
    _, state = optimizer.update(-x, optimizer.init(x), x)
    direction, state = optimizer.update(-2 * x, state, 2 * x)
    assert state.weights_memory.tolist() == [0.0] * 10
    assert direction < 0  # still of the gradient's sign


@pytest.mark.parametrize("c2", [0.9, 0.1])
@pytest.mark.parametrize("first", [1e-4, 0.3, 1.0, 40.0])
@pytest.mark.parametrize("name", ["quartic", "wave", "steep"])
def test_the_conditions_hold(c2, first, name):
    f, slope = {
        "quartic": (lambda t: (t - 2) ** 4, lambda t: 4 * (t - 2) ** 3),
        "wave": (lambda t: 0.1 * t**2 - np.sin(3 * t), lambda t: 0.2 * t - 3 * np.cos(3 * t)),
        "steep": (lambda t: np.exp(t) - 5 * t, lambda t: np.exp(t) - 5),
    }[name]
    calls = []

    def line(t):
        calls.append(t)
        return Point(t, f(t), slope(t), None)

    found, count = strong_wolfe(line, line(0.0), first, 1.0, c2=c2)
    assert count == len(calls) - 1
    assert found.value <= f(0) + 1e-4 * found.t * slope(0)
    assert abs(found.slope) <= c2 * abs(slope(0))


@pytest.mark.parametrize("seed", range(12))
def test_goes_through_torch_s_points(seed):
    """On waves, whose brackets shrink from both ends."""
    torch = pytest.importorskip("torch")
    search = importlib.import_module("torch.optim.lbfgs")  # torch.optim hides it
    draw = np.random.default_rng(seed)
    a, b, w = draw.normal(size=3) * 2, draw.normal(size=3) * 2, draw.uniform(0.5, 9.0, size=3)

    def f(t):
        return float(np.sum(a * np.sin(w * t) + b * np.cos(w * t)) + 0.05 * t**2)

    def slope(t):
        return float(np.sum(w * (a * np.cos(w * t) - b * np.sin(w * t))) + 0.1 * t)

    sign = -1.0 if slope(0.0) > 0 else 1.0  # downhill
    here, there = [], []

    def line(t):
        here.append(t)
        return Point(t, f(sign * t), sign * slope(sign * t), None)

    def there_line(x, t, d):
        t = float(t)
        there.append(t)
        return f(sign * t), torch.tensor([sign * slope(sign * t)], dtype=torch.float64)

    one = torch.ones(1, dtype=torch.float64)
    start = Point(0.0, f(0.0), sign * slope(0.0), None)
    for first in (0.05, 1.0, 6.0):
        strong_wolfe(line, start, first, 1.0, c2=0.01)
        grad = torch.tensor([start.slope], dtype=torch.float64)
        search._strong_wolfe(
            there_line, None, first, one, start.value, grad, grad.dot(one), c2=0.01
        )
    np.testing.assert_allclose(here, there, rtol=1e-8)


def test_complex_parameters():
    target = np.asarray([1 - 2j, 0.5j])

    def f(z):
        return F.sum(F.abs(z - target) ** 2) + F.sum(F.abs(z) ** 4)

    found, _ = find(optim.lbfgs(), f, 25, np.zeros(2, np.complex128))
    held = optim.LBFGS(np.zeros(2, np.complex128), line_search_fn="strong_wolfe")
    held.step(volta.value_and_grad(f))
    for z in (found, held.params):
        assert z.dtype == np.complex128
        np.testing.assert_allclose(volta.grad(f)(z), 0, atol=1e-5)


@pytest.mark.parametrize("library", ["array_api_strict", "torch"])
def test_other_libraries(library):
    xp = pytest.importorskip(library)
    p = tree.map(xp.asarray, start())

    def f(p):
        return F.sum((p["x"] - 1) ** 4) + F.sum(p["y"] ** 2)

    held = optim.LBFGS(p, line_search_fn="strong_wolfe")
    held.step(volta.value_and_grad(f))
    found, _ = find(optim.lbfgs(), f, 12, p)
    for q in (held.params, found):
        assert type(q["x"]) is type(p["x"])
        assert float(f(q)) < 1e-4


@pytest.mark.parametrize("library", ["numpy", "array_api_strict", "torch"])
def test_arrays_without_elements(library):
    xp = importlib.import_module(library) if library == "numpy" else pytest.importorskip(library)
    params = {"w": xp.asarray([3.0, -1.0]), "none": xp.zeros((0, 2))}
    optimizer = optim.lbfgs()
    state = optimizer.init(params)

    def f(p):
        return F.sum((p["w"] - 1) ** 2) + F.sum(p["none"])

    for _ in range(3):
        value, grads = volta.value_and_grad(f)(params)
        updates, state = optimizer.update(grads, state, params, value=value, grad=grads, value_fn=f)
        params = optim.apply_updates(params, updates)
    np.testing.assert_allclose(np.from_dlpack(params["w"]), 1.0, atol=1e-6)
    assert tuple(params["none"].shape) == (0, 2)


def test_differentiates_through_steps():
    """The derivative of where two steps lead in a number of the function."""

    def end(a):
        return F.sum(find(optim.lbfgs(), lambda p: bowl(p) + a * F.sum(p["x"] ** 2), 2)[0]["x"])

    slope = volta.grad(end)(np.asarray(0.5))
    difference = (end(np.asarray(0.5 + 1e-6)) - end(np.asarray(0.5 - 1e-6))) / 2e-6
    np.testing.assert_allclose(slope, difference, rtol=1e-5)


def test_a_model_and_a_stored_state():
    model = nn.Linear(2, 1, key=random.key(0), dtype="float64")
    x = np.random.default_rng(0).normal(size=(20, 2))

    def loss(params):
        return F.mean((nn.functional_call(model, params, x) - x[:, :1]) ** 4)

    optimizer = optim.LBFGS(model, max_iter=3, line_search_fn="strong_wolfe")
    assert list(optimizer.state_dict()) == ["steps", "n_iter", "func_evals", "lr"]
    optimizer.step(volta.value_and_grad(loss))
    other = optim.LBFGS(model.parameters(), max_iter=3, line_search_fn="strong_wolfe")
    other.load_state_dict(optimizer.state_dict())
    optimizer.step(volta.value_and_grad(loss))
    other.step(volta.value_and_grad(loss))
    for name, p in model.parameters().items():
        np.testing.assert_array_equal(p, other.params[name])
    assert float(loss(model.parameters())) < 0.05
    wrong = optim.LBFGS({"w": np.ones(5)})
    with pytest.raises(
        LoadError,
        match=r"LBFGS\.load_state_dict: the state must be that of the same parameters; got "
        r"direction of shape \(3,\) instead of \(5,\)",
    ):
        wrong.load_state_dict(optimizer.state_dict())
    with pytest.raises(LoadError, match="got no steps, no n_iter, no func_evals, no lr, unknown x"):
        wrong.load_state_dict({"x": np.ones(1)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: optim.scale_by_lbfgs(0),
            "scale_by_lbfgs: memory_size must be an integer, at least 1; got 0",
        ),
        (
            lambda: optim.scale_by_zoom_linesearch(0),
            "scale_by_zoom_linesearch: max_linesearch_steps must be an integer, at least 1; got 0",
        ),
        (
            lambda: optim.scale_by_zoom_linesearch(initial_guess_strategy="two"),
            "scale_by_zoom_linesearch: initial_guess_strategy must be 'one' or 'keep'; got 'two'",
        ),
        (
            lambda: optim.LBFGS([], max_iter=0),
            "LBFGS: max_iter must be an integer, at least 1; got 0",
        ),
        (
            lambda: optim.LBFGS([], history_size=1.5),
            "LBFGS: history_size must be an integer, at least 1; got 1.5",
        ),
        (
            lambda: optim.LBFGS([], max_eval=0),
            "LBFGS: max_eval must be an integer, at least 1; got 0",
        ),
        (
            lambda: optim.LBFGS([], line_search_fn="zoom"),
            "LBFGS: line_search_fn must be 'strong_wolfe'; got 'zoom'",
        ),
        (
            lambda: optim.lbfgs().update(np.ones(1), optim.lbfgs().init(np.ones(1)), np.ones(1)),
            r"scale_by_zoom_linesearch.update: needs the function and where it is; got not all",
        ),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()
