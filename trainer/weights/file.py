"""Weights files: a trained network as safetensors arrays, with the metadata needed to use it."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from trainer.config import ModelConfig
from trainer.errors import ConfigError, TrainError
from trainer.models import network
from trainer.models.network import Network
from trainer.weights import torch_file, torch_names

KEY = "resnet-launch"  # key of our JSON in the metadata of the file
# torchvision and timm normalise with these, per channel in RGB order (torchvision.transforms).
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A trained network: its configuration, its arrays and the images that it expects.

    Attributes:
      model: architecture and options of the network.
      class_names: names of the classes, in the order of the logits.
      image_size: height and width of the input in pixels.
      mean: mean of each channel, for images scaled to 0..1.
      std: standard deviation of each channel, on the same scale.
      crop: share of an image's shorter side that the centre crop takes, 0 to 1.
      arrays: parameters and running statistics by name, float32; kernels are HWIO.
    """

    model: ModelConfig
    class_names: list[str]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float = 0.875
    arrays: dict[str, np.ndarray]

    def network(self, platform: str) -> tuple[Network, dict[str, tuple]]:
        """Return the network and the shapes of its arrays by name."""
        return describe(self.model, len(self.class_names), len(self.mean), self.image_size, platform)

    def save(self, path: str | Path) -> None:
        """Write a weights file.

        Raises:
          TrainError: the file cannot be written.
        """
        metadata = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "arrays"}
        metadata["model"] = dataclasses.asdict(self.model)
        arrays = {name: np.ascontiguousarray(a, np.float32) for name, a in self.arrays.items()}
        try:
            save_file(arrays, path, {KEY: json.dumps(metadata)})
        except (OSError, safetensors.SafetensorError) as error:
            raise TrainError(f"{path}: cannot be written: {error}") from None


def describe(
    model: ModelConfig, classes: int, channels: int, image_size: int, platform: str
) -> tuple[Network, dict[str, tuple]]:
    """Return a network and the shapes of its arrays by name, without computing their values."""
    net, init = network.build(model, classes, channels, image_size, platform)
    params, stats = jax.eval_shape(init, jax.random.key(0))
    return net, {name: a.shape for name, a in (params | stats).items()}


def load(path: str | Path) -> Weights:
    """Read a weights file.

    Raises:
      ConfigError: the file is missing, damaged, or written by another program.
    """
    hint = "resnet-train import converts a file of torchvision or timm"
    try:
        with safetensors.safe_open(path, "np") as file:
            metadata: dict[str, Any] = json.loads((file.metadata() or {}).get(KEY, "null"))
        arrays = load_file(path)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise ConfigError(f"{path}: must be a weights file, got {error}", hint) from None
    if metadata is None:
        raise ConfigError(f"{path}: must be a weights file of resnet-train, got one of another program", hint)
    metadata["model"] = ModelConfig(**metadata["model"])
    metadata |= {name: tuple(metadata[name]) for name in ("mean", "std")}
    return Weights(**metadata, arrays=arrays)


def load_torch(path: str | Path, model: ModelConfig, image_size: int) -> Weights:
    """Read a ``.pth`` or ``.safetensors`` file of torchvision or timm.

    The result has ImageNet's mean and standard deviation; its classes are numbered.

    Raises:
      ConfigError: the file is not readable, or holds another network than ``model``.
    """
    if str(path).endswith(".safetensors"):
        try:
            state_dict = load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise ConfigError(f"{path}: must be a safetensors file, got {error}") from None
    else:
        state_dict = torch_file.load(path)
    if "fc.weight" not in state_dict or state_dict["fc.weight"].ndim != 2:
        raise ConfigError(f"{path}: must hold a ResNet with a head named fc, got none")
    model = dataclasses.replace(model, stem=network.stem(model, image_size))
    classes, channels = len(state_dict["fc.weight"]), len(IMAGENET_MEAN)
    _, shapes = describe(model, classes, channels, image_size, "cpu")
    return Weights(
        model=model,
        class_names=[f"class {i}" for i in range(classes)],
        image_size=image_size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        arrays=torch_names.read(model, state_dict, shapes),
    )
