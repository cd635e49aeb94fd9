"""Which checkpoint of a run is meant by `best` and `newest`."""

from __future__ import annotations

import json
import math

from trainer.errors import ConfigError
from trainer.pull.source import Entry, Source

CHECKPOINTS = "checkpoints"
WHOLE = "commit_success.txt"  # Orbax writes it last, where a folder cannot be renamed
CHOICES = ("best", "newest")


def checkpoint(source: Source, choice: str) -> tuple[int, list[Entry]]:
    """Return (step, files) of a whole checkpoint.

    The best one has the highest validation accuracy, and of several the newest. It is the newest of all
    where none has been evaluated.

    Raises:
      ConfigError: the run has no whole checkpoint.
      RunDirectoryError, StorageError: the run directory cannot be read.
    """
    steps: dict[int, list[Entry]] = {}
    for entry in source.below(CHECKPOINTS):
        step = entry.name.split("/")[1]
        if step.isascii() and step.isdecimal() and entry.name.count("/") > 1:
            steps.setdefault(int(step), []).append(entry)
    if source.remote:  # on a disk a checkpoint gets this name when it is whole
        steps = {
            step: entries
            for step, entries in steps.items()
            if any(entry.name == f"{CHECKPOINTS}/{step}/{WHOLE}" for entry in entries)
        }
    if not steps:
        problem = f"must be left out for a run without a checkpoint, got {choice} for {source.address}"
        raise ConfigError(f"--checkpoint: {problem}")
    accuracies = {step: _accuracy(source, step) for step in steps} if choice == "best" else {}
    step = max(steps, key=lambda step: (accuracies.get(step, -1.0), step))
    return step, steps[step]


def _accuracy(source: Source, step: int) -> float:
    """Return the validation accuracy that was saved with a checkpoint; -1 where it was not evaluated."""
    try:
        meta = json.loads(source.text(f"{CHECKPOINTS}/{step}/meta/metadata") or "null")
        accuracy = meta.get("accuracy")
    except (ValueError, AttributeError, RecursionError):
        return -1.0
    known = isinstance(accuracy, int | float) and math.isfinite(accuracy)
    return float(accuracy) if known else -1.0
