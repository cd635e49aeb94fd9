"""The log of a run: `progress`, `evaluate` and `event` lines are logfmt or JSON, all others are prose.

docs/reference/progress-lines.md says what any program may print.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from launcher import contract
from launcher.errors import printable
from launcher.runs.sentences import sentence

JSON_START = '{"kind":'
LARGEST = 2**63  # an integer beyond it counts nothing, and beyond 1e308 it cannot be formatted
LATEST = 1e11  # unix seconds in the year 5138: what is beyond is no time
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
        kind, values = parse(line)
        if kind == "progress" and type(values.get("step")) is int:
            summary.progress = values
        elif kind == "evaluate":
            summary.evaluate = values
            summary.best = better(summary.best, values)
        elif kind == "event" and isinstance(at := values.get("at"), (int, float)) and abs(at) < LATEST:
            summary.events[str(values.get("name"))] = float(at)
    return summary


def parse(line: str) -> tuple[str, Any]:
    """Return (kind, key -> value) of a line for programs; an empty kind for prose and malformed lines."""
    if line.startswith(JSON_START):
        return _from_json(line)
    kind, _, pairs = line.partition(" ")
    if kind not in contract.document()["lines"]:
        return "", {}
    return kind, {key: _value(text) for key, text in PAIR.findall(pairs)}


def for_people(line: str) -> str:
    """Return a line of a log as a sentence; prose and what lacks the values of its kind stay."""
    kind, values = parse(line)
    return (printable(sentence(kind, values)) if kind else "") or line


def _from_json(line: str) -> tuple[str, Any]:
    try:
        row = json.loads(line, parse_constant=str)
    except (ValueError, RecursionError):
        return "", {}
    kind = row.pop("kind", "")
    if not isinstance(kind, str) or kind not in contract.document()["lines"]:
        return "", {}
    return kind, {key: _bounded(value) for key, value in row.items() if isinstance(value, (str, int, float))}


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
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        return value if _bounded(value) == value else text
    return text


def _bounded(value: str | int | float) -> str | int | float:
    """Return a number that can be formatted and written as JSON; any other, and a boolean, as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return value if abs(value) < LARGEST else "too large"
    return value if isinstance(value, str) or math.isfinite(value) else str(value)
