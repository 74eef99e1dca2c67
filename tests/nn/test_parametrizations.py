"""Parametrized fields: weight norm, spectral norm and orthogonal matrices, against torch."""

import copy
import pickle

import numpy as np
import pytest
from nn.rows import MODELS, WEIGHTED, sample

import volta
import volta.functional as F
from volta import (
    DimensionError,
    DTypeError,
    LoadError,
    RuleError,
    ShapeError,
    TraceError,
    io,
    nn,
    testing,
    tree,
)
from volta.functional import random
from volta.nn.parametrizations import (
    is_parametrized,
    orthogonal,
    register_parametrization,
    remove_parametrizations,
    spectral_norm,
    weight_norm,
)

pytestmark = pytest.mark.neural
KEY = random.key(5)

# Layer, its arguments, the field, shapes of inputs.
LAYERS = [
    ("Linear", (4, 3), "weight", ((5, 4),)),
    ("Linear", (3, 3), "bias", ((5, 3),)),
    ("Bilinear", (4, 3, 2), "weight", ((5, 4), (5, 3))),
    ("Conv1d", (2, 3, 3), "weight", ((5, 2, 6),)),
    ("Conv2d", (2, 4, (3, 2)), "weight", ((2, 2, 5, 4),)),
    ("Conv3d", (2, 3, (1, 2, 2)), "weight", ((2, 2, 2, 4, 4),)),
    ("ConvTranspose1d", (2, 3, 3), "weight", ((4, 2, 4),)),
    ("ConvTranspose2d", (2, 3, (3, 2)), "weight", ((2, 2, 3, 4),)),
    ("ConvTranspose3d", (2, 3, (1, 2, 2)), "weight", ((1, 2, 2, 2, 3),)),
    ("LayerNorm", (4,), "weight", ((5, 4),)),
    ("PReLU", (3,), "weight", ((4, 3, 2),)),
    ("LSTM", (3, 2), "weight_hh_l0", ((4, 2, 3),)),
    ("GRU", (3, 2), "weight_ih_l0", ((4, 2, 3),)),
    ("MultiheadAttention", (4, 2), "in_proj_weight", ((3, 2, 4),) * 3),
]
KEYLESS = ("LayerNorm", "PReLU")
layers = pytest.mark.parametrize(
    ("kind", "arguments", "field", "shapes"), LAYERS, ids=lambda x: str(x).replace(" ", "")
)


def make(kind, arguments, **options):
    options = {"dtype": "float64", **options}
    options |= {} if kind in KEYLESS else {"key": KEY}
    layer = getattr(nn, kind)(*arguments, **options)
    rng = np.random.default_rng(1)  # no weight is all ones
    layer.update({n: rng.normal(size=x.shape) for n, x in layer.parameters().items()})
    return layer


def inputs(shapes):
    rng = np.random.default_rng(2)
    return [rng.normal(size=shape) for shape in shapes]


def total(out):
    return sum(F.sum(F.sin(x) * (i + 1)) for i, x in enumerate(tree.leaves(out)))


def torchs_total(torch, out):
    return sum(torch.sum(torch.sin(x) * (i + 1)) for i, x in enumerate(flat(out)))


def flat(out):
    return [x for part in out for x in flat(part)] if isinstance(out, tuple) else [out]


def agrees_with_torch(layer, oracle, xs, rtol=1e-9):
    """State dicts by name both ways, outputs, and gradients of all parameters."""
    torch = pytest.importorskip("torch")
    state = nn.to_torch_state_dict(layer)
    assert set(state) == set(oracle.state_dict())
    oracle.load_state_dict(tree.to(state, xp=torch))
    expected = torchs_total(torch, oracle(*map(torch.from_numpy, xs)))
    expected.backward()
    np.testing.assert_allclose(total(layer(*xs)), expected.item(), rtol=rtol)
    grads = volta.grad(lambda layer: total(layer(*xs)))(layer)
    named = dict(oracle.named_parameters())
    assert set(grads) == set(named)
    turned = copy.deepcopy(layer)
    turned.update(grads)
    for name, grad in nn.to_torch_state_dict(turned).items():
        if name in named:
            np.testing.assert_allclose(grad, named[name].grad.numpy(), rtol=rtol, atol=1e-12)
            assert np.any(grad != 0)
    fresh = tree.map(lambda x: x * 0, layer)
    fresh.load_state_dict(oracle.state_dict())
    for name, x in fresh.state_dict().items():
        np.testing.assert_array_equal(x, layer.state_dict()[name])


