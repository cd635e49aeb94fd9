"""From the bytes of a JPEG or PNG to pixels: upright RGB, or a part of it at the size that is asked for.

The usual JPEG takes one pass of libjpeg-turbo, down to the last row that is shown, and one resize. What is
rare goes by a slower way: CMYK, rotation by EXIF, and PNG whatever its name.
"""

import math
import struct
import threading
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import simplejpeg

from trainer.data.encoded import BadImage
from trainer.data.images import jpeg
from trainer.data.images.crop import Box

cv2.setNumThreads(0)  # batches are decoded side by side; threads inside an image would only get in the way

Chooser = Callable[[int, int], Box]  # (height, width) -> the part to show

PNG = b"\x89PNG\r\n\x1a\n"
KEPT_BYTES = 16 * 2**20  # of memory that a thread keeps for its images; 5.6 megapixels
BELOW = 2  # rows of the decoded image whose colours reach into the row before them (fancy upsampling)
COLOURS = ("YCbCr", "Gray", "RGB")  # what libjpeg-turbo turns into RGB
# EXIF orientation -> quarter turns against the clock, and whether it is mirrored left to right after them.
TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


def show(image: bytes | np.ndarray, choose: Chooser, out: np.ndarray, max_pixels: int) -> None:
    """Fills ``out`` [side, side, 3] uint8 with the chosen part of an image.

    Raises:
      BadImage: damaged in what is shown, not an image, or of more than ``max_pixels`` pixels.
    """
    side = out.shape[0]
    if isinstance(image, np.ndarray):
        pixels, box = image, choose(*image.shape[:2])
    elif plain := _plain_jpeg(image, max_pixels):
        size, head = plain
        pixels, box = _decode_part(image, head, size, choose(*size), side)
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
    if data.startswith(jpeg.MAGIC):
        size, colours = _jpeg_size(data, max_pixels)
        cmyk = colours not in COLOURS
        pixels = np.empty((*size, 4 if cmyk else 3), np.uint8)
        _decode_jpeg(data, pixels, colorspace="CMYK" if cmyk else "RGB")
        return _turned(_rgb_of_cmyk(pixels) if cmyk else pixels, jpeg.head(data).orientation)
    if data.startswith(PNG):
        return _decode_png(data, max_pixels)
    raise BadImage(f"it must be a JPEG or PNG file, got {_described(data)}")


def is_plain_jpeg(data: bytes, max_pixels: int) -> bool:
    """Whether it is a JPEG that needs neither turning nor other colours."""
    return _plain_jpeg(data, max_pixels) is not None


def _plain_jpeg(data: bytes, max_pixels: int) -> tuple[tuple[int, int], jpeg.Head] | None:
    """Height and width, and what else stands before the pixels; None for one that is not plain."""
    if not data.startswith(jpeg.MAGIC):
        return None
    size, colours = _jpeg_size(data, max_pixels)
    head = jpeg.head(data)
    return (size, head) if colours in COLOURS and head.orientation == 1 else None


def _decode_part(
    data: bytes, head: jpeg.Head, size: tuple[int, int], box: Box, side: int
) -> tuple[np.ndarray, Box]:
    """The image down to the end of the box, and the box in it, in eighths of its size where that is enough.

    libjpeg-turbo then leaves out the higher frequencies, most of which the resize would average away.
    """
    eighths = _eighths(size, box, side)
    if eighths < 8:
        down, across = (_scaled(pixels, eighths) / pixels for pixels in size)
        top, bottom = round(box[0] * down), round((box[0] + box[2]) * down)
        left, right = round(box[1] * across), round((box[1] + box[3]) * across)
        box = top, left, bottom - top, right - left
    rows = math.ceil((box[0] + box[2] + BELOW) * 8 / eighths)
    shown, height = jpeg.until(data, head, size[0], rows)
    shape = _scaled(height, eighths), _scaled(size[1], eighths)
    options = {"min_height": shape[0], "min_width": shape[1], "min_factor": 2} if eighths < 8 else {}
    return _decode_jpeg(shown, ROOM.shaped(*shape, 3), **options), box


class Room(threading.local):
    """Memory that the images of a thread take in turn: fresh pages cost a tenth of a decode."""

    pixels = np.empty(0, np.uint8)

    def shaped(self, *shape: int) -> np.ndarray:
        """Pixels of this shape, which hold anything, until the next call."""
        size = math.prod(shape)
        if size > KEPT_BYTES:
            return np.empty(shape, np.uint8)
        if size > self.pixels.size:
            self.pixels = np.empty(size, np.uint8)
        return self.pixels[:size].reshape(shape)


ROOM = Room()


def _eighths(size: tuple[int, int], box: Box, side: int) -> int:
    """The fewest eighths of the size, up to four, of which the box has at least ``side`` pixels; else 8."""
    shortest = min(box[2:])
    if shortest < 2 * side:
        return 8
    least = [math.ceil(pixels * (side / shortest)) for pixels in size]
    fit = (n for n in (1, 2, 3, 4) if all(_scaled(p, n) >= few for p, few in zip(size, least, strict=True)))
    return next(fit, 8)


def _scaled(pixels: int, eighths: int) -> int:
    """As libjpeg-turbo rounds it."""
    return -(-pixels * eighths // 8)


def _decode_jpeg(data: bytes | bytearray, pixels: np.ndarray, **options: Any) -> np.ndarray:
    """Fills the pixels, whose shape is known, and returns them."""
    try:
        simplejpeg.decode_jpeg(data, buffer=pixels, **options)
    except ValueError as error:
        words = str(error).strip()
        if "extraneous bytes" not in words:  # rubbish between the segments or rows left out: all is decoded
            raise BadImage(f"it is damaged: {words}") from None
    return pixels


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


def _described(data: bytes) -> str:
    return f"{len(data)} bytes from {data[:4].hex(' ')} on" if data else "an empty file"
