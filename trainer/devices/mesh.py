"""From devices to a global mesh.

Axes: ``slice`` (outermost, over the data-centre network) and ``data`` (inside a slice). The batch is divided
over both; parameters, statistics and optimizer state are copies on every device.
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
    """A mesh of shape (slices, devices / slices) over all devices of the job."""
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
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Divides the first axis over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))
