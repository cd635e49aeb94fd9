"""Two or more runs side by side: the settings that differ, and the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from trainer.board.listing import NONE, aligned
from trainer.board.page import value
from trainer.board.row import Row


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


# key of a row -> its title, and the text of its value
RESULTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "state": ("state", str),
    "best_accuracy": ("best test accuracy", _percent),
    "accuracy": ("last test accuracy", _percent),
    "loss": ("training loss", "{:.4f}".format),
    "step": ("steps", "{:,}".format),
    "epochs": ("epochs", "{:.2f}".format),
    "images_per_second": ("median images/s", "{:,.0f}".format),
    "devices": ("devices", "{:,}".format),
    "device_kind": ("kind of device", str),
    "goodput": ("goodput", lambda share: f"{share * 100:.1f} %"),
    "seconds": ("seconds", "{:,.0f}".format),
    "attempts": ("attempts", "{:,}".format),
}


def settings(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the settings that do not have the same value in all runs -> the value in each."""
    names = sorted({name for row in rows for name in row["settings"]})
    listed = {
        "model.arch": [row.get("arch", "") for row in rows],
        "data.name": [row.get("data", "") for row in rows],
        "recipe": [row.get("recipe", "") for row in rows],
    } | {name: [value(row, name) for row in rows] for name in names}
    return {name: values for name, values in listed.items() if len(set(values)) > 1}


def results(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the title of each result that one of the runs has -> its text for each run."""
    return {
        title: [show(row[key]) if key in row else NONE for row in rows]
        for key, (title, show) in RESULTS.items()
        if any(key in row for row in rows)
    }


def lines(rows: Sequence[Row]) -> list[str]:
    """Return a table for the terminal: the names, the settings that differ, the results."""
    different = settings(rows) or {"settings": ["the same"] * len(rows)}
    table = [["", *(row["name"] for row in rows)]]
    table += [[name, *(text or NONE for text in values)] for name, values in different.items()]
    table += [[""] * len(table[0])] + [[title, *values] for title, values in results(rows).items()]
    return aligned(table)
