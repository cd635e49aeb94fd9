"""Weights of torchvision's and timm's ResNets, and ours: names, layouts, both ways.

Ours are flat dicts of named arrays, kernels HWIO; theirs have OIHW. Nothing else differs, because padding,
strides and the running variance are theirs.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.registry import ARCHS

LIBRARIES = ("torchvision", "timm")  # timm's names are torchvision's, and more of them
NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
IGNORED = ("num_batches_tracked", ".filt")  # a counter, and timm's constant blur filter


def names(config: ModelConfig, ours: Iterable[str]) -> dict[str, str]:
    """Our name -> theirs, for all parameters and running statistics of a network."""
    return {name: _theirs(config, name) for name in ours}


def read(
    config: ModelConfig, found: Mapping[str, np.ndarray], shapes: Mapping[str, tuple]
) -> dict[str, np.ndarray]:
    """Our arrays from their state dict.

    Args:
      shapes: our name -> shape, of the network that the arrays are for.

    Raises:
      ConfigError: one is missing, left over or of another shape; it is named.
    """
    found = {name: array for name, array in found.items() if not name.endswith(IGNORED)}
    mapping = names(config, shapes)
    if missing := [theirs for theirs in mapping.values() if theirs not in found]:
        raise _different(config, f"{missing[0]} is missing")
    if extra := found.keys() - set(mapping.values()):
        raise _different(config, f"{min(extra)} does not belong to it")
    arrays = {}
    for ours, theirs in mapping.items():
        array = _layout(found[theirs], shapes[ours])
        if array.shape != tuple(shapes[ours]):
            raise _different(
                config, f"{theirs} must be {tuple(shapes[ours])} in our order, got {array.shape}"
            )
        arrays[ours] = array.astype(np.float32)
    return arrays


def write(config: ModelConfig, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Their state dict from our arrays, without the counters that evaluation does not use."""
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
        array = array.transpose(3, 2, 0, 1)
    elif array.ndim == 2:
        array = array.T
    return np.ascontiguousarray(array)


def _theirs(config: ModelConfig, name: str) -> str:
    path, _, leaf = name.rpartition(".")
    leaf = "weight" if leaf == "kernel" else NORM[leaf]
    if path == "head":
        return f"fc.{leaf}"
    if found := re.fullmatch(r"blocks\.(\d+)\.(.*)", path):
        stage, index = _place(config, int(found[1]))
        return f"layer{stage + 1}.{index}.{_in_block(config, found[2])}.{leaf}"
    if found := re.fullmatch(r"deep\.(\d)\.(conv|norm)", path):  # conv1 is three of them, with relus between
        return f"conv1.{3 * int(found[1]) + (found[2] == 'norm')}.{leaf}"
    conv = "conv1.6" if config.stem == "deep" else "conv1"
    return f"{conv if path == 'stem.conv' else 'bn1'}.{leaf}"


def _in_block(config: ModelConfig, path: str) -> str:
    if path.startswith("squeeze."):
        return "se.fc1" if path.endswith("reduce") else "se.fc2"
    if path.startswith("shortcut."):
        first = int(config.shortcut == "pool")  # the pooling before it counts
        return f"downsample.{first + path.endswith('norm')}"
    layer, kind = path.split(".")
    return layer if kind == "conv" else layer.replace("conv", "bn")


def _place(config: ModelConfig, block: int) -> tuple[int, int]:
    """(stage, index in it) of a block that is counted through."""
    for stage, size in enumerate(ARCHS[config.arch][2]["stage_sizes"]):
        if block < size:
            return stage, block
        block -= size
    raise ValueError(f"{config.arch} has no block {block}")
