"""Source: what a dataset gives to the pipeline, and how one is found by name."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.config import DataConfig
from trainer.data import DATASETS
from trainer.errors import DataError

SPLITS = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Random access to the examples of one split.

    ``gather(indices [b] int64) -> (images [b, H, W, C] uint8, labels [b] int32)``; it may be called from
    several threads at once. ``mean`` and ``std`` are per channel, of images scaled to 0..1.
    """

    name: str
    size: int
    image_shape: tuple[int, int, int]  # H, W, C
    class_names: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    gather: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def load(config: DataConfig, split: str) -> Source:
    """Opens one split ("train" or "test") of the configured dataset.

    Raises:
      DataError: missing, truncated or inconsistent data; the message names the file.
    """
    module = importlib.import_module(f"trainer.data.{DATASETS[config.name]}")
    source = module.load(split, config)
    if source.size == 0:
        raise DataError(f"data: split '{split}' of '{source.name}' must hold examples, got none")
    return source


def from_arrays(
    name: str, images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], mean: float, std: float
) -> Source:
    """A source of images already in memory: [N, H, W, C] uint8 and labels [N]."""
    if len(images) != len(labels):
        raise DataError(
            f"data: '{name}' must hold a label an image, got {len(images)} images and {len(labels)} labels"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < len(class_names):
        bad = int(np.flatnonzero((labels < 0) | (labels >= len(class_names)))[0])
        raise DataError(
            f"data: labels of '{name}' must be 0..{len(class_names) - 1}, got {labels[bad]} at example {bad}"
        )
    labels = labels.astype(np.int32)
    channels = images.shape[-1]
    return Source(
        name=name,
        size=len(images),
        image_shape=images.shape[1:],
        class_names=class_names,
        mean=(mean,) * channels,
        std=(std,) * channels,
        gather=lambda indices: (images[indices], labels[indices]),
    )
