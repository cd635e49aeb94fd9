"""What a dataset holds, independent of its layout and order: class names and pixels of every example."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np

from trainer.config import DataConfig
from trainer.data.formats import detect
from trainer.data.images import decode
from trainer.data.tools.pack import pack
from trainer.data.tools.pack_image import Packing

MOST = 10_000_000  # pixels


def contents(root: Path | str, split: str, **settings) -> Counter[tuple[str, str]]:
    """Class name and digest of the pixels of every example of a split."""
    config = DataConfig(name=str(root), **settings)
    data = detect.encoded(detect.resolved(config), split, config)
    examples = [data.read(index) for index in range(data.size)]
    return Counter((data.class_names[label].replace("_", " "), _digest(image)) for image, label in examples)


def _digest(image: bytes | np.ndarray) -> str:
    pixels = decode.upright(image, MOST) if isinstance(image, bytes) else image
    return f"{pixels.shape} {hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest()}"


def packed(root: Path, target: Path, **settings) -> Path:
    """Pack a dataset as pixels, which loses nothing."""
    packing = Packing(encoding="raw", short_side=256, shard_images=50)
    pack(str(root), str(target), packing, DataConfig(name=str(root), **settings), lambda images: None)
    return target
