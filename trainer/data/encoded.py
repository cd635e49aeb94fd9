"""Encoded: one split of a dataset as its files hold it, before anything is decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.errors import DataError

# What a folder or file of the split is called: the trainer's word first.
SPLIT_NAMES = {"train": ("train", "training"), "test": ("validation", "val", "test")}
CLASS_FILES = ("classes.txt", "labels.txt")


class BadImage(Exception):
    """One example cannot be used; says why, without its name."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Random access to the undecoded examples of one split; both callables are safe in threads.

    ``read(index) -> (image, label)``: the image is a file's bytes, or pixels [H, W, 3] uint8 where the
    dataset keeps those. It raises BadImage where the example is damaged. ``name(index)`` is for people.
    """

    format: str
    class_names: Sequence[str]
    size: int
    read: Callable[[int], tuple[bytes | np.ndarray, int]]
    name: Callable[[int], str]
    labels: np.ndarray | None = None  # [N], where they are known without reading every example


def class_names_of(text: bytes) -> list[str]:
    """One name a line; an empty last line does not count."""
    try:
        return text.decode().rstrip("\n").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"data: class names must be UTF-8, a line each: {error}") from None


def check_label(label: int, classes: int) -> int:
    """Raises BadImage for a label without a class."""
    if not 0 <= label < classes:
        raise BadImage(f"its label must be 0..{classes - 1}, got {label}")
    return label
