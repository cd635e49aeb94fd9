"""Gzipped tar shards, unpacked to plain ones: a member of a compressed file cannot be read on its own."""

import gzip
import zlib
from pathlib import Path

from trainer.data.formats.unpacked import Output
from trainer.errors import DataError

SUFFIXES = (".tar.gz", ".tgz")
CHUNK_BYTES = 2**22
# Images do not compress, pixels by a factor of 10 at most; deflate reaches 1,032 with nothing but zeros.
MOST_TIMES = 100


def is_gzipped(name: str) -> bool:
    """Whether the name of a shard says that it is gzipped."""
    return name.lower().endswith(SUFFIXES)


def unpack(shard: Path, output: Output, address: str) -> None:
    """Write the plain tar file.

    Raises:
      DataError: the shard is no gzip file, is damaged or ends early.
    """
    try:
        with gzip.open(shard) as file:
            while content := file.read(CHUNK_BYTES):
                output.write(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"data: shard {address} is damaged: {error}", "copy it again") from None
