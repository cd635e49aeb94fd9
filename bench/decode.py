"""Every image file of a folder, decoded by the trainer and by Pillow: what differs, hangs, is refused.

    python bench/decode.py FOLDER [--mutations 20] [--seed 0] [--seconds 10]

Each file is decoded in a child process with a deadline of its own. With --mutations each is also tried with
that many seeded changes: bytes flipped, inserted, cut off. A row is "wrong" where the centre crop of a full
decode differs by more than one level on average, "unfilled" where it depends on what was in memory before,
and "listed" where it differs and `data verify` calls the file suspect. Of 16 bits per channel both show the
upper 8.
"""

from __future__ import annotations

import argparse
import collections
import io
import multiprocessing
import os
import random
import sys
import time
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "trainer"))

from odd_files import mutated  # noqa: E402

from trainer.data.encoded import BadImage  # noqa: E402
from trainer.data.images import crop, decode, kinds  # noqa: E402

MAX_PIXELS = 100_000_000
CROP = 0.875  # of the shorter side, as evaluation shows it
ROWS = {
    "same": "as Pillow's, within one level on average",
    "listed": "differs, and `data verify` lists it as suspect",
    "wrong": "differs, and nothing tells",
    "refused": "refused, though Pillow reads it",
    "more": "read, though Pillow refuses it",
    "neither": "refused by both",
    "unfilled": "depends on what was in memory before",
    "crash": "the process ended",
    "hang": "took longer than the deadline",
    "slow": "Pillow took longer than the deadline",
}


def pillow(data: bytes) -> np.ndarray | str:
    """The first frame, upright, [H, W, 3] uint8; or why Pillow refuses it."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                return "too large"
            image.load()
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):
                return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, -1)
            image.info.pop("transparency", None)
            return np.array(image.convert("RGB"))
    except Exception as error:
        return f"{type(error).__name__}: {str(error).partition(' <_io')[0]}"


def ours(data: bytes, fill: int) -> tuple[np.ndarray, np.ndarray, str]:
    """All pixels, the centre crop as evaluation shows it at its own size, and what is suspect.

    Memory that is taken without being filled holds ``fill``.
    """
    box: list[crop.Box] = []

    def choose(height: int, width: int) -> crop.Box:
        return box[0]

    empty = np.empty
    np.empty = lambda shape, dtype=float: np.full(shape, fill, dtype)  # type: ignore[assignment]
    try:
        decode.SCRATCH.pixels[:] = fill
        pixels, suspect = decode.inspect(data, MAX_PIXELS)
        box.append(crop.centre_box(pixels.shape[0], pixels.shape[1], CROP))
        out = np.full((box[0][2], box[0][2], 3), fill, np.uint8)
        decode.SCRATCH.pixels[:] = fill
        decode.crop_into(data, choose, out, MAX_PIXELS)
    finally:
        np.empty = empty
    return pixels, out, suspect


def compare(data: bytes, pipe: Connection) -> tuple[str, str]:
    """The row of a file, and its reason or difference; tells the pipe when the trainer is done with it."""
    refusal = ""
    try:
        pixels, out, suspect = ours(data, 0)
        again = ours(data, 0xAB)
    except BadImage as error:
        refusal = str(error)
    pipe.send("decoded")
    reference = pillow(data)
    if refusal:
        return ("neither" if isinstance(reference, str) else "refused"), refusal
    if not (np.array_equal(pixels, again[0]) and np.array_equal(out, again[1])):
        return "unfilled", ""
    if isinstance(reference, str):
        return "more", f"{suspect or 'nothing suspect'} (Pillow: {reference})"
    if pixels.shape != reference.shape:
        return "listed" if suspect else "wrong", f"{pixels.shape} against {reference.shape}"
    top, left, height, width = crop.centre_box(reference.shape[0], reference.shape[1], CROP)
    expected = reference[top : top + height, left : left + width].astype(int)
    off = max(
        np.abs(pixels[top : top + height, left : left + width] - expected).mean(),
        np.abs(out - expected).mean(),
    )
    return ("same", suspect) if off <= 1 else ("listed" if suspect else "wrong", f"by {off:.1f} levels")


def child(pipe: Connection) -> None:
    """Answer each file with its row."""
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the libraries' own lines
    while True:
        pipe.send(compare(pipe.recv(), pipe))


class Child:
    """A child process that can be replaced."""

    def __init__(self):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=child, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def row(self, data: bytes, seconds: float) -> tuple[str, str]:
        self.pipe.send(data)
        for row in ("hang", "slow"):
            if not self.pipe.poll(seconds):
                self.process.kill()
                return row, f"more than {seconds:g} s"
            try:
                answer = self.pipe.recv()
            except EOFError:
                self.process.join()
                return "crash", f"exit code {self.process.exitcode}"
        return answer


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Files that are images by their content or by their name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if kinds.image_kind(data) or kinds.suffix_kind(path.name):
                yield str(path.relative_to(folder)), data


def tried(folder: Path, mutations: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Each file, and its mutations."""
    for name, data in files(folder):
        yield name, data
        for number in range(mutations if data else 0):
            yield f"{name} #{number}", mutated(data, random.Random(f"{seed} {name} {number}"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--mutations", type=int, default=0, metavar="N", help="per file; default 0")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the mutations; default 0")
    parser.add_argument("--seconds", type=float, default=10.0, help="deadline per file; default 10")
    parser.add_argument("--names", type=int, default=20, metavar="N", help="names per reason; default 20")
    args = parser.parse_args()
    if not any(True for _ in files(args.folder)):
        parser.error(f"FOLDER must hold image files, got {str(args.folder)!r}")
    counts: collections.Counter[str] = collections.Counter()
    reasons: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    worker, slowest = Child(), (0.0, "")
    for name, data in tried(args.folder, args.mutations, args.seed):
        start = time.monotonic()
        row, reason = worker.row(data, args.seconds)
        slowest = max(slowest, (time.monotonic() - start, name))
        if row in ("hang", "slow", "crash"):
            worker = Child()
        counts[row] += 1
        if row in ("listed", "wrong", "refused", "more", "unfilled", "crash", "hang", "slow"):
            reasons[row, reason].append(name)
    print(f"{counts.total()} files and mutations of {args.folder}")
    for row, text in ROWS.items():
        print(f"{counts[row]:>8}  {row:<9} {text}")
    print(f"slowest: {slowest[0]:.1f} s, {slowest[1]}")
    for (row, reason), names in sorted(reasons.items()):
        print(f"\n{row}: {reason} ({len(names)})", *names[: args.names], sep="\n  ")


if __name__ == "__main__":
    main()
