"""Random numbers from explicit keys.

A key is a uint32 array of shape (2,), made by `key` and never changed: the same key gives the same
numbers, and new keys come from `split` and `fold_in`. Results belong to the key's library and
device. The generator is Threefry-2x32 in the layout that JAX calls partitionable (its default),
so streams equal those of `jax.random` on every library and device.

Reading order: `threefry`, the hash and the counters it runs over; `keys`; `integer`, `interval` and
`gaussian`, the maps from random words to numbers; `transformed` and `selection`, what is made of
those; `sampler`, which makes primitives of kernels.
"""

from volta.functional.random.gaussian import normal
from volta.functional.random.integer import bits, randint
from volta.functional.random.interval import bernoulli, rademacher, uniform
from volta.functional.random.keys import fold_in, key, split
from volta.functional.random.positive import beta, chisquare, dirichlet, gamma, loggamma, t
from volta.functional.random.selection import categorical, choice, permutation
from volta.functional.random.transformed import cauchy, exponential, gumbel, laplace, logistic
from volta.functional.random.truncated import truncated_normal

__all__ = [
    "bernoulli",
    "beta",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "dirichlet",
    "exponential",
    "fold_in",
    "gamma",
    "gumbel",
    "key",
    "laplace",
    "loggamma",
    "logistic",
    "normal",
    "permutation",
    "rademacher",
    "randint",
    "split",
    "t",
    "truncated_normal",
    "uniform",
]