def as_torchs(torch, kind, arguments):
    return getattr(torch.nn, kind)(*arguments).double()


# Weight norm -------------------------------------------------------------------------------------


@layers
@pytest.mark.parametrize("dim", [0, None, -1, 1])
def test_weight_norm_is_torchs(kind, arguments, field, shapes, dim):
    torch = pytest.importorskip("torch")
    layer = make(kind, arguments)
    if dim == 1 and getattr(layer, field).ndim == 1:
        with pytest.raises(DimensionError, match="weight_norm: axis must be from -1 to 0; got 1"):
            weight_norm(layer, field, dim)
        return
    before = np.asarray(getattr(layer, field))
    assert weight_norm(layer, field, dim) is layer
    np.testing.assert_allclose(getattr(layer, field), before, rtol=1e-14)
    scaled = {n: 1.5 * x for n, x in layer.parameters().items() if n.endswith("original0")}
    layer.update(scaled)
    np.testing.assert_allclose(getattr(layer, field), 1.5 * before, rtol=1e-14)
    utilities = torch.nn.utils.parametrizations
    oracle = utilities.weight_norm(as_torchs(torch, kind, arguments), field, dim)
    agrees_with_torch(layer, oracle, inputs(shapes))


def test_the_lengths_of_a_linear_layer_are_those_of_its_outputs():
    layer = make("Linear", (4, 3))
    weight = layer.weight
    weight_norm(layer)
    lengths = layer.parametrizations["weight"].original0
    np.testing.assert_allclose(lengths, np.sqrt((weight**2).sum(0, keepdims=True)))
    assert nn.to_torch_state_dict(layer)["parametrizations.weight.original0"].shape == (3, 1)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["Linear", "Conv1d"])
def test_weight_norm_loads_under_its_old_names(kind):
    torch = pytest.importorskip("torch")
    arguments = (4, 3) if kind == "Linear" else (4, 3, 1)
    oracle = torch.nn.utils.weight_norm(as_torchs(torch, kind, arguments))
    model = nn.Sequential(weight_norm(make(kind, arguments)), nn.Tanh())
    state = torch.nn.Sequential(oracle).state_dict()
    assert list(state) == ["0.bias", "0.weight_g", "0.weight_v"]
    assert model.load_state_dict(state) == ([], [])
    np.testing.assert_allclose(
        nn.to_torch_state_dict(remove_parametrizations(model[0], "weight"))["weight"],
        oracle.weight.detach().numpy(),
        rtol=1e-13,
    )
    with pytest.raises(LoadError, match=r"unexpected_keys \['0.weight_g', '0.weight_v'\]"):
        model.load_state_dict(state)


# Spectral norm -----------------------------------------------------------------------------------


@layers
@pytest.mark.parametrize("dim", [None, 0, 1, -1])
def test_spectral_norm_is_torchs(kind, arguments, field, shapes, dim):
    torch = pytest.importorskip("torch")
    layer = make(kind, arguments)
    weight = getattr(layer, field)
    if dim == 1 and weight.ndim == 1:
        with pytest.raises(DimensionError, match="spectral_norm: axis must be from -1 to 0; got 1"):
            spectral_norm(layer, field, dim=dim, key=KEY)
        return
    spectral_norm(layer, field, dim=dim, key=KEY).eval()
    by_torch = torch.nn.utils.parametrizations.spectral_norm
    oracle = by_torch(as_torchs(torch, kind, arguments), field, dim=dim).eval()
    agrees_with_torch(layer, oracle, inputs(shapes))
    layer.train()
    for _ in range(200):
        value = getattr(layer, field)
    size = _largest(layer, field, value, dim)
    np.testing.assert_allclose(size, 1.0, rtol=1e-6)


def _largest(layer, field, value, dim):
    """Largest singular value of a field as a matrix of PyTorch's rows."""
    if value.ndim == 1:
        return np.linalg.norm(value)
    if field in layer._torch_axes:
        value = value.T
    first = (1 if type(layer).__name__.startswith("ConvT") else 0) if dim is None else dim
    matrix = np.moveaxis(value, first, 0).reshape(value.shape[first], -1)
    return np.linalg.svd(matrix, compute_uv=False)[0]


