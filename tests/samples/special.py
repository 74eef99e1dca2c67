"""Rows of `volta/functional/special`."""

import numpy as np

import volta
import volta.functional as F
from samples.sample import add, arrays, compose, no_broadcast, real
from volta.core.errors import ShapeError

# name: range of the operand
UNARY = {
    "digamma": (0.6, 4.0),
    "entr": (0.2, 2.0),
    "erf": (-2.0, 2.0),
    "erfc": (-2.0, 2.0),
    "erfcinv": (0.3, 1.7),
    "erfcx": (-1.0, 2.0),
    "erfinv": (-0.8, 0.8),
    "exp1": (0.3, 3.0),
    "expi": (0.3, 3.0),
    "gamma": (0.6, 4.0),
    "gammaln": (0.6, 4.0),
    "i0": (-2.0, 2.0),
    "i0e": (0.1, 2.0),
    "i1": (-2.0, 2.0),
    "i1e": (0.1, 2.0),
    "j0": (-2.0, 2.0),
    "j1": (-2.0, 2.0),
    **dict.fromkeys(("k0", "k0e", "k1", "k1e", "y0", "y1"), (0.3, 3.0)),
    "log_expit": (-2.0, 2.0),
    "log_ndtr": (-3.0, 2.0),
    "logit": (0.2, 0.8),
    "ndtr": (-2.0, 2.0),
    "ndtri": (0.2, 0.8),
    "ndtri_exp": (-3.0, -0.2),
    "exprel": (-3.0, 3.0),
    "sinc": (-2.0, 2.0),
    "spence": (0.3, 3.0),
}
BINARY = {
    "beta": ((0.6, 3.0), (0.6, 3.0)),
    "betaln": ((0.6, 3.0), (0.6, 3.0)),
    "boxcox": ((0.3, 3.0), (-2.0, 2.0)),
    "boxcox1p": ((-0.6, 3.0), (-2.0, 2.0)),
    "kl_div": ((0.3, 2.0), (0.3, 2.0)),
    "rel_entr": ((0.3, 2.0), (0.3, 2.0)),
    "xlog1py": ((-2.0, 2.0), (0.3, 2.0)),
    "xlogy": ((-2.0, 2.0), (0.3, 2.0)),
}

GAMMAS = (np.asarray([0.4, 1.3, 3.7]), np.asarray([1.1, 0.7, 2.6]))
BETAS = (np.asarray([0.7, 2.6]), np.asarray([[1.3], [0.8]]), np.asarray([0.3, 0.6]))

_SLOW = "many steps, each uncompiled: its sibling's row takes seconds"
for _name in ("gammainc", "gammaincc"):
    _fun = getattr(F.special, _name)
    _jax = _SLOW if _name == "gammaincc" else ""
    add(_name, _fun, *GAMMAS, errors=(no_broadcast(_fun),), jax=_jax)
for _name in ("betainc", "betaincc"):
    add(_name, getattr(F.special, _name), *BETAS, jax=_SLOW if _name == "betaincc" else "")
for _name, _fun, _args in (
    ("incomplete_gamma_shape", F.special.gammainc, GAMMAS),
    ("incomplete_beta_shape", F.special.betainc, BETAS),
):
    add(
        _name,
        volta.grad(lambda a, *rest, f=_fun: F.sum(f(a, *rest) ** 2)),
        *_args,
        jax=_SLOW,
    )

_MASSES = np.asarray([0.2, 0.65, 0.4])
for _name in ("gammaincinv", "gammainccinv"):
    _fun = getattr(F.special, _name)
    _jax = _SLOW if _name == "gammainccinv" else ""
    add(_name, _fun, GAMMAS[0], _MASSES, errors=(no_broadcast(_fun),), jax=_jax)
for _name in ("betaincinv", "betainccinv"):
    add(_name, getattr(F.special, _name), *BETAS[:2], _MASSES[:2], jax=_SLOW)
add("stdtrit", F.special.stdtrit, np.asarray([0.7, 3.0, 9.0]), _MASSES, jax=_SLOW)
add("stdtr", F.special.stdtr, np.asarray([0.7, 3.0, 9.0]), np.asarray([-1.3, 0.4, 2.1]))

for _name, (_low, _high) in UNARY.items():
    add(_name, getattr(F.special, _name), real(2, 3, low=_low, high=_high))
add("sinc", F.special.sinc, np.asarray([0.0, 1e-9, 0.19, 0.21]), name="sinc-near-zero")
add("erfcx", F.special.erfcx, np.asarray([11.9, 12.1, 30.0]), name="erfcx-far")
add("gammaln", F.special.gammaln, real(2, 3, low=-1.9, high=-1.1), name="gammaln-negative")
for _name, ((_low1, _high1), (_low2, _high2)) in BINARY.items():
    _fun = getattr(F.special, _name)
    add(
        _name,
        _fun,
        real(2, 3, low=_low1, high=_high1),
        real(3, low=_low2, high=_high2),
        errors=(no_broadcast(_fun),),
    )
add(
    "_hurwitz",
    F.special.zeta,
    real(2, 3, low=1.6, high=4.0),
    real(3, low=0.3, high=3.0),
    of="special.zeta",
)
add(
    "_hurwitz",
    lambda x: F.special.polygamma(2, x),
    real(2, 3, low=0.6, high=3.0),
    name="polygamma",
    errors=(
        (
            lambda: F.special.polygamma(-1, *arrays((2,))),
            ShapeError,
            "polygamma: n must be a whole number, 0 or more; got -1",
        ),
        (lambda: F.special.polygamma(0.5, *arrays((2,))), ShapeError, "got 0.5"),
    ),
)

# Compositions -------------------------------------------------------------------------------------

_COUNTS = np.asarray([0.3, 2.4, 3.8])  # the function is constant between whole numbers
_SHARES = np.asarray([0.2, 0.45, 0.7])
_POSITIVE = np.asarray([0.6, 1.7, 2.9]), np.asarray([1.3, 0.8, 2.2]), np.asarray([0.4, 1.6, 0.9])
for _name, _args in {
    "bdtr": (_COUNTS, np.asarray([4.2, 7.1, 5.3]), _SHARES),
    "chdtr": (_POSITIVE[1], _POSITIVE[2]),
    "fdtr": _POSITIVE,
    "gdtr": _POSITIVE,
    "nbdtr": (_COUNTS, np.asarray([4.2, 7.1, 5.3]), _SHARES),
    "pdtr": (_COUNTS, _POSITIVE[0]),
}.items():
    for _tail in ("", "c"):
        compose(_name + _tail, getattr(F.special, _name + _tail), *_args)
for _name, _args in {
    "bdtri": (_COUNTS, np.asarray([4.2, 7.1, 5.3]), _SHARES),
    "chdtri": (_POSITIVE[1], _SHARES),
    "fdtri": (_POSITIVE[0], _POSITIVE[1], _SHARES),
    "gdtrix": (_POSITIVE[0], _POSITIVE[1], _SHARES),
    "nbdtri": (_COUNTS, np.asarray([4.2, 7.1, 5.3]), _SHARES),
    "pdtri": (_COUNTS, _SHARES),
}.items():
    compose(_name, getattr(F.special, _name), *_args, jax=_SLOW)
compose("expit", F.special.expit, real(2, 3))
compose("multigammaln", lambda a: F.special.multigammaln(a, 3), real(2, 3, low=1.3, high=4.0))
compose("zeta-q", lambda x: F.special.zeta(x), real(3, low=1.6, high=4.0))
