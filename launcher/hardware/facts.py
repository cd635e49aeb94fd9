"""The facts of slices.yaml, read once: generations of hardware, their aliases, the vendors' numbers."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

Facts = dict[str, dict[str, Any]]


@functools.cache
def generations() -> Facts:
    """Return the rows of slices.yaml by generation, each with its `name` and `kind` added."""
    import yaml

    text = Path(__file__).with_name("slices.yaml").read_text(encoding="utf-8")
    kinds = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {
        name: {"name": name, "kind": kind, **row}
        for kind, rows in kinds.items()
        for name, row in rows.items()
    }


def aliases(facts: Facts) -> dict[str, str]:
    """Return every spelling of a generation -> its name in slices.yaml."""
    return {alias: name for name, row in facts.items() for alias in [name, *row.get("aliases", [])]}


def tpu_name(row: dict[str, Any], chips: int) -> str:
    """Return the name of the TPU slice with `chips` chips in the default topology.

    The number in the name counts TensorCores or chips, as the vendor's names do.
    """
    return f"{row['name']}-{chips * (row['cores_per_chip'] if row['counts'] == 'cores' else 1)}"
