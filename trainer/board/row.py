"""One run as a row of the board: JSON, computed from the files of its directory alone."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainer import recipes
from trainer.board.folders import Folder
from trainer.config import FIELDS, PREDICTED, SECTIONS, resolve
from trainer.errors import TrainError
from trainer.report.chart import thin
from trainer.rundir import goodput, jsonlines, rows

FORMAT = 2  # of a row; one of another number is computed again
POINTS = 150  # of a curve; more are indistinguishable at its width
CURVES = {  # name -> kind of the rows of metrics.jsonl, and the value
    "training loss": ("train", "loss"),
    "test loss": ("evaluate", "loss"),
    "training accuracy": ("train", "accuracy"),
    "test accuracy": ("evaluate", "accuracy"),
}
SHOWN = ("model.arch", "data.name")  # settings with a column of their own
LONGEST = 300  # characters of a text of a run

Row = dict[str, Any]


def row(folder: Folder) -> Row:
    """Return the row of a run; `problem` says what could not be read of it.

    Nothing of the run is trusted: a wrong value is left out, and so is a row that a kill cut off.
    """
    result: Row = {"address": folder.address, "report": "report.html" in folder.files}
    try:
        result |= _settings(folder)
        events = jsonlines.parse(f"{folder.address}/events.jsonl", folder.read("events.jsonl"), rows.event)
        metrics = jsonlines.parse(
            f"{folder.address}/metrics.jsonl", folder.read("metrics.jsonl"), rows.metric
        )
    except TrainError as error:
        name = result.get("name") or folder.address.rpartition("/")[2]
        return {
            "name": name,
            "settings": {},
            "changed": {},
            "curves": {},
            **result,
            "problem": str(error).splitlines()[0],
        }
    return result | _progress(metrics) | _history(events, metrics)


def _settings(folder: Folder) -> Row:
    """Return the name, the recipe and the settings of config.json.

    ``settings`` are those that differ from the defaults, ``changed`` those that differ from the recipe.
    Settings that this version does not know are in both: the run may be of a newer version.
    """
    fallback = folder.address.rpartition("/")[2]
    text = folder.read("config.json")
    try:
        config = json.loads(text or "{}")
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        problem = "config.json is no JSON object"
        return {"name": fallback, "settings": {}, "changed": {}, "problem": problem}
    settings: dict[str, str] = {}
    changed: dict[str, str] = {}
    recipe = config.get("recipe")
    planned = _of_recipe(recipe) if isinstance(recipe, str) else {}
    for section, values in config.items():
        for key, value in values.items() if isinstance(values, dict) else ():
            path = f"{section}.{key}"
            if path == PREDICTED:  # nobody has chosen it
                continue
            default = _default(path)
            if path in SHOWN or value != default:
                settings[text_of(path)] = text_of(value)
            if path not in SHOWN and value != planned.get(path, default):
                changed[text_of(path)] = text_of(value)
    result: Row = {"name": text_of(config.get("name") or fallback), "settings": settings, "changed": changed}
    result["arch"], result["data"] = (settings.pop(path, "") for path in SHOWN)
    if recipe:
        result["recipe"] = text_of(recipe)
    if not text:
        result["problem"] = "config.json is not there yet"
    return result


def _default(path: str) -> Any:
    """Return the default of a setting as config.json has it; None for one that this version does not know."""
    return json.loads(json.dumps(FIELDS[path].default)) if path in FIELDS else None


@functools.cache
def _of_recipe(name: str) -> dict[str, Any]:
    """Return all settings of a run with a recipe of this package; none for another, whose code is not run."""
    if name not in recipes.RECIPES:
        return {}
    config = dataclasses.asdict(resolve("", "", name, recipes.load(name)))
    settings = {f"{section}.{key}": value for section in SECTIONS for key, value in config[section].items()}
    return json.loads(json.dumps(settings))


def _progress(metrics: Sequence[Row]) -> Row:
    trained = [row for row in metrics if row["kind"] == "train"]
    tested = [row for row in metrics if row["kind"] == "evaluate"]
    both = [*trained, *tested]
    result: Row = {"step": max((row["step"] for row in both), default=0)}
    if epochs := [row["epoch"] for row in both if "epoch" in row]:
        result["epochs"] = max(epochs)
    accuracies = [row["accuracy"] for row in tested if math.isfinite(row["accuracy"])]
    if accuracies:
        result |= {"best_accuracy": max(accuracies), "accuracy": accuracies[-1]}
    if trained and math.isfinite(trained[-1]["loss"]):
        result["loss"] = trained[-1]["loss"]
    if rates := sorted(row["images_per_second"] for row in trained if "images_per_second" in row):
        result["images_per_second"] = rates[len(rates) // 2]
    result["curves"] = {
        name: points
        for name, (kind, value) in CURVES.items()
        if (points := _curve(trained if kind == "train" else tested, value))
    }
    return result


def _curve(metrics: Iterable[Row], value: str) -> list[list[float]]:
    """Return [step, epoch, value] of at most POINTS rows."""
    rows = [row for row in metrics if value in row and "epoch" in row and math.isfinite(row[value])]
    values = thin([(row["step"], row[value]) for row in rows], POINTS)
    epochs = {row["step"]: row["epoch"] for row in rows}
    return [[step, round(epochs[int(step)], 4), _short(number)] for step, number in values]


def _history(events: Sequence[Row], metrics: Sequence[Row]) -> Row:
    """Return the state, the devices, the time and the hours of devices of all attempts."""
    last = next((row for row in reversed(metrics) if row["kind"] == "train"), None)
    ended = {"end": "finished", "preempted": "preempted"}
    result: Row = {"state": ended.get(events[-1]["name"] if events else "", "not finished")}
    start = next((event for event in reversed(events) if event["name"] == "start"), {})
    for name in ("devices", "hosts", "device_kind"):
        if name in start:
            result[name] = text_of(start[name]) if name == "device_kind" else start[name]
    signs = [row["at"] for row in (*events[-1:], *([last] if last else ())) if "at" in row]
    if signs:
        result["last_sign"] = max(signs)
    if spent := goodput.account(events, last):
        result |= {"goodput": round(spent.share, 4), "attempts": spent.attempts, "seconds": spent.total}
        result["device_hours"] = round(_device_seconds(events, last) / 3600, 6)
    return result


def _device_seconds(events: Sequence[Row], last: Row | None) -> float:
    """Return the sum over attempts of their seconds times their devices; the time between them is free."""
    total, start, sign = 0.0, None, 0.0
    for event in (*events, {"name": "start", "at": math.inf}):
        if event["name"] == "start":
            if start:
                logged = event.get(
                    "before_at", last.get("at", 0.0) if last and math.isinf(event["at"]) else 0.0
                )
                total += max(sign, logged) * start.get("devices", 0) - start["at"] * start.get("devices", 0)
            start = event
        sign = event["at"]
    return max(total, 0.0)


def text_of(value: Any) -> str:
    """Return a value of a run as a short text that can be printed."""
    if isinstance(value, float):
        value = f"{value:.12g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _short(number: float) -> float:
    return float(f"{number:.5g}")


def group(row: Mapping[str, Any], root: str) -> str:
    """Return the folder between the root of a search and a run; empty for a run directly in it."""
    below = str(row["address"]).removeprefix(root).strip("/")
    return below.rpartition("/")[0]
