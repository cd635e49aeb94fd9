"""Images a second and a core-second of any loader; needs nothing but Python, for every environment."""

import os
import time
from collections.abc import Iterator
from pathlib import Path


def core_seconds() -> float:
    """What this process and all of its group have used so far."""
    group, total = os.getpgrp(), 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[2]) == group:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def resident_mib() -> float:
    """Of this process alone."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(batches: Iterator, warm: int, seconds: float) -> None:
    """Prints the two rates; each batch is a number of images, or has a length."""
    for _ in range(warm):
        next(batches)
    begun, used, images = time.perf_counter(), core_seconds(), 0
    while time.perf_counter() - begun < seconds:
        batch = next(batches)
        images += batch if isinstance(batch, int) else len(batch)
    print(images / (time.perf_counter() - begun), images / (core_seconds() - used))
