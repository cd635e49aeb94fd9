"""Source: what a dataset gives to the pipeline, and how one is found by name."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from trainer.config import DataConfig
from trainer.data import DATASETS
from trainer.errors import DataError

SPLITS = ("train", "test")


class Gather(Protocol):
    def __call__(
        self, indices: np.ndarray, draws: np.ndarray | None = None, /
    ) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True, kw_only=True)
class Source:
    """Random access to the examples of one split.

    ``gather(indices [b] int64, draws) -> (images [b, H, W, C] uint8, labels [b] int32)``; it may be called
    from several threads at once. ``draws`` (crop.draws, [b, DRAWS]) are for training, and without them the
    images are those of the evaluation; sources of whole images take no notice of them. ``mean`` and ``std``
    are per channel, of images scaled to 0..1.
    """

    name: str
    size: int
    image_shape: tuple[int, int, int]  # H, W, C
    class_names: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    gather: Gather

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def load(config: DataConfig, split: str) -> Source:
    """Opens one split ("train" or "test") of the configured dataset, a name or a path.

    Raises:
      DataError: missing, truncated or inconsistent data; the message names the file.
    """
    module = importlib.import_module(f"trainer.data.formats.{DATASETS.get(config.name, 'detect')}")
    source = module.load(split, config)
    if source.size == 0:
        raise DataError(f"data: split '{split}' of '{source.name}' must hold examples, got none")
    return source


def load_both(config: DataConfig) -> tuple[Source, Source]:
    """The training and the test split, of the same classes.

    Raises:
      DataError: as `load`, or the test split has classes that training does not know.
    """
    train, test = load(config, "train"), load(config, "test")
    if test.num_classes > train.num_classes:
        raise DataError(
            f"data: the test split of '{train.name}' must have the {train.num_classes} classes of training, "
            f"got {test.num_classes}"
        )
    return train, test


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
        gather=lambda indices, draws=None: (images[indices], labels[indices]),
    )
