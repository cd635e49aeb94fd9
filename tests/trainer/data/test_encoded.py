"""Reading ahead: in order, with a bounded number of reads, each error at its own position."""

import threading

import numpy as np
import pytest

from trainer.data.encoded import BadImage, Encoded, parse_class_names
from trainer.errors import DataError


def dataset(concurrent_reads: int, most: list[int]) -> Encoded:
    """Examples with their index as label, example 5 damaged; ``most[0]`` is the peak of concurrent reads."""
    under_way, lock, together = 0, threading.Lock(), threading.Barrier(concurrent_reads)

    def read(index: int) -> tuple[np.ndarray, int]:
        nonlocal under_way
        with lock:
            under_way += 1
            most[0] = max(most[0], under_way)
        together.wait(timeout=10)  # returns once all concurrent reads have begun
        with lock:
            under_way -= 1
        if index == 5:
            raise BadImage("it is damaged")
        return np.zeros((1, 1, 3), np.uint8), index

    return Encoded(
        format="x", class_names=["a"], size=12, read=read, name=str, concurrent_reads=concurrent_reads
    )


@pytest.mark.parametrize("concurrent_reads", [1, 4])
def test_reads_are_concurrent_and_come_in_order(concurrent_reads: int) -> None:
    most, results = [0], []
    for read in dataset(concurrent_reads, most).read_ahead(range(12)):
        try:
            results.append(read()[1])
        except BadImage as error:
            results.append(str(error))
    assert results == [0, 1, 2, 3, 4, "it is damaged", 6, 7, 8, 9, 10, 11]
    assert most == [concurrent_reads]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"cat\ndog\n", ["cat", "dog"]),
        (b"cat\r\ndog\r\n\r\n", ["cat", "dog"]),
        (b"\xef\xbb\xbfcat\ndog", ["cat", "dog"]),
        (b"sea lion\ncafe\xcc\x81", ["sea lion", "caf\u00e9"]),
    ],
)
def test_a_file_of_class_names_has_one_per_line(content, names):
    assert parse_class_names(content, "classes.txt") == names


@pytest.mark.parametrize("content", [b"cat\n\ndog\n", b"cat\x0bdog\n", "cat\u2028dog".encode(), b"\x1b[2J\n"])
def test_a_line_that_is_no_class_name_is_refused(content):
    with pytest.raises(DataError, match=r"data: classes.txt line \d must be a class name"):
        parse_class_names(content, "classes.txt")
