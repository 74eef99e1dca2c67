"""Rows of `volta/functional/random`."""

import numpy as np

import volta.functional as F
from samples.sample import add, real

_key = np.asarray([0, 42], dtype=np.uint32)
for _name, _draw in {
    "random_split": lambda key: F.random.split(key, 3),
    "random_bits": lambda key: F.random.bits(key, (2, 3)),
    "random_unit": lambda key: F.random.uniform(key, (2, 3), F.float64),
    "random_normal": lambda key: F.random.normal(key, (2, 3), F.float64),
}.items():
    add(_name, _draw, _key)
add("random_seed", F.random.key, np.asarray(7))
add("random_fold_in", F.random.fold_in, _key, np.asarray(3))
add(
    "random_between",
    lambda key, low, high: F.random.uniform(key, (2, 3), F.float64, low, high),
    _key,
    real(3, low=-2.0, high=-1.0),
    real(2, 1, low=1.0, high=2.0),
)
add(
    "random_within",
    lambda key, low, high: F.random.randint(key, (2, 3), low, high),
    _key,
    np.asarray([-5, 0, 7]),
    np.asarray([[9], [100]]),
)
add("random_order", lambda key: F.random.permutation(key, 6), _key)
add("random_order", lambda key, x: F.random.permutation(key, x, 1, True), _key, real(2, 3))
add(
    "random_search",
    lambda key, p: F.random.choice(key, 4, (2, 3), p=p),
    _key,
    np.asarray([0.1, 0.4, 0.2, 0.3]),
)
add(
    "random_descending",
    lambda key, p: F.random.choice(key, 4, 3, False, p),
    _key,
    np.asarray([0.1, 0.4, 0.2, 0.3]),
)
add(
    "random_loggamma",
    lambda key, a: F.random.loggamma(key, a, (4, 3), F.float64),
    _key,
    np.asarray([0.3, 1.7, 25.0]),
    diff=(),
)
