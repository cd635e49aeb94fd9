"""ImageNet as Kaggle ships it: a folder per class for training, a flat one with a CSV file for evaluation.

LOC_val_solution.csv has the columns ImageId and PredictionString, which begins with the class:
``ILSVRC2012_val_00000001,n01751748 111 108 431 500``. LOC_synset_mapping.txt lists the classes, one
per line: ``n01440764 tench, Tinca tinca``. The names of classes are the WordNet identifiers, as in every
folder of ImageNet. The words are no names: two classes are called crane.
"""

from trainer.config import DataConfig
from trainer.data.encoded import Encoded
from trainer.data.formats import folder, label_texts, text_list
from trainer.data.formats.class_folders import class_folders
from trainer.data.formats.dataset import Dataset, Top, named_splits, top_of
from trainer.data.formats.file_images import open_files
from trainer.data.formats.image_files import is_image, passed_over
from trainer.data.formats.listed_names import Files
from trainer.data.passed_over import is_system
from trainer.data.storage import Place
from trainer.errors import DataError

SOLUTION, MAPPING = "LOC_val_solution.csv", "LOC_synset_mapping.txt"
IMAGES = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "")  # where the folders of the splits may lie
UNUSED = ("LOC_train_solution.csv", "LOC_sample_submission.csv")  # boxes, and the form of an answer


def matches(top: Top) -> Dataset | None:
    """The dataset where the labels of its flat folder lie beside the folders of images."""
    if SOLUTION not in top.files:
        return None
    for images in IMAGES:
        if images and images.partition("/")[0] not in top.folders:
            continue
        folders = top_of(Place(top.place.address(images))).folders
        splits = {split: name for split, name in named_splits(folders).items() if name.casefold() != "test"}
        if splits:
            prefix = f"{images}/" if images else ""
            unused = [f"{prefix}{name}" for name in folders if name not in splits.values()]
            unused += [name for name in UNUSED if name in top.files]
            paths = {split: f"{prefix}{name}" for split, name in splits.items()}
            return Dataset(place=top.place, kind="imagenet", splits=paths, unused=tuple(unused))
    return None


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """One split; that for evaluation may also be a folder per class.

    Raises:
      DataError: a list cannot be read, an image has no label, or a class is unknown.
    """
    place, path = dataset.place, dataset.splits[split]
    classes = _classes(dataset)
    if split == "train" or class_folders(place, path):
        return folder.open_split(dataset, split, config)
    listing = place.files(path, skip=is_system)
    files = Files(place, listing)
    names, texts, lines = [], [], []
    for row in _rows(place):
        names.append(files.resolve(row.cells[0], path, f"{place.address(SOLUTION)} line {row.line}"))
        texts.append(row.cells[1].split(" ", 1)[0])
        lines.append(row.line)
    address = place.address(SOLUTION)
    files.check_some_exist(names, address)
    _check_labelled(place, files, names, path)
    origin = f"those of {MAPPING}" if place.exists(MAPPING) else "the folders of the training split"
    labels = label_texts.positions(texts, lines, classes, address, origin)
    passed = passed_over([*files.unlisted(names)], listing.skipped)
    return open_files("imagenet", place, listing, names, labels, classes, passed)


def _rows(place: Place) -> list[text_list.Row]:
    """The rows of the CSV file below its header, sorted by image.

    Raises:
      DataError: it has other columns, or names an image twice.
    """
    address, size = place.address(SOLUTION), place.top_level()[1].get(SOLUTION, 0)
    header, *rows = list(text_list.rows(place, SOLUTION, size)) or [text_list.Row(1, ("",))]
    if [cell.casefold() for cell in header.cells] != ["imageid", "predictionstring"]:
        raise DataError(
            f"data: {address} line {header.line} must be ImageId,PredictionString, got {header.text}"
        )
    seen: dict[str, int] = {}
    for row in rows:
        if len(row.cells) != 2 or not all(row.cells):
            raise DataError(f"data: {address} line {row.line} must be an image and its class, got {row.text}")
        if (first := seen.setdefault(row.cells[0], row.line)) != row.line:
            raise DataError(
                f"data: {address} must name each image once, got {row.text} on lines {first} and {row.line}"
            )
    return sorted(rows, key=lambda row: row.cells[0])


def _check_labelled(place: Place, files: Files, names: list[str], path: str) -> None:
    """Raise DataError where an image has no row: it would be left out silently."""
    images = [name for name in files.unlisted(names) if is_image(name)]
    if images:
        more = f" and {len(images) - 1:,} more" if len(images) > 1 else ""
        raise DataError(
            f"data: {place.address(SOLUTION)} must have a row for every image in {path}, "
            f"got none for {images[0]}{more}",
            "fetch the file again, or remove the images",
        )


def _classes(dataset: Dataset) -> list[str]:
    """The classes: those of the mapping, which must be the folders of the training split.

    Raises:
      DataError: they differ; a class without a folder would shift the labels of all that follow.
    """
    place, train = dataset.place, dataset.splits.get("train")
    folders = class_folders(place, train) if train else []
    if not (size := place.top_level()[1].get(MAPPING)):
        return folders
    address = place.address(MAPPING)
    mapped = {row.cells[0].split(" ", 1)[0]: row.line for row in text_list.lines(place, MAPPING, size)}
    names = [label_texts.normal(name, f"{address} line {line}") for name, line in mapped.items()]
    if folders and sorted(names) != folders:
        odd = min(set(names) ^ set(folders))
        where = (
            f"it lists {odd}, without a folder" if odd in mapped else f"it lacks {odd}, which has a folder"
        )
        raise DataError(
            f"data: {address} must list the {len(folders):,} folders of {place.address(train or '')}, "
            f"got {len(names):,} classes: {where}",
            f"fetch the rest of the dataset, or move {MAPPING} away to train on fewer classes",
        )
    return sorted(names)
