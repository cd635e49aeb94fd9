"""From the bytes of a JPEG or PNG to pixels: upright RGB, or a part of it at the size that is asked for.

The usual JPEG takes one pass of libjpeg-turbo and one resize. What is rare goes by a slower way: CMYK,
rotation by EXIF, and PNG whatever its name.
"""

import math
import struct
from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg

from trainer.data.crop import Box
from trainer.data.encoded import BadImage

cv2.setNumThreads(0)  # batches are decoded side by side; threads inside an image would only get in the way

Chooser = Callable[[int, int], Box]  # (height, width) -> the part to show

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
APP1, SCAN = b"\xe1", b"\xda"  # the second bytes of markers (ITU-T T.81, table B.1)
ORIENTATION = 0x0112  # of EXIF 2.3, section 4.6.4
COLOURS = ("YCbCr", "Gray", "RGB")  # what libjpeg-turbo turns into RGB
# EXIF orientation -> quarter turns against the clock, and whether it is mirrored left to right after them.
TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


def show(image: bytes | np.ndarray, choose: Chooser, out: np.ndarray, max_pixels: int) -> None:
    """Fills ``out`` [side, side, 3] uint8 with the chosen part of an image.

    Raises:
      BadImage: damaged, not an image, or of more than ``max_pixels`` pixels.
    """
    side = out.shape[0]
    if isinstance(image, np.ndarray):
        pixels, box = image, choose(*image.shape[:2])
    elif plain := _plain_jpeg_size(image, max_pixels):
        box = choose(*plain)
        pixels, box = _decode_scaled(image, plain, box, side)
    else:
        pixels = upright(image, max_pixels)
        box = choose(*pixels.shape[:2])
    top, left, height, width = box
    part = pixels[top : top + height, left : left + width]
    if part.shape == out.shape:
        out[:] = part
        return
    shrinks = height > side or width > side
    cv2.resize(part, (side, side), dst=out, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def upright(data: bytes, max_pixels: int) -> np.ndarray:
    """All pixels [H, W, 3] uint8 RGB, turned as EXIF says; raises BadImage."""
    if data.startswith(JPEG):
        _, colours = _jpeg_size(data, max_pixels)
        cmyk = colours not in COLOURS
        pixels = _decode_jpeg(data, colorspace="CMYK" if cmyk else "RGB")
        return _turned(_rgb_of_cmyk(pixels) if cmyk else pixels, orientation(data))
    if data.startswith(PNG):
        return _decode_png(data, max_pixels)
    raise BadImage(f"it must be a JPEG or PNG file, got {_described(data)}")


def is_plain_jpeg(data: bytes, max_pixels: int) -> bool:
    """Whether it is a JPEG that needs neither turning nor other colours."""
    return _plain_jpeg_size(data, max_pixels) is not None


def _plain_jpeg_size(data: bytes, max_pixels: int) -> tuple[int, int] | None:
    if not data.startswith(JPEG):
        return None
    size, colours = _jpeg_size(data, max_pixels)
    return size if colours in COLOURS and orientation(data) == 1 else None


def _decode_scaled(data: bytes, size: tuple[int, int], box: Box, side: int) -> tuple[np.ndarray, Box]:
    """The image and the box in it, at a half, a quarter or an eighth where the box stays large enough.

    libjpeg-turbo then leaves out the higher frequencies, most of which the resize would average away.
    """
    if min(box[2:]) < 2 * side:
        return _decode_jpeg(data), box
    scale = side / min(box[2:])
    least = [math.ceil(pixels * scale) for pixels in size]
    pixels = _decode_jpeg(data, min_height=least[0], min_width=least[1], min_factor=2)
    down, across = (after / before for after, before in zip(pixels.shape, size, strict=False))
    top, bottom = round(box[0] * down), round((box[0] + box[2]) * down)
    left, right = round(box[1] * across), round((box[1] + box[3]) * across)
    return pixels, (top, left, bottom - top, right - left)


def _decode_jpeg(data: bytes, **options) -> np.ndarray:
    try:
        return simplejpeg.decode_jpeg(data, **options)
    except ValueError as error:
        words = str(error).strip()
        if "extraneous bytes" not in words:  # rubbish between the segments, which harms nothing
            raise BadImage(f"it is damaged: {words}") from None
        return simplejpeg.decode_jpeg(data, strict=False, **options)


def _jpeg_size(data: bytes, max_pixels: int) -> tuple[tuple[int, int], str]:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError):  # a KeyError of simplejpeg's own where no colour space was found
        raise BadImage("it is damaged: no JPEG after its first bytes") from None
    return _within(int(height), int(width), max_pixels), colours


def _within(height: int, width: int, max_pixels: int) -> tuple[int, int]:
    if not 0 < height * width <= max_pixels:
        raise BadImage(f"it must hold at most {max_pixels / 1e6:g} megapixels, got {width} x {height}")
    return height, width


def _decode_png(data: bytes, max_pixels: int) -> np.ndarray:
    if len(data) < 33 or b"IEND" not in data[-64:]:
        raise BadImage("it is damaged: the file ends early")
    width, height = struct.unpack(">II", data[16:24])
    _within(height, width, max_pixels)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise BadImage("it is damaged: not a PNG after its first bytes")
    return pixels


def _rgb_of_cmyk(pixels: np.ndarray) -> np.ndarray:
    """[H, W, 4] as Adobe writes it, where 255 is no ink -> [H, W, 3]."""
    return (pixels[..., :3].astype(np.uint16) * pixels[..., 3:] // 255).astype(np.uint8)


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    turns, mirrored = TURNS.get(orientation, (0, False))
    pixels = np.rot90(pixels, turns)
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)


def orientation(data: bytes) -> int:
    """EXIF's orientation of a JPEG, 1 (upright) where there is none or what is there makes no sense."""
    start = _exif(data)
    if start is None:
        return 1
    try:
        order = {b"II": "<", b"MM": ">"}[data[start : start + 2]]
        (first,) = struct.unpack_from(f"{order}I", data, start + 4)
        (count,) = struct.unpack_from(f"{order}H", data, start + first)
        for entry in range(start + first + 2, start + first + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", data, entry)
            if tag == ORIENTATION:
                return value if value in TURNS else 1
    except (KeyError, struct.error):
        pass
    return 1


def _exif(data: bytes) -> int | None:
    """Where EXIF's content begins; from segment to segment, as a search through all bytes costs 20 µs."""
    at = 2
    while at := data.find(b"\xff", at) + 1:
        marker = data[at : at + 1]
        if marker == APP1 and data[at + 3 : at + 9] == b"Exif\0\0":
            return at + 9
        if marker == SCAN or len(data) < at + 3:
            return None
        at += 0 if marker == b"\xff" else 1 + int.from_bytes(data[at + 1 : at + 3])  # 0xff may be padding
    return None


def _described(data: bytes) -> str:
    return f"{len(data)} bytes from {data[:4].hex(' ')} on" if data else "an empty file"
