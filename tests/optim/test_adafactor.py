import numpy as np
import pytest

from volta import optim, tree

pytestmark = pytest.mark.optimizer


@pytest.mark.parametrize("offset", [0, -3])
def test_arrays_of_many_axes_are_factored_along_the_two_longest(offset):
    """As in optax, for every order of the axes' lengths."""
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    shapes = [
        (4, 5),
        (5, 4),
        (2, 4, 5),
        (5, 2, 4),
        (4, 5, 2),
        (5, 4, 2),
        (2, 3, 4, 2),
        (2, 1, 9),
        (1, 9),
    ]
    draw = np.random.default_rng(0)
    grads = [[draw.normal(size=shape) for shape in shapes] for _ in range(3)]
    arguments = {"step_offset": offset, "min_dim_size_to_factor": 2, "epsilon": 0.1}
    link = optim.scale_by_factored_rms(**arguments)
    state = link.init(grads[0])
    with jax.enable_x64(True):
        oracle = optax.scale_by_factored_rms(**arguments)
        there = oracle.init(tree.map(jax.numpy.asarray, grads[0]))
        for step in grads:
            found, state = link.update(step, state)
            arrays = tree.map(jax.numpy.asarray, step)
            expected, there = oracle.update(arrays, there, arrays)
            for x, y in zip(found, expected, strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-6)  # there the decay is float32
    rows, columns = ([x.shape for x in part] for part in (state.v_row, state.v_col))
    assert rows[2] == (2, 4)
    assert columns[2] == (2, 5)
    assert (rows[-2], columns[-2]) == ((2, 1), (1, 9))
    assert rows[-1] == columns[-1] == (1,)


def test_moments_of_complex_gradients_are_real():
    link = optim.scale_by_factored_rms(min_dim_size_to_factor=2)
    g = {"m": np.full((2, 3), 3 + 4j), "v": np.full(2, 3 - 4j)}
    state = link.init(g)
    assert {x.dtype for x in tree.leaves(state[1:])} == {np.dtype("float64")}
    updates, state = link.update(g, state)
    np.testing.assert_allclose(updates["m"], 0.6 + 0.8j)
    np.testing.assert_allclose(updates["v"], 0.6 - 0.8j)
    np.testing.assert_allclose(state.v["v"], 25)
