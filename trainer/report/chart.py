"""Line charts as SVG for a page that holds all it needs: colours are the page's, light and dark."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 34  # room for the numbers at the axes
POINTS = 400  # of a line; more cannot be told apart at this width

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Line:
    """points: (step, value), by step. dots: each point is marked and says its value under the pointer."""

    name: str
    points: Sequence[Point]
    dots: bool = False


@dataclass(frozen=True, kw_only=True)
class Scale:
    """From values to pixels along one axis."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.first + share * (self.last - self.first), 2)


def chart(title: str, lines: Sequence[Line], show: Callable[[float], str] = "{:g}".format) -> str:
    """A figure with its legend; empty where no line has a point.

    Args:
      show: a value as text.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        return ""
    steps = [x for line in lines for x, _ in line.points]
    values = [y for line in lines for _, y in line.points]
    rows, columns = ticks(min(values), max(values)), ticks(min(steps), max(steps), 6)
    across = Scale(low=min(steps), high=max(*steps, min(steps) + 1), first=LEFT, last=WIDTH - RIGHT)
    up = Scale(low=rows[0], high=rows[-1], first=HEIGHT - BOTTOM, last=TOP)
    parts = [_row(up(value), show(value)) for value in rows]
    parts += [_column(across(x), f"{x:,.0f}") for x in columns if across.low <= x <= across.high]
    parts += [_line(number, line, across, up, show) for number, line in enumerate(lines, 1)]
    parts.append(f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">step</text>')
    return (
        f"<figure><figcaption>{escape(title)}{_legend(lines)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that enclose low..high, about as many as wanted: 1, 2 or 5 times a power of ten apart."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / wanted))
    apart = next(power * factor for factor in (1, 2, 5, 10) if power * factor * wanted >= span)
    first, last = math.floor(low / apart + 1e-9), math.ceil(high / apart - 1e-9)
    return [round(n * apart, 12) for n in range(first, max(last, first + 1) + 1)]


def thinned(points: Sequence[Point], most: int = POINTS) -> list[Point]:
    """Means of neighbours where there are too many points to draw; the newest stays as it is."""
    if len(points) <= most:
        return list(points)
    *older, newest = points
    size = math.ceil(len(older) / (most - 1))
    groups = [older[i : i + size] for i in range(0, len(older), size)]
    return [*((group[-1][0], sum(y for _, y in group) / len(group)) for group in groups), newest]


def _row(y: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text class="axis" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{escape(text)}</text>'
    )


def _column(x: float, text: str) -> str:
    return f'<text class="axis" x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>'


def _line(number: int, line: Line, across: Scale, up: Scale, show: Callable[[float], str]) -> str:
    shown = thinned(line.points)
    points = [(across(x), up(y)) for x, y in shown]
    drawn = f'<polyline class="s{number}" points="{" ".join(f"{x},{y}" for x, y in points)}"/>'
    if line.dots or len(points) == 1:
        for (x, y), (step, value) in zip(points, shown, strict=True):
            told = escape(f"{line.name}, step {step:,.0f}: {show(value)}")
            drawn += f'<circle class="s{number}" cx="{x}" cy="{y}" r="3"><title>{told}</title></circle>'
    return drawn


def _legend(lines: Sequence[Line]) -> str:
    if len(lines) == 1:
        return ""
    return "".join(
        f'<span class="key"><i class="s{number}"></i>{escape(line.name)}</span>'
        for number, line in enumerate(lines, 1)
    )
