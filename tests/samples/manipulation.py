"""Rows of `volta/functional/manipulation.py`."""

import array_api_strict
import numpy as np

import volta.functional as F
from samples.sample import add, arrays, compose, cplx, function, real
from volta.core.errors import ShapeError

add(
    "reshape",
    lambda x: F.reshape(x, (3, -1)),
    real(2, 3, 2),
    errors=(
        (
            lambda: F.reshape(np.ones(6), (4, 2)),
            ShapeError,
            r"the number of elements must stay the same; got shapes \(6,\) and \(4, 2\)",
        ),
        (lambda: F.reshape(np.ones(6), (4, -1)), ShapeError, "one length may be -1"),
    ),
)
add(
    "permute_dims",
    lambda x: F.permute_dims(x, (2, 0, 1)),
    real(2, 3, 2),
    errors=(
        (lambda: F.permute_dims(np.ones((2, 3)), (0,)), ShapeError, "every axis must be named"),
        (
            lambda: F.permute_dims(np.ones((2, 3)), (0, 0)),
            ShapeError,
            "each axis must be named once",
        ),
    ),
)
add(
    "broadcast_to",
    lambda x: F.broadcast_to(x, (4, 2, 3)),
    real(2, 1),
    errors=((lambda: F.broadcast_to(np.ones(3), (2,)), ShapeError, "broadcast_to"),),
)
add(
    "concat",
    lambda x, y, z: F.concat([x, y, z], axis=1),
    real(2, 1),
    real(2, 3),
    real(2, 2),
    errors=(
        (lambda: F.concat(arrays((2, 3), (3, 3)), axis=1), ShapeError, "must agree except along"),
        (lambda: F.concat([]), ShapeError, "at least one array"),
    ),
)
add("concat", lambda x, y: F.concat([x, y]), real(2), cplx(3), name="concat-mixed")
add("unstack", lambda x: F.unstack(x, axis=1), real(2, 3))
add("flip", lambda x: F.flip(x, axis=(0, 2)), real(2, 3, 2))
add("roll", lambda x: F.roll(x, (1, -2), axis=(0, 1)), real(2, 3))
for _name in ("tril", "triu"):
    add(
        _name,
        lambda x, f=function(_name): f(x, k=1),
        real(2, 3, 3),
        errors=(
            (lambda f=function(_name): f(np.ones(3)), ShapeError, "must have two axes or more"),
        ),
    )
add("astype", lambda x: F.astype(x, F.float32), real(2, 3), coarse="float32 rounds")
add("astype", lambda x: F.astype(x, F.complex128), real(2, 3), name="astype-complex")
add("astype", lambda x: F.astype(x, F.int32), real(2, 3), diff=(), name="astype-int")
add(
    "transfer",
    lambda x: F.to_device(F.to_device(x, xp=array_api_strict), xp=np),
    real(2, 3),
    sixteen="array-api-strict has no 16-bit floats",
    strict="moving to NumPy changes the library",
    torch="moving to NumPy changes the library",
    jax="moving to NumPy changes the library",
    dask="moving to NumPy changes the library",
    cupy="moving to NumPy changes the library",
    of="to_device",
    name="transfer",
)
for _name, _apply in {
    "broadcast_arrays": lambda x: F.broadcast_arrays(x, x[0, :]),
    "expand_dims": lambda x: F.expand_dims(x, axis=1),
    "matrix_transpose": F.matrix_transpose,
    "moveaxis": lambda x: F.moveaxis(x, 0, -1),
    "repeat": lambda x: F.repeat(x, 2, axis=1),
    "repeat-counts": lambda x: F.repeat(x, np.asarray([2, 0, 1]), axis=1),
    "squeeze": lambda x: F.squeeze(F.expand_dims(x, axis=0), axis=0),
    "tile": lambda x: F.tile(x, (2, 1)),
}.items():
    compose(_name, _apply, real(2, 3))
compose(
    "to_device",
    lambda x: F.to_device(x, "cpu"),
    real(3),
    strict="its device has another name",
    cupy="moving to the host changes the library",
)
compose("stack", lambda x, y: F.stack([x, y], axis=1), real(2, 3), cplx(2, 3))
