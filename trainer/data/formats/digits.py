"""The UCI handwritten digits in scikit-learn's wheel: 1,797 grey images of 8x8 pixels.

The data has no split of its own; every fifth example belongs to the test set (360 of 1,797).
"""

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from trainer.config import DataConfig
from trainer.data.source import Source, from_arrays
from trainer.errors import DataError


def load(split: str, config: DataConfig) -> Source:
    """Images [N, 8, 8, 1] uint8: the file's values 0..16, scaled to 0..255.

    Raises:
      DataError: scikit-learn is not installed, or its file is damaged.
    """
    pixels_and_label = np.loadtxt(_lines(), delimiter=",", dtype=np.int64)  # [1797, 65]
    images = np.round(pixels_and_label[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = pixels_and_label[:, -1]
    held_out = np.arange(len(images)) % 5 == 0
    selected = held_out if split == "test" else ~held_out
    names = [str(digit) for digit in range(10)]
    # Mean and standard deviation of all pixels, scaled to 0..1.
    return from_arrays("digits", images[selected], labels[selected], names, mean=0.3053, std=0.3760)


def _lines() -> list[str]:
    """The rows of scikit-learn's file, read without importing scikit-learn, which takes seconds."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "data.name: 'digits' needs scikit-learn, whose wheel holds the file", "pip install scikit-learn"
        )
    path = Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    try:
        return gzip.decompress(path.read_bytes()).decode().splitlines()
    except (OSError, EOFError) as error:
        raise DataError(f"data.name: cannot read {path}: {error}", "install scikit-learn again") from None
