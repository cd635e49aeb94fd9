"""Folders of the test cluster, all outside the checkout, so that a checkout stays clean and can be deleted.

$RESNET_CACHE/go/<tool>-<key>/        binaries, by the hash of their pins
$RESNET_CACHE/images/...              image archives and unpacked image stores, by content
$RESNET_CACHE/clusters/<checkout>-<name>/   one cluster: state, logs, kubeconfig
"""

import fcntl
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testcluster.errors import ClusterError

PACKAGE = Path(__file__).resolve().parent
GO_MODULES = PACKAGE.parent / "go"
REPOSITORY = PACKAGE.parents[2]

IN_USE_SECONDS = 900
# The sandbox mounts its own file systems over these, so files that it needs must lie elsewhere.
COVERED = ("/run", "/var/run", "/var/lib", "/var/log", "/etc", "/proc", "/dev", "/sys")


def cache() -> Path:
    """Return the cache folder; raises ClusterError where a cluster's sandbox would hide it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("RESNET_CACHE") or Path(base) / "resnet-launch").resolve()
    if any(folder.is_relative_to(covered) for covered in COVERED):
        raise ClusterError(
            f"RESNET_CACHE must not lie under {', '.join(COVERED)}, got {folder}",
            hint="export RESNET_CACHE=$HOME/.cache/resnet-launch",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def checkout_key() -> str:
    """Return eight characters that identify this checkout on the machine."""
    return hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:8]


def clusters() -> Path:
    """Return the folder with one folder per cluster, for all checkouts."""
    return cache() / "clusters"


def cluster_folder(name: str) -> Path:
    """Return the folder of this checkout's cluster `name`."""
    return clusters() / f"{checkout_key()}-{name}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`, so that two processes do not build the same file twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def content_key(*parts: str | bytes | Path) -> str:
    """Return a hash of `parts` as 16 hex digits; a Path counts with the content of its file."""
    digest = hashlib.sha256()
    for part in parts:
        data = (
            part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        )
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def keep_newest(folder: Path, pattern: str, count: int) -> None:
    """Delete all but the `count` newest entries; entries of the last 15 minutes may be in use and stay."""
    entries = sorted(folder.glob(pattern), key=lambda entry: entry.stat().st_mtime)
    for entry in entries[:-count]:
        if time.time() - entry.stat().st_mtime > IN_USE_SECONDS:
            delete(entry)


def delete(*entries: Path) -> None:
    """Delete files and folders quickly; an image has thirty thousand files."""
    subprocess.run(["rm", "--recursive", "--force", "--", *map(str, entries)], check=True)
