"""The trainer's log lines: `progress`, `evaluate` and `event` lines are logfmt, the rest is prose."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

KINDS = ("progress", "evaluate", "event")


@dataclass
class Progress:
    """The newest of each kind of line; times are unix seconds."""

    progress: dict[str, Any] = field(default_factory=dict)
    evaluate: dict[str, Any] = field(default_factory=dict)
    events: dict[str, float] = field(default_factory=dict)  # name -> when it last happened


def read(lines: Iterable[str]) -> Progress:
    """Reads a log, oldest line first; what is not ours is passed over."""
    found = Progress()
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind not in KINDS:
            continue
        values = {key: _value(text) for key, _, text in (word.partition("=") for word in rest.split())}
        if kind == "progress":
            found.progress = values
        elif kind == "evaluate":
            found.evaluate = values
        elif isinstance(values.get("at"), (int, float)):
            found.events[str(values.get("name"))] = float(values["at"])
    return found


def _value(text: str) -> Any:
    """An int, a finite float, or the text: JSON has no other numbers."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
