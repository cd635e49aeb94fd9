"""An image of the packed format: shrunk, as a JPEG or as pixels."""

from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from trainer.data.images import decode


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Options of a pack.

    Args:
      encoding: "jpeg" or "raw" (pixels, uint8).
      short_side: pixels of the shorter side that larger images are shrunk to. A JPEG that is not larger
        is copied byte for byte, unless the decoder complains of it.
      quality: of the JPEGs that are encoded, 1..100.
      shard_images: examples per shard.
      max_bad: damaged examples to leave out; one more fails the pack.
    """

    encoding: str = "jpeg"
    short_side: int = 256
    quality: int = 90
    shard_images: int = 4096
    max_bad: int = 0


def pack_image(image: bytes | np.ndarray, packing: Packing, max_pixels: int) -> tuple[bytes, int, int]:
    """The record of an image, its height and its width; raises BadImage."""
    pixels, suspect = (image, "") if isinstance(image, np.ndarray) else decode.inspect(image, max_pixels)
    shrunk = shrink(pixels, packing.short_side)
    height, width = shrunk.shape[:2]
    if packing.encoding == "raw":
        return np.ascontiguousarray(shrunk).tobytes(), height, width
    fits = shrunk is pixels and not suspect
    if isinstance(image, bytes) and fits and decode.is_plain_jpeg(image, max_pixels):
        return image, height, width
    return simplejpeg.encode_jpeg(np.ascontiguousarray(shrunk), packing.quality), height, width


def shrink(pixels: np.ndarray, short_side: int) -> np.ndarray:
    """Shrink pixels [H, W, 3] to a shorter side of ``short_side``; return smaller ones unchanged."""
    height, width = pixels.shape[:2]
    if min(height, width) <= short_side:
        return pixels
    scale = short_side / min(height, width)
    size = max(short_side, round(width * scale)), max(short_side, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
