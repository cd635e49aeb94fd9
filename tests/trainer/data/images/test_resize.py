"""Resizing for training: nearly the mean of the area, nothing left out, shifted or read from elsewhere."""

import cv2
import numpy as np
import pytest
from pictures import MOST, jpeg, picture, png

from trainer.config import DataConfig
from trainer.data.encoded import Encoded
from trainer.data.images import crop, decode, decoded
from trainer.data.images.resize import resize_area, resize_fast

SIDE = 96
# height and width, from 1.02 to 3 times the output, one side smaller than the output in two of them
SIZES = [(98, 98), (110, 115), (112, 140), (131, 120), (180, 170), (192, 192), (200, 261), (288, 288)]
SIZES += [(80, 150), (150, 80)]


def coverage(length: int) -> np.ndarray:
    """[SIDE, length]: the share that each pixel has of the area of each output pixel."""
    ends = np.arange(SIDE + 1) * length / SIDE
    pixels = np.arange(length)
    overlap = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    return np.clip(overlap, 0, None) * SIDE / length


def mean_of_area(pixels: np.ndarray) -> np.ndarray:
    """[SIDE, SIDE, 3] float64 of an image that is larger than SIDE both ways."""
    return np.einsum(
        "yh,hwc,xw->yxc", coverage(len(pixels)), pixels, coverage(pixels.shape[1]), optimize=True
    )


def noise(height: int, width: int, blur: float = 0) -> np.ndarray:
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(pixels, (0, 0), blur) if blur else pixels


def fast(pixels: np.ndarray) -> np.ndarray:
    out = np.full((SIDE, SIDE, 3), 171, np.uint8)
    resize_fast(pixels, out)
    return out.astype(int)


LARGER = [size for size in SIZES if min(size) > SIDE]


@pytest.mark.parametrize("size", LARGER)
def test_fast_is_within_a_level_of_the_mean_of_the_area(size: tuple[int, int]) -> None:
    """On average over a sharp texture; a smooth one is left with rounding."""
    pixels = noise(*size, blur=1)
    assert np.abs(fast(pixels) - mean_of_area(pixels)).mean() < 1
    smooth = noise(*size, blur=3)
    assert np.abs(fast(smooth) - mean_of_area(smooth)).mean() < 0.5


@pytest.mark.parametrize("size", LARGER)
def test_fast_averages_away_what_the_mean_of_the_area_does(size: tuple[int, int]) -> None:
    """White noise: linear interpolation alone, which leaves out pixels, keeps up to three times as much."""
    pixels = noise(*size)
    assert fast(pixels).std() < 1.1 * mean_of_area(pixels).std()


@pytest.mark.parametrize("size", SIZES)
def test_fast_shifts_nothing(size: tuple[int, int]) -> None:
    for pixels in (picture(*size), picture(*size)[::-1], picture(*size)[:, ::-1]):
        expected = cv2.resize(pixels.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(fast(pixels)[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1.5)  # rounded twice
    even = np.full((*size, 3), (7, 200, 255), np.uint8)
    assert (fast(even) == (7, 200, 255)).all()


def test_fast_is_by_area_where_the_two_steps_would_leave_out_pixels() -> None:
    for size in ((289, 96), (300, 400), (2000, 900)):
        expected = np.zeros((SIDE, SIDE, 3), np.uint8)
        resize_area(noise(*size), expected)
        np.testing.assert_array_equal(fast(noise(*size)), expected)


def test_an_image_at_its_own_size_is_copied_and_a_part_is_read_alone() -> None:
    pixels = noise(SIDE, SIDE)
    np.testing.assert_array_equal(fast(pixels), pixels)
    large = noise(400, 400)
    for height, width in SIZES:
        part = large[7 : 7 + height, 13 : 13 + width]
        np.testing.assert_array_equal(fast(part), fast(part.copy()))


@pytest.mark.parametrize("encode", [jpeg, png, np.ascontiguousarray], ids=["JPEG", "PNG", "pixels"])
def test_evaluation_is_by_area_and_training_fast(encode) -> None:
    pixels = noise(150, 150, blur=2)
    images = Encoded(
        format="made", class_names=["a"], size=1, read=lambda index: (encode(pixels), 0), name=str
    )
    source = decoded.as_source(images, DataConfig(image_size=SIDE, eval_crop=1.0, min_area=1.0))
    seen = pixels if encode is not jpeg else decode.upright(jpeg(pixels), MOST)
    by_area = np.zeros((SIDE, SIDE, 3), np.uint8)
    resize_area(seen, by_area)
    one = np.zeros(1, int)
    np.testing.assert_array_equal(source.gather(one)[0][0], by_area)
    top, left, height, width = crop.random_box(150, 150, crop.draws(0, one, one)[0].tolist(), 1.0)
    trained = source.gather(one, crop.draws(0, one, one))[0][0]
    np.testing.assert_array_equal(trained, fast(seen[top : top + height, left : left + width].copy()))
