"""IDX files, and Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747) as Debian packages it.

The IDX format (yann.lecun.com/exdb/mnist): two zero bytes, 0x08 for uint8, the number of dimensions, each
dimension as a big-endian uint32, then the values.
"""

import gzip
import math
import struct
import zlib

import numpy as np

from trainer.config import DataConfig
from trainer.data.formats.class_names import from_file
from trainer.data.source import Source, from_arrays
from trainer.data.storage import Place
from trainer.errors import DataError

DEBIAN_ROOT = "/usr/share/datasets/fashion-mnist"
# The setting that names the folder -> the hint where a file is missing.
HINTS = {
    "data.root": "apt-get install dataset-fashion-mnist, or --set data.root=FOLDER with the four .gz files",
    "data": "train-images-idx3-ubyte.gz needs train-labels-idx1-ubyte.gz beside it; t10k-… is the test split",
}
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
    """Fashion-MNIST: images [N, 28, 28, 1] uint8, 60,000 for training and 10,000 for testing.

    Raises:
      DataError: as `read_split`.
    """
    images, labels, _ = read_split(Place(config.root or DEBIAN_ROOT), split, "data.root")
    # Mean and standard deviation of the training pixels, scaled to 0..1.
    return from_arrays("fashion-mnist", images, labels, CLASSES, mean=0.2860, std=0.3530)


def load_folder(place: Place, split: str) -> Source:
    """One split of any folder of IDX files, with the mean and deviation of its training pixels.

    Raises:
      DataError: as `read_split`.
    """
    images, labels, names = read_split(place, split)
    training_images = images if split == "train" else read_split(place, "train")[0]
    mean, std = float(training_images.mean() / 255), float(training_images.std() / 255)
    return from_arrays(place.path, images, labels, names, mean=mean, std=std or 1.0)


def read_split(place: Place, split: str, field: str = "data") -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Images [N, H, W, 1] uint8, labels [N] uint8 and class names of one split; files may be gzipped.

    Args:
      field: the setting that names the folder, for messages.

    Raises:
      DataError: as `read_idx`, or the numbers of images and labels differ.
    """
    images = read_idx(place, f"{FILES[split]}-images-idx3-ubyte", 3, field)[..., None]
    labels = read_idx(place, f"{FILES[split]}-labels-idx1-ubyte", 1, field)
    if len(images) != len(labels):
        raise DataError(
            f"{field}: {split} of {place.path} must hold one label per image, "
            f"got {len(images)} images and {len(labels)} labels"
        )
    classes = int(labels.max()) + 1 if labels.size else 0
    names = from_file(place) or [str(number) for number in range(classes)]
    return images, labels, names


def read_idx(place: Place, name: str, dimensions: int, field: str) -> np.ndarray:
    """Read one IDX file of uint8, gzipped or not.

    Args:
      name: the file's, without .gz.
      dimensions: how many it must have.

    Raises:
      DataError: the file is missing, truncated, longer than its header says, or not IDX.
    """
    gzipped = place.read_if_exists(f"{name}.gz")
    address = place.address(name if gzipped is None else f"{name}.gz")
    raw = place.read_if_exists(name) if gzipped is None else _decompress(gzipped, address, field)
    if raw is None:
        raise DataError(f"{field}: {address}.gz does not exist", HINTS[field])
    header = 4 + 4 * dimensions
    if len(raw) < header or raw[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(
            f"{field}: {address} must be an IDX file of {dimensions} dimensions of uint8, got {raw[:4].hex()}"
        )
    shape = struct.unpack(f">{dimensions}I", raw[4:header])
    if len(raw) - header != math.prod(shape):
        raise DataError(
            f"{field}: {address} must hold {math.prod(shape)} bytes after its header, "
            f"got {len(raw) - header}",
            "download the file again",
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _decompress(gzipped: bytes, address: str, field: str) -> bytes:
    try:
        return gzip.decompress(gzipped)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{field}: {address} is truncated or damaged: {error}", "download the file again"
        ) from None
