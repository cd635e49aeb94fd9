"""Tables with aligned columns, and ages and durations in short form."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from launcher.errors import printable


def lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a heading and one line per row, with aligned columns and a dash for what is empty."""
    cells = [list(columns)] + [
        [printable(str(row[c])) if row[c] not in (None, "") else "-" for c in columns] for row in rows
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]


def age(created: str, now: datetime.datetime | None = None) -> str:
    """Return the time since an RFC 3339 timestamp: `42s`, `3m`, `5h`, `2d`."""
    then = datetime.datetime.fromisoformat(created.replace("Z", "+00:00"))
    return seconds(((now or datetime.datetime.now(datetime.UTC)) - then).total_seconds())


def seconds(number: float) -> str:
    """Return a duration in the largest unit that gives 2 or more: `119s`, `2m`, `47h`, `2d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if number >= 2 * size:
            return f"{number / size:.0f}{unit}"
    return f"{max(number, 0):.0f}s"
