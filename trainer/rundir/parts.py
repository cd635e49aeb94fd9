"""The parts of arrays that are divided over the devices of a run, and which host saves which.

Parts of an array are equal in shape and numbered in C order. Each part is saved by one of the hosts that hold
it: by the one with the fewest bytes so far, so that a replicated array does not burden the first host alone.
"""

import collections
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of one array that this host saves.

    Attributes:
      shape: of the whole array.
      part_shape: of each part.
      dtype: of the array.
      pieces: number of a part -> its values, an array of part_shape with memory of its own.
    """

    shape: Shape
    part_shape: Shape
    dtype: np.dtype
    pieces: dict[int, np.ndarray] = field(repr=False)

    @property
    def count(self) -> int:
        """The number of parts of the whole array."""
        return math.prod(grid(self.shape, self.part_shape))

    @property
    def size(self) -> int:
        """The number of elements of the whole array."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The size in bytes of the parts that this host saves."""
        return sum(piece.nbytes for piece in self.pieces.values())

    def index(self, number: int) -> tuple[slice, ...]:
        """Return where a part lies in the whole array."""
        return index(self.shape, self.part_shape, number)


def grid(shape: Shape, part_shape: Shape) -> Shape:
    """Return how many parts there are along each axis."""
    return tuple(n // part if part else 1 for n, part in zip(shape, part_shape, strict=True))


def index(shape: Shape, part_shape: Shape, number: int) -> tuple[slice, ...]:
    """Return where a part lies in the whole array."""
    place = np.unravel_index(number, grid(shape, part_shape)) if shape else ()
    return tuple(slice(int(i) * n, (int(i) + 1) * n) for i, n in zip(place, part_shape, strict=True))


def savers(arrays: Sequence[Any]) -> list[list[int]]:
    """Return for each array the host that saves each of its parts; the same on every host.

    Args:
      arrays: arrays, or shapes with a sharding, in the order in which every host lists them.
    """
    holders = [_holders(array.shape, array.sharding) for array in arrays]
    part_bytes = [math.prod(a.sharding.shard_shape(a.shape)) * a.dtype.itemsize for a in arrays]
    # Parts that one host alone holds come first, then large ones: small ones are left to even out the rest.
    each = [(len(hosts) > 1, -part_bytes[i], i, n) for i, of in enumerate(holders) for n, hosts in of.items()]
    saved_bytes: collections.Counter[int] = collections.Counter()
    savers = [[0] * len(of) for of in holders]
    for _, _, i, number in sorted(each):
        host = min(holders[i][number], key=lambda process: (saved_bytes[process], process))
        saved_bytes[host] += part_bytes[i]
        savers[i][number] = host
    return savers


def _holders(shape: Shape, sharding: Sharding) -> dict[int, set[int]]:
    """Return the hosts that hold each part of an array."""
    part_shape = sharding.shard_shape(shape)
    holders: dict[int, set[int]] = {}
    for device, where in sharding.devices_indices_map(shape).items():
        holders.setdefault(_number(shape, part_shape, where), set()).add(device.process_index)
    return holders


def _number(shape: Shape, part_shape: Shape, where: Sequence[slice]) -> int:
    """Return the number of the part that begins where an index of a sharding begins."""
    place = [(s.start or 0) // n if n else 0 for s, n in zip(where, part_shape, strict=True)]
    return int(np.ravel_multi_index(place, grid(shape, part_shape))) if shape else 0


def copied(arrays: Sequence[jax.Array], hosts: Sequence[Sequence[int]]) -> list[Parts]:
    """Copy the parts that this host saves into its memory; the devices' memory goes to the next step.

    Args:
      arrays: arrays on the devices of all hosts.
      hosts: ``savers(arrays)``.
    """
    mine = [_held(array, by) for array, by in zip(arrays, hosts, strict=True)]
    mine = jax.device_get(mine)  # begins with all before it waits for one
    return [
        Parts(
            shape=array.shape,
            part_shape=array.sharding.shard_shape(array.shape),
            dtype=array.dtype,
            pieces={number: np.array(piece) for number, piece in pieces.items()},
        )
        for array, pieces in zip(arrays, mine, strict=True)
    ]


def _held(array: jax.Array, hosts: Sequence[int]) -> dict[int, jax.Array]:
    part_shape = array.sharding.shard_shape(array.shape)
    pieces = {}
    for shard in array.addressable_shards:
        number = _number(array.shape, part_shape, shard.index)
        if hosts[number] == jax.process_index():
            pieces[number] = shard.data
    return pieces


def checksum(array: np.ndarray) -> int:
    """Return the CRC-32 of the bytes of an array in C order."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
