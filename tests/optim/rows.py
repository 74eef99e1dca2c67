"""One row per optimizer, from which test_optimizers.py makes its tests."""

from typing import Any, NamedTuple

from volta import optim, tree


class Row(NamedTuple):
    """An optimizer, and the same one elsewhere.

    Hyperparameters are such that each term's effect on the trajectory is at least a hundred times
    the tolerance: `without` are the same hyperparameters with one term left out.
    """

    name: str
    make: Any  # to an Optimizer, or from parameters to a stateful one
    arguments: dict
    without: tuple = ()  # dicts of changed arguments, each of which must show
    optax: str = ""  # name of the function there, with its package if it is another
    torch: str = ""  # name of the class there
    smooth: bool = True  # whether the update is differentiable in the gradients
    matrices: bool = False  # whether it takes matrices alone


def schedule(step):
    """Learning rate that falls, on Python numbers and on arrays."""
    return 0.1 / (1 + step)


def matrices(params):
    """Mask of what is a matrix."""
    return tree.map(lambda p: len(p.shape) == 2, params)


def row(make, arguments, *without, label="", optax="", torch="", smooth=True, matrices=False):
    """Row, named after the function there and its label."""
    name = optax.rpartition(".")[2] or torch or make.__name__
    name = f"{name}, {label}" if label else name
    return Row(name, make, arguments, without, optax, torch, smooth, matrices)


def pair(name, arguments, *without, optax=None, **options):
    """Row of a function that has its name there too."""
    there = name if optax is None else optax
    return row(getattr(optim, name), arguments, *without, optax=there, **options)


def wrapper(name, arguments, *without, **options):
    """Row of a class that has its name in PyTorch too."""
    return row(getattr(optim, name), arguments, *without, torch=name, **options)


