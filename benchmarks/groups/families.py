"""``families``: what functions of every chapter cost on raw NumPy arrays, 8 by 8 float32.

``ops`` holds eight operations under the microscope; here each family has its rows. The raw call is
NumPy's own function, or the same few calls of NumPy where it has none. The budget is what
``volta.functional`` adds to that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.harness import Budget, Case, Group, Values

LIMIT = 0.5  # µs above the raw call

# Row: the call through ``F``, and the raw one through ``np``. ``x`` and ``y`` are 8 by 8, ``s`` is
# symmetric and positive definite, ``v`` has 8 elements, ``b`` 8 booleans, ``i`` 4 indices, ``ii``
# 8 by 4 of them.
ROWS: dict[str, tuple[str, str]] = {
    # elementwise
    "tanh": ("F.tanh(x)", "np.tanh(x)"),
    "expm1": ("F.expm1(x)", "np.expm1(x)"),
    "pow": ("F.pow(x, y)", "np.pow(x, y)"),
    "maximum": ("F.maximum(x, y)", "np.maximum(x, y)"),
    "floor_divide": (  # NumPy's own is not the standard's beside infinity
        "F.floor_divide(x, y)",
        "np.where(np.isinf(x) | np.isinf(y), np.floor(x / y), np.floor_divide(x, y))",
    ),
    "remainder": ("F.remainder(x, y)", "np.remainder(x, y)"),
    "less": ("F.less(x, y)", "np.less(x, y)"),
    "where": ("F.where(b, x, y)", "np.where(b, x, y)"),
    "clip": ("F.clip(x, 0.7, 1.2)", "np.clip(x, np.float32(0.7), np.float32(1.2))"),
    # data types and creation
    "astype": ("F.astype(x, F.float64)", "x.astype(np.float64)"),
    "zeros": ("F.zeros((8, 8))", "np.zeros((8, 8), np.float32)"),
    "full": ("F.full((8, 8), 2.0)", "np.full((8, 8), 2.0, np.float32)"),
    "zeros_like": ("F.zeros_like(x)", "np.zeros_like(x)"),
    "arange": ("F.arange(8)", "np.arange(8)"),
    "asarray": ("F.asarray(x)", "np.asarray(x)"),
    # reductions
    "mean": ("F.mean(x, axis=0)", "np.mean(x, axis=0)"),
    "var": ("F.var(x, axis=0)", "np.var(x, axis=0)"),
    "prod": ("F.prod(x, axis=0)", "np.prod(x, axis=0)"),
    "max": ("F.max(x, axis=0)", "np.max(x, axis=0)"),
    "any": ("F.any(b)", "np.any(b)"),
    "argmax": ("F.argmax(x, axis=0)", "np.argmax(x, axis=0)"),
    "cumulative_sum": ("F.cumulative_sum(x, axis=0)", "np.cumulative_sum(x, axis=0)"),
    "nansum": ("F.nansum(x, axis=0)", "np.nansum(x, axis=0)"),
    "logsumexp": (
        "F.logsumexp(x, axis=0)",
        "np.log(np.exp(x - (m := finite(np.max(x, axis=0)))).sum(axis=0)) + m",
    ),
    # products
    "matmul": ("F.matmul(x, y)", "np.matmul(x, y)"),
    "vecdot": ("F.vecdot(x, y)", "np.vecdot(x, y)"),
    "tensordot": ("F.tensordot(x, y, axes=1)", "np.tensordot(x, y, axes=1)"),
    "einsum": ('F.einsum("ij,jk->ik", x, y)', 'np.einsum("ij,jk->ik", x, y)'),
    # shape
    "permute_dims": ("F.permute_dims(x, (1, 0))", "np.permute_dims(x, (1, 0))"),
    "matrix_transpose": ("F.matrix_transpose(x)", "np.matrix_transpose(x)"),
    "expand_dims": ("F.expand_dims(x, axis=0)", "np.expand_dims(x, axis=0)"),
    "broadcast_to": ("F.broadcast_to(v, (8, 8))", "np.broadcast_to(v, (8, 8))"),
    "concat": ("F.concat([x, y])", "np.concat([x, y])"),
    "stack": ("F.stack([x, y])", "np.stack([x, y])"),
    "flip": ("F.flip(x, axis=0)", "np.flip(x, axis=0)"),
    "roll": ("F.roll(x, 1, axis=0)", "np.roll(x, 1, axis=0)"),
    "tril": ("F.tril(x)", "np.tril(x)"),
    "pad": ("F.pad(x, ((1, 1), (1, 1)))", "np.pad(x, ((1, 1), (1, 1)))"),
    # indexing, searching, sorting, sets
    "take": ("F.take(x, i, axis=0)", "np.take(x, i, axis=0)"),
    "take_along_axis": (
        "F.take_along_axis(x, ii, axis=1)",
        "np.take_along_axis(x, ii, axis=1)",
    ),
    "at_get": ("F.at(x)[i].get()", "x[i]"),
    "at_set": ("F.at(x)[i].set(0.0)", "put(x, i, 0.0)"),
    "at_add": ("F.at(x)[i].add(1.0)", "put_add(x.copy(), i, 1.0)"),
    "segment_sum": (
        "F.segment_sum(x, k, 8)",
        "(k.min(), put_add(np.zeros((8, 8), x.dtype), k, x))[1]",
    ),
    "sort": ("F.sort(x)", "np.sort(x, stable=True)"),
    "argsort": ("F.argsort(x)", "np.argsort(x, stable=True)"),
    "searchsorted": ("F.searchsorted(v, x)", "np.searchsorted(v, x)"),
    "unique_values": ("F.unique_values(x)", "np.unique_values(x)"),
    # linear algebra
    "solve": ("F.linalg.solve(s, x)", "np.linalg.solve(s, x)"),
    "inv": ("F.linalg.inv(s)", "np.linalg.inv(s)"),
    "det": ("F.linalg.det(s)", "np.linalg.det(s)"),
    "cholesky": ("F.linalg.cholesky(s)", "np.linalg.cholesky(s)"),
    "svdvals": ("F.linalg.svdvals(s)", "np.linalg.svdvals(s)"),
    "eigh": ("F.linalg.eigh(s)[0]", "np.linalg.eigh(s)[0]"),
    "qr": ("F.linalg.qr(s)[1]", "np.linalg.qr(s)[1]"),
    "vector_norm": ("F.linalg.vector_norm(x)", "np.linalg.vector_norm(x)"),
    # fft
    "fft": ("F.fft.fft(x)", "np.fft.fft(x)"),
    "rfft": ("F.fft.rfft(x)", "np.fft.rfft(x)"),
    "fftshift": ("F.fft.fftshift(x)", "np.fft.fftshift(x)"),
}


def _cases(implementation: str) -> list[Case]:
    place = ("volta", "numpy").index(implementation)
    return [Case(name, _setup(row[place])) for name, row in ROWS.items()]


def _setup(source: str) -> Callable[[], Callable[[], Any]]:
    return lambda: eval(f"lambda: {source}", _names())


def _names() -> dict[str, Any]:
    import numpy as np

    from volta import functional

    random = np.random.default_rng(0)
    x, y = random.uniform(0.5, 1.5, size=(2, 8, 8)).astype(np.float32)

    def put(a: Any, key: Any, values: Any) -> Any:
        out = a.copy()
        out[key] = values
        return out

    def put_add(a: Any, key: Any, values: Any) -> Any:
        np.add.at(a, key, values)
        return a

    return {
        "F": functional,
        "np": np,
        "x": x,
        "y": y,
        "s": x @ x.T + np.eye(8, dtype=np.float32),
        "v": np.sort(x[0]),
        "b": x[0] > 1,
        "i": np.asarray([0, 2, 5, 7]),
        "ii": np.argsort(x, axis=1)[:, :4],
        "k": np.asarray([0, 1, 1, 2, 3, 5, 5, 7]),
        "finite": lambda m: np.where(np.isfinite(m), m, np.float32(0)),
        "put": put,
        "put_add": put_add,
    }


def _budgets(values: Values) -> list[Budget]:
    return [
        Budget(f"{name}: above numpy", values[name, "volta"] - values[name, "numpy"], LIMIT, "µs")
        for name in ROWS
        if (name, "volta") in values and (name, "numpy") in values
    ]


GROUP = Group(
    name="families",
    title="functions of every chapter on 8×8 float32, nothing traced",
    unit="µs",
    scale=1e6,
    implementations={"volta": ("volta",), "numpy": ("numpy",)},
    case_names=tuple(ROWS),
    cases=_cases,
    budgets=_budgets,
)
