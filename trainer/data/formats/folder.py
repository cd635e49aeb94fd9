"""Image folders: ``train/<class>/<image>`` and ``val/<class>/<image>``, as torchvision reads them."""

from pathlib import PurePosixPath

import numpy as np

from trainer.data.encoded import Encoded
from trainer.data.storage import CONNECTIONS, Place
from trainer.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png")


def load(place: Place, folder: str, class_folder: str) -> Encoded:
    """One split; classes are the sorted folders of ``class_folder``, which is the training split.

    Images lie in their class's folder at any depth; files of other kinds are passed over.
    """
    names = [name for name in place.files(folder) if PurePosixPath(name).suffix.lower() in SUFFIXES]
    folders, _ = Place(place.address(class_folder)).top()
    classes = [name for name in folders if not name.startswith(".")]
    positions = {name: position for position, name in enumerate(classes)}
    labels = np.empty(len(names), np.int32)
    for row, name in enumerate(names):
        found = name.split("/")[1]
        if name.count("/") < 2 or found not in positions:
            raise DataError(
                f"data: {place.address(name)} must lie in the folder of a class, got {found!r}",
                f"an image is {folder}/CLASS/IMAGE.jpg; the classes are the folders in {class_folder}/",
            )
        labels[row] = positions[found]
    return Encoded(
        format="folder",
        class_names=classes,
        size=len(names),
        read=lambda index: (place.read(names[index]), int(labels[index])),
        name=lambda index: place.address(names[index]),
        labels=labels,
        at_once=CONNECTIONS if place.remote else 1,
    )
