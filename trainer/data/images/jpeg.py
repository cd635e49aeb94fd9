"""What a JPEG says before its pixels, segment by segment (ITU-T T.81, annex B), and one that ends early."""

import math
import struct
from dataclasses import dataclass

MAGIC = b"\xff\xd8\xff"
END = b"\xff\xd9"
APP1, SCAN = 0xE1, 0xDA  # the second bytes of markers (table B.1)
SEQUENTIAL = (0xC0, 0xC1)  # of frames whose rows come from top to bottom, coded by Huffman
ORIENTATION = 0x0112  # of EXIF 2.3, section 4.6.4


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the pixels.

    Args:
      orientation: EXIF's, 1 (upright) where there is none or what is there makes no sense.
      frame: where the image's height stands, as two bytes; 0 where the rows do not come from top to bottom.
      unit_rows: rows of pixels that are coded together.
    """

    orientation: int
    frame: int
    unit_rows: int


def head(data: bytes) -> Head:
    """Goes from segment to segment: a search through all bytes would cost 20 µs."""
    at, exif, frame, components, unit_rows = 2, 0, 0, 0, 8
    while at := data.find(b"\xff", at) + 1:
        if len(data) < at + 3:
            break
        marker = data[at]
        if marker == 0xFF:  # padding
            continue
        if marker == SCAN:
            whole = data[at + 3 : at + 4] == bytes(
                (components,)
            )  # else there are more scans, one after the other
            return Head(_orientation(data, exif), frame if whole else 0, unit_rows)
        if marker == APP1 and not exif and data[at + 3 : at + 9] == b"Exif\0\0":
            exif = at + 9
        elif marker in SEQUENTIAL and len(data) > at + 8:
            frame, components = at + 4, data[at + 8]
            samplings = data[at + 10 : at + 9 + 3 * components : 3]
            unit_rows = 8 * max((sampling & 15 for sampling in samplings), default=1)
        at += 1 + int.from_bytes(data[at + 1 : at + 3])
    return Head(_orientation(data, exif), 0, unit_rows)


def _orientation(data: bytes, start: int) -> int:
    """Of EXIF's content from a byte on; 0: there is none."""
    if not start:
        return 1
    try:
        order = {b"II": "<", b"MM": ">"}[data[start : start + 2]]
        (first,) = struct.unpack_from(f"{order}I", data, start + 4)
        (count,) = struct.unpack_from(f"{order}H", data, start + first)
        for entry in range(start + first + 2, start + first + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", data, entry)
            if tag == ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except (KeyError, struct.error):
        pass
    return 1


def until(data: bytes, found: Head, height: int, rows: int) -> tuple[bytes | bytearray, int]:
    """A JPEG of at least the first rows, and its height; the same one where that is all or cannot be.

    Only its height is written anew: the decoder stops there, leaves the rest unread, and says so by a warning
    of extraneous bytes. A file without its end is left as it is, so that the decoder finds that out.
    """
    shorter = found.unit_rows * math.ceil(rows / found.unit_rows)
    if not found.frame or shorter >= height or END not in data[-32:]:
        return data, height
    changed = bytearray(data)
    struct.pack_into(">H", changed, found.frame, shorter)
    return changed, shorter
