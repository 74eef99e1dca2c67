"""Programs written for plain NumPy: its functions and methods on the arrays that they are given."""

import numpy as np
from third_party.row import Row, draws

ROWS: list[Row] = []
normal, uniform, complex_normal = draws(2)


def row(function, call, *args, **options):
    ROWS.append(Row(f"numpy.{function}", call, args, **options))


X = uniform(3, 4)
Y = normal(3, 4)
SQUARE = normal(3, 3)
DEFINITE = SQUARE @ SQUARE.T + 2 * np.eye(3)
WAVE = normal(8)

# Functions ----------------------------------------------------------------------------------------

for name in (
    "exp",
    "log",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arctan",
    "sinh",
    "tanh",
    "log1p",
):
    row(name, getattr(np, name), X)
for name in (
    "arcsinh",
    "arccos",
    "square",
    "reciprocal",
    "exp2",
    "log2",
    "cbrt",
    "deg2rad",
    "sinc",
):
    row(name, getattr(np, name), X)
for name in ("add", "subtract", "multiply", "divide", "power", "maximum", "hypot", "logaddexp"):
    row(name, getattr(np, name), X, np.abs(Y))
for name in (
    "arctan2",
    "fmax",
    "fmod",
    "float_power",
    "inner",
    "vdot",
    "kron",
    "outer",
    "copysign",
):
    row(name, getattr(np, name), X, np.abs(Y))
for name in (
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "std",
    "var",
    "cumsum",
    "cumprod",
    "sort",
    "median",
):
    row(name, lambda x, f=getattr(np, name): f(x, axis=1), X)
for name in ("diff", "ptp", "average", "nansum", "nanmean", "nanstd", "flip", "squeeze"):
    row(name, getattr(np, name), X)
for name in ("ravel", "transpose", "atleast_3d", "fliplr", "rot90", "trace", "triu", "diag", "cov"):
    row(name, getattr(np, name), X)
for name in ("real", "imag", "abs", "angle", "conj"):
    row(name, getattr(np, name), complex_normal(4))
row("concatenate", lambda x, y: np.concatenate([x, y, x], axis=1), X, Y)
row("stack", lambda x, y: np.stack([x, y]), X, Y)
row("hstack", lambda x, y: np.hstack([x, y]), X, Y)
row("vstack", lambda x, y: np.vstack([x, y[0]]), X, Y)
row("column_stack", lambda x, y: np.column_stack([x, y[:, 0]]), X, Y)
row("append", lambda x, y: np.append(x, y), X, Y)
row("split", lambda x: np.split(x, 2, axis=1)[1], X)
row("where", lambda x, y: np.where(x > 0.5, x, y), X, Y)
row("select", lambda x, y: np.select([x > 0.7, x > 0.4], [x, y], 0.0), X, Y)
row("clip", lambda x: np.clip(x, 0.3, 0.7), X)
row("dot", lambda x, y: np.dot(x, y.T), X, Y)
row("matmul", lambda x, y: np.matmul(x, y.T), X, Y)
row("tensordot", lambda x, y: np.tensordot(x, y, axes=([0], [0])), X, Y)
row("einsum", lambda x, y: np.einsum("ij,kj->ik", x, y), X, Y)
row("einsum", lambda x: np.einsum("ii->i", x), SQUARE, variant="diagonal")
row("cross", lambda x, y: np.cross(x[:, :3], y[:, :3]), X, Y)
row("reshape", lambda x: np.reshape(x, (4, 3)), X)
row("repeat", lambda x: np.repeat(x, 2, axis=0), X)
row("tile", lambda x: np.tile(x, (2, 1)), X)
row("pad", lambda x: np.pad(x, 1, mode="reflect"), X)
row("roll", lambda x: np.roll(x, 1, axis=1), X)
row("moveaxis", lambda x: np.moveaxis(x, 0, 1), X)
row("swapaxes", lambda x: np.swapaxes(x, 0, 1), X)
row("expand_dims", lambda x: np.expand_dims(x, 1), X)
row("broadcast_to", lambda x: np.broadcast_to(x, (2, 3, 4)), X)
row("meshgrid", lambda x: np.meshgrid(x[0], x[1])[0], X)
row("take", lambda x: np.take(x, [2, 0], axis=1), X)
row("gradient", lambda x: np.gradient(x, axis=1), X)
row("trapezoid", lambda x: np.trapezoid(x, axis=1), X)
row("interp", lambda x, f: np.interp(x[0], np.asarray([0.0, 0.3, 0.6, 1.0]), f[0]), X, Y)
row("convolve", lambda x, y: np.convolve(x[0], y[0, :3], "same"), X, Y)
row("quantile", lambda x: np.quantile(x, 0.3, axis=0), X)
row("percentile", lambda x: np.percentile(x, [20, 70]), X)
row("corrcoef", np.corrcoef, X)
row("polyval", lambda x, y: np.polyval(y[0], x), X, Y)
row("linspace", lambda x: np.linspace(x, 2.0, 5), X)
row("nan_to_num", lambda x: np.nan_to_num(np.where(x > 0.6, np.nan, x)), X)
row("block", lambda x: np.block([[x, x]]), X)
row("apply_along_axis", lambda x: np.apply_along_axis(np.sum, 0, x), X)

