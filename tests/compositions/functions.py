"""Sixty smooth functions of three numbers, written once for Volta and JAX.

Each takes a namespace `m` (with its special functions as `m.special`) and an array of shape (3,)
with elements between 0.3 and 1.3, and returns one number.
"""

import numpy as np

FUNCTIONS = {}
A = np.asarray([[0.5, -0.2, 0.3], [0.1, 0.7, -0.4], [-0.3, 0.2, 0.6]])
B = np.asarray([[0.9, 0.1], [-0.4, 0.6], [0.2, -0.8]])
W = np.asarray([0.7, -0.5, 1.1])
PERMUTATION = np.asarray([2, 0, 1])


def function(fun):
    FUNCTIONS[fun.__name__] = fun
    return fun


def _elementwise(name, arrange):
    def fun(m, x):
        return m.sum(getattr(m, name)(arrange(m, x)) * W)

    FUNCTIONS[name] = fun


for _name in ("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "square", "reciprocal"):
    _elementwise(_name, lambda m, x: x + 0.2)
for _name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "atan", "asinh", "negative"):
    _elementwise(_name, lambda m, x: x * 0.9)
for _name in ("asin", "acos", "atanh"):
    _elementwise(_name, lambda m, x: x * 0.5)
_elementwise("acosh", lambda m, x: x + 1.5)
_elementwise("exp2", lambda m, x: x * x)
_elementwise("abs", lambda m, x: m.sin(x) - 2)
_elementwise("sign", lambda m, x: x - 2)


def _special(name, arrange):
    def fun(m, x):
        return m.sum(getattr(m.special, name)(arrange(x)) * W)

    FUNCTIONS[name] = fun


for _name in ("erf", "erfc", "expit", "ndtr", "log_ndtr", "i0e"):
    _special(_name, lambda x: x - 0.4)
_special("gammaln", lambda x: x + 1)
_special("digamma", lambda x: x + 1)
_special("logit", lambda x: x * 0.6)


@function
def xlogy(m, x):
    return m.sum(m.special.xlogy(x, x + 1))


@function
def add_multiply(m, x):
    return m.sum((x + W) * x * x)


@function
def subtract_divide(m, x):
    return m.sum((x - 2) / (x + 1))


@function
def power(m, x):
    return m.sum(x**2.5 - x**3)


@function
def power_of_both(m, x):
    return m.sum(m.pow(x, x[::-1]))


@function
def atan2(m, x):
    return m.sum(m.atan2(x, x[::-1] + 1))


@function
def hypot(m, x):
    return m.sum(m.hypot(x, m.roll(x, 1)))


@function
def logaddexp(m, x):
    return m.sum(m.logaddexp(x, 2 * x[::-1]))


@function
def maximum(m, x):
    return m.sum(m.maximum(x * x, m.sin(x) - 2))


@function
def clip(m, x):
    return m.sum(m.clip(x, -3.0, 5.0) ** 3)


@function
def where(m, x):
    return m.sum(m.where(x > -1, m.sin(x), m.log(x)))


@function
def norm(m, x):
    return m.sqrt(m.sum(x * x))


@function
def mean_and_variance(m, x):
    return m.mean(x) ** 2 + m.var(m.sin(x))


@function
def product(m, x):
    return m.prod(m.sin(x) + 1)


@function
def largest(m, x):
    return m.max(x * np.asarray([1.0, 3.0, 0.1])) ** 2


@function
def logsumexp(m, x):
    return m.special.logsumexp(x * 3)


@function
def softmax(m, x):
    return m.sum(m.special.softmax(x * 2) * W)


@function
def matmul(m, x):
    return m.sum(m.tanh(m.matmul(x, A)) @ B)


@function
def quadratic(m, x):
    return x @ (A @ x)


@function
def outer(m, x):
    return m.sum(m.sin(m.matmul(x[:, None], x[None, :])) * A)


@function
def tensordot(m, x):
    return m.sum(m.tensordot(m.cos(x), m.matmul(x[:, None], x[None, :]), axes=1))


@function
def einsum(m, x):
    return m.einsum("i,ij,j->", x, A, m.exp(x))


@function
def vecdot(m, x):
    return m.vecdot(m.sin(x), x * x)


@function
def solve(m, x):
    return m.sum(m.linalg.solve(np.eye(3) * 2 + A * x, W * x))


@function
def inverse(m, x):
    return m.sum(m.linalg.inv(np.eye(3) * 2 + A * x) * A)


@function
def determinant(m, x):
    return m.linalg.det(np.eye(3) + m.matmul(x[:, None], x[None, :]))


@function
def slogdet(m, x):
    return m.linalg.slogdet(np.eye(3) + m.matmul(x[:, None], x[None, :]))[1]


@function
def cholesky(m, x):
    return m.sum(m.linalg.cholesky(np.eye(3) + m.matmul(x[:, None], x[None, :])) * A)


@function
def concat(m, x):
    joined = m.concat([x, m.sin(x), x[1:] * 2])
    return m.sum(joined * m.flip(joined))


@function
def stack(m, x):
    return m.sum(m.stack([x, x * x], axis=1) @ B.T)


@function
def reshape(m, x):
    return m.sum(m.exp(m.reshape(m.matmul(x[:, None], W[None, :]), (9,))) * np.linspace(-1, 1, 9))


@function
def transpose(m, x):
    square = m.matmul(x[:, None], m.sin(x)[None, :])
    return m.sum(m.permute_dims(square, (1, 0)) * A * square)


@function
def broadcast(m, x):
    return m.sum(m.broadcast_to(m.cos(x), (2, 3)) * np.asarray([[1.0], [-0.3]]) * x)


@function
def slices(m, x):
    return m.sum(m.sin(x[1:]) * x[:-1] * x[::2])


@function
def take(m, x):
    return m.sum(m.take(x * x, PERMUTATION) * m.sin(x))


@function
def tile_and_repeat(m, x):
    return m.sum(m.tile(x, (2,)) * m.repeat(m.sin(x), 2))


@function
def triangles(m, x):
    square = m.matmul(x[:, None], m.exp(x)[None, :])
    return m.sum(m.tril(square) * A) + m.sum(m.triu(square, k=1) ** 2)


@function
def cumulative_sum(m, x):
    return m.sum(m.cumulative_sum(m.sin(x)) ** 2)


@function
def cumulative_product(m, x):
    return m.sum(m.cumulative_prod(m.cos(x)) * W)


@function
def difference(m, x):
    return m.sum(m.diff(x * x) ** 2)


@function
def sorted_numbers(m, x):
    return m.sum(m.sort(x * np.asarray([3.0, 1.0, 0.2])) * W * x)


@function
def fourier(m, x):
    return m.sum(m.abs(m.fft.fft(x * W + 2)) ** 2)


@function
def complex_numbers(m, x):
    return m.real(m.sum(m.exp(1j * x) * (x + 2j) ** 2))


@function
def network(m, x):
    hidden = m.tanh(m.matmul(x, A) + W)
    return m.sum(m.matmul(hidden, B) ** 2)
