"""Classification into very many classes, against torch."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import DimensionError, DTypeError, ShapeError, nn, testing, tree
from volta.functional import random

pytestmark = pytest.mark.neural
KEY = random.key(3)
ARGUMENTS = (8, 20, [4, 9, 12])
NAMES = ("head.weight", "head.bias", *(f"tail.{i}.{j}.weight" for i in range(3) for j in range(2)))


def make(**options):
    options = {"div_value": 2.0, "head_bias": True, "dtype": "float64", **options}
    return nn.AdaptiveLogSoftmaxWithLoss(*ARGUMENTS, key=KEY, **options)


def inputs(shape=(30,), classes=20):
    rng = np.random.default_rng(4)
    return 3 * rng.normal(size=(*shape, 8)), rng.integers(0, classes, shape)


def as_torchs(torch, layer, **options):
    options = {"div_value": 2.0, "head_bias": True, **options}
    oracle = torch.nn.AdaptiveLogSoftmaxWithLoss(*ARGUMENTS, **options).double()
    oracle.load_state_dict(tree.to(nn.to_torch_state_dict(layer), xp=torch), strict=True)
    return oracle


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # the last of 8 / 4**i
@pytest.mark.parametrize(
    "options", [{}, {"head_bias": False, "div_value": 4.0}, {"div_value": 1.5}], ids=str
)
@pytest.mark.parametrize("classes", [20, 9, 4])
def test_values_and_gradients_are_torchs(options, classes):
    torch = pytest.importorskip("torch")
    layer = make(**options)
    oracle = as_torchs(torch, layer, **options)
    x, target = inputs(classes=classes)
    theirs = torch.tensor(x, requires_grad=True)
    output, loss = oracle(theirs, torch.from_numpy(target))
    found = layer(x, target)
    np.testing.assert_allclose(found.output, output.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(found.loss, loss.item(), rtol=1e-13)
    ct = np.random.default_rng(5).normal(size=30)
    (torch.sum(output * torch.from_numpy(ct)) + loss).backward()

    def of(layer, x):
        output, loss = layer(x, target)
        return F.sum(output * ct) + loss

    grads, at_x = volta.grad(of, argnums=(0, 1))(layer, x)
    np.testing.assert_allclose(at_x, theirs.grad.numpy(), rtol=1e-10, atol=1e-13)
    for name, parameter in oracle.named_parameters():
        if parameter.grad is None:  # of a cluster without targets
            assert not grads[name].any()
            continue
        expected = parameter.grad.numpy()
        expected = expected.T if name.endswith("weight") else expected
        np.testing.assert_allclose(grads[name], expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(
        layer.log_prob(x), oracle.log_prob(torch.tensor(x)).detach().numpy(), rtol=1e-12
    )
    np.testing.assert_array_equal(layer.predict(x), oracle.predict(torch.tensor(x)).numpy())


def test_names_and_derivatives():
    layer = make()
    assert tuple(layer.parameters()) == NAMES
    x, target = inputs((6, 5))
    testing.check_grads(
        lambda p, x: nn.functional_call(layer, p, x, target), (layer.parameters(), x), order=2
    )
    grads = volta.grad(lambda layer: layer(x, target).loss)(layer)
    assert all(np.all(g != 0) for g in grads.values())


def test_probabilities_are_those_of_all_classes():
    layer = make()
    x, target = inputs()
    log_prob = layer.log_prob(x)
    np.testing.assert_allclose(np.exp(log_prob).sum(-1), 1.0, rtol=1e-12)
    output, loss = layer(x, target)
    np.testing.assert_allclose(output, np.take_along_axis(log_prob, target[:, None], 1)[:, 0])
    np.testing.assert_allclose(loss, -output.mean())
    np.testing.assert_array_equal(layer.predict(x), log_prob.argmax(-1))
    assert set(layer.predict(x) >= 4) == {True, False}


def test_any_leading_axes():
    layer = make()
    x, target = inputs((3, 4))
    flat = layer(x.reshape(12, 8), target.reshape(12))
    np.testing.assert_allclose(layer(x, target).output, flat.output.reshape(3, 4), rtol=1e-13)
    np.testing.assert_allclose(layer(x, target).loss, flat.loss, rtol=1e-13)
    one = layer(x[0, 0], target[0, 0, ...])
    assert one.output.shape == one.loss.shape == ()
    np.testing.assert_allclose(one.output, flat.output[0], rtol=1e-13)
    np.testing.assert_allclose(layer.log_prob(x[0]), layer.log_prob(x)[0], rtol=1e-13)
    assert layer.predict(x).tolist() == layer.log_prob(x).argmax(-1).tolist()
    assert layer.predict(x[0, 0]) == layer.log_prob(x[0, 0]).argmax()
    wide = nn.AdaptiveLogSoftmaxWithLoss(8, 900, [300, 600], key=KEY)  # cutoffs beyond 255
    small = wide(x, target.astype(np.uint8))
    np.testing.assert_array_equal(small.output, wide(x, target).output)


def test_clusters_without_targets_are_not_computed():
    def fail(x):
        raise AssertionError

    layer = make()
    x, target = inputs(classes=9)
    expected = layer(x, target)
    layer.tail[0] = nn.Sequential(lambda x, first=layer.tail[0]: first(x[: (target >= 4).sum()]))
    layer.tail[1] = layer.tail[2] = nn.Sequential(fail)
    np.testing.assert_array_equal(layer(x, target).output, expected.output)
    layer.head.bias = np.where(np.arange(7) < 4, 1e3, 0.0)
    assert layer.predict(x).max() < 4


def test_traced_targets():
    layer = make()
    x, target = inputs()
    expected = layer(x, target).output
    out = volta.vmap(lambda x, t: layer(x, t).output)(x, target)
    np.testing.assert_allclose(out, expected, rtol=1e-12)
    np.testing.assert_array_equal(volta.vmap(layer.predict)(x), layer.predict(x))
    both = volta.vmap(lambda t: layer(x, t).output)(np.stack([target, target[::-1]]))
    np.testing.assert_allclose(both[1], layer(x, target[::-1]).output, rtol=1e-12)
    assert "nonzero" not in str(volta.trace(layer)(x, target))
    grads = volta.vmap(lambda x, t: volta.grad(lambda m: m(x, t).loss)(layer))(x, target)
    whole = volta.grad(lambda m: m(x, target).loss)(layer)
    for name, grad in whole.items():
        np.testing.assert_allclose(grads[name].mean(0), grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("library", ["array_api_strict", "torch", "jax.numpy", "dask.array"])
def test_keeps_library_and_dtype(library):
    xp = pytest.importorskip(library)
    host = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4], key=KEY)
    layer = tree.to(host, xp=xp)
    x, target = inputs()
    x = x.astype(np.float32)
    output, loss = layer(xp.asarray(x), xp.asarray(target))
    assert type(output) is type(loss) is type(xp.asarray(x))
    assert output.dtype == loss.dtype == xp.float32
    found = layer.predict(xp.asarray(x))
    if library == "dask.array":
        output, found = output.compute(), found.compute()
    np.testing.assert_allclose(np.from_dlpack(output), host(x, target).output, rtol=1e-5)
    np.testing.assert_array_equal(np.from_dlpack(found), host.predict(x))
    half = make(dtype="bfloat16")
    assert half(F.astype(x, "bfloat16"), target).output.dtype == "bfloat16"


@pytest.mark.parametrize("cutoffs", [[], [0, 4], [4, 4], [9, 4], [4, 20], [2.5]], ids=str)
def test_cutoffs_are_checked(cutoffs):
    with pytest.raises(
        ValueError,
        match="AdaptiveLogSoftmaxWithLoss: cutoffs must be ints that ascend, from 1 to n_classes - "
        r"1, and one at least; got \[",
    ):
        nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs, key=KEY)


def test_calls_are_checked():
    layer = make()
    x, target = inputs()
    with pytest.raises(
        ShapeError,
        match="AdaptiveLogSoftmaxWithLoss: input must have the shape of target and in_features=8 "
        r"elements; got \(30, 8\) and \(29,\)",
    ):
        layer(x, target[1:])
    with pytest.raises(ShapeError, match=r"got \(30, 7\) and \(30,\)"):
        layer(x[:, 1:], target)
    with pytest.raises(DTypeError, match="target must be of integer dtype; got float64"):
        layer(x, target * 1.0)
    with pytest.raises(DimensionError, match="classes must be from 0 to 19; got -1 to 18"):
        layer(x, np.arange(30) % 20 - 1)
    with pytest.raises(DimensionError, match="classes must be from 0 to 19; got 0 to 20"):
        volta.vmap(layer)(x, np.arange(30) % 21)
