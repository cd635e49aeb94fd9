"""Image folders without splits: ``<class>/<image>``; ``data.val_share`` holds a part out for evaluation."""

import itertools

from trainer.config import DataConfig
from trainer.data.encoded import Encoded
from trainer.data.formats import folder
from trainer.data.formats.dataset import Dataset, Top
from trainer.data.formats.image_files import is_image
from trainer.data.storage import Place

PROBED = 8  # folders that are listed to learn whether they are classes


def matches(top: Top) -> Dataset | None:
    """The dataset where a subfolder holds images."""
    for name in itertools.islice(top.folders, PROBED):
        if any(map(is_image, Place(top.place.address(name)).top_level()[1])):
            return Dataset(place=top.place, kind="unsplit", splits={"train": ""})
    return None


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """All images, whose classes are the subfolders.

    Raises:
      DataError: as `folder.open_split`.
    """
    return folder.open_split(dataset, split, config)
