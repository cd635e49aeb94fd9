"""WebP, GIF, BMP, TIFF, AVIF and PNM: pixels, alpha, frames, depth, orientation. Others are refused."""

import numpy as np
import pytest
from odd_files import reference, saved
from pictures import MOST, picture
from PIL import Image

from trainer.data.encoded import BadImage
from trainer.data.images import decode
from trainer.data.images.pillow import SEVERAL_FRAMES

EXACT = {"WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}, "PPM": {}, "PNG": {}}
LOSSY = {"JPEG": {"quality": 90}, "WEBP": {"quality": 90}, "AVIF": {"quality": 90}, "GIF": {}}
RGBA = Image.merge("RGBA", (*Image.fromarray(picture()).split(), Image.linear_gradient("L").resize((64, 48))))
BRIGHT = picture() // 2 + 100  # a second frame


def inspected(data: bytes) -> tuple[np.ndarray, str]:
    return decode.inspect(data, MOST)


@pytest.mark.parametrize("form", EXACT)
def test_a_lossless_file_shows_its_pixels(form: str) -> None:
    pixels, suspect = inspected(saved(form, **EXACT[form]))
    np.testing.assert_array_equal(pixels, picture())
    assert suspect == ""


@pytest.mark.parametrize("form", LOSSY)
def test_a_lossy_file_shows_about_its_pixels(form: str) -> None:
    pixels, suspect = inspected(saved(form, **LOSSY[form]))
    assert np.abs(pixels.astype(int) - picture()).mean() < 6
    assert suspect == ""


@pytest.mark.parametrize(
    ("form", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})]
)
def test_what_is_transparent_shows_its_color(form: str, options: dict) -> None:
    np.testing.assert_array_equal(inspected(saved(form, RGBA, **options))[0], picture())


@pytest.mark.parametrize(("form", "options"), [
    ("GIF", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("PNG", {}), ("AVIF", {"quality": 100}),
])  # fmt: skip
def test_the_first_of_several_frames_is_used_and_verify_is_told(form: str, options: dict) -> None:
    data = saved(form, save_all=True, append_images=[Image.fromarray(BRIGHT)], **options)
    pixels, suspect = inspected(data)
    assert suspect == SEVERAL_FRAMES == "it holds several frames, of which the first is used"
    assert np.abs(pixels.astype(int) - picture()).mean() < 6
    out = np.zeros((48, 48, 3), np.uint8)
    decode.crop_into(data, lambda h, w: (0, 0, 48, 48), out, MOST)
    np.testing.assert_array_equal(out, pixels[:, :48])


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_of_16_bits_the_upper_8_are_used(form: str) -> None:
    grey = np.arange(0, 48 * 64 * 21, 21, dtype=np.uint16).reshape(48, 64)
    pixels, _ = inspected(saved(form, grey))
    np.testing.assert_array_equal(pixels, np.repeat((grey >> 8)[..., None], 3, -1))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK"])
@pytest.mark.parametrize("form", ["TIFF", "GIF", "BMP"])
def test_other_modes_become_rgb(form: str, mode: str) -> None:
    image = Image.fromarray(picture()).convert(mode)
    if form != "TIFF" and mode in ("LA", "CMYK"):
        image = Image.fromarray(picture()).quantize(9)
    data = saved(form, image)
    np.testing.assert_array_equal(inspected(data)[0], reference(data))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"])
def test_compressed_tiffs(compression: str) -> None:
    data = saved("TIFF", compression=compression)
    np.testing.assert_array_equal(inspected(data)[0], reference(data))


@pytest.mark.parametrize("form", ["WEBP", "TIFF", "AVIF", "PNG", "JPEG"])
@pytest.mark.parametrize("value", [1, 3, 5, 6, 8])
def test_any_kind_is_turned_upright(form: str, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    data = saved(form, exif=exif)
    expected = reference(data)
    assert expected.shape == ((64, 48, 3) if value >= 5 else (48, 64, 3))
    pixels, suspect = inspected(data)
    assert (pixels.shape, suspect) == (expected.shape, "")
    assert np.abs(pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    "metadata", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"garbage", b"Exif\0\0MM\0*" + b"\xff" * 40]
)
@pytest.mark.parametrize("form", ["WEBP", "JPEG", "PNG"])
def test_damaged_metadata_leaves_the_pixels_as_they_are(form: str, metadata: bytes) -> None:
    pixels, suspect = inspected(saved(form, exif=metadata))
    assert np.abs(pixels.astype(int) - picture()).mean() < 6
    assert suspect == ""


@pytest.mark.parametrize("form", ["WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_a_file_cut_short_is_damaged(form: str) -> None:
    data = saved(form)
    for size in (len(data) // 2, len(data) - 200):
        with pytest.raises(BadImage, match="it is damaged: "):
            inspected(data[:size])


@pytest.mark.parametrize(("pixels", "mode"), [
    (np.ones((8, 8), np.float32), "F"), (np.ones((8, 8), np.int32), "I"),
])  # fmt: skip
def test_a_tiff_without_8_or_16_bits_is_refused(pixels: np.ndarray, mode: str) -> None:
    with pytest.raises(BadImage, match=f"TIFF image in mode {mode}: not read; convert it to 8-bit RGB"):
        inspected(saved("TIFF", pixels))
    with pytest.raises(BadImage, match="TIFF image in mode LAB: not read"):
        inspected(saved("TIFF", Image.new("LAB", (8, 8))))


@pytest.mark.parametrize(
    ("form", "name"), [("JPEG2000", "JPEG 2000"), ("ICO", "icon"), ("TGA", "Targa"), ("DDS", "DDS")]
)
def test_other_kinds_are_refused_by_name(form: str, name: str) -> None:
    with pytest.raises(BadImage, match=f"^{name} image: not read; convert it to JPEG$"):
        inspected(saved(form))
