"""Decoding: plain JPEGs, the odd files of real datasets, and damaged ones."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from pictures import MOST, jpeg, picture, png, with_orientation

from trainer.data.encoded import BadImage
from trainer.data.images import crop, decode
from trainer.data.images import png as png_file


def whole(height, width):
    return 0, 0, height, width


def assert_close(pixels, expected, most=6):
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= most


def test_a_jpeg_and_a_png_by_any_name():
    assert_close(decode.upright(jpeg(picture()), MOST), picture())
    assert_close(decode.upright(png(picture()), MOST), picture(), most=0)


def test_grey_and_cmyk_become_rgb():
    grey = picture()[..., :1]
    assert_close(decode.upright(jpeg(grey, colorspace="GRAY"), MOST), np.repeat(grey, 3, -1))
    inks = np.concatenate(
        [picture(), np.full((48, 64, 1), 255, np.uint8)], -1
    )  # 255 is no ink: black is unused
    data = jpeg(inks, colorspace="CMYK")
    assert not decode.is_plain_jpeg(data, MOST)
    assert_close(decode.upright(data, MOST), picture())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.transpose(1, 0, 2)),
        (6, lambda p: np.rot90(p)),  # the camera was rotated: a clockwise quarter turn corrects it
        (7, lambda p: p.transpose(1, 0, 2)[::-1, ::-1]),
        (8, lambda p: np.rot90(p, -1)),
        (9, lambda p: p),  # no such orientation
    ],
)
def test_a_rotated_jpeg_becomes_upright(value, stored, order):
    data = with_orientation(jpeg(stored(picture())), value, order)
    assert_close(decode.upright(data, MOST), picture())
    assert decode.is_plain_jpeg(data, MOST) == (value in (1, 9))
    out = np.zeros((32, 32, 3), np.uint8)
    decode.crop_into(data, lambda h, w: (0, 0, h, w), out, MOST)
    assert_close(out, cv2.resize(picture(), (32, 32), interpolation=cv2.INTER_AREA))


def test_the_part_fills_the_output():
    out = np.zeros((20, 20, 3), np.uint8)
    decode.crop_into(png(picture()), lambda h, w: (8, 30, 20, 20), out, MOST)
    np.testing.assert_array_equal(out, picture()[8:28, 30:50])
    decode.crop_into(picture(), lambda h, w: (0, 0, 40, 40), out, MOST)  # pixels, of a raw dataset
    np.testing.assert_allclose(out, picture()[:40, :40].reshape(20, 2, 20, 2, 3).mean((1, 3)), atol=1)


def test_a_large_jpeg_decoded_smaller_shows_the_same():
    large = cv2.resize(picture(), (1024, 768), interpolation=cv2.INTER_CUBIC)
    out, expected = np.zeros((2, 100, 100, 3), np.uint8)
    decode.crop_into(jpeg(large), lambda h, w: (101, 203, 600, 500), out, MOST)
    expected = cv2.resize(large[101:701, 203:703], (100, 100), interpolation=cv2.INTER_AREA)
    assert_close(out, expected, most=5)


def bomb(side):
    """A PNG of a few hundred bytes whose header claims side x side pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        png_file.MAGIC
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


def large_jpeg():
    """A JPEG whose header claims 60,000 x 60,000 pixels."""
    data = bytearray(jpeg(picture()))
    at = data.index(b"\xff\xc0") + 5  # SOF0: length, precision, then height and width
    data[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"must be an image \(JPEG, PNG, .*\), got an empty file"),
        (b"hello\n", "must be an image .*, got 6 bytes that begin with 68 65 6c 6c"),
        (b"GIF89a", "is damaged: no GIF after its first bytes"),
        (b"\xff\x0a\xfa", "JPEG XL image: not read; convert it to JPEG"),
        (jpeg(picture())[:30], "is damaged: no JPEG after its first bytes"),
        (jpeg(picture())[:-60], "is damaged: Premature end of JPEG file"),
        (png(picture())[:-30], "is damaged: the file ends early"),
        (png(picture())[:20], "is damaged: the file ends early"),
        (bomb(50_000), "must hold at most 10 megapixels, got 50000 x 50000"),
        (large_jpeg(), "must hold at most 10 megapixels, got 60000 x 60000"),
    ],
    ids=[
        "empty",
        "text",
        "gif",
        "jpeg xl",
        "header",
        "cut jpeg",
        "cut png",
        "png header",
        "png bomb",
        "jpeg bomb",
    ],
)
def test_the_reason_why_an_image_cannot_be_used_is_named(data, message):
    for use in (
        lambda: decode.upright(data, MOST),
        lambda: decode.crop_into(data, whole, np.zeros((8, 8, 3), np.uint8), MOST),
    ):
        with pytest.raises(BadImage, match=message):
            use()


def test_padding_between_segments_is_harmless():
    data = jpeg(picture())
    assert_close(decode.upright(data[:-2] + b"\0" * 7 + data[-2:], MOST), picture())


def test_boxes_depend_on_seed_epoch_and_index_alone():
    some = crop.draws(3, np.array([0, 0, 1]), np.array([7, 8, 7]))
    np.testing.assert_array_equal(crop.draws(3, np.array([1]), np.array([7]))[0], some[2])
    assert len({tuple(row) for row in some.tolist()}) == 3
    assert (crop.draws(4, np.array([0]), np.array([7])) != some[0]).all()


def test_boxes_lie_inside_and_cover_the_range_of_areas():
    uniform = crop.draws(0, np.zeros(4000, int), np.arange(4000))
    assert uniform.mean() == pytest.approx(0.5, abs=0.005)
    assert (uniform.min(), uniform.max()) == pytest.approx((0, 1), abs=1e-3)
    boxes = np.array([crop.random_box(300, 400, row, 0.08) for row in uniform.tolist()])
    top, left, height, width = boxes.T
    assert (top.min(), left.min()) == (0, 0)
    assert ((top + height).max(), (left + width).max()) == (300, 400)
    areas = height * width / (300 * 400)
    assert 0.079 < areas.min() < 0.1
    assert areas.max() > 0.97
    assert 0.74 < (width / height).min() < (width / height).max() < 1.35


@pytest.mark.parametrize(
    ("size", "box"),
    [((100, 100), (0, 0, 100, 100)), ((100, 300), (0, 83, 100, 133)), ((300, 100), (83, 0, 133, 100))],
)
def test_the_centre_is_taken_where_no_random_box_fits(size, box):
    assert crop.random_box(*size, [0.999] * crop.DRAWS, 1.0) == box


def test_evaluation_sees_the_centre():
    assert crop.centre_box(256, 341, 0.875) == (16, 58, 224, 224)
