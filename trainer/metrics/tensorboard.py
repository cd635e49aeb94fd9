"""TensorBoard event files in the run directory: the rows of metrics.jsonl as scalars."""

import json
import os
from typing import Any

from etils import epath

from trainer.errors import ConfigError
from trainer.rundir import directory

FLUSH_SECONDS = 30  # on a bucket each flush rewrites the whole file
QUEUE = 10_000  # rows that may wait for a slow disk or bucket before a step has to wait


class TensorBoard:
    """Writes one file per attempt and one more per rollback to ``<run dir>/tensorboard``.

    Each file begins with the step from which the previous files no longer count, so that TensorBoard shows
    each step once.

    Raises:
      ConfigError: tensorboardX is not installed.
    """

    def __init__(self, root: epath.Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            hint = "pip install '.[tensorboard]' in a checkout of resnet-launch"
            raise ConfigError(f"log.tensorboard: must be false without tensorboardX: {error}", hint) from None
        self._folder = str(root / "tensorboard")
        self._make = SummaryWriter
        self._writer: Any = None

    def resume_at(self, step: int) -> None:
        self.close()
        suffix = f".{step:09d}"  # the name is otherwise unique only per second
        self._writer = self._make(
            self._folder,
            purge_step=step + 1,
            max_queue=QUEUE,
            flush_secs=FLUSH_SECONDS,
            filename_suffix=suffix,
        )
        if code := directory.code(os.environ):  # a fence keeps the lines of the text
            self._writer.add_text("code", f"```\n{json.dumps(code, indent=2)}\n```", step)

    def __call__(self, step: int, values: dict[str, Any]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None
