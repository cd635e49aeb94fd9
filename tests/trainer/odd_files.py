"""Image files that tests decode, made by Pillow and then changed."""

import io
import random
import struct
import zlib

import numpy as np
from pictures import picture
from PIL import Image, ImageOps


def saved(form: str, pixels: np.ndarray | Image.Image | None = None, **options: object) -> bytes:
    """The picture, or other pixels, as a file that Pillow writes."""
    image = picture() if pixels is None else pixels
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def reference(data: bytes) -> np.ndarray | None:
    """What Pillow shows, upright, [H, W, 3] uint8; None where it refuses the file."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            upright.info.pop("transparency", None)
            return np.array(upright.convert("RGB"))
    except Exception:
        return None


def header_end(data: bytes) -> int:
    """The end of a JPEG's first segment."""
    return 4 + int.from_bytes(data[4:6])


def after_header(data: bytes, inserted: bytes) -> bytes:
    """The JPEG with bytes after its first segment."""
    return data[: header_end(data)] + inserted + data[header_end(data) :]


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def adobe(transform: int) -> bytes:
    return segment(0xEE, b"Adobe" + bytes((0, 100, 0, 0, 0, 0, transform)))


def chunk(name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    """A chunk of a PNG."""
    value = zlib.crc32(name + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", value)


def mutated(data: bytes, draw: random.Random) -> bytes:
    """The file with some bits flipped, bytes inserted, or its end cut off."""
    changed, at = bytearray(data), draw.randrange(len(data))
    match draw.randrange(3):
        case 0:
            for _ in range(draw.randint(1, 4)):
                changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        case 1:
            changed[at:at] = draw.randbytes(draw.randint(1, 16))
        case _:
            del changed[at:]
    return bytes(changed)
