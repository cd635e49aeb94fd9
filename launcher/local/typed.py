"""The command line of a run on this machine, kept in its run directory.

The process that runs it holds a lock on the file. So another command knows whether the run is alive, which
process to ask to save, and how the run goes on with another shape.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from launcher import files
from launcher.errors import ActionError

FILE = "local.json"
ENDING_SECONDS = 30.0  # beyond its grace period, for the end of the launcher itself
POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Typed:
    """A command line of `resnet-launch local`, without name, slice and run directory.

    Attributes:
      directory: the current directory in which it was typed.
      trainer_arguments: those after `--`.
      slice: as the run had it.
      grace: seconds that its pods have to save.
      process: number of the process that runs it, or did.
    """

    name: str
    run_dir: str
    slice: str
    arguments: list[str]
    trainer_arguments: list[str]
    directory: str
    grace: int
    process: int


@contextlib.contextmanager
def kept(typed: Typed) -> Iterator[None]:
    """Keep a command line in its run directory, and hold the lock on it.

    A run in a bucket keeps none, nor one whose directory another process uses or nobody can write to: the
    trainer has the error for both.
    """
    descriptor = None
    if not typed.run_dir.startswith("gs://"):
        with contextlib.suppress(OSError):
            # Variables of the request may be private.
            descriptor = os.open(Path(typed.run_dir, FILE), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(typed), indent=1).encode(), 0)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def read(folder: Path) -> Typed | None:
    """Return what is kept in a run directory; None where there is nothing, or nothing of this version."""
    try:
        values = json.loads((folder / FILE).read_text(encoding="utf-8"))
        typed = Typed(**values) if isinstance(values, Mapping) else None
    except (OSError, ValueError, TypeError):
        return None
    return typed if typed and isinstance(typed.process, int) and typed.process > 1 else None


def is_alive(folder: Path) -> bool:
    """Return whether a process runs the run of a directory."""
    return files.is_locked(folder / FILE)


def end(folder: Path, typed: Typed) -> None:
    """Ask a run that is alive to save and end, as Ctrl-C does, and wait for that.

    Raises:
      ActionError: it is another person's, or has not ended in time.
    """
    try:
        os.kill(typed.process, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError:
        text = f"{typed.name} is run by another person, as process {typed.process}"
        raise ActionError(f"{text}; it goes on as it was", "ask its owner to end it with Ctrl-C") from None
    until = time.monotonic() + typed.grace + ENDING_SECONDS
    while is_alive(folder):
        if time.monotonic() > until:
            raise ActionError(
                f"{typed.name} has not ended {typed.grace + ENDING_SECONDS:.0f} s after it was asked to save",
                f"kill {typed.process} a second time ends it at once, without a checkpoint",
            )
        time.sleep(POLL_SECONDS)
