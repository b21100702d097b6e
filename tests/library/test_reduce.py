"""The mean over examples: masks, weights, dtypes."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxloss import masked_mean

LOSSES = np.array([[1.0, 2.0, 4.0], [np.nan, np.inf, 8.0]])
WHERE = np.isfinite(LOSSES)
WEIGHTS = np.array([[1.0, 0.5, 0.0], [3.0, 3.0, 2.0]])


def test_by_hand():
    assert masked_mean(LOSSES[0]) == 7 / 3
    assert masked_mean(LOSSES, where=WHERE) == 15 / 4
    assert masked_mean(LOSSES, where=WHERE, weights=WEIGHTS) == 18 / 3.5
    assert masked_mean(LOSSES[0], weights=WEIGHTS[0]) == 2 / 1.5
    assert np.isnan(masked_mean(LOSSES))


def test_gradient_by_hand():
    grad = jax.grad(lambda x: masked_mean(x, where=WHERE, weights=WEIGHTS))(LOSSES)
    expected = np.array([[1, 0.5, 0], [0, 0, 2]]) / 3.5
    np.testing.assert_allclose(grad, expected, rtol=1e-15)
    of_weights = jax.grad(lambda w: masked_mean(LOSSES, where=WHERE, weights=w))(
        WEIGHTS
    )
    mean = 18 / 3.5
    expected = np.where(WHERE & (WEIGHTS != 0), (LOSSES - mean) / 3.5, 0)
    np.testing.assert_allclose(of_weights, expected, rtol=1e-14)


def test_nothing_counts():
    value, grad = jax.value_and_grad(masked_mean)(np.zeros(0))
    assert value == 0 and grad.shape == (0,)
    for none in ({"where": np.zeros((2, 3), bool)}, {"weights": np.zeros((2, 3))}):
        value, grad = jax.value_and_grad(lambda x, n=none: masked_mean(x, **n))(LOSSES)
        assert value == 0 and np.all(grad == 0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_sums_are_wide(dtype):
    """4096 ones and a half: bfloat16 stops counting at 256, float16 at 2048."""
    losses = jnp.ones(4096, dtype).at[0].set(0.5)
    mean = masked_mean(losses)
    assert mean.dtype == dtype
    assert mean == jnp.asarray((4096 - 0.5) / 4096, dtype)


def test_weights_do_not_change_the_dtype():
    losses = jnp.ones(2, jnp.float32)
    assert masked_mean(losses, weights=np.ones(2)).dtype == np.float32
