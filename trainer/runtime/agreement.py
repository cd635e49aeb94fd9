"""Agreement between hosts: a failure of one ends all pods with the same exit code and reason."""

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax._src import distributed  # its client of the coordination service has no public name
from jax.experimental import multihost_utils

from trainer.errors import HINT, JoinError, TrainError

WAIT_SECONDS = 900  # longer than the clients of a bucket take to give up

_rounds = itertools.count()


class PeerError(TrainError):
    """Another host failed; the message states which host, and its error."""

    def __init__(self, process: int, exit_code: int, message: str):
        message, _, hint = message.partition(f"\n{HINT}")
        super().__init__(f"process {process} failed: {message}", hint or None)
        self.exit_code = exit_code


@contextlib.contextmanager
def agreed() -> Iterator[None]:
    """Run a block on every host, and raise on all hosts if it raises TrainError on one.

    The hosts may finish the block minutes apart.

    Raises:
      TrainError: this host's own error; otherwise PeerError with the exit code of the first host that failed.
      JoinError: a host is gone.
    """
    failure: TrainError | None = None
    try:
        yield
    except TrainError as error:
        failure = error
    if jax.process_count() > 1:
        peer = _first_failure(failure)
        failure = failure or peer
    if failure:
        raise failure
    if jax.process_count() > 1:
        # While all are here: this sets up the transport between hosts, for which Gloo waits 30 s at most.
        with moving_host_values():
            multihost_utils.sync_global_devices("agreed")


def moving_host_values() -> contextlib.AbstractContextManager[None]:
    """Around ``multihost_utils``, which sends values of the host over the devices without placing them."""
    return jax.transfer_guard("allow")


def from_first_host(text: str) -> str:
    """Return the first host's ``text`` on every host.

    Raises:
      JoinError: the first host is gone.
    """
    if jax.process_count() == 1:
        return text
    key = f"resnet/first-host/{next(_rounds)}"
    client = coordination_client()
    try:
        if jax.process_index() == 0:
            client.key_value_set(key, text)
        return client.blocking_key_value_get(key, WAIT_SECONDS * 1000)
    except RuntimeError as error:
        raise JoinError(f"the first host is gone: {error}") from error


def coordination_client() -> Any:
    """Return JAX's client of the coordination service; None in a run of one process."""
    return distributed.global_state.client


def broadcast(arrays: list[np.ndarray], shapes: list[Any]) -> list[np.ndarray]:
    """Return the first host's arrays on every host, bit for bit, over the network between the devices.

    Args:
      arrays: arrays of the first host; ignored on the others.
      shapes: objects with the shape and dtype of each array, the same on every host.
    """
    if jax.process_count() == 1:
        return arrays
    sizes = [math.prod(s.shape) * np.dtype(s.dtype).itemsize for s in shapes]
    # One vector, so that one program is compiled; integers, because a sum of floats turns -0 into 0.
    words = np.zeros(-(-sum(sizes) // 4), np.uint32)
    if jax.process_index() == 0:
        words.view(np.uint8)[: sum(sizes)] = np.frombuffer(b"".join(a.tobytes() for a in arrays), np.uint8)
    with moving_host_values():
        data = np.asarray(multihost_utils.broadcast_one_to_all(words)).view(np.uint8)
    ends = np.cumsum(sizes)
    spans = zip(ends - sizes, ends, shapes, strict=True)
    return [data[begin:end].view(np.dtype(s.dtype)).reshape(s.shape) for begin, end, s in spans]


def first_report(own: str | None) -> tuple[int, str] | None:
    """Return (process, text) of the first process that reports a text, on every host; None if none does.

    Args:
      own: what this process reports; None for nothing.

    Raises:
      JoinError: a host is gone.
    """
    if jax.process_count() == 1:
        return None if own is None else (0, own)
    client = coordination_client()
    key = f"resnet/agreed/{next(_rounds)}"
    try:
        if own is not None:
            client.key_value_set(f"{key}/{jax.process_index():06d}", own)
        client.wait_at_barrier(key, WAIT_SECONDS * 1000)
        reports = sorted(client.key_value_dir_get(key))
    except RuntimeError as error:
        raise JoinError(f"a host is gone: {error}") from error
    return (int(reports[0][0].rpartition("/")[2]), reports[0][1]) if reports else None


def _first_failure(own: TrainError | None) -> PeerError | None:
    """Return the failure of the first process that has one, through the coordination service."""
    try:
        report = first_report(f"{own.exit_code} {own}" if own else None)
    except JoinError as error:
        raise own or error from error
    if not report:
        return None
    process, text = report
    code, _, message = text.partition(" ")
    return PeerError(process, int(code), message)
