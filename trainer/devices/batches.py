"""Placement of a global batch: from rows on each host to arrays on the mesh."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.devices.mesh import batch_sharding
from trainer.errors import ConfigError


def check_batch(devices: int, batch: int, parts: int = 1) -> None:
    """Check that the global batch, in each of its parts, divides over the devices.

    Args:
      devices: number of devices of the run.
      batch: examples per step, over all devices.
      parts: number of parts that a batch is computed in (train.accumulate).

    Raises:
      ConfigError: it does not divide; the hint names the nearest batch that does.
    """
    multiple = devices * parts
    if batch % multiple:
        nearest = max(batch // multiple, 1) * multiple
        split = f" x {parts} parts" if parts > 1 else ""
        raise ConfigError(
            f"train.batch: must be a multiple of {devices} devices{split}, got {batch}",
            f"--batch {nearest} gives {nearest // multiple} examples per device"
            + (" and part" if parts > 1 else ""),
        )


class BatchPlacer:
    """Places this host's rows of a global batch on its devices, for any order of devices in the mesh.

    Attributes:
      rows: [examples of this host] int64, the rows of the global batch that this host reads, in the order in
        which ``place`` expects them.
      sharding: of the global batch over the mesh.
      batch: examples per step, over all devices.
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
        """Start the transfer of this host's arrays [len(rows), …] and return global arrays [batch, …]."""
        if len(self.rows) == self.batch:
            return jax.device_put(local, self.sharding)
        return {name: self._global(array) for name, array in jax.device_put(local, self._own).items()}

    def _global(self, own: jax.Array) -> jax.Array:
        parts = [own.addressable_data(i) for i in range(self._own.num_devices)]
        return jax.make_array_from_single_device_arrays((self.batch, *own.shape[1:]), self.sharding, parts)
