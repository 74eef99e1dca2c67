"""einsum: NumPy's answers, both forms, the order of contraction, derivatives, errors."""

import subprocess
import sys

import numpy as np
import pytest
from strategies import MODES, assert_same, fill, library, under

import volta
import volta.functional as F
from volta.core.errors import DTypeError, ShapeError

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


# Operands followed by their terms -----------------------------------------------------------------

INTERLEAVED = [
    ([(2, 3), [0, 1], (3, 4), [1, 2]], [0, 2]),
    ([(2, 3), [0, 1], (3, 4), [1, 2]], None),
    ([(2, 3), (7, 30), (3, 4), (30, 2)], None),
    ([(2, 3), [1, 0]], None),
    ([(3, 3), [5, 5]], []),
    ([(2, 2, 3), [..., 1, 0], (3, 4), [0, 2]], [..., 2]),
    ([(2, 1, 3), [..., 0], (4, 3), [..., 0]], None),
    ([(2, 3), [0, 1], (3, 4), [1, 2], (4, 2), [2, 3]], [3, 0]),
    ([(2, 3), [..., 1]], [1, ...]),
]


@pytest.mark.parametrize(("parts", "result"), INTERLEAVED)
@pytest.mark.parametrize("mode", MODES)
def test_terms_as_lists_of_integers(parts, result, mode):
    arrays = tuple(fill(i, shape, "float64") for i, shape in enumerate(parts[::2]))
    end = [] if result is None else [result]

    def call(einsum, *arrays):
        return einsum(*(a for pair in zip(arrays, parts[1::2], strict=True) for a in pair), *end)

    wanted = call(np.einsum, *arrays)
    for function in (F.einsum, np.einsum):  # NumPy's, of traced arrays
        (out,) = under(mode, lambda *a, f=function: call(f, *a), arrays)
        np.testing.assert_allclose(out, wanted, rtol=1e-12, atol=1e-12)


def test_more_axes_than_letters():
    x = np.ones((1,) * 30 + (2,))
    labels = [*range(0, 60, 2), 71]
    np.testing.assert_array_equal(F.einsum(x, labels, [71]), [1.0, 1.0])


# The order ----------------------------------------------------------------------------------------

CHAIN = "ab,bc,cd->ad"
CHAIN_SHAPES = ((40, 2), (2, 40), (40, 3))  # 40·2·40 + 40·40·3 from left to right
LEFT, RIGHT = 40 * 2 * 40 + 40 * 40 * 3, 2 * 40 * 3 + 40 * 2 * 3


def multiplications(optimize):
    """Of the products of matrices among the entries of a chain of three."""

    def fun(*arrays):
        return F.einsum(CHAIN, *arrays, optimize=optimize)

    wengert = volta.trace(fun)(*map(np.ones, CHAIN_SHAPES))
    found = 0
    for entry in wengert.entries:
        if entry.primitive.name == "matmul":
            x, y = (wengert.types[v].shape for v in entry.operands)
            found += x[0] * x[1] * y[1]
    return found


@pytest.mark.parametrize(
    ("optimize", "wanted"),
    [
        ("auto", RIGHT),
        (True, RIGHT),
        ("optimal", RIGHT),
        ("greedy", RIGHT),
        ("dp", RIGHT),
        (False, LEFT),
        ([(1, 2), (0, 1)], RIGHT),
        (((0, 1), (0, 1)), LEFT),
        ([(0, 1, 2)], LEFT),
        (["einsum_path", (1, 2), (0, 1)], RIGHT),
    ],
)
def test_the_order_is_the_one_asked_for(optimize, wanted):
    assert multiplications(optimize) == wanted


def test_without_a_word_the_order_is_a_good_one():
    wengert = volta.trace(lambda *a: F.einsum(CHAIN, *a))(*map(np.ones, CHAIN_SHAPES))
    shapes = [wengert.types[e.results[0]].shape for e in wengert.entries]
    assert (2, 3) in shapes
    assert (40, 40) not in shapes


def test_numpys_function_of_traced_arrays_keeps_to_numpys_order():
    def staged(**options):
        return volta.trace(lambda *a: np.einsum(CHAIN, *a, **options))(*map(np.ones, CHAIN_SHAPES))

    def largest(wengert):
        return max(np.prod(wengert.types[e.results[0]].shape) for e in wengert.entries)

    assert largest(staged()) == 1600
    assert largest(staged(optimize=True)) == 120


FOUR = "ab,bc,dc,ed,...e->...a"
FOUR_SHAPES = ((2, 3), (3, 4), (2, 4), (3, 2), (2, 1, 3))


