import numpy as np
import pytest

from volta import DTypeError, ShapeError, optim

pytestmark = pytest.mark.optimizer


def test_chain_passes_updates_on():
    optimizer = optim.chain(
        optim.add_decayed_weights(0.5),
        optim.scale_by_momentum(0.9),
        optim.scale_by_learning_rate(2.0),
    )
    params = {"w": np.asarray([4.0])}
    state = optimizer.init(params)
    assert [type(s).__name__ for s in state] == ["EmptyState", "MomentumState", "EmptyState"]
    updates, state = optimizer.update({"w": np.asarray([1.0])}, state, params)
    assert updates["w"] == -2 * (1 + 0.5 * 4)
    updates, _ = optimizer.update({"w": np.asarray([0.0])}, state, {"w": np.asarray([0.0])})
    assert updates["w"] == -2 * 0.9 * 3


def test_chain_of_none_is_the_identity():
    grads = {"w": np.ones(2)}
    assert optim.chain().update(grads, optim.chain().init(grads)) == (grads, ())


def test_chain_checks_what_it_gets():
    with pytest.raises(
        TypeError, match=r"chain: takes optimizers, pairs \(init, update\); got 3\."
    ):
        optim.chain(optim.sgd(0.1), 3)
    optimizer = optim.chain(optim.sgd(0.1), optim.sgd(0.1))
    with pytest.raises(
        ValueError, match=r"chain.update: the state must be that of 2 optimizers; got 1\. Make it"
    ):
        optimizer.update(np.ones(2), (optim.EmptyState(),))


def test_apply_updates_keeps_the_dtype_of_the_parameters():
    new = optim.apply_updates({"w": np.ones(2, np.float32)}, {"w": np.full(2, 0.5)})
    assert new["w"].dtype == np.float32
    assert new["w"].tolist() == [1.5, 1.5]


def test_apply_updates_checks_structure_and_shapes():
    with pytest.raises(
        ShapeError,
        match=r"apply_updates: updates must have the structure of params; got nothing at \['w'\] "
        r"and more at \['v'\]\.",
    ):
        optim.apply_updates({"w": np.ones(2)}, {"v": np.ones(2)})
    with pytest.raises(
        ShapeError,
        match=r"apply_updates: updates must have the shapes of params; got \(3,\) and \(2,\) at "
        r"\[0\]\.",
    ):
        optim.apply_updates([np.ones(2)], [np.ones(3)])
    with pytest.raises(ShapeError, match=r"must have the structure of params; got PyTreeSpec"):
        optim.apply_updates([np.ones(2)], (np.ones(2),))


def test_the_conjugate_is_taken_once():
    step = optim.chain(optim.add_decayed_weights(0.5), optim.scale_by_learning_rate(1.0))
    params = np.asarray([2 + 4j])
    updates, _ = step.update(np.asarray([1 + 1j]), step.init(params), params)
    assert updates.tolist() == [-(1 - 1j) - 0.5 * (2 + 4j)]