def test_the_first_singular_vectors_are_near():
    layer = spectral_norm(nn.Linear(20, 30, key=KEY), key=random.key(6))
    value = layer.eval().weight
    assert 1.0 < np.linalg.svd(value, compute_uv=False)[0] < 1.1
    other = spectral_norm(nn.Linear(20, 30, key=KEY), key=random.key(7)).eval()
    assert np.any(other.weight != value)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("row", [0, 4, 7], ids=["Linear", "Conv2d", "ConvTranspose2d"])
def test_power_iterations_in_training_are_torchs(row, steps):
    torch = pytest.importorskip("torch")
    kind, arguments, field, shapes = LAYERS[row]
    layer = spectral_norm(make(kind, arguments), field, steps, key=KEY)
    by_torch = torch.nn.utils.parametrizations.spectral_norm
    oracle = by_torch(as_torchs(torch, kind, arguments), field, steps)
    oracle.load_state_dict(tree.to(nn.to_torch_state_dict(layer), xp=torch))
    start = layer.buffers()
    (x,) = inputs(shapes)
    for _ in range(2):
        expected = oracle(torch.from_numpy(x))
        loss = torchs_total(torch, expected)
        oracle.zero_grad()
        loss.backward()

        def of(params):
            out, buffers = nn.stateful_call(layer, params, layer.buffers(), x)
            return total(out), buffers

        (value, buffers), grads = volta.value_and_grad(of, has_aux=True)(layer.parameters())
        layer.update(buffers)
        np.testing.assert_allclose(value, loss.item(), rtol=1e-12)
        grad = oracle.parametrizations[field].original.grad.numpy()
        found = grads[f"parametrizations.{field}.original"]
        found = found.T if kind == "Linear" else found
        np.testing.assert_allclose(found, grad, rtol=1e-9, atol=1e-12)
        for name, buffer in oracle.named_buffers():
            np.testing.assert_allclose(layer.buffers()[name], buffer.numpy(), rtol=1e-10)
    assert all(np.any(start[n] != x) for n, x in layer.buffers().items())
    assert set(start) == {f"parametrizations.{field}.0._u", f"parametrizations.{field}.0._v"}
    before = layer.buffers()
    layer.eval()(x)
    assert all(np.all(before[n] == x) for n, x in layer.buffers().items())
    layer.train()(x)
    assert all(np.any(before[n] != x) for n, x in layer.buffers().items())


def test_training_under_a_transform_needs_stateful_call():
    layer = spectral_norm(make("Linear", (4, 3)), key=KEY)
    x = np.ones((5, 4))
    for call in (
        lambda: volta.grad(lambda m: F.sum(m(x)))(layer),
        lambda: volta.vmap(layer)(x),
        lambda: nn.functional_call(layer, layer.parameters(), x),
    ):
        with pytest.raises(
            TraceError,
            match=r"_SpectralNorm._u: a buffer must not change inside a transform or functional_"
            r"call, .* Call the model through nn.stateful_call",
        ):
            call()
    layer.eval()
    np.testing.assert_allclose(volta.vmap(layer)(x), layer(x))


def test_vectors_are_divided_by_their_length():
    layer = spectral_norm(make("Linear", (4, 3)), "bias", key=KEY)
    assert layer.buffers() == {}
    np.testing.assert_allclose(np.linalg.norm(layer.bias), 1.0)
    wide = spectral_norm(make("Linear", (4, 3)), "bias", eps=100.0, key=KEY)
    np.testing.assert_allclose(wide.bias, make("Linear", (4, 3)).bias / 100)


def test_complex_weights():
    module = nn.Identity()
    rng = np.random.default_rng(3)
    w = rng.normal(size=(4, 3)) + 1j * rng.normal(size=(4, 3))
    module.w = w
    spectral_norm(module, "w", 200, key=KEY)
    np.testing.assert_allclose(module.w, w / np.linalg.svd(w, compute_uv=False)[0], rtol=1e-9)
    for shape, orthogonal_map in (((3, 3), "matrix_exp"), ((4, 3), "cayley"), ((3, 5), None)):
        module = nn.Identity()
        module.w = rng.normal(size=shape) + 1j * rng.normal(size=shape)
        orthogonal(module, "w", orthogonal_map)
        module.update({n: x + rng.normal(size=shape) * 1j for n, x in module.parameters().items()})
        q = module.w if shape[0] >= shape[1] else module.w.T
        np.testing.assert_allclose(q.conj().T @ q, np.eye(q.shape[1]), atol=1e-12)


