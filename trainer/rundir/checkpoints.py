"""Checkpoints with Orbax: the latest and the best, resumed on any mesh.

A checkpoint holds dicts of named arrays (parameters, statistics, optimizer state, step) and a little JSON.

The first host alone writes and reads them: every device holds the whole state, so no host waits for another's
bucket, a bucket is read once however many hosts there are, and a failing save fails in one place. What it has
read goes to the others over the network between the devices.
"""

import concurrent.futures
import json
import logging
import time
import zlib
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.sharding import Sharding

from trainer.config import CheckpointConfig
from trainer.errors import ConfigError, StorageError, TrainError, first_line
from trainer.rundir.directory import writing_to
from trainer.runtime.agreement import agreed, broadcast, told
from trainer.runtime.messages import warn
from trainer.state import State

# What TensorStore and the bucket's clients say while a bucket does not answer; a wait mends that.
UNREACHABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "503", "429")
# Between the attempts at one save. The clients of a bucket each try for half a minute before they give up.
PAUSE_SECONDS = (1, 5, 15, 30)

Named = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A state read back, with what was saved beside it.

    accuracy: of the validation, where it was known. stream: TrainStream.kept, of older versions empty.
    """

    state: State
    step: int
    accuracy: float | None
    stream: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A checkpoint as the first host has it: named arrays of NumPy."""

    named: Named
    step: int
    accuracy: float | None
    stream: dict[str, Any]


class DamagedError(TrainError):
    """A checkpoint cannot be read back as it was saved."""


class Checkpoints:
    """The checkpoints of one run. Every method is called on every host alike.

    Saves are asynchronous; the error of one surfaces on all hosts at the next call.
    """

    def __init__(self, path: Any, config: CheckpointConfig):
        self.path = path
        self._manager = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "save")
        self._saving: concurrent.futures.Future[None] | None = None
        with agreed():
            if jax.process_index() == 0:
                with writing_to(str(path)):
                    epath.Path(path).mkdir(parents=True, exist_ok=True)
                    self._manager = _make_manager(path, config)

    def save(
        self,
        state: State,
        step: int,
        accuracy: float | None,
        wait: bool = False,
        stream: dict[str, Any] | None = None,
    ) -> None:
        """Saves a state, once a step; returns once it is copied, or with ``wait`` once it is whole.

        Args:
          stream: JSON that says where the data goes on.

        Raises:
          StorageError: this save, or the one before, failed several times.
        """
        self.wait()
        if self._manager and step not in self._manager.all_steps():
            meta = {"step": step, "accuracy": accuracy, "stream": stream or {}}
            self._saving = self._thread.submit(self._write, _copied(_named(state)), meta)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Returns once the last save is whole."""
        with agreed():
            saving, self._saving = self._saving, None
            if saving:
                saving.result()

    def best(self) -> int | None:
        """The step of the best validation accuracy that is kept, else the newest; of one host."""
        assert self._manager
        best = self._manager.best_step()
        return self._manager.latest_step() if best is None else best

    def newest(self, shapes: State, sharding: Sharding | State) -> Restored | None:
        """The newest whole checkpoint, or None where there is none.

        A damaged one is set aside as ``damaged-STEP`` and the one before it is taken.

        Raises:
          ConfigError: it was saved by another network or optimizer; the message names the first difference.
          DamagedError: all are damaged.
        """
        found = None
        with agreed():
            if self._manager:
                found = self._read_newest(shapes)
        return _everywhere(found, shapes, sharding)

    def restore(self, shapes: State, sharding: Sharding, step: int) -> Restored:
        """One checkpoint on the given sharding, its arrays compared with their checksums.

        Raises:
          ConfigError: it was saved by another network or optimizer; the message names the first difference.
          DamagedError: it cannot be read, or an array is not what was saved.
        """
        found = None
        with agreed():
            if self._manager:
                found = self._read(shapes, step)
        restored = _everywhere(found, shapes, sharding)
        assert restored
        return restored

    def close(self) -> None:
        self._thread.shutdown()
        if self._manager:
            self._manager.close()

    def _write(self, named: Named, meta: dict[str, Any]) -> None:
        step, accuracy = meta["step"], meta["accuracy"]
        meta = meta | {"checksums": {name: _checksum(array) for name, array in _paths(named)}}
        arguments = ocp.args.Composite(state=ocp.args.PyTreeSave(named), meta=ocp.args.JsonSave(meta))
        metrics = None if accuracy is None else {"accuracy": accuracy}
        assert self._manager
        for pause in (*PAUSE_SECONDS, None):
            try:
                self._manager.save(step, args=arguments, metrics=metrics, force=True)
                return
            except Exception as error:  # Orbax and TensorStore have many kinds, and plain ones
                why = f"step {step} could not be saved to run directory {self.path}: {first_line(error)}"
                if pause is None:
                    raise StorageError(why) from error
                warn(f"{why}; trying again")
            time.sleep(pause)
            self._manager.reload()

    def _read_newest(self, shapes: State) -> _Read | None:
        assert self._manager
        while (step := self._manager.latest_step()) is not None:
            try:
                return self._read(shapes, step)
            except DamagedError as error:
                if len(self._manager.all_steps()) == 1:
                    raise
                warn(f"{error}; going on from the one before")
            folder = epath.Path(self.path)
            (folder / str(step)).rename(folder / f"damaged-{step}")
            self._manager.reload()
        return None

    def _read(self, shapes: State, step: int) -> _Read:
        assert self._manager
        wanted = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), _named(shapes))
        whole = ocp.checkpoint_utils.construct_restore_args(wanted)
        arguments = ocp.args.Composite(
            state=ocp.args.PyTreeRestore(item=wanted, restore_args=whole), meta=ocp.args.JsonRestore()
        )
        try:
            self._check_same_network(step, wanted)
            found = self._manager.restore(step, args=arguments)
            self._check_whole(step, found["state"], found["meta"].get("checksums") or {})
        except TrainError:
            raise
        except Exception as error:  # Orbax and TensorStore have many kinds, and plain ones
            if any(word in str(error) for word in UNREACHABLE):
                raise StorageError(f"run directory {self.path} does not answer: {error}") from error
            raise self._damaged(step, first_line(error)) from error
        meta = found["meta"]
        return _Read(
            named=found["state"], step=step, accuracy=meta["accuracy"], stream=meta.get("stream") or {}
        )

    def _check_same_network(self, step: int, wanted: Named) -> None:
        assert self._manager
        metadata = self._manager.item_metadata(step)["state"]
        saved = {path: tuple(m.shape) for path, m in _paths(getattr(metadata, "tree", metadata))}
        for path, leaf in _paths(wanted):
            if path not in saved:
                raise self._mismatch(step, f"{path} is missing")
            if saved[path] != leaf.shape:
                raise self._mismatch(step, f"{path} must be {leaf.shape}, got {saved[path]}")
        if extra := saved.keys() - {path for path, _ in _paths(wanted)}:
            raise self._mismatch(step, f"{min(extra)} does not belong to this network")

    def _check_whole(self, step: int, named: Named, checksums: dict[str, int]) -> None:
        for name, array in _paths(named):
            if name in checksums and _checksum(array) != checksums[name]:
                raise self._damaged(step, f"{name} is not what was saved")

    def _damaged(self, step: int, why: str) -> DamagedError:
        return DamagedError(f"checkpoint {step} in {self.path} is damaged: {why}")

    def _mismatch(self, step: int, difference: str) -> ConfigError:
        return ConfigError(
            f"checkpoint {step} in {self.path} is of another network: {difference}",
            "use another --name or --run-dir, or the --arch and --set that the run was started with",
        )


def _make_manager(path: Any, config: CheckpointConfig) -> ocp.CheckpointManager:
    """Orbax's manager for the first host alone: it never waits for other hosts."""
    keep: list[Any] = [ocp.checkpoint_managers.LatestN(config.keep)]
    if config.keep_best:
        best = ocp.checkpoint_managers.BestN(
            get_metric_fn=_accuracy, n=config.keep_best, keep_checkpoints_without_metrics=False
        )
        keep.append(best)
    alone = ocp.options.MultiprocessingOptions(active_processes={0}, barrier_sync_key_prefix="first")
    options = ocp.CheckpointManagerOptions(
        preservation_policy=ocp.checkpoint_managers.AnyPreservationPolicy(keep),
        best_fn=_accuracy,
        create=False,
        enable_async_checkpointing=False,  # Checkpoints has a thread of its own, which can try again
        multiprocessing_options=alone,
    )
    logging.getLogger("absl").addFilter(_is_news)
    # Named handlers, so that a manager that has saved nothing can look into what another saved. Compression
    # would make weights a twelfth smaller, and a save two and a half times the work.
    handlers = {
        "state": ocp.PyTreeCheckpointHandler(multiprocessing_options=alone, use_compression=False),
        "meta": ocp.JsonCheckpointHandler(multiprocessing_options=alone),
    }
    return ocp.CheckpointManager(path, options=options, item_handlers=handlers)


