"""Eight fake CPU devices and strict dtype promotion for every test of the trainer, and their browser.

Both are set before jax is imported, in the environment, so that the trainers which tests start have them too.
"""

import os

from browser import browser

__all__ = ["browser"]

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"


def pytest_collection_finish() -> None:
    """No module starts JAX's devices as it is imported: a test chooses them first."""
    from jax._src import xla_bridge

    assert not xla_bridge.backends_are_initialized(), "a test module starts JAX's devices as it is imported"
