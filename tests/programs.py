"""Programs that write to arrays, the same for NumPy's arrays and for handles.

`PROGRAMS` are written by hand, one a habit of array code; `random_program` draws instructions.
Each program takes a fresh float64 array of shape (4, 3), may write to it, and returns arrays.
"""

import random

import numpy as np

import volta.functional as F

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


# Writing -----------------------------------------------------------------------------------------


@program
def set_row(x):
    x[1] = x[0] * 2
    return x


@program
def set_element(x):
    x[1, 2] = x[0, 0] + 1
    x[-1, -1] = 7.0
    return x


@program
def set_numpy_integers(x):
    x[np.int64(1), np.int8(2)] = 5.0
    return x


@program
def set_slice(x):
    x[1:3] = x[0:2] * 3
    return x


@program
def set_step(x):
    x[::2, ::-1] = x[1::2]
    return x


@program
def set_ellipsis(x):
    x[..., 0] = x[..., 1] * 2
    x[...] = x + 1
    return x


@program
def set_new_axis(x):
    x[None, 1] = x[2]
    x[:, None, 0] = x[:, 1:2]
    return x


@program
def set_everything(x):
    x[:] = x[0]
    return x


@program
def set_empty(x):
    x[1:1] = 3.0
    x[[]] = 2.0
    return x


@program
def set_number_broadcasts(x):
    x[1:, :2] = 4
    x[0] = [1.0, 2.0, 3.0]
    return x


@program
def set_drops_leading_ones(x):
    x[0] = x[1][None, None]
    return x


@program
def set_mask(x):
    x[x > 0.5] = 0.25
    return x


@program
def set_mask_to_values(x):
    mask = np.arange(12).reshape(4, 3) % 2 == 0
    x[mask] = x[mask] * 2
    return x


@program
def set_row_mask(x):
    x[np.asarray([True, False, True, False])] = x[3]
    return x


@program
def set_mask_and_slice(x):
    x[np.asarray([True, False, True, False]), 1:] = 9.0
    return x


@program
def set_list_of_booleans(x):
    x[[True, False, False, True]] *= 2
    return x


@program
def set_integers(x):
    x[np.asarray([2, 0])] = x[np.asarray([0, 1])]
    return x


@program
def set_duplicate_integers(x):
    x[np.asarray([1, 1, 0, 1])] = np.arange(12.0).reshape(4, 3) * x[0, 0]
    return x


@program
def set_negative_integers(x):
    x[[-1, 0], [0, -2]] = x[1, 1:]
    return x


@program
def set_integers_and_slice(x):
    x[1:, [0, 2]] = x[:3, [2, 1]]
    return x


@program
def set_grid(x):
    x[np.asarray([[0], [2]]), np.asarray([1, 2])] = x[:2, :2]
    return x


@program
def add_duplicates_once(x):
    x[[0, 0, 1]] += 1
    return x


@program
def set_rank_0(x):
    y = x[0, 0, ...]
    y[()] = 5.0
    y[...] = y + 1
    return x, y


@program
def set_a_transposed_part(x):
    x[:3] = x[:3].T
    return x


@program
def fill_an_array(x):
    out = F.zeros((4, 3), dtype=F.float64)
    for i in range(4):
        out[i] = x[i] * i
    out[0, 0] = x[3, 2]
    return out


# In place ----------------------------------------------------------------------------------------


@program
def in_place_operators(x):
    y = x
    y += 1
    y *= x
    y -= 0.5
    y /= 2
    y **= 2
    y //= 0.01
    y %= 7
    return x, y


@program
def in_place_on_a_part(x):
    x[1:3] *= 2
    x[0, 0] += x[3, 1]
    x[..., 2] -= 1
    return x


@program
def in_place_matmul(x):
    y = x[:3] @ x[:3].T
    z = y
    y @= y
    return y, z


@program
def in_place_booleans(x):
    low = x < 0.5
    high = x > 0.25
    both = low
    both &= high
    both |= x < 0.1
    both ^= high
    return both * 1.0, low * 1.0


@program
def in_place_integers(x):
    n = (x * 100) // 1
    m = n.astype(np.int64)
    m <<= 2
    m >>= 1
    m |= 1
    return m * 1.0


@program
def swap_elements(x):
    x = x[0]
    old = x[0]
    x[0] = x[1]
    x[1] = old
    return x


@program
def accumulate_from_an_element(x):
    row = x[0]
    total = row[0]
    total += row[1]
    total *= 2
    return total, row


@program
def partial_sums(x):
    total = 0.0
    sums = []
    for row in x:
        total += row[0] * 2
        sums.append(total)
    return tuple(sums)


@program
def elements_of_a_row(x):
    found = []
    for v in x[0]:
        v += 1
        found.append(v)
    return (*found, x)


# Views -------------------------------------------------------------------------------------------


@program
def view_follows_base(x):
    v = x[1:3]
    x[1] = 5.0
    x[2] *= 3
    return v, x


@program
def base_follows_view(x):
    v = x[1:3]
    v[0] = 5.0
    v *= 2
    return v, x


@program
def nested_views(x):
    v = x[1:]
    w = v[::2]
    u = w[0]
    u += 1
    w[1] = u
    x[1, 0] = 8.0
    return x, v, w, u


@program
def overlapping_views(x):
    a = x[:3]
    b = x[1:]
    a[1] = 4.0
    b[0, 0] = 2.0
    return a, b, x


