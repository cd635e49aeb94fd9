"""Shards in one folder: their splits by their names, and whether any is missing."""

import itertools
import re

from trainer.data.formats.dataset import Dataset, Top, named_splits, top_of
from trainer.data.storage import Place
from trainer.errors import DataError
from trainer.runtime.messages import warn


def dataset_of(
    top: Top, kind: str, pattern: re.Pattern[str], more: dict[str, dict[str, int]] | None = None
) -> Dataset | None:
    """The dataset of the files whose names match ``pattern``; None where they are no splits.

    Args:
      pattern: of a whole name, with groups ``split`` and ``number`` and, where names state the number of
        shards, ``of``.
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


def split_folders(top: Top, suffixes: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Folders of splits that hold nothing but shards: folder -> {path of a shard: bytes}."""
    shards = {}
    for folder in named_splits(top.folders).values():
        inside = top_of(Place(top.place.address(folder)))
        if inside.files and not inside.folders and all(name.endswith(suffixes) for name in inside.files):
            shards[folder] = {f"{folder}/{name}": size for name, size in inside.files.items()}
    return shards


def _check_complete(place: Place, shards: dict[str, int], pattern: re.Pattern[str]) -> None:
    """Raise DataError where the names state a number of shards and some are missing; else warn of gaps."""
    matches = [match for name in shards if (match := pattern.fullmatch(name))]
    counts = {int(match["of"]) for match in matches if match.groupdict().get("of")}
    if not counts:
        _warn_of_gaps(place, matches)
        return
    if counts != {len(shards)}:
        numbers = {int(match["number"]) for match in matches}
        missing = next(number for number in itertools.count() if number not in numbers)
        raise DataError(
            f"data: {place.address(matches[0][0])} and the like must be {max(counts)} shards, "
            f"got {len(shards)}" + (f": number {missing} is missing" if missing < max(counts) else ""),
            "copy the missing shards",
        )


def _warn_of_gaps(place: Place, matches: list[re.Match[str]]) -> None:
    """Warn of missing numbers; no error, as these names do not state a total and a gap may be intended."""
    numbers = sorted((int(match["number"]), match[0]) for match in matches if match["number"])
    for (before, name), (after, _) in itertools.pairwise(numbers):
        if after > before + 1:
            warn(f"data: shard {before + 1} is missing after {place.address(name)}")
