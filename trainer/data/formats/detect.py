"""A dataset by its path: what is it, and which of its files are which split?"""

import itertools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import SPLIT_NAMES, Encoded
from trainer.data.formats import folder, idx, packed, tar, tfds, tfrecord
from trainer.data.images import decoded
from trainer.data.source import Source
from trainer.data.storage import Place
from trainer.errors import DataError
from trainer.metrics.display import warn

KINDS = "an image folder, IDX, ArrayRecord (packed or TFDS), TFRecord or tar shards"
SHARDS = {
    "tfds": re.compile(r".*-(?P<split>[a-z]+)\.array_record-\d{5}-of-(?P<of>\d{5})"),
    "tfrecord": re.compile(r"(?:.*-)?(?P<split>[a-z]+)(?:\.tfrecord)?-\d{5}-of-(?P<of>\d{5})"),
    "tar": re.compile(r"(?:.*-)?(?P<split>[a-z]+)-\d+\.tar"),
}
Opener = Callable[["Dataset", str, DataConfig], Encoded]
IDX_FILE = re.compile(r"(?P<split>train|t10k)-images-idx3-ubyte(\.gz)?")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What was found at a path.

    Args:
      kind: a key of OPEN.
      splits: the trainer's word for a split -> what it is called here.
      shards: of the same splits, where they are shards: their names and sizes.
    """

    place: Place
    kind: str
    splits: dict[str, str]
    shards: dict[str, dict[str, int]] = field(default_factory=dict)


def find(path: str) -> Dataset:
    """Finds out what a path holds, from the names of its files alone.

    Raises:
      DataError: it does not exist, is not a dataset, or lacks shards.
    """
    place = Place(path)
    folders, files = place.top()
    if packed.MANIFEST in files:
        splits = packed.read_manifest(place)["splits"]
        shards = {s: {shard["name"]: shard["bytes"] for shard in splits[s]["shards"]} for s in splits}
        return Dataset(place=place, kind="packed", splits={s: s for s in splits}, shards=shards)
    if "pack.json" in files:
        raise DataError(f"data: {path} is not finished", "the same `data pack` command again goes on with it")
    if any(name.endswith(".index.npy") for name in files):
        raise DataError(f"data: {path} is packed, but lacks {packed.MANIFEST}", "copy or pack it again")
    if not place.remote and place.local().is_file():
        raise DataError(f"data: {path} must be a folder, got a file", f"it may hold {KINDS}")
    if not folders and not files:
        raise DataError(f"data: {path} must be a dataset, got nothing there", f"it may be {KINDS}")
    for match in (_idx, _shards, _folders):
        if found := match(place, folders, files):
            return found
    some = ", ".join([*(f"{name}/" for name in folders), *files][:5])
    raise DataError(f"data: {path} must be {KINDS}, got {some}", "train/CLASS/IMAGE.jpg is the simplest")


def _idx(place: Place, folders: list[str], files: dict[str, int]) -> Dataset | None:
    words = {match["split"] for name in files if (match := IDX_FILE.fullmatch(name))}
    found = {split: word for split, word in idx.FILES.items() if word in words}
    return Dataset(place=place, kind="idx", splits=found) if found else None


def _shards(place: Place, folders: list[str], files: dict[str, int]) -> Dataset | None:
    """Shards beside each other; tar shards also in a folder a split."""
    for kind, pattern in SHARDS.items():
        shards: dict[str, dict[str, int]] = {}
        for name, size in files.items():
            if match := pattern.fullmatch(name):
                shards.setdefault(match["split"], {})[name] = size
        if kind == "tar":
            shards |= _tar_folders(place, folders)
        if found := _by_split(shards):
            for split in found.values():
                _check_complete(place, shards[split], pattern)
            of_splits = {split: shards[word] for split, word in found.items()}
            return Dataset(place=place, kind=kind, splits=found, shards=of_splits)
    return None


def _tar_folders(place: Place, folders: list[str]) -> dict[str, dict[str, int]]:
    found = {}
    for word in _by_split(folders).values():
        deeper, inside = Place(place.address(word)).top()
        if inside and not deeper and all(name.endswith(".tar") for name in inside):
            found[word] = {f"{word}/{name}": size for name, size in inside.items()}
    return found


def _folders(place: Place, folders: list[str], files: dict[str, int]) -> Dataset | None:
    found = _by_split(folders)
    return Dataset(place=place, kind="folder", splits=found) if found else None


def _by_split(words: Collection[str]) -> dict[str, str]:
    """The trainer's word for a split -> the first of its names that is among these."""
    found = {split: [n for n in names if n in words] for split, names in SPLIT_NAMES.items()}
    return {split: names[0] for split, names in found.items() if names}


def _check_complete(place: Place, shards: dict[str, int], pattern: re.Pattern[str]) -> None:
    """Where the names say how many shards there are, all must be there."""
    if "of" not in pattern.groupindex:
        _warn_of_gaps(place, shards, pattern)
        return
    counts = {int(match["of"]) for name in shards if (match := pattern.fullmatch(name))}
    if counts != {len(shards)}:
        first = next(iter(shards))
        numbers = {int(name[-14:-9]) for name in shards}
        absent = sorted(set(range(max(counts))) - numbers)
        raise DataError(
            f"data: {place.address(first)} and the like must be {max(counts)} shards, got {len(shards)}"
            + (f": number {absent[0]} is missing" if absent else ""),
            "copy the missing shards",
        )


def _warn_of_gaps(place: Place, shards: dict[str, int], pattern: re.Pattern[str]) -> None:
    """Numbers alone do not tell how many shards there should be; one that is left out may be meant so."""
    numbers = sorted((int(name[:-4].rpartition("-")[2]), name) for name in shards if pattern.fullmatch(name))
    for (before, name), (after, _) in itertools.pairwise(numbers):
        if after > before + 1:
            warn(f"data: shard {before + 1} is missing after {place.address(name)}")


def encoded(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """Opens one split, undecoded.

    Raises:
      DataError: it is missing or damaged.
    """
    if split not in dataset.splits:
        raise DataError(
            f"data: {dataset.place.path} must hold a split '{split}', got {', '.join(dataset.splits)}",
            f"it is called {' or '.join(SPLIT_NAMES[split])} in the names of folders and shards",
        )
    return OPEN[dataset.kind](dataset, split, config)


def _open_folder(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    here = dataset.splits[split]
    return folder.load(dataset.place, here, class_folder=dataset.splits.get("train", here))


def _open_idx(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    pixels, labels, names = idx.read_split(dataset.place, split)
    return Encoded(
        format="idx",
        class_names=names,
        size=len(labels),
        read=lambda index: (np.repeat(pixels[index], 3, axis=-1), int(labels[index])),
        name=lambda index: f"{dataset.place.path} {split} example {index}",
    )


def _open_packed(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    return packed.load(dataset.place, split, config)


def _open_shards(load: Callable[[Place, dict[str, int], DataConfig], Encoded]) -> Opener:
    return lambda dataset, split, config: load(dataset.place, dataset.shards[split], config)


OPEN: dict[str, Opener] = {
    "folder": _open_folder,
    "idx": _open_idx,
    "packed": _open_packed,
    "tfds": _open_shards(tfds.load),
    "tfrecord": _open_shards(tfrecord.load),
    "tar": _open_shards(tar.load),
}


def load(split: str, config: DataConfig) -> Source:
    """The split as the trainer sees it; IDX keeps its pixels as they are, all else is cropped and resized."""
    dataset = find(config.name)
    if dataset.kind == "idx":
        return idx.load_from(dataset.place, split)
    return decoded.source_of(encoded(dataset, split, config), config)
