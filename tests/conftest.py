"""Strict: float64, no silent rank promotion; pytest makes warnings errors."""

import os

os.environ.setdefault("NPROC", "16")  # with 2, eight devices can wait for each other

import jax  # noqa: E402  NPROC is read at import

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_num_cpu_devices", 8)
