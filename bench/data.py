"""Loading images beside torchvision, tf.data and the bare decoders: the same files, crops and sizes, in turn.

    python bench/data.py [--seconds 8] [--rounds 3] [--memory 60]

The images are the colour JPEGs of 256 pixels and more in Debian's package opencv-doc, and packed copies of
them. Every side runs in a process of its own, held to one core or to two, in turn; the other libraries in
environments of their own in the cache folder. A core-second is a second of one core's work: it leaves out the
time in which other programs had the cores, and so is the figure to read on a busy machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import simplejpeg

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("RESNET_CACHE") or Path.home() / ".cache" / "resnet-launch")
ORIGIN = Path("/usr/share/doc/opencv-doc")
PHOTOS = CACHE / "data-bench" / "photos"
COPIES = {"packed": ["--short-side", "256", "--quality", "90"], "raw": ["--raw", "256"]}
# What the table calls it: script, way, which copy of the images.
SIDES = {
    "ours, image folder": ("ours", "ours", "photos"),
    "bare loop: simplejpeg, OpenCV": ("ours", "bare", "photos"),
    "ours, processes (batches not handed over)": ("ours", "processes", "photos"),
    "torchvision DataLoader, PIL": ("torch", "pil", "photos"),
    "torchvision DataLoader, torchvision.io": ("torch", "io", "photos"),
    "tf.data, decode_and_crop_jpeg": ("tf", "tf", "photos"),
    "tf.data, antialiased as the others are": ("tf", "antialias", "photos"),
    "ours, packed to 256": ("ours", "ours", "packed"),
    "bare loop on packed": ("ours", "bare", "packed"),
    "ours, raw 256": ("ours", "ours", "raw"),
}
REFERENCE = "ours, image folder"


def prepare() -> None:
    """Makes the folder and its packed copies where they are missing."""
    if not ORIGIN.is_dir():
        raise SystemExit("error: opencv-doc must be installed\nhint: apt-get install opencv-doc")
    if not (PHOTOS / "ready").exists():
        shutil.rmtree(PHOTOS, ignore_errors=True)
        found = [path.read_bytes() for path in sorted(ORIGIN.rglob("*.jp*g")) if path.is_file()]
        for number, data in enumerate([data for data in found if fits(data)]):
            path = PHOTOS / ("val" if number % 10 == 0 else "train") / "photo" / f"{number:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (PHOTOS / "ready").touch()
    for name, flags in COPIES.items():
        words = [sys.executable, "-m", "trainer.data", "pack", str(PHOTOS), str(PHOTOS.parent / name), *flags]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=HERE.parent)


def fits(data: bytes) -> bool:
    """Whether it is a colour JPEG of at least 256 pixels."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, KeyError):
        return False
    return min(height, width) >= 256 and colours == "YCbCr"


def interpreter(script: str) -> Path:
    """Of the environment that a side needs; makes it where it is missing."""
    if script == "ours":
        return Path(sys.executable)
    place = CACHE / f"data-bench-{script}"
    if not (place / "ready").exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "--quiet", "--clear", place], check=True)
        pins = HERE / f"requirements-data-{script}.txt"
        environment = {**os.environ, "VIRTUAL_ENV": str(place)}
        subprocess.run([uv, "pip", "install", "--quiet", "-r", pins], env=environment, check=True)
        (place / "ready").touch()
    return place / "bin" / "python"


def run(side: str, cores: int, seconds: float, way: str = "") -> list[float]:
    """What the side prints, on this many cores."""
    script, usual, copy = SIDES[side]
    words = [str(interpreter(script)), str(HERE / f"data_{script}.py"), way or usual]
    words += [str(PHOTOS.parent / copy), str(cores), str(seconds)]
    done = subprocess.run(
        ["taskset", "--cpu-list", f"0-{cores - 1}", *words],
        env={**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}", "JAX_PLATFORMS": "cpu"},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=seconds + 300,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return [float(word) for word in done.stdout.split()]


def table(seconds: float, rounds: int) -> None:
    """A row a side: medians over the rounds, in which the sides take turns."""
    turns: dict[tuple[str, int], list[list[float]]] = {}
    for _ in range(rounds):
        for side in SIDES:
            for cores in (1, 2):
                turns.setdefault((side, cores), []).append(run(side, cores, seconds))
    middle = {
        key: [statistics.median(column) for column in zip(*found, strict=True)]
        for key, found in turns.items()
    }
    print("| | 1 core: images/s | a core-second | 2 cores: images/s | a core-second | ours / it |")
    print("| --- " + "| ---: " * 5 + "|")
    for side in SIDES:
        (slow, one), (fast, two) = middle[side, 1], middle[side, 2]
        ratio = middle[REFERENCE, 1][1] / one
        print(f"| {side} | {slow:,.0f} | {one:,.0f} | {fast:,.0f} | {two:,.0f} | {ratio:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8, help="of each turn (default: 8)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default: 3)")
    parser.add_argument("--memory", type=float, default=60, help="seconds of the memory run (default: 60)")
    given = parser.parse_args()
    prepare()
    table(given.seconds, given.rounds)
    count, early, late = run("ours, raw 256", 2, given.memory, way="memory")
    print(
        f"\nmemory: {early:,.0f} MiB after a tenth of {count:,.0f} batches of 64, {late:,.0f} MiB at the end"
    )


if __name__ == "__main__":
    main()