# Orthogonal matrices -----------------------------------------------------------------------------


@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize("orthogonal_map", [None, "matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize(
    ("kind", "arguments", "field", "shapes"),
    [
        ("Linear", (4, 3), "weight", ((5, 4),)),
        ("Linear", (3, 5), "weight", ((5, 3),)),
        ("Linear", (3, 3), "weight", ((5, 3),)),
        ("RNN", (3, 4), "weight_hh_l0", ((4, 2, 3),)),
        ("Bilinear", (4, 3, 2), "weight", ((5, 4), (5, 3))),
    ],
)
def test_orthogonal_is_torchs(kind, arguments, field, shapes, orthogonal_map, trivial):
    torch = pytest.importorskip("torch")
    layer = make(kind, arguments)
    options = {"orthogonal_map": orthogonal_map, "use_trivialization": trivial}
    assert orthogonal(layer, field, **options) is layer
    by_torch = torch.nn.utils.parametrizations.orthogonal
    oracle = by_torch(as_torchs(torch, kind, arguments), field, **options)
    name = f"parametrizations.{field}.original"
    rng = np.random.default_rng(4)
    x = layer.parameters()[name]
    off = ~np.eye(*x.shape[-2:], dtype=bool)  # the diagonal is of signs, in one of the maps
    layer.update({name: x + off * rng.normal(size=x.shape)})
    value = getattr(layer, field)
    tall = value if value.shape[-2] >= value.shape[-1] else np.swapaxes(value, -1, -2)
    unit = np.broadcast_to(np.eye(tall.shape[-1]), (*tall.shape[:-2], *(tall.shape[-1:] * 2)))
    np.testing.assert_allclose(np.swapaxes(tall, -1, -2) @ tall, unit, atol=1e-12)
    agrees_with_torch(layer, oracle, inputs(shapes), rtol=1e-8)


@pytest.mark.parametrize("trivial", [True, False])
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 5, 3), (2, 3, 3), (1, 1), (3, 1)])
def test_orthogonal_keeps_the_nearest_it_can(shape, trivial):
    module = nn.Identity()
    rng = np.random.default_rng(6)
    q = np.linalg.qr(rng.normal(size=(*shape[:-2], max(shape[-2:]), min(shape[-2:]))))[0]
    q = np.swapaxes(q, -1, -2) if shape[-2] < shape[-1] else q
    module.w = q
    orthogonal(module, "w", "householder", use_trivialization=trivial)
    np.testing.assert_allclose(module.w, q, atol=1e-12)
    module.w = -q
    np.testing.assert_allclose(module.w, -q, atol=1e-12)
    module.w = 3 * q  # of which the orthonormal columns are those of q
    np.testing.assert_allclose(module.w, q, atol=1e-12)


def test_orthogonal_starts_elsewhere_without_trivialization():
    layer = make("Linear", (3, 3))
    before = layer.weight
    orthogonal(layer, use_trivialization=False)
    np.testing.assert_array_equal(layer.parametrizations["weight"].original, before)
    with pytest.raises(
        RuleError,
        match="orthogonal: a field with the map 'matrix_exp' must have use_trivialization=True to",
    ):
        layer.weight = before


def test_orthogonal_checks_its_arguments():
    with pytest.raises(ShapeError, match=r"orthogonal: bias must have at least two axes; got sh"):
        orthogonal(make("Linear", (4, 3)), "bias")
    with pytest.raises(
        ValueError, match="orthogonal: orthogonal_map must be one of matrix_exp, cayley, household"
    ):
        orthogonal(make("Linear", (4, 3)), "weight", "qr")
    module = nn.Identity()
    module.w = np.ones((3, 2)) * 1j
    with pytest.raises(ValueError, match="and for complex matrices not the last; got 'household"):
        orthogonal(module, "w", "householder")


# Derivatives -------------------------------------------------------------------------------------

PARAMETRIZED = {
    "weight_norm": weight_norm,
    "weight_norm of all": lambda m: weight_norm(m, dim=None),
    "spectral_norm": lambda m: spectral_norm(m, key=KEY),
    "orthogonal": orthogonal,
    "cayley": lambda m: orthogonal(m, "weight", "cayley"),
}
kinds = pytest.mark.parametrize("of", PARAMETRIZED.values(), ids=PARAMETRIZED)


