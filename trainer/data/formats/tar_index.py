"""The members of a tar shard: where each file lies, read from the headers alone."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from trainer.data.names import plain_name, printable
from trainer.data.storage import failure
from trainer.errors import DataError, system_error_of

BLOCK = 512  # bytes (POSIX ustar); two blocks of zeros end an archive
HEADER_BYTES = 2**20  # longest header that is read; that of a long name has a few hundred bytes
CHUNK_BYTES = 2**20


def files(path: Path, address: str) -> Iterator[tuple[str, int, int]]:
    """Yield the name, the first byte and the size of each file, in their order; size -1 of a link or device.

    A name's leading ``./`` and ``/`` are left out, as tar does.

    Args:
      path: the local file.
      address: the shard's full address, for messages.

    Raises:
      DataError: the shard is damaged, ends early, or a name leads out of its folder.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            with tarfile.open(fileobj=_Headers(file), mode="r:") as tar:
                for info in tar:
                    if info.offset_data + info.size > size or info.size < 0:
                        raise DataError(
                            f"data: shard {address} ends early, within {printable(info.name)}",
                            "copy it again",
                        )
                    if info.issparse():
                        raise tarfile.ReadError(f"sparse file {printable(info.name)}")
                    if not info.isdir():
                        yield _name(info.name, address), info.offset_data, info.size if info.isreg() else -1
                    cast(Any, tar).members = []  # or every header stays in memory
            _check_end(file, tar.offset, size, address)
    except (tarfile.TarError, OSError, ValueError, ArithmeticError, RecursionError) as error:
        if system_error_of(error):  # a disk that fails, and not what the file holds
            raise failure(address, error) from error
        reason = printable(str(error))[:200]
        raise DataError(f"data: shard {address} is damaged: {reason}", "copy it again") from None


def _name(name: str, address: str) -> str:
    while name.startswith(("./", "/")):
        name = name.lstrip("/").removeprefix("./")
    if ".." in name.split("/"):
        plain_name(name, f"shard {address}")
    return name


def _check_end(file: IO[bytes], end: int, size: int, address: str) -> None:
    """Raise DataError unless nothing but zeros, two blocks at least, follows the last member."""
    if size - end < 2 * BLOCK:
        raise DataError(f"data: shard {address} ends early", "copy it again")
    for start in range(end, size, CHUNK_BYTES):
        content = os.pread(file.fileno(), CHUNK_BYTES, start)
        if content.strip(b"\0"):
            at = start + len(content) - len(content.lstrip(b"\0"))
            raise DataError(
                f"data: shard {address} is damaged: byte {at} is neither a member nor its end",
                "copy it again; tar files that were joined must be one archive",
            )


class _Headers(io.RawIOBase):
    """A file as tarfile reads it: small pieces, and never backwards, so that no header makes it hang.

    Args:
      file: open for reading.
    """

    def __init__(self, file: IO[bytes]):
        self._file, self._least = file, 0

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        self._least = self._file.tell()
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET and offset < self._least:
            raise tarfile.ReadError(f"a member of negative size before byte {self._least}")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
