"""An xprof trace of a few steps on the first host, in ``profile/`` of the run directory."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
from etils import epath

from trainer.errors import ConfigError
from trainer.rundir import files
from trainer.runtime.messages import warn

STEPS = re.compile(r"(\d+)(?:-(\d+))?")


def steps(text: str) -> range:
    """Return the steps of ``"100-104"``, ``"100"`` or ``""`` (none).

    Raises:
      ConfigError: ``text`` has none of these forms.
    """
    if not text:
        return range(0)
    match = STEPS.fullmatch(text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last:
        raise ConfigError(f"log.profile_steps: must be FIRST-LAST, counted from 1, got '{text}'")
    return range(first, last + 1)


class Profiler:
    """Traces a range of steps once; call ``begin`` and ``end`` around each step of the training loop.

    A trace that fails is only a warning.

    Args:
      wanted: steps to trace.
      root: run directory; None: no trace.
    """

    def __init__(self, wanted: range, root: epath.Path | None):
        self._wanted, self._root = wanted if root else range(0), root
        self._folder: str | None = None
        self._step: jax.profiler.StepTraceAnnotation | None = None

    def begin(self, step: int) -> None:
        """Begin the trace if ``step`` is its first step."""
        if step not in self._wanted:
            return
        if self._folder is None and not self._start():
            return
        self._step = jax.profiler.StepTraceAnnotation("train", step_num=step)
        self._step.__enter__()

    def end(self, step: int, results: Any) -> None:
        """End the trace if ``step`` is its last step, once the devices have computed ``results``."""
        if self._step:
            self._step.__exit__(None, None, None)
            self._step = None
            if step == self._wanted[-1]:
                jax.block_until_ready(results)
                self.close()

    def close(self) -> None:
        """Write the trace, even if the run ends in the middle of it; nothing is traced afterwards."""
        self._wanted = range(0)
        if self._folder and self._root:
            folder, self._folder = self._folder, None
            try:
                jax.profiler.stop_trace()
                self._copy(Path(folder), self._root / "profile")
                shutil.rmtree(folder)
            except Exception as error:  # from the profiler, a disk or a bucket
                warn(f"the profile was not written: {error}")

    def _start(self) -> bool:
        self._folder = tempfile.mkdtemp(prefix="profile-")  # the profiler cannot write to a bucket
        try:
            jax.profiler.start_trace(self._folder)
            return True
        except Exception as error:
            warn(f"the profile could not be started: {error}")
            self._folder, self._wanted = None, range(0)
            return False

    @staticmethod
    def _copy(folder: Path, destination: epath.Path) -> None:
        for path in sorted(folder.rglob("*")):
            target = destination / str(path.relative_to(folder))
            if path.is_file():
                files.check_links(destination.parent, target)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
