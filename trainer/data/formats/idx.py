"""IDX files, and Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747) as Debian packages it.

The IDX format (yann.lecun.com/exdb/mnist): two zero bytes, 0x08 for uint8, the number of dimensions, each
dimension as a big-endian uint32, then the values.
"""

import gzip
import io
import math
import os
import re
import struct
import zlib
from typing import BinaryIO, cast

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import Encoded, check_label
from trainer.data.formats.class_names import from_file
from trainer.data.formats.dataset import Dataset, Top
from trainer.data.source import Source, from_arrays
from trainer.data.storage import Place
from trainer.errors import DataError

CHUNK_BYTES = 2**24
DEBIAN_ROOT = "/usr/share/datasets/fashion-mnist"
# The setting that names the folder -> the hint where a file is missing.
HINTS = {
    "data.root": "apt-get install dataset-fashion-mnist, or --set data.root=FOLDER with the four .gz files",
    "data": "train-images-idx3-ubyte.gz needs train-labels-idx1-ubyte.gz beside it; t10k-… is the test split",
}
FILE = re.compile(r"(?P<split>train|t10k)-images-idx3-ubyte(\.gz)?")
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


def matches(top: Top) -> Dataset | None:
    """The dataset of a folder of IDX files."""
    names = {match["split"] for name in top.files if (match := FILE.fullmatch(name))}
    splits = {split: name for split, name in FILES.items() if name in names}
    return Dataset(place=top.place, kind="idx", splits=splits) if splits else None


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """One split, its grey images as RGB pixels.

    Raises:
      DataError: as `read_split`.
    """
    pixels, labels, names = read_split(dataset.place, split)

    def read(index: int) -> tuple[np.ndarray, int]:
        return np.repeat(pixels[index], 3, axis=-1), check_label(int(labels[index]), len(names))

    return Encoded(
        format="idx",
        class_names=names,
        size=len(labels),
        read=read,
        name=lambda index: f"{dataset.place.path} {split} example {index}",
        labels=labels.astype(np.int32),
    )


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
    content = place.read_if_exists(name) if gzipped is None else gzipped
    if content is None:
        raise DataError(f"{field}: {address}.gz does not exist", HINTS[field])
    plain = io.BytesIO(content)
    file: BinaryIO = plain if gzipped is None else cast(BinaryIO, gzip.GzipFile(fileobj=plain))
    try:
        return _parse(file, dimensions, f"{field}: {address}")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{field}: {address} is truncated or damaged: {error}", "download the file again"
        ) from None


def _parse(file: BinaryIO, dimensions: int, where: str) -> np.ndarray:
    """The array in a file, read up to the size in its header, so that no archive fills the memory."""
    header = file.read(4 + 4 * dimensions)
    if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(
            f"{where} must be an IDX file of {dimensions} dimensions of uint8, got {header[:4].hex()}"
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    size = math.prod(shape)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise DataError(
            f"{where} must fit into the memory of this host, {memory / 2**30:.3g} GiB, "
            f"got {size / 2**30:.3g}: {' x '.join(map(str, shape))} bytes"
        )
    values = bytearray()
    while len(values) <= size and (part := file.read(min(CHUNK_BYTES, size + 1 - len(values)))):
        values += part
    if len(values) != size:
        more = " or more" if len(values) > size else ""
        raise DataError(
            f"{where} must hold {size} bytes after its header, got {len(values)}{more}",
            "download the file again",
        )
    return np.frombuffer(values, np.uint8).reshape(shape)
