"""Encoded: the undecoded examples of one split."""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from trainer.data.names import class_name
from trainer.data.passed_over import NOTHING, PassedOver
from trainer.errors import DataError

# The trainer's name of a split -> the names that it may have in folders and files,
# in any case, the preferred one first.
SPLIT_NAMES = {"train": ("train", "training"), "test": ("val", "valid", "validation", "test")}
CLASS_FILES = ("classes.txt", "labels.txt")
MAX_CLASSES = 1_000_000
MAX_IMAGE_BYTES = 2**30  # of an encoded image: 100 megapixels are 300 MB of pixels

Example = tuple[bytes | np.ndarray, int]
Read = Callable[[], Example]


class BadImage(Exception):
    """One example cannot be used; the message gives the reason, not the name of the example."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Random access to the undecoded examples of one split; both callables are safe in threads.

    ``read(index) -> (image, label)``: the image is the bytes of a file, or pixels [H, W, 3] uint8 where the
    dataset stores pixels. It raises BadImage for a damaged example. ``name(index)`` names an example in
    messages.
    """

    format: str
    class_names: Sequence[str]
    size: int
    read: Callable[[int], Example]
    name: Callable[[int], str]
    labels: np.ndarray | None = None  # [N] int32; None where only reading every example would give them
    concurrent_reads: int = 1  # more than one where each read waits for a bucket
    passed_over: PassedOver = NOTHING

    def empty_classes(self) -> list[str]:
        """Names of the classes without an example; none where only reading every example would tell."""
        if self.labels is None:
            return []
        counts = np.bincount(self.labels[self.labels >= 0], minlength=len(self.class_names))
        return [name for name, count in zip(self.class_names, counts, strict=False) if not count]

    def read_ahead(self, indices: Iterable[int]) -> Iterator[Read]:
        """One function per index, in order; it returns the example or raises BadImage.

        Up to ``concurrent_reads`` reads are under way at a time.
        """
        if self.concurrent_reads == 1:
            yield from (functools.partial(self.read, index) for index in indices)
            return
        pending: deque[Future[Example]] = deque()
        for index in indices:
            pending.append(self._pool.submit(self.read, index))
            if len(pending) == self.concurrent_reads:
                yield pending.popleft().result
        while pending:
            yield pending.popleft().result

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.concurrent_reads, "read")


def parse_class_names(text: bytes, address: str) -> list[str]:
    """Class names from a file with one per line, in normal form NFC; empty last lines do not count.

    Raises:
      DataError: the file at ``address`` is not UTF-8, or a line is no class name.
    """
    try:
        lines = text.decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"data: {address} must be UTF-8 with one name per line: {error}") from None
    return [class_name(line, f"{address} line {number}") for number, line in enumerate(lines, 1)]


def numbered_classes(count: int, source: str) -> list[str]:
    """The numbers from 0 as names of classes that have no others.

    Raises:
      DataError: there would be more than MAX_CLASSES; one damaged label would fill the memory with names.
    """
    if count > MAX_CLASSES:
        raise DataError(
            f"data: {source} must have labels of at most {MAX_CLASSES - 1:,}, got {count - 1:,}",
            f"repair the label, or write {CLASS_FILES[0]}: one name per line, in the order of the labels",
        )
    return [str(number) for number in range(count)]


def check_label(label: int, classes: int) -> int:
    """Return the label; raise BadImage unless it is in 0..classes-1."""
    if not 0 <= label < classes:
        raise BadImage(f"its label must be 0..{classes - 1}, got {label}")
    return label
