"""Resizing of RGB pixels, antialiased: exactly by area, and nearly so in half the time.

OpenCV's INTER_AREA gives each output pixel the mean of the area that it covers. At scales that are not whole
numbers it computes in floats, pixel by pixel, which is a quarter of the time of a crop from a JPEG. Its
linear resize and its mean of 2 x 2 pixels run on vectors of integers.
"""

from collections.abc import Callable

import cv2
import numpy as np

from trainer.data.images.scratch import Scratch

cv2.setNumThreads(0)  # threads decode images side by side; threads within an image would only slow them down

Resize = Callable[[np.ndarray, np.ndarray], None]

LINEAR_UP_TO = 1.15  # where linear interpolation alone is as close to the mean of the area as the two steps
TWO_STEPS_UP_TO = 3.0  # beyond, the first of them would leave out pixels

MIDDLE = Scratch()


def resize_area(pixels: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out`` with the whole image: by area where it shrinks, linearly where it grows.

    Evaluation and prediction see this one, which code around an exported network can repeat.

    Args:
      pixels: [H, W, 3] uint8; it may be a part of a larger array.
      out: [side, side, 3] uint8, not overlapping ``pixels``.
    """
    if pixels.shape == out.shape:
        out[:] = pixels
        return
    side = out.shape[0]
    shrinks = max(pixels.shape[:2]) > side
    cv2.resize(pixels, (side, side), dst=out, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_fast(pixels: np.ndarray, out: np.ndarray) -> None:
    """As `resize_area`, with half the work and half a level of 255 beside it on photographs, for training.

    A side that shrinks is first resized linearly to twice the output's, then pairs of its pixels are
    averaged. The first step blends neighbours, so it leaves out none that are up to 1.5 pixels apart.

    Args:
      pixels: [H, W, 3] uint8; it may be a part of a larger array.
      out: [side, side, 3] uint8, not overlapping ``pixels``.
    """
    side = out.shape[0]
    scales = [length / side for length in pixels.shape[:2]]
    if pixels.shape == out.shape or max(scales) > TWO_STEPS_UP_TO:
        resize_area(pixels, out)
        return
    height, width = (side if scale <= LINEAR_UP_TO else 2 * side for scale in scales)
    if height == width == side:
        cv2.resize(pixels, (side, side), dst=out, interpolation=cv2.INTER_LINEAR)
        return
    middle = MIDDLE.array(height, width, 3)
    cv2.resize(pixels, (width, height), dst=middle, interpolation=cv2.INTER_LINEAR)
    cv2.resize(middle, (side, side), dst=out, interpolation=cv2.INTER_AREA)
