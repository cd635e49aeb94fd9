"""Decoding of JPEG and PNG files: upright RGB pixels, or a crop of them at a given size.

A usual JPEG takes one pass of libjpeg-turbo, down to the last row of the crop, and one resize. Rare files
take a slower path: CMYK, rotation by EXIF, and PNG (recognised by content, not by name).
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

cv2.setNumThreads(0)  # threads decode images side by side; threads within an image would only slow them down

ChooseBox = Callable[[int, int], Box]  # (height, width) of an image -> the part to crop

PNG = b"\x89PNG\r\n\x1a\n"
SCRATCH_BYTES = 16 * 2**20  # most memory that a thread retains; 16 MiB / 3 bytes = 5.6 megapixels
EXTRA_ROWS = 2  # decoded below the crop: fancy upsampling mixes their colours into the row above them
COLOURS = ("YCbCr", "Gray", "RGB")  # colour spaces that libjpeg-turbo converts to RGB
# EXIF orientation -> counterclockwise quarter turns, and whether to mirror left to right after them.
TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


def crop_into(image: bytes | np.ndarray, choose: ChooseBox, out: np.ndarray, max_pixels: int) -> None:
    """Fill ``out`` with a part of an image, resized.

    Args:
      image: a JPEG or PNG file, or pixels [H, W, 3] uint8.
      choose: returns the part for the size of the upright image.
      out: [side, side, 3] uint8.

    Raises:
      BadImage: the image is damaged within the decoded rows, is of another format, or has more than
        ``max_pixels`` pixels.
    """
    side = out.shape[0]
    if isinstance(image, np.ndarray):
        pixels, box = image, choose(*image.shape[:2])
    elif plain := _plain_jpeg(image, max_pixels):
        size, header = plain
        pixels, box = _decode_part(image, header, size, choose(*size), side)
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
    """All pixels [H, W, 3] uint8 RGB of a JPEG or PNG file, rotated upright by its EXIF orientation.

    Raises:
      BadImage: the image is damaged, is of another format, or has more than ``max_pixels`` pixels.
    """
    if data.startswith(jpeg.MAGIC):
        size, colours = _jpeg_size(data, max_pixels)
        cmyk = colours not in COLOURS
        pixels = np.empty((*size, 4 if cmyk else 3), np.uint8)
        _decode_jpeg(data, pixels, colorspace="CMYK" if cmyk else "RGB")
        return _rotate(_cmyk_to_rgb(pixels) if cmyk else pixels, jpeg.read_header(data).orientation)
    if data.startswith(PNG):
        return _decode_png(data, max_pixels)
    raise BadImage(f"it must be a JPEG or PNG file, got {_describe(data)}")


def is_plain_jpeg(data: bytes, max_pixels: int) -> bool:
    """Whether the file is a JPEG that needs neither rotation nor conversion from CMYK."""
    return _plain_jpeg(data, max_pixels) is not None


def _plain_jpeg(data: bytes, max_pixels: int) -> tuple[tuple[int, int], jpeg.Header] | None:
    """(height, width) and the header of a plain JPEG; None for other files."""
    if not data.startswith(jpeg.MAGIC):
        return None
    size, colours = _jpeg_size(data, max_pixels)
    header = jpeg.read_header(data)
    return (size, header) if colours in COLOURS and header.orientation == 1 else None


def _decode_part(
    data: bytes, header: jpeg.Header, size: tuple[int, int], box: Box, side: int
) -> tuple[np.ndarray, Box]:
    """The image's rows down to the end of the box, and the box within them.

    Where the box has pixels to spare, the image is decoded at 1/8 to 4/8 of its size. libjpeg-turbo then
    skips the higher frequencies, most of which the resize would average away.
    """
    eighths = _eighths(size, box, side)
    if eighths < 8:
        down, across = (_scaled(pixels, eighths) / pixels for pixels in size)
        top, bottom = round(box[0] * down), round((box[0] + box[2]) * down)
        left, right = round(box[1] * across), round((box[1] + box[3]) * across)
        box = top, left, bottom - top, right - left
    rows = math.ceil((box[0] + box[2] + EXTRA_ROWS) * 8 / eighths)
    cut, height = jpeg.cut_rows(data, header, size[0], rows)
    shape = _scaled(height, eighths), _scaled(size[1], eighths)
    options = {"min_height": shape[0], "min_width": shape[1], "min_factor": 2} if eighths < 8 else {}
    return _decode_jpeg(cut, SCRATCH.array(*shape, 3), **options), box


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


SCRATCH = Scratch()


def _eighths(size: tuple[int, int], box: Box, side: int) -> int:
    """The smallest scale of 1/8 to 4/8 at which the box has at least ``side`` pixels, in eighths; else 8."""
    shorter = min(box[2:])
    if shorter < 2 * side:
        return 8
    needed = [math.ceil(pixels * (side / shorter)) for pixels in size]
    for eighths in (1, 2, 3, 4):
        if all(_scaled(pixels, eighths) >= least for pixels, least in zip(size, needed, strict=True)):
            return eighths
    return 8


def _scaled(pixels: int, eighths: int) -> int:
    """A scaled side, rounded up as libjpeg-turbo does."""
    return -(-pixels * eighths // 8)


def _decode_jpeg(data: bytes | bytearray, pixels: np.ndarray, **options: Any) -> np.ndarray:
    """Decode into ``pixels``, whose shape must fit, and return them; raises BadImage."""
    try:
        simplejpeg.decode_jpeg(data, buffer=pixels, **options)
    except ValueError as error:
        message = str(error).strip()
        if "extraneous bytes" not in message:  # padding between segments, or rows cut off: the image is whole
            raise BadImage(f"it is damaged: {message}") from None
    return pixels


def _jpeg_size(data: bytes, max_pixels: int) -> tuple[tuple[int, int], str]:
    """(height, width) and colour space of a JPEG; raises BadImage."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError):  # simplejpeg raises KeyError for an unknown colour space
        raise BadImage("it is damaged: no JPEG after its first bytes") from None
    return _within(int(height), int(width), max_pixels), colours


def _within(height: int, width: int, max_pixels: int) -> tuple[int, int]:
    """Return the size; raise BadImage for no pixels or more than ``max_pixels``."""
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


def _cmyk_to_rgb(pixels: np.ndarray) -> np.ndarray:
    """[H, W, 4] as Adobe writes it, 255 for no ink -> [H, W, 3]."""
    return (pixels[..., :3].astype(np.uint16) * pixels[..., 3:] // 255).astype(np.uint8)


def _rotate(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels [H, W, 3] upright, from an EXIF orientation 1..8."""
    turns, mirrored = TURNS.get(orientation, (0, False))
    pixels = np.rot90(pixels, turns)
    return np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels)


def _describe(data: bytes) -> str:
    return f"{len(data)} bytes that begin with {data[:4].hex(' ')}" if data else "an empty file"
