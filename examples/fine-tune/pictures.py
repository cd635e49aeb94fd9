"""Two datasets of coloured digits: `many` to learn from, and `few`, too small to learn from alone."""

import numpy as np
from sklearn.datasets import load_digits

from trainer.config import DataConfig
from trainer.data.source import Source, from_arrays

FEW = ("six", "seven", "eight", "nine")
EACH = 20  # pictures of a class of `few` to train on


def many(split: str, config: DataConfig) -> Source:
    """Return the digits 0 to 5, four in five of them to train on."""
    pixels, target = _coloured()
    chosen = (target < 6) & ((np.arange(len(target)) % 5 > 0) == (split == "train"))
    return from_arrays("many", pixels[chosen], target[chosen], tuple("012345"), mean=0.5, std=0.4)


def few(split: str, config: DataConfig) -> Source:
    """Return the digits 6 to 9: twenty pictures of each to train on, the others to test with."""
    pixels, target = _coloured()
    rows = [np.flatnonzero(target == label + 6) for label in range(len(FEW))]
    chosen = np.concatenate([part[:EACH] if split == "train" else part[EACH:] for part in rows])
    return from_arrays("few", pixels[chosen], target[chosen] - 6, FEW, mean=0.5, std=0.4)


def _coloured() -> tuple[np.ndarray, np.ndarray]:
    """Return [1797, 8, 8, 3] uint8, each digit in a colour of its own, and which digit it is."""
    digits = load_digits()
    colours = np.random.default_rng(0).uniform(0.5, 1, (len(digits.target), 1, 1, 3))
    return (digits.images[..., None] * 255 / 16 * colours).astype(np.uint8), digits.target
