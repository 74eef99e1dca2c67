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
    (optim.LBFGS, (X,), "learning_rate", "'lr'"),
    (optim.Adadelta, (X,), "learning_rate", "'lr'"),
    (optim.Adafactor, (X,), "learning_rate", "'lr'"),
    (optim.Adagrad, (X,), "learning_rate", "'lr'"),
    (optim.AdamW, (X,), "learning_rate", "'lr'"),
    (optim.Adamax, (X,), "learning_rate", "'lr'"),
    (optim.ChainedScheduler, (X,), "optimizers", "'optimizer'"),
    (optim.ConstantLR, (X,), "last_epochs", "'last_epoch'"),
    (
        optim.CosineAnnealingLR,
        (
            X,
            X,
        ),
        "last_epochs",
        "'last_epoch'",
    ),
    (
        optim.CosineAnnealingWarmRestarts,
        (
            X,
            X,
        ),
        "last_epochs",
        "'last_epoch'",
    ),
    (
        optim.CyclicLR,
        (
            X,
            X,
            X,
        ),
        "last_epochs",
        "'last_epoch'",
    ),
    (
        optim.ExponentialLR,
        (
            X,
            X,
        ),
        "last_epochs",
        "'last_epoch'",
    ),
    (
        optim.LRScheduler,
        (
            X,
            X,
        ),
        "last_epochs",
        "'last_epoch'",
    ),
    (
        optim.LambdaLR,
        (
            X,
            X,
        ),
        "last_epochs",
        "'last_epoch'",
    ),
    (optim.LinearLR, (X,), "last_epochs", "'last_epoch'"),
    (optim.Lion, (X,), "learning_rate", "'lr'"),
    (
        optim.MultiStepLR,
        (
            X,
            X,
        ),
        "last_epochs",
        "'last_epoch'",
    ),
    (
        optim.MultiSteps,
        (
            X,
            X,
        ),
        "use_grad_means",
        "'use_grad_mean'",
    ),
    (
        optim.MultiplicativeLR,
        (
            X,
            X,
        ),
        "last_epochs",
        "'last_epoch'",
    ),
    (optim.Muon, (X,), "learning_rate", "'lr'"),
    (optim.NAdam, (X,), "learning_rate", "'lr'"),
    (
        optim.OneCycleLR,
        (
            X,
            X,
        ),
        "last_epochs",
        "'last_epoch'",
    ),
    (optim.PolynomialLR, (X,), "last_epochs", "'last_epoch'"),
    (optim.AdamWScheduleFree, (X,), "learning_rate", "'lr'"),
    (optim.AveragedModel, (X,), "use_buffer", "'use_buffers'"),
    (optim.LAMB, (X,), "learning_rate", "'lr'"),
    (optim.LARS, (X,), "learning_rate", "'lr'"),
    (optim.SGDScheduleFree, (X,), "learning_rate", "'lr'"),
    (optim.get_ema_avg_fn, (), "decays", "'decay'"),
    (optim.reduce_on_plateau, (), "factors", "'factor'"),
    (optim.RAdam, (X,), "learning_rate", "'lr'"),
    (optim.RMSprop, (X,), "learning_rate", "'lr'"),
    (optim.ReduceLROnPlateau, (X,), "ep", "'eps'"),
    (optim.Rprop, (X,), "learning_rate", "'lr'"),
    (
        optim.SequentialLR,
        (
            X,
            X,
            X,
        ),
        "last_epochs",
        "'last_epoch'",
    ),
    (
        optim.StepLR,
        (
            X,
            X,
        ),
        "last_epochs",
        "'last_epoch'",
    ),
    (optim.adadelta, (), "lr", "'learning_rate'"),
    (optim.adafactor, (), "lr", "'learning_rate'"),
    (optim.adagrad, (), "lr", "'learning_rate'"),
    (optim.adamax, (), "lr", "'learning_rate'"),
    (optim.adamaxw, (), "lr", "'learning_rate'"),
    (optim.adamw, (), "lr", "'learning_rate'"),
    (optim.adaptive_grad_clip, (X,), "axi", "'axis'"),
    (
        optim.add_noise,
        (
            X,
            X,
        ),
        "keys",
        "'key'",
    ),
    (optim.amsgrad, (), "lr", "'learning_rate'"),
    (optim.apply_if_finite, (X,), "max_consecutive_error", "'max_consecutive_errors'"),
    (optim.clip, (), "max_deltas", "'max_delta'"),
    (optim.clip_by_block_rms, (), "thresholds", "'threshold'"),
    (optim.clip_by_global_norm, (), "max_norms", "'max_norm'"),
    (optim.clip_by_norm, (), "max_norms", "'max_norm'"),
    (optim.constant_schedule, (), "values", "'value'"),
    (
        optim.cosine_decay_schedule,
        (
            X,
            X,
        ),
        "exponents",
        "'exponent'",
    ),
    (
        optim.cosine_onecycle_schedule,
        (
            X,
            X,
        ),
        "final_div_factors",
        "'final_div_factor'",
    ),
    (optim.ema, (X,), "accumulator_dtypes", "'accumulator_dtype'"),
    (
        optim.exponential_decay,
        (
            X,
            X,
            X,
        ),
        "end_values",
        "'end_value'",
    ),
    (optim.freeze, (), "masks", "'mask'"),
    (
        optim.incremental_update,
        (
            X,
            X,
        ),
        "step_sizes",
        "'step_size'",
    ),
    (optim.inject_hyperparams, (X,), "static_arg", "'static_args'"),
    (optim.join_schedules, (X,), "boundarie", "'boundaries'"),
    (optim.lamb, (), "lr", "'learning_rate'"),
    (optim.lars, (), "lr", "'learning_rate'"),
    (optim.lbfgs, (), "lr", "'learning_rate'"),
    (
        optim.linear_onecycle_schedule,
        (
            X,
            X,
        ),
        "final_div_factors",
        "'final_div_factor'",
    ),
    (
        optim.linear_schedule,
        (
            X,
            X,
            X,
        ),
        "transition_begins",
        "'transition_begin'",
    ),
    (optim.lion, (), "lr", "'learning_rate'"),
    (
        optim.lookahead,
        (
            X,
            X,
            X,
        ),
        "reset_states",
        "'reset_state'",
    ),
    (optim.masked, (X,), "masks", "'mask'"),
    (optim.multi_transform, (X,), "param_label", "'param_labels'"),
    (optim.muon, (), "lr", "'learning_rate'"),
    (optim.nadam, (), "lr", "'learning_rate'"),
    (optim.nadamw, (), "lr", "'learning_rate'"),
    (optim.noisy_sgd, (), "lr", "'learning_rate'"),
    (optim.orthogonalize_via_newton_schulz, (X,), "ep", "'eps'"),
    (optim.params_ema, (X,), "debia", "'debias'"),
    (optim.partition, (X,), "param_label", "'param_labels'"),
    (optim.piecewise_constant_schedule, (X,), "boundaries_and_scale", "'boundaries_and_scales'"),
    (
        optim.piecewise_interpolate_schedule,
        (
            X,
            X,
        ),
        "boundaries_and_scale",
        "'boundaries_and_scales'",
    ),
    (
        optim.polynomial_schedule,
        (
            X,
            X,
            X,
            X,
        ),
        "transition_begins",
        "'transition_begin'",
    ),
    (optim.radam, (), "lr", "'learning_rate'"),
    (optim.rmsprop, (), "lr", "'learning_rate'"),
    (optim.rprop, (), "lr", "'learning_rate'"),
    (optim.scale, (), "step_sizes", "'step_size'"),
    (optim.scale_by_adadelta, (), "ep", "'eps'"),
    (optim.scale_by_adamax, (), "ep", "'eps'"),
    (optim.scale_by_amsgrad, (), "maximum_of_correcteds", "'maximum_of_corrected'"),
    (optim.scale_by_factored_rms, (), "epsilons", "'epsilon'"),
    (optim.scale_by_lbfgs, (), "scale_init_preconds", "'scale_init_precond'"),
    (optim.scale_by_lion, (), "mu_dtypes", "'mu_dtype'"),
    (optim.scale_by_muon, (), "adaptives", "'adaptive'"),
    (optim.scale_by_nadam, (), "momentum_decays", "'momentum_decay'"),
    (optim.scale_by_param_block_norm, (), "min_scales", "'min_scale'"),
    (optim.scale_by_param_block_rms, (), "min_scales", "'min_scale'"),
    (optim.scale_by_radam, (), "corrected_ep", "'corrected_eps'"),
    (optim.scale_by_rms, (), "bias_corrections", "'bias_correction'"),
    (optim.scale_by_rprop, (), "lr", "'learning_rate'"),
    (optim.scale_by_rss, (), "eps_in_sqrts", "'eps_in_sqrt'"),
    (optim.scale_by_schedule, (), "step_size_fns", "'step_size_fn'"),
    (optim.scale_by_stddev, (), "bias_corrections", "'bias_correction'"),
    (optim.scale_by_trust_ratio, (), "ep", "'eps'"),
    (optim.scale_by_zoom_linesearch, (), "tols", "'tol'"),
    (optim.scaled_loss, (X,), "loss_scales", "'loss_scale'"),
    (optim.schedule_free, (), "lr", "'learning_rate'"),
    (optim.schedule_free_adamw, (), "lr", "'learning_rate'"),
    (optim.schedule_free_sgd, (), "lr", "'learning_rate'"),
    (optim.sgdr_schedule, (), "cosine_kwarg", "'cosine_kwargs'"),
    (optim.sign_sgd, (), "lr", "'learning_rate'"),
    (
        optim.warmup_constant_schedule,
        (
            X,
            X,
        ),
        "warmup_step",
        "'warmup_steps'",
    ),
    (
        optim.warmup_cosine_decay_schedule,
        (
            X,
            X,
            X,
            X,
        ),
        "exponents",
        "'exponent'",
    ),
    (
        optim.warmup_exponential_decay_schedule,
        (
            X,
            X,
            X,
            X,
            X,
        ),
        "end_values",
        "'end_value'",
    ),
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
    (io.Checkpoints, (), "dirpath", "'directory'"),
    (io.Checkpoints, ("run",), "save_top_k", "'max_to_keep'"),
    (io.Checkpoints, ("run",), "keep_every_n_steps", "'keep_period'"),
    (io.Checkpoints, ("run",), "asynchron", "'asynchronous'"),
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
        (nn.Dropout, "inplace", "functions return new arrays"),
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


OTHERS = {  # take arrays, one optimizer or several, or nothing
    "apply_updates",
    "centralize",
    "chain",
    "get_swa_avg_fn",
    "global_norm",
    "identity",
    "keep_params_nonnegative",
    "named_chain",
    "scale_by_sign",
    "schedule_free_eval_params",
    "set_to_zero",
    "value_and_grad_from_state",
    "with_extra_args_support",
    "zero_nans",
}


@pytest.mark.parametrize("name", [n for n in optim.__all__ if n not in OTHERS])
def test_every_optimizer_has_it(name):
    assert getattr(optim, name) in CALLS or issubclass(getattr(optim, name), tuple)


@pytest.mark.parametrize("name", nn.__all__)
def test_every_layer_has_it(name):
    layer = getattr(nn, name)
    if inspect.isclass(layer) and issubclass(layer, nn.Module) and "__init__" in vars(layer):
        assert layer.__init__.__wrapped__.__name__ == "__init__"
