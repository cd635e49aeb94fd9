"""A plot of throughput and memory by batch, as SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from launcher.check.assessment import GIB, Assessment, device_memory

WIDTH, HEIGHT, LEFT, RIGHT = 720, 560, 76, 690
PANELS = ((70, 270), (330, 500))  # y of the top and of the bottom of each panel
BLUE, RED, GREY = "#1f5fa8", "#b3341f", "#6b7280"
Points = Sequence[tuple[float, float]]
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
DIGIT = 8  # width of a digit in pixels
LABEL_PLACES = (-10, 20, -26, 36)  # y of a label below its point, in the order of preference


def svg(assessments: Sequence[Assessment]) -> str:
    """Return the plot for one run with different batches that fit: throughput above, memory below."""
    assessments = sorted(assessments, key=lambda assessment: assessment.batch_per_device)
    largest = assessments[-1].batch_per_device
    rates = [(a.batch_per_device, a.prediction.rate) for a in assessments if a.prediction]
    peaks = [(a.batch_per_device, a.result["train"]["peak"] / GIB) for a in assessments]
    limit = device_memory(assessments[0].job) / GIB
    above = _Panel(*PANELS[0], largest, max(rate.high for _, rate in rates))
    below = _Panel(*PANELS[1], largest, max([limit, *(peak for _, peak in peaks)]))
    band = [*((n, rate.low) for n, rate in rates), *((n, rate.high) for n, rate in reversed(rates))]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, 26, _title(assessments[0]), size=16),
        text(LEFT, 58, "images/s per chip, predicted (band: from complete overlap to none)"),
        *above.axes(),
        f'<polygon points="{above.path(band)}" fill="{BLUE}" opacity="0.15"/>',
        *above.line([(n, rate.expected) for n, rate in rates], BLUE),
        text(LEFT, 318, "peak GiB per device"),
        *below.axes(),
        *below.limit(limit),
        *below.line(peaks, BLUE),
        text((LEFT + RIGHT) / 2, HEIGHT - 18, "batch per device", anchor="middle"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Panel:
    """A pair of axes that start at zero; x ends beyond `right` and y beyond `most`."""

    def __init__(self, top: float, bottom: float, right: float, most: float) -> None:
        self.top, self.bottom = top, bottom
        self.x_ticks, self.y_ticks = ticks(right), ticks(most * 1.05)
        self.right, self.most = max(right * 1.03, self.x_ticks[-1]), max(most * 1.08, self.y_ticks[-1])
        axis = (LEFT, bottom - 2, RIGHT, bottom + 22)
        self.drawn: list[Box] = [axis]  # what labels must not cover

    def x(self, value: float) -> float:
        return LEFT + value / self.right * (RIGHT - LEFT)

    def y(self, value: float) -> float:
        return self.bottom - value / self.most * (self.bottom - self.top)

    def axes(self) -> Iterator[str]:
        for value in self.y_ticks:
            yield f'<path d="M{LEFT} {self.y(value):.1f}H{RIGHT}" stroke="#e5e7eb"/>'
            yield text(LEFT - 8, self.y(value) + 4, f"{value:,g}", anchor="end", color=GREY)
        for value in self.x_ticks:
            yield text(self.x(value), self.bottom + 18, f"{value:,g}", anchor="middle", color=GREY)
        yield f'<path d="M{LEFT} {self.top}V{self.bottom}H{RIGHT}" fill="none" stroke="{GREY}"/>'

    def path(self, points: Points) -> str:
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)

    def line(self, points: Points, color: str) -> Iterator[str]:
        yield f'<polyline points="{self.path(points)}" fill="none" stroke="{color}" stroke-width="2"/>'
        for x, y in points:
            yield f'<circle cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="4" fill="{color}"/>'
            label = f"{y:,.0f}" if y >= 100 else f"{y:.3g}"
            yield text(
                self.x(x), self._free(self.x(x), self.y(y), label), label, anchor="middle", color=color
            )

    def _free(self, x: float, y: float, label: str) -> float:
        """Return where a label of the point (x, y) in pixels covers nothing, or else the place above it."""
        half = len(label) * DIGIT / 2
        boxes = [(x - half, y + place - 11, x + half, y + place + 3) for place in LABEL_PLACES]
        free = next(
            (n for n, box in enumerate(boxes) if not any(meet(box, other) for other in self.drawn)), 0
        )
        self.drawn.append(boxes[free])
        return y + LABEL_PLACES[free]

    def limit(self, value: float) -> Iterator[str]:
        y = self.y(value)
        self.drawn.append((LEFT, y - 2, RIGHT, y + 2))
        yield f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="{RED}" stroke-dasharray="6 4"/>'
        yield text(LEFT + 6, y - 6, f"limit: {value:g} GiB per device", color=RED)


def meet(one: Box, other: Box) -> bool:
    """Return whether two boxes overlap."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def ticks(most: float) -> list[float]:
    """Return three to six round numbers from zero to `most`, in steps of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(most))
    step = next(s for s in (power / 5, power / 2, power, 2 * power) if most / s < 6)
    return [n * step for n in range(int(most / step) + 1)]


def _title(assessment: Assessment) -> str:
    result, job = assessment.result, assessment.job
    method = "estimated" if result["estimated"] else f"laid out by libtpu {result['versions']['libtpu']}"
    return f"{job.arch} on {'' if job.num_slices == 1 else f'{job.num_slices} x '}{job.slice}, {method}"


def text(
    x: float, y: float, words: str, size: int = 13, anchor: str = "start", color: str = "#111827"
) -> str:
    """Return a line of text at (x, y) in pixels; anchor: "start", "middle" or "end"."""
    attributes = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{color}"'
    return f"<text {attributes}>{escape(words)}</text>"
