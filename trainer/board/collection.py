"""All runs below some folders as rows; those whose files have not changed come from a cache of this user."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import trainer
from trainer.board import folders
from trainer.board.folders import Folder
from trainer.board.row import FORMAT, Row, group, row
from trainer.errors import TrainError
from trainer.runtime.environment import Variable
from trainer.runtime.private import cache_folder, others_write, private_folder

CONNECTIONS = 32  # requests to a bucket at a time: each waits tens of milliseconds for its answer
VERSION = f"{trainer.__version__}/{FORMAT}"


def collect(roots: Sequence[str], cached: bool = True) -> list[Row]:
    """Return the rows of all runs below the roots, in the order of the roots and of the runs' paths.

    Args:
      roots: paths or gs://… without a slash at their ends.
      cached: take rows from the cache whose files have the same size and version, and keep the new ones.

    Raises:
      ConfigError: a root does not exist, or none holds a run.
      RunDirectoryError, StorageError: a root cannot be listed.
    """
    store = _store(roots) if cached else None
    kept = _load(store)
    with ThreadPoolExecutor(CONNECTIONS) as workers:
        listed = list(folders.search(roots, workers))
        rows = list(workers.map(lambda entry: _row(entry[1], kept), listed))
    if not rows:
        raise folders.missing(roots)
    if store:
        entries = {
            folder.address: {"files": folder.files, "row": row}
            for (_, folder), row in zip(listed, rows, strict=True)
            if "problem" not in row
        }
        _save(store, entries)
    return [row | {"group": group(row, root)} for (root, _), row in zip(listed, rows, strict=True)]


def _row(folder: Folder, kept: dict[str, Any]) -> Row:
    entry = kept.get(folder.address)
    if isinstance(entry, dict) and entry.get("files") == json.loads(json.dumps(folder.files)):
        return entry["row"]
    return row(folder)


def _store(roots: Sequence[str]) -> Path | None:
    """Return the file of the cache for these roots; None where this user has no folder of its own for it."""
    with contextlib.suppress(TrainError, OSError):
        folder = private_folder(cache_folder("board"), Variable.CACHE)
        return folder / f"{hashlib.sha256(json.dumps(list(roots)).encode()).hexdigest()[:32]}.json"
    return None


def _load(store: Path | None) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        if store and not store.is_symlink() and not others_write(store):
            content = json.loads(store.read_text(encoding="utf-8"))
            if isinstance(content, dict) and content.get("version") == VERSION:
                return dict(content["runs"])
    return {}


def _save(store: Path, runs: dict[str, Any]) -> None:
    """Replace the cache; a full disk only costs the time of the next call."""
    with contextlib.suppress(OSError):
        descriptor, name = tempfile.mkstemp(dir=store.parent, prefix=f".{store.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"version": VERSION, "runs": runs}, file)
        os.replace(name, store)
