"""Training is tested in float32, as people run it; the library is tested in float64."""

import jax
import pytest


# Per module: without an __init__.py pytest takes "package" for "session", and the tests
# of the library in the same process would lose their float64.
@pytest.fixture(scope="module", autouse=True)
def float32():
    # Compiling is what these tests would spend their time on, not running.
    values = {"jax_enable_x64": False, "jax_disable_most_optimizations": True}
    before = {name: jax.config.read(name) for name in values}
    for name, value in values.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """Shared by the command-line tests: the digits are prepared once."""
    return str(tmp_path_factory.mktemp("tfds"))
