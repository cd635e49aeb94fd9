"""The header of a JPEG; decoding that stops at the last row of the crop."""

import cv2
import numpy as np
import pytest
import simplejpeg
from pictures import MOST, jpeg, picture, with_orientation

from trainer.data.encoded import BadImage
from trainer.data.images import decode
from trainer.data.images.jpeg import cut_rows, read_header


def orientation(data: bytes) -> int:
    return read_header(data).orientation


def test_exif_is_read_behind_other_segments_and_nowhere_else():
    turned = with_orientation(jpeg(picture()), 3, "<")
    icc = b"\xff\xe2\x00\x10" + b"\xff\xe1\x00\x0cExif\0\0MM\0*"  # its content only looks like EXIF
    assert orientation(turned[:2] + icc + b"\xff" + turned[2:]) == 3
    plain = jpeg(picture())
    assert orientation(plain[:2] + icc + plain[2:]) == 1
    assert orientation(plain + turned[2:]) == 1  # behind the image
    assert orientation(turned[:8]) == orientation(b"\xff\xd8\xff") == 1


SAMPLINGS = {
    "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "440": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "411": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
}


def noise(height: int, width: int, *options: int) -> bytes:
    """A JPEG whose rows all differ."""
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(
        ".jpg", cv2.GaussianBlur(pixels, (5, 5), 0), [cv2.IMWRITE_JPEG_QUALITY, 95, *options]
    )[1].tobytes()


@pytest.mark.parametrize("restarts", [0, 3])
@pytest.mark.parametrize("sampling", [*SAMPLINGS, "grey"])
def test_a_crop_equals_that_of_the_full_decode_bit_for_bit(sampling: str, restarts: int) -> None:
    options = [cv2.IMWRITE_JPEG_RST_INTERVAL, restarts]
    if sampling == "grey":
        data = simplejpeg.encode_jpeg(picture(150, 203)[..., :1].copy(), 95, colorspace="GRAY")
    else:
        data = noise(150, 203, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[sampling], *options)
    header = read_header(data)
    assert header.unit_rows == {"420": 16, "440": 16}.get(sampling, 8)
    assert cut_rows(data, header, 150, 60)[1] == 64
    whole = simplejpeg.decode_jpeg(data)
    for bottom in range(20, 151):
        out = np.zeros((20, 20, 3), np.uint8)
        decode.crop_into(data, lambda h, w, bottom=bottom: (bottom - 20, bottom % 100, 20, 20), out, MOST)
        np.testing.assert_array_equal(out, whole[bottom - 20 : bottom, bottom % 100 :][:, :20])


@pytest.mark.parametrize("eighths", [1, 2, 3, 4])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_crop_equals_that_of_the_full_decode_at_a_smaller_scale(sampling: str, eighths: int) -> None:
    data = noise(400, 333, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[sampling])
    shape = -(-400 * eighths // 8), -(-333 * eighths // 8)
    whole = simplejpeg.decode_jpeg(data, min_height=shape[0], min_width=shape[1], min_factor=2)
    assert whole.shape[:2] == shape
    side, size = 10, -(-80 // eighths)  # of the output; of the crop, so that size * eighths / 8 >= 10 pixels
    for top in range(0, 320, 16):
        part = (top, 48, size, size)
        out = np.zeros((side, side, 3), np.uint8)
        decode.crop_into(data, lambda h, w, part=part: part, out, MOST)
        rows = [round(row * shape[0] / 400) for row in (top, top + size)]
        columns = [round(column * shape[1] / 333) for column in (48, 48 + size)]
        expected = whole[rows[0] : rows[1], columns[0] : columns[1]]
        if expected.shape != out.shape:
            expected = cv2.resize(expected, (side, side), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(out, expected)


def test_files_cut_short_or_in_several_scans_are_decoded_whole() -> None:
    data = noise(150, 203)
    assert cut_rows(data, read_header(data), 150, 60)[1] == 64
    assert cut_rows(data[:-2], read_header(data), 150, 60) == (data[:-2], 150)
    progressive = noise(150, 203, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert cut_rows(progressive, read_header(progressive), 150, 60) == (progressive, 150)
    out = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(BadImage, match="is damaged: Premature end of JPEG file"):
        decode.crop_into(data[:-2000], lambda h, w: (0, 0, 20, 20), out, MOST)


def test_damage_in_the_decoded_rows_is_detected() -> None:
    data = bytearray(noise(150, 203))
    at = data.index(b"\xff\xda") + 400
    data[at : at + 2] = b"\xff\xe3"  # a segment amid the pixels
    out = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(BadImage, match="is damaged: Corrupt JPEG data"):
        decode.crop_into(bytes(data), lambda h, w: (60, 0, 20, 20), out, MOST)