@kinds
def test_derivatives_are_finite_differences(of):
    layer = of(make("Linear", (4, 3)))
    for _ in range(300):  # the derivative is the norm's where u and v are singular vectors
        layer(np.ones(4))
    layer.eval()
    params = layer.parameters()
    rng = np.random.default_rng(7)
    x = rng.normal(size=(5, 4))
    weights = rng.normal(size=(5, 3))

    def loss(params):
        return F.sum(weights * nn.functional_call(layer, params, x))

    if of is PARAMETRIZED["spectral_norm"]:

        def true(params):
            w = params["parametrizations.weight.original"]
            return F.sum(weights * (x @ (w / F.linalg.svdvals(w)[0]) + params["bias"]))

        for name, grad in volta.grad(true)(params).items():
            np.testing.assert_allclose(volta.grad(loss)(params)[name], grad, rtol=1e-7, atol=1e-12)
    testing.check_grads(loss, (params,), order=2)


@kinds
def test_lanes_and_copies(of):
    layers = [of(nn.Linear(4, 3, key=key)).eval() for key in random.split(KEY, 3)]
    x = np.random.default_rng(8).normal(size=(5, 4)).astype(np.float32)
    leaves = [tree.leaves(layer) for layer in layers]
    structure = tree.structure(layers[0])
    assert all(tree.structure(layer) == structure for layer in layers)
    stacked = [np.stack(parts) for parts in zip(*leaves, strict=True)]
    out = volta.vmap(lambda arrays: tree.unflatten(structure, arrays)(x))(stacked)
    expected = np.stack([layer(x) for layer in layers])
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    made = volta.vmap(lambda key: of(nn.Linear(4, 3, key=key)).eval()(x))(random.split(KEY, 3))
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5)
    layer = layers[0]
    for same in (
        copy.copy(layer),
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        tree.unflatten(structure, leaves[0]),
        layer.__volta_split__()[1](layer.parameters()),
    ):
        assert repr(same) == repr(layer)
        assert tree.structure(same) == structure
        np.testing.assert_array_equal(same(x), layer(x))
    plain = nn.Linear(4, 3, key=KEY)
    assert tree.structure(plain) != structure


@kinds
@pytest.mark.parametrize("library", ["array_api_strict", "torch", "jax.numpy", "dask.array"])
def test_libraries_and_files(of, library, tmp_path):
    xp = pytest.importorskip(library)
    x = np.random.default_rng(8).normal(size=(5, 4)).astype(np.float32)
    layer = of(tree.to(nn.Linear(4, 3, key=KEY), xp=xp)).eval()
    host = of(nn.Linear(4, 3, key=KEY)).eval()
    out = layer(xp.asarray(x))
    out = out.compute() if library == "dask.array" else np.from_dlpack(out)
    np.testing.assert_allclose(out, host(x), rtol=1e-4, atol=1e-5)
    assert all(type(a) is type(xp.asarray(x)) for a in layer.state_dict().values())
    path = tmp_path / "layer.safetensors"
    for state in (host.state_dict(), nn.to_torch_state_dict(host)):
        io.save_file(state, path)
        fresh = of(nn.Linear(4, 3, key=random.key(9))).eval()
        fresh.load_state_dict(io.load_file(path))
        np.testing.assert_array_equal(fresh(x), host(x))


@kinds
def test_dtypes_are_kept(of):
    for dtype in ("float16", "bfloat16", "float32"):
        if of in (orthogonal, PARAMETRIZED["cayley"]) and dtype != "float32":
            continue  # no library decomposes these
        layer = of(nn.Linear(4, 3, key=KEY, dtype=dtype))
        assert layer.weight.dtype == dtype or str(layer.weight.dtype) == dtype
        assert {str(a.dtype) for a in layer.state_dict().values()} == {dtype}


# Modules -----------------------------------------------------------------------------------------


class Doubled(nn.Module):
    def __call__(self, x):
        return x + x

    def right_inverse(self, x):
        return x / 2


class Counted(nn.Module):
    def __init__(self):
        self.reads = [0]

    def __call__(self, x):
        self.reads[0] += 1
        return x


