"""Shards of a bucket as local files, fetched in the background; shards that a reader waits for come first.

Training reads every shard within its first steps, so the disk must hold all of them. Shards that do not fit
are refused before anything is fetched. The download overlaps with the compilation of the network. Processes
of one machine share the files: a lock per file lets one process fetch it while the others wait.
"""

import base64
import contextlib
import fcntl
import json
import queue
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import google_crc32c

from trainer.data.names import plain_name
from trainer.data.storage import Place, failure, storage_errors
from trainer.errors import DataError, StorageError, is_full
from trainer.runtime.messages import note, warn
from trainer.runtime.private import cache_folder, private_folder

GIB = 2**30
WORKERS = 4  # shards at a time, and parts of each at a time
CHUNK_BYTES = 32 * 2**20
ATTEMPTS = 5  # per shard, each with the client's own retries
TIMEOUT_SECONDS = 60.0  # without data on a connection
REPORT_SECONDS = 10.0  # between progress lines
URGENT, AHEAD = 0, 1  # priorities: a reader waits for the shard, or none does yet


class StagedShards:
    """Shards of a bucket, fetched to this host by threads of its own.

    Args:
      place: the folder of the bucket.
      sizes: the shards to fetch, name -> bytes.
      folder: the local folder of this dataset that receives them.
      timeout_seconds: longest silence of a connection.
    """

    def __init__(self, place: Place, sizes: Mapping[str, int], folder: Path, timeout_seconds: float):
        self._place, self._sizes, self._timeout = place, sizes, timeout_seconds
        self._folder = folder
        self._files: dict[str, Future[Path]] = {name: Future() for name in sizes}
        self._pending: queue.PriorityQueue[tuple[int, int, str]] = queue.PriorityQueue()
        for order, name in enumerate(sizes):
            self._pending.put((AHEAD, order, name))
        self._done_bytes, self._start, self._lock = 0, time.monotonic(), threading.Lock()
        self._reported = self._start
        for number in range(min(WORKERS, len(sizes))):
            threading.Thread(target=self._work, name=f"stage-{number}", daemon=True).start()

    def path(self, name: str) -> Path:
        """Wait for a shard and return its local path.

        Raises:
          DataError: the shard cannot be fetched.
          StorageError: the bucket did not answer; it may later.
        """
        file = self._files[name]
        if not file.done():
            self._pending.put((URGENT, 0, name))
        return file.result()

    def _work(self) -> None:
        """Fetch shards by priority until none is pending: the body of each thread."""
        while True:
            try:
                _, _, name = self._pending.get_nowait()
            except queue.Empty:
                return
            file = self._files[name]
            if not self._claim(file):
                continue
            try:
                file.set_result(self._fetch(name))
            except BaseException as error:
                file.set_exception(error)
            self._report(name)

    def _claim(self, file: Future[Path]) -> bool:
        """Whether this thread is the one to fetch a shard, which may be queued twice: AHEAD and URGENT."""
        with self._lock:
            if file.running() or file.done():
                return False
            return file.set_running_or_notify_cancel()

    def _fetch(self, name: str) -> Path:
        """Fetch a shard under its lock, unless an unchanged copy is there."""
        target = self._folder / plain_name(name, self._place.path)
        with storage_errors(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            with _locked(target.with_name(f".{target.name}.lock")):
                return self._fetch_locked(name, target)

    def _fetch_locked(self, name: str, target: Path) -> Path:
        address = self._place.address(name)
        with storage_errors(address):
            blob = self._place.blob(name)
            blob.reload()
        if blob.size != self._sizes[name]:
            raise DataError(
                f"data: shard {address} must have {self._sizes[name]} bytes, got {blob.size}",
                "copy it, or pack the dataset, again",
            )
        version_file = target.with_name(f".{target.name}.json")
        version = {"generation": blob.generation, "crc32c": blob.crc32c, "bytes": blob.size}
        if target.is_file() and _read_json(version_file) == version and _crc32c(target) == blob.crc32c:
            return target
        partial = target.with_name(f".{target.name}.part")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with storage_errors(address):
                    self._download(blob, partial)
                break
            except StorageError as error:
                if isinstance(cause := error.__cause__, Exception) and is_full(cause):
                    raise failure(str(partial), cause) from cause
                if attempt == ATTEMPTS:
                    raise
                warn(f"{error}; attempt {attempt + 1} of {ATTEMPTS}")
                time.sleep(min(2.0**attempt, 20.0) * 0.25)
        partial.replace(target)
        version_file.write_text(json.dumps(version))
        return target

    def _download(self, blob: Any, file: Path) -> None:
        """Download an object in concurrent parts, checked by its CRC-32C."""
        from google.cloud.storage import transfer_manager
        from google.cloud.storage.retry import DEFAULT_RETRY

        if not blob.size:
            file.touch()
            return
        transfer_manager.download_chunks_concurrently(
            blob,
            str(file),
            chunk_size=CHUNK_BYTES,
            worker_type=transfer_manager.THREAD,
            max_workers=WORKERS,
            crc32c_checksum=True,
            download_kwargs={
                "timeout": (self._timeout, self._timeout),
                "retry": DEFAULT_RETRY.with_timeout(2 * self._timeout),
            },
        )

    def _report(self, name: str) -> None:
        """Count a finished shard; print progress every REPORT_SECONDS and after the last, on stderr."""
        with self._lock:
            self._done_bytes += self._sizes[name]
            done = sum(file.done() for file in self._files.values())
            now = time.monotonic()
            if now - self._reported < REPORT_SECONDS and done < len(self._files):
                return
            self._reported = now
            note(self._progress(done, now - self._start))

    def _progress(self, done: int, seconds: float) -> str:
        """Return how far the work is, such as ``staging: 12 of 40 shards  3.1 of 12 GiB  450 MiB/s``."""
        total_bytes, rate = sum(self._sizes.values()), self._done_bytes / max(seconds, 1e-9)
        left = (total_bytes - self._done_bytes) / rate if rate else 0.0
        gib = f"{self._done_bytes / GIB:.3g} of {total_bytes / GIB:.3g} GiB"
        text = f"staging: {done} of {len(self._files)} shards  {gib}  {rate / 2**20:,.0f} MiB/s"
        return text + (f"  {left:.0f} s left" if left >= 1 else "")


class LocalShards:
    """Shards that are on a disk already; ``path`` returns where."""

    def __init__(self, place: Place):
        self.path = place.local


def open_shards(
    place: Place,
    sizes: Mapping[str, int],
    stage: str,
    limit_gib: float,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> StagedShards | LocalShards:
    """Open shards by name; those of a bucket start to be fetched.

    Args:
      sizes: name -> bytes.
      stage: the local folder for shards of a bucket; "": a folder of this user's cache.
      limit_gib: most GiB that they may take there.

    Raises:
      ConfigError: other users may write to ``stage``, so that what is staged could not be trusted.
      DataError: a name leads out of the folder, or the shards are larger than the limit or than the free
        space of the disk.
    """
    if not place.remote:
        return LocalShards(place)
    for name in sizes:
        plain_name(name, place.path)
    total_bytes = sum(sizes.values())
    hint = "mount the bucket instead: --mount gcs/BUCKET:/data:ro --data /data/…; or pack smaller images"
    if total_bytes > limit_gib * GIB:
        raise DataError(
            f"data.stage_gib: the shards of {place.path} need {total_bytes / GIB:.3g} GiB, got {limit_gib:g}",
            hint,
        )
    folder = Path(stage) if stage else cache_folder("data")
    with storage_errors(str(folder)):
        folder = private_folder(folder, "data.stage")
        staged = folder / plain_name(place.path.removeprefix("gs://").strip("/"), place.path)
        staged_bytes = sum((staged / name).stat().st_size for name in sizes if (staged / name).is_file())
        free = shutil.disk_usage(folder).free + staged_bytes
    if total_bytes > free:
        raise DataError(
            f"data.stage: {folder} has {free / GIB:.3g} GiB free, the shards of {place.path} need "
            f"{total_bytes / GIB:.3g}",
            hint,
        )
    return StagedShards(place, sizes, staged, timeout_seconds)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _crc32c(file: Path) -> str:
    """The checksum of a file as the bucket states it: big-endian, in base64."""
    checksum = google_crc32c.Checksum()
    with file.open("rb", buffering=0) as content:
        for _ in checksum.consume(content, CHUNK_BYTES):
            pass
    return base64.b64encode(checksum.digest()).decode()


def _read_json(file: Path) -> Any:
    """The content of a JSON file; None where it is missing or cannot be parsed."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
