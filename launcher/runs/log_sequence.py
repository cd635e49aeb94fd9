"""The lines of one log over any number of connections: each exactly once, in the order of the log.

A log that is opened again repeats lines that were read before. They are told by their place in the sequence
and by their content, not by their times: a clock may stand still between two lines, or be set back.
"""

from __future__ import annotations

import datetime
import re
from collections import deque
from dataclasses import dataclass

STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)(?: |$)")
REMEMBERED_LINES = 1 << 16
REMEMBERED_NANOSECONDS = 600 * 10**9
MARGIN_SECONDS = (
    60  # a log is asked for from this long before its last line: the clock may have been set back
)


@dataclass(frozen=True)
class Stamped:
    """A line of a log: its time in nanoseconds since 1970, its text, and a key that equal lines share."""

    at: int
    text: str
    key: int


def stamped(line: str) -> Stamped | None:
    """Return the parts of `2026-01-31T12:00:00.123456789Z text`; None for a line without a time.

    Every line of a container has one. What has none are words of the kubelet or of a proxy.
    """
    match = STAMP.match(line)
    if match is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    except ValueError:
        return None
    at = int(moment.timestamp()) * 10**9 + int((match[2] or "0").ljust(9, "0"))
    return Stamped(at, line[match.end() :], hash(line))


class Sequence:
    """The lines of a log that have been read, and which lines of a new connection are not among them.

    Args:
      partial: the first connection begins in the middle of the log (tailLines, sinceSeconds).
    """

    def __init__(self, partial: bool = False) -> None:
        self._partial = partial
        self._lines: deque[tuple[int, int]] = deque()  # (time, key) of the newest lines
        self._forgotten: int | None = None  # the latest time of a line that is not kept
        self._known: list[int] = []  # keys that the present connection is expected to repeat
        self._starts: list[int] | None = None  # where in _known its first line may be
        self._held: list[Stamped] = []
        self._since = 0  # time from which the present connection was asked for, in nanoseconds

    def __bool__(self) -> bool:
        return bool(self._lines)

    def since(self) -> str | None:
        """Return the RFC 3339 time from which to open the log again; None for all of it."""
        if not self._lines:
            return None
        seconds = max(self._lines[-1][0] // 10**9 - MARGIN_SECONDS, 0)
        if self._partial:
            seconds = max(seconds, self._lines[0][0] // 10**9)
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()[:19] + "Z"

    def reopen(self, since: str | None) -> None:
        """Begin a new connection, which repeats what was read since that time."""
        self._held = []
        entry = stamped(since or "1970-01-01T00:00:00Z")
        assert entry
        self._since = entry.at
        self._known = [key for at, key in self._lines if at >= entry.at]
        self._starts = [*range(len(self._known) + 1)] if self._known else None

    def new(self, line: Stamped) -> list[Stamped]:
        """Return the lines that are known to be new once this one has been read."""
        if self._starts is None:
            return self._remember([line])
        if not self._held and line.at < self._since:  # the server sends more than it was asked for
            self._since, self._known = 0, [key for _, key in self._lines]
            self._starts = [*range(len(self._known) + 1)]
        self._held.append(line)
        self._narrow(len(self._held) - 1)
        # Only "no line is repeated" is left, and the first one is older than all that is remembered: skip it.
        while self._starts == [len(self._known)] and self._held and self._is_forgotten(self._held[0]):
            held, self._held = self._held[1:], []
            self._starts = [*range(len(self._known) + 1)]
            for index, again in enumerate(held):
                self._held.append(again)
                self._narrow(index)
        if not self._held:
            return []
        repeated = len(self._known) - self._starts[0]
        if len(self._held) <= repeated:
            return []
        lines, self._held, self._starts = self._held[repeated:], [], None
        return self._remember(lines)

    def has_caught_up(self) -> bool:
        """Return whether the connection has repeated every line that it was expected to repeat."""
        return self._starts is None or len(self._held) >= len(self._known) - self._starts[0]

    def _narrow(self, index: int) -> None:
        """Drop the starts that do not fit the held line of this index."""
        assert self._starts is not None
        key, known = self._held[index].key, self._known
        self._starts = [
            start for start in self._starts if start + index >= len(known) or known[start + index] == key
        ]

    def _is_forgotten(self, line: Stamped) -> bool:
        return self._forgotten is not None and line.at <= self._forgotten

    def _remember(self, lines: list[Stamped]) -> list[Stamped]:
        for line in lines:
            if self._partial and not self._lines and self._forgotten is None:
                self._forgotten = line.at  # what comes before it was not asked for
            self._lines.append((line.at, line.key))
            while len(self._lines) > REMEMBERED_LINES or self._lines[0][0] < line.at - REMEMBERED_NANOSECONDS:
                at, _ = self._lines.popleft()
                self._forgotten = max(at, self._forgotten or at)
        return lines
