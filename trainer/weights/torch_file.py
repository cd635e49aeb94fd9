"""Reader of PyTorch's ``.pt`` and ``.pth`` files that needs no PyTorch and runs no code from the file.

Such a file is a pickle, which describes the tensors, and the bytes of their storages. Since PyTorch 1.6 both
are members of a zip archive; before, they followed each other in one file. The file is mapped, not read: only
the tensors that are used cost memory, and each is checked against its storage first.
"""

import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from trainer.weights import pickled
from trainer.weights.pickled import Inert
from trainer.weights.torch_tensor import Storage, rebuild, storage_fields

MAGIC, LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001  # torch.serialization: MAGIC_NUMBER, PROTOCOL_VERSION
LOCAL_HEADER = struct.Struct("<4s22x2H")  # of a zip member: signature, length of the name, of the extra field
CHECKSUM_HINT = "copy the file again; torch.serialization.set_crc32_options(False) leaves wrong checksums too"


def read(path: str | Path) -> Any:
    """Read what ``torch.save`` wrote: plain values, tensors as ``Tensor``, other objects as ``Inert``.

    Raises:
      OSError: the file cannot be read.
      ValueError: PyTorch did not write the file, or it is damaged; the text follows "got".
    """
    data = map_file(path)
    head = bytes(data[:4])
    if head == b"PK\x03\x04":
        with open(path, "rb") as file:
            return _Archive(file, data).load()
    if head[:1] == b"\x80":
        return _load_legacy(data)
    if bytes(data[257:262]) == b"ustar":
        raise ValueError("a tar file, as PyTorch wrote before version 0.2: load it there and save it again")
    raise ValueError("an empty file" if not len(data) else "a file of another format")


def map_file(path: str | Path) -> np.ndarray:
    """Return the bytes of a regular file, [size] uint8, without reading them.

    Raises:
      OSError: the file cannot be read.
      ValueError: the path is not a regular file.
    """
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("a folder" if stat.S_ISDIR(status.st_mode) else "no regular file")
    return np.memmap(path, np.uint8, "r") if status.st_size else np.empty(0, np.uint8)


def _ordered(arguments: tuple) -> dict:
    """Return an OrderedDict's items, which Python 2 gives as a list of pairs."""
    pairs = arguments[0] if arguments else []
    if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
        raise ValueError("an OrderedDict of something else than pairs")
    return pickled.plain_dict([part for pair in pairs for part in pair])


CLASSES = {
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": lambda arguments: {},
    "torch.Size": lambda arguments: arguments[0] if arguments else (),
    "torch._utils._rebuild_tensor": rebuild,
    "torch._utils._rebuild_tensor_v2": rebuild,
    "torch._utils._rebuild_parameter": lambda arguments: arguments[0] if arguments else None,
    "torch._utils._rebuild_parameter_with_state": lambda arguments: arguments[0] if arguments else None,
}


class _Archive:
    """A zip file as ``torch.save`` writes it: nothing compressed, each member once, in one folder."""

    def __init__(self, file: io.BufferedReader, data: np.ndarray):
        try:
            members = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error, OverflowError) as error:
            raise ValueError(f"a damaged zip file: {error}") from None
        self._data = data
        self._members = {member.filename: member for member in members}
        if len(self._members) < len(members):
            raise ValueError("a zip file that holds a name twice")
        pickles = [name for name in self._members if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"a zip file with {len(pickles)} members named data.pkl instead of one")
        self._folder = pickles[0].removesuffix("data.pkl")
        self._unread = len(data)  # no two members share bytes, so that more is never read
        self._contents: dict[str, np.ndarray] = {}
        self._big_endian = self._order() == b"big"

    def load(self) -> Any:
        content = self._content("data.pkl", pickled.MAX_BYTES)
        return pickled.read(io.BytesIO(content.tobytes()), CLASSES, self._storage)

    def _order(self) -> bytes:
        if f"{self._folder}byteorder" not in self._members:
            return b"little"
        order = self._content("byteorder", 16).tobytes()
        if order not in (b"little", b"big"):
            raise ValueError(f"a byte order {order!r} instead of little or big")
        return order

    def _storage(self, pid: Any) -> Storage | Inert:
        dtype, key, count, _ = storage_fields(pid)
        if isinstance(dtype, Inert):
            return dtype

        def content() -> np.ndarray:
            try:
                return self._content(f"data/{key}", count * dtype.itemsize)
            except ValueError as error:
                raise ValueError(f"must be stored intact, got {error}") from None

        return Storage(dtype=dtype, count=count, read=content, big_endian=self._big_endian)

    def _content(self, name: str, most: int) -> np.ndarray:
        """Return the bytes of a member, [size] uint8, once its checksum is known to be right."""
        name = self._folder + name
        if name not in self._contents:
            self._contents[name] = self._checked(name, most)
        return self._contents[name]

    def _checked(self, name: str, most: int) -> np.ndarray:
        member = self._members.get(name)
        if member is None:
            raise ValueError(f"no member {pickled.shown(name)} in the zip file")
        label = f"the member {pickled.shown(name)}"
        if member.compress_type or member.flag_bits & 1 or member.file_size != member.compress_size:
            raise ValueError(f"{label} compressed or encrypted, which torch.save never does")
        if member.file_size > most:
            raise ValueError(f"{label} of {member.file_size} bytes, above {most}")
        start = member.header_offset
        header = bytes(self._data[start : start + LOCAL_HEADER.size]) if start >= 0 else b""
        if len(header) < LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise ValueError(f"{label} without its header")
        _, name_length, extra_length = LOCAL_HEADER.unpack(header)
        start += LOCAL_HEADER.size + name_length + extra_length
        content = self._data[start : start + member.file_size]
        self._unread -= member.file_size
        if len(content) < member.file_size or self._unread < 0:
            raise ValueError(f"{label} of {member.file_size} bytes, which the file does not have")
        if zlib.crc32(content.data) != member.CRC:
            raise ValueError(f"{label} with a wrong checksum: {CHECKSUM_HINT}")
        return content


def _load_legacy(data: np.ndarray) -> Any:
    """Read a file of PyTorch before 1.6: five pickles, then each storage after its number of elements."""
    stream = io.BytesIO(data[: pickled.MAX_BYTES].tobytes())
    if pickled.read(stream, {}, _no_objects) != MAGIC:
        raise ValueError("a pickle that torch.save did not write")
    version = pickled.read(stream, {}, _no_objects)
    if version != LEGACY_VERSION:
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
