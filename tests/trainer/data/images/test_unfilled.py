"""A buffer that a decoder did not fill is never used: what memory held before changes no result."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from odd_files import adobe, after_header, header_end, saved
from pictures import MOST, picture, with_orientation
from PIL import Image

from trainer.config import DataConfig
from trainer.data.encoded import BadImage, Encoded
from trainer.data.images import crop, decode, decoded, resize
from trainer.data.tools.pack_image import Packing, pack_image
from trainer.weights.inference import read_image
from trainer.weights.pictures import Picture

JPEG = saved("JPEG", quality=90)
LARGE = saved("JPEG", picture(300, 400), quality=90)
END = header_end(JPEG)
FILES = {
    "plain": JPEG,
    "large": LARGE,
    "zeros between segments": after_header(JPEG, b"\0\0"),
    "large, zeros between segments": after_header(LARGE, b"\0\0"),
    "text between segments": after_header(JPEG, b"hello"),
    "an odd revision of JFIF": JPEG[:11] + b"\x09" + JPEG[12:],
    "Adobe's transform 2": JPEG[:2] + adobe(2) + JPEG[END:],
    "CMYK with rubbish": after_header(saved("JPEG", Image.fromarray(picture()).convert("CMYK")), b"\0\0"),
    "rotated with rubbish": after_header(with_orientation(JPEG, 6), b"\0\0"),
    "without its end marker": JPEG[:-2],
    "cut": LARGE[: len(LARGE) // 2],
    "cut, zeros between segments": after_header(LARGE, b"\0\0")[: len(LARGE) // 2],
    "its header alone": JPEG[: JPEG.index(b"\xff\xda") + 14],
    "a wrong table": JPEG.replace(b"\xff\xc4\0\x1f\0", b"\xff\xc4\0\x1f\x07"),
    "an unknown frame": JPEG.replace(b"\xff\xc0", b"\xff\xcb"),
    "PNG": saved("PNG"),
    "cut PNG": saved("PNG")[:-30],
    "WebP": saved("WEBP"),
    "cut WebP": saved("WEBP")[:-30],
    "GIF": saved("GIF"),
    "cut GIF": saved("GIF")[:-30],
    "cut TIFF": saved("TIFF")[:-30],
    "cut BMP": saved("BMP")[:-30],
}


def gathered(data: bytes, uniforms: np.ndarray | None) -> np.ndarray:
    """What a batch shows of the file: training's crop with uniforms, evaluation's without."""
    images = Encoded(format="made", class_names=["a"], size=1, read=lambda i: (data, 0), name=str)
    config = DataConfig(image_size=32, max_megapixels=10)
    return decoded.as_source(images, config).gather(np.zeros(1, int), uniforms)[0]


def shown(data: bytes, side: int, fraction: float) -> np.ndarray:
    out = np.empty((side, side, 3), np.uint8)
    decode.crop_into(data, lambda h, w: crop.centre_box(h, w, fraction), out, MOST)
    return out


WAYS: dict[str, Callable[[bytes], object]] = {
    "the crop of training": lambda data: gathered(data, crop.draws(0, np.zeros(1, int), np.arange(1))),
    "the crop of evaluation": lambda data: gathered(data, None),
    "a small crop of a large image": lambda data: shown(data, 8, 1.0),
    "a crop at its own size": lambda data: shown(data, 30, 30 / 48),
    "upright": lambda data: decode.upright(data, MOST),
    "packed as JPEG": lambda data: pack_image(data, Packing(), MOST),
    "packed smaller": lambda data: pack_image(data, Packing(short_side=20), MOST),
    "packed as pixels": lambda data: pack_image(data, Packing(encoding="raw"), MOST),
}


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """A function that decides what all memory holds that is taken unfilled, or used again."""

    def fill(value: int) -> None:
        monkeypatch.setattr(np, "empty", lambda shape, dtype=float: np.full(shape, value, dtype))
        for memory in (decode.SCRATCH, resize.MIDDLE):
            memory.pixels = np.full(300 * 400 * 3, value, np.uint8)

    yield fill
    for memory in (decode.SCRATCH, resize.MIDDLE):
        memory.pixels = np.zeros(0, np.uint8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FILES)
def test_what_memory_held_before_changes_nothing(name: str, way: str, fill: Callable[[int], None]) -> None:
    results = []
    for value in (0, 171):
        fill(value)
        try:
            result = WAYS[way](FILES[name])
        except BadImage as error:
            result = str(error)
        results.append(result.tobytes() if isinstance(result, np.ndarray) else result)
    assert results[0] == results[1]


@pytest.mark.parametrize("inserted", [b"\0\0", b"hello", b"\xff\0\0"])
def test_an_image_after_another_shows_its_own_pixels(inserted: bytes) -> None:
    """The thread's memory holds the previous image when the odd one is decoded."""
    previous = saved("JPEG", picture(300, 400)[::-1, ::-1], quality=90)
    expected = shown(LARGE, 224, 0.875).astype(int)
    assert np.abs(shown(previous, 224, 0.875) - expected).mean() > 30
    assert np.abs(shown(after_header(LARGE, inserted), 224, 0.875) - expected).mean() <= 1


def test_a_damaged_image_is_black_in_a_batch(fill: Callable[[int], None]) -> None:
    fill(171)
    assert gathered(FILES["cut"], None).max() == 0
    assert gathered(FILES["cut WebP"], None).max() == 0


def test_prediction_reads_the_same_pixels(fill: Callable[[int], None]) -> None:
    network = SimpleNamespace(image_size=32, crop=0.875, mean=(0, 0, 0))
    fill(171)
    odd = Picture(name="odd.jpg", data=FILES["zeros between segments"])
    np.testing.assert_array_equal(read_image(odd, network, MOST), shown(JPEG, 32, 0.875))
