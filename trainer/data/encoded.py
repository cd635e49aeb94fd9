"""Encoded: one split of a dataset as its files hold it, before anything is decoded."""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from trainer.errors import DataError

# What a folder or file of the split is called: the trainer's word first.
SPLIT_NAMES = {"train": ("train", "training"), "test": ("validation", "val", "test")}
CLASS_FILES = ("classes.txt", "labels.txt")

Example = tuple[bytes | np.ndarray, int]
Read = Callable[[], Example]


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
    read: Callable[[int], Example]
    name: Callable[[int], str]
    labels: np.ndarray | None = None  # [N], where they are known without reading every example
    at_once: int = 1  # reads that are worth having under way: more than one where each waits for a bucket

    def reading(self, indices: Iterable[int]) -> Iterator[Read]:
        """A function an index, in their order, that gives its example or raises BadImage."""
        if self.at_once == 1:
            yield from (functools.partial(self.read, index) for index in indices)
            return
        under_way: deque[Future[Example]] = deque()
        for index in indices:
            under_way.append(self._pool.submit(self.read, index))
            if len(under_way) == self.at_once:
                yield under_way.popleft().result
        while under_way:
            yield under_way.popleft().result

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.at_once, "read")


def class_names_of(text: bytes, address: str) -> list[str]:
    """One name a line; an empty last line does not count."""
    try:
        return text.decode().rstrip("\n").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"data: {address} must be names in UTF-8, a line each: {error}") from None


def check_label(label: int, classes: int) -> int:
    """Raises BadImage for a label without a class."""
    if not 0 <= label < classes:
        raise BadImage(f"its label must be 0..{classes - 1}, got {label}")
    return label
