"""Image folders of squares in one colour each, which a network tells apart after a few steps."""

import os
from pathlib import Path

import numpy as np
from pictures import jpeg

RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)
PIXELS = 32


def square(colour: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Return [PIXELS, PIXELS, 3] uint8 of one colour and some noise."""
    noise = np.random.default_rng(seed).normal(0, 25, (PIXELS, PIXELS, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def folder(root: Path, classes: dict[str, tuple[int, int, int]], train: int = 16, val: int = 8) -> Path:
    """Write a dataset with a folder per class, and return its path."""
    for split, count in (("train", train), ("val", val)):
        for name, colour in classes.items():
            os.makedirs(root / split / name)
            for number in range(count):
                (root / split / name / f"{number}.jpg").write_bytes(jpeg(square(colour, number)))
    return root
