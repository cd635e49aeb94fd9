"""Copying the files of a run into a folder of this machine, so that a stopped copy can be continued."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c

from trainer.errors import ConfigError, TrainError, printable
from trainer.pull.choice import CHECKPOINTS
from trainer.pull.source import BLOCK, Entry, Source, at_home, writing

SMALL = ("config.json", "attempts.jsonl", "dataset.json", "metrics.jsonl", "events.jsonl", "report.html")
MARK = ".pull.json"  # names the run that a folder is a copy of
PARTIAL = ".pulling-"  # begins the name of a checkpoint that is not whole
WORKERS = 8
_UMASK = os.umask(0)
os.umask(_UMASK)
PERMISSIONS = 0o666 & ~_UMASK  # of a new file

Show = Callable[[str], None]


def prepare(source: Source, out: Path) -> None:
    """Create the folder, or check that it is a copy of the same run.

    Raises:
      ConfigError: it holds something else, or is the run itself.
      OSError: it cannot be created.
    """
    name = printable(str(out))
    if not source.remote and (out == Path(source.address) or Path(source.address) in out.parents):
        raise ConfigError(f"OUT: must be outside the run directory, got '{name}'")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"OUT: must be a folder, got the file '{name}'")
    if out.is_dir() and any(out.iterdir()):
        origin = _origin(out)
        if origin != source.address:
            what = f"a copy of {printable(origin)}" if origin else "one that holds other files"
            raise ConfigError(
                f"OUT: must be a new folder, or a copy of {source.address}, got {what}: '{name}'"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).write_text(json.dumps({"run": source.address}) + "\n", encoding="utf-8")


def small(source: Source, top: Iterable[Entry], out: Path, show: Show) -> None:
    """Copy the files of the run that are no checkpoint.

    Args:
      show: gets a line for each file that replaces an older copy.
    """
    for entry in top:
        if entry.name in SMALL:
            before = _checksum(out / entry.name)
            after = _copy(source, entry, out / entry.name)
            if before and before != after:
                show(f"{entry.name}: replaced by the newer one")


def checkpoint(source: Source, step: int, entries: list[Entry], out: Path, show: Show) -> Path:
    """Copy a checkpoint under a name that is none of a checkpoint; return that folder, or the whole one.

    A file that is there already and has the same size and checksum is not copied again. The caller renames
    the folder once its arrays are verified.
    """
    whole, partial = out / CHECKPOINTS / str(step), out / CHECKPOINTS / f"{PARTIAL}{step}"
    for path in (out / CHECKPOINTS).glob(f"{PARTIAL}*"):
        if path != partial:
            shutil.rmtree(path)
            show(f"{path.relative_to(out)}: removed, part of a checkpoint that is no longer meant")
    if whole.is_dir():
        return whole
    inside = f"{CHECKPOINTS}/{step}/"

    def one(entry: Entry) -> None:
        path = partial / entry.name.removeprefix(inside)
        same_size = path.is_file() and path.stat().st_size == entry.size
        if same_size and _checksum(path) == (entry.checksum or _source_checksum(source, entry)):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, entry, path)

    with ThreadPoolExecutor(WORKERS) as workers:
        copies = [workers.submit(one, entry) for entry in entries]
        try:
            for copy in copies:
                copy.result()
        except BaseException:
            workers.shutdown(wait=True, cancel_futures=True)
            raise
    return partial


def _copy(source: Source, entry: Entry, path: Path) -> str:
    """Replace a file by a copy that has been read back; return its CRC32C."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with at_home(), open(descriptor, "wb") as file:
            checksum = source.copy(entry, file)
            with writing():
                file.flush()
                os.fsync(file.fileno())
        if _checksum(Path(name)) != checksum:
            raise TrainError(f"{path} must have the checksum {checksum} once it is written, got another one")
        os.chmod(name, PERMISSIONS)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    return checksum


def _source_checksum(source: Source, entry: Entry) -> str:
    with open(os.devnull, "wb") as nowhere:
        return source.copy(entry, nowhere)


def _checksum(path: Path) -> str:
    """Return the CRC32C of a file as base64; empty where there is none."""
    checksum = google_crc32c.Checksum()
    try:
        with open(path, "rb") as file:
            while block := file.read(BLOCK):
                checksum.update(block)
    except FileNotFoundError:
        return ""
    return base64.b64encode(checksum.digest()).decode()


def _origin(out: Path) -> str:
    """Return the run that a folder is a copy of; empty where it is none."""
    try:
        mark = json.loads((out / MARK).read_text(encoding="utf-8"))
        return mark["run"] if isinstance(mark["run"], str) else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
