"""A folder of any kind of image that is read gives what a folder of the same pixels as PNG gives."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import picture, png
from PIL import Image

from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.__main__ import main

WHOLE: dict[str, Any] = {"image_size": 32, "min_area": 1.0, "eval_crop": 1.0, "bad_images": 0}
SAVED: dict[str, dict[str, Any]] = {
    ".webp": {"format": "WEBP", "lossless": True},
    ".WEBP": {"format": "WEBP", "quality": 90},
    ".tif": {"format": "TIFF"},
    ".tiff": {"format": "TIFF", "compression": "tiff_lzw"},
    ".bmp": {"format": "BMP"},
    ".gif": {"format": "GIF"},
    ".avif": {"format": "AVIF", "quality": 90},
    ".ppm": {"format": "PPM"},
    ".jfif": {"format": "JPEG", "quality": 100, "subsampling": 0},
    ".jpe": {"format": "JPEG", "quality": 100, "subsampling": 0},
}


def encoded(pixels: np.ndarray, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.quantize(64) if options["format"] == "GIF" else image).save(buffer, **options)
    return buffer.getvalue()


def photos(root: Path, suffix: str, options: dict[str, Any]) -> tuple[Path, Path]:
    """A folder of one kind, and one of the pixels that Pillow reads from its files."""
    for split in ("train", "val"):
        for label in range(2):
            for number in range(3):
                shown = np.roll(picture(40, 48), 7 * number + 20 * label, axis=1)
                data = encoded(shown, options)
                pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
                for kind, name, content in (("kind", suffix, data), ("png", ".png", png(pixels))):
                    path = root / kind / split / f"class {label}" / f"{number}{name}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
    return root / "kind", root / "png"


@pytest.mark.parametrize("suffix", SAVED)
def test_each_kind_is_read_verified_and_packed(tmp_path: Path, suffix: str, capsys) -> None:
    kind, reference = photos(tmp_path, suffix, SAVED[suffix])
    most = 4 if SAVED[suffix]["format"] == "JPEG" else 0  # two decoders of JPEG round differently
    for split in ("train", "test"):
        images, labels = datasets.load(DataConfig(name=str(kind), **WHOLE), split).gather(np.arange(6))
        expected, _ = datasets.load(DataConfig(name=str(reference), **WHOLE), split).gather(np.arange(6))
        assert list(labels) == [0, 0, 0, 1, 1, 1]
        assert np.abs(images.astype(int) - expected).max() <= most
        assert images.max() > 200
    assert main(["stats", str(kind), "--json"]) == 0
    train = json.loads(capsys.readouterr().out)["splits"]["train"]
    assert (train["images"], train["damaged"], train["median_pixels"]) == (6, 0, [48, 40])
    assert train["passed_over"] == {"system": 0, "unread": {}, "other": {}, "unlisted": 0}
    assert main(["verify", str(kind)]) == 0
    assert "bad: 0, suspect: 0" in capsys.readouterr().out
    raw = []
    for folder in (kind, reference):
        target = tmp_path / f"{folder.name}-packed"
        assert main(["pack", str(folder), str(target), "--raw", "32"]) == 0
        raw.append(datasets.load(DataConfig(name=str(target), **WHOLE), "train").gather(np.arange(6))[0])
    assert np.abs(raw[0].astype(int) - raw[1]).max() <= most


def test_a_content_of_another_kind_than_the_name_is_read(tmp_path: Path) -> None:
    for split in ("train", "val"):
        path = tmp_path / split / "a" / "1.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(encoded(picture(), SAVED[".webp"]))
    images, _ = datasets.load(DataConfig(name=str(tmp_path), **WHOLE), "train").gather(np.arange(1))
    assert images.max() > 200
