"""A thousand odd shapes, against NumPy: what arrays of a device are, however they lie in memory.

Each case has arrays of some rank from 0 to 8, empty ones and such of length 1 among them, that are
views of others: transposed, stepped through backwards and far, broadcast, and reshaped again. The
same function of `volta.functional` is given them and NumPy's arrays, eagerly and under `volta.jit`.
"""

import math
import zlib

import numpy as np
import pytest
from wgpu_launches import lacks

import volta
import volta.functional as F
import volta.wgpu

MOST = 3000  # elements
NARROW = 2048  # bytes that a kernel is to see of an array
LENGTHS = (0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 13, 31, 64, 65, 257, 1030)
NUMBERS = ("float32", "int32", "uint32", "int8", "uint8", "int16", "uint16")
FLOATS = ("float32", "float32", "float32", "float16", "float64")
WIDE = ("int64", "uint64", "float64", "float16")


# Arrays and their views ---------------------------------------------------------------------------


class Draw:
    """Seeded choices of a case."""

    def __init__(self, device, *seed):
        self.device = device
        self.random = np.random.default_rng(zlib.crc32(repr(seed).encode()))

    def of(self, options):
        return options[int(self.random.integers(len(options)))]

    def upto(self, n):
        return int(self.random.integers(n + 1))

    def often(self, share=0.5):
        return bool(self.random.random() < share)

    def shape(self, least=0, empty=True):
        rank = self.of(range(least, 9))
        shape, size = [], 1
        for _ in range(rank):
            fitting = [n for n in LENGTHS if size * max(n, 1) <= MOST and (n or empty)]
            n = self.of(fitting)
            if n == 0 and self.often(0.8):
                n = 1
            shape.append(n)
            size *= max(n, 1)
        self.random.shuffle(shape)
        return tuple(shape)

    def dtype(self, options=(*NUMBERS, *WIDE, "bool")):
        found = self.of(options)
        return "float32" if lacks(self.device, found) else found

    def array(self, shape, dtype):
        if dtype == "bool":
            return np.asarray(self.random.integers(0, 2, shape), bool)
        if dtype.startswith("float"):
            return np.asarray(self.random.normal(size=shape), dtype)
        low = 0 if dtype.startswith("u") else -9
        return np.asarray(self.random.integers(low, 10, shape), dtype)

    def axes(self, ndim, least=0):
        count = least + self.upto(ndim - least)
        chosen = self.random.permutation(ndim)[:count]
        return tuple(int(a) - ndim * self.often(0.3) for a in chosen)

    def views(self, shape):
        """Functions that give views, one after the other, and the shape of the last."""
        steps = []
        for _ in range(self.upto(3)):
            step, shape = self.view(shape)
            steps.append(step)
        return steps, shape

    def view(self, shape):
        kind = self.of(("turn", "step", "step", "spread", "reshape", "flip"))
        if kind == "turn":
            axes = tuple(int(a) for a in self.random.permutation(len(shape)))
            return (lambda x: F.permute_dims(x, axes)), tuple(shape[a] for a in axes)
        if kind == "step":
            key = tuple(self.slice(n) for n in shape)
            return (lambda x: x[key]), np.empty(shape)[key].shape
        if kind == "flip" and shape:
            axes = self.axes(len(shape), 1)
            return (lambda x: F.flip(x, axis=axes)), shape
        if kind == "spread":
            lead = (self.of((1, 2, 3)),) if len(shape) < 8 and math.prod(shape) < MOST else ()
            wide = tuple(self.of((2, 5)) if n == 1 and self.often(0.3) else n for n in shape)
            goal = (*lead, *(wide if math.prod(wide) < MOST else shape))
            return (lambda x: F.broadcast_to(x, goal)), goal
        goal = self.reshaped(shape)
        return (lambda x: F.reshape(x, goal)), goal

    def slice(self, n):
        if self.often(0.4):
            return slice(None, None, self.of((1, -1)))
        step = self.of((1, 2, 3, 100, -1, -2, -5, -100))
        start = self.of((None, self.upto(n), -1 - self.upto(n), n + 3))
        return slice(start, self.of((None, None, self.upto(n))), step)

    def reshaped(self, shape):
        """Another shape of as many elements."""
        if self.often(0.2):
            return (math.prod(shape),)
        out, k = [], 0
        while k < len(shape):
            together = self.of((1, 1, 2, 3))
            out.append(math.prod(shape[k : k + together]))
            k += together
        for a, n in enumerate(out):
            for factor in (2, 3, 5):
                if n and n % factor == 0 and len(out) < 8 and self.often(0.3):
                    out[a : a + 1] = [factor, n // factor]
                    break
        return tuple(out)

    def viewed(self, least=0, dtype=None, empty=True):
        """An array and views of it, of at least some axes."""
        base = self.array(self.shape(least, empty), dtype or self.dtype())
        steps, shape = self.views(base.shape)
        if len(shape) < least or (0 in shape and not empty):
            return base, (), base.shape
        return base, steps, shape


# Families of operations: what is compared, of which arrays ----------------------------------------

FAMILIES = {}


def family(count):
    def found(function):
        FAMILIES[function.__name__] = count, function
        return function

    return found


def single(draw, least=0, dtype=None, empty=True):
    base, steps, shape = draw.viewed(least, dtype, empty)
    return [base], lambda x: viewed(x, steps), shape, base.dtype.name


def viewed(x, steps):
    for step in steps:
        x = step(x)
    return x


def partner(draw, shape):
    """A shape that broadcasts with one."""
    lead = draw.upto(len(shape))
    return tuple(1 if draw.often(0.3) else n for n in shape[lead:])


BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "less", "equal", "not_equal")


