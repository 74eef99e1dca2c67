"""Keywords that do not exist: which one was meant, and errors that are none of ours."""

import inspect
import pickle

import numpy as np
import pytest

import volta
import volta.functional as F
from volta import data, io, nn, optim
from volta.core.keywords import suggesting

pytestmark = pytest.mark.core

X = np.asarray([1.0, 2.0])
KEY = F.random.key(0)


def f(x):
    return F.sum(x)


# what is called, with which arguments, the wrong keyword, what the message suggests
MEANT = [
    (volta.grad, (f,), "argnum", "'argnums'"),
    (volta.grad, (f,), "aux", "'has_aux'"),
    (volta.grad, (), "func", "'fun'"),
    (volta.value_and_grad, (f,), "wrt", "'argnums'"),
    (volta.value_and_grad, (f,), "argname", "'argnames'"),
    (volta.vjp, (f, X), "hasaux", "'has_aux'"),
    (volta.jvp, (f, (X,)), "tangent", "'tangents'"),
    (volta.vmap, (f,), "in_dims", "'in_axes'"),
    (volta.vmap, (f,), "out_dims", "'out_axes'"),
    (volta.vmap, (f,), "chunk", "'chunk_size'"),
    (volta.vmap, (f,), "batch_size", "'chunk_size'"),
    (volta.vmap, (f,), "size", "'axis_size'"),
    (volta.vmap, (f,), "name", "'axis_name'"),
    (volta.vmap, (f,), "onbranch", "'on_branch'"),
    (volta.jacfwd, (f,), "argnum", "'argnums'"),
    (volta.jacrev, (f,), "chunks", "'chunk_size'"),
    (volta.hessian, (f,), "wrt", "'argnums'"),
    (volta.hvp, (f, (X,)), "tangent", "'tangents'"),
    (volta.vhp, (f, (X,)), "cotangent", "'cotangents'"),
    (volta.ggn_vp, (f,), "losses", "'loss'"),
    (volta.trace, (f,), "static_argnum", "'static_argnums'"),
    (nn.Linear, (2,), "out_channels", "'out_features'"),
    (nn.Linear, (2, 3), "use_bias", "'bias'"),
    (nn.Linear, (2, 3), "rngs", "'key'"),
    (nn.Softmax, (), "dim", "'axis'"),
    (nn.LogSoftmax, (), "dim", "'axis'"),
    (nn.LeakyReLU, (), "alpha", "'negative_slope'"),
    (nn.Dropout, (), "rate", "'p'"),
    (nn.Flatten, (), "start_axis", "'start_dim'"),
    (optim.sgd, (), "lr", "'learning_rate'"),
    (optim.adam, (), "lr", "'learning_rate'"),
    (optim.adam, (0.1,), "betas", "'b1' and 'b2'"),
    (optim.adam, (0.1,), "epsilon", "'eps'"),
    (optim.SGD, (X,), "learning_rate", "'lr'"),
    (optim.SGD, (X,), "momentun", "'momentum'"),
    (optim.Adam, (X,), "learning_rate", "'lr'"),
    (optim.Adam, (X,), "b1", "'betas'"),
    (optim.Adam, (X,), "beta1", "'betas'"),
    (optim.scale_by_adam, (), "beta2", "'b2'"),
    (optim.scale_by_momentum, (0.9,), "dampning", "'dampening'"),
    (optim.scale_by_learning_rate, (), "lr", "'learning_rate'"),
    (optim.add_decayed_weights, (), "wd", "'weight_decay'"),
    (data.DataLoader, (X,), "batchsize", "'batch_size'"),
    (data.DataLoader, (X,), "generator", "'seed'"),
    (data.DataLoader, (X,), "key", "'seed'"),
    (data.DataLoader, (X,), "num_workers", "'workers'"),
    (data.DataLoader, (X,), "prefetch_factor", "'prefetch'"),
    (data.DataLoader, (X,), "collate_fn", "'collate'"),
    (data.RandomSampler, (X,), "generator", "'seed'"),
    (data.WeightedRandomSampler, (X, 2), "generator", "'seed'"),
    (data.DistributedSampler, (X,), "world_size", "'num_replicas'"),
    (data.random_split, (X, [1, 1]), "generator", "'seed'"),
    (data.train_test_split, (X,), "random_state", "'seed'"),
    (io.load_file, ("model.safetensors",), "map_location", "'device'"),
    (io.save_file, ({}, "model.safetensors"), "meta_data", "'metadata'"),
]
CALLS = list(dict.fromkeys(row[0] for row in MEANT))


@pytest.mark.parametrize(
    ("call", "args", "keyword", "meant"), MEANT, ids=[f"{r[0].__name__}-{r[2]}" for r in MEANT]
)
def test_a_near_miss_is_told_what_was_meant(call, args, keyword, meant):
    with pytest.raises(TypeError) as caught:
        call(*args, **{keyword: 1})
    expected = f"{call.__name__}: takes no argument '{keyword}'; did you mean {meant}?"
    line = caught.traceback[0].lineno + 1
    assert str(caught.value) == f"{expected} (line: test_keywords.py:{line})"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("call", CALLS, ids=lambda c: c.__name__)
