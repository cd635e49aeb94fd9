"""Synthetic images for trying a slice without data: noise whose mean brightness depends on the class.

There are as many examples and classes as in ImageNet-1k. Each image is cut out of one block of noise, at a
position that its index determines, so an image costs one copy.
"""

import numpy as np

from trainer.config import DataConfig
from trainer.data.source import Source

EXAMPLES = {"train": 1_281_167, "test": 50_000}
CLASSES = 1000


def load(split: str, config: DataConfig) -> Source:
    """Images [N, image_size, image_size, 3] uint8; the label of example i is i modulo 1,000."""
    side = config.image_size
    noise = np.random.default_rng(0).integers(0, 128, size=(2 * side, 2 * side, 3), dtype=np.uint8)

    def gather(indices: np.ndarray, draws: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        labels = (indices % CLASSES).astype(np.int32)
        top, left = indices * 7919 % side, indices * 104_729 % side  # primes spread the positions
        images = np.empty((len(indices), side, side, 3), np.uint8)
        for row, (y, x, label) in enumerate(zip(top, left, labels, strict=True)):
            images[row] = noise[y : y + side, x : x + side] + np.uint8(label * 128 // CLASSES)
        return images, labels

    return Source(
        name="synthetic",
        size=EXAMPLES[split],
        image_shape=(side, side, 3),
        class_names=[f"class {i}" for i in range(CLASSES)],
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        gather=gather,
    )
