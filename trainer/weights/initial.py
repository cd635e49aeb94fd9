"""The state that a run starts from when it is given the weights of another one."""

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


def start_from(path: str, program: Program, state: State, where: State) -> State:
    """A fresh state with the parameters and statistics of a file of weights.

    Args:
      where: a State of shardings.

    Raises:
      ConfigError: the file is not one of weights, or does not fit the network.
    """
    config, arrays = program.config, state.params | state.stats
    fitting = fitting_arrays(path, arrays, config.model, program.image_size)
    shardings = where.params | where.stats
    placed = arrays | {name: jax.device_put(a, shardings[name]) for name, a in fitting.items()}
    params, stats = ({name: placed[name] for name in part} for part in (state.params, state.stats))
    averages = config.optim.ema
    rule = where.opt.rule if averages else where.opt
    opt = jax.jit(program.optimizer.init, out_shardings=rule)(params)  # some rules keep the parameters
    if averages:
        copies = jax.tree.map(jnp.copy, (params, stats))
        opt = Averaging(opt, *jax.device_put(copies, (where.opt.params, where.opt.stats)))
    return state._replace(params=params, stats=stats, opt=opt)


def fitting_arrays(
    path: str, arrays: dict[str, Any], model: ModelConfig, image_size: int
) -> dict[str, np.ndarray]:
    """The arrays of a file for a network that is about to be trained; its head only if it has the same shape.

    Args:
      arrays: the network's own, by name: their shapes count.

    Raises:
      ConfigError: anything but the head differs; the first difference is named.
    """
    weights = load(path)
    model = dataclasses.replace(model, stem=network.stem(model, image_size))
    kept = {name: a for name, a in weights.arrays.items() if not name.startswith("head.")}
    for name, own in arrays.items():
        theirs = weights.arrays.get(name)
        if name.startswith("head."):
            if theirs is not None and theirs.shape == own.shape:
                kept[name] = theirs
        elif theirs is None or theirs.shape != own.shape:
            got = "none" if theirs is None else theirs.shape
            raise ConfigError(
                f"train.init: {path} must fit the network: {name} must be {own.shape}, got {got}",
                f"the file holds {weights.model.arch}; --arch and --set model.… must describe it",
            )
    if extra := kept.keys() - arrays.keys():
        raise ConfigError(f"train.init: {path} must fit the network: {min(extra)} is not in it")
    return kept
