"""Arrays of a device as objects: conversions, errors that come later, what they refuse."""

import copy
import pickle

import numpy as np
import pytest

import volta
import volta.functional as F
import volta.wgpu
from volta.core.errors import DeviceError, DimensionError, DTypeError, RuleError
from volta.wgpu.plan import FAILURES

INTEGERS = tuple(f"{kind}{8 * n}" for kind in ("int", "uint") for n in (1, 2, 4, 8))


def dtypes(device):
    return volta.wgpu.__array_namespace_info__().dtypes(device=device)


def of(x, device):
    return volta.wgpu.asarray(x, device=device)


@pytest.mark.parametrize("before", INTEGERS)
@pytest.mark.parametrize("after", [*INTEGERS, "bool", "float32"])
def test_integers_become_others_as_numpys_do(first, before, after):
    if not {before, after} <= {*dtypes(first)}:
        pytest.skip("the device lacks one of them")
    info = np.iinfo(before)
    x = np.asarray([info.min, info.max, 0, 1, info.max // 2 + 1, info.min // 2], before)
    found = F.astype(of(x, first), after).to_numpy()
    np.testing.assert_array_equal(found, x.astype(after))


def test_an_index_outside_its_axis_is_told_at_the_next_look(first):
    x, index = of(np.arange(4.0, dtype=np.float32), first), of(np.int32([1, 4]), first)
    out = F.take(x, index)
    with pytest.raises(DimensionError, match=r"gather: an index must be within its axis.*\(4,\)"):
        out.to_numpy()
    assert F.take(x, of(np.int32([-1]), first)).tolist() == [3.0]
    assert 0 not in FAILURES.values()  # which tells that nothing has failed


@pytest.mark.parametrize("jit", [False, True])
def test_a_class_that_there_is_not_is_told_at_the_next_look(first, jit):
    loss = volta.jit(F.cross_entropy) if jit else F.cross_entropy
    logits = of(np.zeros((2, 3), np.float32), first)
    assert float(loss(logits, of(np.int32([0, 2]), first))) == pytest.approx(np.log(3))
    for wrong in (3, -1):
        found = loss(logits, of(np.int32([0, wrong]), first))
        with pytest.raises(DimensionError, match="cross_entropy: classes must be from 0 to 2"):
            float(found)


def test_a_program_with_a_choice_of_pythons_runs_entry_by_entry(first):
    @volta.jit
    def doubled(x):
        return volta.while_loop(lambda x: F.max(x) < 100, lambda x: 2 * x, x)

    assert doubled(of(np.float32([3, 1]), first)).tolist() == [192.0, 64.0]


def test_arrays_are_immutable(first):
    x = of(np.zeros(3, np.float32), first)
    with pytest.raises(TypeError, match="immutable"):
        x[0] = 1.0
    y = x
    y += 1
    assert (x.tolist(), y.tolist()) == ([0.0] * 3, [1.0] * 3)
    assert x.at[1].set(5.0).tolist() == [0.0, 5.0, 0.0]


def test_numpy_does_not_read_an_array_back_unasked(first):
    x = of(np.ones(2, np.float32), first)
    with pytest.raises(TypeError):
        np.add(x, x)
    reads = first.counts.reads
    assert (np.ones(2, np.float32) + x).shape == (2,)
    assert first.counts.reads == reads
    np.testing.assert_array_equal(np.asarray(x), [1, 1])
    np.testing.assert_array_equal(np.from_dlpack(x), [1, 1])


def test_copies_and_text(first):
    x = of(np.float32([[1.5, -2.0]]), first)
    assert copy.copy(x) is copy.deepcopy(x) is x
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(x)).to_numpy(), x.to_numpy())
    assert repr(x) == f"Array([[ 1.5, -2. ]], dtype=float32, device={first})"
    assert f"{F.max(x):.2f}" == "1.50"
    assert (len(x), x.nbytes, [row.tolist() for row in x]) == (1, 8, [[1.5, -2.0]])


