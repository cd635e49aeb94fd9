"""Run directories as the trainer writes them, made without training."""

import dataclasses
import json
from pathlib import Path

from trainer import recipes
from trainer.config import resolve


def make(folder: Path, name: str = "run", accuracy: float = 0.5, report: bool = True, **settings) -> Path:
    """Write a finished run of two evaluations, whose settings are given as ``optim__lr=0.1``."""
    folder.mkdir(parents=True)
    values = {key.replace("__", "."): value for key, value in settings.items()}
    config = resolve(name, str(folder), "digits", recipes.load("digits"), {"data.name": "digits"}, values)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2))
    train = [
        {"kind": "train", "step": step, "epoch": step / 10, "loss": 3.0 / step, "accuracy": accuracy / 2}
        | {"lr": 0.1, "at": 1000.0 + step, "images_per_second": 100.0 + step}
        for step in (1, 10, 20)
    ]
    tests = [
        {"kind": "evaluate", "step": step, "epoch": step / 10, "accuracy": value, "loss": 1.0, "examples": 8}
        for step, value in ((10, accuracy), (20, accuracy / 2))
    ]
    events = [
        {"name": "start", "at": 1000.0, "hosts": 2, "devices": 8, "device_kind": "TPU7x"},
        {"name": "compiled", "at": 1010.0, "seconds": 8.0},
        {"name": "save", "at": 1030.0, "step": 20, "seconds": 1.5, "waited_seconds": 0.5},
        {"name": "end", "at": 1036.0, "step": 20, "seconds": 2.0, "waited_seconds": 0.5},
    ]
    lines(folder / "metrics.jsonl", [*train, *tests])
    lines(folder / "events.jsonl", events)
    if report:
        (folder / "report.html").write_text(f"<h1>{name}</h1>")
    return folder


def lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
