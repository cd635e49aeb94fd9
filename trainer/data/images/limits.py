"""Bounds on the work that one image may cause, checked before memory is taken for its pixels."""

from trainer.data.encoded import BadImage

SCANS = 500  # of a JPEG; libjpeg-turbo's own fuzzing stops there, and encoders write about 10
# Each scan of a JPEG passes over all pixels, in 0.8 ns per pixel: 4 s for 50 scans of 100 megapixels.
SCANS_OF_LARGEST = 50
MARKERS = 10_000  # segments before the pixels of a JPEG; an ICC profile has at most 255
CHUNKS = 100_000  # of a PNG; encoders write one per 8 KB or more


def within(height: int, width: int, max_pixels: int) -> tuple[int, int]:
    """Return the size; raise BadImage for no pixels or more than ``max_pixels``."""
    if height <= 0 or width <= 0 or height * width > max_pixels:
        raise BadImage(f"it must hold at most {max_pixels / 1e6:g} megapixels, got {width} x {height}")
    return height, width


def check_scans(scans: int, pixels: int, max_pixels: int) -> None:
    """Raise BadImage where the scans of a JPEG would take more than seconds to decode."""
    most = min(SCANS, SCANS_OF_LARGEST * max_pixels // pixels)
    if scans > most:
        raise BadImage(f"it must hold at most {most} scans, got {scans}")
