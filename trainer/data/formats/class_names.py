"""Names of classes for shards whose labels lie inside the records."""

from collections.abc import Callable

from trainer.data.encoded import CLASS_FILES, BadImage, class_names_of
from trainer.data.storage import Place
from trainer.errors import DataError

SCANNED_BYTES = 2**30  # reading more than this only to count classes would cost minutes on every host


def from_file(place: Place) -> list[str] | None:
    """The names in classes.txt or labels.txt beside the shards; None where there is neither."""
    for name in CLASS_FILES:
        if text := place.read_if_there(name):
            return class_names_of(text, place.address(name))
    return None


def by_reading(place: Place, size: int, total_bytes: int, label: Callable[[int], int]) -> list[str]:
    """The numbers from 0 to the largest label, found by reading every record; damaged ones are passed over.

    Raises:
      DataError: that would take too long.
    """
    if total_bytes > SCANNED_BYTES:
        raise DataError(
            f"data: {place.path} must say which classes there are",
            f"write {place.address(CLASS_FILES[0])}, a name a line in the order of the labels",
        )
    largest = 0
    for position in range(size):
        try:
            largest = max(largest, label(position))
        except BadImage:
            continue
    return [str(number) for number in range(largest + 1)]
