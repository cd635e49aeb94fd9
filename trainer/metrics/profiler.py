"""An xprof trace of a few steps, in ``profile/`` of the run directory: of the first host."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
from etils import epath

from trainer.errors import ConfigError
from trainer.runtime.messages import warn

STEPS = re.compile(r"(\d+)(?:-(\d+))?")


def steps(text: str) -> range:
    """``"100-104"`` -> the steps 100 to 104, ``"100"`` -> that one, ``""`` -> none.

    Raises:
      ConfigError: it is none of these.
    """
    if not text:
        return range(0)
    found = STEPS.fullmatch(text.strip())
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last:
        raise ConfigError(f"log.profile_steps: must be FIRST-LAST, counted from 1, got '{text}'")
    return range(first, last + 1)


class Profiler:
    """Traces the wanted steps once; call ``begin`` and ``end`` around each step of the loop.

    A trace that fails is a warning and never the end of a run.

    Args:
      root: run directory; None traces nothing.
    """

    def __init__(self, wanted: range, root: epath.Path | None):
        self._wanted, self._root = wanted if root else range(0), root
        self._folder: str | None = None
        self._step: jax.profiler.StepTraceAnnotation | None = None

    def begin(self, step: int) -> None:
        if step not in self._wanted:
            return
        if self._folder is None and not self._start():
            return
        self._step = jax.profiler.StepTraceAnnotation("train", step_num=step)
        self._step.__enter__()

    def end(self, step: int, results: Any) -> None:
        """results: arrays of the step; they are waited for after the last step of the trace."""
        if self._step:
            self._step.__exit__(None, None, None)
            self._step = None
            if step == self._wanted[-1]:
                jax.block_until_ready(results)
                self.close()

    def close(self) -> None:
        """Writes the trace, also of a run that ends in the middle of it; nothing is traced after it."""
        self._wanted = range(0)
        if self._folder and self._root:
            folder, self._folder = self._folder, None
            try:
                jax.profiler.stop_trace()
                self._bring(Path(folder), self._root / "profile")
                shutil.rmtree(folder)
            except Exception as error:  # the profiler's, a disk's or a bucket's
                warn(f"the profile was not written: {error}")

    def _start(self) -> bool:
        self._folder = tempfile.mkdtemp(prefix="profile-")  # the profiler writes to no bucket
        try:
            jax.profiler.start_trace(self._folder)
            return True
        except Exception as error:
            warn(f"the profile was not begun: {error}")
            self._folder, self._wanted = None, range(0)
            return False

    @staticmethod
    def _bring(folder: Path, place: epath.Path) -> None:
        for path in sorted(folder.rglob("*")):
            target = place / str(path.relative_to(folder))
            if path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
