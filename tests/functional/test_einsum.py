"""einsum: NumPy's answers, derivatives, errors."""

import numpy as np
import pytest
from strategies import MODES, assert_same, fill, library, under

import volta
import volta.functional as F
from volta.core.errors import ShapeError

LIBRARIES = ("numpy", "array_api_strict", "torch")
CASES = {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,kj": ((2, 3), (4, 3)),
    "ij->ji": ((2, 3),),
    "ij": ((2, 3),),
    "ji": ((2, 3),),
    "ij->": ((2, 3),),
    "ii": ((3, 3),),
    "ii->i": ((3, 3),),
    "iji->ji": ((3, 2, 3),),
    "iij,j->i": ((3, 3, 2), (2,)),
    "i,j->ij": ((2,), (3,)),
    "i,i": ((3,), (3,)),
    "i,i->i": ((3,), (3,)),
    "ij,jk,kl->il": ((2, 3), (3, 4), (4, 2)),
    "ij,jk,ik->": ((2, 3), (3, 4), (2, 4)),
    "bij,bjk->bik": ((2, 2, 3), (2, 3, 4)),
    "bhqd,bhkd->bhqk": ((2, 2, 3, 4), (2, 2, 5, 4)),
    "ijk,jlk->il": ((2, 3, 4), (3, 5, 4)),
    "...ij,...jk->...ik": ((2, 1, 2, 3), (4, 3, 2)),
    "...i,i->...": ((2, 2, 3), (3,)),
    "i...->...": ((2, 3),),
    "... j, j": ((2, 3), (3,)),
    ",ij->ij": ((), (2, 3)),
    "ij,k->i": ((2, 3), (4,)),
    "aij,ajk->ik": ((2, 2, 3), (2, 3, 2)),
}
cases = pytest.mark.parametrize("subscripts", CASES)


def operands(subscripts):
    return [fill(i, shape, "float64") for i, shape in enumerate(CASES[subscripts])]


@cases
@pytest.mark.parametrize("mode", MODES)
def test_the_answers_are_numpys(subscripts, mode):
    arrays = operands(subscripts)
    (out,) = under(mode, lambda *a: F.einsum(subscripts, *a), tuple(arrays))
    np.testing.assert_allclose(out, np.einsum(subscripts, *arrays), rtol=1e-12, atol=1e-12)


@cases
@pytest.mark.parametrize("name", LIBRARIES)
def test_on_every_library(subscripts, name):
    lib = library(name)
    arrays = operands(subscripts)
    out = F.einsum(subscripts, *(lib.asarray(a) for a in arrays))
    assert_same(out, np.asarray(np.einsum(subscripts, *arrays)), lib, ulps=64)


@cases
@pytest.mark.grad_check
def test_derivatives(subscripts):
    arrays = operands(subscripts)
    tangents = [fill(i + 9, a.shape, "float64") for i, a in enumerate(arrays)]

    def fun(*a):
        return F.einsum(subscripts, *a)

    out, tangent = volta.jvp(fun, tuple(arrays), tuple(tangents))
    above, below = (
        np.einsum(subscripts, *(a + s * t for a, t in zip(arrays, tangents, strict=True)))
        for s in (1e-4, -1e-4)
    )
    np.testing.assert_allclose(tangent, (above - below) / 2e-4, rtol=1e-5, atol=1e-5)
    ct = np.cos(np.arange(np.size(out), dtype=float)).reshape(np.shape(out))
    pulled = volta.vjp(fun, *arrays)[1](ct)
    backward = sum(np.sum(p * t) for p, t in zip(pulled, tangents, strict=True))
    np.testing.assert_allclose(backward, np.sum(ct * tangent), rtol=1e-10)


@pytest.mark.parametrize(
    ("subscripts", "shapes", "message"),
    [
        ("ij,jk", [(2, 3)], r"a term for each operand; got 2 in 'ij,jk' and 1 operands"),
        ("ij", [(2,)], r"a letter for each axis of its operand; got 'ij' and shape \(2,\)"),
        ("i", [(2, 3)], r"a letter for each axis of its operand; got 'i' and shape \(2, 3\)"),
        ("i1->i", [(2, 3)], r"a letter for each axis of its operand; got 'i1'"),
        ("ij,jk", [(2, 3), (2, 3)], r"axes of one name must have one length; got 3 and 2 in"),
        ("ij->ik", [(2, 3)], r"each letter of the result must occur there once .*; got 'ij->ik'"),
        ("ij->ii", [(2, 3)], r"each letter of the result must occur there once"),
    ],
)
def test_errors(subscripts, shapes, message):
    with pytest.raises(ShapeError, match=rf"^einsum: .*{message}"):
        F.einsum(subscripts, *(np.zeros(s) for s in shapes))
