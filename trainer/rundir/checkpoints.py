"""Checkpoints with Orbax: the newest and the best, restored onto any mesh.

A checkpoint holds dicts of named arrays (parameters, statistics, optimizer state, step) and some JSON.

Where each device holds the whole state, only the first host writes. No host waits for another one's bucket,
and a save fails in one place. Where the state is divided over the devices, each host writes its parts
(``trainer.rundir.joint_save``): no device and no host needs room for the whole state.

Nor does any host read all of a divided state (``trainer.rundir.joint_restore``). Otherwise only the first
host reads: a checkpoint is read once for all hosts, and the arrays go to the others over the network between
the devices.
"""

import concurrent.futures
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.sharding import Sharding

from trainer.config import CheckpointConfig
from trainer.errors import ConfigError, JoinError, TrainError, is_permanent, reason, system_error_of
from trainer.rundir import damage, joint_restore, parts
from trainer.rundir.files import failure, writing_to
from trainer.rundir.joint_save import Lead, PartsHandler, differing, follow, state_handler
from trainer.rundir.parts import Parts, checksum
from trainer.rundir.shared import shared_by_all_hosts
from trainer.runtime.agreement import agreed, broadcast, from_first_host
from trainer.runtime.exchange import Exchange
from trainer.runtime.messages import warn
from trainer.state import State

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
    """A checkpoint in the memory of the first host: named NumPy arrays, none where only the rest was read."""

    named: Named
    step: int
    accuracy: float | None
    stream: dict[str, Any]

    @property
    def meta(self) -> dict[str, Any]:
        """The values saved with the state, as JSON."""
        return {"step": self.step, "accuracy": self.accuracy, "stream": self.stream}


class DamagedError(TrainError):
    """A checkpoint cannot be read, or an array differs from its checksum."""