@pytest.mark.parametrize(
    "row", [row for row in WEIGHTED if row.arrays or row in MODELS], ids=lambda row: row.name
)
def test_layers_read_each_array_once(row):
    layer = row.make(KEY)
    counts = {}
    for prefix, module in list(layer.named_modules()):
        for field, value in list(vars(module).items()):
            if hasattr(value, "dtype") and f"{prefix}.{field}".lstrip(".") in layer.parameters():
                counts[prefix, field] = Counted()
                register_parametrization(module, field, counts[prefix, field])
    before = {at: counted.reads[0] for at, counted in counts.items()}
    layer.eval()(*sample(row))
    reads = {at: counted.reads[0] - before[at] for at, counted in counts.items()}
    assert reads == dict.fromkeys(counts, 1)


def test_the_field_is_replaced_by_its_original():
    layer = make("Linear", (4, 3))
    weight = layer.weight
    assert not is_parametrized(layer)
    assert register_parametrization(layer, "weight", Doubled()) is layer
    assert is_parametrized(layer)
    assert is_parametrized(layer, "weight")
    assert not is_parametrized(layer, "bias")
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    np.testing.assert_array_equal(layer.weight, weight)
    np.testing.assert_array_equal(layer.parametrizations["weight"].original, weight / 2)
    layer.weight = np.ones((4, 3))
    assert layer.parametrizations["weight"].original.tolist() == [[0.5] * 3] * 4
    register_parametrization(layer, "weight", Doubled())
    assert layer.weight.tolist() == [[2.0] * 3] * 4
    layer.weight = np.ones((4, 3))
    assert layer.parametrizations["weight"].original.tolist() == [[0.25] * 3] * 4
    register_parametrization(layer, "bias", Doubled())
    assert list(layer.parametrizations) == ["weight", "bias"]
    assert remove_parametrizations(layer, "bias", False) is layer
    assert list(layer.parametrizations) == ["weight"]
    remove_parametrizations(layer, "weight")
    assert not is_parametrized(layer)
    assert list(layer.parameters()) == ["bias", "weight"]
    assert layer.weight.tolist() == [[1.0] * 3] * 4
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'parametrizations"):
        _ = layer.parametrizations


def test_two_parametrizations_of_one_field_are_torchs():
    torch = pytest.importorskip("torch")
    layer = make("Linear", (4, 3))
    spectral_norm(weight_norm(layer), key=KEY).eval()
    utilities = torch.nn.utils.parametrizations
    oracle = utilities.weight_norm(torch.nn.Linear(4, 3).double())
    oracle = utilities.spectral_norm(oracle).eval()
    agrees_with_torch(layer, oracle, inputs(((5, 4),)))


def test_modes_and_roles_are_passed_on():
    layer = make("Linear", (4, 3)).eval().freeze("weight")
    spectral_norm(layer, key=KEY)
    assert not any(module.training for _, module in layer.named_modules())
    assert list(layer.parameters()) == ["bias"]
    assert list(layer.buffers()) == [f"parametrizations.weight.0.{n}" for n in ("_u", "_v")]
    remove_parametrizations(layer, "weight")
    assert list(layer.parameters()) == ["bias"]
    weight_norm(layer).unfreeze("parametrizations.*")
    remove_parametrizations(layer, "weight")
    assert list(layer.parameters()) == ["bias", "weight"]
    weight_norm(layer).freeze("parametrizations.*")
    remove_parametrizations(layer, "weight")
    assert list(layer.parameters()) == ["bias"]
    spectral_norm(weight_norm(layer.train()), key=KEY)
    assert all(module.training for _, module in layer.named_modules())
    spectral_norm(weight_norm(layer.eval(), "bias"), "bias", key=KEY)
    assert not any(module.training for _, module in layer.named_modules())
    module = nn.Identity()
    module.register_buffer("table", np.ones((2, 2)))
    weight_norm(module, "table")
    assert module.parameters() == {}
    assert len(module.buffers()) == 2
    remove_parametrizations(module, "table")
    assert list(module.buffers()) == ["table"]


def test_text_and_summary():
    layer = weight_norm(nn.Linear(4, 3, key=KEY))
    assert repr(layer) == (
        "Linear(\n"
        "  in_features=4, out_features=3, bias=True\n"
        "  (parametrizations): ModuleDict(\n"
        "    (weight): ParametrizationList(\n"
        "      (0): _WeightNorm(axis=1)\n"
        "    )\n"
        "  )\n"
        ")"
    )
    found = nn.summary(nn.Sequential(layer, nn.ReLU()), (5, 4))
    assert [(row.name, row.parameters) for row in found.rows] == [("", 0), ("0", 18), ("1", 0)]
    assert found.parameters == 18


