"""Shards that are unpacked before single images can be read: each becomes one local file, kept for next time.

They lie in the folder ``unpacked`` of `data.stage`, which only this user may enter, under a name made of the
shard's path, size and time.
"""

import contextlib
import fcntl
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO, Protocol

from trainer.config import DataConfig
from trainer.data.storage import Place, storage_errors
from trainer.errors import DataError
from trainer.runtime.private import cache_folder, private_folder

GIB = 2**30
FREE_BYTES = 2**28  # of the disk that stay free
CHECK_BYTES = 2**26  # written between two looks at the disk
SMALL_BYTES = 2**26  # that any shard may unpack to, however well it was compressed


class Files(Protocol):
    """Local paths of shards by their names."""

    def path(self, name: str, /) -> Path:
        """Wait for a shard and return its local path."""
        ...


class Output:
    """The file that a shard is unpacked into; it refuses to grow beyond a limit or to fill the disk.

    Args:
      file: open for writing.
      limit: most bytes.
      address: of the shard, for messages.
    """

    def __init__(self, file: BinaryIO, limit: int, address: str):
        self._file, self._limit, self._address = file, limit, address
        self.size, self._checked = 0, -CHECK_BYTES

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes; raises DataError where they are too many."""
        self.size += len(data)
        if self.size > self._limit:
            raise DataError(
                f"data: shard {self._address} must unpack to at most {self._limit / GIB:.3g} GiB, got more",
                "raise data.stage_gib if the shard is as large as that, or `data pack` the dataset elsewhere",
            )
        if self.size - self._checked >= CHECK_BYTES:
            self._checked = self.size
            free = shutil.disk_usage(Path(self._file.name).parent).free
            if free < len(data) + FREE_BYTES:
                raise DataError(
                    f"data.stage: {Path(self._file.name).parent} has {free / GIB:.3g} GiB free, which is too "
                    f"little to unpack {self._address}"
                )
        self._file.write(data)


Unpack = Callable[[Path, Output, str], None]  # (shard, output, address of the shard)


class UnpackedShards:
    """Shards of which some are unpacked when they are first asked for; safe in threads.

    Args:
      files: the shards as they are.
      place: the dataset.
      unpack: writes one shard, unpacked.
      config: settings; ``data.stage`` holds the files, ``data.stage_gib`` limits each of them.
      packed: whether a shard of a name must be unpacked.
      most_times: how many times its own size a shard may unpack to.
    """

    def __init__(
        self,
        files: Files,
        place: Place,
        unpack: Unpack,
        config: DataConfig,
        packed: Callable[[str], bool],
        most_times: int,
    ):
        self._files, self._place, self._unpack, self._config = files, place, unpack, config
        self._packed, self._most_times = packed, most_times
        self._paths: dict[str, Future[Path]] = {}
        self._lock = threading.Lock()

    def path(self, name: str) -> Path:
        """Unpack a shard, unless it was unpacked before, and return the local path.

        Raises:
          DataError: the shard is damaged or too large.
        """
        if not self._packed(name):
            return self._files.path(name)
        with self._lock:
            future, mine = self._paths.get(name), name not in self._paths
            if future is None:
                future = self._paths[name] = Future()
        if mine:
            try:
                future.set_result(self._unpacked(name))
            except BaseException as error:
                future.set_exception(error)
        return future.result()

    def _unpacked(self, name: str) -> Path:
        shard, address = self._files.path(name), self._place.address(name)
        with storage_errors(address):
            status = shard.stat()
        identity = f"{shard.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0{self._unpack.__module__} 1"
        folder = Path(self._config.stage) if self._config.stage else cache_folder("data")
        with storage_errors(str(folder)):
            folder = private_folder(folder, "data.stage") / "unpacked"
            folder.mkdir(exist_ok=True)
            target = folder / hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:32]
            with _locked(target.with_suffix(".lock")):
                if not target.exists():
                    self._write(shard, target, address, status.st_size)
        return target

    def _write(self, shard: Path, target: Path, address: str, size: int) -> None:
        partial = target.with_suffix(".part")
        limit = min(int(self._config.stage_gib * GIB), max(self._most_times * size, SMALL_BYTES))
        try:
            with partial.open("wb") as file:
                self._unpack(shard, Output(file, limit, address), address)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
