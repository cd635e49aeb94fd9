"""Encoded: the undecoded examples of one split."""

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from trainer.errors import DataError

# The trainer's name of a split -> the names that it may have in folders and files.
SPLIT_NAMES = {"train": ("train", "training"), "test": ("validation", "val", "test")}
CLASS_FILES = ("classes.txt", "labels.txt")

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
    """Class names from a file with one per line; an empty last line does not count.

    Raises:
      DataError: the file at ``address`` is not UTF-8.
    """
    try:
        return text.decode().rstrip("\n").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"data: {address} must be UTF-8 with one name per line: {error}") from None


def check_label(label: int, classes: int) -> int:
    """Return the label; raise BadImage unless it is in 0..classes-1."""
    if not 0 <= label < classes:
        raise BadImage(f"its label must be 0..{classes - 1}, got {label}")
    return label
