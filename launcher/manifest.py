"""Objects -> YAML, once, at the very end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def to_yaml(objects: Iterable[Any]) -> str:
    """YAML documents, keys in the order they were built, without anchors."""
    import yaml

    fast: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    # What stands twice, such as the labels, is written out twice, not as &id001 and *id001.
    dumper = type("Dumper", (fast,), {"ignore_aliases": lambda self, data: True})
    return yaml.dump_all(
        objects, Dumper=dumper, sort_keys=False, default_flow_style=False, width=110, allow_unicode=True
    )
