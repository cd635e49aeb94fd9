"""Bars in groups as inline SVG; the style sheet of the page gives their colours, light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from trainer.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, plain, ticks

GAP = 0.25  # of a group's width, between it and the next


@dataclass(frozen=True, kw_only=True)
class Group:
    """Bars beside each other.

    Attributes:
      name: what stands below them.
      values: (name, value) of each bar; NaN: none, for which ``missing`` stands at its place.
      missing: word for a bar without a value.
    """

    name: str
    values: Sequence[tuple[str, float]]
    missing: str = "none"


def bars(title: str, groups: Sequence[Group]) -> str:
    """Return a figure with its legend as HTML; each group has the same bars in the same order.

    Args:
      title: caption of the figure.
      groups: at least one, with at least one value that is finite and not negative.
    """
    values = [value for group in groups for _, value in group.values if math.isfinite(value)]
    rows = ticks(0.0, max(values))
    up = Scale(low=rows[0], high=rows[-1], first=HEIGHT - BOTTOM, last=TOP)
    show = plain(rows[1] - rows[0])
    parts = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(value)}" y2="{up(value)}"/>'
        f'<text class="axis" x="{LEFT - 6}" y="{up(value) + 4}" text-anchor="end">{show(value)}</text>'
        for value in rows
    ]
    span = (WIDTH - LEFT - RIGHT) / len(groups)
    for i, group in enumerate(groups):
        start = LEFT + span * (i + GAP / 2)
        parts.append(_group(group, start, span * (1 - GAP), up))
        parts.append(
            f'<text class="axis" x="{start + span * (1 - GAP) / 2:.1f}" y="{HEIGHT - BOTTOM + 16}" '
            f'text-anchor="middle">{escape(group.name)}</text>'
        )
    names = [name for name, _ in groups[0].values]
    keys = "".join(
        f'<span class="key"><i class="s{n}"></i>{escape(name)}</span>' for n, name in enumerate(names, 1)
    )
    return (
        f"<figure><figcaption>{escape(title)}{keys}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def _group(group: Group, start: float, width: float, up: Scale) -> str:
    each, svg = width / len(group.values), ""
    for n, (name, value) in enumerate(group.values):
        x, foot = start + n * each, up.first
        if math.isfinite(value):
            tooltip = escape(f"{name}, {group.name}: {value:.3g}")
            svg += (
                f'<rect class="s{n + 1}" x="{x:.1f}" y="{up(value)}" width="{each * 0.9:.1f}" '
                f'height="{max(foot - up(value), 0.5):.2f}"><title>{tooltip}</title></rect>'
            )
        else:
            middle = x + each * 0.6
            svg += (
                f'<text class="axis" transform="translate({middle:.1f} {foot - 4}) rotate(-90)">'
                f"{escape(group.missing)}</text>"
            )
    return svg
