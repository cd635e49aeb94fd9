"""The global mesh of a run.

Its axes are ``slice``, over the data-centre network, and ``data``, inside a slice. The batch is sharded over
both. With mesh.model above 1 a third one, ``model``, divides the layers of a network over neighbours inside a
slice (``trainer.devices.model_axis``). Parameters, statistics and optimizer state are replicated unless
train.shard or that axis says otherwise.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.devices.model_axis import MODEL
from trainer.errors import ConfigError

AXES = ("slice", "data")


def make_mesh(slices: int = 1, devices: Sequence[Any] | None = None, model: int = 1) -> Mesh:
    """Make a mesh of shape (slices, devices / slices), or with a third axis of ``model`` devices.

    Args:
      slices: number of slices.
      devices: devices of the mesh; by default all devices of the job.
      model: devices that share one copy of a network, all of one slice; it must divide the devices of a
        slice. 1: the mesh has no such axis.

    Raises:
      ConfigError: the devices do not divide over the slices.
    """
    devices = devices or jax.devices()
    if len(devices) % slices:
        raise ConfigError(f"devices must divide over {slices} slices, got {len(devices)} devices")
    names, inner = AXES, (len(devices) // slices,)
    if model > 1:
        # The last axis exchanges most: JAX gives it the closest neighbours.
        names, inner = (*AXES, MODEL), (len(devices) // slices // model, model)
    shape, split = (slices, *inner), model > 1  # a group may be a part of one axis of the torus
    if devices[0].platform == "tpu" and slices > 1:
        grid = mesh_utils.create_hybrid_device_mesh(
            (1, *inner), (slices, *[1] * len(inner)), devices=devices, allow_split_physical_axes=split
        )
    elif devices[0].platform == "tpu":
        grid = mesh_utils.create_device_mesh(shape, devices=devices, allow_split_physical_axes=split)
    else:
        # Process ids count slice by slice, so this order keeps a slice together.
        grid = np.array(sorted(devices, key=lambda d: (d.process_index, d.id))).reshape(shape)
    return Mesh(grid, names)


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding that has a copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding that divides the first axis over all devices, or over all groups of them."""
    return NamedSharding(mesh, PartitionSpec(AXES))
