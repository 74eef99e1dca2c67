"""array-api-extra."""

import array_api_extra as xpx
from third_party.row import Row, draws, space

ROWS: list[Row] = []
normal, uniform, _ = draws(3)


def row(function, call, *args, **options):
    ROWS.append(Row(f"array_api_extra.{function}", call, args, **options))


X = uniform(3, 4)
Y = normal(3, 4)

for update in ("set", "add", "subtract", "multiply", "divide", "power", "min", "max"):
    row("at", lambda x, y, n=update: getattr(xpx.at(x)[1], n)(y[0] + 3), X, Y, variant=update)
row("at", lambda x: xpx.at(x, x > 0.5).set(0.0), X, variant="mask")
row(
    "apply_where",
    lambda x, y: xpx.apply_where(x > 0.5, (x, y), lambda a, b: a * b, lambda a, b: a / b),
    X,
    Y,
)
row(
    "apply_where",
    lambda x: xpx.apply_where(x > 0.5, x, lambda a: a**2, fill_value=1.0),
    X,
    variant="fill",
)
row("angle", lambda z: xpx.angle(z + 1j * z**2), X)
row("argpartition", lambda x: x[xpx.argpartition(x, 1)], X[0])
row("partition", lambda x: xpx.partition(x, 1)[1], X[0])
row("atleast_nd", lambda x: xpx.atleast_nd(x, ndim=3), X)
row("broadcast_shapes", lambda x: x * len(xpx.broadcast_shapes(x.shape, (1,))), X)
row("cov", xpx.cov, X)
row("create_diagonal", lambda x: xpx.create_diagonal(x, offset=1), X[0])
row("default_dtype", lambda x: space(x).astype(x, xpx.default_dtype(space(x))), X)
row("expand_dims", lambda x: xpx.expand_dims(x, axis=(0, 2)), X)
row("isclose", lambda x, y: space(x).where(xpx.isclose(x, y), x, 2 * x), X, Y)
row("isin", lambda x: space(x).where(xpx.isin(x, x[0, :]), x, 2 * x), X)
row("kron", xpx.kron, X, Y)
row("lazy_apply", lambda x: xpx.lazy_apply(lambda a: a * 2, x), X)
row(
    "lazy_apply", lambda x: xpx.lazy_apply(lambda a: a * 2, x, as_numpy=True), X, variant="as_numpy"
)
row("median", lambda x: xpx.median(x, axis=1), X)
row("quantile", lambda x: xpx.quantile(x, 0.3, axis=1), X)
row("nanmin", lambda x: xpx.nanmin(x, axis=0), X)
row("nanmax", lambda x: xpx.nanmax(x, axis=0), X)
row("nunique", lambda x: x * xpx.nunique(x), X)
row("one_hot", lambda x: xpx.one_hot(space(x).asarray([0, 2]), 3)[:, :, None] * x[:2, None, :], X)
row("pad", lambda x: xpx.pad(x, 2, constant_values=1.0), X)
row(
    "searchsorted",
    lambda x: x[0] * space(x).astype(xpx.searchsorted(space(x).sort(x[0]), x[1]) + 1, x.dtype),
    X,
)
row("setdiff1d", lambda x, y: xpx.setdiff1d(x, y), X[0], Y[0])
row("union1d", lambda x, y: xpx.union1d(x, y), X[0], Y[0])
row("sinc", xpx.sinc, Y)
row("unravel_index", lambda x: x[xpx.unravel_index(space(x).asarray([1, 6]), x.shape)], X)
ROWS[:] = [r for r in ROWS if hasattr(xpx, r.function.split(".")[1])]