def test_an_array_may_be_tied_to_a_parametrized_one():
    model = nn.Sequential(
        nn.Embedding(5, 3, key=KEY), nn.Linear(3, 5, bias=False, key=random.key(1))
    )
    nn.tie(model, "0.weight", "1.weight", transpose=True)
    weight_norm(model[0], dim=1)
    np.testing.assert_array_equal(model[1].weight, model[0].weight.T)
    same = tree.map(lambda x: 2 * x, model)
    np.testing.assert_array_equal(same[1].weight, same[0].weight.T)
    assert np.any(same[0].weight != model[0].weight)
    same.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(same[1].weight, model[0].weight.T)
    assert list(nn.to_torch_state_dict(model)) == list(model.state_dict())
    same[1].weight = np.ones((3, 5), np.float32)
    np.testing.assert_allclose(same[0].weight, np.ones((5, 3)), rtol=1e-6)
    other = nn.Sequential(nn.Linear(2, 2, key=KEY), nn.Linear(2, 2, key=KEY))
    nn.tie(other, "0.weight", "1.weight")
    with pytest.raises(
        ValueError,
        match=r"register_parametrization: the field must hold an array; got 'weight' of Linear. "
        "The field is tied: parametrize the array that it is tied to.",
    ):
        register_parametrization(other[1], "weight", Doubled())
    weight_norm(other[0])
    with pytest.raises(
        LoadError, match=r"tie: names must be those of the model's arrays; got '0.w"
    ):
        nn.tie(other, "0.weight", "1.bias")


class Wrong(nn.Module):
    def __init__(self, function):
        self.function = function

    def __call__(self, x):
        return self.function(x)


def test_errors():
    layer = make("Linear", (4, 3))
    with pytest.raises(
        ValueError, match=r"weight_norm: the field must hold an array; got 'w' of Linear\. \(line"
    ):
        weight_norm(layer, "w")
    with pytest.raises(ValueError, match="spectral_norm: the field must hold an array; got 'in_f"):
        spectral_norm(layer, "in_features", key=KEY)
    with pytest.raises(ValueError, match="orthogonal: the field must hold an array; got 'w' of Li"):
        orthogonal(layer, "w")
    with pytest.raises(DimensionError, match="weight_norm: axis must be from -2 to 1; got 2"):
        weight_norm(layer, dim=2)
    with pytest.raises(ValueError, match="spectral_norm: n_power_iterations must be positive; got"):
        spectral_norm(layer, n_power_iterations=0, key=KEY)
    before = layer.state_dict()
    with pytest.raises(
        ShapeError,
        match=r"register_parametrization: the value must have the shape and dtype of the field; "
        r"got float64\[3\] and float64\[4, 3\]. Pass unsafe=True to let them differ.",
    ):
        register_parametrization(layer, "weight", Wrong(lambda x: x[0, :]))
    with pytest.raises(DTypeError, match=r"got float32\[4, 3\] and float64\[4, 3\]"):
        register_parametrization(layer, "weight", Wrong(lambda x: F.astype(x, F.float32)))
    assert list(layer.state_dict()) == list(before)
    register_parametrization(layer, "weight", Wrong(lambda x: x[0, :]), unsafe=True)
    assert layer.weight.shape == (3,)
    with pytest.raises(
        TypeError,
        match=r"Linear.weight: a parametrization must have a right_inverse for the field to be "
        "assigned to; got Wrong.",
    ):
        layer.weight = np.ones(3)
    with pytest.raises(
        TypeError,
        match=r"Linear.weight: a parametrized field must be assigned an array; got NoneType. Call "
        "remove_parametrizations first.",
    ):
        layer.weight = None
    with pytest.raises(
        ValueError, match="remove_parametrizations: the field must be parametrized; got 'bias' of L"
    ):
        remove_parametrizations(layer, "bias")
    weight_norm(layer, "bias")
    with pytest.raises(
        ValueError,
        match="remove_parametrizations: the field must have one original for it to be left; got 2 "
        r"of Linear.bias. Pass leave_parametrized=True.",
    ):
        remove_parametrizations(layer, "bias", leave_parametrized=False)
    with pytest.raises(AttributeError):
        del layer.bias
