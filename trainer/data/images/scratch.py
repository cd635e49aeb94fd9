"""Memory that a thread reuses from image to image."""

import math
import threading

import numpy as np

SCRATCH_BYTES = 16 * 2**20  # most memory that a thread retains; 16 MiB / 3 bytes = 5.6 megapixels


class Scratch(threading.local):
    """Memory per thread that its images reuse; newly allocated pages cost a tenth of a decode."""

    pixels = np.empty(0, np.uint8)

    def array(self, *shape: int) -> np.ndarray:
        """An uninitialised uint8 array, valid until the thread's next call."""
        size = math.prod(shape)
        if size > SCRATCH_BYTES:
            return np.empty(shape, np.uint8)
        if size > self.pixels.size:
            self.pixels = np.empty(size, np.uint8)
        return self.pixels[:size].reshape(shape)