def test_weight_decay_needs_the_parameters():
    decay = optim.add_decayed_weights(0.1)
    with pytest.raises(
        ValueError, match=r"add_decayed_weights.update: needs the parameters; got none\. Pass para"
    ):
        decay.update(np.ones(2), decay.init(None))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.sgd(-0.1), "sgd: learning_rate must be finite, at least 0; got -0.1"),
        (lambda: optim.adam(float("inf")), "adam: learning_rate must be finite, at least 0; got i"),
        (lambda: optim.adam(np.float32("nan")), "adam: learning_rate must be finite, at least 0"),
        (
            lambda: optim.scale_by_learning_rate(-1),
            "scale_by_learning_rate: learning_rate must be finite, at least 0; got -1",
        ),
        (
            lambda: optim.add_decayed_weights(-0.1),
            "add_decayed_weights: weight_decay must be finite, at least 0; got -0.1",
        ),
        (
            lambda: optim.sgd(0.1, momentum=1.0),
            "sgd: momentum must be finite, at least 0 and less than 1; got 1.0",
        ),
        (lambda: optim.sgd(0.1, nesterov=True), "sgd: nesterov needs a momentum; got none"),
        (
            lambda: optim.sgd(0.1, momentum=0, nesterov=True),
            "sgd: nesterov needs a momentum and no dampening; got momentum=0 and dampening=0.0",
        ),
        (
            lambda: optim.SGD([], momentum=0.9, dampening=0.1, nesterov=True),
            "SGD: nesterov needs a momentum and no dampening; got momentum=0.9 and dampening=0.1",
        ),
        (lambda: optim.SGD([], lr=-1.0), "SGD: lr must be finite, at least 0; got -1.0"),
        (
            lambda: optim.SGD([], weight_decay=-1.0),
            "SGD: weight_decay must be finite, at least 0; got -1.0",
        ),
        (
            lambda: optim.scale_by_momentum(0.9, dampening=-1.0),
            "scale_by_momentum: dampening must be finite, at least 0; got -1.0",
        ),
        (
            lambda: optim.adam(0.1, b1=1.0),
            "adam: b1 must be finite, at least 0 and less than 1; got 1.0",
        ),
        (
            lambda: optim.scale_by_adam(b2=-0.1),
            "scale_by_adam: b2 must be finite, at least 0 and less than 1; got -0.1",
        ),
        (lambda: optim.adam(0.1, eps=-1e-8), "adam: eps must be finite, at least 0; got -1e-08"),
        (lambda: optim.adam(0.1, eps_root=-1), "adam: eps_root must be finite, at least 0; got -1"),
        (
            lambda: optim.adam(np.asarray(-0.1)),
            "adam: learning_rate must be finite, at least 0; got -0.1",
        ),
        (
            lambda: optim.muon(0.1, ns_steps=-1),
            "scale_by_muon: ns_steps must be an integer, at least 1; got -1",
        ),
        (
            lambda: optim.orthogonalize_via_newton_schulz(np.eye(2), ns_steps=0),
            "orthogonalize_via_newton_schulz: ns_steps must be an integer, at least 1; got 0",
        ),
        (
            lambda: optim.orthogonalize_via_newton_schulz(np.eye(2), eps=-1.0),
            "orthogonalize_via_newton_schulz: eps must be finite, at least 0; got -1.0",
        ),
        (
            lambda: optim.muon(0.1, adam_b1=1.0),
            "muon: adam_b1 must be finite, at least 0 and less than 1; got 1.0",
        ),
        (
            lambda: optim.muon(0.1, adam_b2=-0.5),
            "muon: adam_b2 must be finite, at least 0 and less than 1; got -0.5",
        ),
        (
            lambda: optim.muon(0.1, adam_eps_root=-1.0),
            "muon: adam_eps_root must be finite, at least 0; got -1.0",
        ),
        (
            lambda: optim.muon(0.1, adam_weight_decay=-1.0),
            "muon: adam_weight_decay must be finite, at least 0; got -1.0",
        ),
        (
            lambda: optim.muon(0.1, adam_learning_rate=-1.0),
            "muon: adam_learning_rate must be finite, at least 0; got -1.0",
        ),
        (
            lambda: optim.adafactor(0.1, decay_rate=-1.0),
            "adafactor: decay_rate must be finite, at least 0; got -1.0",
        ),
        (
            lambda: optim.adafactor(0.1, eps=-1.0),
            "adafactor: eps must be finite, at least 0; got -1.0",
        ),
        (
            lambda: optim.adafactor(0.1, clipping_threshold=-1.0),
            "adafactor: clipping_threshold must be finite, at least 0; got -1.0",
        ),
        (
            lambda: optim.adafactor(0.1, momentum=1.0),
            "adafactor: momentum must be finite, at least 0 and less than 1; got 1.0",
        ),
        (
            lambda: optim.adafactor(0.1, weight_decay_rate=-1.0),
            "adafactor: weight_decay_rate must be finite, at least 0; got -1.0",
        ),
        (
            lambda: optim.adafactor(0.1, min_dim_size_to_factor=2.5),
            "scale_by_factored_rms: min_dim_size_to_factor must be an integer, at least 0; got 2.5",
        ),
        (
            lambda: optim.Adam([], betas=(0.9, 1.0)),
            "Adam: b2 must be finite, at least 0 and less than 1; got 1.0",
        ),
        (
            lambda: optim.Adam([], weight_decay=-1),
            "Adam: weight_decay must be finite, at least 0; got -1",
        ),
    ],
)
def test_hyperparameters_are_checked_when_they_are_given(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("value", "got"),
    [("0.1", "str"), (None, "NoneType"), (np.ones(2), r"an array of shape \(2,\)")],
)
def test_hyperparameters_are_numbers(value, got):
    with pytest.raises(TypeError, match=rf"adam: learning_rate must be a number; got {got}\."):
        optim.adam(value)
    optimizer = optim.Adam({"w": np.ones(1)})
    with pytest.raises(TypeError, match=rf"Adam: lr must be a number; got {got}\."):
        optimizer.lr = value
    assert optimizer.lr == 1e-3


@pytest.mark.parametrize(
    ("call", "operation"),
    [
        (lambda p: optim.scale_by_adam().init(p), "scale_by_adam.init"),
        (lambda p: optim.scale_by_momentum(0.5).init(p), "scale_by_momentum.init"),
        (lambda p: optim.sgd(0.1).update(p, optim.EmptyState()), "scale_by_learning_rate.update"),
        (lambda p: optim.apply_updates(p, p), "apply_updates"),
        (lambda p: optim.SGD(p).step(p), "SGD.step"),
    ],
)
def test_leaves_are_arrays(call, operation):
    with pytest.raises(
        DTypeError, match=rf"{operation}: .* must hold arrays; got float at \['w'\]"
    ):
        call({"w": 1.0})
