"""From rows of a batch on each host to arrays on the mesh."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.devices.mesh import batch_sharding
from trainer.errors import ConfigError


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
