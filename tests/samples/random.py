"""Rows of `volta/functional/random`."""

from unittest import mock

import numpy as np
import scipy.special
import scipy.stats

import volta.functional as F
from samples.sample import add, compose, real
from volta.functional.random import multivariate, positive

_key = np.asarray([0, 42], dtype=np.uint32)
for _name, _primitive, _draw in (
    ("split", "random_split", lambda key: F.random.split(key, 3)),
    ("bits", "random_bits", lambda key: F.random.bits(key, (2, 3))),
    ("uniform-unit", "random_unit", lambda key: F.random.uniform(key, (2, 3), F.float64)),
    ("normal", "random_normal", lambda key: F.random.normal(key, (2, 3), F.float64)),
):
    add(_primitive, _draw, _key, name=_name)
add("random_seed", F.random.key, np.asarray(7), name="key")
add("random_fold_in", F.random.fold_in, _key, np.asarray(3), name="fold_in")
add(
    "random_between",
    lambda key, low, high: F.random.uniform(key, (2, 3), F.float64, low, high),
    _key,
    real(3, low=-2.0, high=-1.0),
    real(2, 1, low=1.0, high=2.0),
    name="uniform",
)
add(
    "random_within",
    lambda key, low, high: F.random.randint(key, (2, 3), low, high),
    _key,
    np.asarray([-5, 0, 7]),
    np.asarray([[9], [100]]),
    name="randint",
)
add("random_order", lambda key: F.random.permutation(key, 6), _key, name="permutation-number")
add(
    "random_order",
    lambda key, x: F.random.permutation(key, x, 1, True),
    _key,
    real(2, 3),
    name="permutation-independent",
)
compose("orthogonal", lambda key: F.random.orthogonal(key, 3, (2,), F.float64, 2), _key)
compose("permutation", lambda key, x: F.random.permutation(key, x, 1), _key, real(2, 3))
compose("choice-array", lambda key, x: F.random.choice(key, x, (2, 3), axis=1), _key, real(2, 4))
add(
    "random_search",
    lambda key, p: F.random.choice(key, 4, (2, 3), p=p),
    _key,
    np.asarray([0.1, 0.4, 0.2, 0.3]),
    name="choice",
)
add(
    "random_descending",
    lambda key, p: F.random.choice(key, 4, 3, False, p),
    _key,
    np.asarray([0.1, 0.4, 0.2, 0.3]),
    name="choice-once",
)

# Made of gamma numbers ----------------------------------------------------------------------------


def _of_fixed_probability(draw, *args):
    """`draw` with gamma numbers that keep the probability they have at `args`.

    That is how their derivative is defined; the sampler itself jumps where it rejects a number.
    """
    probabilities = []

    def found(key, a):
        x = np.exp(loggamma(key, a))
        probabilities.append((scipy.special.gammainc(a, x), scipy.special.gammaincc(a, x)))
        return np.log(x)

    def moved(_key, a):
        below, above = next(left)
        inverses = scipy.special.gammaincinv(a, below), scipy.special.gammainccinv(a, above)
        return np.log(np.where(below < 0.5, *inverses))

    loggamma = positive._random_loggamma
    with mock.patch.object(positive, "_random_loggamma", found):
        draw(*args)

    def reference(*args):
        nonlocal left
        left = iter(probabilities)
        with mock.patch.object(positive, "_random_loggamma", moved):
            return draw(*args)

    left = iter(())
    return reference


for _name, _draw, *_args in (
    ("gamma", lambda key, a: F.random.gamma(key, a, (2, 3), F.float64), [0.4, 1.7, 25.0]),
    ("chisquare", lambda key, df: F.random.chisquare(key, df, (2, 2), F.float64), [0.9, 4.2]),
    ("t", lambda key, df: F.random.t(key, df, (2, 2), F.float64), [2.3, 6.1]),
    ("dirichlet", lambda key, a: F.random.dirichlet(key, a, (2,), F.float64), [0.6, 1.3, 2.4]),
    (
        "beta",
        lambda key, a, b: F.random.beta(key, a, b, (2, 2), F.float64),
        [0.7, 2.2],
        [[1.4], [0.5]],
    ),
    (
        "f",
        lambda key, dfnum, dfden: F.random.f(key, dfnum, dfden, (2, 2), F.float64),
        [0.9, 4.2],
        [[2.3], [6.1]],
    ),
    (
        "generalized_normal",
        lambda key, p: F.random.generalized_normal(key, p, (2, 2), F.float64),
        [0.8, 2.6],
    ),
    ("ball", lambda key, p: F.random.ball(key, 3, p, (2,), F.float64), [0.8, 2.6]),
):
    _operands = _key, *map(np.asarray, _args)
    compose(_name, _draw, *_operands, reference=_of_fixed_probability(_draw, *_operands))


