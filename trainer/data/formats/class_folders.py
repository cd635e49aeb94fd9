"""Folders of classes: their names, and the label of each image by the folder that it lies in."""

from collections.abc import Sequence

import numpy as np

from trainer.data.names import class_name, printable
from trainer.data.passed_over import is_system
from trainer.data.storage import Place
from trainer.errors import DataError

LISTED = 5  # bad paths that an error names


def class_folders(place: Place, folder: str) -> list[str]:
    """Names of the classes, sorted: the subfolders of the training split.

    Args:
      folder: of the training split; empty: the dataset's own.

    Raises:
      DataError: a folder has no name that a class can have, or two have the same.
    """
    folders, _ = Place(place.address(folder)).top_level()
    spellings: dict[str, str] = {}
    for name in folders:
        if is_system(name):
            continue
        normal = class_name(name, printable(place.address(f"{folder}/{name}" if folder else name)))
        if normal in spellings:
            raise DataError(
                f"data: classes in {place.address(folder)} must have different names, got {normal!r} twice: "
                f"{spellings[normal]!a} and {name!a}",
                "Unicode has two spellings of an accented letter; move the images into one folder",
            )
        spellings[normal] = name
    return sorted(spellings)


def labels_by_folder(
    place: Place, names: Sequence[str], folder: str, class_folder: str, classes: Sequence[str]
) -> np.ndarray:
    """The label of each image, [N] int32.

    Args:
      names: of the images, below ``folder``.
      folder: of the split; empty: the dataset's own.
      class_folder: that of the training split, for messages.

    Raises:
      DataError: some lie outside of the folders of classes; the message names the first and their number.
    """
    positions = {name: position for position, name in enumerate(classes)}
    by_folder: dict[str, int | None] = {}
    labels, outside = np.empty(len(names), np.int32), []
    start = len(folder) + 1 if folder else 0
    for row, name in enumerate(names):
        first, *below = name[start:].split("/", 1)
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
        example = f"{folder}/CLASS/IMAGE.jpg" if folder else "CLASS/IMAGE.jpg"
        flat = folder != class_folder and all("/" not in name[start:] for name in outside)
        instead = "; --set data.val_share=0.1 evaluates on a part of the training images" if flat else ""
        raise DataError(
            f"data: {listed}{more} must lie in the folder of a class, "
            f"got {printable(outside[0][start:].split('/')[0])!r}",
            f"images are {example}; the classes are the folders in {class_folder or place.path}/{instead}",
        )
    return labels


def _normal(name: str) -> str:
    try:
        return class_name(name, "")
    except DataError:  # it cannot be the name of a class
        return ""
