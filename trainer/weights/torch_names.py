"""Conversion of ResNet weights to and from the names and layouts of torchvision and timm.

Our weights are flat dicts of named arrays. Our kernels are HWIO and theirs OIHW; our dense matrices are
[inputs, outputs] and theirs [outputs, inputs]. The values are the same: padding, strides and the running
variance follow torchvision.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.registry import ARCHS

NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
IGNORED = ("num_batches_tracked", ".filt")  # endings: a counter, and timm's constant blur filter


def names(config: ModelConfig, ours: Iterable[str]) -> dict[str, str]:
    """Map our name of each parameter and running statistic to torchvision's."""
    return {name: _theirs(config, name) for name in ours}


def read(
    config: ModelConfig, state_dict: Mapping[str, np.ndarray], shapes: Mapping[str, tuple]
) -> dict[str, np.ndarray]:
    """Convert a state dict of torchvision or timm to our arrays, float32.

    Args:
      config: configuration of the network.
      state_dict: arrays by their names.
      shapes: shapes by our names.

    Raises:
      ConfigError: an array is missing, left over or of another shape; the message names it.
    """
    state_dict = {name: array for name, array in state_dict.items() if not name.endswith(IGNORED)}
    mapping = names(config, shapes)
    if missing := [theirs for theirs in mapping.values() if theirs not in state_dict]:
        raise _different(config, f"{missing[0]} is missing")
    if extra := state_dict.keys() - set(mapping.values()):
        raise _different(config, f"{min(extra)} does not belong to it")
    arrays = {}
    for ours, theirs in mapping.items():
        array = _layout(state_dict[theirs], shapes[ours])
        if array.shape != tuple(shapes[ours]):
            raise _different(
                config, f"{theirs} must be {tuple(shapes[ours])} in our layout, got {array.shape}"
            )
        arrays[ours] = array.astype(np.float32)
    return arrays


def write(config: ModelConfig, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert our arrays to a state dict of torchvision or timm, without the counters of training steps."""
    return {theirs: _their_layout(theirs, arrays[ours]) for ours, theirs in names(config, arrays).items()}


def _different(config: ModelConfig, difference: str) -> ConfigError:
    hint = "--arch and --set model.… must describe the network that the file holds"
    return ConfigError(f"file must hold a {config.arch}: {difference}", hint)


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
