"""From devices to a global mesh, and from batches on hosts to arrays on the mesh.

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


def check_batch(devices: int, batch: int, parts: int = 1) -> None:
    """Raises ConfigError where the global batch, or one of its parts, does not divide over the devices."""
    step = devices * parts
    if batch % step:
        nearest = max(batch // step, 1) * step
        split = f" x {parts} parts" if parts > 1 else ""
        raise ConfigError(
            f"train.batch: must be a multiple of {devices} devices{split}, got {batch}",
            f"--batch {nearest} gives {nearest // step} examples a device"
            + (" and part" if parts > 1 else ""),
        )


class BatchPlacer:
    """Places this host's rows of a global batch on its devices.

    ``rows`` says which rows of the global batch this host must read, in the order in which ``place`` wants
    them. It holds for any order of devices in the mesh.
    """

    def __init__(self, mesh: Mesh, batch: int):
        self.sharding = batch_sharding(mesh)
        self.batch = batch
        index = self.sharding.addressable_devices_indices_map((batch,))
        rows = np.arange(batch)
        parts = sorted(((rows[span], device) for device, span in index.items()), key=lambda part: part[0][0])
        own = np.array([device for _, device in parts])
        self._own = NamedSharding(Mesh(own, "rows"), PartitionSpec("rows"))
        self.rows = np.concatenate([part for part, _ in parts])

    def place(self, local: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """local: arrays [len(rows), …] of this host; returns global arrays [batch, …]. Does not wait."""
        if len(self.rows) == self.batch:
            return jax.device_put(local, self.sharding)
        return {name: self._whole(array) for name, array in jax.device_put(local, self._own).items()}

    def _whole(self, own: jax.Array) -> jax.Array:
        parts = [own.addressable_data(i) for i in range(self._own.num_devices)]
        return jax.make_array_from_single_device_arrays((self.batch, *own.shape[1:]), self.sharding, parts)
