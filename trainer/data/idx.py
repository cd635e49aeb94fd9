"""Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747) from gzipped IDX files, as Debian packages it.

The IDX format (yann.lecun.com/exdb/mnist): two zero bytes, 0x08 for uint8, the number of dimensions, then
each dimension as a big-endian uint32, then the bytes.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from trainer.config import DataConfig
from trainer.data.source import Source, from_arrays
from trainer.errors import DataError

DEBIAN_ROOT = "/usr/share/datasets/fashion-mnist"
FILES = {"train": "train", "test": "t10k"}
CLASSES = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)  # fmt: skip


def load(split: str, config: DataConfig) -> Source:
    """Images [N, 28, 28, 1] uint8 of the 60,000 training or 10,000 test examples."""
    root = Path(config.root or DEBIAN_ROOT)
    images = read_idx(root / f"{FILES[split]}-images-idx3-ubyte.gz", dimensions=3)[..., None]
    labels = read_idx(root / f"{FILES[split]}-labels-idx1-ubyte.gz", dimensions=1)
    # Mean and deviation of the training pixels, scaled to 0..1.
    return from_arrays("fashion-mnist", images, labels, CLASSES, mean=0.2860, std=0.3530)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Reads one gzipped IDX file of uint8.

    Raises:
      DataError: the file is missing, truncated, longer than its header says, or not IDX.
    """
    try:
        raw = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        hint = "apt-get install dataset-fashion-mnist, or --set data.root=FOLDER with the four .gz files"
        raise DataError(f"data.root: {path} does not exist", hint) from None
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"data.root: {path} is truncated or damaged: {error}", "fetch the file again"
        ) from None
    header = 4 + 4 * dimensions
    if len(raw) < header or raw[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(
            f"data.root: {path} must be an IDX file of {dimensions} dimensions of uint8, got {raw[:4].hex()}"
        )
    shape = struct.unpack(f">{dimensions}I", raw[4:header])
    if len(raw) - header != math.prod(shape):
        raise DataError(
            f"data.root: {path} must hold {math.prod(shape)} bytes after its header, got {len(raw) - header}",
            "fetch the file again",
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)
