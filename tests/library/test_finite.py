"""No finite logits make NaN of any loss or gradient."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.library.catalogue import CASES

LARGEST = float(np.finfo(np.float32).max)
LOGITS = st.one_of(
    st.floats(-1e4, 1e4, width=32),
    st.floats(-2.0, 2.0, width=32),
    st.sampled_from([0.0, -0.0, 88.0, -88.0, 104.0, 1e4, -1e4, 1e-45, -1e-38]),
)
EXTREMES = st.sampled_from([0.0, 1.0, LARGEST, -LARGEST, LARGEST / 2, -LARGEST / 2])


@functools.cache
def all_at_once():
    """One compilation: `{name: (losses, gradients)}`."""

    def every(z, labels):
        out = {}
        for name, case in CASES.items():
            losses, pull = jax.vjp(lambda z, case=case: case(z, labels), z)
            out[name] = losses, pull(jnp.ones_like(losses))[0]
        return out

    return jax.jit(every)


def check(z, labels, skip=()):
    for name, (losses, grads) in all_at_once()(z, labels).items():
        hypothesis.note(name)
        assert not np.any(np.isnan(losses))
        assert name in skip or np.all(np.isfinite(grads))


def batches(logits):
    return arrays(np.float32, (2, 4), elements=logits)


LABELS = arrays(np.int32, (2,), elements=st.integers(0, 3))
settings = hypothesis.settings(derandomize=True, deadline=None, max_examples=300)


@settings
@hypothesis.given(batches(LOGITS), LABELS)
def test_up_to_1e4(z, labels):
    check(z, labels)


@settings
@hypothesis.given(batches(EXTREMES), LABELS)
def test_up_to_the_largest_float(z, labels):
    """The difference of two of them is infinite, and so may the loss be. The slope of
    the focal loss has the factor gamma log p, which overflows at half of that."""
    check(z, labels, skip=[n for n in CASES if "focal" in n or n == "asymmetric_0"])
