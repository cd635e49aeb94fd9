"""The header of a JPEG, segment by segment (ITU-T T.81, annex B): read, cut to its first rows, cleaned."""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.data.encoded import BadImage
from trainer.data.images import orientation
from trainer.data.images.limits import MARKERS

MAGIC = b"\xff\xd8\xff"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
START, END = b"\xff\xd8", b"\xff\xd9"
APP0, APP1, APP2, APP14, SCAN = 0xE0, 0xE1, 0xE2, 0xEE, 0xDA  # second bytes of markers (table B.1)
SEQUENTIAL = (0xC0, 0xC1)  # second bytes of frames stored top to bottom with Huffman coding
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # second bytes of every frame
IGNORED = {0xFE, *range(0xE0, 0xF0)}  # second bytes of comments and of segments for applications
MARKER = re.compile(rb"\xff[^\x00\xff]")  # more 0xFF before it are padding; libjpeg passes over 0xFF 0
ALONE = {0x01, *range(0xD0, 0xDA)}  # second bytes of markers that no length follows


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
    """Read the header from segment to segment; a search through all bytes would take 20 µs.

    Raises:
      BadImage: more than MARKERS segments and bytes of padding stand before the pixels.
    """
    at, exif, xmp, height_offset, components, unit_rows = 2, 0, slice(0), 0, 0, 8
    for _ in range(MARKERS):
        at = data.find(b"\xff", at) + 1
        if not at or len(data) < at + 3:
            return Header(orientation.read(data, exif, xmp), 0, unit_rows)
        marker = data[at]
        if marker == 0xFF:  # padding
            continue
        if marker == SCAN:
            single_scan = data[at + 3 : at + 4] == bytes((components,))  # one scan holds every component
            return Header(orientation.read(data, exif, xmp), height_offset if single_scan else 0, unit_rows)
        if marker == APP1:
            if not exif and data[at + 3 : at + 9] == b"Exif\0\0":
                exif = at + 9
            elif not xmp.stop and data[at + 3 : at + 3 + len(XMP)] == XMP:
                xmp = slice(at + 3 + len(XMP), at + 1 + int.from_bytes(data[at + 1 : at + 3]))
        elif marker in SEQUENTIAL and len(data) > at + 8:
            height_offset, components = at + 4, data[at + 8]
            samplings = data[at + 10 : at + 9 + 3 * components : 3]
            unit_rows = 8 * max((sampling & 15 for sampling in samplings), default=1)
        at += 1 + int.from_bytes(data[at + 1 : at + 3])
    raise _too_many()


def _too_many() -> BadImage:
    return BadImage(f"it must hold at most {MARKERS:,} segments before its pixels")


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


def cleaned(data: bytes) -> tuple[bytes, int]:
    """A JPEG without what libjpeg-turbo complains of in a header although it decodes every pixel.

    Bytes between segments are cut out. An ICC profile, which is not applied here, is left out. A revision of
    JFIF other than 1 and an unknown color transform of Adobe become the ones that libjpeg assumes.

    Returns:
      The changed file, and the number of bytes between segments that were cut out.

    Raises:
      BadImage: no pixels follow, or more than MARKERS segments do.
    """
    parts, rubbish, components, adobe = [START], 0, 0, 0
    for marker, skipped, start, end in _segments(data):
        rubbish += skipped
        if marker == SCAN:
            _set_transform(parts, adobe, components)
            return b"".join((*parts, data[start:])), rubbish
        segment = bytearray(data[start:end])
        if (marker == APP2 and segment[4:16] == b"ICC_PROFILE\0") or (
            marker in IGNORED and len(segment) <= 4
        ):
            continue
        if marker == APP0 and segment[4:9] == b"JFIF\0" and len(segment) > 9:
            segment[9] = 1
        if marker == APP14 and segment[4:9] == b"Adobe" and len(segment) >= 16:
            adobe = len(parts)
        if marker in FRAMES and len(segment) > 9:
            components = segment[9]
        parts.append(bytes(segment))
    raise BadImage("it is damaged: no JPEG after its first bytes")


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(marker, bytes passed over before it, start, end) of each segment up to the first scan."""
    at = len(START)
    for _ in range(MARKERS):
        match = MARKER.search(data, at)
        if not match or len(data) < match.end() + 2:
            return
        start, end = match.start(), match.end()
        marker = data[end - 1]
        if marker not in ALONE:
            end += max(2, int.from_bytes(data[end : end + 2]))
        yield marker, len(data[at:start].rstrip(b"\xff")), start, end
        at = end
    raise _too_many()


def _set_transform(parts: list[bytes], adobe: int, components: int) -> None:
    """Replace an unknown color transform in Adobe's segment, ``parts[adobe]``, by the one libjpeg assumes."""
    known = {3: (0, 1), 4: (0, 2)}.get(components)
    if adobe and known and parts[adobe][15] not in known:
        parts[adobe] = parts[adobe][:15] + bytes((known[1],)) + parts[adobe][16:]
