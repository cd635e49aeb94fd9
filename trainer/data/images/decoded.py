"""Batches of one image size from encoded examples; damaged examples are counted and named."""

import threading

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import BadImage, Encoded, Read
from trainer.data.images import crop, decode, resize
from trainer.data.source import DAMAGED, Source
from trainer.errors import DataError
from trainer.runtime.messages import warn

# Mean and standard deviation of ImageNet's training images, the same in every published recipe.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def as_source(encoded: Encoded, config: DataConfig) -> Source:
    """A source of images [image_size, image_size, 3]: random crops with draws, centre crops without.

    A damaged example becomes a black image. With draws it has its label where that can be read and 0 else;
    without, it has the label DAMAGED, so that no evaluation counts a picture that nobody saw. ``gather``
    raises DataError once more than ``data.bad_images`` different examples are damaged.
    """
    side, max_pixels = config.image_size, config.max_pixels
    damaged = DamagedImages(encoded, config.bad_images)

    def fill_row(
        row: int, read: Read, index: int, uniform: list[float] | None, images: np.ndarray, labels: np.ndarray
    ) -> None:
        def choose(height: int, width: int) -> crop.Box:
            if uniform is None:
                return crop.centre_box(height, width, config.eval_crop)
            return crop.random_box(height, width, uniform, config.min_area)

        try:
            image, labels[row] = read()
            resizing = resize.resize_area if uniform is None else resize.resize_fast
            decode.crop_into(image, choose, images[row], max_pixels, resizing)
        except (BadImage, MemoryError) as error:
            reason = str(error) if isinstance(error, BadImage) else "it needs more memory than this host has"
            images[row], labels[row] = 0, DAMAGED if uniform is None else max(labels[row], 0)
            consequence = "no evaluation counts it" if uniform is None else "a black image replaces it"
            damaged.add(index, reason, consequence)

    def gather(indices: np.ndarray, uniforms: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        images = np.empty((len(indices), side, side, 3), np.uint8)
        labels = np.zeros(len(indices), np.int32)
        draws = [None] * len(indices) if uniforms is None else uniforms.tolist()
        examples = indices.tolist()
        reads = zip(encoded.read_ahead(examples), examples, draws, strict=True)
        for row, (read, index, uniform) in enumerate(reads):
            fill_row(row, read, index, uniform, images, labels)
        return images, labels

    return Source(
        name=encoded.format,
        size=encoded.size,
        image_shape=(side, side, 3),
        class_names=encoded.class_names,
        passed_over=encoded.passed_over,
        mean=MEAN,
        std=STD,
        gather=gather,
        crop=config.eval_crop,
        example_name=encoded.name,
    )


class DamagedImages:
    """The damaged examples that this host has read: each is named once.

    Args:
      limit: how many there may be; `add` raises DataError at the next one.
    """

    def __init__(self, encoded: Encoded, limit: int):
        self._encoded, self._limit = encoded, limit
        self._seen: set[int] = set()
        self._lock = threading.Lock()

    def add(self, index: int, reason: str, consequence: str) -> None:
        """Count a damaged example unless it was counted before; warn, or raise DataError beyond the limit."""
        with self._lock:
            if index in self._seen:
                return
            self._seen.add(index)
            text = f"{self._encoded.name(index)}: {reason}"
            if len(self._seen) > self._limit:
                raise DataError(
                    f"data: {text} (damaged images: {len(self._seen)}, data.bad_images is {self._limit})",
                    "`resnet-launch data verify` names all of them; repair them, or raise data.bad_images",
                )
            warn(f"{text}; {consequence} ({len(self._seen)} so far)")
