"""Checkpoints with Orbax: the latest and the best, resumed on any mesh.

A checkpoint holds dicts of named arrays (parameters, statistics, optimizer state, step) and a little JSON.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.sharding import Sharding

from trainer.agreement import PeerError, agreed
from trainer.config import CheckpointConfig
from trainer.display import warn
from trainer.errors import ConfigError, TrainError
from trainer.step import State

# What TensorStore and the bucket's clients say while a bucket does not answer; a wait mends that.
UNREACHABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED", "503", "429")


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A state read back, and its validation accuracy where that was known when it was saved."""

    state: State
    step: int
    accuracy: float | None


class DamagedError(TrainError):
    """A checkpoint cannot be read back as it was saved."""


class Checkpoints:
    """The checkpoints of one run. Saves are asynchronous; their errors surface at the next call."""

    def __init__(self, path: Any, config: CheckpointConfig):
        keep: list[Any] = [ocp.checkpoint_managers.LatestN(config.keep)]
        if config.keep_best:
            best = ocp.checkpoint_managers.BestN(
                get_metric_fn=_accuracy, n=config.keep_best, keep_checkpoints_without_metrics=False
            )
            keep.append(best)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=ocp.checkpoint_managers.AnyPreservationPolicy(keep),
            best_fn=_accuracy,
            create=True,
        )
        # Named handlers, so that a manager that has saved nothing can look into what another saved.
        handlers = {"state": ocp.StandardCheckpointHandler(), "meta": ocp.JsonCheckpointHandler()}
        self._manager = ocp.CheckpointManager(path, options=options, item_handlers=handlers)
        self.path = path

    def save(self, state: State, step: int, accuracy: float | None, wait: bool = False) -> None:
        """Saves a state, once a step; returns once it is copied, or with ``wait`` once it is whole."""
        self._manager.check_for_errors()
        if step in self._manager.all_steps():
            return  # a whole checkpoint is never deleted to be written again
        named = _named(state)
        meta = {"step": step, "accuracy": accuracy, "checksums": _checksums(named)}
        arguments = ocp.args.Composite(state=ocp.args.StandardSave(named), meta=ocp.args.JsonSave(meta))
        metrics = None if accuracy is None else {"accuracy": accuracy}
        self._manager.save(step, args=arguments, metrics=metrics, force=True)
        if wait:
            self.wait()

    def best(self) -> int | None:
        """The step of the best validation accuracy that is kept, else the newest."""
        best = self._manager.best_step()
        return self._manager.latest_step() if best is None else best

    def newest(self, shapes: State, sharding: Sharding) -> Restored | None:
        """The newest whole checkpoint, or None where there is none. Called on every host alike.

        A damaged one is set aside as ``damaged-STEP`` and the one before it is taken.

        Raises:
          ConfigError: it was saved by another network or optimizer; the message names the first difference.
          DamagedError: all are damaged.
        """
        while (step := self._manager.latest_step()) is not None:
            try:
                with agreed():
                    return self.restore(shapes, sharding, step)
            except (DamagedError, PeerError) as error:
                if "is damaged" not in str(error) or len(self._manager.all_steps()) == 1:
                    raise
                warn(f"{error}; going on from the one before")
            with agreed():
                self._set_aside(step)
            self._manager.reload()
        return None

    def restore(self, shapes: State, sharding: Sharding, step: int) -> Restored:
        """One checkpoint on the given sharding, its arrays compared with their checksums.

        Raises:
          ConfigError: it was saved by another network or optimizer; the message names the first difference.
          DamagedError: it cannot be read, or an array is not what was saved.
        """
        wanted = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), _named(shapes)
        )
        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(wanted), meta=ocp.args.JsonRestore())
        try:
            self._check_same_network(step, wanted)
            found = self._manager.restore(step, args=arguments)
            self._check_whole(step, found["state"], found["meta"].get("checksums") or {})
        except TrainError:
            raise
        except Exception as error:  # Orbax and TensorStore have many kinds, and plain ones
            if any(word in str(error) for word in UNREACHABLE):
                raise
            why = (str(error) or type(error).__name__).splitlines()[0]
            raise self._damaged(step, why[:200]) from error
        return Restored(state=_state(shapes, found["state"]), step=step, accuracy=found["meta"]["accuracy"])

    def wait(self) -> None:
        self._manager.wait_until_finished()
        self._manager.check_for_errors()

    def close(self) -> None:
        self._manager.close()

    def _check_same_network(self, step: int, wanted: dict) -> None:
        metadata = self._manager.item_metadata(step)["state"]
        saved = {path: tuple(m.shape) for path, m in _paths(getattr(metadata, "tree", metadata))}
        for path, leaf in _paths(wanted):
            if path not in saved:
                raise self._mismatch(step, f"{path} is missing")
            if saved[path] != leaf.shape:
                raise self._mismatch(step, f"{path} must be {leaf.shape}, got {saved[path]}")
        if extra := saved.keys() - {path for path, _ in _paths(wanted)}:
            raise self._mismatch(step, f"{min(extra)} does not belong to this network")

    def _check_whole(self, step: int, named: dict, checksums: dict[str, int]) -> None:
        for name, array in _paths(named):
            if name in checksums and _checksum(array) != checksums[name]:
                raise self._damaged(step, f"{name} is not what was saved")

    def _damaged(self, step: int, why: str) -> DamagedError:
        return DamagedError(f"checkpoint {step} in {self.path} is damaged: {why}")

    def _set_aside(self, step: int) -> None:
        if jax.process_index() == 0:
            folder = epath.Path(self.path)
            (folder / str(step)).rename(folder / f"damaged-{step}")

    def _mismatch(self, step: int, difference: str) -> ConfigError:
        return ConfigError(
            f"checkpoint {step} in {self.path} is of another network: {difference}",
            "use another --name or --run-dir, or the --arch and --set that the run was started with",
        )


def _accuracy(metrics: Any) -> float:
    return metrics["accuracy"]


def _named(state: State) -> dict[str, Any]:
    """A State as dicts of named arrays: no class of NNX or optax gets into a checkpoint."""
    return {"step": state.step, "params": state.params, "stats": state.stats, "opt": dict(_paths(state.opt))}


def _state(shapes: State, named: dict[str, Any]) -> State:
    opt = jax.tree.unflatten(jax.tree.structure(shapes.opt), [named["opt"][p] for p, _ in _paths(shapes.opt)])
    return State(named["step"], named["params"], named["stats"], opt)


def _checksums(named: dict[str, Any]) -> dict[str, int]:
    """CRC-32 of every array, by name; the first host writes them for all."""
    if jax.process_index():
        return {}
    return {name: _checksum(array) for name, array in _paths(named)}


def _checksum(array: jax.Array) -> int:
    return zlib.crc32(np.ascontiguousarray(array.addressable_data(0)).data)


def _paths(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]