class Checkpoints:
    """The checkpoints of one run. Call every method on every host, except ``best``.

    Saves are asynchronous; an error of a save is raised on all hosts by the next call.

    Args:
      path: absolute path or gs://… of the folder.
      config: what is kept.
      writing: create the folder where it does not exist; otherwise nothing is written or deleted.
      gather: returns a state of which every device has a copy, where the states to save are divided over the
        devices; None where they are not. It is called only if the hosts do not write to the same folder.

    Raises:
      RunDirectoryError: the folder cannot be used.
      StorageError: the run directory does not answer.
    """

    def __init__(
        self,
        path: Any,
        config: CheckpointConfig,
        writing: bool = True,
        gather: Callable[[State], State] | None = None,
    ):
        self.path = path if "://" in str(path) else Path(path).absolute()
        self._manager = None
        self._parts = PartsHandler()
        self._savers: list[list[int]] | None = None
        self._exchange: Exchange | None = None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "save")
        self._saving: concurrent.futures.Future[None] | None = None
        with agreed():
            if jax.process_index() == 0:
                with writing_to(str(path)):
                    if writing:
                        epath.Path(path).mkdir(parents=True, exist_ok=True)
                    if writing or epath.Path(path).is_dir():
                        self._manager = _make_manager(self.path, config, writing, self._parts)
        self._gather = gather
        self._joint = writing and gather is not None and shared_by_all_hosts(epath.Path(self.path))

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
        meta = {"step": step, "accuracy": accuracy, "stream": stream or {}}
        if self._joint:
            self._save_parts(_named(state), meta)
        else:
            state = self._gather(state) if self._gather else state
            if self._manager and step not in self._manager.all_steps():
                self._saving = self._thread.submit(self._write_whole, _copied(_named(state)), meta)
        if wait:
            self.wait()

    def _save_parts(self, named: Named, meta: dict[str, Any]) -> None:
        """Begin to save this host's parts of a state; every host takes part in every save."""
        arrays, tree = jax.tree.flatten(named)
        if self._savers is None:
            self._savers = parts.savers(arrays)
        copies = jax.tree.unflatten(tree, parts.copied(arrays, self._savers))
        if self._exchange:
            self._exchange.forget()  # every host has ended the previous save
        self._exchange = Exchange()
        if self._manager:
            self._saving = self._thread.submit(self._lead, copies, meta, self._exchange)
        else:
            self._saving = self._thread.submit(follow, self._exchange, copies, dict(_paths(copies)))

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
        """Return the step with the best validation accuracy, otherwise the newest; on the first host only.

        None where there is no checkpoint.
        """
        if not self._manager:
            return None
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
        if self._joint and isinstance(sharding, State):
            return self._newest_by_parts(shapes, sharding)
        checkpoint = None
        with agreed():
            if self._manager:
                checkpoint = self._newest_undamaged(lambda step: self._read(shapes, step))
        return _everywhere(checkpoint, shapes, sharding)

    def _newest_by_parts(self, shapes: State, sharding: State) -> Restored | None:
        """Restore the newest undamaged checkpoint, of which every host reads its parts.

        Where a host cannot, the first host reads all: it tells damage from a host that sees no files.
        """
        while True:
            checkpoint = None
            with agreed():
                if self._manager:
                    checkpoint = self._newest_undamaged(lambda step: self._read_meta(shapes, step))
            meta = json.loads(from_first_host(json.dumps(checkpoint and checkpoint.meta)))
            if meta is None:
                return None
            folder, where = epath.Path(self.path) / str(meta["step"]), _named(sharding)
            names, wanted = zip(*_paths(_named(shapes)), strict=True)
            try:
                arrays = joint_restore.read(
                    folder, list(zip(names, wanted, jax.tree.leaves(where), strict=True))
                )
                return _restored(arrays, shapes, meta)
            except joint_restore.NotReadError as error:
                problem = error
            checkpoint = None
            with agreed():
                if self._manager:
                    checkpoint = self._undamaged(meta["step"], lambda step: self._read(shapes, step))
            if restored := _everywhere(checkpoint, shapes, sharding):
                if jax.process_index() == 0:
                    warn(f"the first host reads checkpoint {restored.step} in {self.path} for all: {problem}")
                return restored

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

    def _write_whole(self, named: Named, meta: dict[str, Any]) -> None:
        self._write(named, meta | {"checksums": {name: checksum(array) for name, array in _paths(named)}})

    def _lead(self, named: Named, meta: dict[str, Any], exchange: Exchange) -> None:
        """The first host's side of a save in which every host writes its parts."""
        assert self._manager
        assert self._savers is not None
        lead = Lead(exchange, {host for hosts in self._savers for host in hosts})
        try:
            if meta["step"] not in self._manager.all_steps():
                leaves: dict[str, Parts] = dict(_paths(named))
                sums = lead.checksums(leaves)
                meta = meta | {
                    "checksums": {name: crcs[0] for name, crcs in sums.items() if len(crcs) == 1},
                    "parts": {
                        name: {"shape": leaves[name].part_shape, "checksums": crcs}
                        for name, crcs in sums.items()
                        if len(crcs) > 1
                    },
                }
                self._parts.lead = lead
                self._write(named, meta)
        finally:
            self._parts.lead = None
            lead.end()

    def _write(self, named: Named, meta: dict[str, Any]) -> None:
        step, accuracy = meta["step"], meta["accuracy"]
        arguments = ocp.args.Composite(state=ocp.args.PyTreeSave(named), meta=ocp.args.JsonSave(meta))
        metrics = None if accuracy is None else {"accuracy": accuracy}
        assert self._manager
        warned = ""
        for pause in (*PAUSE_SECONDS, None):
            try:
                self._manager.save(step, args=arguments, metrics=metrics, force=True)
                return
            except JoinError:
                raise
            except Exception as error:  # Orbax and TensorStore have many kinds, and plain ones
                problem = _save_failure(str(self.path), step, error)
                if pause is None or (system_error_of(error) and is_permanent(error)):
                    raise problem from error
                if problem.args[0] != warned:  # a full disk is worth one line, not one for each attempt
                    warned = problem.args[0]
                    warn(f"{warned}; trying again")
            time.sleep(pause)
            self._manager.reload()

    def _newest_undamaged(self, read: Callable[[int], _Read]) -> _Read | None:
        """Read the newest checkpoint with ``read``; set aside those that are damaged."""
        assert self._manager
        while (step := self._manager.latest_step()) is not None:
            if checkpoint := self._undamaged(step, read):
                return checkpoint
        return None

    def _undamaged(self, step: int, read: Callable[[int], _Read]) -> _Read | None:
        """Read a checkpoint; set it aside and return None where it is damaged, and not the last one."""
        assert self._manager
        try:
            return read(step)
        except DamagedError as error:
            if len(self._manager.all_steps()) == 1:
                raise
            warn(f"{error}; restoring the previous one")
        with writing_to(str(self.path)):
            _set_aside(epath.Path(self.path), step)
        self._manager.reload()
        return None

    def _read(self, shapes: State, step: int) -> _Read:
        """Read a checkpoint into this host's memory, and compare its arrays with their checksums."""
        assert self._manager
        wanted = jax.tree.map(lambda x: np.empty(x.shape, x.dtype), _named(shapes))
        whole = ocp.checkpoint_utils.construct_restore_args(wanted)
        with self._reading(step):
            self._check_same_network(step, _named(shapes))
            checkpoint = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeRestore(item=wanted, restore_args=whole), meta=ocp.args.JsonRestore()
                ),
            )
            meta = damage.checked_meta(checkpoint["meta"])
            self._check_sums(step, checkpoint["state"], meta)
            return _Read(
                named=checkpoint["state"], step=step, accuracy=meta["accuracy"], stream=meta["stream"]
            )

    def _read_meta(self, shapes: State, step: int) -> _Read:
        """Read what a checkpoint says about itself, and nothing of its arrays."""
        assert self._manager
        with self._reading(step):
            self._check_same_network(step, _named(shapes))
            checkpoint = self._manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))
            meta = damage.checked_meta(checkpoint["meta"])
            return _Read(named={}, step=step, accuracy=meta["accuracy"], stream=meta["stream"])

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """Convert a failure to read a checkpoint into DamagedError or the error of the storage."""
        try:
            yield
        except TrainError:
            raise
        except Exception as error:  # Orbax and TensorStore have many kinds, and plain ones
            unreadable = damage.unreadable(epath.Path(self.path) / str(step))
            if unreadable or not damage.is_damage(error):
                raise failure(str(self.path), unreadable or error, "read") from error
            raise self._damaged(step, reason(error)) from error

    def _check_same_network(self, step: int, wanted: Named) -> None:
        assert self._manager
        metadata = self._manager.item_metadata(step)["state"]
        saved = {path: tuple(m.shape) for path, m in _paths(getattr(metadata, "tree", metadata))}
        if not saved:
            raise damage.MetaError("state/_METADATA lists no arrays")
        for path, leaf in _paths(wanted):
            if path not in saved:
                raise self._mismatch(step, f"{path} is missing")
            if saved[path] != leaf.shape:
                raise self._mismatch(step, f"{path} must be {leaf.shape}, got {saved[path]}")
        if extra := saved.keys() - {path for path, _ in _paths(wanted)}:
            raise self._mismatch(step, f"{min(extra)} does not belong to this network")

    def _check_sums(self, step: int, named: Named, meta: dict[str, Any]) -> None:
        arrays = dict(_paths(named))
        for name in arrays:
            if _differs(name, arrays, meta):
                raise self._damaged(step, f"{name} differs from its checksum")

    def _damaged(self, step: int, why: str) -> DamagedError:
        return DamagedError(f"checkpoint {step} in {self.path} is damaged: {why}")

    def _mismatch(self, step: int, difference: str) -> ConfigError:
        return ConfigError(
            f"checkpoint {step} in {self.path} is of another network: {difference}",
            "use another --name or --run-dir, or the --arch and --set that the run was started with",
        )


