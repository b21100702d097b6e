"""Every public name has an example that runs and says what its arguments are."""

import contextlib
import dataclasses
import doctest
import importlib
import inspect
import io
import pkgutil

import jax
import jax.numpy as jnp
import pytest

import jaxloss
from jaxloss import curves, metrics

MODULES = sorted(m.name for m in pkgutil.iter_modules(jaxloss.__path__))
PUBLIC = {
    f"{module.__name__}.{name}": value
    for module in (jaxloss, curves, metrics)
    for name, value in vars(module).items()
    if not name.startswith("_")
    and callable(value)
    and (module is jaxloss or getattr(value, "__module__", "") == module.__name__)
}
# Fields are described where they stand, and shown by what returns or takes a record.
RECORDS = {
    name
    for name, value in PUBLIC.items()
    if hasattr(value, "_fields") or dataclasses.is_dataclass(value)
}
NO_EXAMPLE = {
    "jaxloss.stateless": "one line; the module's docstring has its loop",
    "jaxloss.gala_objective": "needs a training loop",
    "jaxloss.truncated_gce_objective": "needs a training loop",
    "jaxloss.deferred_objective": "needs a training loop",
    "jaxloss.seesaw_objective": "needs a training loop",
    "jaxloss.equalization_v2_objective": "needs a training loop",
    "jaxloss.observe": "needs optax, which the library does not",
}
NO_ARGS = {
    "jaxloss.by_confidence": "none",
    "jaxloss.curves.cross_entropy": "u alone, see the module",
    "jaxloss.curves.mean_absolute_error": "u alone, see the module",
    "jaxloss.metrics.accuracy": "the arguments of all metrics, see the module",
    "jaxloss.metrics.per_class_accuracy": "likewise",
    "jaxloss.metrics.balanced_error": "likewise",
    "jaxloss.metrics.negative_log_likelihood": "likewise",
    "jaxloss.metrics.expected_calibration_error": "likewise, bins in the text",
}


@pytest.fixture
def single_precision():
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, single_precision):
    """With the types that a user sees."""
    module = importlib.import_module(f"jaxloss.{name}")
    globs = {"jax": jax, "jnp": jnp, "jaxloss": jaxloss} | vars(module)
    runner = doctest.DocTestRunner(verbose=False)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        for test in doctest.DocTestFinder().find(module, globs=dict(globs)):
            runner.run(test)
    assert runner.failures == 0, output.getvalue()


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - RECORDS))
def test_has_an_example(name):
    example = ">>> " in (inspect.getdoc(PUBLIC[name]) or "")
    assert example != (name in NO_EXAMPLE)


@pytest.mark.parametrize("name", sorted(PUBLIC.keys() - RECORDS))
def test_describes_its_arguments(name):
    doc, function = inspect.getdoc(PUBLIC[name]) or "", PUBLIC[name]
    described = doc.partition("Args:\n")[2].partition("\n\n")[0]
    assert bool(described) != (name in NO_ARGS)
    for argument in inspect.signature(function).parameters if described else ():
        assert f"    {argument}: " in described


def test_exceptions_are_of_names_that_exist():
    assert NO_EXAMPLE.keys() | NO_ARGS.keys() <= PUBLIC.keys()
