"""Image folders: ``train/<class>/<image>`` and ``val/<class>/<image>``, the layout of torchvision."""

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import MAX_IMAGE_BYTES, BadImage, Encoded
from trainer.data.formats.dataset import Dataset, Top, named_splits
from trainer.data.formats.image_files import is_image, passed_over
from trainer.data.names import class_name, printable
from trainer.data.passed_over import is_system
from trainer.data.storage import CONNECTIONS, Place
from trainer.errors import DataError

LISTED = 5  # bad paths that an error names


def matches(top: Top) -> Dataset | None:
    """The dataset where a folder has the name of a split."""
    splits = named_splits(top.folders)
    if not splits:
        return None
    unused = tuple(name for name in top.folders if name not in splits.values())
    return Dataset(place=top.place, kind="folder", splits=splits, unused=unused)


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """One split of an image folder.

    Images lie at any depth below the folder of their class, which is a subfolder of the training split.

    Raises:
      DataError: an image lies outside of the folders of classes, or a folder cannot be a class.
    """
    place, folder = dataset.place, dataset.splits[split]
    class_folder = dataset.splits.get("train", folder)
    listing = place.files(folder, skip=is_system)
    every = [*listing.sizes, *listing.unusable]
    names = sorted(filter(is_image, every))
    classes = class_folders(place, class_folder)
    labels = _labels(place, names, class_folder, classes)

    def read(index: int) -> tuple[bytes, int]:
        name = names[index]
        if instead := listing.unusable.get(name):
            raise BadImage(f"it must be a file, got {instead}")
        if listing.sizes[name] > MAX_IMAGE_BYTES:
            raise BadImage(f"it must have at most 1 GiB, got {listing.sizes[name] / 2**30:.1f}")
        return place.read(name), int(labels[index])

    return Encoded(
        format="folder",
        class_names=classes,
        size=len(names),
        read=read,
        name=lambda index: printable(place.address(names[index])),
        labels=labels,
        concurrent_reads=CONNECTIONS if place.remote else 1,
        passed_over=passed_over(every, listing.skipped),
    )


def class_folders(place: Place, folder: str) -> list[str]:
    """Names of the classes, sorted: the subfolders of the training split.

    Raises:
      DataError: a folder has no name that a class can have, or two have the same.
    """
    folders, _ = Place(place.address(folder)).top_level()
    spellings: dict[str, str] = {}
    for name in folders:
        if is_system(name):
            continue
        normal = class_name(name, printable(place.address(f"{folder}/{name}")))
        if normal in spellings:
            raise DataError(
                f"data: classes in {place.address(folder)} must have different names, got {normal!r} twice: "
                f"{spellings[normal]!a} and {name!a}",
                "Unicode has two spellings of an accented letter; move the images into one folder",
            )
        spellings[normal] = name
    return sorted(spellings)


def _labels(place: Place, names: list[str], class_folder: str, classes: list[str]) -> np.ndarray:
    """The label of each image, [N] int32.

    Raises:
      DataError: some lie outside of the folders of classes; the message names the first and their number.
    """
    positions = {name: position for position, name in enumerate(classes)}
    by_folder: dict[str, int | None] = {}
    labels, outside = np.empty(len(names), np.int32), []
    for row, name in enumerate(names):
        _, first, *below = name.split("/", 2)
        if first not in by_folder:
            by_folder[first] = positions.get(_normal(first))
        label = by_folder[first] if below else None
        if label is None:
            outside.append(name)
        else:
            labels[row] = label
    if outside:
        listed = ", ".join(printable(place.address(name)) for name in outside[:LISTED])
        more = f" and {len(outside) - LISTED:,} more" if len(outside) > LISTED else ""
        raise DataError(
            f"data: {listed}{more} must lie in the folder of a class, "
            f"got {printable(outside[0].split('/')[1])!r}",
            f"images are {outside[0].split('/')[0]}/CLASS/IMAGE.jpg; the classes are the folders in "
            f"{class_folder}/",
        )
    return labels


def _normal(name: str) -> str:
    try:
        return class_name(name, "")
    except DataError:  # it cannot be the name of a class
        return ""
