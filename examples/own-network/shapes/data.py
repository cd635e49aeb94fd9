"""Discs, rings and squares of 16x16 pixels, drawn from their number: nothing to download."""

import numpy as np

from trainer.config import DataConfig
from trainer.data.source import Source

CLASSES = ("disc", "ring", "square")
SIZES = {"train": 1500, "test": 300}
PIXELS = 16


def load(split: str, config: DataConfig) -> Source:
    """Return one split, "train" or "test". The trainer calls this once on each host."""

    def gather(indices: np.ndarray, draws: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        numbers = indices + (SIZES["train"] if split == "test" else 0)
        return np.stack([draw(n) for n in numbers]), (numbers % len(CLASSES)).astype(np.int32)

    return Source(
        name="shapes",
        size=SIZES[split],
        image_shape=(PIXELS, PIXELS, 1),
        class_names=CLASSES,
        mean=(0.3,),
        std=(0.35,),
        gather=gather,
    )


def draw(number: int) -> np.ndarray:
    """Return image `number`, [16, 16, 1] uint8; the same whenever it is drawn, so that runs can resume."""
    random = np.random.default_rng(number)
    x, y = np.mgrid[:PIXELS, :PIXELS] - random.uniform(6, 9, (2, 1, 1))
    radius = random.uniform(3, 5)
    distance = np.maximum(abs(x), abs(y)) if number % 3 == 2 else np.hypot(x, y)
    inside = distance < radius
    if number % 3 == 1:
        inside &= distance > radius - 2
    noise = random.normal(0, 20, (PIXELS, PIXELS))
    return np.clip(200 * inside + 30 + noise, 0, 255).astype(np.uint8)[..., None]
