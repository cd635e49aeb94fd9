"""Checkpoints with Orbax: the newest and the best, restored onto any mesh.

A checkpoint holds dicts of named arrays (parameters, statistics, optimizer state, step) and some JSON.

Only the first host writes and reads checkpoints, because each of its devices holds the whole state. No host
waits for another one's bucket, a checkpoint is read once for all hosts, and a save fails in one place. The
restored arrays go to the other hosts over the network between the devices.
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
from trainer.runtime.agreement import agreed, broadcast, from_first_host
from trainer.runtime.messages import warn
from trainer.state import State

# Errors of TensorStore and the bucket's clients while a bucket does not answer; trying again may help.
UNREACHABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "503", "429")
# Pauses between the attempts at a save. In each, the client of a bucket tries for half a minute itself.
PAUSE_SECONDS = (1, 5, 15, 30)

Named = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A restored state, and the values saved with it.

    Attributes:
      state: on the devices, with the requested sharding.
      step: updates done.
      accuracy: validation accuracy, 0 to 1; None if the step was not evaluated.
      stream: TrainStream.to_json(); empty in checkpoints of older versions.
    """

    state: State
    step: int
    accuracy: float | None
    stream: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A checkpoint in the memory of the first host: named NumPy arrays."""

    named: Named
    step: int
    accuracy: float | None
    stream: dict[str, Any]


class DamagedError(TrainError):
    """A checkpoint cannot be read, or an array differs from its checksum."""


class Checkpoints:
    """The checkpoints of one run. Call every method on every host, except ``best``.

    Saves are asynchronous; an error of a save is raised on all hosts by the next call.
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
        """Save a state unless its step is saved already; return once the state is copied.

        Args:
          state: on the devices; may be donated to the next step afterwards.
          step: updates done.
          accuracy: validation accuracy, 0 to 1; None if the step was not evaluated.
          wait: return only once the checkpoint is complete.
          stream: JSON with the position of the training data.

        Raises:
          StorageError: this save or the previous one has failed several times.
        """
        self.wait()
        if self._manager and step not in self._manager.all_steps():
            meta = {"step": step, "accuracy": accuracy, "stream": stream or {}}
            self._saving = self._thread.submit(self._write, _copied(_named(state)), meta)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Return once the last save is complete.

        Raises:
          StorageError: it has failed several times.
        """
        with agreed():
            saving, self._saving = self._saving, None
            if saving:
                saving.result()

    def best(self) -> int | None:
        """Return the step with the best validation accuracy, otherwise the newest; on the first host only."""
        assert self._manager
        best = self._manager.best_step()
        return self._manager.latest_step() if best is None else best

    def newest(self, shapes: State, sharding: Sharding | State) -> Restored | None:
        """Restore the newest undamaged checkpoint; return None if there is no checkpoint.

        A damaged checkpoint is renamed to ``damaged-STEP``, and the previous one is tried.

        Raises:
          ConfigError: it is of another network or optimizer; the message states the first difference.
          DamagedError: all are damaged.
          StorageError: the run directory does not answer.
        """
        checkpoint = None
        with agreed():
            if self._manager:
                checkpoint = self._read_newest(shapes)
        return _everywhere(checkpoint, shapes, sharding)

    def restore(self, shapes: State, sharding: Sharding, step: int) -> Restored:
        """Restore one checkpoint, and compare its arrays with their checksums.

        Raises:
          ConfigError: it is of another network or optimizer; the message states the first difference.
          DamagedError: it cannot be read, or an array differs from its checksum.
          StorageError: the run directory does not answer.
        """
        checkpoint = None
        with agreed():
            if self._manager:
                checkpoint = self._read(shapes, step)
        restored = _everywhere(checkpoint, shapes, sharding)
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
                warn(f"{error}; restoring the previous one")
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
            checkpoint = self._manager.restore(step, args=arguments)
            self._check_sums(step, checkpoint["state"], checkpoint["meta"].get("checksums") or {})
        except TrainError:
            raise
        except Exception as error:  # Orbax and TensorStore have many kinds, and plain ones
            if any(code in str(error) for code in UNREACHABLE):
                raise StorageError(f"run directory {self.path} does not answer: {error}") from error
            raise self._damaged(step, first_line(error)) from error
        meta = checkpoint["meta"]
        return _Read(
            named=checkpoint["state"], step=step, accuracy=meta["accuracy"], stream=meta.get("stream") or {}
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

    def _check_sums(self, step: int, named: Named, checksums: dict[str, int]) -> None:
        for name, array in _paths(named):
            if name in checksums and _checksum(array) != checksums[name]:
                raise self._damaged(step, f"{name} differs from its checksum")

    def _damaged(self, step: int, why: str) -> DamagedError:
        return DamagedError(f"checkpoint {step} in {self.path} is damaged: {why}")

    def _mismatch(self, step: int, difference: str) -> ConfigError:
        return ConfigError(
            f"checkpoint {step} in {self.path} is of another network: {difference}",
            "use another --name or --run-dir, or the --arch and --set that the run was started with",
        )


def _make_manager(path: Any, config: CheckpointConfig) -> ocp.CheckpointManager:
    """Return Orbax's manager for the first host alone, which never waits for other hosts."""
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
        enable_async_checkpointing=False,  # Checkpoints has a thread of its own, which can retry
        multiprocessing_options=alone,
    )
    logging.getLogger("absl").addFilter(_is_relevant)
    # Named handlers, so that a manager that has saved nothing can read the metadata of another's checkpoints.
    # Compression would make weights a twelfth smaller, but a save would take 2.5 times as long.
    handlers = {
        "state": ocp.PyTreeCheckpointHandler(multiprocessing_options=alone, use_compression=False),
        "meta": ocp.JsonCheckpointHandler(multiprocessing_options=alone),
    }
    return ocp.CheckpointManager(path, options=options, item_handlers=handlers)


