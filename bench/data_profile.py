"""Where the time of an image goes: each stage alone, in one thread, by the size of photo and crop.

    python bench/data_profile.py [--rounds 3]

The images are those of bench/data.py, which must have been run before. Each photo has the random crop of one
epoch, resized to 224 pixels. Figures are microseconds of processor time per image, the least of the rounds.
Entropy decoding is the time of a decode at 1/8, which does little else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from data import PHOTOS  # pyright: ignore
from data_ours import SIDE

from trainer.config import DataConfig
from trainer.data.encoded import Encoded
from trainer.data.formats import detect
from trainer.data.images import crop, decode, decoded, jpeg, turbo
from trainer.data.images.resize import resize_area, resize_fast

MOST = 10**8  # pixels


class Photo:
    """A file, its random crop, and what each stage reads."""

    def __init__(self, source: Encoded, index: int):
        config = DataConfig(image_size=SIDE)
        self.source, self.index = decoded.as_source(source, config), np.array([index])
        self.read = lambda: source.read(index)
        self.data = bytes(source.read(index)[0])
        self.draws = crop.draws(0, np.zeros(1, int), self.index)
        (height, width), _ = turbo.read_size(self.data, MOST) or ((0, 0), "")
        self.pixels, header = height * width, jpeg.read_header(self.data)
        self.progressive = not header.height_offset
        box = crop.random_box(height, width, self.draws[0].tolist(), config.min_area)
        self.share = box[2] * box[3] / self.pixels
        eighths = decode._eighths((height, width), box, SIDE)
        rows = box[0] + box[2] + -(-decode.EXTRA_ROWS * 8 // eighths)
        self.cut = bytes(jpeg.cut_rows(self.data, header, height, rows)[0])
        decoded_part = decode._decode_part(self.data, header, (height, width), box, SIDE)
        assert decoded_part, "the files of bench/data.py are undamaged"
        array, (top, left, rows, columns) = decoded_part
        self.eighths = eighths
        self.part = array[top : top + rows, left : left + columns].copy()
        self.out = np.empty((SIDE, SIDE, 3), np.uint8)

    def decode(self, eighths: int, colours: str) -> None:
        """Decode down to the last row of the crop."""
        height, width, _, _ = simplejpeg.decode_jpeg_header(self.cut)
        shape = decode._scaled(int(height), eighths), decode._scaled(int(width), eighths)
        pixels = decode.SCRATCH.array(*shape, 1 if colours == "GRAY" else 3)
        options = {"min_height": shape[0], "min_width": shape[1], "min_factor": 2} if eighths < 8 else {}
        turbo.decode(self.cut, pixels, colorspace=colours, **options)


def microseconds(photos: list[Photo], stage: Callable[[Photo], object], rounds: int) -> float:
    """Processor time of a stage per photo, the least of the rounds after one that is not counted."""
    times = []
    for _ in range(rounds + 1):
        started = time.process_time()
        for photo in photos:
            stage(photo)
        times.append((time.process_time() - started) / len(photos) * 1e6)
    return min(times[1:])


def row(name: str, photos: list[Photo], rounds: int) -> str:
    """The table's row of a group of photos."""

    def measure(stage: Callable[[Photo], object]) -> float:
        return microseconds(photos, stage, rounds)

    reading = measure(lambda photo: photo.read())
    entropy = measure(lambda photo: photo.decode(1, "RGB"))
    luma = measure(lambda photo: photo.decode(photo.eighths, "GRAY"))
    colour = measure(lambda photo: photo.decode(photo.eighths, "RGB"))
    fast = measure(lambda photo: resize_fast(photo.part, photo.out))
    area = measure(lambda photo: resize_area(photo.part, photo.out))
    whole = measure(lambda photo: photo.source.gather(photo.index, photo.draws))
    luma, colour = max(luma, entropy), max(colour, luma, entropy)
    stages = [reading, entropy, luma - entropy, colour - luma, fast, whole - reading - colour - fast, whole]
    cells = " | ".join(f"{value:,.0f}" for value in [*stages, area])
    megapixels = np.mean([photo.pixels for photo in photos]) / 1e6
    kilobytes = np.mean([len(photo.data) for photo in photos]) / 1e3
    return f"| {name} | {len(photos)} | {megapixels:.2f} | {kilobytes:.0f} | {cells} |"


def load(path: Path) -> list[Photo]:
    source = detect.encoded(detect.find(str(path)), "train", DataConfig(name=str(path)))
    return [Photo(source, index) for index in range(source.size)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds per stage (default: 3)")
    rounds = parser.parse_args().rounds
    photos = load(PHOTOS)
    usual = [photo for photo in photos if not photo.progressive]
    groups = {
        "all": photos,
        "one scan, below 0.2 megapixels": [photo for photo in usual if photo.pixels < 2e5],
        "one scan, 0.2 to 0.5 megapixels": [photo for photo in usual if 2e5 <= photo.pixels < 5e5],
        "one scan, 0.5 megapixels and more": [photo for photo in usual if photo.pixels >= 5e5],
        "one scan, crop below 1/4 of the area": [photo for photo in usual if photo.share < 0.25],
        "one scan, crop of 1/4 to 1/2": [photo for photo in usual if 0.25 <= photo.share < 0.5],
        "one scan, crop of 1/2 and more": [photo for photo in usual if photo.share >= 0.5],
        "progressive": [photo for photo in photos if photo.progressive],
        "packed to 256": load(PHOTOS.parent / "packed"),
    }
    stages = "reading | entropy decoding | IDCT of luma | chroma, color | resize | the rest | whole"
    print(f"| | images | megapixels | kB | {stages} | resize by area |")
    print("| --- " + "| ---: " * 11 + "|")
    for name, group in groups.items():
        print(row(name, group, rounds), flush=True)


if __name__ == "__main__":
    main()