def _set_aside(folder: epath.Path, step: int) -> None:
    """Rename a damaged checkpoint to damaged-STEP, or to damaged-STEP-2, … where that name is taken."""
    names = (f"damaged-{step}{suffix}" for suffix in ("", *(f"-{i}" for i in range(2, 1000))))
    (folder / str(step)).rename(next(folder / name for name in names if not (folder / name).exists()))


def _save_failure(path: str, step: int, error: Exception) -> TrainError:
    """Return the error of a save; its exit code is that of any failure of the run directory."""
    problem, system_error = failure(path, error), system_error_of(error)
    # Which of its many files a save was writing says nothing, and differs from attempt to attempt.
    why = system_error.strerror if system_error else reason(error)
    return type(problem)(
        f"step {step} could not be saved to run directory {path}: {why}",
        problem.hint if system_error else None,
    )


def _make_manager(
    path: Any, config: CheckpointConfig, writing: bool, parts_handler: PartsHandler
) -> ocp.CheckpointManager:
    """Return Orbax's manager for the first host alone, which never waits for other hosts."""
    damage.silence()
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
        read_only=not writing,
        enable_async_checkpointing=False,  # Checkpoints has a thread of its own, which can retry
        multiprocessing_options=alone,
    )
    # Named handlers, so that a manager that has saved nothing can read the metadata of another's checkpoints.
    handlers = {
        "state": state_handler({0}, parts_handler),
        "meta": ocp.JsonCheckpointHandler(multiprocessing_options=alone),
    }
    return ocp.CheckpointManager(path, options=options, item_handlers=handlers)


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
    meta = json.loads(from_first_host(json.dumps(checkpoint and checkpoint.meta)))
    if meta is None:
        return None
    wanted = _named(shapes)
    arrays = broadcast(jax.tree.leaves(checkpoint and checkpoint.named), jax.tree.leaves(wanted))
    where = _named(sharding) if isinstance(sharding, State) else jax.tree.map(lambda _: sharding, wanted)
    pairs = zip(arrays, jax.tree.leaves(where), strict=True)
    with jax.transfer_guard_host_to_device("allow"):  # each array goes where its sharding says
        placed = [jax.make_array_from_callback(a.shape, s, a.__getitem__) for a, s in pairs]
    return _restored(placed, shapes, meta)


