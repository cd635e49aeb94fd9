"""PNG: its chunks, one after the other (W3C PNG 1.2, section 5), and its pixels by OpenCV."""

import zlib

import cv2
import numpy as np

from trainer.data.encoded import BadImage
from trainer.data.images import limits

MAGIC = b"\x89PNG\r\n\x1a\n"
TEXT = (b"tEXt", b"zTXt", b"iTXt")
METADATA = (b"XML:com.adobe.xmp\0", b"Raw profile type ")  # keywords of texts that may hold an orientation
# Deflate expands up to 1,032 times, and OpenCV inflates what follows the last row too: 1 GB in some 2 s.
BYTES = 1_000_000
READ = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


def read_size(data: bytes, max_pixels: int) -> tuple[int, int] | None:
    """(height, width) of a file that OpenCV may decode; else None.

    Such a file has its end, one frame, no orientation and at most BYTES.

    Raises:
      BadImage: it has more than ``max_pixels`` pixels, or more chunks than `limits` allows.
    """
    if data[12:16] != b"IHDR" or len(data) < 33:
        return None
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    size = limits.within(height, width, max_pixels)
    at = len(MAGIC)
    for _ in range(limits.CHUNKS):
        name = data[at + 4 : at + 8]
        if name == b"IEND":
            return size if len(data) <= BYTES else None
        if name in (b"eXIf", b"acTL", b"") or (name in TEXT and data.startswith(METADATA, at + 8)):
            return None
        at += 12 + int.from_bytes(data[at : at + 4])
    raise BadImage(f"it must hold at most {limits.CHUNKS:,} chunks")


def decode(data: bytes) -> np.ndarray | None:
    """The pixels [H, W, 3] uint8 RGB, without alpha, the upper 8 of 16 bits; None where OpenCV cannot."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), READ)
    except cv2.error:
        return None


def problem(data: bytes) -> str:
    """What is wrong with the chunks of a file up to its end; "" where nothing is."""
    at = len(MAGIC)
    while True:
        size, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 8 + size
        if len(data) < end + 4:
            return "the file ends early"
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return f"its chunk {name.decode('latin-1')!a} differs from its checksum"
        if name == b"IEND":
            return ""
        at = end + 4
