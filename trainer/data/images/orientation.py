"""The orientation of an image, by EXIF or else by XMP, and its pixels turned upright."""

import re
import struct

import numpy as np

TAG = 0x0112  # of EXIF 2.3, section 4.6.4
XMP = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])[\"<]")  # XMP specification, part 2, section 3.5
# EXIF orientation -> counterclockwise quarter turns, and whether to mirror left to right after them.
TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


def read(data: bytes, exif: int, xmp: slice) -> int:
    """The orientation, 1..8, of a file with EXIF data from byte ``exif`` (0: none) and a packet of XMP.

    It is 1 (upright) where both are without one, or EXIF has one that is invalid.
    """
    if (value := _read_exif(data, exif)) is not None:
        return value if 1 <= value <= 8 else 1
    match = XMP.search(data[xmp]) if xmp.stop else None
    return int(match[1]) if match else 1


def _read_exif(data: bytes, start: int) -> int | None:
    if not start:
        return None
    try:
        order = {b"II*\0": "<", b"MM\0*": ">"}[data[start : start + 4]]
        (first,) = struct.unpack_from(f"{order}I", data, start + 4)
        (count,) = struct.unpack_from(f"{order}H", data, start + first)
        for entry in range(start + first + 2, start + first + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", data, entry)
            if tag == TAG:
                return value
    except (KeyError, struct.error):
        pass
    return None


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels [H, W, 3] upright, from an EXIF orientation 1..8."""
    turns, mirrored = TURNS.get(orientation, (0, False))
    pixels = np.rot90(pixels, turns)
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)
