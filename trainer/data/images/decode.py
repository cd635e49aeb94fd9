"""Decoding of image files: upright RGB pixels, or a crop of them at a given size.

A usual JPEG takes one pass of libjpeg-turbo, down to the last row of the crop, and one resize. Other files
are decoded whole: CMYK and rotated JPEGs by libjpeg-turbo, PNGs by OpenCV, and by Pillow every other kind and
what the first two complain of. The kind is told by the content, never by the name.
"""

import math
from collections.abc import Callable

import numpy as np

from trainer.data.encoded import BadImage
from trainer.data.images import jpeg, kinds, orientation, pillow, png, turbo
from trainer.data.images.crop import Box
from trainer.data.images.resize import Resize, resize_area
from trainer.data.images.scratch import Scratch

ChooseBox = Callable[[int, int], Box]  # (height, width) of an image -> the part to crop

EXTRA_ROWS = 2  # decoded below the crop: fancy upsampling mixes their colours into the row above them


def crop_into(
    image: bytes | np.ndarray,
    choose: ChooseBox,
    out: np.ndarray,
    max_pixels: int,
    resize: Resize = resize_area,
) -> None:
    """Fill ``out`` with a part of an image, resized.

    Args:
      image: an image file of a kind that `kinds` lists as read, or pixels [H, W, 3] uint8.
      choose: returns the part for the size of the upright image.
      out: [side, side, 3] uint8.
      resize: fills ``out`` with the part.

    Raises:
      BadImage: the image is damaged within the decoded rows, is of another kind, or has more than
        ``max_pixels`` pixels. ``out`` holds what it held before.
    """
    side = out.shape[0]
    if isinstance(image, np.ndarray):
        pixels, box = image, choose(*image.shape[:2])
    elif (plain := _plain_jpeg(image, max_pixels)) and (
        part := _decode_part(image, *plain, choose(*plain[1]), side)
    ):
        pixels, box = part
    else:
        pixels = upright(image, max_pixels)
        box = choose(*pixels.shape[:2])
    top, left, height, width = box
    resize(pixels[top : top + height, left : left + width], out)


def upright(data: bytes, max_pixels: int) -> np.ndarray:
    """All pixels [H, W, 3] uint8 RGB of an image file, rotated upright by its EXIF orientation.

    Raises:
      BadImage: the image is damaged, is of another kind, or has more than ``max_pixels`` pixels.
    """
    return inspect(data, max_pixels)[0]


def inspect(data: bytes, max_pixels: int) -> tuple[np.ndarray, str]:
    """The pixels of `upright`, and what is suspect about the file although it has pixels; "" for nothing.

    Suspect is a file of which a decoder complained, in the decoder's words, and one of several frames.

    Raises:
      BadImage: as `upright`.
    """
    kind = kinds.image_kind(data)
    if kind is None or not kind.read:
        raise BadImage(kinds.refusal(data))
    try:
        if kind is kinds.JPEG:
            return _inspect_jpeg(data, max_pixels)
        if kind is kinds.PNG:
            return _inspect_png(data, max_pixels)
        pixels = pillow.decode(data, kind, max_pixels)
    except MemoryError:
        raise BadImage("it needs more memory than this host has") from None
    return pixels, pillow.SEVERAL_FRAMES if pillow.has_several_frames(data, kind) else ""


def is_plain_jpeg(data: bytes, max_pixels: int) -> bool:
    """Whether the file is a JPEG that needs neither rotation, conversion from CMYK nor another decoder."""
    return _plain_jpeg(data, max_pixels) is not None


def _plain_jpeg(data: bytes, max_pixels: int) -> tuple[jpeg.Header, tuple[int, int]] | None:
    """The header and (height, width) of a plain JPEG; None for other files."""
    if not data.startswith(jpeg.MAGIC) or not (read := turbo.read_size(data, max_pixels)):
        return None
    size, colours = read
    header = jpeg.read_header(data)
    turbo.check_scans(data, header, size, max_pixels)
    return (header, size) if colours in turbo.PLAIN and header.orientation == 1 else None


def _decode_part(
    data: bytes, header: jpeg.Header, size: tuple[int, int], box: Box, side: int
) -> tuple[np.ndarray, Box] | None:
    """The rows down to the end of the box, and the box within them; None where it has to be inspected.

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
    pixels = SCRATCH.array(*shape, 3)
    complaint = turbo.decode(cut, pixels, **options)
    # A cut file leaves its other rows over, up to a restart marker or its end.
    if complaint and (turbo.AT_THE_END if cut is data else turbo.LEFT_OVER) not in complaint:
        return None
    return pixels, box


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


def _inspect_jpeg(data: bytes, max_pixels: int) -> tuple[np.ndarray, str]:
    """The upright pixels of a JPEG and the complaint about it; raises BadImage."""
    if read := turbo.read_size(data, max_pixels):
        header = jpeg.read_header(data)
        turbo.check_scans(data, header, read[0], max_pixels)
        pixels, complaint = turbo.decode_whole(data, *read)
        if not complaint or turbo.AT_THE_END in complaint:
            return orientation.turn(pixels, header.orientation), complaint
        del pixels  # the other decoder takes as much memory
    return _inspect_odd_jpeg(data, max_pixels)


def _inspect_odd_jpeg(data: bytes, max_pixels: int) -> tuple[np.ndarray, str]:
    """As `_inspect_jpeg`, of a file that libjpeg-turbo complains of or does not decode as it is.

    The header is cleaned first. Then libjpeg-turbo's first complaint is about the pixels: it tells whether
    some were left undecoded. Where it has another complaint the pixels are Pillow's.
    """
    clean, rubbish = jpeg.cleaned(data)
    header = jpeg.read_header(clean)
    suspect = [f"{rubbish} bytes stand between its segments"] if rubbish else []
    if read := turbo.read_size(clean, max_pixels):
        turbo.check_scans(clean, header, read[0], max_pixels)
        pixels, complaint = turbo.decode_whole(clean, *read)
        if complaint.startswith("Premature end of JPEG file"):  # perhaps of its end alone
            pixels, inner = turbo.decode_whole(clean + jpeg.END, *read)
            decoded = not inner
        else:
            decoded = not complaint or turbo.AT_THE_END in complaint
        if any(text in complaint for text in turbo.UNDECODED) and not decoded:
            raise BadImage(f"it is damaged: {complaint}")
        suspect += [complaint] if complaint else []
        if decoded:
            return orientation.turn(pixels, header.orientation), "; ".join(suspect)
        del pixels
    else:  # only Pillow reads its size
        turbo.check_scans(clean, header, (1, max_pixels), max_pixels)
    pixels = pillow.decode(clean, kinds.JPEG, max_pixels)
    return orientation.turn(pixels, header.orientation), "; ".join(suspect)


def _inspect_png(data: bytes, max_pixels: int) -> tuple[np.ndarray, str]:
    """The pixels of a PNG and what is suspect about it; raises BadImage."""
    if png.read_size(data, max_pixels) and (pixels := png.decode(data)) is not None:
        return pixels, ""
    problem = png.problem(data)
    try:
        pixels = pillow.decode(data, kinds.PNG, max_pixels)
    except BadImage as error:
        if problem and str(error).startswith("it is damaged"):
            raise BadImage(f"it is damaged: {problem}") from None
        raise
    several = not problem and pillow.has_several_frames(data, kinds.PNG)
    return pixels, pillow.SEVERAL_FRAMES if several else problem
