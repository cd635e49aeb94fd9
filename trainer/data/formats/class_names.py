"""Class names of shards that hold their labels inside the records."""

from collections.abc import Callable

from trainer.data.encoded import CLASS_FILES, BadImage, numbered_classes, parse_class_names
from trainer.data.storage import Place
from trainer.errors import DataError

SCAN_LIMIT_BYTES = 2**30  # reading more only to count classes would take minutes on every host


def from_file(place: Place) -> list[str] | None:
    """The names in classes.txt or labels.txt beside the shards; None where neither exists."""
    for name in CLASS_FILES:
        if text := place.read_if_exists(name):
            return parse_class_names(text, place.address(name))
    return None


def from_records(place: Place, size: int, total_bytes: int, label: Callable[[int], int]) -> list[str]:
    """The numbers from 0 to the largest label, after reading every record; damaged records are skipped.

    Args:
      size: number of records.
      total_bytes: of all shards.
      label: the label of a record by its position; raises BadImage.

    Raises:
      DataError: reading every record would take too long.
    """
    if total_bytes > SCAN_LIMIT_BYTES:
        raise DataError(
            f"data: {place.path} must have a file of class names, got none beside its shards",
            f"write {place.address(CLASS_FILES[0])}: one name per line, in the order of the labels",
        )
    largest = 0
    for position in range(size):
        try:
            largest = max(largest, label(position))
        except BadImage:
            continue
    return numbered_classes(largest + 1, place.path)
