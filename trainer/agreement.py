"""One host's failure is every host's: so that all pods of a run end with the same exit code."""

import contextlib
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from trainer.errors import FINISHED, TrainError


class PeerError(TrainError):
    """Another host failed; its own log says why."""

    def __init__(self, process: int, exit_code: int):
        super().__init__(f"process {process} failed with exit code {exit_code}; its log says why")
        self.exit_code = exit_code


@contextlib.contextmanager
def agreed() -> Iterator[None]:
    """Runs a block on every host and raises on all of them where it raised TrainError on one."""
    failure: TrainError | None = None
    try:
        yield
    except TrainError as error:
        failure = error
    if jax.process_count() > 1:
        code = np.int32(failure.exit_code if failure else FINISHED)
        codes = np.asarray(multihost_utils.process_allgather(code))  # [processes]
        failed = np.flatnonzero(codes)
        if failed.size and failure is None:
            raise PeerError(int(failed[0]), int(codes[failed[0]]))
    if failure:
        raise failure
