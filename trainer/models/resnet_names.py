"""Names and layouts of ResNet's arrays in torchvision and timm; timm uses torchvision's names and adds some.

The values are the same: padding, strides and the running variance follow torchvision.
"""

import re

import numpy as np

from trainer.config import ModelConfig
from trainer.models.architecture import Foreign, stage_of, to_oihw

NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def foreign(model: ModelConfig, stage_sizes: tuple[int, ...]) -> Foreign:
    """Return the names and layouts for a network.

    Args:
      model: settings of the network, with a stem that is not "auto".
      stage_sizes: number of blocks of each stage.
    """
    return Foreign(
        name=lambda ours: _theirs(model, stage_sizes, ours),
        anchor="layer1.0.conv1.weight",
        head="fc.weight",
        head_bias="fc.bias",
        ignored=("num_batches_tracked", ".filt"),  # a counter, and timm's constant blur filter
        write=_write,
    )


def _write(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 2 and ".squeeze." in name:
        array = array[None, None]  # timm's gate is a 1x1 convolution
    return to_oihw(name, array)


def _theirs(model: ModelConfig, stage_sizes: tuple[int, ...], name: str) -> str:
    path, _, leaf = name.rpartition(".")
    leaf = "weight" if leaf == "kernel" else NORM[leaf]
    if path == "head":
        return f"fc.{leaf}"
    if match := re.fullmatch(r"blocks\.(\d+)\.(.*)", path):
        stage, index = stage_of(stage_sizes, int(match[1]))
        return f"layer{stage + 1}.{index}.{_in_block(model, match[2])}.{leaf}"
    if match := re.fullmatch(r"deep\.(\d)\.(conv|norm)", path):
        # conv1 is a Sequential: conv, norm, relu, conv, norm, relu, conv
        return f"conv1.{3 * int(match[1]) + (match[2] == 'norm')}.{leaf}"
    conv = "conv1.6" if model.stem == "deep" else "conv1"
    return f"{conv if path == 'stem.conv' else 'bn1'}.{leaf}"


def _in_block(model: ModelConfig, path: str) -> str:
    if path.startswith("squeeze."):
        return "se.fc1" if path.endswith("reduce") else "se.fc2"
    if path.startswith("shortcut."):
        first = int(model.shortcut == "pool")  # index 0 is the average pooling
        return f"downsample.{first + path.endswith('norm')}"
    layer, kind = path.split(".")
    return layer if kind == "conv" else layer.replace("conv", "bn")
