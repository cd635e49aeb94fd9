"""Pictures of a page: an image, and over it where a network looked."""

import cv2
import numpy as np

from trainer.report.looks import COLOURS

SIDE_PIXELS = 96  # limit of a picture's longer side, to keep the page small
SHADE = 0.4  # share of the grey picture in the mixture with the colours


def png(image: np.ndarray, side: int = SIDE_PIXELS) -> bytes:
    """Return an image [height, width, 1 or 3] uint8 as a PNG file of at most ``side`` pixels per side."""
    if max(image.shape[:2]) > side:
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    if image.shape[-1] == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", image)[1].tobytes()


def overlay(image: np.ndarray, values: np.ndarray, side: int) -> bytes:
    """Return a PNG file of ``side`` pixels per side: the image in grey under the colours of a map.

    Args:
      image: [height, width, 1 or 3] uint8.
      values: [rows, columns] float32, 0 to 1; it covers the image.
      side: pixels of a side.
    """
    shrinks = max(image.shape[:2]) > side
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    smooth = np.clip(cv2.resize(values, (side, side), interpolation=cv2.INTER_LINEAR), 0, 1)
    positions = np.linspace(0, 1, len(COLOURS))
    table = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS], np.float32)
    colours = np.stack([np.interp(smooth, positions, table[:, channel]) for channel in range(3)], axis=-1)
    mixed = (SHADE * grey[..., None] + (1 - SHADE) * colours).astype(np.uint8)
    return png(mixed, side)