@pytest.mark.parametrize(
    "optimize",
    [True, False, "optimal", "greedy", [(0, 2), (0, 3), (0, 1, 2)], [(4, 0), (0, 1, 2, 3)]],
)
def test_every_order_has_one_result(optimize):
    arrays = [fill(i, shape, "float64") for i, shape in enumerate(FOUR_SHAPES)]
    wanted = np.einsum(FOUR, *arrays)
    np.testing.assert_allclose(F.einsum(FOUR, *arrays, optimize=optimize), wanted, rtol=1e-12)
    gradient = volta.grad(lambda x: F.sum(F.einsum(FOUR, x, *arrays[1:], optimize=optimize)))
    for i in range(2):
        unit = np.zeros(FOUR_SHAPES[0])
        unit[i, i] = 1
        slope = np.sum(np.einsum(FOUR, unit, *arrays[1:]))
        np.testing.assert_allclose(gradient(arrays[0])[i, i], slope, rtol=1e-10)


def test_numpys_path_serves():
    arrays = [fill(i, shape, "float64") for i, shape in enumerate(FOUR_SHAPES)]
    path = np.einsum_path(FOUR, *arrays, optimize="optimal")[0]
    np.testing.assert_allclose(
        F.einsum(FOUR, *arrays, optimize=path), np.einsum(FOUR, *arrays), rtol=1e-12
    )


def test_two_operands_do_not_import_the_search():
    code = (
        "import sys, numpy as np, volta.functional as F\n"
        "F.einsum('ij,jk', np.eye(2), np.eye(2)); assert 'opt_einsum' not in sys.modules\n"
        "F.einsum('ij,jk,kl', *[np.eye(2)] * 3); assert 'opt_einsum' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [("...i,...i->i", [(1, 3), (2, 3)]), ("...i,...i->i", [(4, 1, 3), (2, 3)])],
)
def test_unnamed_axes_that_the_result_lacks_are_summed_over(subscripts, shapes):
    x, y = (fill(i, shape, "float64") for i, shape in enumerate(shapes))
    wanted = np.sum(np.sum(x * y, axis=0), axis=tuple(range(max(x.ndim, y.ndim) - 2)))
    np.testing.assert_allclose(F.einsum(subscripts, x, y), wanted)
    np.testing.assert_allclose(F.einsum(subscripts, y, x), wanted)


def test_axes_without_elements():
    out = F.einsum("...i,...i->...", np.ones((0, 2)), np.ones((1, 2)))
    assert out.shape == (0,)
    np.testing.assert_array_equal(
        F.einsum("ij,jk", np.ones((2, 0)), np.ones((0, 3))), np.zeros((2, 3))
    )


# Errors -------------------------------------------------------------------------------------------


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
        ("...i->9i", [(2, 3)], r"each letter of the result must occur there once"),
        ("ij->->i", [(2, 3)], r"each letter of the result must occur there once"),
        ("...i...", [(2, 3)], r"a letter for each axis of its operand; got '...i...'"),
        ("..i", [(2, 3)], r"a letter for each axis of its operand; got '..i'"),
        ("...i,...i", [(2, 3), (3, 3)], r"axes of one name must have one length; got 2 and 3"),
    ],
)
def test_errors(subscripts, shapes, message):
    with pytest.raises(ShapeError, match=rf"^einsum: .*{message}"):
        F.einsum(subscripts, *(np.zeros(s) for s in shapes))


def both(first, *arrays, **options):
    """A call on raw arrays and one on arrays that are staged."""
    yield lambda: F.einsum(first, *arrays, **options)
    if isinstance(first, str):
        yield lambda: volta.trace(lambda *a: F.einsum(first, *a, **options))(*arrays)


X = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("args", "options", "error", "message"),
    [
        ((X, X), {}, DTypeError, "subscripts must be a string before the operands, or a list of"),
        ((X,), {}, DTypeError, "or a list of integers after each of them; got ndarray"),
        ((X, [0, 1.5]), {}, DTypeError, r"the name of an axis must be an integer or ...; got 1\.5"),
        ((X, [0]), {}, ShapeError, r"each term must have a letter .* got \[0\] and shape \(2, 3\)"),
        (
            (X, [0, 1], X, [1, 2]),
            {},
            ShapeError,
            r"one length; got 3 and 2 in \[0, 1\], \[1, 2\]\.",
        ),
        (
            (X, [0, 7], [8]),
            {},
            ShapeError,
            r"each letter of the result must .*; got \[0, 7\] -> \[8\]",
        ),
        (("ij,jk", [[1.0]], X), {}, DTypeError, "operands must be arrays; got list, "),
        (("ij", X), {"optimize": None}, DTypeError, "optimize must be True, False, .* got None"),
        (("ij,ij,ij", X, X, X), {"optimize": "best"}, DTypeError, "optimize must .* got 'best'"),
        (
            ("ij,ij,ij", X, X, X),
            {"optimize": [(0, 1)]},
            ShapeError,
            r"each step of a path .* leave one; got \[\(0, 1\)\] for 3 operands",
        ),
        *(
            (("ij,ij,ij", X, X, X), {"optimize": path}, ShapeError, "each step of a path")
            for path in ([(0, 3), (0, 1)], [(0, 0), (0, 1)], [(0, 1, 2), (0, 1)], [(0,), (0, 1, 2)])
        ),
    ],
)
def test_errors_of_other_arguments(args, options, error, message):
    for call in both(*args, **options):
        with pytest.raises(error, match=f"^einsum: .*{message}"):
            call()
