"""EMNIST (Cohen et al. 2017, arXiv:1702.05373): its images are transposed, and its labels need a mapping.

Its datasets are byclass, bymerge, balanced, letters, digits and mnist. Files are called
emnist-letters-train-images-idx3-ubyte and the like. emnist-letters-mapping.txt has a line per label: the
label, and the characters that it stands for, as numbers. Labels of letters begin at 1, each for a capital and
a small letter.
"""

import re

import numpy as np

from trainer.data.formats import text_list
from trainer.data.names import class_name
from trainer.data.storage import Place
from trainer.errors import DataError

STEM = re.compile(r"emnist-([a-z]+)-(?:train|test)")
LINE = re.compile(r"\d{1,3}(?:[ \t]+\d{1,7}){1,8}", re.ASCII)


def subset(stem: str) -> str:
    """The dataset of EMNIST that a file belongs to; empty for other files.

    Args:
      stem: the beginning of its name, up to the split.
    """
    match = STEM.fullmatch(stem)
    return match[1] if match else ""


def upright(images: np.ndarray) -> np.ndarray:
    """Images [N, H, W, 1] as people read them; the files hold them by columns."""
    return np.ascontiguousarray(images.transpose(0, 2, 1, 3))


def classes(place: Place, name: str, labels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The labels [N] int32 counted from 0, and the characters of each class as its name.

    Args:
      name: of the dataset.
      labels: as the file has them, [N] uint8.

    Raises:
      DataError: the mapping is missing or damaged, or lacks a label.
    """
    file = f"emnist-{name}-mapping.txt"
    size = place.top_level()[1].get(file)
    address = place.address(file)
    if size is None:
        raise DataError(
            f"data: {address} does not exist", "it names the classes; copy it from EMNIST's archive"
        )
    characters: dict[int, str] = {}
    for row in text_list.lines(place, file, size):
        if not LINE.fullmatch(row.cells[0]):
            raise DataError(
                f"data: {address} line {row.line} must be a label and numbers of characters, got {row.text}"
            )
        label, *codes = map(int, row.cells[0].split())
        if label > 255 or max(codes) > 0x10FFFF or label in characters:
            raise DataError(f"data: {address} line {row.line} must be a new label up to 255, got {row.text}")
        characters[label] = class_name("".join(map(chr, codes)), f"{address} line {row.line}")
    positions = np.full(256, -1, np.int32)
    positions[sorted(characters)] = np.arange(len(characters))
    numbers = positions[labels]
    if (numbers < 0).any():
        row = int(np.flatnonzero(numbers < 0)[0])
        raise DataError(f"data: {address} must have every label, got none for {labels[row]} of example {row}")
    return numbers, [characters[label] for label in sorted(characters)]
