"""Placement of a global batch: from rows on each host to arrays on the mesh."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.devices.mesh import batch_sharding
from trainer.errors import ConfigError


def check_batch(devices: int, batch: int, parts: int = 1, model: int = 1) -> None:
    """Check that the global batch, in each of its parts, divides over the devices, or over groups of them.

    Args:
      devices: number of devices of the run.
      batch: examples per step, over all devices.
      parts: number of parts that a batch is computed in (train.accumulate).
      model: devices of a group, which sees the same examples (mesh.model).

    Raises:
      ConfigError: it does not divide; the hint names the nearest batch that does.
    """
    multiple = devices // model * parts
    if batch % multiple:
        nearest = max(batch // multiple, 1) * multiple
        groups = f"{devices // model} groups of {model} devices" if model > 1 else f"{devices} devices"
        split = f" x {parts} parts" if parts > 1 else ""
        raise ConfigError(
            f"train.batch: must be a multiple of {groups}{split}, got {batch}",
            f"--batch {nearest} gives {nearest // multiple} examples per {'group' if model > 1 else 'device'}"
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
        index: Mapping[Any, Any] = self.sharding.addressable_devices_indices_map((batch,))
        parts: dict[int, list[Any]] = {}  # first row -> this host's devices that hold the rows from it
        for device, (span,) in index.items():
            parts.setdefault(span.start or 0, []).append(device)
        length = self.sharding.shard_shape((batch,))[0]
        self.rows = np.concatenate([np.arange(first, first + length) for first in sorted(parts)])
        self._devices = [
            (device, slice(number * length, (number + 1) * length))
            for number, first in enumerate(sorted(parts))
            for device in parts[first]
        ]
        self._own = None
        if all(len(devices) == 1 for devices in parts.values()):
            own = np.array([device for device, _ in self._devices])
            self._own = NamedSharding(Mesh(own, "rows"), PartitionSpec("rows"))

    def place(self, local: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """Start the transfer of this host's arrays [len(rows), …] and return global arrays [batch, …]."""
        if self.sharding.is_fully_addressable:
            return jax.device_put(local, self.sharding)
        return {name: self._global(parts) for name, parts in self._placed(local).items()}

    def _placed(self, local: dict[str, np.ndarray]) -> dict[str, list[jax.Array]]:
        """Return the array of each of this host's devices, by name."""
        if self._own:
            whole = jax.device_put(local, self._own)
            return {
                name: [array.addressable_data(i) for i in range(len(self._devices))]
                for name, array in whole.items()
            }
        pieces = {name: [array[rows] for _, rows in self._devices] for name, array in local.items()}
        return jax.device_put(pieces, {name: [device for device, _ in self._devices] for name in pieces})

    def _global(self, parts: list[jax.Array]) -> jax.Array:
        shape = (self.batch, *parts[0].shape[1:])
        return jax.make_array_from_single_device_arrays(shape, self.sharding, parts)
