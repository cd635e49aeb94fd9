"""Remains of an ended or killed cluster: control groups and a folder. Logs are kept, the rest is removed."""

import subprocess
import time
from pathlib import Path

from testcluster import cgroups, places
from testcluster.errors import ClusterError
from testcluster.sandbox import Sandbox, held

KEPT = ("logs",)
LOGS_KEPT = 6  # clusters, all checkouts together
REMOVE_TRIES = 50
REMOVE_PAUSE_SECONDS = 0.1


def clear(folder: Path) -> None:
    """Remove what the ended cluster in `folder` left, except for its logs."""
    cgroups.remove(control_group(folder))
    for entry in folder.iterdir():
        if entry.name not in KEPT:
            _delete(entry)


def control_group(folder: Path) -> str:
    """The name of the control group of the cluster in `folder`."""
    return f"resnet-{folder.name}"


def begin_sandbox(folder: Path, owned: bool, running: ClusterError) -> Sandbox:
    """Begin a sandbox, after what ended ones left is cleared; raises `running` where one holds the folder."""
    with places.locked(places.cache() / "clusters.lock"):
        if held(folder):
            raise running
        clear_ended()
        remove_logs(folder)
        sandbox = Sandbox(folder)
        sandbox.begin(owned=owned)
    return sandbox


def clear_ended() -> None:
    """Clear every cluster on this machine that ended without doing so itself; keep only the newest logs."""
    folders = sorted(places.clusters().glob("*/"), key=lambda folder: folder.stat().st_mtime)
    ended = [folder for folder in folders if not held(folder)]
    for folder in ended:
        clear(folder)
    for folder in ended[:-LOGS_KEPT]:
        _delete(folder)


def _delete(entry: Path) -> None:
    """Remove a file or folder; the last processes of a killed sandbox may still be writing for a moment."""
    for last in range(REMOVE_TRIES - 1, -1, -1):
        try:
            places.delete(entry)
            return
        except subprocess.CalledProcessError:
            if not last:
                raise
        time.sleep(REMOVE_PAUSE_SECONDS)


def remove_logs(folder: Path) -> None:
    """Remove the logs of the cluster that was in `folder` before: a new one writes its own."""
    if (folder / "logs").exists():
        _delete(folder / "logs")
