"""The parts of a run's line and block, as text: bars, sparklines, numbers, restarts, cost. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from launcher.live.training import number
from launcher.live.view import View
from launcher.runs.sentences import duration, percent

BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-:=+*#"
LONGEST = 120  # characters of a cause, which any program may have printed
LARGEST = 1e6  # a cost beyond it needs no cents


def sparkline(values: Sequence[float], width: int, unicode: bool = True) -> str:
    """Return a curve as one character per column, each the mean of its part of the values."""
    bars = BARS if unicode else ASCII_BARS
    if not values or width < 1:
        return ""
    count = min(width, len(values))
    means = []
    for column in range(count):
        part = values[column * len(values) // count : (column + 1) * len(values) // count]
        means.append(sum(part) / len(part))
    low, high = min(means), max(means)
    if high <= low:
        return bars[0] * count
    return "".join(bars[min(int((mean - low) / (high - low) * len(bars)), len(bars) - 1)] for mean in means)


def bar(share: float | None, width: int, unicode: bool = True) -> tuple[str, str]:
    """Return (done, not done) of a progress bar; all of it is not done where the share is not known."""
    full, empty = ("━", "─") if unicode else ("#", "-")
    done = round((share or 0.0) * width)
    return full * done, empty * (width - done)


def step(view: View) -> str:
    """Return `step 40/269`; empty before the first step."""
    done, steps = number(view.progress, "step"), number(view.progress, "steps")
    if done is None:
        return ""
    return f"step {done:.0f}" + (f"/{steps:.0f}" if steps else "")


def time_left(view: View) -> str:
    return "" if view.seconds_left is None else f"{duration(view.seconds_left)} left"


def loss(view: View) -> str:
    value = view.progress.get("loss")
    known = number(view.progress, "loss")
    return f"{known:.4g}" if known is not None else "" if value is None else str(value)[:8]


def accuracy(values: dict[str, object], digits: int = 2) -> str:
    known = number(values, "accuracy")
    return "" if known is None else percent(known, digits)


def rate(view: View) -> str:
    """Return `1,234 images/s per chip`; the rate of the whole run where its chips are not known."""
    per_chip, whole = view.images_per_second, number(view.progress, "images_per_second")
    if whole is None:
        return ""
    text = f"{_figures(whole)} images/s" if per_chip is None else f"{_figures(per_chip)} images/s per chip"
    predicted = number(view.progress, "predicted")
    if not predicted or predicted <= 0:
        return text
    chips = 1 if per_chip is None or not view.held else view.held.chips
    return f"{text}, {percent(whole / predicted)} of the predicted {_figures(predicted / chips)}"


def slow(view: View) -> str:
    """Return the likely cause of a throughput far below the predicted one; empty where there is none."""
    cause = view.progress.get("slow")
    return f"slower than predicted: {cause[:LONGEST]}" if isinstance(cause, str) and cause else ""


def short_rate(view: View) -> str:
    """Return the throughput without its unit."""
    per_chip = view.images_per_second
    return "" if per_chip is None else _figures(per_chip)


def data_wait(view: View) -> str:
    share = number(view.progress, "data_wait")
    return "" if share is None else percent(share)


def hosts(view: View) -> str:
    """Return `4 x v5e-256, 256 hosts`, with the slices that are ready where not all are."""
    count = f"{view.slices} x {view.slice}" if view.slices > 1 else view.slice
    text = ", ".join(filter(None, (count, f"{view.hosts} host{'s' * (view.hosts != 1)}")))
    if view.ready is not None and view.ready < view.slices:
        text += f", {view.ready} of {view.slices} slice{'s' * (view.slices != 1)} ready"
    return text


def restarts(view: View) -> str:
    """Return `5: 1 of 10 used (4 preempted, 1 exit code 43)`; empty where there were none."""
    counts = view.restarts
    if not counts.total:
        return ""
    used = f": {counts.counted} of {counts.limit} used" if counts.limit is not None else ""
    causes = ", ".join(f"{count} {cause}" for cause, count in counts.causes.items())
    return f"{counts.total}{used}" + (f" ({causes})" if causes else "")


def cost(view: View, now: float) -> str:
    """Return the cost so far; `at least` where earlier attempts are not counted. Empty without a price."""
    spent = view.cost(now)
    if spent is None:
        return ""
    known = "" if view.held and view.held.whole else "at least "
    return f"{known}{spent:,.{2 if spent < LARGEST else 0}f}"


def _figures(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
