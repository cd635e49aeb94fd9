"""Conversion of ResNet weights to and from the names and layouts of torchvision and timm.

Our weights are flat dicts of named arrays. Our kernels are HWIO and theirs OIHW; our dense matrices are
[inputs, outputs] and theirs [outputs, inputs]. The values are the same: padding, strides and the running
variance follow torchvision.
"""

import re
from collections.abc import Iterable, Mapping

import jax.numpy as jnp
import numpy as np

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.pickled import shown
from trainer.registry import ARCHS

NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
IGNORED = ("num_batches_tracked", ".filt")  # endings: a counter, and timm's constant blur filter
DAMAGED = "the training that wrote the file diverged, or the file is damaged: take an earlier checkpoint"
QUANTISED = "weights that were quantised must be turned back into floats first"


def names(config: ModelConfig, ours: Iterable[str]) -> dict[str, str]:
    """Map our name of each parameter and running statistic to torchvision's."""
    return {name: _theirs(config, name) for name in ours}


def read(
    config: ModelConfig,
    state_dict: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple],
    source: str = "the file",
) -> dict[str, np.ndarray]:
    """Convert a state dict of torchvision or timm to our arrays, float32.

    Args:
      config: configuration of the network.
      state_dict: arrays by their names.
      shapes: shapes by our names.
      source: the file, for errors.

    Raises:
      ConfigError: an array is missing, left over, of another shape, or not of finite numbers; the message
        names it.
    """
    mapping = names(config, shapes)
    if missing := [theirs for theirs in mapping.values() if theirs not in state_dict]:
        raise _different(config, source, f"{missing[0]} is missing")
    present = {name for name in state_dict if not name.endswith(IGNORED)}
    if extra := present - set(mapping.values()):
        raise _different(config, source, f"{shown(min(extra))[1:-1]} does not belong to it")
    arrays = {}
    for ours, theirs in mapping.items():
        theirs_array = state_dict[theirs]
        array = _layout(theirs_array, shapes[ours])
        if array.shape != tuple(shapes[ours]):
            got = f"{theirs} must be {tuple(shapes[ours])} in our layout, got {array.shape}"
            raise _different(config, source, got)
        arrays[ours] = as_float32(array, f"{source}: {theirs}")
        if ours.endswith(".var") and (arrays[ours] < 0).any():
            raise ConfigError(f"{source}: {theirs} must be at least 0, got {arrays[ours].min()}", DAMAGED)
    return arrays


def as_float32(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array of weights as float32.

    Raises:
      ConfigError: it holds integers, or numbers that are not finite in float32; the message has the name.
    """
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ConfigError(f"{name} must be of a floating-point type, got {array.dtype}", QUANTISED)
    with np.errstate(over="ignore"):  # a float64 beyond float32's range is an error below
        array = np.array(array, np.float32)
    if not (finite := np.isfinite(array)).all():
        count = array.size - np.count_nonzero(finite)
        bad = array.ravel()[np.argmin(finite)]
        raise ConfigError(f"{name} must be finite in float32, got {bad} in {count} of {array.size}", DAMAGED)
    return array


def write(config: ModelConfig, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert our arrays to a state dict of torchvision or timm, without the counters of training steps."""
    return {theirs: _their_layout(theirs, arrays[ours]) for ours, theirs in names(config, arrays).items()}


def _different(config: ModelConfig, source: str, difference: str) -> ConfigError:
    hint = "--arch and --set model.… must describe the network that the file holds"
    return ConfigError(f"{source}: must hold a {config.arch}: {difference}", hint)


def _layout(array: np.ndarray, shape: tuple) -> np.ndarray:
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)  # OIHW -> HWIO
        return array[0, 0] if len(shape) == 2 else array
    return array.T if array.ndim == 2 else array


def _their_layout(theirs: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 2 and ".se." in theirs:
        array = array[None, None]  # timm's gate is a 1x1 convolution
    if array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)  # HWIO -> OIHW
    elif array.ndim == 2:
        array = array.T
    return np.ascontiguousarray(array)


def _theirs(config: ModelConfig, name: str) -> str:
    path, _, leaf = name.rpartition(".")
    leaf = "weight" if leaf == "kernel" else NORM[leaf]
    if path == "head":
        return f"fc.{leaf}"
    if match := re.fullmatch(r"blocks\.(\d+)\.(.*)", path):
        stage, index = _stage_of(config, int(match[1]))
        return f"layer{stage + 1}.{index}.{_in_block(config, match[2])}.{leaf}"
    if match := re.fullmatch(
        r"deep\.(\d)\.(conv|norm)", path
    ):  # conv1 is a Sequential: conv, norm, relu, conv, norm, relu, conv
        return f"conv1.{3 * int(match[1]) + (match[2] == 'norm')}.{leaf}"
    conv = "conv1.6" if config.stem == "deep" else "conv1"
    return f"{conv if path == 'stem.conv' else 'bn1'}.{leaf}"


def _in_block(config: ModelConfig, path: str) -> str:
    if path.startswith("squeeze."):
        return "se.fc1" if path.endswith("reduce") else "se.fc2"
    if path.startswith("shortcut."):
        first = int(config.shortcut == "pool")  # index 0 is the average pooling
        return f"downsample.{first + path.endswith('norm')}"
    layer, kind = path.split(".")
    return layer if kind == "conv" else layer.replace("conv", "bn")


def _stage_of(config: ModelConfig, block: int) -> tuple[int, int]:
    """Return (stage, index in the stage) of a block, all counted from 0."""
    for stage, size in enumerate(ARCHS[config.arch][2]["stage_sizes"]):
        if block < size:
            return stage, block
        block -= size
    raise ValueError(f"{config.arch} has no block {block}")
