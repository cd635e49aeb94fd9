"""The trainer's log: `progress`, `evaluate` and `event` lines are logfmt, all other lines are prose."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from launcher import contract

# A field of logfmt; a text with spaces or quotes is a JSON string.
PAIR = re.compile(r'(?:^| )([A-Za-z_][\w.]*)=("(?:[^"\\]|\\.)*"(?= |$)|[^ "]*(?= |$))')


@dataclass
class LogSummary:
    """The newest line of each kind and the best evaluation, as key -> value; times are unix seconds."""

    progress: contract.ProgressLine = field(default_factory=contract.ProgressLine)
    evaluate: contract.EvaluateLine = field(default_factory=contract.EvaluateLine)
    best: contract.EvaluateLine = field(default_factory=contract.EvaluateLine)  # of highest accuracy
    events: dict[str, float] = field(default_factory=dict)  # name -> when it last happened


def read(lines: Iterable[str]) -> LogSummary:
    """Read a log, oldest line first; prose and malformed lines are skipped."""
    summary = LogSummary()
    for line in lines:
        kind, _, pairs = line.partition(" ")
        if kind not in contract.document()["lines"]:
            continue
        values: Any = {key: _value(text) for key, text in PAIR.findall(pairs)}
        if kind == "progress":
            summary.progress = values
        elif kind == "evaluate":
            summary.evaluate = values
            summary.best = better(summary.best, values)
        elif isinstance(values.get("at"), (int, float)):
            summary.events[str(values.get("name"))] = float(values["at"])
    return summary


def better(one: contract.EvaluateLine, other: contract.EvaluateLine) -> contract.EvaluateLine:
    """Return the evaluation of higher accuracy; the first where they are equal or the second has none."""
    first, second = one.get("accuracy"), other.get("accuracy")
    if not isinstance(second, (int, float)):
        return one
    return one if isinstance(first, (int, float)) and first >= second else other


def _value(text: str) -> Any:
    """Return an int, a finite float, or the text itself: JSON has no infinity and no NaN."""
    if text.startswith('"'):
        try:
            return json.loads(text)
        except ValueError:
            return text
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
