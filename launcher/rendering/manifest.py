"""YAML of rendered objects, written once, at the very end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def to_yaml(objects: Iterable[Any]) -> str:
    """Return YAML documents: keys in the order they were built, no anchors, multi-line text as a block."""
    import yaml

    fast: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    # Repeated values such as the labels are written out each time, not as &id001 and *id001.
    dumper: Any = type("Dumper", (fast,), {"ignore_aliases": lambda self, data: True})
    dumper.add_representer(str, _text)
    return yaml.dump_all(
        objects, Dumper=dumper, sort_keys=False, default_flow_style=False, width=1 << 16, allow_unicode=True
    )


def _text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
