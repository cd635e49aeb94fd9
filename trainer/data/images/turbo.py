"""JPEG by libjpeg-turbo (simplejpeg): the fast way, which also tells what the library complains of.

simplejpeg raises the library's first complaint, and a complaint about the header before it writes one pixel.
So a header is read strictly first. Where that succeeds, a complaint while decoding comes after the library
wrote the pixels that it could decode.
"""

from typing import Any

import numpy as np
import simplejpeg

from trainer.data.images import jpeg, limits

PLAIN = ("YCbCr", "Gray", "RGB")  # colour spaces that libjpeg-turbo converts to RGB
CMYK = ("CMYK", "YCCK")

LEFT_OVER = "extraneous bytes before marker"  # at the end of an image: all of its pixels were decoded
AT_THE_END = f"{LEFT_OVER} 0xd9"
UNDECODED = ("premature end", "Premature end")  # of a file or of its data; grey pixels fill the rest


def read_size(data: bytes, max_pixels: int) -> tuple[tuple[int, int], str] | None:
    """(height, width) and colour space; None where the library complains or cannot decode the file.

    Raises:
      BadImage: it has more than ``max_pixels`` pixels.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, KeyError):  # simplejpeg raises KeyError for an unknown colour space
        return None
    size = limits.within(int(height), int(width), max_pixels)
    return (size, colours) if colours in PLAIN or colours in CMYK else None


def decode(data: bytes | bytearray, pixels: np.ndarray, **options: Any) -> str:
    """Decode a file whose size `read_size` gave; return the library's first complaint, "" where it has none.

    Args:
      pixels: [H, W, 3] uint8 of the size that the options ask for, or [H, W, 4] of a CMYK file; filled only
        where there is no complaint, or one that contains LEFT_OVER or UNDECODED.
      options: of simplejpeg.decode_jpeg.
    """
    try:
        simplejpeg.decode_jpeg(data, buffer=pixels, **options)
    except ValueError as error:
        return str(error).strip() or "an error without a message"
    return ""


def decode_whole(data: bytes, size: tuple[int, int], colours: str) -> tuple[np.ndarray, str]:
    """The pixels [height, width, 3] uint8 RGB of a file, not rotated, and the library's first complaint."""
    if colours in PLAIN:
        pixels = np.empty((*size, 3), np.uint8)
        return pixels, decode(data, pixels)
    inks = np.empty((*size, 4), np.uint8)  # as Adobe writes them: 255 for no ink
    complaint = decode(data, inks, colorspace="CMYK")
    return (inks[..., :3].astype(np.uint16) * inks[..., 3:] // 255).astype(np.uint8), complaint


def check_scans(data: bytes, header: jpeg.Header, size: tuple[int, int], max_pixels: int) -> None:
    """Raise BadImage for a JPEG of more scans than `limits` allows."""
    if not header.height_offset:  # rows that are stored from top to bottom in one scan take one pass
        limits.check_scans(data.count(b"\xff\xda"), size[0] * size[1], max_pixels)
