"""Explanations: the numbers are those of grad, and what is not finite is pointed out."""

import numpy as np
import pytest

import volta
import volta.functional as F
from volta.transforms.explain import summary


def loss(params, x):
    h = F.tanh(x @ params["w"])
    if F.sum(h) > -100.0:
        h = h * 2.0
    h[0, 0] = 1.0
    return F.mean(F.logsumexp(h, axis=1))


RNG = np.random.default_rng(0)
ARGS = {"w": RNG.standard_normal((3, 4))}, RNG.standard_normal((5, 3))


def test_cotangents_of_inputs_are_the_gradient():
    explained = volta.explain(loss)(*ARGS)
    w, x = volta.grad(loss, (0, 1))(*ARGS)
    assert [s.label for s in explained.inputs] == ["params['w']", "x"]
    np.testing.assert_allclose(explained.inputs[0].cotangent, w["w"])
    np.testing.assert_allclose(explained.inputs[1].cotangent, x)
    np.testing.assert_allclose(explained.loss, loss(*ARGS))
    assert explained.warnings == ()


def test_steps_have_values_slopes_and_lines():
    def fun(x):
        y = F.exp(x)
        z = F.sum(y * x)
        return z * z

    x = np.asarray([0.5, -1.0])
    steps = volta.explain(fun)(x).steps
    first = fun.__code__.co_firstlineno
    assert [s.operation for s in steps] == [
        "exp(x)",
        "multiply(%1, x)",
        "sum(%2)",
        "multiply(%3, %3)",
    ]
    assert [s.line.number - first for s in steps] == [1, 2, 2, 3]
    assert [s.operands for s in steps] == [("x",), ("%1", "x"), ("%2",), ("%3", "%3")]
    y, z = np.exp(x), np.sum(np.exp(x) * x)
    np.testing.assert_allclose(steps[0].value, y)
    np.testing.assert_allclose(steps[0].slopes[0], y)
    np.testing.assert_allclose(steps[1].slopes, (x, y))
    assert steps[2].slopes == ("linear",)
    np.testing.assert_allclose(steps[2].cotangent, 2 * z)
    np.testing.assert_allclose(steps[1].cotangent, [2 * z, 2 * z])
    np.testing.assert_allclose(steps[0].cotangent, 2 * z * x)
    np.testing.assert_allclose(steps[3].cotangent, 1.0)


def test_a_slope_is_not_summed_over_a_broadcast():
    step = volta.explain(lambda x: F.sum(x * np.ones((3, 1))))(np.ones(2)).steps[0]
    assert step.slopes[0].shape == (3, 2)


def test_slopes_of_what_is_not_elementwise():
    def fun(x):
        return F.sum(F.sort(x)) + F.sum(F.floor(x))

    steps = {s.operation.partition("(")[0]: s for s in volta.explain(fun)(np.ones(3)).steps}
    assert steps["sort"].slopes == ("its own rule",)
    np.testing.assert_array_equal(steps["floor"].slopes[0], np.zeros(3))
    assert type(steps["floor"].slopes[0]) is np.ndarray
    assert steps["floor"].cotangent is None  # the sweep does not go there


def test_masked_cotangents_are_those_of_grad():
    def safe(x):
        return F.sum(F.where(x > 0, F.sqrt(x), 0.0))

    explained = volta.explain(safe)(np.asarray([4.0, 0.0]))
    np.testing.assert_array_equal(explained.inputs[0].cotangent, [0.25, 0.0])
    assert explained.warnings == ()
    greater = explained.steps[0]
    assert greater.slopes == ("0",)
    assert greater.cotangent is None


def test_several_results():
    def fun(a):
        values, _ = F.linalg.eigh(a)
        return F.sum(values**2)

    explained = volta.explain(fun)(np.asarray([[2.0, 0.5], [0.5, 1.0]]))
    step = explained.steps[0]
    assert step.label == "%1, %2"
    assert len(step.value) == 2
    assert step.cotangent[1] is None
    assert "%1, %2 = eigh(a)" in str(explained)


def test_what_is_not_finite_is_pointed_out():
    def bad(x):
        y = F.log(x)
        return F.sum(y * 2.0)

    explained = volta.explain(bad)(np.asarray([1.0, 2.0, 0.0]))
    line = bad.__code__.co_firstlineno + 1
    assert explained.warnings == (
        f"first value that is not finite: %1 = log(x) at test_explain.py:{line} gives 1 inf of 3",
        "first cotangent that is not finite: x gets 1 inf of 3, out of log(x) at "
        f"test_explain.py:{line}",
    )
    text = str(explained).splitlines()
    assert [t[2] for t in text[2:6]] == ["!"] * 4
    assert text[6] == "  loss = -inf"
    assert text[7:] == [f"  ! {w}" for w in explained.warnings]


def test_an_input_that_is_not_finite_is_pointed_out():
    explained = volta.explain(F.sum)(np.asarray([1.0, np.nan]))
    assert explained.warnings == ("first value that is not finite: x has 1 NaN of 2",)


def test_a_cotangent_alone_may_not_be_finite():
    explained = volta.explain(lambda x: F.sum(F.sqrt(x)))(np.asarray([1.0, 0.0]))
    (warning,) = explained.warnings
    assert warning.startswith(
        "first cotangent that is not finite: x gets 1 inf of 2, out of sqrt(x) at test_explain.py:"
    )


def test_a_loss_that_depends_on_nothing():
    explained = volta.explain(lambda x: np.asarray(3.0))(np.ones(2))
    assert explained.steps == ()
    assert explained.inputs[0].cotangent is None
    assert str(explained).splitlines()[-1] == "  loss = 3"


def test_integers_and_modules_are_arguments():
    layer = volta.nn.Linear(3, 2, key=F.random.key(0))
    explained = volta.explain(lambda layer, n: F.sum(layer(np.ones((1, 3), "float32"))) * n)(
        layer, np.asarray(2)
    )
    assert {s.label for s in explained.inputs} == {"layer['weight']", "layer['bias']"}


def test_other_libraries():
    torch = pytest.importorskip("torch")
    explained = volta.explain(lambda x: F.sum(F.exp(x)))(torch.zeros(3))
    assert "[1, 1, 1]" in str(explained)
    assert type(explained.inputs[0].cotangent) is torch.Tensor


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (np.asarray(0.123456), "0.1235"),
        (np.asarray([1.0, -0.0]), "[1, 0]"),
        (np.asarray([True, False]), "[True, False]"),
        (np.arange(10.0), "[0, 9] mean 4.5"),
        (np.ones((2, 2)), "all 1"),
        (np.arange(10) > 6, "3 of 10 true"),
        (np.asarray([1.0, np.nan, np.inf, 3.0, 5.0]), "[1, 5] mean 3, 1 NaN, 1 inf of 5"),
        (np.full(5, np.nan), "5 NaN of 5"),
        (np.full(5, 3 + 4j), "|·| all 5"),
        (np.asarray(1 + 2j), "1+2j"),
        (np.ones((0, 3)), "empty"),
        ("linear", "linear"),
        (2.5, "2.5"),
    ],
)
def test_numbers_in_few_words(x, text):
    assert summary(x) == text


def test_the_loss_must_be_one_number():
    with pytest.raises(TypeError, match=r"^explain\(exp\): the function must return one number, "):
        volta.explain(F.exp)(np.ones(3))
