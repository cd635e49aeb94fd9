"""Eight fake CPU devices for every test of the trainer; set before jax is imported."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "8"


def pytest_collection_finish() -> None:
    """The tests of the launcher come first, and fork: JAX's threads must not be there yet."""
    from jax._src import xla_bridge

    assert not xla_bridge.backends_are_initialized(), "a test module starts JAX's devices as it is imported"
