"""Datasets of this package: one that keeps the contract, and some that break a part of it."""

import dataclasses

import numpy as np

from trainer.config import DataConfig
from trainer.data.source import Source

SIDE, CLASSES = 8, 4


def squares(split: str, config: DataConfig) -> Source:
    """Grey images with a bright square in the corner that is the label; noise is a function of the index."""

    def gather(indices: np.ndarray, draws: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        labels = indices % CLASSES
        images = np.empty((len(indices), SIDE, SIDE, 1), np.uint8)
        for row, (index, label) in enumerate(zip(indices, labels, strict=True)):
            images[row] = np.random.default_rng(index).integers(0, 100, (SIDE, SIDE, 1))
            y, x = 4 * (label // 2), 4 * (label % 2)
            images[row, y : y + 4, x : x + 4] += 120
        return images, labels

    return Source(
        name="squares",
        size=256 if split == "train" else 64,
        image_shape=(SIDE, SIDE, 1),
        class_names=["top left", "top right", "bottom left", "bottom right"],
        mean=(0.3,),
        std=(0.2,),
        gather=gather,
    )


def _changed(**fields):
    return lambda split, config: dataclasses.replace(squares(split, config), **fields)


not_a_function = 3
nothing = lambda split, config: None  # noqa: E731
empty = _changed(size=0)
wide = _changed(image_shape=(8, 16, 1))
same_names = _changed(class_names=["a", "a"])
no_deviation = _changed(std=(0.0,))
mean_of_nothing = _changed(mean=(float("nan"),))
boundless = _changed(std=(float("inf"),))
floats = _changed(gather=lambda indices, draws=None: (np.zeros((len(indices), 8, 8, 1)), indices % 4))
other_labels = _changed(gather=lambda indices, draws=None: (_black(indices), indices + 4))


def _black(indices: np.ndarray) -> np.ndarray:
    return np.zeros((len(indices), SIDE, SIDE, 1), np.uint8)


def missing(split: str, config: DataConfig) -> Source:
    raise FileNotFoundError(2, "No such file or directory", "/data/squares.npz")


def breaks_later(split: str, config: DataConfig) -> Source:
    source = squares(split, config)

    def gather(indices: np.ndarray, draws: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        if indices.max() > 100:
            raise KeyError("shard-7")
        return source.gather(indices, draws)

    return dataclasses.replace(source, gather=gather)


def stacks(split: str, config: DataConfig) -> Source:
    """As a person writes it: one image after another, which NumPy stacks only where there are some."""
    source = squares(split, config)

    def gather(indices: np.ndarray, draws: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        images = np.stack([source.gather(np.array([index]))[0][0] for index in indices])
        return images, indices % CLASSES

    return dataclasses.replace(source, gather=gather)
