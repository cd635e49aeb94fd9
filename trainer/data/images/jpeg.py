"""The header of a JPEG, segment by segment (ITU-T T.81, annex B), and a JPEG cut to its first rows."""

import math
import struct
from dataclasses import dataclass

MAGIC = b"\xff\xd8\xff"
END = b"\xff\xd9"
APP1, SCAN = 0xE1, 0xDA  # second bytes of markers (table B.1)
SEQUENTIAL = (0xC0, 0xC1)  # second bytes of frames stored top to bottom with Huffman coding
ORIENTATION = 0x0112  # the tag of EXIF 2.3, section 4.6.4


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a JPEG's header that decoding needs.

    Args:
      orientation: of EXIF, 1..8; 1 (upright) where it is missing or invalid.
      height_offset: the byte at which the image's height (two bytes) stands; 0 where rows are not stored
        from top to bottom in one scan.
      unit_rows: rows of pixels that are coded together, 8 or 16 as a rule.
    """

    orientation: int
    height_offset: int
    unit_rows: int


def read_header(data: bytes) -> Header:
    """Read the header from segment to segment; a search through all bytes would take 20 µs."""
    at, exif, height_offset, components, unit_rows = 2, 0, 0, 0, 8
    while at := data.find(b"\xff", at) + 1:
        if len(data) < at + 3:
            break
        marker = data[at]
        if marker == 0xFF:  # padding
            continue
        if marker == SCAN:
            single_scan = data[at + 3 : at + 4] == bytes((components,))  # one scan holds every component
            return Header(_orientation(data, exif), height_offset if single_scan else 0, unit_rows)
        if marker == APP1 and not exif and data[at + 3 : at + 9] == b"Exif\0\0":
            exif = at + 9
        elif marker in SEQUENTIAL and len(data) > at + 8:
            height_offset, components = at + 4, data[at + 8]
            samplings = data[at + 10 : at + 9 + 3 * components : 3]
            unit_rows = 8 * max((sampling & 15 for sampling in samplings), default=1)
        at += 1 + int.from_bytes(data[at + 1 : at + 3])
    return Header(_orientation(data, exif), 0, unit_rows)


def _orientation(data: bytes, start: int) -> int:
    """The orientation in the EXIF data that begins at byte ``start`` (0: no EXIF); 1 where it has none."""
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


def cut_rows(data: bytes, header: Header, height: int, rows: int) -> tuple[bytes | bytearray, int]:
    """A JPEG that ends after at least its first ``rows`` rows, and its height.

    Only the height in the header changes: the decoder stops there, leaves the remaining bytes unread, and
    warns of extraneous bytes. Unchanged are a JPEG without rows to cut, one that is not stored from top to
    bottom, and a file without its end, so that the decoder reports it.

    Args:
      height: the image's, in pixels.
    """
    cut_height = header.unit_rows * math.ceil(rows / header.unit_rows)
    if not header.height_offset or cut_height >= height or END not in data[-32:]:
        return data, height
    changed = bytearray(data)
    struct.pack_into(">H", changed, header.height_offset, cut_height)
    return changed, cut_height
