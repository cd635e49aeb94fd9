"""Detection of a dataset's format from the names of its files; a format is one module and one line here.

Its module has ``matches(top) -> Dataset | None`` and ``open_split(dataset, split, config) -> Encoded``.
"""

from types import ModuleType

from trainer.config import DataConfig
from trainer.data.encoded import SPLIT_NAMES, Encoded
from trainer.data.formats import (
    cifar,
    csv_labels,
    folder,
    food101,
    held_out,
    idx,
    imagenet,
    packed,
    parquet,
    tar,
    tfds,
    tfrecord,
    unsplit,
)
from trainer.data.formats.dataset import Dataset, Top, top_of
from trainer.data.formats.image_files import is_image
from trainer.data.images import decoded
from trainer.data.source import Source
from trainer.data.storage import Place
from trainer.errors import DataError, printable

KINDS = (
    "an image folder, images with CSV labels, ImageNet as Kaggle ships it, Food-101, CIFAR, IDX, "
    "ArrayRecord (packed or TFDS), TFRecord, Parquet or tar shards"
)
# Name of a format -> its module; the first that matches is taken.
FORMATS: dict[str, ModuleType] = {
    "packed": packed,
    "idx": idx,
    "cifar": cifar,
    "tfds": tfds,
    "tfrecord": tfrecord,
    "tar": tar,
    "parquet": parquet,
    "imagenet": imagenet,
    "food-101": food101,
    "csv": csv_labels,
    "folder": folder,
    "unsplit": unsplit,
}
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar", ".gz")
# Formats whose classes are folders: one without an image for training is a mistake.
CLASS_FOLDERS = ("folder", "unsplit", "imagenet", "food-101")


def find(path: str, subset: str = "") -> Dataset:
    """Detect the dataset at a path from the names of its files alone.

    Args:
      subset: which of several datasets there; empty: the only one.

    Raises:
      DataError: the path does not exist, holds no dataset, or lacks shards, or has no such subset.
    """
    if printable(path) != path:
        raise DataError(f"data: '{printable(path)}' must be a path in UTF-8 without control characters")
    place = Place(path)
    top = top_of(place, subset)
    if not place.remote and place.local().exists() and not place.local().is_dir():
        raise DataError(f"data: {path} must be a folder, got a file", f"it may hold {KINDS}")
    if not top.folders and not top.files:
        raise DataError(f"data: {path} must be a dataset, got nothing there", f"it may be {KINDS}")
    for module in FORMATS.values():
        if dataset := module.matches(top):
            if dataset.subset != subset:
                raise DataError(f"data.subset: must be empty for {path} ({dataset.kind}), got {subset!r}")
            return dataset
    names = ", ".join([*(f"{name}/" for name in top.folders), *top.files][:5])
    raise DataError(
        f"data: {path} must be {KINDS}, got {printable(names)}",
        _next_step(top),
    )


def _next_step(top: Top) -> str:
    """What would make a dataset of a folder that is none."""
    if archive := next((name for name in top.files if name.lower().endswith(ARCHIVES)), None):
        return f"unpack {printable(archive)} and name the folder that it makes"
    if any(map(is_image, top.files)):
        return "images need labels: a folder per class, train/CLASS/IMAGE.jpg, or labels.csv beside them"
    if len(top.folders) == 1 and not top.files:
        return f"name the folder within: {printable(top.place.address(top.folders[0]))}"
    return "train/CLASS/IMAGE.jpg is the simplest layout; docs/guides/data.md shows the others"


def resolved(config: DataConfig) -> Dataset:
    """Detect the dataset at the path ``config.name``, with the splits that the settings ask for.

    Raises:
      DataError: as `find`, or ``data.val_share`` cannot be applied.
    """
    return held_out.applied(find(config.name, config.subset), config)


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """Open one split, undecoded, whatever its classes hold.

    Raises:
      DataError: the split is missing or damaged.
    """
    if split not in dataset.splits:
        raise DataError(
            f"data: {dataset.place.path} must hold a split '{split}', got {', '.join(dataset.splits)}",
            f"its folders and shards are named {', '.join(SPLIT_NAMES[split])}, in any case"
            + _or_hold_out(split),
        )
    if dataset.held_out:
        return held_out.part(FORMATS[dataset.kind].open_split(dataset, "train", config), split, config)
    return FORMATS[dataset.kind].open_split(dataset, split, config)


def _or_hold_out(split: str) -> str:
    return "; --set data.val_share=0.1 holds out a tenth of the training images" if split == "test" else ""


def encoded(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """Open one split, undecoded, to be used.

    Raises:
      DataError: the split is missing, damaged or empty, or a folder of a class for training is.
    """
    data = open_split(dataset, split, config)
    check_classes(dataset, split, data)
    return data


def check_classes(dataset: Dataset, split: str, data: Encoded) -> None:
    """Check that a split has examples, and that of training some for each folder of a class.

    Raises:
      DataError: it has not; the message states what lies there instead.
    """
    address = dataset.place.address(dataset.splits[split])
    beside = f"; {'; '.join(data.passed_over.texts())}" if data.passed_over.texts() else ""
    if not data.size:
        raise DataError(f"data: split '{split}' in {address} must hold examples, got none{beside}")
    if dataset.kind in CLASS_FOLDERS and split == "train" and (empty := data.empty_classes()):
        names = ", ".join(empty[:10]) + (", …" if len(empty) > 10 else "")
        raise DataError(
            f"data: each class in {address} must have an image that is read, "
            f"got none in {len(empty)} of {len(data.class_names)}: {names}{beside}",
            "add images, convert those that are not read, or remove the folder",
        )


def source(dataset: Dataset, split: str, config: DataConfig) -> Source:
    """One split as the trainer reads it: IDX images as stored, all others cropped and resized."""
    if dataset.kind == "idx":
        return _idx_source(dataset, split, config)
    return decoded.as_source(encoded(dataset, split, config), config)


def _idx_source(dataset: Dataset, split: str, config: DataConfig) -> Source:
    """The images of IDX files as stored, or the part of them that is held out."""
    if not dataset.held_out:
        return idx.source(dataset, split)
    labels = idx.read_split(dataset.place, dataset.splits["train"])[1]
    return held_out.source_part(idx.source(dataset, "train"), labels, split, config)