def _is_news(record: logging.LogRecord) -> bool:
    """A save without an evaluation is no mistake; Orbax warns of each."""
    return "tracked_metric" not in str(record.msg)


def _accuracy(metrics: Any) -> float:
    return metrics["accuracy"]


def _named(state: State) -> Named:
    """A State as dicts of named arrays: no class of NNX or optax gets into a checkpoint."""
    return {"step": state.step, "params": state.params, "stats": state.stats, "opt": dict(_paths(state.opt))}


def _copied(named: Named) -> Named:
    """Arrays of NumPy with memory of their own: the devices' goes to the next step."""
    here = jax.tree.map(lambda array: array.addressable_data(0), named)
    for array in jax.tree.leaves(here):
        array.copy_to_host_async()
    return jax.tree.map(np.array, here)


def _everywhere(found: _Read | None, shapes: State, sharding: Sharding | State) -> Restored | None:
    """What the first host has read, on all devices of all hosts: a copy on each, or as a State says."""
    mine = found and {"step": found.step, "accuracy": found.accuracy, "stream": found.stream}
    known = json.loads(told(json.dumps(mine)))
    if known is None:
        return None
    wanted = _named(shapes)
    arrays = broadcast(jax.tree.leaves(found and found.named), jax.tree.leaves(wanted))
    where = _named(sharding) if isinstance(sharding, State) else jax.tree.map(lambda _: sharding, wanted)
    pairs = zip(arrays, jax.tree.leaves(where), strict=True)
    placed = [jax.make_array_from_callback(a.shape, s, a.__getitem__) for a, s in pairs]
    named = jax.tree.unflatten(jax.tree.structure(wanted), placed)
    opt = jax.tree.unflatten(jax.tree.structure(shapes.opt), [named["opt"][p] for p, _ in _paths(shapes.opt)])
    return Restored(state=State(named["step"], named["params"], named["stats"], opt), **known)


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _paths(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]
