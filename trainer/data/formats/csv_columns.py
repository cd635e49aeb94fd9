"""The columns of a CSV file with labels: which one names the image, its class and its split."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from trainer.data.formats.text_list import Row
from trainer.data.images import kinds
from trainer.data.names import printable
from trainer.errors import DataError

# Names of columns in lower case, the preferred one first. Names of classes come before their numbers.
FILE_NAMES = (
    *("file_name", "filename", "file", "image_name", "image_id", "imageid", "image", "img", "file_path"),
    *("filepath", "image_path", "path", "id", "name"),
)
LABEL_NAMES = (
    *("class_name", "classname", "label_name", "category_name", "label", "labels", "class", "category"),
    *("target", "tag", "class_id", "label_id", "category_id"),
)
SPLIT_NAMES = ("split", "set", "subset", "partition")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Positions of the columns.

    Args:
      split: None: the file has no column of splits.
      header: whether the first row holds the names of the columns.
    """

    file: int
    label: int
    split: int | None
    header: bool


def columns(first: Row, address: str) -> Columns:
    """The columns of a file, by the names in its first row.

    Two columns of other names are the image and its class. Without a header the first cell names an image.

    Raises:
      DataError: the columns cannot be told apart.
    """
    names = [cell.casefold() for cell in first.cells]
    file, label = _named(names, FILE_NAMES), _named(names, LABEL_NAMES)
    if file is not None and label is not None and file != label:
        return Columns(file=file, label=label, split=_named(names, SPLIT_NAMES), header=True)
    header = kinds.suffix_kind(first.cells[0]) is None
    if len(names) == 2 and (file in (None, 0) and label in (None, 1)):
        return Columns(file=0, label=1, split=None, header=header)
    raise DataError(
        f"data: {address} line {first.line} must name a column of files and one of labels, "
        f"got {', '.join(map(printable, first.cells[:8]))}",
        "name the columns file and label, and optionally split",
    )


def has_labels(first: Row) -> bool:
    """Whether a file has a column that could hold labels; one of file names alone is a list to predict."""
    names = [cell.casefold() for cell in first.cells]
    return len(names) > 1 and (_named(names, LABEL_NAMES) is not None or len(names) == 2)


def _named(names: Sequence[str], accepted: Collection[str]) -> int | None:
    return next((names.index(name) for name in accepted if name in names), None)
