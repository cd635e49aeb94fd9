"""The global mesh of a run.

Its axes are ``slice``, over the data-centre network, and ``data``, inside a slice. The batch is sharded over
both. Parameters, statistics and optimizer state are replicated unless train.shard says otherwise.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.errors import ConfigError

AXES = ("slice", "data")


def make_mesh(slices: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """Make a mesh of shape (slices, devices / slices).

    Args:
      slices: number of slices.
      devices: devices of the mesh; by default all devices of the job.

    Raises:
      ConfigError: the devices do not divide over the slices.
    """
    devices = devices or jax.devices()
    if len(devices) % slices:
        raise ConfigError(f"devices must divide over {slices} slices, got {len(devices)} devices")
    shape = (slices, len(devices) // slices)
    if devices[0].platform == "tpu" and slices > 1:
        grid = mesh_utils.create_hybrid_device_mesh((1, shape[1]), (slices, 1), devices=devices)
    elif devices[0].platform == "tpu":
        grid = mesh_utils.create_device_mesh(shape, devices=devices)
    else:
        # Process ids count slice by slice, so this order keeps a slice together.
        grid = np.array(sorted(devices, key=lambda d: (d.process_index, d.id))).reshape(shape)
    return Mesh(grid, AXES)


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding that has a copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding that divides the first axis over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))