@program
def rows_are_views(x):
    for row in x:
        row *= 2
        row[0] = 1.0
    return x


@program
def rows_of_rows(x):
    first = next(iter(x))
    x[0] = 7.0
    return first, x


@program
def view_of_rank_0(x):
    v = x[1, 1, ...]
    x[1] = 3.0
    v += 1
    return v, x


@program
def new_axis_view(x):
    v = x[0, None]
    v[0, 1] = 6.0
    x[0, 2] = 5.0
    return v, x


@program
def reversed_view(x):
    v = x[::-1, ::-1]
    v[0] = 1.0
    x[0] = 2.0
    return v, x


@program
def an_integer_array_copies(x):
    v = x[[0, 1]]
    v += 1
    x[0] = 9.0
    return v, x


@program
def arithmetic_copies(x):
    v = x[0] * 1
    x[0] = 3.0
    v += 1
    return v, x


@program
def the_name_follows_the_handle(x):
    y = x
    y[0] = 3.0
    x += 1
    return x, y


@program
def a_view_keeps_its_array_alive(x):
    v = (x * 2)[1:]
    v[0] = 1.0
    w = v[0]
    del v
    w += 1
    return w


@program
def write_to_a_view_made_before_another(x):
    y = x * 1
    a = y[0]
    y[0, 0] = 1.0
    b = y[0]
    b[1] = a[0] + 1
    return a, b, y


@program
def other_views_are_read_before_writes(x):
    y = x * 1
    total = y.T[0] + y.reshape((-1,))[:4]
    y[0] = 0.0
    return total, y


@program
def a_lone_reshape_may_be_written_to(x):
    v = (x * 2).reshape((-1,))
    v[0] = 3.0
    v += 1
    return v


# Drawn programs ----------------------------------------------------------------------------------

_STEPS = ("slice", "slice", "row", "element", "set", "set", "number", "mask", "array")
_STEPS += ("in place", "in place", "reshape", "T", "arithmetic", "alias", "delete")


def random_program(seed, *, backwards=True):
    """Program of up to nine drawn instructions over a file of registers."""
    draw = random.Random(seed)
    steps = [(draw.choice(_STEPS), draw.random(), draw.random()) for _ in range(draw.randint(2, 9))]

    def run(x):
        registers = [x * 1.0]
        for step, a, b in steps:
            i = int(a * len(registers))
            if step in ("slice", "set"):
                key = _key(registers[i].shape, b, backwards)
                _take(registers, i, key) if step == "slice" else _set(registers, i, key)
            else:
                _STEP[step](registers, i, b)
        return tuple(r * 1.0 for r in registers)

    return run


def _key(shape, b, backwards):
    draw = random.Random(b)
    key = []
    for n in shape[: draw.randint(1, len(shape))] if shape else ():
        kind = draw.choice(("from", "to", "int", "back", "step", "new"))
        if kind == "back" and not backwards:  # torch takes no negative steps
            kind = "from"
        if kind == "new":
            key.append(None)
        if kind == "int" and n:
            key.append(draw.randrange(-n, n))
        else:
            cut = draw.randint(0, n)
            part = {
                "from": slice(cut, None),
                "back": slice(None, None, -1),
                "step": slice(1, None, 2),
            }
            key.append(part.get(kind, slice(None, cut)))
    return (*key, ...) if draw.random() < 0.3 else tuple(key)


def _take(registers, i, key):
    registers.append(registers[i][key])


def _take_row(registers, i, b):
    r = registers[i]
    if r.shape and r.shape[0]:
        registers.append(r[int(b * r.shape[0])])


def _take_element(registers, i, b):
    r = registers[i]
    if r.shape and all(r.shape):
        registers.append(r[(0,) * len(r.shape)])


def _set(registers, i, key):
    r = registers[i]
    if r.shape:
        r[key] = r[key] * 2.0 + 0.25


def _set_number(registers, i, b):
    r = registers[i]
    if r.shape and r.shape[0]:
        r[int(b * r.shape[0])] = b


def _set_mask(registers, i, b):
    r = registers[i]
    if r.shape:
        r[np.random.default_rng(int(b * 1e6)).random(tuple(r.shape)) < 0.5] = b


def _set_array(registers, i, b):
    r = registers[i]
    if r.shape and r.shape[0]:
        draw = np.random.default_rng(int(b * 1e6))
        index = draw.integers(-r.shape[0], r.shape[0], size=3)
        values = draw.random((3, *r.shape[1:]))
        r[index] = r.new_tensor(values) if hasattr(r, "new_tensor") else values  # for torch


def _in_place(registers, i, b):
    if b < 0.5:
        registers[i] += b
    else:
        registers[i] *= b


def _reshape(registers, i, b):
    registers.append(registers[i].reshape((-1,)))


def _transpose(registers, i, b):
    if len(registers[i].shape) == 2:
        registers.append(registers[i].T)


def _delete(registers, i, b):
    if len(registers) > 1:
        del registers[i]


_STEP = {
    "row": _take_row,
    "element": _take_element,
    "number": _set_number,
    "mask": _set_mask,
    "array": _set_array,
    "in place": _in_place,
    "reshape": _reshape,
    "T": _transpose,
    "arithmetic": lambda registers, i, b: registers.append(registers[i] * 1.5 + b),
    "alias": lambda registers, i, b: registers.append(registers[i]),
    "delete": _delete,
}
