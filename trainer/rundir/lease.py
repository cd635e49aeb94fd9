"""A lock on the run directory: one job at a time writes to it.

On a local file system it is a file lock, which the kernel releases with the process. On a bucket it is an
object that the job renews while it lives. Another job watches the generation of that object, not a clock, and
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

from etils import epath

from trainer.errors import RunDirectoryError
from trainer.rundir import files

LOCK_SECONDS = 15.0  # a process that was just killed needs a moment to release it
RENEW_SECONDS = 10.0
WATCH_SECONDS = 35.0  # three missed renewals


def acquire(root: Any, owner: str) -> "FileLock | BucketLease":
    """Lock the run directory for this job.

    Args:
      root: run directory, a path or gs://….
      owner: identity of the job, the same after each restart; empty: this process alone.

    Raises:
      RunDirectoryError: another job is using it.
    """
    path = str(root)
    return BucketLease(path, owner or uuid.uuid4().hex) if path.startswith("gs://") else FileLock(Path(path))


class FileLock:
    """An exclusive lock on ``<run dir>/.lock``."""

    def __init__(self, root: Path):
        self._fd = files.open_lock(epath.Path(root / ".lock"))
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise _in_use(str(root), self._holder()) from None
            time.sleep(0.2)
        with files.writing_to(str(root)):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"process {os.getpid()}".encode(), 0)

    def release(self) -> None:
        os.close(self._fd)

    def _holder(self) -> str:
        text = os.pread(self._fd, 100, 0).decode(errors="replace")
        return text if text and text.isprintable() else "another process"


class BucketLease:
    """``<run dir>/lease.json``, renewed on condition that no other job has written it.

    Args:
      path: run directory, gs://….
      owner: identity of the job.
      renew_seconds: interval between renewals.
      watch_seconds: how long another owner's lease must stay unchanged before it is taken over.
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
        with contextlib.suppress(Exception):  # a lease that is left behind expires
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
        """Return the generation of the lease (0: absent) and its owner."""
        from google.api_core.exceptions import NotFound

        blob = self._bucket.get_blob(
            self._name
        )  # not reused: a blob object keeps asking for the generation it has seen
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
                return now  # the response to this write was lost, and the client repeated it
            raise _in_use(self._path, "another job") from None
        return int(blob.generation or 0)

    def _renew(self) -> None:
        while not self._stopped.wait(self._renew_seconds):
            try:
                self._generation = self._write(self._generation)
            except RunDirectoryError:
                return  # taken over: this job was silent for too long and is being replaced
            except Exception:
                continue  # the bucket does not answer; if that lasts, the training loop fails on it


def _in_use(path: str, holder: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"run directory {path} is in use by {holder}",
        "wait for that job or stop it, or use another --name or --run-dir",
    )
