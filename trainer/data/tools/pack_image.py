"""How an image is kept in the packed format: smaller, as a JPEG or as pixels."""

from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from trainer.data.images import decode


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How images are kept.

    Args:
      encoding: "jpeg" or "raw" (pixels, uint8).
      short_side: larger images are made smaller; a JPEG that is not larger is kept byte for byte.
      quality: of the JPEGs that are made, 1..100.
      shard_images: examples a shard.
      max_bad: so many damaged examples are left out; one more ends it.
    """

    encoding: str = "jpeg"
    short_side: int = 256
    quality: int = 90
    shard_images: int = 4096
    max_bad: int = 0


def keep(image: bytes | np.ndarray, packing: Packing, max_pixels: int) -> tuple[bytes, int, int]:
    """An image as it is packed: the record, its height and width; raises BadImage."""
    pixels = image if isinstance(image, np.ndarray) else decode.upright(image, max_pixels)
    small = shrunk(pixels, packing.short_side)
    height, width = small.shape[:2]
    if packing.encoding == "raw":
        return np.ascontiguousarray(small).tobytes(), height, width
    if isinstance(image, bytes) and small is pixels and decode.is_plain_jpeg(image, max_pixels):
        return image, height, width
    return simplejpeg.encode_jpeg(np.ascontiguousarray(small), packing.quality), height, width


def shrunk(pixels: np.ndarray, short_side: int) -> np.ndarray:
    """[H, W, 3] with a shorter side of at most so many pixels; the same array where it is that already."""
    height, width = pixels.shape[:2]
    if min(height, width) <= short_side:
        return pixels
    scale = short_side / min(height, width)
    size = max(short_side, round(width * scale)), max(short_side, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
