"""One file in the IDX format (yann.lecun.com/exdb/mnist).

It holds two zero bytes, 0x08 for uint8, the number of dimensions, each dimension as a big-endian uint32, then
the values. It may be gzipped.
"""

import gzip
import io
import math
import os
import struct
import zlib
from typing import BinaryIO, cast

import numpy as np

from trainer.data.storage import Place
from trainer.errors import DataError

CHUNK_BYTES = 2**24
# The setting that names the folder -> the hint where a file is missing.
HINTS = {
    "data.root": "apt-get install dataset-fashion-mnist, or --set data.root=FOLDER with the four .gz files",
    "data": "train-images-idx3-ubyte.gz needs train-labels-idx1-ubyte.gz beside it; t10k-… is the test split",
}


def read_idx(place: Place, name: str, dimensions: int, field: str) -> np.ndarray:
    """Read one IDX file of uint8, gzipped or not.

    Args:
      name: the beginning of the file's name, such as train-images.
      dimensions: how many it must have.

    Raises:
      DataError: the file is missing, truncated, longer than its header says, or not IDX.
    """
    names = [f"{name}{mark}idx{dimensions}-ubyte{suffix}" for suffix in (".gz", "") for mark in "-."]
    existing = next(filter(place.exists, names), None)
    if existing is None:
        raise DataError(f"{field}: {place.address(names[0])} does not exist", HINTS[field])
    address, content = place.address(existing), io.BytesIO(place.read(existing))
    file = cast(BinaryIO, gzip.GzipFile(fileobj=content)) if existing.endswith(".gz") else content
    try:
        return _parse(file, dimensions, f"{field}: {address}")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{field}: {address} is truncated or damaged: {error}", "download the file again"
        ) from None


def _parse(file: BinaryIO, dimensions: int, where: str) -> np.ndarray:
    """The array in a file, read up to the size in its header, so that no archive fills the memory."""
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(
            f"{where} must be an IDX file of {dimensions} dimensions of uint8, got {header[:4].hex()}"
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    size = math.prod(shape)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise DataError(
            f"{where} must fit into the memory of this host, {memory / 2**30:.3g} GiB, "
            f"got {size / 2**30:.3g}: {' x '.join(map(str, shape))} bytes"
        )
    values = bytearray()
    while len(values) <= size and (part := file.read(min(CHUNK_BYTES, size + 1 - len(values)))):
        values += part
    if len(values) != size:
        more = " or more" if len(values) > size else ""
        raise DataError(
            f"{where} must hold {size} bytes after its header, got {len(values)}{more}",
            "download the file again",
        )
    return np.frombuffer(values, np.uint8).reshape(shape)
