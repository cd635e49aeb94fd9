"""Weights files: a trained network as safetensors arrays, with the metadata needed to use it."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from trainer.config import ModelConfig
from trainer.errors import ConfigError, TrainError, first_line
from trainer.models import network
from trainer.models.architecture import IMAGENET_MEAN, IMAGENET_STD
from trainer.models.network import Network
from trainer.weights import indices, metadata, outputs, torch_names

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Weights", "describe", "load"]

KEY = "resnet-launch"  # key of our JSON in the metadata of the file


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
        """Return the network and the shapes of its arrays by name.

        Raises:
          ConfigError: an array is missing, left over or of another shape.
        """
        net, shapes = describe(self.model, len(self.class_names), len(self.mean), self.image_size, platform)
        for name in sorted(shapes.keys() | self.arrays.keys()):
            got = self.arrays[name].shape if name in self.arrays else "none"
            expected = shapes.get(name, "absent")
            if got != expected:
                raise ConfigError(f"weights of {self.model.arch}: {name} must be {expected}, got {got}")
        return net, shapes

    def save(self, path: str | Path, as_indices: bool = False) -> None:
        """Write a weights file.

        Args:
          path: the file.
          as_indices: whether arrays that are mostly zeros are written as the places and values of the others.

        Raises:
          TrainError: the file cannot be written.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "arrays"}
        fields["model"] = dataclasses.asdict(self.model)
        arrays = {name: np.asarray(a, np.float32, order="C") for name, a in self.arrays.items()}
        arrays = indices.packed(arrays) if as_indices else arrays
        try:
            with outputs.replaced(path) as temporary:
                save_file(arrays, temporary, {KEY: json.dumps(fields)})
        except safetensors.SafetensorError as error:
            raise TrainError(f"{path}: cannot be written: {error}") from None


def describe(
    model: ModelConfig, classes: int, channels: int, image_size: int, platform: str
) -> tuple[Network, dict[str, tuple]]:
    """Return a network and the shapes of its arrays by name, without computing their values."""
    net, init = network.build(model, classes, channels, image_size, platform)
    params, stats = jax.eval_shape(init, jax.random.key(0))
    return net, {name: a.shape for name, a in (params | stats).items()}


def load(path: str | Path, head: bool = True) -> Weights:
    """Read a weights file.

    Args:
      path: the file.
      head: whether the network must have its head; without one it can only be trained further.

    Raises:
      ConfigError: the file is missing, damaged, or written by another program; or its numbers are not finite.
    """
    hint = "resnet-train import converts a file of torchvision or timm"
    try:
        if not Path(path).is_file():
            got = "no regular file" if Path(path).exists() else "no file there"
            raise ConfigError(f"{path}: must be a weights file, got {got}")
        with safetensors.safe_open(path, "np") as file:
            text = (file.metadata() or {}).get(KEY)
        if text is None:
            raise ConfigError(
                f"{path}: must be a weights file of resnet-train, got one of another program", hint
            )
        arrays = indices.unpacked(load_file(path))
        fields = metadata.read(text)
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise ConfigError(f"{path}: must be a weights file, got {first_line(error)}", hint) from None
    arrays = {name: torch_names.as_float32(a, f"{path}: {name}") for name, a in arrays.items()}
    weights = Weights(**fields, arrays=arrays)
    if (bias := arrays.get("head.bias")) is not None and bias.shape != (len(weights.class_names),):
        raise ConfigError(f"{path}: head.bias must be ({len(weights.class_names)},), got {bias.shape}")
    if head and bias is None:
        text = "imported from a file without a head: train it with train.init first"
        raise ConfigError(f"{path}: must have a head for its classes, got none", text)
    return weights
