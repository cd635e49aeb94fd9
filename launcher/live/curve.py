"""A curve of bounded length: old points thin out, the newest one is always there."""

from __future__ import annotations

from typing import Any

POINTS = 512  # kept; twice the columns of a wide terminal
LARGEST = 1e15  # a number beyond it is no measurement


class Curve:
    """Points (step, value) in the order of their steps."""

    def __init__(self) -> None:
        self._points: list[tuple[int, float]] = []
        self._newest: tuple[int, float] | None = None
        self._stride = 1
        self._skipped = 0

    def add(self, step: Any, value: Any) -> None:
        """Add a point; one that is no finite number is left out.

        Points of this step and later ones are dropped first: a run that restarted repeats them.
        """
        if type(step) is not int or isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
            return
        if not abs(value) < LARGEST:  # not-a-number too
            return
        if self._newest and step <= self._newest[0]:
            self._points = [point for point in self._points if point[0] < step]
            self._skipped = 0
        self._newest = (step, float(value))
        if self._skipped:
            self._skipped -= 1
            return
        self._points.append(self._newest)
        self._skipped = self._stride - 1
        if len(self._points) > POINTS:
            del self._points[1::2]
            self._stride *= 2

    def values(self) -> list[float]:
        """Return the values, oldest first."""
        newest = [self._newest] if self._newest and self._points[-1:] != [self._newest] else []
        return [value for _, value in (*self._points, *newest)]
