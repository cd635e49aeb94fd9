"""wandb, off the training thread: its import and its start cost seconds that no step should wait for."""

import os
import queue
import threading
from typing import Any

from etils import epath

from trainer.config import LogConfig
from trainer.runtime.messages import warn

FINISH_SECONDS = 20.0


class Wandb:
    """Mirrors rows to one wandb run; a restart continues the same run, whose id is kept in the run directory.

    Without a key it is offline: files under ``<run dir>/wandb`` (on a bucket: under /tmp of the pod), for
    ``wandb sync``. A failure of wandb is a warning and never the end of a run.
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
            "config": resolved,
            "dir": "/tmp" if "://" in str(root) else str(root),
        }
        self._thread = threading.Thread(target=self._run, args=(arguments,), name="wandb", daemon=True)
        self._thread.start()

    def __call__(self, step: int, values: dict[str, Any]) -> None:
        self._rows.put((step, values))

    def resume_at(self, step: int) -> None:
        """Nothing: wandb takes no step twice."""

    def close(self) -> None:
        self._rows.put(None)
        self._thread.join(FINISH_SECONDS)

    def _run(self, arguments: dict[str, Any]) -> None:
        try:
            os.environ.setdefault("WANDB_SILENT", "true")
            import wandb

            run = wandb.init(**arguments)
            while (item := self._rows.get()) is not None:
                step, values = item
                run.log(values, step=step)
            run.finish()
        except Exception as error:  # the network, the key, the disk: none of them is worth the run
            warn(f"wandb is off for this process: {error}")


def run_id(root: epath.Path) -> str:
    """The run's id: written once, the same after every restart."""
    path = root / "wandb-id"
    if path.exists():
        return path.read_text().strip()
    new = os.urandom(4).hex()
    path.write_text(new + "\n")
    return new


def _mode(choice: str) -> str:
    if choice != "auto":
        return choice
    return "online" if os.environ.get("WANDB_API_KEY") else "offline"
