"""Rows of `volta/functional/creation.py`."""

import volta.functional as F
from samples.sample import add, compose, cplx, real

for _name, _make in {
    "full": lambda x: F.multiply(F.full((2,), 3.0, dtype=F.float64), x),
    "arange": lambda x: F.multiply(F.arange(2, dtype=F.float64), x),
    "linspace": lambda x: F.multiply(F.linspace(0.0, 1.0, 2, dtype=F.float64), x),
    "eye": lambda x: F.multiply(F.eye(2, dtype=F.float64), x),
}.items():
    add(_name, _make, real(2), of="", name=f"{_name}-constant")

compose("asarray", lambda x, y: F.asarray([[x, y], [y, 1.0]]), real(), real())
compose("full_like", lambda x, y: F.full_like(x, y), real(2, 3), real())
compose("meshgrid", lambda x, y: F.meshgrid(x, y, indexing="ij"), real(2), cplx(3))
_NUMPY = "without a transform it makes NumPy arrays of numbers"
for _name, _make in {
    "full": lambda x, y: F.full((2, 3), x) * F.full((3,), y),
    "linspace": lambda x, y: F.linspace(x, y, 4, dtype=F.float64, endpoint=False),
}.items():
    compose(_name, _make, real(), real(), strict=_NUMPY, torch=_NUMPY, cupy=_NUMPY)