def test_what_a_device_has_not_is_refused(first):
    with pytest.raises(DTypeError, match="complex64"):
        of(np.zeros(2, np.complex64), first)
    with pytest.raises(DeviceError, match=r"must be a volta\.wgpu\.Device; got 'gpu'"):
        volta.wgpu.zeros(2, device="gpu")
    with pytest.raises(RuleError, match=r"svd: volta\.wgpu must have a kernel for it; got float32"):
        F.linalg.svd(of(np.eye(2, dtype=np.float32), first))
    assert not hasattr(volta.wgpu, "linalg")
    assert (of(np.int32([3]), first) ** 3).tolist() == [27]
    if "int64" in dtypes(first):
        with pytest.raises(
            RuleError, match=r"pow: volta\.wgpu must have a kernel for it; got int64"
        ):
            of(np.int64([3]), first) ** 3


def test_products_of_two_dtypes_are_of_that_of_both(first):
    x, y = np.uint8([[100, 3], [7, 5]]), np.int32([[1000, 1], [2, -70_000]])
    for a, b in ((x, y), (y, x)):
        found = of(a, first) @ of(b, first)
        assert (found.dtype.name, found.tolist()) == ("int32", (a @ b).tolist())


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round"])
def test_integers_are_rounded_already(first, name):
    x, function = of(np.int32([3, -1]), first), getattr(F, name)
    for found in (function(x), volta.jit(function)(x), function(F.concat([x, x]))[:2] + 0):
        assert found.tolist() == [3, -1]


def test_a_number_that_changes_compiles_nothing(first):
    x = of(np.ones(8, np.float32), first)

    def scaled(by):
        return float(F.sum(x * by + 1))

    scaled(0.5)
    pipelines = len(first.queue._pipelines)
    assert [scaled(by) for by in (0.25, 3.0)] == [10.0, 32.0]
    assert len(first.queue._pipelines) == pipelines


def test_numbers_and_counts_are_in_memory_once(first):
    volta.wgpu.arange(1000, device=first), volta.wgpu.zeros((7, 9), device=first)
    writes = first.counts.writes
    a = volta.wgpu.arange(1000, device=first)
    b = volta.wgpu.zeros((500, 3), device=first)
    assert first.counts.writes == writes
    assert (int(a[-1]), float(F.sum(b))) == (999, 0.0)


COMPUTED = {  # with numbers that the host computes in float64
    "interpolate": lambda x: F.interpolate(x[None, None], (7, 5), mode="bicubic"),
    "affine_grid": lambda x: F.affine_grid(x[None, :2, :3], (1, 1, 3, 2)),
    "avg_pool1d": lambda x: F.avg_pool1d(x[None], 3, padding=1, count_include_pad=False),
    "quantile": lambda x: F.quantile(x, [0.1, 0.75], axis=1),
    "median": lambda x: F.median(x, axis=1),
    "pad": lambda x: F.pad(x, 2, "linear_ramp", end_values=0.5),
    "pad-integers": lambda x: F.pad(F.astype(9 * x, F.int32), 2, "linear_ramp"),
    "pad-means": lambda x: F.pad(F.astype(9 * x, F.int32), 2, "mean"),
    "rotary_embedding": lambda x: F.rotary_embedding(x, F.astype(x[:, 0] * 5, F.int32)),
}


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", COMPUTED)
def test_numbers_that_the_host_computes_take_the_dtype_of_the_array(first, name, jit):
    fun = COMPUTED[name]
    x = np.float32(np.random.default_rng(0).normal(size=(4, 6)))
    wanted = fun(x)
    found = (volta.jit(fun) if jit else fun)(of(x, first))
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found.to_numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_float64_of_the_caller_stays_float64(first, jit):
    def fun(x):
        return x + np.asarray([0.1, 0.2])

    x = of(np.float32([1, 2]), first)
    run = volta.jit(fun) if jit else fun
    if "float64" in dtypes(first):
        assert run(x).dtype == F.float64
    else:
        with pytest.raises(DTypeError, match="must have it; got float64"):
            run(x)


def test_choices_are_of_integers_of_the_default_dtype(first):
    key = F.random.key(5)
    index = F.random.randint(key, (40,), 0, 9, volta.wgpu.asarray(0, device=first).dtype)
    x = np.float32(np.arange(9))
    found = F.random.choice(of(key, first), of(x, first), (40,))
    np.testing.assert_array_equal(found.to_numpy(), x[index])
