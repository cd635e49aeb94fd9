"""Image folders: ``train/<class>/<image>`` and ``val/<class>/<image>``, the layout of torchvision."""

from trainer.config import DataConfig
from trainer.data.encoded import Encoded
from trainer.data.formats.class_folders import class_folders, labels_by_folder
from trainer.data.formats.dataset import Dataset, Top, named_splits
from trainer.data.formats.file_images import open_files
from trainer.data.formats.image_files import is_image, passed_over
from trainer.data.passed_over import is_system
from trainer.errors import DataError, printable


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
    for name, instead in listing.unusable.items():
        top = "/" not in name.removeprefix(f"{folder}/")
        if top and instead.startswith("a link") and not is_image(name):
            address = place.address(name)
            raise DataError(
                f"data: {printable(address)} is {instead}, where the folder of a class is expected",
                "mount what it leads to, or remove it; left out, the dataset would have a class less",
            )
    names = sorted(filter(is_image, every))
    classes = class_folders(place, class_folder)
    labels = labels_by_folder(place, names, folder, class_folder, classes)
    passed = passed_over(every, listing.skipped)
    return open_files("folder", place, listing, names, labels, classes, passed)
