"""The files of a run directory as something to copy from: a folder or a bucket's prefix."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import google_crc32c

from trainer.errors import RunDirectoryError, StorageError, TrainError
from trainer.rundir import files

SECONDS = 60.0  # longest wait for one reply of a bucket
BLOCK = 1 << 20  # bytes


@dataclass(frozen=True)
class Entry:
    """A file of a run.

    Attributes:
      name: relative to the run directory, with slashes.
      size: in bytes.
      checksum: its CRC32C as a bucket states it; empty for a file of this machine.
    """

    name: str
    size: int
    checksum: str = ""


class Source:
    """A run directory to copy from.

    Args:
      address: its path or gs://…, without a slash at its end.
    """

    def __init__(self, address: str):
        self.address = address
        self.remote = address.startswith("gs://")
        self._bucket, _, self._key = address.removeprefix("gs://").partition("/")

    def top(self) -> dict[str, Entry]:
        """Return the files in the directory itself by their names.

        Raises:
          RunDirectoryError, StorageError: it cannot be listed.
        """
        return {entry.name: entry for entry in self._listed("", deep=False)}

    def below(self, folder: str) -> list[Entry]:
        """Return all files below a folder of the run; none where it has no such folder.

        Raises:
          RunDirectoryError, StorageError: it cannot be listed, or a name in it leads elsewhere.
        """
        return list(self._listed(folder, deep=True))

    def copy(self, entry: Entry, target: IO[bytes]) -> str:
        """Write the content of a file to `target` and return its CRC32C, as base64.

        Raises:
          RunDirectoryError, StorageError: it cannot be read, or is not what the bucket says.
        """
        checksum = google_crc32c.Checksum()
        with self._reading(entry.name):
            for block in self._blocks(entry):
                checksum.update(block)
                with writing():
                    target.write(block)
        digest = base64.b64encode(checksum.digest()).decode()
        if entry.checksum and digest != entry.checksum:
            raise StorageError(
                f"{self.address}/{entry.name} did not arrive whole: its checksum must be "
                f"{entry.checksum}, got {digest}",
                "the same command again fetches it anew",
            )
        return digest

    def text(self, name: str) -> str:
        """Return the text of a file; empty where there is none."""
        if not self.remote:
            from etils import epath

            return files.read(epath.Path(self.address) / name) or ""
        with self._reading(name):
            blob = _client().bucket(self._bucket).blob(self._object(name))
            return blob.download_as_bytes(timeout=SECONDS).decode(errors="replace")

    def _blocks(self, entry: Entry) -> Iterator[bytes]:
        if self.remote:
            # Whole objects: the checkpoints of a network have pieces of at most some hundred MB.
            blob = _client().bucket(self._bucket).blob(self._object(entry.name))
            yield blob.download_as_bytes(timeout=SECONDS, checksum=None)
            return
        with open(Path(self.address) / entry.name, "rb", opener=_regular) as file:
            while block := file.read(BLOCK):
                yield block

    def _listed(self, folder: str, deep: bool) -> Iterator[Entry]:
        with self._reading(folder):
            unsorted = self._objects(folder, deep) if self.remote else self._files(folder, deep)
            entries = sorted(unsorted, key=lambda entry: entry.name)
        for entry in entries:
            if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in entry.name.split("/")):
                raise RunDirectoryError(f"{self.address} must hold files of a run, got {entry.name!r}")
            yield entry

    def _objects(self, folder: str, deep: bool) -> Iterator[Entry]:
        start = f"{self._key}/" if self._key else ""
        listing: Any = _client().list_blobs(
            self._bucket,
            prefix=f"{start}{folder}/" if folder else start,
            delimiter=None if deep else "/",
            fields="items(name,size,crc32c),prefixes,nextPageToken",
            timeout=SECONDS,
        )
        for blob in listing:
            name = blob.name.removeprefix(start)
            if name and not name.endswith("/"):
                yield Entry(name, int(blob.size or 0), blob.crc32c or "")

    def _files(self, folder: str, deep: bool) -> Iterator[Entry]:
        root = Path(self.address)
        for path, folders, names in os.walk(root / folder):
            if not deep:
                folders.clear()
            for name in names:
                place = Path(path) / name
                status = place.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield Entry(place.relative_to(root).as_posix(), status.st_size)

    def _object(self, name: str) -> str:
        return f"{self._key}/{name}" if self._key else name

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except (TrainError, _Writing):
            raise
        except Exception as error:  # each client has its own exceptions
            raise files.failure(f"{self.address}/{name}".rstrip("/"), error, "read") from error


class _Writing(Exception):
    """An OSError of this machine's disk, which is no failure of the source."""

    def __init__(self, error: OSError):
        super().__init__()
        self.error = error


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Keep an error of writing apart from those of reading; `at_home` turns it back."""
    try:
        yield
    except OSError as error:
        raise _Writing(error) from None


@contextlib.contextmanager
def at_home() -> Iterator[None]:
    """Raise the OSError that `writing` has kept apart."""
    try:
        yield
    except _Writing as kept:
        raise kept.error from None


def _regular(path: str, flags: int) -> int:
    """Open a regular file; a pipe without a writer does not make it wait."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RunDirectoryError(f"{path} must be a regular file, got a folder, a pipe or a device")
    return descriptor


@functools.cache
def _client() -> Any:
    from google.cloud import storage

    return storage.Client(project="-")
