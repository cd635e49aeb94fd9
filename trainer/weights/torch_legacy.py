"""Reader of what ``torch.save`` wrote before PyTorch 1.6: pickles, then the bytes of each storage."""

import io
from typing import Any

import numpy as np

from trainer import pickled
from trainer.pickled import Inert
from trainer.weights.torch_tensor import CLASSES, Storage, storage_fields

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001  # torch.serialization: MAGIC_NUMBER, PROTOCOL_VERSION


def load(data: np.ndarray) -> Any:
    """Read a file of PyTorch before 1.6: five pickles, then each storage after its number of elements.

    Args:
      data: bytes of the file, [size] uint8.

    Raises:
      ValueError: the file is damaged, or PyTorch did not write it; the text follows "got".
    """
    stream = io.BytesIO(data[: pickled.MAX_BYTES].tobytes())
    if pickled.read(stream, {}, _no_objects) != MAGIC:
        raise ValueError("a pickle that torch.save did not write")
    version = pickled.read(stream, {}, _no_objects)
    if version != VERSION:
        raise ValueError(f"a file of torch.save of version {pickled.shown(version)} instead of 1001")
    pickled.read(stream, {}, _no_objects)  # sizes of C's types on the writer's machine
    storages = _LegacyStorages(data)
    value = pickled.read(stream, CLASSES, storages.persistent)
    storages.locate(pickled.read(stream, {}, _no_objects), stream.tell())
    return value


def _no_objects(pid: Any) -> Any:
    raise ValueError(f"a pickle that refers to {pickled.shown(pid)} outside itself")


class _LegacyStorages:
    def __init__(self, data: np.ndarray):
        self._data = data
        self._fields: dict[str, tuple[np.dtype, int]] = {}
        self._starts: dict[str, int] = {}

    def persistent(self, pid: Any) -> Any:
        if isinstance(pid, tuple) and len(pid) > 1 and pid[0] in ("module", b"module"):
            return pid[1]  # a class with the text of its source
        dtype, key, count, view = storage_fields(pid)
        if isinstance(dtype, Inert):
            raise ValueError(f"a storage of type {dtype.name}")  # its length in bytes is not known
        if self._fields.setdefault(key, (dtype, count)) != (dtype, count):
            raise ValueError(f"the storage {pickled.shown(key)} with two types or lengths")
        first, length = 0, count
        if view is not None:
            if not isinstance(view, tuple) or [type(part) for part in view[1:]] != [int, int]:
                raise ValueError("a view of a storage that is not described by a key, an offset and a size")
            _, first, length = view
            if first < 0 or length < 0 or first + length > count:
                raise ValueError(f"a view of the elements {first} to {first + length} of {count}")

        def content() -> np.ndarray:
            if key not in self._starts:
                raise ValueError("must be stored in the file, got nothing")
            start = self._starts[key] + first * dtype.itemsize
            return self._data[start : start + length * dtype.itemsize]

        return Storage(dtype=dtype, count=length, read=content)

    def locate(self, keys: Any, position: int) -> None:
        """Find each storage, in the order of the keys, from a position in the file on."""
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ValueError("a list of storages that is not one of names")
        for key in keys:
            if key not in self._fields or key in self._starts:
                raise ValueError(f"the storage {pickled.shown(key)} twice, or without a tensor")
            dtype, count = self._fields[key]
            stored = int.from_bytes(self._data[position : position + 8].tobytes(), "little", signed=True)
            start, position = position + 8, position + 8 + count * dtype.itemsize
            if position > len(self._data):
                raise ValueError(f"{len(self._data)} bytes, cut off before the {position} that it must have")
            if stored != count:
                raise ValueError(f"the storage {pickled.shown(key)} of {stored} elements instead of {count}")
            self._starts[key] = start
