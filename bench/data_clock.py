"""Images per second and per core-second of any loader.

Only the standard library is imported, because every environment of bench/data.py runs this.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path


def core_seconds() -> float:
    """Return the CPU seconds that this process group has used so far."""
    group, total = os.getpgrp(), 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:  # the process has ended
            continue
        if int(fields[2]) == group:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def resident_mib() -> float:
    """Return the resident memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(batches: Iterator, warm: int, seconds: float) -> None:
    """Print images per second and per core-second. A batch is a number of images or has a length."""
    for _ in range(warm):
        next(batches)
    started, used, images = time.perf_counter(), core_seconds(), 0
    while time.perf_counter() - started < seconds:
        batch = next(batches)
        images += batch if isinstance(batch, int) else len(batch)
    print(images / (time.perf_counter() - started), images / (core_seconds() - used))
