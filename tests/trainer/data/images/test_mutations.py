"""Seeded byte flips, insertions and truncations of JPEG, PNG and WebP files.

Each mutation is refused, or shows what Pillow shows, or is listed as suspect. What memory held before changes
nothing.
"""

import random
import time

import numpy as np
import pytest
from odd_files import adobe, after_header, mutated, reference, saved
from pictures import picture, with_orientation
from PIL import Image

from trainer.data.encoded import BadImage
from trainer.data.images import crop, decode

SMALL = picture(24, 32)
NOISE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
SEEDS = {
    "jpeg": saved("JPEG", SMALL),
    "noisy jpeg": saved("JPEG", NOISE, quality=95),
    "jpeg with short codes": saved("JPEG", NOISE, optimize=True),
    "progressive jpeg": saved("JPEG", NOISE, progressive=True),
    "jpeg with restarts": saved("JPEG", NOISE, restart_marker_blocks=2),
    "grey jpeg": saved("JPEG", NOISE[..., 0]),
    "cmyk jpeg": saved("JPEG", Image.fromarray(SMALL).convert("CMYK")),
    "rotated jpeg": with_orientation(saved("JPEG", SMALL), 6),
    "odd jpeg": after_header(saved("JPEG", NOISE), b"\0\0" + adobe(2)),
    "png": saved("PNG", NOISE),
    "palette png": saved("PNG", Image.fromarray(SMALL).quantize(16), transparency=3),
    "png with alpha": saved("PNG", Image.fromarray(SMALL).convert("RGBA")),
    "webp": saved("WEBP", NOISE, quality=80),
    "lossless webp": saved("WEBP", SMALL, lossless=True),
    "webp with alpha": saved("WEBP", Image.fromarray(SMALL).convert("RGBA"), exif=b"Exif\0\0II*\0\x08\0\0\0"),
}
EACH = 300  # 15 x 300 = 4,500 mutations
MOST = 1_000_000
SECONDS = 5.0


def decoded(data: bytes, fill: int) -> tuple[np.ndarray, np.ndarray, str]:
    """All pixels, a crop at its own size, and what is suspect; ``fill`` is what memory held before."""
    decode.SCRATCH.pixels = np.full(MOST, fill, np.uint8)
    pixels, suspect = decode.inspect(data, MOST)
    box = crop.centre_box(pixels.shape[0], pixels.shape[1], 0.875)
    out = np.full((box[2], box[2], 3), fill, np.uint8)
    decode.crop_into(data, lambda h, w: box, out, MOST)
    return pixels, out, suspect


@pytest.mark.parametrize("name", SEEDS)
def test_a_mutation_is_refused_or_shows_what_pillow_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, readable, fill = random.Random(name), 0, 0
    reasons: list[str] = []
    monkeypatch.setattr(np, "empty", lambda shape, dtype=float: np.full(shape, fill, dtype))
    for number in range(EACH):
        data = mutated(SEEDS[name], draw)
        start = time.monotonic()
        try:
            fill = 0
            pixels, out, suspect = decoded(data, fill)
            fill = 171
            again = decoded(data, fill)
        except BadImage as error:
            reasons.append(str(error))
            continue
        finally:
            assert time.monotonic() - start < SECONDS, number
        readable += 1
        assert (pixels.tobytes(), out.tobytes()) == (again[0].tobytes(), again[1].tobytes()), number
        expected = reference(data)
        top, left, side, _ = crop.centre_box(pixels.shape[0], pixels.shape[1], 0.875)
        assert np.abs(out.astype(int) - pixels[top : top + side, left : left + side]).mean() <= 1, number
        if not suspect and expected is not None:
            assert pixels.shape == expected.shape, number
            assert np.abs(pixels.astype(int) - expected).mean() <= 1, number
    assert readable + len(reasons) == EACH
    assert min(readable, len(reasons)) > 0
    assert all(reason.isprintable() and len(reason) < 200 for reason in reasons)