def _is_relevant(record: logging.LogRecord) -> bool:
    """Return False for Orbax's warning about a save without metrics, which is intended."""
    return "tracked_metric" not in str(record.msg)


def _accuracy(metrics: Any) -> float:
    return metrics["accuracy"]


def _named(state: State) -> Named:
    """Return a State as dicts of named arrays, so that a checkpoint holds no class of NNX or optax."""
    return {"step": state.step, "params": state.params, "stats": state.stats, "opt": dict(_paths(state.opt))}


def _copied(named: Named) -> Named:
    """Arrays of NumPy with memory of their own: the devices' goes to the next step."""
    here = jax.tree.map(lambda array: array.addressable_data(0), named)
    return jax.tree.map(np.array, jax.device_get(here))  # device_get begins with all before it waits for one


def _everywhere(checkpoint: _Read | None, shapes: State, sharding: Sharding | State) -> Restored | None:
    """Place the checkpoint that the first host has read on the devices of all hosts.

    ``sharding`` is one for all arrays, or a State with one for each.
    """
    meta = checkpoint and {
        "step": checkpoint.step,
        "accuracy": checkpoint.accuracy,
        "stream": checkpoint.stream,
    }
    meta = json.loads(from_first_host(json.dumps(meta)))
    if meta is None:
        return None
    wanted = _named(shapes)
    arrays = broadcast(jax.tree.leaves(checkpoint and checkpoint.named), jax.tree.leaves(wanted))
    where = _named(sharding) if isinstance(sharding, State) else jax.tree.map(lambda _: sharding, wanted)
    pairs = zip(arrays, jax.tree.leaves(where), strict=True)
    with jax.transfer_guard_host_to_device("allow"):  # each array goes where its sharding says
        placed = [jax.make_array_from_callback(a.shape, s, a.__getitem__) for a, s in pairs]
    named = jax.tree.unflatten(jax.tree.structure(wanted), placed)
    opt = jax.tree.unflatten(jax.tree.structure(shapes.opt), [named["opt"][p] for p, _ in _paths(shapes.opt)])
    return Restored(state=State(named["step"], named["params"], named["stats"], opt), **meta)


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _paths(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]