def _restored(arrays: Sequence[jax.Array], shapes: State, meta: dict[str, Any]) -> Restored:
    """Return the arrays of ``_named(shapes)``, in its order, as a State."""
    named = jax.tree.unflatten(jax.tree.structure(_named(shapes)), arrays)
    opt = jax.tree.unflatten(jax.tree.structure(shapes.opt), [named["opt"][p] for p, _ in _paths(shapes.opt)])
    return Restored(state=State(named["step"], named["params"], named["stats"], opt), **meta)


def _paths(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]


def _differs(name: str, arrays: Named, meta: dict[str, Any]) -> bool:
    """Return whether an array differs from its checksum or from those of its parts; False without any."""
    if divided := meta["parts"].get(name):
        return differing(arrays[name], divided["shape"], divided["checksums"])
    return name in meta["checksums"] and checksum(arrays[name]) != meta["checksums"][name]


def verify(folder: Path, step: int) -> None:
    """Compare the arrays of one checkpoint on this machine with their checksums, whatever its network is.

    Args:
      folder: of the checkpoint itself.
      step: for messages.

    Raises:
      DamagedError: it cannot be read, or an array differs from its checksum.
    """
    damage.silence()
    damaged = f"checkpoint {step} in {folder.parent} is damaged: "
    try:
        meta = damage.checked_meta(json.loads((folder / "meta" / "metadata").read_text(encoding="utf-8")))
        alone = ocp.options.MultiprocessingOptions(active_processes={0}, barrier_sync_key_prefix="first")
        handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as reader:
            named = reader.restore(folder / "state", args=ocp.args.PyTreeRestore())
        arrays = {name: np.asarray(array) for name, array in _paths(named)}
    except Exception as error:  # Orbax and TensorStore have many kinds, and plain ones
        raise DamagedError(damaged + reason(error)) from error
    listed = meta["checksums"].keys() | meta["parts"].keys()
    wrong = listed ^ arrays.keys() | {name for name in listed & arrays.keys() if _differs(name, arrays, meta)}
    if wrong:
        raise DamagedError(f"{damaged}{min(wrong)} differs from its checksum")