@family(150)
def elementwise(draw):
    arrays, of, shape, _ = single(draw)
    others = [draw.array(partner(draw, shape), draw.dtype()) for _ in range(2)]
    names = [draw.of(BINARY), draw.of(BINARY)]
    if lacks(draw.device, "int64") or "uint64" in {
        x.dtype.name for x in (*arrays, *others)
    }:  # what int32 and uint32 meet in
        others = [x.astype(arrays[0].dtype) for x in others]

    def fun(x, y, z):
        return apply(names[1], apply(names[0], of(x), y), z)

    return [*arrays, *others], fun


def apply(name, x, y):
    if "bool" in str(x.dtype) and "bool" in str(y.dtype) and name in ("subtract", "maximum"):
        return F.logical_xor(x, y)
    if "bool" in {str(x.dtype), str(y.dtype)} or (floats(x) != floats(y)):
        x, y = F.astype(x, volta.functional.float32), F.astype(y, volta.functional.float32)
    return getattr(F, name)(x, y)


def floats(x):
    return "float" in str(x.dtype)


@family(60)
def chosen(draw):
    arrays, of, shape, dtype = single(draw)
    mask = draw.array(partner(draw, shape), "bool")
    other = draw.array(partner(draw, shape), dtype)
    return [*arrays, mask, other], lambda x, m, y: F.where(m, of(x), y)


def reduction(draw, name, dtypes):
    empty = name in ("sum", "prod", "any", "all")
    arrays, of, shape, _ = single(draw, dtype=draw.dtype(dtypes), empty=empty)
    axis = None if draw.often(0.3) else draw.axes(len(shape))
    keep = draw.often()
    return arrays, lambda x: getattr(F, name)(of(x), axis=axis, keepdims=keep)


@family(80)
def sums(draw):
    return reduction(draw, "sum", NUMBERS + WIDE)


@family(50)
def means(draw):
    return reduction(draw, draw.of(("mean", "std", "logsumexp")), ("float32", "float64"))


@family(30)
def products(draw):
    arrays, fun = reduction(draw, "prod", ("float32", "float64"))
    return [np.exp(0.05 * x) for x in arrays], fun


@family(80)
def extrema(draw):
    return reduction(draw, draw.of(("max", "min")), NUMBERS + WIDE)


@family(50)
def truths(draw):
    return reduction(draw, draw.of(("any", "all")), ("bool", "bool", "int32", "float32"))


@family(30)
def places(draw):
    arrays, of, shape, _ = single(draw, 1, empty=False)
    axis, keep, name = draw.of((None, *range(len(shape)))), draw.often(), draw.of(("min", "max"))
    return arrays, lambda x: getattr(F, f"arg{name}")(of(x), axis=axis, keepdims=keep)


