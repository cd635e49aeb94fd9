"""The list of slices that `resnet-launch slices` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from launcher.hardware import facts, topology
from launcher.hardware.slices import Slice, gpu, tpu


def generation(word: str) -> str | None:
    """Return the generation that a word such as `v5p` or `trillium` names, or None."""
    return facts.aliases(facts.generations()).get(word.lower())


def slices(only: str | None = None) -> list[Slice]:
    """Return the slices of every generation, or of `only` one, ordered by generation and size.

    TPU slices are listed in full, each in its default topology. GPU slices are listed with one host, with
    two hosts, and in the largest size where the generation has one.
    """
    rows = [row for row in facts.generations().values() if only in (None, row["name"])]
    return [shape for row in rows for shape in sorted(_of_generation(row), key=lambda s: (s.chips, s.name))]


def generations() -> list[list[Slice]]:
    """Return the slices of each generation, as `slices` lists them."""
    return [slices(name) for name in facts.generations()]


def _of_generation(row: dict[str, Any]) -> Iterator[Slice]:
    singles = row.get("single_vm", [])
    if row["kind"] == "tpu":
        yield from (tpu(row, str(topology.default(row, size))) for size in topology.sizes(row))
        yield from (tpu(row, str(topology.default(row, size)), single_vm=True) for size in singles)
    else:
        sizes = {*row["machines"], 2 * row["host"], row.get("max_chips", row["host"])}
        candidates = [gpu(row, size) for size in sizes]
        candidates += [gpu(row, size, single_vm=True) for size in singles]
        yield from filter(None, candidates)
