"""Line charts as inline SVG; the style sheet of the page gives their colours, light and dark."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 34  # margins for the numbers at the axes, in pixels
MAX_POINTS = 400  # per line; more are indistinguishable at this width

Point = tuple[float, float]
Show = Callable[[float], str]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve of a chart.

    Attributes:
      name: its name in the legend.
      points: (step, value), ordered by step.
      dots: mark each point, with its value as a tooltip.
      colour: number of its colour in the style sheet, from 1; 0: its place among the lines of its chart.
      missing: why there are no points, which the legend then says; empty: a line without points is left out.
    """

    name: str
    points: Sequence[Point]
    dots: bool = False
    colour: int = 0
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The mapping from low..high to the pixels first..last along one axis."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        fraction = (value - self.low) / (self.high - self.low)
        return round(self.first + fraction * (self.last - self.first), 2)


def plain(apart: float) -> Show:
    """Return the format of the numbers along an axis whose marks are ``apart`` from each other."""
    return "{:,g}".format


def percent(apart: float) -> Show:
    """Return the format of shares, 0 to 1, with as many digits as tell neighbouring marks from each other."""
    digits = max(0, -math.floor(math.log10(apart * 100) + 1e-9))
    return f"{{:.{digits}%}}".format


def powers_of_ten(apart: float) -> Show:
    """Return the format of logarithms to base 10, as the numbers that they stand for."""
    return lambda value: f"{10.0**value:.2g}"


def chart(
    title: str, lines: Sequence[Line], form: Callable[[float], Show] = plain, axis: str = "step"
) -> str:
    """Return a figure with its legend as HTML; empty if no line has a point.

    Args:
      title: caption of the figure.
      lines: curves over a common axis of steps.
      form: ``plain``, ``percent`` or ``powers_of_ten``, how values are written.
      axis: name of the common axis, whose values are whole numbers.
    """
    lines = [line for line in lines if line.points or line.missing]
    if not any(line.points for line in lines):
        return ""
    lines = [dataclasses.replace(line, colour=line.colour or n) for n, line in enumerate(lines, 1)]
    steps = [x for line in lines for x, _ in line.points]
    values = [y for line in lines for _, y in line.points]
    rows, columns = ticks(min(values), max(values)), ticks(min(steps), max(steps), 6, least=1)
    across = Scale(low=min(steps), high=max(*steps, min(steps) + 1), first=LEFT, last=WIDTH - RIGHT)
    up = Scale(low=rows[0], high=rows[-1], first=HEIGHT - BOTTOM, last=TOP)
    show, show_value = form(rows[1] - rows[0]), form((rows[1] - rows[0]) / 10)
    parts = [_row(up(value), show(value)) for value in rows]
    parts += [_column(across(x), f"{x:,.0f}") for x in columns if across.low <= x <= across.high]
    parts += [_line(line, across, up, show_value, axis) for line in lines if line.points]
    parts.append(f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{axis}</text>')
    return (
        f"<figure><figcaption>{escape(title)}{_legend(lines)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def ticks(low: float, high: float, count: int = 5, least: float = 0.0) -> list[float]:
    """Return about ``count`` round numbers that enclose low..high, 1, 2 or 5 times a power of ten apart.

    They are at least ``least`` apart: steps are whole numbers, so 1 keeps their labels distinct.
    """
    span = (high - low) or abs(high) or 1.0
    span = max(span, 1e-9, 1e-12 * max(abs(low), abs(high)))  # more digits would be the same number
    power = 10.0 ** math.floor(math.log10(span / count))
    apart = next(power * factor for factor in (1, 2, 5, 10) if power * factor * count >= span)
    apart = max(apart, least)
    first, last = math.floor(low / apart + 1e-9), math.ceil(high / apart - 1e-9)
    return [round(n * apart, 12) for n in range(first, max(last, first + 1) + 1)]


def thin(points: Sequence[Point], max_points: int = MAX_POINTS) -> list[Point]:
    """Return at most ``max_points`` points: means of neighbouring points, and the newest unchanged."""
    if len(points) <= max_points:
        return list(points)
    *older, newest = points
    size = math.ceil(len(older) / (max_points - 1))
    groups = [older[i : i + size] for i in range(0, len(older), size)]
    return [*((group[-1][0], sum(y for _, y in group) / len(group)) for group in groups), newest]


def _row(y: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        f'<text class="axis" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{escape(text)}</text>'
    )


def _column(x: float, text: str) -> str:
    return f'<text class="axis" x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>'


def _line(line: Line, across: Scale, up: Scale, show: Show, axis: str) -> str:
    values = thin(line.points)
    points = [(across(x), up(y)) for x, y in values]
    svg = f'<polyline class="s{line.colour}" points="{" ".join(f"{x},{y}" for x, y in points)}"/>'
    if line.dots or len(points) == 1:
        for (x, y), (step, value) in zip(points, values, strict=True):
            tooltip = escape(f"{line.name}, {axis} {step:,.0f}: {show(value)}")
            svg += f'<circle class="s{line.colour}" cx="{x}" cy="{y}" r="3"><title>{tooltip}</title></circle>'
    return svg


def _legend(lines: Sequence[Line]) -> str:
    if len(lines) == 1:
        return ""
    names = [line.name if line.points else f"{line.name} ({line.missing})" for line in lines]
    return "".join(
        f'<span class="key"><i class="s{line.colour}"></i>{escape(name)}</span>'
        for line, name in zip(lines, names, strict=True)
    )