for name in ("inv", "det", "pinv", "norm", "svdvals"):
    row(f"linalg.{name}", getattr(np.linalg, name), DEFINITE)
for name in ("cholesky", "eigvalsh"):
    row(f"linalg.{name}", lambda a, f=getattr(np.linalg, name): f(a @ a.T), DEFINITE)
row("linalg.slogdet", lambda a: np.linalg.slogdet(a)[1], DEFINITE)
row("linalg.solve", lambda a, b: np.linalg.solve(a, b.T[:3]), DEFINITE, X)
row("linalg.eigh", lambda a: np.linalg.eigh(a @ a.T)[0], DEFINITE)
row("linalg.svd", lambda a: np.linalg.svd(a, full_matrices=False)[1], X)
row("linalg.qr", lambda a: np.linalg.qr(a), SQUARE)
row("linalg.norm", lambda x: np.linalg.norm(x, axis=1), X, variant="axis")
row("linalg.norm", lambda x: np.linalg.norm(x, 1, axis=(0, 1)), X, variant="matrix")
row("linalg.matrix_power", lambda a: np.linalg.matrix_power(a, 3), SQUARE)
row("linalg.multi_dot", lambda a, b: np.linalg.multi_dot([a, b, a]), X, Y.T)
row("linalg.lstsq", lambda a, b: np.linalg.lstsq(a, b)[0], DEFINITE, X)
for name in ("fft", "ifft", "rfft", "fft2", "fftn", "fftshift", "hfft"):
    row(f"fft.{name}", getattr(np.fft, name), normal(4, 6))
row("fft.irfft", lambda x: np.fft.irfft(x, n=6), complex_normal(4))

# Programs -----------------------------------------------------------------------------------------


def standardized(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def network(w, v, x):
    hidden = np.tanh(np.dot(x, w))
    scores = hidden.dot(v).T
    scores = scores - np.max(scores, axis=0)
    return np.log(np.sum(np.exp(scores), axis=0)).sum()


def lotka(y):
    states = [y]
    for _ in range(5):
        prey, foxes = states[-1]
        change = np.hstack([prey * (1 - foxes), foxes * (prey - 1)])
        states.append(states[-1] + 0.1 * change)
    return np.vstack(states)


def kernel(x, scale):
    distances = np.sum((x[:, None, :] - x[None, :, :]) ** 2, axis=-1)
    covariance = np.exp(-distances / scale) + 0.1 * np.eye(len(x))
    return np.linalg.slogdet(covariance)[1] + np.trace(np.linalg.inv(covariance))


def spectrum(x):
    return np.abs(np.fft.fft(x * np.hanning(len(x)))) ** 2


def filled(x):
    out = np.zeros_like(x)
    for i in range(len(x)):
        out[i] = x[i].clip(0.3, 0.8) * out[i - 1].sum() + x[i].cumsum()
    return out


def methods(x):
    y = x.flatten().reshape(4, 3).transpose().ravel()
    return y.take([0, 2]).prod() + y.conj().dot(y) + x.T.swapaxes(0, 1).squeeze().max()


row("std", standardized, X, variant="standardized")
row("dot", network, normal(4, 5), normal(5, 3), X, variant="network")
row("vstack", lotka, np.asarray([1.2, 0.7]), variant="lotka")
row("linalg.slogdet", kernel, X, np.asarray(0.8), variant="kernel")
row("fft.fft", spectrum, WAVE, variant="spectrum")
row("cumsum", filled, X, variant="loop")
row("ndarray.dot", methods, X)
