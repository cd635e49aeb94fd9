"""Examples read ahead: in order, not too many at a time, each error at its own place."""

import threading

import numpy as np
import pytest

from trainer.data.encoded import BadImage, Encoded


def reads(at_once: int, most: list[int]) -> Encoded:
    """Gives the index as the label; example 5 is damaged. Notes the most reads that were under way."""
    under_way, lock, together = 0, threading.Lock(), threading.Barrier(at_once)

    def read(index: int) -> tuple[np.ndarray, int]:
        nonlocal under_way
        with lock:
            under_way += 1
            most[0] = max(most[0], under_way)
        together.wait(timeout=10)  # goes on only once so many have come
        with lock:
            under_way -= 1
        if index == 5:
            raise BadImage("it is damaged")
        return np.zeros((1, 1, 3), np.uint8), index

    return Encoded(format="x", class_names=["a"], size=12, read=read, name=str, at_once=at_once)


@pytest.mark.parametrize("at_once", [1, 4])
def test_reads_are_under_way_together_and_come_in_order(at_once: int) -> None:
    most, found = [0], []
    for read in reads(at_once, most).reading(range(12)):
        try:
            found.append(read()[1])
        except BadImage as why:
            found.append(str(why))
    assert found == [0, 1, 2, 3, 4, "it is damaged", 6, 7, 8, 9, 10, 11]
    assert most == [at_once]
