"""Rows of `volta/functional/products.py`."""

import volta.functional as F
from samples.sample import add, arrays, compose, cplx, real
from volta.core.errors import ShapeError

_inner = (
    lambda: F.matmul(*arrays((3, 4), (5, 2))),
    ShapeError,
    r"the last axis of x1 must equal the second-last one of x2; got shapes \(3, 4\) and \(5, 2\)",
)
_rank0 = (lambda: F.matmul(*arrays((), (2,))), ShapeError, "both arrays must have an axis")
for _a, _b in [
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 2, 3), (3, 2)),
    ((2, 3), (2, 3, 2)),
    ((2, 1, 2, 3), (3, 3, 2)),
    ((2, 2, 3), (3,)),
    ((3,), (2, 3, 2)),
]:
    add(
        "matmul",
        F.matmul,
        real(*_a),
        real(*_b),
        name=f"matmul-{len(_a)}-{len(_b)}-{_a[0]}",
        errors=(_inner, _rank0),
    )
add("matmul", F.matmul, cplx(2, 3), cplx(3, 2), name="matmul-complex")
add("matmul", F.matmul, real(2, 3), cplx(3, 2), name="matmul-mixed")

compose("einsum", lambda x, y: F.einsum("bij,jk,b->ik", x, y, y[:, 0]), real(2, 3, 2), real(2, 3))
compose(
    "einsum-lists",
    lambda x, y: F.einsum(x, [..., 0], y, [0, 2], y, [1, 2], [..., 1], optimize="optimal"),
    real(2, 1, 3),
    real(3, 3),
)
compose("einsum-diagonal", lambda x: F.einsum("ii->i", x), cplx(3, 3))
compose(
    "tensordot", lambda x, y: F.tensordot(x, y, axes=((0, 2), (1, 0))), real(2, 3, 4), real(4, 2)
)
compose("tensordot-complex", F.tensordot, cplx(2, 3, 2), cplx(3, 2))
compose("vecdot", F.vecdot, real(2, 3), real(3))
compose("vecdot-complex", lambda x, y: F.vecdot(x, y, axis=0), cplx(3, 2), cplx(3, 2))
compose("bilinear", F.bilinear, real(4, 2), real(4, 3), real(2, 2, 3), real(2))