@family(60)
def running(draw):
    name = draw.of(("sum", "prod", "max", "min", "logsumexp"))
    dtypes = ("float32", "int32", "uint32", "float64")
    dtype = draw.dtype(("float32",) if name in ("prod", "logsumexp") else dtypes)
    arrays, of, shape, _ = single(draw, 1, dtype=dtype)
    if name == "prod":
        arrays = [np.exp(0.05 * x) for x in arrays]
    axis = draw.upto(len(shape) - 1)
    return arrays, lambda x: getattr(F, f"cumulative_{name}")(of(x), axis=axis)


@family(60)
def order(draw):
    arrays, of, shape, _ = single(draw, 1, dtype=draw.dtype((*NUMBERS, *WIDE)))
    axis, name, down = draw.upto(len(shape) - 1), draw.of(("sort", "argsort")), draw.often()
    return arrays, lambda x: getattr(F, name)(of(x), axis=axis, descending=down)


@family(70)
def joined(draw):
    arrays, of, shape, dtype = single(draw, 1)
    axis, count = draw.upto(len(shape) - 1), draw.of((1, 2, 3))
    others = [
        draw.array((*shape[:axis], draw.upto(4), *shape[axis + 1 :]), dtype) for _ in range(count)
    ]
    if draw.often():
        return [*arrays, *others], lambda x, *rest: F.concat([of(x), *rest], axis=axis)
    return arrays, lambda x: F.stack([of(x), F.flip(of(x)), of(x)], axis=axis)


@family(60)
def moved(draw):
    arrays, of, shape, _ = single(draw)
    if draw.often():
        axes = draw.axes(len(shape))
        shifts = tuple(draw.upto(9) - 4 for _ in axes)
        if draw.often(0.3):
            return arrays, lambda x: F.roll(of(x), 3)
        return arrays, lambda x: F.roll(of(x), shifts, axis=axes)
    widths = tuple((draw.upto(2), draw.upto(2)) if draw.often(0.4) else (0, 0) for _ in shape)
    return arrays, lambda x: F.pad(of(x), widths)


def key_of(draw, shape):
    """A basic key."""
    key = []
    for n in shape:
        if n and draw.often(0.3):
            key.append(draw.upto(n - 1) - n * draw.often(0.3))
        else:
            key.append(draw.slice(n))
        if draw.often(0.1) and len(shape) < 7:
            key.append(None)
    if draw.often(0.3):
        key = [*key[: draw.upto(len(key))], ...]
    return tuple(key)


@family(70)
def taken(draw):
    arrays, of, shape, _ = single(draw)
    key = key_of(draw, shape)
    return arrays, lambda x: of(x)[key]


@family(60)
def changed(draw):
    arrays, of, shape, dtype = single(draw)
    key, mode = key_of(draw, shape), draw.of(("set", "add", "multiply"))
    if dtype == "bool":
        mode = "set"
    values = draw.array(partner(draw, np.empty(shape)[key].shape), dtype)
    return [*arrays, values], lambda x, v: getattr(F.at(of(x))[key], mode)(v)


def indices_of(draw, shape, count):
    common = draw.of(((), (1,), (5,), (2, 3), (3, 1)))
    found = []
    for n in shape[:count]:
        low = -n if draw.often(0.4) else 0
        found.append(np.asarray(draw.random.integers(low, n, common), "int32"))
    return found


@family(60)
def gathered(draw):
    arrays, of, shape, _ = single(draw, 1, empty=False)
    indices = indices_of(draw, shape, 1 + draw.upto(min(len(shape), 3) - 1))
    return [*arrays, *indices], lambda x, *i: of(x)[i]


@family(50)
def scattered(draw):
    arrays, of, shape, dtype = single(draw, 1, dtype=draw.dtype(("float32", "int32")), empty=False)
    indices = indices_of(draw, shape, 1 + draw.upto(min(len(shape), 3) - 1))
    goal = np.broadcast_shapes(*(i.shape for i in indices)) + shape[len(indices) :]
    values = draw.array(partner(draw, goal), dtype)
    mode = draw.of(("add", "max", "min"))

    def fun(x, v, *i):
        return getattr(F.at(of(x))[i], mode)(v)

    return [*arrays, values, *indices], fun


