"""The first state of a run that starts from a trained network (``train.init``)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trainer.config import ModelConfig
from trainer.data.classes import numbered
from trainer.errors import ConfigError
from trainer.learning import sparse
from trainer.models import network
from trainer.program import Program
from trainer.rundir.dataset import first_difference, normalised
from trainer.runtime.messages import note, warn
from trainer.state import Averaging, State
from trainer.weights.file import Weights
from trainer.weights.inference import load_weights


def start_from(
    path: str, program: Program, class_names: Sequence[str], state: State, shardings: State
) -> State:
    """Return a fresh state with the parameters and running statistics of another network.

    Args:
      path: weights file or run directory; called on every host alike.
      program: compiled steps and optimizer of the run.
      class_names: classes of the run, in the order of its logits.
      state: freshly initialised state; its arrays stay where the other network has none.
      shardings: a State that holds a sharding for each array.

    Raises:
      ConfigError: the path holds no network, or one that does not fit.
    """
    config, arrays = program.config, state.params | state.stats
    weights = load_weights(path, head=False)
    fitting = fitting_arrays(weights, path, arrays, config.model, program.image_size)
    head, reason = fitting_head(weights, class_names)
    if reason and jax.process_index() == 0:
        warn(f"train.init: the head starts afresh, not from {path}: {reason}")
    fitting |= {name: a for name, a in head.items() if name in arrays}
    by_name = shardings.params | shardings.stats
    placed = arrays | {name: jax.device_put(a, by_name[name]) for name, a in fitting.items()}
    params, stats = ({name: placed[name] for name in part} for part in (state.params, state.stats))
    averages = config.optim.ema
    opt_shardings = shardings.opt.rule if averages else shardings.opt
    # Initialised again, because the state of some optimizers holds a copy of the parameters.
    opt = jax.jit(program.optimizer.init, out_shardings=opt_shardings)(params)
    params = jax.jit(sparse.pruned, out_shardings=shardings.params)(opt, params)
    if averages:
        copies = jax.tree.map(jnp.copy, (params, stats))
        opt = Averaging(opt, *jax.device_put(copies, (shardings.opt.params, shardings.opt.stats)))
    return state._replace(params=params, stats=stats, opt=opt)


def fitting_head(weights: Weights, class_names: Sequence[str]) -> tuple[dict[str, np.ndarray], str]:
    """Return the arrays of a head for the same classes in the order of a run, by name.

    The last axis of each is the classes. Where the classes are others there is none, and the reason.

    Args:
      weights: network with its class names.
      class_names: classes of the run, in the order of its logits.
    """
    head = {name: a for name, a in weights.arrays.items() if name.startswith("head.")}
    if not head:
        return {}, "it has none"
    difference = first_difference(weights.class_names, class_names)
    if not difference:
        return head, ""
    if numbered(weights.class_names):
        return {}, "its classes have no names, which resnet-train import --classes FILE gives them"
    names, wanted = ([normalised(name) for name in each] for each in (weights.class_names, class_names))
    if len(set(names)) < len(names) or sorted(names) != sorted(wanted):
        return {}, difference
    order = [names.index(name) for name in wanted]
    return {name: a[..., order] for name, a in head.items()}, ""


def fitting_arrays(
    weights: Weights, path: str, arrays: dict[str, Any], model: ModelConfig, image_size: int
) -> dict[str, np.ndarray]:
    """Return the arrays of a network by name, all but those of the head.

    Positions of another image size are resampled; a note says so.

    Args:
      weights: network to start from.
      path: its weights file or run directory, for messages.
      arrays: arrays of the network to be trained, by name; only their shapes matter.
      model: configuration of that network.
      image_size: height and width of its input in pixels.

    Raises:
      ConfigError: an array outside the head differs; the message names the first one.
    """
    model = network.with_stem(model, image_size)
    hint = f"it is a {weights.model.arch}; --arch and --set model.… must describe it"
    fitting = {name: a for name, a in weights.arrays.items() if not name.startswith("head.")}
    for name, wanted in arrays.items():
        loaded = weights.arrays.get(name)
        if loaded is not None and not name.startswith("head."):
            fitting[name] = network.fitted(model, name, loaded, tuple(wanted.shape))
            if fitting[name] is not loaded and jax.process_index() == 0:
                sizes = f"{weights.image_size} to {image_size} pixels"
                note(f"train.init: {name} of {path} is resampled, {loaded.shape} to {wanted.shape}, {sizes}")
            loaded = fitting[name]
        if not name.startswith("head.") and (loaded is None or loaded.shape != wanted.shape):
            got = "none" if loaded is None else loaded.shape
            raise ConfigError(
                f"train.init: {path} must fit the network: {name} must be {wanted.shape}, got {got}",
                hint,
            )
    if extra := fitting.keys() - arrays.keys():
        raise ConfigError(f"train.init: {path} must fit the network: the network has no {min(extra)}", hint)
    return fitting
