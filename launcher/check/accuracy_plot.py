"""A plot of published accuracy against predicted chip-hours, as SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from launcher.check.networks import Compared
from launcher.check.plot import BLUE, DIGIT, GREY, HEIGHT, LEFT, RIGHT, WIDTH, Box, meet, text
from launcher.check.prediction import Range

TOP, BOTTOM = 86, 490  # y of the axes
MARGIN = 0.06  # of the range, beyond the outermost points
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)  # percentage points between two ticks
DECADE = (1, 2, 5)
LABEL_PLACES = ((10, -8, "start"), (10, 18, "start"), (-10, -8, "end"), (-10, 18, "end"))


def svg(compared: Sequence[Compared], title: str) -> str:
    """Return the plot of the networks whose accuracy and chip-hours are known.

    Args:
      compared: the networks.
      title: what the hours are for, such as the slice.
    """
    points = [
        (str(one.choice), one.assessment.prediction.chip_hours, 100 * one.choice.accuracy)
        for one in compared
        if one.assessment
        and one.assessment.prediction
        and one.choice.accuracy is not None
        and one.chip_hours is not None
    ]
    absent = [str(one.choice) for one in compared if str(one.choice) not in {name for name, _, _ in points}]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, 26, title, size=16),
        text(LEFT, 48, "published top-1 on ImageNet-1k, in %"),
        text(LEFT, 68, "line: chip-hours from complete overlap to none", color=GREY),
        *(_drawn(points) if points else [text(LEFT, 120, "no network has both numbers", color=GREY)]),
        text(
            (LEFT + RIGHT) / 2,
            HEIGHT - 34,
            "chip-hours of the recipe, predicted, logarithmic",
            anchor="middle",
        ),
        *([text(LEFT, HEIGHT - 12, f"not shown: {', '.join(absent)}", color=GREY)] if absent else []),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _drawn(points: Sequence[tuple[str, Range, float]]) -> Iterator[str]:
    low, high = min(r.low for _, r, _ in points), max(r.high for _, r, _ in points)
    left, right = _widened(math.log10(low), math.log10(high), 0.1)
    under, over = _widened(min(a for *_, a in points), max(a for *_, a in points), 0.5)

    def x(hours: float) -> float:
        return LEFT + (math.log10(hours) - left) / (right - left) * (RIGHT - LEFT)

    def y(accuracy: float) -> float:
        return BOTTOM - (accuracy - under) / (over - under) * (BOTTOM - TOP)

    for value in _percents(under, over):
        yield f'<path d="M{LEFT} {y(value):.1f}H{RIGHT}" stroke="#e5e7eb"/>'
        yield text(LEFT - 8, y(value) + 4, f"{value:g}", anchor="end", color=GREY)
    for value in _hours(left, right):
        yield f'<path d="M{x(value):.1f} {TOP}V{BOTTOM}" stroke="#f3f4f6"/>'
        yield text(x(value), BOTTOM + 18, f"{value:,g}", anchor="middle", color=GREY)
    yield f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="{GREY}"/>'
    taken: list[Box] = [(x(r.low), y(accuracy) - 5, x(r.high), y(accuracy) + 5) for _, r, accuracy in points]
    for name, hours, accuracy in points:
        at, height = x(hours.expected), y(accuracy)
        line = f"M{x(hours.low):.1f} {height:.1f}H{x(hours.high):.1f}"
        yield f'<path d="{line}" stroke="{BLUE}" opacity="0.4"/>'
        yield f'<circle cx="{at:.1f}" cy="{height:.1f}" r="5" fill="{BLUE}"/>'
        place = _place(at, height, name, taken)
        yield text(at + place[0], height + place[1], name, anchor=place[2], color=BLUE)


def _place(x: float, y: float, name: str, taken: list[Box]) -> tuple[int, int, str]:
    """Return where a label of the point covers nothing and stays inside, or else the first place."""
    width = len(name) * DIGIT * 0.9
    boxes: list[tuple[tuple[int, int, str], Box]] = []
    for right, down, anchor in LABEL_PLACES:
        begin = x + right if anchor == "start" else x + right - width
        boxes.append(((right, down, anchor), (begin, y + down - 11, begin + width, y + down + 3)))
    free = [
        (place, box)
        for place, box in boxes
        if box[0] >= LEFT and box[2] <= WIDTH and not any(meet(box, other) for other in taken)
    ]
    place, box = free[0] if free else boxes[0]
    taken.append(box)
    return place


def _widened(low: float, high: float, least: float) -> tuple[float, float]:
    """Return the two ends with a margin, at least `least` on each side."""
    margin = max((high - low) * MARGIN, least)
    return low - margin, high + margin


def _percents(low: float, high: float) -> list[float]:
    step = next((step for step in STEPS if (high - low) / step <= 8), STEPS[-1])
    return [round(n * step, 6) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _hours(left: float, right: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten between two logarithms, or the powers alone where many."""
    digits = DECADE if right - left < 3 else DECADE[:1]
    values = [digit * 10.0**power for power in range(math.floor(left), math.ceil(right)) for digit in digits]
    return [value for value in values if left <= math.log10(value) <= right]
