"""A restore in which every host reads its parts of a divided state, and no host has room for all of it.

An array that is divided over the hosts is read by each of them: the saved parts in which its own lie, each
compared with its checksum. What every device holds whole, or what a host would have to read far beyond its
own part, the first host reads once and sends to the others, some arrays at a time.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import tensorstore as ts
from etils import epath
from jax.sharding import Sharding

# Orbax has no public name for the place of an array in a checkpoint.
from orbax.checkpoint._src.serialization.tensorstore_utils import ArrayReadSpec, get_ts_context

from trainer.errors import reason
from trainer.rundir import damage
from trainer.rundir.parts import Parts, checksum, index
from trainer.runtime.agreement import broadcast, first_report

AT_ONCE = 2**28  # bytes of the arrays that are read, or sent, at the same time
READ_AT_MOST = 4  # times the size of its own part that a host reads of an array

Index = tuple[slice, ...]


class NotReadError(Exception):
    """A host could not read its parts, or found one that differs from its checksum; raised on every host."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """An array of a checkpoint, and where its values go.

    Attributes:
      name: in the checkpoint.
      shape, dtype: of the whole array.
      sharding: of the restored array.
      part_shape: of the parts in which it was saved.
      checksums: of these parts; empty in checkpoints of older versions.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    sharding: Sharding
    part_shape: tuple[int, ...]
    checksums: Sequence[int]

    @property
    def nbytes(self) -> int:
        """The size of the whole array in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def part_bytes(self) -> int:
        """The size of a saved part in bytes."""
        return math.prod(self.part_shape) * self.dtype.itemsize

    @property
    def count(self) -> int:
        """The number of saved parts."""
        return Parts(shape=self.shape, part_shape=self.part_shape, dtype=self.dtype, pieces={}).count

    def place(self, number: int) -> Index:
        """Return where a saved part lies in the whole array."""
        return index(self.shape, self.part_shape, number)

    def needed(self) -> dict[int, set[int]]:
        """Return process -> numbers of the saved parts in which its parts of the restored array lie."""
        numbers: dict[int, set[int]] = {}
        for device, where in self.sharding.devices_indices_map(self.shape).items():
            numbers.setdefault(device.process_index, set()).update(_overlapping(self, where))
        return numbers

    def is_read_by_each(self) -> bool:
        """Return whether every host reads its own parts, rather than the first host for all."""
        if self.sharding.is_fully_replicated:
            return False
        own = math.prod(self.sharding.shard_shape(self.shape)) * self.dtype.itemsize
        return all(len(parts) * self.part_bytes <= READ_AT_MOST * own for parts in self.needed().values())


def read(checkpoint: epath.Path, wanted: Sequence[tuple[str, Any, Sharding]]) -> list[jax.Array]:
    """Return the arrays of a checkpoint on the devices of all hosts. Called on every host alike.

    Args:
      checkpoint: folder that every host can read.
      wanted: (name, shape and dtype, sharding) of every array.

    Raises:
      NotReadError: a host could not read what it needs, or it is damaged.
      JoinError: a host is gone.
    """
    with _reported() as outcome:
        meta = json.loads((checkpoint / "meta" / "metadata").read_text(encoding="utf-8"))
        arrays = _saved(wanted, damage.checked_meta(meta))
        divided = [i for i, array in enumerate(arrays) if array.is_read_by_each()]
        context = get_ts_context(use_ocdbt=True)
        here, restored = jax.process_index(), {}
        for batch in _batches(divided, [array.nbytes // jax.process_count() for array in arrays]):
            numbers = {i: arrays[i].needed().get(here, set()) for i in batch}
            pieces = _read(checkpoint / "state", {i: arrays[i] for i in batch}, numbers, context)
            restored |= {i: _placed(arrays[i], pieces[i]) for i in batch}
    outcome.agree()

    others = [i for i in range(len(wanted)) if i not in restored]
    for batch in _batches(others, [array.nbytes for array in arrays]):
        whole: list[np.ndarray] = []
        with _reported() as outcome:
            if here == 0:
                everything = {i: set(range(arrays[i].count)) for i in batch}
                pieces = _read(checkpoint / "state", {i: arrays[i] for i in batch}, everything, context)
                whole = [_joined(arrays[i], pieces[i], (slice(None),) * len(arrays[i].shape)) for i in batch]
        outcome.agree()
        sent = broadcast(whole, [arrays[i] for i in batch])
        restored |= {i: _placed_whole(arrays[i], values) for i, values in zip(batch, sent, strict=True)}
    return [restored[i] for i in range(len(wanted))]


class _reported:
    """A block whose failure is reported to the other hosts by ``agree``, which raises it on all of them."""

    def __init__(self) -> None:
        self._problem: str | None = None

    def __enter__(self) -> "_reported":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if not isinstance(error, Exception):
            return False
        # Orbax and TensorStore have many kinds, and plain ones; the latter adds how the array was opened.
        self._problem = reason(error).partition(" [")[0]
        return True

    def agree(self) -> None:
        """Return where every host has ended its block without a failure."""
        if report := first_report(self._problem):
            process, problem = report
            raise NotReadError(f"host {process}: {problem}")


def _saved(wanted: Iterable[tuple[str, Any, Sharding]], meta: dict[str, Any]) -> list[Saved]:
    """Return the arrays as they were saved.

    Raises:
      MetaError: an array cannot have been saved in such parts.
    """
    arrays = []
    for name, shape, sharding in wanted:
        layout = meta["parts"].get(name)
        whole = [meta["checksums"][name]] if name in meta["checksums"] else []
        array = Saved(
            name=name,
            shape=tuple(shape.shape),
            dtype=np.dtype(shape.dtype),
            sharding=sharding,
            part_shape=tuple(layout["shape"] if layout else shape.shape),
            checksums=layout["checksums"] if layout else whole,
        )
        sizes = itertools.zip_longest(array.shape, array.part_shape, fillvalue=0)
        if any(n % part if part else n for n, part in sizes):
            raise damage.MetaError(f"{name} of shape {array.shape} has no parts of {array.part_shape}")
        if len(array.checksums) != array.count and (layout or array.checksums):
            raise damage.MetaError(f"{name} has {array.count} parts, and {len(array.checksums)} checksums")
        arrays.append(array)
    return arrays


def _batches(chosen: Iterable[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Yield numbers of arrays in groups of some AT_ONCE bytes, or of one array that is larger."""
    batch, size = [], 0
    for i in chosen:
        if batch and size + sizes[i] > AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(i)
        size += sizes[i]
    if batch:
        yield batch