@family(30)
def masked(draw):
    arrays, of, shape, dtype = single(draw)
    mask = draw.array(shape, "bool")
    value = draw.array((), dtype)
    if draw.often():
        return [*arrays, mask], lambda x, m: of(x)[m]
    return [*arrays, mask, value], lambda x, m, v: F.at(of(x))[m].set(v)


@family(60)
def matrices(draw):
    arrays, of, shape, dtype = single(draw, 2, dtype=draw.dtype(FLOATS))
    lead = partner(draw, shape[:-2]) if draw.often() else ()
    if math.prod(shape) > 1000:
        lead = ()
    other = draw.array((*lead, shape[-1], draw.of((0, 1, 2, 5, 17, 33))), dtype)
    if draw.often(0.2):
        other = draw.array(shape[-1:], dtype)
    if draw.often(0.3) and other.ndim > 1:
        return [*arrays, other.mT.copy()], lambda x, y: of(x) @ F.matrix_transpose(y)
    return [*arrays, other], lambda x, y: of(x) @ y


CASES = [(name, n) for name, (count, _) in FAMILIES.items() for n in range(count)]


def test_there_are_a_thousand():
    assert len(CASES) >= 1000


@pytest.mark.parametrize(("name", "number"), CASES, ids=lambda x: str(x))
def test_as_on_the_host(first, name, number):
    draw = Draw(first, name, number)
    _, made = FAMILIES[name]
    arrays, fun = made(draw)
    wanted = fun(*arrays)
    there = [volta.wgpu.asarray(a) for a in arrays]
    compared(fun(*there), wanted)
    compared(volta.jit(fun)(*there), wanted)


def compared(found, wanted):
    wanted = np.asarray(wanted)
    assert type(found) is volta.wgpu.Array
    assert found.shape == wanted.shape
    out = found.to_numpy()
    if wanted.dtype.itemsize < 8 or not lacks(found.device, wanted.dtype.name):
        assert out.dtype == wanted.dtype
    if out.dtype.kind != "f":
        np.testing.assert_array_equal(out, wanted)
        return
    rtol = 1e-2 if out.dtype == np.float16 else 1e-4
    np.testing.assert_allclose(
        out, wanted, rtol=rtol, atol=rtol * np.max(np.abs(wanted), initial=1)
    )


# Many workgroups, and arrays that are large -------------------------------------------------------


def test_more_workgroups_than_lie_along_an_axis(first):
    n = 64 * first.limits.groups + 1000
    x = (np.arange(n) % 1000).astype(np.float32)
    its = volta.wgpu.asarray(x)
    compared(its + its[::-1], x + x[::-1])
    rows = x[: 3 * (first.limits.groups + 9)].reshape(-1, 3)
    compared(F.sum(F.reshape(its[: rows.size], rows.shape), axis=1), rows.sum(axis=1))


@pytest.mark.parametrize("n", [40, 16_384, 16_385, 40_000])
def test_what_is_one_for_a_row_is_spread_over_it(first, n):
    x = np.random.default_rng(n).normal(size=n).astype(np.float32)
    its = volta.wgpu.asarray(x)
    slope = volta.grad(lambda x: F.mean(x) ** 2 + F.sum(F.exp(F.mean(x))))
    compared(slope(its) * n, slope(x) * n)
    compared(volta.jit(slope)(its) * n, slope(x) * n)
    compared(F.broadcast_to(F.sum(its, keepdims=True), (n,)) + 0.0, np.full(n, x.sum()))


@pytest.mark.slow
def test_an_array_larger_than_a_kernel_sees(first):
    n = first.limits.binding // 4 + 1_000_000
    if 16 * n > (first.memory_limit or math.inf):
        pytest.skip("the device may have less memory")
    x = (np.arange(n) % 1000).astype(np.float32)
    its = volta.wgpu.asarray(x)
    compared(its[::-1] + 1, x[::-1] + 1)
    compared(F.max(its), x.max())
    compared(F.roll(its, 5), np.roll(x, 5))
    first.reset()