def _loggamma(key, a):
    return F.random.loggamma(key, a, (4, 3), F.float64)


_operands = _key, np.asarray([0.3, 1.7, 25.0])
add(
    "random_loggamma",
    _loggamma,
    *_operands,
    name="loggamma",
    reference=_of_fixed_probability(_loggamma, *_operands),
)

# Normal numbers of intervals ----------------------------------------------------------------------

for _name, _low, _high in (
    ("around", [-1.5, -0.2, 0.1], [[0.9], [2.5]]),
    ("tail", [2.0, 3.0, 4.0], [[4.5], [5.0]]),
):
    add(
        "random_truncated_normal",
        lambda key, low, high: F.random.truncated_normal(key, low, high, (2, 3), F.float64),
        _key,
        np.asarray(_low),
        np.asarray(_high),
        name=f"truncated_normal-{_name}",
    )

# Counts -------------------------------------------------------------------------------------------

add(
    "random_poisson",
    lambda key, lam: F.random.poisson(key, lam, (2, 3)),
    _key,
    np.asarray([0.3, 7.0, 4e3]),
    diff=(),
    name="poisson",
)
add(
    "random_binomial",
    lambda key, n, p: F.random.binomial(key, n, p, (2, 3)),
    _key,
    np.asarray([5, 40, 9000]),
    np.asarray([[0.2], [0.7]]),
    diff=(),
    name="binomial",
)
compose(
    "geometric",
    lambda key, p: F.random.geometric(key, p, (2, 3)),
    _key,
    np.asarray([0.1, 0.5, 1.0]),
    diff=(),
)
compose(
    "multinomial",
    lambda key, n, p: F.random.multinomial(key, n, p, shape=(2, 2)),
    _key,
    np.asarray([5, 400]),
    np.asarray([[[0.2, 0.0, 0.8]], [[0.3, 0.5, 0.2]]]),
    diff=(),
)

# With parameters ----------------------------------------------------------------------------------

for _name, _draw, *_args in (
    ("lognormal", F.random.lognormal, [0.3, 1.1, 0.7]),
    ("pareto", F.random.pareto, [0.8, 2.6, 4.1]),
    ("rayleigh", F.random.rayleigh, [0.3, 1.1, 0.7]),
    ("weibull_min", F.random.weibull_min, [0.3, 1.1, 0.7], [[0.8], [2.6]]),
    ("triangular", F.random.triangular, [-2.3, -1.4, 0.2], [[0.3], [0.6]], [[0.9], [2.4]]),
):
    compose(
        _name,
        lambda key, *args, _draw=_draw: _draw(key, *args, (2, 3), F.float64),
        _key,
        *map(np.asarray, _args),
    )
compose(
    "double_sided_maxwell",
    lambda key, loc, scale: F.random.double_sided_maxwell(key, loc, scale, (2,), F.float64),
    _key,
    real(3),
    real(2, 1, low=0.5),
)


def _wald(key, mean):
    return F.random.wald(key, mean, (4, 3), F.float64)


def _moved_wald(key, mean):
    """Wald numbers of the probability that they have at the row's means."""
    start = np.asarray([0.4, 1.7, 6.0])
    below = scipy.stats.invgauss.cdf(_wald(key, start), start)
    return scipy.stats.invgauss.ppf(below, mean)


add("random_wald", _wald, _key, np.asarray([0.4, 1.7, 6.0]), name="wald", reference=_moved_wald)

# Normal vectors -----------------------------------------------------------------------------------


def _definite(x):
    return F.add(F.matmul(x, F.matrix_transpose(x)), np.eye(3) / 4)


_factor = real(3, 3)
_factors = np.stack([_factor, np.eye(3)])  # of which the second has equal eigenvalues
for _name, _primitive, _method, _operand in (
    ("cholesky", "", "cholesky", _factor),
    ("several", "", "cholesky", _factors),
    ("eigh", "random_root", "eigh", _factor),
    ("equal", "random_root", "eigh", _factors),
    ("svd", "random_root", "svd", _factor),
):
    add(
        _primitive,
        lambda key, mean, factor, _method=_method: F.random.multivariate_normal(
            key, mean, _definite(factor), (2, 2), F.float64, _method
        ),
        _key,
        real(3),
        _operand,
        name=f"multivariate_normal-{_name}",
    )
add(
    "random_lyapunov",
    lambda s, b: multivariate._lyapunov(_definite(s), b),
    _factors,
    real(2, 3, 3),
    sixteen="what calls it computes in 32 bits",
)
