"""Which failure of a restore means that a checkpoint is damaged: a checksum or a parse, nothing else.

Orbax and TensorStore raise many types for one cause, so a type alone says little. A failure is damage only if
every file of the checkpoint can be read, and if the error is one of decoding. Everything else, such as a
missing permission, is a failure of the storage, after which nothing is set aside.
"""

import json
import logging
import os
import re
import sys
from typing import Any

from etils import epath

from trainer.errors import system_error_of

# Codes with which TensorStore begins an error about what a file holds; not those of a store out of reach.
DECODING = ("DATA_LOSS", "OUT_OF_RANGE", "FAILED_PRECONDITION", "NOT_FOUND")
# An error behind one of those codes that the store itself reports.
STORE = re.compile(
    r"UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|PERMISSION_DENIED|UNAUTHENTICATED|HTTP \d"
)
CHUNK_BYTES = 2**24

# Log records of Orbax about a failure that reaches the caller as an exception, or about what is intended.
NOISE = re.compile(
    r"tracked_metric|raised an exception|^Attempted to create temporary directory|Metadata file"
    r"|could not be restored. Please provide|Task exception was never retrieved"
    r"|^Given directory is read only|^CheckpointManagerOptions.read_only"
)


def is_damage(error: BaseException) -> bool:
    """Return whether an error is one of decoding what was read, or says that a part is missing."""
    if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError, FileNotFoundError)):
        return True
    if system_error_of(error):
        return False
    if isinstance(error, MetaError):
        return True
    if isinstance(error, KeyError):  # Orbax: an item of the checkpoint has no folder
        return "item" in str(error).lower() or "available keys" in str(error).lower()
    return isinstance(error, ValueError) and str(error).startswith(DECODING) and not STORE.search(str(error))


def unreadable(checkpoint: epath.Path) -> OSError | None:
    """Return the first error of the system while reading the files of a checkpoint; None for none.

    Files of a bucket are not read: its client reports what went wrong.
    """
    if "://" in str(checkpoint):
        return None
    folders = [os.fspath(checkpoint)]
    try:
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append(entry.path)
                    else:
                        _read_all(entry.path)
    except OSError as error:
        return error
    return None


def _read_all(path: str) -> None:
    """Read a file to its end and drop it. An OSError names the path."""
    try:
        with open(path, "rb") as file:
            while file.read(CHUNK_BYTES):
                pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


class MetaError(Exception):
    """A JSON file of a checkpoint lacks a value or has one of another type."""


def checked_meta(meta: Any) -> dict[str, Any]:
    """Return accuracy, stream, checksums and parts as saved with a state; older versions lack the last three.

    Parts are the shape and the checksums of the parts of each array that was divided over the devices.

    Raises:
      MetaError: one has another type.
    """
    if not isinstance(meta, dict):
        raise MetaError(f"meta must be an object, got {meta!r}")
    accuracy = meta.get("accuracy", ...)
    stream, checksums, parts = (meta.get(key) or {} for key in ("stream", "checksums", "parts"))
    if accuracy is not None and not isinstance(accuracy, (int, float)):
        raise MetaError("meta must hold an accuracy or null")
    if not isinstance(stream, dict) or not isinstance(checksums, dict):
        raise MetaError("meta must hold stream and checksums as objects")
    if not isinstance(parts, dict) or not all(map(_is_divided, parts.values())):
        raise MetaError("meta must hold the shape and the checksums of each array's parts")
    return {"accuracy": accuracy, "stream": stream, "checksums": checksums, "parts": parts}


def _is_divided(array: Any) -> bool:
    """Return whether JSON has the shape of an array's parts and their checksums."""
    if not isinstance(array, dict) or set(array) != {"shape", "checksums"}:
        return False
    return all(isinstance(v, list) and all(type(n) is int and n >= 0 for n in v) for v in array.values())


def is_relevant(record: logging.LogRecord) -> bool:
    """Return False for what Orbax logs beside raising it, with tracebacks, and for what is intended."""
    return not NOISE.search(str(record.getMessage()))


def silence() -> None:
    """Pass over what Orbax and TensorStore print beside the exception that they raise.

    TensorStore calls back to the event loop that a failed save or restore has closed: once for each array,
    each time with a traceback.
    """
    for logger in ("absl", "asyncio"):
        logging.getLogger(logger).addFilter(is_relevant)
    before = sys.unraisablehook
    if getattr(before, "ignores_late_callbacks", False):
        return

    def hook(unraisable: Any) -> None:
        if not (
            isinstance(unraisable.exc_value, RuntimeError) and "loop is closed" in str(unraisable.exc_value)
        ):
            before(unraisable)

    hook.ignores_late_callbacks = True  # type: ignore[attr-defined]
    sys.unraisablehook = hook
