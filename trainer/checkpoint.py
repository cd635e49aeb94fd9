"""Checkpoints with Orbax: the latest and the best, resumed on any mesh.

A checkpoint holds dicts of named arrays (parameters, statistics, optimizer state, step) and a little JSON.
"""

from dataclasses import dataclass
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.sharding import Sharding

from trainer.config import CheckpointConfig
from trainer.errors import ConfigError
from trainer.step import State


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A state read back, and its validation accuracy where that was known when it was saved."""

    state: State
    step: int
    accuracy: float | None


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
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(_named(state)),
            meta=ocp.args.JsonSave({"step": step, "accuracy": accuracy}),
        )
        metrics = None if accuracy is None else {"accuracy": accuracy}
        self._manager.save(step, args=arguments, metrics=metrics, force=True)
        if wait:
            self.wait()

    def best(self) -> int | None:
        """The step of the best validation accuracy that is kept, else the newest."""
        best = self._manager.best_step()
        return self._manager.latest_step() if best is None else best

    def restore(self, shapes: State, sharding: Sharding, step: int | None = None) -> Restored | None:
        """A checkpoint, by default the newest, on the given sharding; None where there is none.

        Raises:
          ConfigError: it was saved by another network or optimizer; the message names the first difference.
        """
        step = self._manager.latest_step() if step is None else step
        if step is None:
            return None
        wanted = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), _named(shapes)
        )
        self._check_same_network(step, wanted)
        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(wanted), meta=ocp.args.JsonRestore())
        found = self._manager.restore(step, args=arguments)
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


def _paths(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]
