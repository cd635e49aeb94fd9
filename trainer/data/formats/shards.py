"""Shards in one folder: their splits by their names, and whether any is missing."""

import itertools
import re

from trainer.data.formats.dataset import Dataset, Top, named_splits
from trainer.data.storage import Place
from trainer.errors import DataError
from trainer.runtime.messages import warn


def dataset_of(
    top: Top, kind: str, pattern: re.Pattern[str], more: dict[str, dict[str, int]] | None = None
) -> Dataset | None:
    """The dataset of the files whose names match ``pattern``; None where they are no splits.

    Args:
      pattern: of a whole name, with a group ``split`` and, where names state the number of shards, ``of``.
      more: shards that lie elsewhere: name of a split -> {name: bytes}.

    Raises:
      DataError: names state a number of shards, and some are missing.
    """
    shards: dict[str, dict[str, int]] = {}
    for name, size in top.files.items():
        if match := pattern.fullmatch(name):
            shards.setdefault(match["split"], {})[name] = size
    shards |= more or {}
    splits = named_splits(shards)
    if not splits:
        return None
    for name in splits.values():
        _check_complete(top.place, shards[name], pattern)
    return Dataset(
        place=top.place,
        kind=kind,
        splits=splits,
        unused=tuple(sorted(set(shards) - set(splits.values()))),
        shards={split: shards[name] for split, name in splits.items()},
    )


def _check_complete(place: Place, shards: dict[str, int], pattern: re.Pattern[str]) -> None:
    """Raise DataError where the names state a number of shards and some are missing; else warn of gaps."""
    if "of" not in pattern.groupindex:
        _warn_of_gaps(place, shards, pattern)
        return
    counts = {int(match["of"]) for name in shards if (match := pattern.fullmatch(name))}
    if counts != {len(shards)}:
        first = next(iter(shards))
        numbers = {int(name[-14:-9]) for name in shards}
        missing = next(number for number in itertools.count() if number not in numbers)
        raise DataError(
            f"data: {place.address(first)} and the like must be {max(counts)} shards, got {len(shards)}"
            + (f": number {missing} is missing" if missing < max(counts) else ""),
            "copy the missing shards",
        )


def _warn_of_gaps(place: Place, shards: dict[str, int], pattern: re.Pattern[str]) -> None:
    """Warn of missing numbers; no error, as these names do not state a total and a gap may be intended."""
    numbers = sorted((int(name[:-4].rpartition("-")[2]), name) for name in shards if pattern.fullmatch(name))
    for (before, name), (after, _) in itertools.pairwise(numbers):
        if after > before + 1:
            warn(f"data: shard {before + 1} is missing after {place.address(name)}")