def test_another_word_gets_pythons_message_and_the_names(call):
    names = [
        n
        for n, p in inspect.signature(call).parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    with pytest.raises(TypeError) as caught:
        call(zyx=1)
    plain, _, told = str(caught.value).rpartition("; it takes ")
    assert plain.endswith("got an unexpected keyword argument 'zyx'")
    line = caught.traceback[0].lineno + 1
    assert told == f"{', '.join(names)}. (line: test_keywords.py:{line})"


@pytest.mark.parametrize(
    ("call", "keyword", "message"),
    [
        (volta.vmap, "randomness", "random functions take a key, so map over one for each lane"),
        (volta.jacobian, "strategy", "jacfwd and jacrev are two functions"),
        (volta.jacobian, "vectorize", "all rows are computed at once, or as many as chunk_size"),
    ],
)
def test_what_is_done_in_another_way(call, keyword, message):
    with pytest.raises(
        TypeError, match=rf"^{call.__name__}: takes no argument '{keyword}'; {message}"
    ):
        call(f, **{keyword: 1})


def test_arguments_that_are_given_are_not_suggested():
    with pytest.raises(TypeError, match="unexpected keyword argument 'lr'; it takes learning_rate"):
        optim.sgd(0.1, lr=0.2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'in_dims'; it takes fun, "):
        volta.vmap(f, in_axes=0, in_dims=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: volta.grad(), "grad() missing 1 required positional argument: 'fun'"),
        (lambda: volta.grad(f, fun=f), "grad() got multiple values for argument 'fun'"),
        (lambda: nn.Dropout(0.1, 0.2), "takes from 1 to 2 positional arguments but 3 were given"),
    ],
)
def test_other_calls_that_do_not_bind_keep_pythons_message(call, message):
    with pytest.raises(TypeError) as caught:
        call()
    assert message in str(caught.value)


def wrong(x):
    return F.sum(x, dim=0)


@pytest.mark.parametrize(
    "run",
    [
        lambda fun: volta.grad(fun)(X),
        lambda fun: volta.value_and_grad(fun)(X),
        lambda fun: volta.vjp(fun, X),
        lambda fun: volta.jvp(fun, (X,), (X,)),
        lambda fun: volta.vmap(fun)(X),
        lambda fun: volta.trace(fun)(X),
    ],
)
def test_errors_of_the_users_function_are_not_touched(run):
    mine = TypeError("grad() got an unexpected keyword argument 'in_dims'")

    def raises(x):
        raise mine

    with pytest.raises(TypeError) as caught:
        run(raises)
    assert caught.value is mine
    with pytest.raises(TypeError, match=r"sum\(\) got an unexpected keyword argument 'dim'$"):
        run(wrong)


def test_models_have_it_too():
    class Model(nn.Module):
        def __init__(self, hidden, *, key):
            """Make the layer."""
            self.layer = nn.Linear(hidden, 2, key=key)

    class Wrong(Model):
        def __init__(self, key):
            super().__init__(hiden=3, key=key)

    class Inside(nn.Module):
        def __init__(self):
            self.layer = wrong(X)

    assert Model(3, key=KEY).layer.in_features == 3
    assert Model.__init__.__doc__ == "Make the layer."
    for make in (lambda: Model(hiden=3, key=KEY), lambda: Wrong(KEY)):
        with pytest.raises(TypeError, match=r"^Model: takes no argument 'hiden'; did you mean"):
            make()
    with pytest.raises(TypeError, match=r"sum\(\) got an unexpected keyword argument 'dim'$"):
        Inside()


def test_any_keyword_may_be_what_a_function_takes():
    assert suggesting(lambda **named: named)(dim=1) == {"dim": 1}
    assert list(nn.Sequential(dim=nn.ReLU()).named_modules())[1][0] == "dim"


def test_functions_are_what_they_were():
    assert str(inspect.signature(volta.vjp)).startswith("(fun: ")
    assert volta.vjp.__wrapped__.__doc__ is volta.vjp.__doc__
    assert pickle.loads(pickle.dumps(volta.vmap)) is volta.vmap
    assert list(inspect.signature(nn.Softmax).parameters) == ["axis"]


OTHERS = {"apply_updates", "chain"}  # take arrays, or no keyword


@pytest.mark.parametrize("name", [n for n in optim.__all__ if n not in OTHERS])
def test_every_optimizer_has_it(name):
    assert getattr(optim, name) in CALLS or issubclass(getattr(optim, name), tuple)


@pytest.mark.parametrize("name", nn.__all__)
def test_every_layer_has_it(name):
    layer = getattr(nn, name)
    if inspect.isclass(layer) and issubclass(layer, nn.Module) and "__init__" in vars(layer):
        assert layer.__init__.__wrapped__.__name__ == "__init__"
