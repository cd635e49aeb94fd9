"""Odd files that hold all of their pixels: they are Pillow's, and what a decoder complained of is told."""

import zlib

import numpy as np
import pytest
from odd_files import adobe, after_header, chunk, header_end, reference, saved, segment
from pictures import MOST, picture, with_orientation
from PIL import Image

from trainer.data.encoded import BadImage
from trainer.data.images import crop, decode
from trainer.data.images.limits import SCANS
from trainer.data.tools.pack_image import Packing, pack_image

JPEG, PNG = saved("JPEG", quality=90), saved("PNG")
LARGE = saved("JPEG", picture(300, 400), quality=90)
END = header_end(JPEG)
PALETTE = Image.fromarray(picture()).quantize(32)
XMP = b'<rdf:RDF><rdf:Description tiff:Orientation="6"/></rdf:RDF>'


def sampled(byte: int) -> bytes:
    """A JPEG whose first component has other sampling factors: the rest of the image is made up."""
    data = bytearray(saved("JPEG", picture(16, 16), subsampling="4:4:4"))
    data[data.index(b"\xff\xc0") + 11] = byte
    return bytes(data)


def scans(data: bytes, number: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    first, _, last = data[:-2].rpartition(b"\xff\xda")
    return first + (b"\xff\xda" + last) * (number - first.count(b"\xff\xda")) + b"\xff\xd9"


# Files that Pillow reads -> what is suspect about them, "" for nothing.
ODD = {
    "zeros between segments": (after_header(JPEG, b"\0\0"), "2 bytes stand between its segments"),
    "text between segments": (after_header(JPEG, b"<!-- -->"), "8 bytes stand between its segments"),
    "an escaped 0xff between segments": (after_header(JPEG, b"\xff\0"), "2 bytes stand between its segments"),
    "padding between segments": (after_header(JPEG, b"\xff" * 9), ""),
    "bytes before each later segment": (
        JPEG.replace(b"\xff\xdb", b"\0\0\0\xff\xdb").replace(b"\xff\xc4", b"\0\xff\xc4"),
        "10 bytes stand between its segments",
    ),
    "an odd revision of JFIF": (JPEG[:11] + b"\x09" + JPEG[12:], ""),
    "a revision of JFIF and rubbish": (
        after_header(JPEG[:11] + b"\0" + JPEG[12:], b"\0" * 4),
        "4 bytes stand between its segments",
    ),
    "a wrong ICC marker": (after_header(JPEG, segment(0xE2, b"ICC_PROFILE\0\5\2abcd")), ""),
    "Adobe's transform 2": (JPEG[:2] + adobe(2) + JPEG[END:], ""),
    "Adobe's transform 7": (JPEG[:2] + adobe(7) + JPEG[END:], ""),
    "a comment of wrong length": (after_header(JPEG, b"\xff\xfe\0\0"), ""),
    "sampling 3x1": (sampled(0x31), ""),
    "sampling 1x4": (sampled(0x14), ""),
    "progressive": (saved("JPEG", progressive=True), ""),
    "grey": (saved("JPEG", picture()[..., 0]), ""),
    "CMYK": (saved("JPEG", Image.fromarray(picture()).convert("CMYK")), ""),
    "CMYK with rubbish": (
        after_header(saved("JPEG", Image.fromarray(picture()).convert("CMYK")), b"\0\0\0"),
        "3 bytes stand between its segments",
    ),
    "rotated with rubbish": (
        after_header(with_orientation(JPEG, 6), b"\0\0"),
        "2 bytes stand between its segments",
    ),
    "rotated by XMP": (after_header(JPEG, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)), ""),
    "an EXIF without its magic number": (with_orientation(JPEG, 6).replace(b"II*\0", b"II.\0"), ""),
    "bytes behind the end": (JPEG + bytes(100), ""),
    "two images in one file": (JPEG + LARGE, ""),
    "bytes left over": (
        JPEG[:-2] + b"\0" * 40 + JPEG[-2:],
        "Corrupt JPEG data: 33 extraneous bytes before marker 0xd9",
    ),
    "PNG with bytes behind its end": (PNG + b"\0" * 500, ""),
    "PNG of 16 bits": (
        PNG[:8]
        + chunk(b"IHDR", PNG[16:24] + b"\x10" + PNG[25:29])
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.repeat(2, -1).tobytes() for row in picture())))
        + chunk(b"IEND", b""),
        "",
    ),
    "PNG with a palette": (saved("PNG", PALETTE), ""),
    "PNG with a transparent color": (saved("PNG", PALETTE, transparency=3), ""),
    "PNG with transparent colors": (saved("PNG", PALETTE, transparency=bytes(range(0, 256, 8))), ""),
    "grey PNG with a transparent level": (saved("PNG", picture()[..., 0], transparency=9), ""),
    "grey PNG with alpha": (saved("PNG", Image.fromarray(picture()).convert("LA")), ""),
    "PNG of 1 bit": (saved("PNG", Image.fromarray(picture()).convert("1")), ""),
    "rotated PNG": (PNG[:33] + chunk(b"eXIf", with_orientation(JPEG, 6)[12:38]) + PNG[33:], ""),
    "PNG rotated by XMP": (PNG[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + PNG[33:], ""),
    "PNG with an unknown chunk": (PNG[:33] + chunk(b"zzZz", b"hello") + PNG[33:], ""),
    "PNG without its end": (PNG[:-12], "the file ends early"),
    "PNG with a wrong checksum of its pixels": (
        PNG[:-16] + b"\0\0\0\0" + PNG[-12:],
        "its chunk 'IDAT' differs from its checksum",
    ),
    "PNG with a wrong last checksum": (PNG[:-4] + b"\0\0\0\0", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_shows_what_pillow_shows(name: str) -> None:
    data, suspect = ODD[name]
    expected = reference(data)
    assert expected is not None
    pixels, complaint = decode.inspect(data, MOST)
    assert complaint == suspect
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= 1
    top, left, side, _ = box = crop.centre_box(pixels.shape[0], pixels.shape[1], 0.875)
    out = np.zeros((side, side, 3), np.uint8)
    decode.crop_into(data, lambda h, w: box, out, MOST)
    assert np.abs(out.astype(int) - expected[top : top + side, left : left + side]).max() <= 1


def test_pixels_that_pillow_alone_does_not_reach_are_read_too() -> None:
    progressive = saved("JPEG", quality=90, progressive=True)
    for data, suspect in [
        (JPEG[:2] + b"AB" + JPEG[2:], "2 bytes stand between its segments"),
        (after_header(JPEG, b"ABCDE\xff\0F"), "8 bytes stand between its segments"),
        (JPEG[:-2], "Premature end of JPEG file"),  # its end marker alone is missing
        (progressive[:-2], "Premature end of JPEG file"),
    ]:
        pixels, complaint = decode.inspect(data, MOST)
        assert complaint == suspect
        assert np.abs(pixels.astype(int) - reference(JPEG)).max() <= 1


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
@pytest.mark.parametrize("name", ["zeros between segments", "Adobe's transform 2", "bytes left over"])
def test_packing_encodes_a_suspect_file_anew(name: str, encoding: str) -> None:
    record, height, width = pack_image(ODD[name][0], Packing(encoding=encoding), MOST)
    assert (height, width) == (48, 64)
    if encoding == "raw":
        pixels = np.frombuffer(record, np.uint8).reshape(48, 64, 3)
    else:
        assert record != ODD[name][0]
        pixels, complaint = decode.inspect(record, MOST)
        assert complaint == ""
    assert np.abs(pixels.astype(int) - reference(ODD[name][0])).mean() <= 1.5


def test_a_png_whose_text_or_date_is_damaged_is_read() -> None:
    for extra in (
        chunk(b"tIME", b"\x07\xe8\1\1\0\0\0", 1),
        chunk(b"zTXt", b"a\0\0xyz"),
        chunk(b"iCCP", b"a\0\0x"),
    ):
        pixels, complaint = decode.inspect(PNG[:33] + extra + PNG[33:], MOST)
        np.testing.assert_array_equal(pixels, picture())
        assert complaint == ""


def test_pixels_left_undecoded_are_damage() -> None:
    amid = bytearray(LARGE)
    at = LARGE.index(b"\xff\xda") + 400
    amid[at : at + 2] = b"\xff\xe3"
    for data, message in [
        (bytes(amid), "premature end of data segment"),
        (LARGE[:-300], "Premature end of JPEG file"),
        (after_header(LARGE, b"\0\0")[:-300], "Premature end of JPEG file"),
        (after_header(bytes(amid), b"\0\0"), "premature end of data segment"),
        (PNG[:-40], "the file ends early"),
        (PNG[:50] + bytes(9) + PNG[59:], "differs from its checksum"),
    ]:
        with pytest.raises(BadImage, match=f"it is damaged: .*{message}"):
            decode.inspect(data, MOST)


def test_a_bad_code_amid_the_pixels_is_suspect() -> None:
    tried, good = 0, saved("JPEG", picture(300, 400), quality=90, optimize=True)
    for at in range(good.index(b"\xff\xda") + 100, len(good) - 100, 97):
        data = bytearray(good)
        data[at] = 0xFE  # never a marker
        if (expected := reference(bytes(data))) is None:
            continue
        try:
            pixels, complaint = decode.inspect(bytes(data), MOST)
        except BadImage:  # its bits ended before its pixels
            continue
        assert np.abs(pixels.astype(int) - expected).max() <= 1
        tried += complaint == "Corrupt JPEG data: bad Huffman code"
    assert tried > 5


def test_scans_are_bounded() -> None:
    progressive = saved("JPEG", progressive=True)
    assert decode.inspect(scans(progressive, SCANS), MOST)[1].startswith("Inconsistent progression sequence")
    for data in (scans(progressive, 2000), after_header(scans(progressive, 2000), b"\0\0")):
        with pytest.raises(BadImage, match="at most 500 scans, got 2000"):
            decode.inspect(data, MOST)
        with pytest.raises(BadImage, match="at most 500 scans, got 2000"):
            decode.crop_into(data, lambda h, w: (0, 0, h, w), np.zeros((9, 9, 3), np.uint8), MOST)
    with pytest.raises(BadImage, match="at most 50 scans, got 60"):  # the largest image that may be read
        decode.inspect(scans(progressive, 60), 48 * 64)
