"""A trained network as one file: named arrays in safetensors, and beside them what is needed to use it."""

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

KEY = "resnet-launch"  # of the file's metadata
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Parameters and running statistics by name, and the network and images that they are for.

    ``mean`` and ``std`` are per channel, of images scaled to 0..1; ``image_size`` is in pixels, ``crop`` the
    share of an image's shorter side that the network sees.
    """

    model: ModelConfig
    class_names: list[str]
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float = 0.875
    arrays: dict[str, np.ndarray]

    def network(self, platform: str) -> tuple[Network, dict[str, tuple]]:
        """The network, and the shapes of its arrays by name."""
        return describe(self.model, len(self.class_names), len(self.mean), self.image_size, platform)

    def save(self, path: str | Path) -> None:
        about = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "arrays"}
        about["model"] = dataclasses.asdict(self.model)
        arrays = {name: np.ascontiguousarray(a, np.float32) for name, a in self.arrays.items()}
        try:
            save_file(arrays, path, {KEY: json.dumps(about)})
        except (OSError, safetensors.SafetensorError) as error:
            raise TrainError(f"{path}: cannot be written: {error}") from None


def describe(
    model: ModelConfig, classes: int, channels: int, image_size: int, platform: str
) -> tuple[Network, dict[str, tuple]]:
    """A network and the shapes of its arrays by name, without their values."""
    net, init = network.build(model, classes, channels, image_size, platform)
    params, stats = jax.eval_shape(init, jax.random.key(0))
    return net, {name: a.shape for name, a in (params | stats).items()}


def load(path: str | Path) -> Weights:
    """Reads a file that ``save`` wrote.

    Raises:
      ConfigError: there is none, or another program wrote it.
    """
    hint = "resnet-train import makes one of a file of torchvision or timm"
    try:
        with safetensors.safe_open(path, "np") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {}).get(KEY, "null"))
        arrays = load_file(path)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise ConfigError(f"{path}: must be a file of weights, got {error}", hint) from None
    if about is None:
        raise ConfigError(f"{path}: must be a file of weights of this program, got another's", hint)
    about["model"] = ModelConfig(**about["model"])
    about |= {name: tuple(about[name]) for name in ("mean", "std")}
    return Weights(**about, arrays=arrays)


def read_foreign(path: str | Path, model: ModelConfig, image_size: int) -> Weights:
    """The weights of a torchvision or timm file, ``.pth`` or safetensors; ImageNet's mean and deviation.

    Raises:
      ConfigError: the file holds another network than ``model``.
    """
    if str(path).endswith(".safetensors"):
        try:
            found = load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise ConfigError(f"{path}: must be a safetensors file, got {error}") from None
    else:
        found = torch_file.load(path)
    if "fc.weight" not in found or found["fc.weight"].ndim != 2:
        raise ConfigError(f"{path}: must hold a ResNet with a head named fc, got none")
    model = dataclasses.replace(model, stem=network.stem(model, image_size))
    classes, channels = len(found["fc.weight"]), len(IMAGENET_MEAN)
    _, shapes = describe(model, classes, channels, image_size, "cpu")
    return Weights(
        model=model,
        class_names=[f"class {i}" for i in range(classes)],
        image_size=image_size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        arrays=torch_names.read(model, found, shapes),
    )
