"""wandb in a thread of its own: no step waits for its import and start, which take seconds.

They begin with the first row, since before the first step they would take time from tracing the network.
"""

import json
import os
import queue
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from etils import epath

from trainer.config import LogConfig
from trainer.rundir import directory, files
from trainer.runtime.messages import warn

FINISH_SECONDS = 20.0


class Wandb:
    """Mirrors rows to one wandb run, which a restart continues: its id is in the run directory.

    Without an API key it is offline and writes files for ``wandb sync`` to ``<run dir>/wandb``, or to a new
    folder for temporary files if the run directory is on a bucket. A failure of wandb is only a warning.

    The runs of a sweep are one group. The page of the run and the record of its code are artifacts.
    """

    def __init__(self, config: LogConfig, name: str, root: epath.Path, resolved: dict[str, Any]):
        self._rows: queue.SimpleQueue[tuple[int, dict[str, Any]] | None] = queue.SimpleQueue()
        arguments = {
            "id": run_id(root),
            "resume": "allow",
            "mode": _mode(config.wandb),
            "project": config.wandb_project,
            "entity": config.wandb_entity or None,
            "name": name,
            "group": config.wandb_group or sweep_of(name, str(root)) or None,
            "config": resolved,
            "dir": tempfile.mkdtemp(prefix="resnet-wandb-") if "://" in str(root) else str(root),
        }
        self._root, self._id = root, arguments["id"]
        self._thread = threading.Thread(target=self._run, args=(arguments,), name="wandb", daemon=True)
        self._thread.start()

    def __call__(self, step: int, values: dict[str, Any]) -> None:
        self._rows.put((step, values))

    def resume_at(self, step: int) -> None:
        """Do nothing: wandb ignores a step that it already has."""

    def close(self) -> None:
        self._rows.put(None)
        self._thread.join(FINISH_SECONDS)

    def _run(self, arguments: dict[str, Any]) -> None:
        try:
            os.environ.setdefault("WANDB_SILENT", "true")
            # Files of artifacts wait there for `wandb sync`, beside the run and not in somebody's home.
            os.environ.setdefault("WANDB_DATA_DIR", f"{arguments['dir']}/wandb")
            item = self._rows.get()
            import wandb

            run = wandb.init(**arguments)
            while item is not None:
                step, values = item
                run.log(values, step=step)
                item = self._rows.get()
            for kind, name, text in self._documents():
                artifact = wandb.Artifact(f"{kind}-{self._id}", type=kind)
                with artifact.new_file(name, mode="w", encoding="utf-8") as file:
                    file.write(text)
                run.log_artifact(artifact)
            run.finish()
        except Exception as error:  # the network, the key or the disk, none of which should end the run
            warn(f"wandb is off for this process: {error}")

    def _documents(self) -> Iterator[tuple[str, str, str]]:
        """Yield (kind, name of the file, text) of what belongs to the run beside its metrics."""
        if page := files.read(self._root / "report.html"):
            yield "report", "report.html", page
        if code := directory.code(os.environ):
            yield "code", "code.json", json.dumps(code, indent=2)


def sweep_of(name: str, root: str) -> str:
    """Return the sweep that a run belongs to; empty for a run of none.

    `resnet-launch sweep` names a run after the sweep and its values, and puts it into a folder of the sweep.
    """
    folders = root.removeprefix("gs://").rstrip("/").split("/")[root.startswith("gs://") :]
    sweep = folders[-2] if len(folders) > 1 else ""
    return sweep if sweep and name.startswith(f"{sweep}-") else ""


def run_id(root: epath.Path) -> str:
    """Return the id of the wandb run, written once and the same after every restart."""
    path = root / "wandb-id"
    if text := (files.read(path) or "").strip():
        return text
    identity = os.urandom(4).hex()
    files.write(path, identity + "\n")
    return identity


def _mode(choice: str) -> str:
    if choice != "auto":
        return choice
    return "online" if os.environ.get("WANDB_API_KEY") else "offline"
