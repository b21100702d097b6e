"""Most of the time of these tests is compilation."""

import jax
import pytest


@pytest.fixture
def quick_compilation():
    """Without XLA's optimisations, where formulas are tested and not numerics."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
