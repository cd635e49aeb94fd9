"""One run directory, one job at a time.

On a local file system the kernel's file lock does it: it is gone with the process. On a bucket an object is
renewed while the job lives; another job watches it for a while, by its generation and not by any clock, and
takes it over once it has stopped changing.
"""

import contextlib
import fcntl
import json
import os
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from trainer.errors import RunDirectoryError

LOCK_SECONDS = 15.0  # a process that was just killed needs a moment to let go
RENEW_SECONDS = 10.0
WATCH_SECONDS = 35.0  # three renewals missed


def acquire(root: Any, owner: str) -> "FileLock | BucketLease":
    """Takes the run directory for this job.

    Args:
      owner: identity of the job, the same over its restarts; empty: this process alone.

    Raises:
      RunDirectoryError: another job is using it.
    """
    path = str(root)
    return BucketLease(path, owner or uuid.uuid4().hex) if path.startswith("gs://") else FileLock(Path(path))


class FileLock:
    """An exclusive lock on ``<run dir>/.lock``."""

    def __init__(self, root: Path):
        self._fd = os.open(root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise _in_use(
                        str(root), os.pread(self._fd, 100, 0).decode() or "another process"
                    ) from None
            time.sleep(0.2)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"process {os.getpid()}".encode(), 0)

    def release(self) -> None:
        os.close(self._fd)


class BucketLease:
    """``<run dir>/lease.json``, written again and again under the condition that nobody else wrote it.

    Args:
      renew_seconds: between two writes.
      watch_seconds: how long another owner's lease must stay the same before it is taken over.
    """

    def __init__(
        self,
        path: str,
        owner: str,
        renew_seconds: float = RENEW_SECONDS,
        watch_seconds: float = WATCH_SECONDS,
    ):
        from google.cloud import storage

        bucket, _, prefix = path.removeprefix("gs://").partition("/")
        self._bucket = storage.Client().bucket(bucket)
        self._name = f"{prefix}/lease.json".lstrip("/")
        self._owner = owner
        self._path = path
        self._renew_seconds, self._watch_seconds = renew_seconds, watch_seconds
        self._generation = self._take()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)
        with contextlib.suppress(Exception):  # a lease that is left behind runs out by itself
            self._bucket.blob(self._name).delete(if_generation_match=self._generation)

    def _take(self) -> int:
        seen, holder = self._look()
        if seen and holder != self._owner:
            deadline = time.monotonic() + self._watch_seconds
            while time.monotonic() < deadline:
                time.sleep(self._renew_seconds / 4)
                now, holder = self._look()
                if now == 0:
                    seen = 0
                    break
                if now != seen:
                    raise _in_use(self._path, f"job '{holder}'")
        return self._write(seen)

    def _look(self) -> tuple[int, str]:
        """Generation (0: absent) and owner of the lease."""
        from google.api_core.exceptions import NotFound

        blob = self._bucket.get_blob(self._name)  # a new one: a blob that knows its generation asks for that
        if blob is None:
            return 0, ""
        try:
            return int(blob.generation or 0), json.loads(blob.download_as_bytes())["owner"]
        except NotFound:  # written again between the two requests
            return self._look()

    def _write(self, generation: int) -> int:
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket.blob(self._name)
        body = json.dumps({"owner": self._owner})
        try:
            blob.upload_from_string(body, "application/json", if_generation_match=generation)
        except PreconditionFailed:
            now, holder = self._look()
            if holder == self._owner:
                return now  # the answer to this very write was lost, and the client tried again
            raise _in_use(self._path, "another job") from None
        return int(blob.generation or 0)

    def _renew(self) -> None:
        while not self._stopped.wait(self._renew_seconds):
            try:
                self._generation = self._write(self._generation)
            except RunDirectoryError:
                return  # taken over: this job was silent for too long, and is being replaced
            except Exception:
                continue  # the bucket is out of reach for now; the loop itself will notice when it stays so


def _in_use(path: str, holder: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"run directory {path} is in use by {holder}",
        "wait for that job or stop it, or use another --name or --run-dir",
    )
