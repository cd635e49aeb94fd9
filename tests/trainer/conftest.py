"""Eight fake CPU devices and strict dtype promotion for every test of the trainer, and their browser.

Both are set before jax is imported, in the environment, so that the trainers which tests start have them too.
"""

import os
from pathlib import Path

import pytest
from browser import browser

__all__ = ["browser"]

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"

HERE = Path(__file__).parent
# Folders and files whose programs LLVM does not optimise, which takes most of a small test's time and changes
# neither what is computed nor how it is divided. What tests start in processes of their own is optimised.
QUICK = (
    "learning",
    "devices",
    "models/test_family_devices.py",
    "models/test_stacks.py",
)


def pytest_collection_finish() -> None:
    """No module starts JAX's devices as it is imported: a test chooses them first."""
    from jax._src import xla_bridge

    assert not xla_bridge.backends_are_initialized(), "a test module starts JAX's devices as it is imported"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Choose whether the test's programs are optimised."""
    import jax

    quick = any(item.path.is_relative_to(HERE / name) for name in QUICK)
    jax.config.update("jax_disable_most_optimizations", quick)