RATE = {"learning_rate": 0.1}
PAIRS = [
    pair("sgd", RATE, {"learning_rate": 0.11}),
    pair("sgd", RATE | {"momentum": 0.8}, {"momentum": None}, {"momentum": 0.7}, label="momentum"),
    pair(
        "sgd", RATE | {"momentum": 0.8, "nesterov": True}, {"nesterov": False}, label="nesterov"
    ),
    pair("sgd", {"learning_rate": schedule}, RATE, label="schedule"),
    pair("adam", RATE, {"learning_rate": 0.11}),
    pair(
        "adam",
        RATE | {"b1": 0.7, "b2": 0.9, "eps": 0.05, "eps_root": 0.02},
        {"b1": 0.6},
        {"b2": 0.8},
        {"eps": 1e-8},
        {"eps_root": 0.0},
        {"nesterov": True},
        label="all terms",
    ),
    pair("adam", {"learning_rate": schedule}, RATE, label="schedule"),
    pair(
        "nadam",
        RATE | {"b1": 0.7, "b2": 0.9, "eps": 0.05, "eps_root": 0.02},
        {"b1": 0.6},
        {"b2": 0.8},
        {"eps": 1e-8},
        {"eps_root": 0.0},
    ),
    pair(
        "nadamw",
        RATE
        | {"b1": 0.7, "b2": 0.9, "eps": 0.05, "eps_root": 0.02, "weight_decay": 0.3},
        {"b1": 0.6},
        {"b2": 0.8},
        {"eps": 1e-8},
        {"eps_root": 0.0},
        {"weight_decay": 0.0},
        {"mask": matrices},
    ),
    pair(
        "adamw",
        RATE
        | {
            "b1": 0.7,
            "b2": 0.9,
            "eps": 0.05,
            "eps_root": 0.02,
            "weight_decay": 0.3,
            "mask": matrices,
        },
        {"b1": 0.6},
        {"b2": 0.8},
        {"eps": 1e-8},
        {"eps_root": 0.0},
        {"weight_decay": 0.0},
        {"mask": None},
        {"nesterov": True},
        label="all terms",
    ),
    pair("adamw", RATE | {"weight_decay": schedule}, {"weight_decay": 0.1}, label="schedule"),
    pair(
        "amsgrad",
        RATE | {"b1": 0.7, "b2": 0.5, "eps": 0.05, "eps_root": 0.02},
        {"b1": 0.6},
        {"b2": 0.8},
        {"eps": 1e-8},
        {"eps_root": 0.0},
    ),
    pair(
        "amsgrad",
        RATE | {"bias_correction_mu": False, "bias_correction_nu": False, "eps_root": 0.01},
        {"bias_correction_mu": True},
        {"bias_correction_nu": True},
        label="uncorrected",
    ),
    pair(
        "adamax",
        RATE | {"b1": 0.7, "b2": 0.8, "eps": 0.05},
        {"b1": 0.6},
        {"b2": 0.5},
        {"eps": 1e-8},
    ),
    pair(
        "adamaxw",
        RATE | {"b1": 0.7, "b2": 0.8, "eps": 0.05, "weight_decay": 0.3},
        {"b1": 0.6},
        {"b2": 0.5},
        {"eps": 1e-8},
        {"weight_decay": 0.0},
        {"mask": matrices},
    ),
    pair(
        "radam",
        RATE | {"b1": 0.7, "b2": 0.9, "eps": 0.05, "eps_root": 0.02, "threshold": 4.5},
        {"b1": 0.6},
        {"b2": 0.8},
        {"eps": 1e-8},
        {"eps_root": 0.0},
        {"threshold": 6.0},
        {"nesterov": True},
        label="all terms",
    ),
    pair("radam", RATE | {"nesterov": True}, {"nesterov": False}, label="nesterov"),
    pair(
        "adagrad",
        RATE | {"initial_accumulator_value": 0.3, "eps": 0.05},
        {"initial_accumulator_value": 0.1},
        {"eps": 1e-8},
    ),
    pair(
        "adadelta",
        RATE | {"rho": 0.7, "eps": 0.05, "weight_decay": 0.3, "weight_decay_mask": matrices},
        {"rho": 0.6},
        {"eps": 0.01},
        {"weight_decay": 0.0},
        {"weight_decay_mask": None},
    ),
    pair(
        "rmsprop",
        RATE | {"decay": 0.7, "eps": 0.05, "initial_scale": 0.5},
        {"decay": 0.6},
        {"eps": 1e-8},
        {"initial_scale": 0.0},
        {"eps_in_sqrt": False},
        {"centered": True},
        {"momentum": 0.5},
        {"bias_correction": True},
    ),
    pair(
        "rmsprop",
        RATE
        | {
            "decay": 0.7,
            "eps": 0.05,
            "initial_scale": 0.5,
            "eps_in_sqrt": False,
            "centered": True,
            "momentum": 0.6,
            "nesterov": True,
            "bias_correction": True,
        },
        {"decay": 0.6},
        {"eps": 0.01},
        {"initial_scale": 0.4},
        {"eps_in_sqrt": True},
        {"centered": False},
        {"momentum": 0.5},
        {"nesterov": False},
        {"bias_correction": False},
        label="all terms",
    ),
    pair(
        "rmsprop",
        RATE | {"eps_in_sqrt": False, "bias_correction": True, "momentum": 0.5},
        {"eps_in_sqrt": True},
        {"bias_correction": False},
        label="corrected",
    ),
    pair(
        "lion",
        RATE | {"b1": 0.8, "b2": 0.6, "weight_decay": 0.3, "mask": matrices},
        {"b1": 0.3},
        {"b2": 0.9},
        {"weight_decay": 0.0},
        {"mask": None},
        smooth=False,
    ),
    pair("sign_sgd", RATE, {"learning_rate": 0.11}, smooth=False),
    pair(
        "lamb",
        RATE
        | {
            "b1": 0.7,
            "b2": 0.9,
            "eps": 0.05,
            "eps_root": 0.02,
            "weight_decay": 0.3,
            "mask": matrices,
        },
        {"b1": 0.6},
        {"b2": 0.8},
        {"eps": 1e-8},
        {"eps_root": 0.0},
        {"weight_decay": 0.0},
        {"mask": None},
    ),
    pair(
        "lars",
        {
            "learning_rate": 1.0,
            "weight_decay": 0.3,
            "weight_decay_mask": matrices,
            "trust_coefficient": 0.1,
            "eps": 0.2,
            "momentum": 0.8,
        },
        {"weight_decay": 0.0},
        {"weight_decay_mask": True},
        {"trust_coefficient": 0.2},
        {"eps": 0.0},
        {"momentum": 0.7},
        {"nesterov": True},
        {"trust_ratio_mask": matrices},
        label="all terms",
    ),
    pair(
        "lars",
        {"learning_rate": 0.1, "trust_ratio_mask": matrices, "nesterov": True},
        {"trust_ratio_mask": True},
        {"nesterov": False},
        label="nesterov",
    ),
    pair("adafactor", {"learning_rate": 0.1}, {"learning_rate": None}, label="defaults"),
    pair(
        "adafactor",
        RATE
        | {
            "min_dim_size_to_factor": 2,
            "decay_rate": 0.6,
            "clipping_threshold": 0.5,
            "momentum": 0.5,
            "dtype_momentum": "float64",
            "weight_decay_rate": 0.1,
            "eps": 0.1,
            "weight_decay_mask": matrices,
        },
        {"learning_rate": 0.11},
        {"min_dim_size_to_factor": 128},
        {"decay_rate": 0.8},
        {"clipping_threshold": None},
        {"momentum": None},
        {"weight_decay_rate": None},
        {"eps": 1e-30},
        {"factored": False},
        {"multiply_by_parameter_scale": False},
        {"weight_decay_mask": None},
        label="all terms",
    ),
    pair(
        "adafactor",
        {
            "learning_rate": schedule,
            "decay_offset": -3,
            "multiply_by_parameter_scale": False,
            "clipping_threshold": None,
        },
        {"decay_offset": 0},
        RATE,
        label="offset",
    ),
    pair(
        "rprop",
        RATE
        | {"eta_minus": 0.4, "eta_plus": 1.5, "min_step_size": 0.05, "max_step_size": 0.3},
        {"learning_rate": 0.11},
        {"eta_minus": 0.8},
        {"eta_plus": 1.3},
        {"min_step_size": 1e-6},
        {"max_step_size": 1.0},
        optax="",  # there the update is that of the step before
        smooth=False,
    ),
    pair(
        "muon",
        {
            "learning_rate": 0.02,
            "beta": 0.8,
            "eps": 0.3,
            "weight_decay": 0.3,
            "adam_b1": 0.7,
            "adam_b2": 0.9,
            "adam_eps_root": 0.02,
            "adam_weight_decay": 0.2,
            "adam_learning_rate": 0.05,
            "consistent_rms": 0.3,
        },
        {"learning_rate": 0.022},
        {"ns_coeffs": "dion"},
        {"ns_steps": 4},
        {"beta": 0.7},
        {"eps": 0.01},
        {"weight_decay": 0.0},
        {"weight_decay_mask": lambda params: tree.map(lambda p: False, params)},
        {"nesterov": False},
        {"adaptive": True},
        {"adam_b1": 0.6},
        {"adam_b2": 0.8},
        {"adam_eps_root": 0.0},
        {"adam_weight_decay": 0.0},
        {"adam_learning_rate": None},
        {"consistent_rms": None},
        optax="contrib.muon",
        label="all terms",
    ),
    pair(
        "muon",
        {"learning_rate": 0.02, "ns_coeffs": "dion", "nesterov": False, "adaptive": True},
        {"ns_steps": 4},
        {"adaptive": False},
        {"nesterov": True},
        optax="contrib.muon",
        label="dion",
    ),
    pair(
        "muon",
        RATE | {"ns_coeffs": (1.5, -0.5, 0.0)},
        {"ns_coeffs": "standard"},
        optax="contrib.muon",
        label="cubic",
    ),
    pair(
        "schedule_free_sgd",
        {
            "learning_rate": 0.3,
            "warmup_steps": 4,
            "b1": 0.7,
            "weight_decay": 0.3,
            "weight_lr_power": 1.5,
        },
        {"learning_rate": 0.2},
        {"warmup_steps": None},
        {"b1": 0.8},
        {"weight_decay": None},
        {"weight_lr_power": 2.0},
        optax="contrib.schedule_free_sgd",
    ),
    pair(
        "schedule_free_adamw",
        {
            "learning_rate": 0.3,
            "warmup_steps": 4,
            "b1": 0.7,
            "b2": 0.8,
            "eps": 0.05,
            "weight_decay": 0.3,
            "weight_lr_power": 1.5,
        },
        {"learning_rate": 0.2},
        {"warmup_steps": None},
        {"b1": 0.8},
        {"b2": 0.9},
        {"eps": 1e-8},
        {"weight_decay": 0.0},
        {"weight_lr_power": 2.0},
        optax="contrib.schedule_free_adamw",
    ),
]

