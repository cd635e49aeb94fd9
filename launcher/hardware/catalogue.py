"""All slices that have a name of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from launcher.hardware import facts, topology
from launcher.hardware.slices import Slice, gpu, tpu


def generation(word: str) -> str | None:
    """The generation that a word such as `v5p` or `trillium` names, or None."""
    return facts.aliases(facts.generations()).get(word.lower())


def slices(only: str | None = None) -> list[Slice]:
    """The slices of every generation or of one, by generation and size.

    TPU slices all, each in its default topology; GPU slices of one host, of two, and the largest where
    there is a largest.
    """
    rows = [row for row in facts.generations().values() if only in (None, row["name"])]
    return [found for row in rows for found in sorted(_of(row), key=lambda s: (s.chips, s.name))]


def _of(row: dict[str, Any]) -> Iterator[Slice]:
    singles = row.get("single_vm", [])
    if row["kind"] == "tpu":
        yield from (tpu(row, str(topology.default(row, size))) for size in topology.sizes(row))
        yield from (tpu(row, str(topology.default(row, size)), single_vm=True) for size in singles)
    else:
        sizes = {*row["machines"], 2 * row["host"], row.get("max_chips", row["host"])}
        found = [gpu(row, size) for size in sizes] + [gpu(row, size, single_vm=True) for size in singles]
        yield from filter(None, found)
