"""The run directory, local or on a bucket, which outlives every restart of a run.

It holds ``config.json`` (all settings), ``dataset.json`` (classes), ``checkpoints/``, ``metrics.jsonl``,
``events.jsonl`` and ``report.html``.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from etils import epath

from trainer.config import FIELDS, SECTIONS, TrainConfig, resolve
from trainer.errors import ConfigError, RunDirectoryError, StorageError, TrainError, is_permanent

# A run resumes only if these settings are unchanged: otherwise a step has other data or another network.
IDENTITY = (
    "model",
    *(f"data.{name}" for name in ("name", "root", "image_size", "min_area", "shift_pixels", "flip")),
    "optim.name",
    "train.batch",
    "train.seed",
)


@contextlib.contextmanager
def writing_to(path: str) -> Iterator[None]:
    """Convert the exceptions of a file system or a bucket's client into ours.

    Raises:
      RunDirectoryError: the directory is missing or not writable, which no restart can fix.
      StorageError: any other failure, such as an overloaded bucket or a network that is down.
    """
    try:
        yield
    except TrainError:
        raise
    except Exception as error:  # each client has its own exceptions
        if not is_permanent(error):
            raise StorageError(f"run directory {path} does not answer: {error}") from error
        hint = "use another --run-dir; on a bucket the pod's service account needs roles/storage.objectAdmin"
        raise RunDirectoryError(f"run directory {path} cannot be written: {error}", hint) from error


def make(path: str) -> epath.Path:
    """Create the directory if it does not exist, and return it."""
    root = epath.Path(path)
    root.mkdir(parents=True, exist_ok=True)
    return root


def claim(root: epath.Path, config: TrainConfig) -> None:
    """Check that the directory holds this run or none, and write ``config.json``.

    Raises:
      RunDirectoryError: it holds a run with other settings; the message states the first difference.
    """
    _check_same_run(str(root), _read_config(root), config)
    (root / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")


def read(root: epath.Path) -> TrainConfig:
    """Return the settings of the run in a directory.

    Args:
      root: epath.Path of etils, such as epath.Path("/runs/first") or epath.Path("gs://my-bucket/first").

    Raises:
      ConfigError: it holds no run, or one of another version with settings that this version lacks.
    """
    config = _read_config(root)
    if config is None:
        raise ConfigError(f"{root}: must be the directory of a run, got no config.json in it")
    settings = {f"{s}.{k}": v for s in SECTIONS for k, v in config.get(s, {}).items()}
    return resolve(config["name"], str(root), config["recipe"], settings)


def _read_config(root: epath.Path) -> dict[str, Any] | None:
    path = root / "config.json"
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None  # a kill in the middle of the first write: there is no checkpoint yet either


def _check_same_run(path: str, before: dict[str, Any] | None, config: TrainConfig) -> None:
    if before is None:
        return
    now = dataclasses.asdict(config)
    for name in IDENTITY:
        old, new = _lookup(before, name), _lookup(now, name)
        if isinstance(
            old, dict
        ):  # a run of an older version lacks newer settings, which count as their defaults
            old = {k: FIELDS[f"{name}.{k}"].default for k in new} | old
        if old != new:
            keys = [k for k in new if old.get(k) != new[k]] if isinstance(new, dict) and old else []
            field = f"{name}.{keys[0]}" if keys else name
            was, got = (old.get(keys[0]), new[keys[0]]) if keys else (old, new)
            raise RunDirectoryError(
                f"run directory {path} holds a run with {field} {was!r}, got {got!r}",
                "use another --name or --run-dir, or the settings that the run was started with",
            )


def _lookup(config: dict[str, Any], name: str) -> Any:
    section, _, field = name.partition(".")
    value = config.get(section)
    return value.get(field) if value and field else value
