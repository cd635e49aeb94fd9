"""The run directory, local or on a bucket, which outlives every restart of a run.

It holds ``config.json`` (all settings), ``attempts.jsonl`` (those of every attempt), ``dataset.json``
(classes), ``checkpoints/``, ``metrics.jsonl``, ``events.jsonl`` and ``report.html``.
"""

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from etils import epath

from trainer import imports
from trainer.config import SECTIONS, DataConfig, TrainConfig, resolve
from trainer.errors import ConfigError, RunDirectoryError
from trainer.registry import DATASETS
from trainer.rundir import files, jsonlines
from trainer.rundir.changes import IDENTITY, LEARNING, Change, changes
from trainer.runtime.environment import Variable
from trainer.runtime.messages import warn

FOLDERS = ("checkpoints", "compile-cache", "profile", "tensorboard", "wandb")  # that a run writes to


def make(path: str) -> epath.Path:
    """Create the directory if it does not exist, and return it.

    Raises:
      RunDirectoryError: another user put a link in it, through which the run would write elsewhere.
    """
    root = epath.Path(path)
    root.mkdir(parents=True, exist_ok=True)
    for folder in FOLDERS:
        files.check_links(root, root / folder)
    return root


def claim(root: epath.Path, config: TrainConfig) -> list[Change]:
    """Check that the directory holds this run or none; return the settings that differ from its last attempt.

    Nothing is written. ``record`` does that once the run is known to go on.

    Raises:
      RunDirectoryError: it holds a run with other data or another network, or one with settings that change
        what is learnt while ``train.allow_changes`` is false. The message states the differences.
    """
    before = _read_config(root)
    if before is None and (root / "config.json").exists() and files.has_checkpoint(root):
        hint = "attempts.jsonl there has the settings of each attempt in its `config`"
        raise RunDirectoryError(f"{root}/config.json must be a JSON object, got something else", hint)
    if before is None:
        return []
    differences = changes(before, config)
    for change in differences:
        if change.setting in IDENTITY:
            raise RunDirectoryError(
                f"run directory {root} holds a run with {change.setting} {change.before!r}, "
                f"got {change.now!r}",
                "use another --name or --run-dir, or the settings that the run was started with",
            )
    learnt = [str(change) for change in differences if change.setting in LEARNING]
    if learnt and not config.train.allow_changes and files.has_checkpoint(root):
        raise RunDirectoryError(
            f"run directory {root} holds a run with other settings, which change what is learnt: "
            f"{', '.join(learnt)}",
            "use the settings of config.json there, another --run-dir, or --set train.allow_changes=true",
        )
    return differences


def record(root: epath.Path, config: TrainConfig, differences: list[Change], step: int) -> None:
    """Write ``config.json`` and a row of ``attempts.jsonl``, and print what differs from the last attempt.

    Called once the state is restored, so that an attempt that is refused leaves no trace in them.

    Args:
      differences: what ``claim`` returned.
      step: updates done at the start of this attempt.

    Raises:
      RunDirectoryError, StorageError: the directory cannot be written.
    """
    settings = dataclasses.asdict(config)
    if differences and step:
        warn(f"step {step} goes on with other settings: {', '.join(map(str, differences))}")
    recorded = {"code": packed} if (packed := code(os.environ)) else {}
    attempts = jsonlines.JsonLines(root / "attempts.jsonl")
    attempts.append({"at": round(time.time(), 3), "step": step, "config": settings, **recorded})
    attempts.close()
    files.write(root / "config.json", json.dumps(settings, indent=2) + "\n")


def record_prediction(root: epath.Path, config: TrainConfig, rate: float) -> None:
    """Write an estimated throughput, in images/s over all devices, into ``config.json`` as log.predicted.

    Raises:
      StorageError: the directory cannot be written.
    """
    predicted = dataclasses.replace(config.log, predicted=round(rate, 1))
    settings = dataclasses.asdict(dataclasses.replace(config, log=predicted))
    files.write(root / "config.json", json.dumps(settings, indent=2) + "\n")


def code(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the record of the code that --code packed: digest, commit, state; empty for a run without."""
    try:
        record = json.loads(environ.get(Variable.CODE) or "null")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def read(root: epath.Path) -> TrainConfig:
    """Return the settings of the run in a directory; ``data.stage`` has its default.

    Args:
      root: epath.Path of etils, such as epath.Path("/runs/first") or epath.Path("gs://my-bucket/first").

    Raises:
      ConfigError: it holds no run, or one of another version with settings that this version lacks.
      RunDirectoryError: its config.json cannot be read.
      StorageError: the bucket does not answer.
    """
    config = _read_config(root)
    if config is None:
        raise ConfigError(f"{root}: must be the directory of a run, got no config.json in it")
    settings = {f"{s}.{k}": v for s in SECTIONS for k, v in _section(root, config, s).items()}
    settings.pop("data.stage", None)  # a folder to write to, on the machine of the run
    texts = [config.get(key, "") for key in ("name", "recipe")]
    if not all(isinstance(text, str) and (text.isprintable() or not text) for text in texts):
        raise ConfigError(
            f"{root}/config.json: name and recipe must be printable text, got {repr(texts)[:200]}"
        )
    try:
        return resolve(texts[0], str(root), texts[1], settings)
    except ConfigError as error:
        raise ConfigError(f"{root}/config.json: {error}") from None


def data_at_hand(config: TrainConfig) -> DataConfig:
    """Return the data of a run as its directory names them, if they may be opened unasked.

    Whoever wrote the run chose them. So no bucket is fetched, and a run in a bucket opens no folder here.

    Raises:
      ConfigError: they may not.
    """
    data = config.data
    if imports.is_object(data.name):
        hint = f"--data {data.name} runs it"
        raise ConfigError(f"the data of this run are read by code that it names: {data.name}", hint)
    folders = [path for path in (data.root, data.name) if path and path not in DATASETS]
    for path in folders:
        if path.startswith("gs://") or config.run_dir.startswith("gs://"):
            where = "a bucket" if path.startswith("gs://") else "a folder, and the run is in a bucket"
            raise ConfigError(f"the data of this run are in {where}: {path}", f"--data {path} uses them")
    return data


def _read_config(root: epath.Path) -> dict[str, Any] | None:
    try:
        config = json.loads(files.read(root / "config.json") or "null")
    except (ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


def _section(root: epath.Path, config: dict[str, Any], name: str) -> dict[str, Any]:
    section = config.get(name, {})
    if not isinstance(section, dict):
        raise ConfigError(f"{root}/config.json: {name} must be an object, got {repr(section)[:200]}")
    return section
