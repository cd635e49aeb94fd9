"""From encoded examples to batches of one size; damaged examples are counted and named."""

import threading

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import BadImage, Encoded, Read
from trainer.data.images import crop, decode
from trainer.data.source import Source
from trainer.errors import DataError
from trainer.metrics.display import warn

# Mean and deviation of ImageNet's training images, as every published recipe has them.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def source_of(encoded: Encoded, config: DataConfig) -> Source:
    """Images [image_size, image_size, 3]; with draws a random part of each, else the middle.

    ``gather`` raises DataError once more than ``data.bad_images`` different examples were damaged.
    """
    side, max_pixels = config.image_size, config.max_pixels
    bad = Bad(encoded, config.bad_images)

    def show(
        row: int, read: Read, index: int, uniform: list[float] | None, images: np.ndarray, labels: np.ndarray
    ) -> None:
        def choose(height: int, width: int) -> crop.Box:
            if uniform is None:
                return crop.centre_box(height, width, config.eval_crop)
            return crop.random_box(height, width, uniform, config.min_area)

        try:
            image, labels[row] = read()
            decode.show(image, choose, images[row], max_pixels)
        except BadImage as why:
            images[row], labels[row] = 0, max(labels[row], 0)
            bad.add(index, str(why))

    def gather(indices: np.ndarray, uniforms: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        images = np.empty((len(indices), side, side, 3), np.uint8)
        labels = np.zeros(len(indices), np.int32)
        rows = [None] * len(indices) if uniforms is None else uniforms.tolist()
        wanted = indices.tolist()
        for row, (read, index, uniform) in enumerate(zip(encoded.reading(wanted), wanted, rows, strict=True)):
            show(row, read, index, uniform, images, labels)
        return images, labels

    return Source(
        name=encoded.format,
        size=encoded.size,
        image_shape=(side, side, 3),
        class_names=encoded.class_names,
        mean=MEAN,
        std=STD,
        gather=gather,
    )


class Bad:
    """The damaged examples that this host has met: each is named once, and there may be only so many."""

    def __init__(self, encoded: Encoded, limit: int):
        self._encoded, self._limit = encoded, limit
        self._seen: set[int] = set()
        self._lock = threading.Lock()

    def add(self, index: int, why: str) -> None:
        with self._lock:
            if index in self._seen:
                return
            self._seen.add(index)
            text = f"{self._encoded.name(index)}: {why}"
            if len(self._seen) > self._limit:
                raise DataError(
                    f"data: {text} (damaged images met: {len(self._seen)}, data.bad_images is {self._limit})",
                    "resnet-launch data verify names them all; mend them, or allow more with data.bad_images",
                )
            warn(f"{text}; a black image stands in for it ({len(self._seen)} so far)")
