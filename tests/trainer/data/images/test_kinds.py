"""Kinds of image files by their first bytes, and by the suffixes of their names."""

import io

import numpy as np
import pytest
from pictures import jpeg, picture, png
from PIL import Image

from trainer.data.images import kinds
from trainer.data.images.kinds import image_kind, refusal, suffix_kind


def saved(form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_what_an_encoder_writes_is_recognised_by_its_content(form: str) -> None:
    kind = image_kind(saved(form)[: kinds.HEAD_BYTES])
    assert kind is not None
    assert (kind.format, kind.read) == (form, True)


def test_other_encoders_and_the_byte_order_change_nothing() -> None:
    assert image_kind(jpeg(picture())) is kinds.JPEG
    assert image_kind(png(picture())) is kinds.PNG
    assert image_kind(saved("TIFF", big_tiff=True)) is kinds.TIFF
    assert image_kind(b"MM\0*\0\0\0\x08") is kinds.TIFF
    assert image_kind(b"P5\n# a comment\n3 3\n255\n" + bytes(9)) is kinds.PNM


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0mif1", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "camera RAW"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", "video"),
        (b"RIFF\x10\0\0\0AVI LIST", "video"),
        (b"II*\0\x10\0\0\0CR\x02\0", "camera RAW"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- made by hand -->\n<svg>", "SVG"),
        (bytes(128) + b"DICM", "DICOM"),
        (bytes((0, 0, 2, 0, 0, 0, 0, 0, 0, 0)), "Targa"),
        (bytes((0, 0, 2, 0, 1, 0, 32, 32)), "icon"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_other_kinds_are_named(head: bytes, name: str) -> None:
    kind = image_kind(head)
    assert kind is not None
    assert kind.name == name
    assert kind.read == (name == "AVIF")
    assert refusal(head).startswith(f"{name} ")
    assert refusal(head).endswith(": not read; convert it to JPEG")


@pytest.mark.parametrize(
    "data", [b"", b"P", b"P5x", b"RIFF\0\0\0\0WAVE", b"<html>", b"PK\3\4", b"RIFF", b"\0" * 9]
)
def test_what_is_no_image_has_no_kind(data: bytes) -> None:
    assert image_kind(data) is None
    assert refusal(data).startswith(
        "it must be an image (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or PNM), got "
    )


def test_the_refusal_is_one_short_line_for_any_bytes() -> None:
    rng = np.random.default_rng(0)
    for size in rng.integers(0, 200, 300):
        text = refusal(rng.bytes(size))
        assert len(text) < 130
        assert text.isprintable()


def test_suffixes_promise_a_kind_in_any_case() -> None:
    assert suffix_kind("train/cat/1.WebP") is kinds.WEBP
    assert suffix_kind("IMG_0001.HEIC") is kinds.HEIC
    assert suffix_kind("a.b/scan.JFIF") is kinds.JPEG
    assert suffix_kind("notes.txt") is suffix_kind("folder.jpg/README") is None
    assert {".jpg", ".png", ".webp", ".tif", ".avif"} < kinds.READ_SUFFIXES
    assert not {".heic", ".svg", ".dng"} & kinds.READ_SUFFIXES
    assert len(kinds.SUFFIXES) == sum(len(kind.suffixes) for kind in kinds.KINDS)  # none in two kinds
