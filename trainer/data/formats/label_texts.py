"""Labels that a list gives as text -> numbers, by the names of the classes."""

from collections.abc import Iterable, Sequence

import numpy as np

from trainer.data.encoded import MAX_CLASSES
from trainer.data.names import class_name
from trainer.errors import DataError

MAX_DIGITS = 18  # of a number; Python refuses to read more than 4,300


def classes_of(texts: Iterable[str], source: str) -> list[str]:
    """The different labels, sorted: by their number where all are numbers.

    Raises:
      DataError: there are more than MAX_CLASSES.
    """
    names = set(texts)
    if len(names) > MAX_CLASSES:
        raise DataError(f"data: {source} must have at most {MAX_CLASSES:,} labels, got {len(names):,}")
    if all(name.isascii() and name.isdigit() and len(name) <= MAX_DIGITS for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def normal(text: str, where: str) -> str:
    """A label in normal form; raises DataError, naming file and line, where it is none."""
    return class_name(text, f"the label in {where}")


def positions(
    texts: Sequence[str], lines: Sequence[int], classes: Sequence[str], source: str, origin: str
) -> np.ndarray:
    """The label of each text, [N] int32: the position of its name, or the number that it is.

    Args:
      lines: of the texts in ``source``, for messages.
      classes: names; a number that is none of them counts from 0 in them.
      origin: where the classes come from, for messages.

    Raises:
      DataError: a text is no class; the message names its line.
    """
    by_name = {name: position for position, name in enumerate(classes)}
    numbers = not any(text in by_name for text in set(texts))
    if numbers:
        by_name = {str(position): position for position in range(len(classes))}
    labels = np.empty(len(texts), np.int32)
    for row, text in enumerate(texts):
        position = by_name.get(text)
        if position is None:
            raise DataError(
                f"data: the label in {source} line {lines[row]} must be one of the {len(classes):,} classes, "
                f"got {text!r}",
                f"the classes are {origin}",
            )
        labels[row] = position
    return labels