# Derivatives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("name", ["elementwise", "means", "taken", "moved", "joined", "matrices"])
def test_derivatives_as_on_the_host(first, name, number):
    draw = Draw(first, "grad", name, number)
    draw.dtype = lambda *options: "float32"
    arrays, fun = FAMILIES[name][1](draw)

    def total(x, *others):
        out = fun(x, *others)
        return F.sum(F.astype(out, F.float32) ** 2)

    wanted = volta.grad(total)(*arrays)
    there = [volta.wgpu.asarray(a) for a in arrays]
    compared(volta.grad(total)(*there), wanted)
    compared(volta.jit(volta.grad(total))(*there), wanted)


# Arrays of which a kernel sees only a part --------------------------------------------------------

SPLIT = ("elementwise", "chosen", "sums", "means", "products", "extrema", "truths")
MOVED = ("joined", "moved", "taken", "changed")


@pytest.fixture(scope="module")
def narrow(first):
    """The first device, as if it showed kernels less."""
    limits = first.limits
    first.reset()
    first.limits = limits._replace(binding=NARROW)
    yield first
    first.limits = limits
    first.reset()


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("name", [*SPLIT, *MOVED])
def test_kernels_are_split_where_they_see_too_much(narrow, name, number):
    test_as_on_the_host(narrow, name, 1000 + number)


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("name", ["elementwise", "means", "joined"])
def test_derivatives_are_split(narrow, name, number):
    test_derivatives_as_on_the_host(narrow, name, number)


@pytest.mark.parametrize("axis", [None, 0, 1, 2, (0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "var", "logsumexp"])
def test_reductions_are_split_along_any_axis(narrow, name, axis):
    x = np.random.default_rng(0).normal(size=(9, 30, 40)).astype(np.float32)
    for turn in ((0, 1, 2), (2, 0, 1)):
        its = volta.wgpu.asarray(x.transpose(np.argsort(turn)))
        found = getattr(F, name)(F.permute_dims(its, turn), axis=axis)
        compared(found, getattr(F, name)(x, axis=axis))


@pytest.mark.parametrize("name", ["sum", "max"])
def test_long_sums_are_split_and_folded_in_pieces(device, monkeypatch, name):
    monkeypatch.setattr(device, "limits", device.limits._replace(binding=1 << 16))
    x = np.random.default_rng(0).normal(size=(40, 150, 30)).astype(np.float32)
    its = volta.wgpu.asarray(x, device=device)
    compared(getattr(F, name)(its, axis=1), getattr(F, name)(x, axis=1))
    turned = F.permute_dims(its, (2, 1, 0))
    compared(getattr(F, name)(turned, axis=1), getattr(F, name)(x.transpose(2, 1, 0), axis=1))


def test_softmax_and_its_derivative_are_split(narrow):
    x = np.random.default_rng(0).normal(size=(7, 1500)).astype(np.float32)
    fun = volta.grad(lambda x, w: F.sum(F.log_softmax(x) * w))
    w = x[::-1].copy()
    compared(fun(volta.wgpu.asarray(x), volta.wgpu.asarray(w)), fun(x, w))


def test_parts_of_an_array_that_are_far_apart(narrow):
    x = np.arange(4000, dtype=np.float32)
    its = volta.wgpu.asarray(x)
    compared(its[:2000] + its[2000:], x[:2000] + x[2000:])
    compared(its + F.flip(its), x + x[::-1])
    compared(its[:3] + its[-3:], x[:3] + x[-3:])
    its, x = F.roll(its, 5), np.roll(x, 5)  # pending, so that both parts are of one variable
    compared(its[:2000] + its[2000:], x[:2000] + x[2000:])


def test_random_numbers_are_the_same_in_parts(narrow):
    key = F.random.key(0)
    there = volta.wgpu.asarray(key)
    compared(F.random.uniform(there, (3000,)), F.random.uniform(key, (3000,)))


def test_what_cannot_be_split_says_so(narrow):
    x = volta.wgpu.asarray(np.zeros(4000, np.float32))
    with pytest.raises(volta.DeviceError, match=r"must see at most 2,048 bytes of an array; got "):
        F.sort(x).to_numpy()
    compared(x[:5] + 1, np.ones(5, np.float32))
