"""One row per optimizer, from which test_optimizers.py makes its tests."""

from typing import Any, NamedTuple

from volta import optim


class Row(NamedTuple):
    """An optimizer, and the same one elsewhere.

    Hyperparameters are such that each term's effect on the trajectory is at least a hundred times
    the tolerance: `without` are the same hyperparameters with one term left out.
    """

    name: str
    make: Any  # to an Optimizer, or from parameters to a stateful one
    arguments: dict
    without: tuple = ()  # dicts of changed arguments, each of which must show
    optax: str = ""  # name of the function there
    torch: str = ""  # name of the class there


def schedule(step):
    """Learning rate that falls, on Python numbers and on arrays."""
    return 0.1 / (1 + step)


PAIRS = [
    Row(
        "sgd",
        optim.sgd,
        {"learning_rate": 0.1},
        ({"learning_rate": 0.11},),
        optax="sgd",
    ),
    Row(
        "sgd, momentum",
        optim.sgd,
        {"learning_rate": 0.1, "momentum": 0.8},
        ({"momentum": None}, {"momentum": 0.7}),
        optax="sgd",
    ),
    Row(
        "sgd, nesterov",
        optim.sgd,
        {"learning_rate": 0.1, "momentum": 0.8, "nesterov": True},
        ({"nesterov": False},),
        optax="sgd",
    ),
    Row(
        "sgd, schedule",
        optim.sgd,
        {"learning_rate": schedule},
        ({"learning_rate": 0.1},),
        optax="sgd",
    ),
    Row("adam", optim.adam, {"learning_rate": 0.1}, ({"learning_rate": 0.11},), optax="adam"),
    Row(
        "adam, all terms",
        optim.adam,
        {"learning_rate": 0.1, "b1": 0.7, "b2": 0.9, "eps": 0.05, "eps_root": 0.02},
        ({"b1": 0.6}, {"b2": 0.8}, {"eps": 1e-8}, {"eps_root": 0.0}),
        optax="adam",
    ),
    Row(
        "adam, schedule",
        optim.adam,
        {"learning_rate": schedule},
        ({"learning_rate": 0.1},),
        optax="adam",
    ),
]

STATEFUL = [
    Row("SGD", optim.SGD, {"lr": 0.1}, ({"lr": 0.11},), torch="SGD"),
    Row("SGD, defaults", optim.SGD, {}, ({"lr": 2e-3},), torch="SGD"),
    Row(
        "SGD, all terms",
        optim.SGD,
        {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.2},
        ({"momentum": 0.7}, {"dampening": 0.0}, {"weight_decay": 0.0}),
        torch="SGD",
    ),
    Row(
        "SGD, nesterov",
        optim.SGD,
        {"lr": 0.1, "momentum": 0.8, "nesterov": True},
        ({"nesterov": False},),
        torch="SGD",
    ),
    Row("Adam", optim.Adam, {"lr": 0.1}, ({"lr": 0.11},), torch="Adam"),
    Row("Adam, defaults", optim.Adam, {}, ({"lr": 2e-3},), torch="Adam"),
    Row(
        "Adam, all terms",
        optim.Adam,
        {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.05, "weight_decay": 0.2},
        ({"betas": (0.6, 0.9)}, {"betas": (0.7, 0.8)}, {"eps": 1e-8}, {"weight_decay": 0.0}),
        torch="Adam",
    ),
]
