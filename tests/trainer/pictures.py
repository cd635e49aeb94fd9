"""Images that tests encode."""

import struct

import cv2
import numpy as np
import simplejpeg

MOST = 10_000_000  # pixels


def picture(height=48, width=64):
    """Red grows to the right, green to the bottom; smooth, so that a JPEG changes little."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), 0 * x + 90], -1).astype(np.uint8)


def jpeg(pixels, **options):
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 95, colorsubsampling="444", **options)


def png(pixels):
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def with_orientation(data, value, order="<"):
    """The JPEG with an EXIF segment that holds one entry, the orientation (EXIF 2.3, section 4.6.2)."""
    mark = {"<": b"II", ">": b"MM"}[order]
    tiff = (
        mark + struct.pack(f"{order}HIH", 42, 8, 1) + struct.pack(f"{order}HHIHHI", 0x0112, 3, 1, value, 0, 0)
    )
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
