"""Food-101 (Bossard et al. 2014): ``images/CLASS/ID.jpg``, and a list of images per split.

meta/train.txt and meta/test.txt hold one image per line, ``apple_pie/1005649``. meta/classes.txt holds the
names of the classes, one per line.
"""

import itertools

from trainer.config import DataConfig
from trainer.data.encoded import CLASS_FILES, Encoded, parse_class_names
from trainer.data.formats import text_list
from trainer.data.formats.class_folders import class_folders, labels_by_folder
from trainer.data.formats.dataset import Dataset, Top, named_splits, top_of
from trainer.data.formats.file_images import open_files
from trainer.data.formats.image_files import passed_over
from trainer.data.formats.listed_names import Files
from trainer.data.passed_over import is_system
from trainer.data.storage import Place
from trainer.errors import DataError

IMAGES, LISTS = "images", "meta"


def matches(top: Top) -> Dataset | None:
    """The dataset of a folder with images and lists of them."""
    if not {IMAGES, LISTS} <= set(top.folders):
        return None
    files = top_of(Place(top.place.address(LISTS))).files
    names = named_splits([name.removesuffix(".txt") for name in files if name.endswith(".txt")])
    if "train" not in names:
        return None
    splits = {split: f"{LISTS}/{name}.txt" for split, name in names.items()}
    unused = tuple(name for name in top.folders if name not in (IMAGES, LISTS))
    return Dataset(place=top.place, kind="food-101", splits=splits, unused=unused)


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """The images of one list; the label of each is its folder.

    Raises:
      DataError: a list cannot be read, or names an image twice or outside of the folders of classes.
    """
    place, path = dataset.place, dataset.splits[split]
    listing = place.files(IMAGES, skip=is_system)
    classes = _classes(place)
    files = Files(place, listing)
    lists = {name: _listed(place, other, files) for name, other in dataset.splits.items()}
    names = lists[split]
    files.check_some_exist(names, place.address(path))
    labels = labels_by_folder(place, names, IMAGES, IMAGES, classes)
    unlisted = files.unlisted(itertools.chain(*lists.values())) if split == "train" else []
    passed = passed_over(unlisted, listing.skipped if split == "train" else 0, listed=False)
    return open_files("food-101", place, listing, names, labels, classes, passed)


def _listed(place: Place, path: str, files: Files) -> list[str]:
    """The files of a list, sorted."""
    address = place.address(path)
    size = top_of(Place(place.address(LISTS))).files[path.partition("/")[2]]
    lines: dict[str, int] = {}
    for row in text_list.lines(place, path, size):
        name = files.resolve(row.cells[0], IMAGES, f"{address} line {row.line}")
        if (first := lines.setdefault(name, row.line)) != row.line:
            raise DataError(
                f"data: {address} must name each image once, got {row.text} on lines {first} and {row.line}"
            )
    return sorted(lines)


def _classes(place: Place) -> list[str]:
    """The names in meta/classes.txt; without that file the folders of images, sorted."""
    name = f"{LISTS}/{CLASS_FILES[0]}"
    text = place.read_if_exists(name)
    return class_folders(place, IMAGES) if text is None else parse_class_names(text, place.address(name))
