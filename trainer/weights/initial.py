"""The first state of a run that starts from the weights of another one (``train.init``)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.models import network
from trainer.program import Program
from trainer.state import Averaging, State
from trainer.weights.file import load


def start_from(path: str, program: Program, state: State, shardings: State) -> State:
    """Return a fresh state with the parameters and running statistics of a weights file.

    Args:
      path: weights file.
      program: compiled steps and optimizer of the run.
      state: freshly initialised state; its arrays stay where the file has none.
      shardings: a State that holds a sharding for each array.

    Raises:
      ConfigError: the path is not a weights file, or the file does not fit the network.
    """
    config, arrays = program.config, state.params | state.stats
    fitting = fitting_arrays(path, arrays, config.model, program.image_size)
    by_name = shardings.params | shardings.stats
    placed = arrays | {name: jax.device_put(a, by_name[name]) for name, a in fitting.items()}
    params, stats = ({name: placed[name] for name in part} for part in (state.params, state.stats))
    averages = config.optim.ema
    opt_shardings = shardings.opt.rule if averages else shardings.opt
    # Initialised again, because the state of some optimizers holds a copy of the parameters.
    opt = jax.jit(program.optimizer.init, out_shardings=opt_shardings)(params)
    if averages:
        copies = jax.tree.map(jnp.copy, (params, stats))
        opt = Averaging(opt, *jax.device_put(copies, (shardings.opt.params, shardings.opt.stats)))
    return state._replace(params=params, stats=stats, opt=opt)


def fitting_arrays(
    path: str, arrays: dict[str, Any], model: ModelConfig, image_size: int
) -> dict[str, np.ndarray]:
    """Return the arrays of a weights file by name; those of the head only where their shapes are the same.

    Args:
      path: weights file.
      arrays: arrays of the network to be trained, by name; only their shapes matter.
      model: configuration of that network.
      image_size: height and width of its input in pixels.

    Raises:
      ConfigError: an array outside the head differs; the message names the first one.
    """
    weights = load(path)
    model = dataclasses.replace(model, stem=network.stem(model, image_size))
    fitting = {name: a for name, a in weights.arrays.items() if not name.startswith("head.")}
    for name, wanted in arrays.items():
        loaded = weights.arrays.get(name)
        if name.startswith("head."):
            if loaded is not None and loaded.shape == wanted.shape:
                fitting[name] = loaded
        elif loaded is None or loaded.shape != wanted.shape:
            got = "none" if loaded is None else loaded.shape
            raise ConfigError(
                f"train.init: {path} must fit the network: {name} must be {wanted.shape}, got {got}",
                f"the file holds {weights.model.arch}; --arch and --set model.… must describe it",
            )
    if extra := fitting.keys() - arrays.keys():
        raise ConfigError(f"train.init: {path} must fit the network: the network has no {min(extra)}")
    return fitting
