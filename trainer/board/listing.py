"""The board as text: the runs, the best first, and the means over seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainer.board import page
from trainer.board.row import Row

NONE = "-"
COLUMNS: dict[str, Callable[[Row], str]] = {
    "name": lambda row: row["name"],
    "state": lambda row: f"problem: {row['problem']}" if "problem" in row else row["state"],
    "settings that differ": lambda row: row["differs"],
    "best accuracy": lambda row: _percent(row.get("best_accuracy")),
    "epochs": lambda row: f"{row['epochs']:.1f}" if "epochs" in row else "",
    "images/s": lambda row: f"{row['images_per_second']:,.0f}" if "images_per_second" in row else "",
    "chip-hours": lambda row: f"{row['chip_hours']:.3f}" if "chip_hours" in row else "",
    "cost": lambda row: f"{row['cost']:.2f}" if "cost" in row else "",
    "folder": lambda row: row["folder"],
}
MEANS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "settings": lambda mean: mean["differs"] or "all",
    "runs": lambda mean: str(mean["runs"]),
    "mean of best accuracy": lambda mean: _percent(mean["mean"]),
    "standard deviation": lambda mean: _percent(mean["deviation"]),
}


def lines(rows: Sequence[Row]) -> list[str]:
    """Return a table of the runs, the best first, and one of the means over seeds if there are any.

    Runs of one name have their folders beside them.
    """
    varying = page.differing(rows)
    best = sorted(rows, key=lambda row: -row.get("best_accuracy", -1.0))
    names = Counter(row["name"] for row in rows)
    folders = [row.get("address", "") if names[row["name"]] > 1 else "" for row in best]
    shown = [
        row | {"differs": page.differs(row, varying), "folder": folder}
        for row, folder in zip(best, folders, strict=True)
    ]
    result = table(COLUMNS, shown)
    if means := page.means(rows, varying):
        result += ["", *table(MEANS, means)]
    return result


def table(columns: Mapping[str, Callable[[Any], str]], entries: Sequence[Any]) -> list[str]:
    """Return aligned lines under their titles; a column in which nothing is known is left out."""
    cells = {title: [show(entry) for entry in entries] for title, show in columns.items()}
    cells = {title: values for title, values in cells.items() if any(values)}
    columns_of_texts = [[title, *(value or NONE for value in values)] for title, values in cells.items()]
    return aligned(list(zip(*columns_of_texts, strict=True)))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of as many texts each as lines whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.2f} %"
