"""Detection of a dataset's format and splits from the names of its files."""

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
from trainer.runtime.messages import warn

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
    """A dataset at a path.

    Args:
      kind: its format, a key of OPEN.
      splits: the trainer's name of a split -> its name in this dataset.
      shards: split -> {name of a shard: bytes}; empty for formats without shards.
    """

    place: Place
    kind: str
    splits: dict[str, str]
    shards: dict[str, dict[str, int]] = field(default_factory=dict)


def find(path: str) -> Dataset:
    """Detect the dataset at a path from the names of its files alone.

    Raises:
      DataError: the path does not exist, holds no dataset, or lacks shards.
    """
    place = Place(path)
    folders, files = place.top_level()
    if packed.MANIFEST in files:
        splits = packed.read_manifest(place)["splits"]
        shards = {s: {shard["name"]: shard["bytes"] for shard in splits[s]["shards"]} for s in splits}
        return Dataset(place=place, kind="packed", splits={s: s for s in splits}, shards=shards)
    if "pack.json" in files:
        raise DataError(
            f"data: {path} is not finished", "run the same `data pack` command again to finish it"
        )
    if any(name.endswith(".index.npy") for name in files):
        raise DataError(
            f"data: {path} is a packed dataset without its {packed.MANIFEST}", "copy or pack it again"
        )
    if not place.remote and place.local().is_file():
        raise DataError(f"data: {path} must be a folder, got a file", f"it may hold {KINDS}")
    if not folders and not files:
        raise DataError(f"data: {path} must be a dataset, got nothing there", f"it may be {KINDS}")
    for detect in (_detect_idx, _detect_shards, _detect_folders):
        if dataset := detect(place, folders, files):
            return dataset
    names = ", ".join([*(f"{name}/" for name in folders), *files][:5])
    raise DataError(
        f"data: {path} must be {KINDS}, got {names}", "train/CLASS/IMAGE.jpg is the simplest layout"
    )


def _detect_idx(place: Place, folders: list[str], files: dict[str, int]) -> Dataset | None:
    names = {match["split"] for name in files if (match := IDX_FILE.fullmatch(name))}
    splits = {split: name for split, name in idx.FILES.items() if name in names}
    return Dataset(place=place, kind="idx", splits=splits) if splits else None


def _detect_shards(place: Place, folders: list[str], files: dict[str, int]) -> Dataset | None:
    """Shards in one folder; tar shards also in one folder per split."""
    for kind, pattern in SHARDS.items():
        shards: dict[str, dict[str, int]] = {}
        for name, size in files.items():
            if match := pattern.fullmatch(name):
                shards.setdefault(match["split"], {})[name] = size
        if kind == "tar":
            shards |= _tar_folders(place, folders)
        if splits := _named_splits(shards):
            for name in splits.values():
                _check_complete(place, shards[name], pattern)
            shards_by_split = {split: shards[name] for split, name in splits.items()}
            return Dataset(place=place, kind=kind, splits=splits, shards=shards_by_split)
    return None


def _tar_folders(place: Place, folders: list[str]) -> dict[str, dict[str, int]]:
    """Folders of splits that hold nothing but tar shards: folder -> {path of a shard: bytes}."""
    shards = {}
    for split_folder in _named_splits(folders).values():
        subfolders, files = Place(place.address(split_folder)).top_level()
        if files and not subfolders and all(name.endswith(".tar") for name in files):
            shards[split_folder] = {f"{split_folder}/{name}": size for name, size in files.items()}
    return shards


def _detect_folders(place: Place, folders: list[str], files: dict[str, int]) -> Dataset | None:
    splits = _named_splits(folders)
    return Dataset(place=place, kind="folder", splits=splits) if splits else None


def _named_splits(names: Collection[str]) -> dict[str, str]:
    """The trainer's name of a split -> the first of its accepted names that is among ``names``."""
    matches = {split: [n for n in accepted if n in names] for split, accepted in SPLIT_NAMES.items()}
    return {split: matching[0] for split, matching in matches.items() if matching}


def _check_complete(place: Place, shards: dict[str, int], pattern: re.Pattern[str]) -> None:
    """Raise DataError where the names state a number of shards and some are missing; else warn of gaps."""
    if "of" not in pattern.groupindex:
        _warn_of_gaps(place, shards, pattern)
        return
    counts = {int(match["of"]) for name in shards if (match := pattern.fullmatch(name))}
    if counts != {len(shards)}:
        first = next(iter(shards))
        numbers = {int(name[-14:-9]) for name in shards}
        missing = sorted(set(range(max(counts))) - numbers)
        raise DataError(
            f"data: {place.address(first)} and the like must be {max(counts)} shards, got {len(shards)}"
            + (f": number {missing[0]} is missing" if missing else ""),
            "copy the missing shards",
        )


def _warn_of_gaps(place: Place, shards: dict[str, int], pattern: re.Pattern[str]) -> None:
    """Warn of missing numbers; no error, as these names do not state a total and a gap may be intended."""
    numbers = sorted((int(name[:-4].rpartition("-")[2]), name) for name in shards if pattern.fullmatch(name))
    for (before, name), (after, _) in itertools.pairwise(numbers):
        if after > before + 1:
            warn(f"data: shard {before + 1} is missing after {place.address(name)}")


def encoded(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """Open one split, undecoded.

    Raises:
      DataError: the split is missing or damaged.
    """
    if split not in dataset.splits:
        raise DataError(
            f"data: {dataset.place.path} must hold a split '{split}', got {', '.join(dataset.splits)}",
            f"its folders and shards are named {' or '.join(SPLIT_NAMES[split])}",
        )
    return OPEN[dataset.kind](dataset, split, config)


def _open_folder(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    name = dataset.splits[split]
    return folder.load(dataset.place, name, class_folder=dataset.splits.get("train", name))


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
    """One split as the trainer reads it: IDX images as stored, all others cropped and resized."""
    dataset = find(config.name)
    if dataset.kind == "idx":
        return idx.load_folder(dataset.place, split)
    return decoded.as_source(encoded(dataset, split, config), config)
