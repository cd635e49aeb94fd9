"""The run directories below a folder or a bucket's prefix, with the state of the files that are read.

A folder is that of a run if it has ``config.json``, or ``events.jsonl`` of a run that has just begun. What
lies below a run is not searched.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from trainer.errors import ConfigError, RunDirectoryError, TrainError
from trainer.rundir import files

DEPTH = 4  # folders below the first one that are searched
FILES = ("config.json", "events.jsonl", "metrics.jsonl", "report.html")
KNOWN_BY = ("config.json", "events.jsonl")
LARGEST = 256 << 20  # bytes of a file that is still read
WORKERS = 16  # folders that are listed at the same time for a report
SECONDS = 60.0  # longest wait for one reply of a bucket

Stamp = tuple[int, str]  # bytes of a file, and what changes with its content


@dataclass(frozen=True)
class Folder:
    """A run directory.

    Attributes:
      address: its path or gs://…
      files: name -> size and version of each file of FILES that it has.
    """

    address: str
    files: dict[str, Stamp]

    def read(self, name: str) -> str:
        """Return the text of a file; empty where the folder has none.

        Raises:
          RunDirectoryError, StorageError: it cannot be read, or is larger than any that a run writes.
        """
        if name not in self.files:
            return ""
        address = f"{self.address}/{name}"
        if self.files[name][0] > LARGEST:
            raise RunDirectoryError(
                f"{address} must have at most {LARGEST:,} bytes, got {self.files[name][0]:,}"
            )
        with _reading(address):
            if self.address.startswith("gs://"):
                bucket, key = _parts(address)
                content = _client().bucket(bucket).blob(key).download_as_bytes(timeout=SECONDS)
            else:
                with open(address, "rb", opener=_opened) as file:
                    content = file.read()
        return content.decode(errors="replace")


def search(roots: Sequence[str], workers: Executor) -> Iterator[tuple[str, Folder]]:
    """Yield (root, run directory) for every run below the roots, each once, in the order of the paths.

    Args:
      roots: paths or gs://… without a slash at their ends.
      workers: threads in which folders are listed at the same time.

    Raises:
      ConfigError: a root does not exist.
      RunDirectoryError, StorageError: a folder cannot be listed.
    """
    seen: set[str] = set()
    for root in roots:
        folders = list(_below(root, workers))
        for folder in sorted(folders, key=lambda folder: folder.address):
            if folder.address not in seen:
                seen.add(folder.address)
                yield root, folder


def one(address: str) -> Folder:
    """Return the run directory with an address, a path or gs://… without a slash at its end.

    Raises:
      ConfigError: it holds no run.
      RunDirectoryError, StorageError: it cannot be listed.
    """
    remote = address.startswith("gs://")
    stamps = (
        _list_objects(address)[1] if remote else _list_files(address)[1] if os.path.isdir(address) else {}
    )
    if not any(name in stamps for name in KNOWN_BY):
        raise ConfigError(f"RUN: must be the directory of a run, got '{address}' without a config.json")
    return Folder(address, stamps)


def runs_of(root: str) -> list[str]:
    """Return the addresses of the runs below a folder, which may be a run itself; the folder where none is.

    Raises:
      RunDirectoryError, StorageError: a folder cannot be listed.
    """
    if not root.startswith("gs://") and not os.path.isdir(root):
        return [root]
    with ThreadPoolExecutor(WORKERS) as workers:
        return [folder.address for _, folder in search([root], workers)] or [root]


def _below(root: str, workers: Executor) -> Iterator[Folder]:
    remote = root.startswith("gs://")
    if not remote and not os.path.isdir(root):
        what = "a file" if os.path.exists(root) else "which does not exist"
        raise ConfigError(f"DIR: must be a folder or gs://…, got '{root}', {what}")
    list_one = _list_objects if remote else _list_files
    level = [root]
    for _ in range(DEPTH + 1):
        deeper: list[str] = []
        for address, (folders, stamps) in zip(level, workers.map(list_one, level), strict=True):
            if any(name in stamps for name in KNOWN_BY):
                yield Folder(address, stamps)
            else:
                deeper += [f"{address.rstrip('/')}/{name}" for name in folders]
        level = deeper


def _list_files(address: str) -> tuple[list[str], dict[str, Stamp]]:
    """Return the folders in a folder and the files of a run that it has; a link to a folder is none."""
    folders: list[str] = []
    stamps: dict[str, Stamp] = {}
    with _reading(address), os.scandir(address) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif entry.name in FILES and entry.is_file():
                status = entry.stat()
                stamps[entry.name] = status.st_size, f"{status.st_mtime_ns}-{status.st_ino}"
    return sorted(folders), stamps


def _list_objects(address: str) -> tuple[list[str], dict[str, Stamp]]:
    """Return the prefixes below a prefix up to the next slash, and the objects of a run that it has."""
    bucket, key = _parts(address)
    prefix = f"{key}/" if key else ""
    with _reading(address):
        listing: Any = _client().list_blobs(
            bucket,
            prefix=prefix,
            delimiter="/",
            fields="items(name,size,generation),prefixes,nextPageToken",
            timeout=SECONDS,
        )
        names = {blob.name.removeprefix(prefix): blob for blob in listing}
    stamps = {
        name: (int(blob.size or 0), str(blob.generation)) for name, blob in names.items() if name in FILES
    }
    return sorted(entry.removeprefix(prefix).rstrip("/") for entry in listing.prefixes), stamps


def _opened(path: str, flags: int) -> int:
    """Open a regular file; a pipe without a writer does not make it wait."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RunDirectoryError(f"{path} must be a regular file, got a folder, a pipe or a device")
    return descriptor


def _parts(address: str) -> tuple[str, str]:
    bucket, _, key = address.removeprefix("gs://").partition("/")
    return bucket, key


@functools.cache
def _client() -> Any:
    from google.cloud import storage
    from requests.adapters import HTTPAdapter

    client = storage.Client(project="-")
    adapter = HTTPAdapter(pool_connections=32, pool_maxsize=32)
    client._http.mount("https://", adapter)
    client._http.mount("http://", adapter)
    return client


@contextlib.contextmanager
def _reading(address: str) -> Iterator[None]:
    try:
        yield
    except TrainError:
        raise
    except Exception as error:  # each client has its own exceptions
        raise files.failure(address, error, "read") from error


def missing(roots: Iterable[str]) -> ConfigError:
    """Return the error of folders that hold no run."""
    listed = ", ".join(f"'{root}'" for root in roots)
    return ConfigError(
        f"DIR: must hold run directories, got {listed} without a config.json in {DEPTH} levels of folders",
        "a run directory is what --run-dir names, or gs://BUCKET/NAME for --bucket BUCKET",
    )
