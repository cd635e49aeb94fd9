"""Reader of the zip files that ``torch.save`` writes since PyTorch 1.6."""

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

from trainer import pickled
from trainer.pickled import Inert
from trainer.weights.torch_tensor import CLASSES, Storage, storage_fields

LOCAL_HEADER = struct.Struct("<4s22x2H")  # of a zip member: signature, length of the name, of the extra field
CHECKSUM_HINT = "copy the file again; torch.serialization.set_crc32_options(False) leaves wrong checksums too"


class Archive:
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
        """Return what was saved.

        Raises:
          ValueError: the file is damaged, or PyTorch did not write it; the text follows "got".
        """
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
