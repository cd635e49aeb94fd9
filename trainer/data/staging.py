"""Shards of a bucket as files of this host: fetched in the background, those first that are asked for.

Training sees every shard within its first steps, so the disk has to hold them all; what does not fit is
refused before anything is fetched. While the network compiles, the shards come. Processes of one machine
share the files: a lock on each lets one fetch it and the others wait.
"""

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

from trainer.data.storage import Place, reaching
from trainer.errors import DataError, StorageError
from trainer.metrics.display import warn

GIB = 2**30
WORKERS = 4  # shards at a time, and as many parts of each
CHUNK_BYTES = 32 * 2**20
ATTEMPTS = 5  # on top of the client's own retries
TIMEOUT_SECONDS = 60.0  # of silence on a connection
REPORT_SECONDS = 10.0
URGENT, AHEAD = 0, 1


class Shards:
    """The files of a place by name; ``path`` waits for the one that it is asked for."""

    def __init__(self, place: Place, sizes: Mapping[str, int], stage: Path, timeout_seconds: float):
        self._place, self._sizes, self._timeout = place, sizes, timeout_seconds
        self._folder = stage / place.path.removeprefix("gs://").strip("/")
        self._files: dict[str, Future[Path]] = {name: Future() for name in sizes}
        self._waiting: queue.PriorityQueue[tuple[int, int, str]] = queue.PriorityQueue()
        for order, name in enumerate(sizes):
            self._waiting.put((AHEAD, order, name))
        self._done_bytes, self._begun, self._lock = 0, time.monotonic(), threading.Lock()
        self._reported = self._begun
        for number in range(min(WORKERS, len(sizes))):
            threading.Thread(target=self._work, name=f"stage-{number}", daemon=True).start()

    def path(self, name: str) -> Path:
        """Raises DataError where it cannot be fetched, StorageError where that may pass."""
        file = self._files[name]
        if not file.done():
            self._waiting.put((URGENT, 0, name))
        return file.result()

    def _work(self) -> None:
        while True:
            try:
                _, _, name = self._waiting.get_nowait()
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
        with self._lock:
            if file.running() or file.done():  # it was queued twice: ahead of need, and when it was needed
                return False
            return file.set_running_or_notify_cancel()

    def _fetch(self, name: str) -> Path:
        target = self._folder / name
        with reaching(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            with _locked(target.with_name(f".{target.name}.lock")):
                return self._fetch_alone(name, target)

    def _fetch_alone(self, name: str, target: Path) -> Path:
        address = self._place.address(name)
        with reaching(address):
            blob = self._place.blob(name)
            blob.reload()
        mark = target.with_name(f".{target.name}.json")
        wanted = {"generation": blob.generation, "crc32c": blob.crc32c, "bytes": blob.size}
        if target.is_file() and _read(mark) == wanted and target.stat().st_size == blob.size:
            return target
        beside = target.with_name(f".{target.name}.part")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with reaching(address):
                    self._download(blob, beside)
                break
            except StorageError as error:
                if attempt == ATTEMPTS:
                    raise
                warn(f"{error}; attempt {attempt + 1} of {ATTEMPTS}")
                time.sleep(min(2.0**attempt, 20.0) * 0.25)
        beside.replace(target)
        mark.write_text(json.dumps(wanted))
        return target

    def _download(self, blob: Any, file: Path) -> None:
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
        with self._lock:
            self._done_bytes += self._sizes[name]
            done = sum(file.done() for file in self._files.values())
            now = time.monotonic()
            if now - self._reported < REPORT_SECONDS and done < len(self._files):
                return
            self._reported = now
            total, mib = sum(self._sizes.values()), self._done_bytes / 2**20
            print(
                f"stage shards={done}/{len(self._files)} gib={mib / 1024:.3g}/{total / GIB:.3g} "
                f"mib_per_second={mib / max(now - self._begun, 1e-9):.3g}",
                flush=True,
            )


class LocalShards:
    """The same where the files are on a disk already."""

    def __init__(self, place: Place):
        self.path = place.local


def shards(
    place: Place,
    sizes: Mapping[str, int],
    stage: str,
    limit_gib: float,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Shards | LocalShards:
    """Begins to fetch what is not here yet.

    Raises:
      DataError: the shards are larger than the limit or the disk.
    """
    if not place.remote:
        return LocalShards(place)
    needed = sum(sizes.values())
    hint = "mount the bucket instead: --mount gcs/BUCKET:/data:ro --data /data/…; or pack it smaller"
    if needed > limit_gib * GIB:
        raise DataError(
            f"data.stage_gib: the shards of {place.path} need {needed / GIB:.3g} GiB, got {limit_gib:g}", hint
        )
    folder = Path(stage)
    with reaching(stage):
        folder.mkdir(parents=True, exist_ok=True)
        here = folder / place.path.removeprefix("gs://").strip("/")
        there = sum((here / name).stat().st_size for name in sizes if (here / name).is_file())
        free = shutil.disk_usage(folder).free + there
    if needed > free:
        raise DataError(
            f"data.stage: {stage} has {free / GIB:.3g} GiB free, the shards of {place.path} need "
            f"{needed / GIB:.3g}",
            hint,
        )
    return Shards(place, sizes, folder, timeout_seconds)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(mark: Path) -> Any:
    try:
        return json.loads(mark.read_text())
    except (OSError, ValueError):
        return None