BETAS = ({"betas": (0.6, 0.9)}, {"betas": (0.7, 0.8)})
STATEFUL = [
    wrapper("SGD", {"lr": 0.1}, {"lr": 0.11}),
    wrapper("SGD", {}, {"lr": 2e-3}, label="defaults"),
    wrapper(
        "SGD",
        {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.2},
        {"momentum": 0.7},
        {"dampening": 0.0},
        {"weight_decay": 0.0},
        {"maximize": True},
        label="all terms",
    ),
    wrapper(
        "SGD",
        {"lr": 0.1, "momentum": 0.8, "nesterov": True},
        {"nesterov": False},
        label="nesterov",
    ),
    wrapper("Adam", {"lr": 0.1}, {"lr": 0.11}),
    wrapper("Adam", {}, {"lr": 2e-3}, label="defaults"),
    wrapper(
        "Adam",
        {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.05, "weight_decay": 0.2},
        *BETAS,
        {"eps": 1e-8},
        {"weight_decay": 0.0},
        label="all terms",
    ),
    wrapper(
        "Adam",
        {"lr": 0.1, "betas": (0.7, 0.5), "eps": 0.05, "weight_decay": 0.2, "amsgrad": True},
        {"amsgrad": False},
        {"betas": (0.6, 0.5)},
        {"eps": 1e-8},
        {"weight_decay": 0.0},
        label="amsgrad",
    ),
    wrapper(
        "Adam",
        {"lr": 0.1, "weight_decay": 0.2, "maximize": True},
        {"maximize": False},
        label="maximize",
    ),
    wrapper("AdamW", {}, {"weight_decay": 0.0}, {"lr": 2e-3}, label="defaults"),
    wrapper(
        "AdamW",
        {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.05, "weight_decay": 0.2},
        *BETAS,
        {"eps": 1e-8},
        {"weight_decay": 0.0},
        {"maximize": True},
        label="all terms",
    ),
    wrapper(
        "AdamW",
        {"lr": 0.1, "betas": (0.7, 0.5), "eps": 0.05, "amsgrad": True},
        {"amsgrad": False},
        label="amsgrad",
    ),
    wrapper("NAdam", {}, {"lr": 3e-3}, {"momentum_decay": 0.0}, label="defaults"),
    wrapper(
        "NAdam",
        {
            "lr": 0.1,
            "betas": (0.7, 0.9),
            "eps": 0.05,
            "weight_decay": 0.2,
            "momentum_decay": 0.5,
        },
        *BETAS,
        {"eps": 1e-8},
        {"weight_decay": 0.0},
        {"momentum_decay": 0.1},
        {"decoupled_weight_decay": True},
        label="all terms",
    ),
    wrapper(
        "NAdam",
        {"lr": 0.1, "weight_decay": 0.2, "decoupled_weight_decay": True, "maximize": True},
        {"decoupled_weight_decay": False},
        {"maximize": False},
        label="decoupled",
    ),
    wrapper("Adamax", {}, {"lr": 3e-3}, label="defaults"),
    wrapper(
        "Adamax",
        {"lr": 0.1, "betas": (0.7, 0.8), "eps": 0.05, "weight_decay": 0.2, "maximize": True},
        {"betas": (0.6, 0.8)},
        {"betas": (0.7, 0.5)},
        {"eps": 1e-8},
        {"weight_decay": 0.0},
        {"maximize": False},
        label="all terms",
    ),
    wrapper("RAdam", {}, {"lr": 2e-3}, label="defaults"),
    wrapper(
        "RAdam",
        {"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.05, "weight_decay": 0.2},
        *BETAS,
        {"eps": 1e-8},
        {"weight_decay": 0.0},
        {"decoupled_weight_decay": True},
        label="all terms",
    ),
    wrapper(
        "RAdam",
        {"lr": 0.1, "weight_decay": 0.2, "decoupled_weight_decay": True, "maximize": True},
        {"decoupled_weight_decay": False},
        {"maximize": False},
        label="decoupled",
    ),
    wrapper("Adagrad", {}, {"lr": 2e-2}, label="defaults"),
    wrapper(
        "Adagrad",
        {
            "lr": 0.1,
            "lr_decay": 0.2,
            "weight_decay": 0.2,
            "initial_accumulator_value": 0.3,
            "eps": 0.05,
            "maximize": True,
        },
        {"lr_decay": 0.0},
        {"weight_decay": 0.0},
        {"initial_accumulator_value": 0.0},
        {"eps": 1e-10},
        {"maximize": False},
        label="all terms",
    ),
    wrapper("Adadelta", {}, {"lr": 0.5}, label="defaults"),
    wrapper(
        "Adadelta",
        {"lr": 0.5, "rho": 0.7, "eps": 0.05, "weight_decay": 0.2, "maximize": True},
        {"rho": 0.6},
        {"eps": 0.01},
        {"weight_decay": 0.0},
        {"maximize": False},
        label="all terms",
    ),
    wrapper("RMSprop", {}, {"alpha": 0.9}, label="defaults"),
    wrapper(
        "RMSprop",
        {
            "lr": 0.1,
            "alpha": 0.7,
            "eps": 0.05,
            "weight_decay": 0.2,
            "momentum": 0.5,
            "centered": True,
        },
        {"alpha": 0.6},
        {"eps": 0.01},
        {"weight_decay": 0.0},
        {"momentum": 0.0},
        {"centered": False},
        {"maximize": True},
        label="all terms",
    ),
    wrapper("RMSprop", {"lr": 0.1, "maximize": True}, {"maximize": False}, label="maximize"),
    wrapper("Rprop", {}, {"lr": 2e-2}, label="defaults"),
    wrapper(
        "Rprop",
        {"lr": 0.1, "etas": (0.4, 1.5), "step_sizes": (0.05, 0.3)},
        {"etas": (0.8, 1.5)},
        {"etas": (0.4, 1.3)},
        {"step_sizes": (1e-6, 0.3)},
        {"step_sizes": (0.05, 1.0)},
        {"maximize": True},
        label="all terms",
    ),
    wrapper("Adafactor", {}, {"lr": 2e-2}, label="defaults"),
    wrapper(
        "Adafactor",
        {
            "lr": 0.45,
            "beta2_decay": -0.6,
            "eps": (0.9, 0.7),
            "d": 1.1,
            "weight_decay": 0.2,
            "maximize": True,
        },
        {"lr": 0.3},
        {"beta2_decay": -0.8},
        {"eps": (1e-8, 0.7)},
        {"eps": (0.9, 1e-3)},
        {"d": 2.0},
        {"weight_decay": 0.0},
        {"maximize": False},
        label="all terms",
    ),
    row(
        optim.Lion,
        {"lr": 0.1, "betas": (0.8, 0.6), "weight_decay": 0.2},
        {"betas": (0.3, 0.6)},
        {"betas": (0.8, 0.9)},
        {"weight_decay": 0.0},
        {"maximize": True},
    ),
    wrapper(
        "Muon",
        {
            "lr": 0.1,
            "weight_decay": 0.2,
            "momentum": 0.8,
            "nesterov": False,
            "ns_coefficients": (2.0, -1.5, 0.5),
            "eps": 2.0,
            "ns_steps": 4,
            "adjust_lr_fn": "match_rms_adamw",
        },
        {"weight_decay": 0.0},
        {"momentum": 0.5},
        {"nesterov": True},
        {"ns_coefficients": "standard"},
        {"eps": 1e-7},
        {"ns_steps": 5},
        {"adjust_lr_fn": None},
        label="all terms",
        matrices=True,
    ),
    wrapper(
        "Muon",
        {},
        {"weight_decay": 0.0},
        {"nesterov": False},
        label="defaults",
        matrices=True,
    ),
]
