"""The board as one self-contained HTML page: the rows as JSON, and the script that shows them."""

from __future__ import annotations

import json
import os
import posixpath
import statistics
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from trainer.board.row import Row, text_of
from trainer.config import FIELDS
from trainer.report.document import STYLE

FOLDER = Path(__file__).parent
SEED = "train.seed"
# Nothing is loaded and nothing is sent, whatever a run's texts may hold.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def render(rows: Sequence[Row], title: str, links: Mapping[str, str]) -> str:
    """Return the page.

    Args:
      rows: runs, as `collection.collect` returns them, with cost where it is known.
      title: folders that the runs lie in.
      links: address of a run -> link to its report, for those that have one.
    """
    varying = differing(rows)
    document = {
        "runs": [
            {**row, "link": links.get(row["address"], ""), "differs": differs(row, varying)} for row in rows
        ],
        "means": means(rows, varying),
        "defaults": defaults({name for row in rows for name in row["settings"]}),
    }
    # A text cannot end the element that holds it: `<` is written as an escape.
    data = json.dumps(document, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    style = STYLE.read_text(encoding="utf-8") + (FOLDER / "board.css").read_text(encoding="utf-8")
    body = (FOLDER / "board.html").read_text(encoding="utf-8").replace("TITLE", escape(title))
    script = (FOLDER / "board.js").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f'<body>{body}<script type="application/json" id="data">{data}</script>'
        f"<script>{script}</script></body></html>\n"
    )


def differing(rows: Sequence[Row]) -> list[str]:
    """Return the settings beside the recipe that do not have the same value in all runs, sorted."""
    known = [row["changed"] for row in rows if "problem" not in row]
    names = sorted({name for changed in known for name in changed})
    return [name for name in names if len({changed.get(name) for changed in known}) > 1]


def differs(row: Row, varying: Sequence[str]) -> str:
    """Return the settings of a run that others have otherwise, such as ``optim.lr=0.1 train.seed=2``."""
    values = {name: value(row, name) for name in varying}
    return " ".join(f"{name}={text}" for name, text in values.items() if text)


def value(row: Row, name: str) -> str:
    """Return the value of a setting of a run, its default where it has that; empty where it has none."""
    return row["settings"].get(name, "" if "problem" in row else defaults([name]).get(name, ""))


def defaults(names: Iterable[str]) -> dict[str, str]:
    """Return the defaults of settings that this version knows, as texts."""
    return {name: text_of(FIELDS[name].default) for name in names if name in FIELDS}


def means(rows: Sequence[Row], varying: Sequence[str]) -> list[dict[str, Any]]:
    """Return the mean and deviation of the best accuracy over runs that differ in their seed alone.

    The deviation is that of a sample, over ``count - 1``.
    """
    alike: dict[tuple[str, ...], list[Row]] = {}
    others = [name for name in varying if name != SEED]
    for row in rows:
        if "best_accuracy" in row:
            same = (row.get("arch", ""), row.get("data", ""), row.get("recipe", ""), row.get("group", ""))
            alike.setdefault((*same, differs(row, others)), []).append(row)
    result: list[dict[str, Any]] = []
    for (arch, data, recipe, group, settings), runs in alike.items():
        if len({value(run, SEED) for run in runs}) < 2:
            continue
        accuracies = [run["best_accuracy"] for run in runs]
        result.append(
            {
                "arch": arch,
                "data": data,
                "recipe": recipe,
                "group": group,
                "differs": settings,
                "runs": len(runs),
                "mean": statistics.fmean(accuracies),
                "deviation": statistics.stdev(accuracies),
            }
        )
    return sorted(result, key=lambda entry: -entry["mean"])


def links(rows: Sequence[Row], folder: str) -> dict[str, str]:
    """Return the links to the reports of runs from a page in a folder of this machine."""
    result = {}
    for row in rows:
        if row.get("report"):
            result[row["address"]] = _link(f"{row['address']}/report.html", folder)
    return result


def _link(report: str, folder: str) -> str:
    from urllib.parse import quote

    if report.startswith("gs://"):
        return "https://storage.cloud.google.com/" + quote(report.removeprefix("gs://"))
    return quote(posixpath.join(*Path(os.path.relpath(report, folder)).parts))