def _read(
    folder: epath.Path, arrays: dict[int, Saved], numbers: dict[int, set[int]], context: ts.Context
) -> dict[int, dict[int, np.ndarray]]:
    """Return the saved parts with these numbers of each array, compared with their checksums.

    Raises:
      ValueError: a part differs from its checksum, or TensorStore cannot read it.
    """
    reads = {i: _begun(folder, array, numbers[i], context) for i, array in arrays.items()}
    pieces = {i: {number: np.asarray(r.result()) for number, r in of.items()} for i, of in reads.items()}
    for i, array in arrays.items():
        for number, piece in pieces[i].items():
            if piece.shape != array.part_shape or piece.dtype != array.dtype:
                raise ValueError(f"{array.name} is saved as {piece.dtype}{piece.shape}")
            if array.checksums and checksum(piece) != array.checksums[number]:
                raise ValueError(f"{array.name} differs from its checksum")
    return pieces


def _begun(folder: epath.Path, array: Saved, numbers: Iterable[int], context: ts.Context) -> dict[int, Any]:
    """Return the reads of some parts of an array, which go on while others begin."""
    spec = ArrayReadSpec(folder.as_posix(), array.name, use_zarr3=False, use_ocdbt=True).json
    store = ts.open(ts.Spec(spec), open=True, context=context).result()
    if store.shape != array.shape:
        raise ValueError(f"{array.name} must be {array.shape}, got {store.shape}")
    return {number: store[array.place(number)].read() for number in sorted(numbers)}


def _overlapping(array: Saved, where: Index) -> Iterator[int]:
    """Yield the numbers of the saved parts that an index of the whole array touches."""
    ranges = []
    for s, length, part in zip(where, array.shape, array.part_shape, strict=True):
        begin, end, _ = s.indices(length)
        ranges.append(range(begin // part, -(-end // part)) if part else range(1))
    counts = [
        length // part if part else 1 for length, part in zip(array.shape, array.part_shape, strict=True)
    ]
    for place in itertools.product(*ranges):
        yield int(np.ravel_multi_index(place, counts)) if counts else 0


def _joined(array: Saved, pieces: dict[int, np.ndarray], where: Index) -> np.ndarray:
    """Return the values at an index of the whole array, with memory of their own unless they are a part."""
    bounds = [s.indices(length)[:2] for s, length in zip(where, array.shape, strict=True)]
    values = np.empty([end - begin for begin, end in bounds], array.dtype)
    for number in _overlapping(array, where):
        source, target = [], []
        for (begin, end), s in zip(bounds, array.place(number), strict=True):
            first, last = max(begin, s.start), min(end, s.stop)
            source.append(slice(first - s.start, last - s.start))
            target.append(slice(first - begin, last - begin))
        if values.shape == array.part_shape and all(s.start == 0 for s in source):
            return pieces[number]
        values[tuple(target)] = pieces[number][tuple(source)]
    return values


def _placed(array: Saved, pieces: dict[int, np.ndarray]) -> jax.Array:
    def part(where: Index | None) -> np.ndarray:
        assert where is not None
        return _joined(array, pieces, where)

    with jax.transfer_guard_host_to_device("allow"):  # each array goes where its sharding says
        return jax.make_array_from_callback(array.shape, array.sharding, part)


def _placed_whole(array: Saved, values: np.ndarray) -> jax.Array:
    with jax.transfer_guard_host_to_device("allow"):
        # A copy: a slice of what was sent would hold all of it in memory.
        return jax.make_array_from_callback(array.shape, array.sharding, lambda where: values[where].copy())
