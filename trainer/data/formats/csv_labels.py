"""Images whose labels are in CSV files: ``train.csv`` and ``val.csv``, or one file such as ``labels.csv``.

Each row names an image and its class. One file for all splits may have a column of splits. A file of labels
may also lie in the folder of its split, as ``train/metadata.csv``. Images lie anywhere below the dataset.
Their names are relative to it or to the folder of their split, and may lack leading folders and their suffix.
"""

import itertools
import re
from dataclasses import dataclass

from trainer.config import DataConfig
from trainer.data.encoded import CLASS_FILES, Encoded
from trainer.data.formats import class_names, csv_columns, label_texts, text_list
from trainer.data.formats.dataset import Dataset, Top, named_splits, top_of
from trainer.data.formats.file_images import open_files
from trainer.data.formats.image_files import passed_over
from trainer.data.formats.listed_names import Files
from trainer.data.passed_over import NOTHING, is_system
from trainer.data.storage import Place
from trainer.errors import DataError

SUFFIXES = (".csv", ".tsv")
WORD = "labels?|annotations?|images?|data|set|list|metadata|index"
# Names of files without suffix: of one split, and of all.
SPLIT = re.compile(
    rf"(?:(?:{WORD})[_-]?)?(?P<split>train|training|val|valid|validation|test)(?:[_-]?(?:{WORD}))?"
)
WHOLE = re.compile(rf"(?:{WORD})(?:[_-]?(?:{WORD}))?")
IN = " split "  # between the name of a file and the value of its column of splits, in the name of a split


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The rows of one split.

    Args:
      source: the address of their file.
      names: of files, as the rows name them.
      texts: labels in normal form.
      lines: of the rows in their file.
    """

    source: str
    names: list[str]
    texts: list[str]
    lines: list[int]


def matches(top: Top) -> Dataset | None:
    """The dataset where a CSV file lists images that no folders of classes hold.

    Raises:
      DataError: a file of labels cannot be read.
    """
    tables = _tables(top)
    if not tables or _has_class_folders(top):
        return None
    # A list of test images may have no labels, and a file of another name may be of anything.
    labelled = {
        name
        for name, size in tables.items()
        if _split_word(name) not in (None, "test") or _has_labels(top.place, name, size)
    }
    by_word = {word: name for name in tables if name in labelled and (word := _split_word(name))}
    splits = {split: by_word[word] for split, word in named_splits(by_word).items()}
    whole = next((name for name in tables if name in labelled and WHOLE.fullmatch(_stem(name))), None)
    if "train" not in splits and whole:
        splits = _splits_within(top.place, whole, tables[whole])
    if not splits:
        return None
    used = {name.partition(IN)[0] for name in splits.values()}
    folders = [name for split, name in named_splits(top.folders).items() if split not in splits]
    unused = (*(name for name in tables if name not in used), *folders)
    return Dataset(place=top.place, kind="csv", splits=splits, unused=unused)


def _tables(top: Top) -> dict[str, int]:
    """CSV files of the dataset and in the folders of its splits: name -> bytes."""
    sizes = dict(top.files)
    for folder in named_splits(top.folders).values():
        inside = top_of(Place(top.place.address(folder))).files
        sizes |= {f"{folder}/{name}": size for name, size in inside.items() if WHOLE.fullmatch(_stem(name))}
    return {name: size for name, size in sizes.items() if name.lower().endswith(SUFFIXES)}


def _stem(name: str) -> str:
    return name.rpartition(".")[0].casefold()


def _split_word(name: str) -> str | None:
    """The word for a split in the name of a file, or the name of the folder that it lies in."""
    folder, _, file = name.rpartition("/")
    match = SPLIT.fullmatch(_stem(file))
    return folder or (match["split"] if match else None)


def _has_class_folders(top: Top) -> bool:
    """Whether a folder of a split holds folders: then they are its classes, and a CSV file adds nothing."""
    return any(top_of(Place(top.place.address(name))).folders for name in named_splits(top.folders).values())


def _has_labels(place: Place, name: str, size: int) -> bool:
    first = next(text_list.rows(place, name, size), None)
    return first is not None and csv_columns.has_labels(first)


def _splits_within(place: Place, name: str, size: int) -> dict[str, str]:
    """The splits in one file of labels: those in its column of splits, or training alone.

    Raises:
      DataError: the column names no split.
    """
    rows = text_list.rows(place, name, size)
    first = next(rows)
    columns = csv_columns.columns(first, place.address(name))
    if columns.split is None:
        return {"train": name}
    values = {row.cells[columns.split] for row in rows if len(row.cells) > columns.split}
    splits = {split: f"{name}{IN}{value}" for split, value in named_splits(values).items()}
    if not splits:
        column, listed = first.cells[columns.split], ", ".join(sorted(values)[:5])
        raise DataError(
            f"data: {place.address(name)} must name splits in its column {column!r}, got {listed}",
            "splits are called train and val",
        )
    return splits


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """The images of one split, sorted by their names.

    Raises:
      DataError: a row cannot be read, names a file twice, or has a label that training has not.
    """
    place, top = dataset.place, top_of(dataset.place)
    sizes, folders = _tables(top), named_splits(top.folders)
    listing = place.files("", skip=is_system)
    files = Files(place, listing)
    tables = {name: _read(place, called, sizes) for name, called in dataset.splits.items()}
    paths = {name: _resolved(files, table, folders.get(name, "")) for name, table in tables.items()}
    table, training = tables[split], tables.get("train", tables[split])
    files.check_some_exist(paths[split], table.source)
    classes, origin = class_names.from_file(place), f"those of {' or '.join(CLASS_FILES)}"
    if classes is None:
        classes = label_texts.classes_of(training.texts, training.source)
        origin = f"the labels of {training.source}"
    labels = label_texts.positions(table.texts, table.lines, classes, table.source, origin)
    order = sorted(range(len(labels)), key=lambda row: paths[split][row])
    ordered, passed = [paths[split][row] for row in order], NOTHING
    if split == "train":
        listed = itertools.chain(*paths.values(), sizes, CLASS_FILES)
        unlisted = files.unlisted(listed, folders.get(split, ""))
        passed = passed_over(unlisted, listing.skipped, listed=False)
    return open_files("csv", place, listing, ordered, labels[order], classes, passed)


def _read(place: Place, called: str, sizes: dict[str, int]) -> Labels:
    """The rows of a split; raises DataError, naming the line, for a row without an image or label."""
    name, _, value = called.partition(IN)
    address = place.address(name)
    rows = text_list.rows(place, name, sizes[name])
    first = next(rows)
    columns = csv_columns.columns(first, address)
    labels = Labels(source=address, names=[], texts=[], lines=[])
    for row in rows if columns.header else itertools.chain([first], rows):
        cells = _cells(row, columns, address)
        if value and cells[2] != value:
            continue
        labels.names.append(cells[0])
        labels.texts.append(label_texts.normal(cells[1], f"{address} line {row.line}"))
        labels.lines.append(row.line)
    return labels


def _cells(row: text_list.Row, columns: csv_columns.Columns, address: str) -> tuple[str, str, str]:
    """The image, label and split in a row; raises DataError where it lacks one."""
    positions = (columns.file, columns.label, columns.label if columns.split is None else columns.split)
    if len(row.cells) <= max(positions) or not all(row.cells[position] for position in positions):
        raise DataError(
            f"data: {address} line {row.line} must hold an image and its label, got {row.text}",
            "columns are separated by commas; a name with a comma stands in double quotes",
        )
    file, label, split = (row.cells[position] for position in positions)
    return file, label, split


def _resolved(files: Files, labels: Labels, folder: str) -> list[str]:
    """The file of each row; raises DataError where two rows name one."""
    lines: dict[str, int] = {}
    for name, line in zip(labels.names, labels.lines, strict=True):
        path = files.resolve(name, folder, f"{labels.source} line {line}")
        if (first := lines.setdefault(path, line)) != line:
            raise DataError(
                f"data: {labels.source} must name each image once, got {path!r} on lines {first} and {line}",
                "an image with several labels cannot be used; give each image one row",
            )
    return list(lines)
