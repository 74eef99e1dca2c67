"""Random numbers from explicit keys.

A key is a uint32 array of shape (2,), made by `key` and never changed: the same key gives the same
numbers, and new keys come from `split` and `fold_in`. Results belong to the key's library and
device. The generator is Threefry-2x32 in the layout that JAX calls partitionable (its default),
so streams equal those of `jax.random` on every library and device.

Reading order: `threefry`, the hash and the counters it runs over; `keys`; `integer`, `interval` and
`gaussian`, the maps from random words to numbers; what is made of those: `transformed`,
`quantiles`, `truncated`, `positive`, `powers`, `from_normal`, `multivariate`, `counts` and
`selection`; `sampler`, which makes primitives of kernels.
"""

from volta.functional.random.counts import binomial, geometric, multinomial, poisson
from volta.functional.random.from_normal import double_sided_maxwell, lognormal, maxwell, wald
from volta.functional.random.gaussian import normal
from volta.functional.random.integer import bits, randint
from volta.functional.random.interval import bernoulli, rademacher, uniform
from volta.functional.random.keys import fold_in, key, split
from volta.functional.random.multivariate import multivariate_normal, orthogonal
from volta.functional.random.positive import beta, chisquare, dirichlet, f, gamma, loggamma, t
from volta.functional.random.powers import ball, generalized_normal
from volta.functional.random.quantiles import pareto, rayleigh, triangular, weibull_min
from volta.functional.random.selection import categorical, choice, permutation
from volta.functional.random.transformed import cauchy, exponential, gumbel, laplace, logistic
from volta.functional.random.truncated import truncated_normal

__all__ = [
    "ball",
    "bernoulli",
    "beta",
    "binomial",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "dirichlet",
    "double_sided_maxwell",
    "exponential",
    "f",
    "fold_in",
    "gamma",
    "generalized_normal",
    "geometric",
    "gumbel",
    "key",
    "laplace",
    "loggamma",
    "logistic",
    "lognormal",
    "maxwell",
    "multinomial",
    "multivariate_normal",
    "normal",
    "orthogonal",
    "pareto",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "rayleigh",
    "split",
    "t",
    "triangular",
    "truncated_normal",
    "uniform",
    "wald",
    "weibull_min",
]
