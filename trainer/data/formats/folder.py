"""Image folders: ``train/<class>/<image>`` and ``val/<class>/<image>``, the layout of torchvision."""

from pathlib import PurePosixPath

import numpy as np

from trainer.data.encoded import Encoded
from trainer.data.storage import CONNECTIONS, Place
from trainer.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png")


def load(place: Place, folder: str, class_folder: str) -> Encoded:
    """One split of an image folder.

    Images lie at any depth below the folder of their class; other files are ignored.

    Args:
      folder: the folder of the split.
      class_folder: the folder of the training split, whose sorted subfolders are the classes.

    Raises:
      DataError: an image lies outside of the folders of classes.
    """
    names = [name for name in place.files(folder) if PurePosixPath(name).suffix.lower() in SUFFIXES]
    folders, _ = Place(place.address(class_folder)).top_level()
    classes = [name for name in folders if not name.startswith(".")]
    positions = {name: position for position, name in enumerate(classes)}
    labels = np.empty(len(names), np.int32)
    for row, name in enumerate(names):
        class_name = name.split("/")[1]
        if name.count("/") < 2 or class_name not in positions:
            raise DataError(
                f"data: {place.address(name)} must lie in the folder of a class, got {class_name!r}",
                f"images are {folder}/CLASS/IMAGE.jpg; the classes are the folders in {class_folder}/",
            )
        labels[row] = positions[class_name]
    return Encoded(
        format="folder",
        class_names=classes,
        size=len(names),
        read=lambda index: (place.read(names[index]), int(labels[index])),
        name=lambda index: place.address(names[index]),
        labels=labels,
        concurrent_reads=CONNECTIONS if place.remote else 1,
    )
