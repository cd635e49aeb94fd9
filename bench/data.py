"""Image loading beside torchvision, tf.data and bare decoders, in turn: the same files, crops and sizes.

    python bench/data.py [--seconds 8] [--rounds 3] [--only TEXT] [--turns FILE] [--memory N]

The images are the colour JPEGs of at least 256 pixels in Debian's package opencv-doc, and packed copies of
them. Every side runs in a process of its own, on one core and then on two. Other libraries get environments
of their own in the cache folder. A core-second is one second of work on one core. It excludes the time that
other programs take, so read it on a busy machine.

A round takes 20 turns. `--turns` appends each turn to a file and includes the turns already there, so a table
can be measured in parts. `--rounds 0` prints the table of the file without measuring.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import simplejpeg

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("RESNET_CACHE") or Path.home() / ".cache" / "resnet-launch")
ORIGIN = Path("/usr/share/doc/opencv-doc")
PHOTOS = CACHE / "data-bench" / "photos"
COPIES = {"packed": ["--short-side", "256", "--quality", "90"], "raw": ["--raw", "256"]}
# name in the table: (script, its mode, copy of the images)
SIDES = {
    "ours, image folder": ("ours", "ours", "photos"),
    "bare loop: simplejpeg, OpenCV": ("ours", "bare", "photos"),
    "ours, processes (batches not handed over)": ("ours", "processes", "photos"),
    "torchvision DataLoader, PIL": ("torch", "pil", "photos"),
    "torchvision DataLoader, torchvision.io": ("torch", "io", "photos"),
    "tf.data, decode_and_crop_jpeg": ("tf", "tf", "photos"),
    "tf.data, antialiased like the others": ("tf", "antialias", "photos"),
    "ours, packed to 256": ("ours", "ours", "packed"),
    "bare loop on packed": ("ours", "bare", "packed"),
    "ours, raw 256": ("ours", "ours", "raw"),
}
REFERENCE = "ours, image folder"


def prepare() -> None:
    """Make the folder of images and its packed copies where they are missing."""
    if not ORIGIN.is_dir():
        raise SystemExit("error: opencv-doc must be installed\nhint: apt-get install opencv-doc")
    if not (PHOTOS / "ready").exists():
        shutil.rmtree(PHOTOS, ignore_errors=True)
        files = [path.read_bytes() for path in sorted(ORIGIN.rglob("*.jp*g")) if path.is_file()]
        for number, data in enumerate([data for data in files if fits(data)]):
            path = PHOTOS / ("val" if number % 10 == 0 else "train") / "photo" / f"{number:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (PHOTOS / "ready").touch()
    for name, flags in COPIES.items():
        command = [
            sys.executable,
            "-m",
            "trainer.data",
            "pack",
            str(PHOTOS),
            str(PHOTOS.parent / name),
            *flags,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=HERE.parent)


def fits(data: bytes) -> bool:
    """Return whether a file is a colour JPEG whose sides are at least 256 pixels."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    except (ValueError, KeyError):
        return False
    return min(height, width) >= 256 and colours == "YCbCr"


def interpreter(script: str) -> Path:
    """Return the Python of the environment that a script needs, which is made where it is missing."""
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


def run(side: str, cores: int, amount: float, mode: str = "") -> str:
    """Return what a side prints on this many cores; `amount` is seconds, or batches in the mode memory."""
    script, usual, copy = SIDES[side]
    command = [str(interpreter(script)), str(HERE / f"data_{script}.py"), mode or usual]
    command += [str(PHOTOS.parent / copy), str(cores), str(amount)]
    done = subprocess.run(
        ["taskset", "--cpu-list", f"0-{cores - 1}", *command],
        env={**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}", "JAX_PLATFORMS": "cpu"},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=3600,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def take_turns(sides: list[str], seconds: float, rounds: int, file: Path) -> None:
    """Measure all sides in each round, one after the other, and append each turn to the file."""
    for _ in range(rounds):
        for side in sides:
            for cores in (1, 2):
                clock, core = map(float, run(side, cores, seconds).split())
                with file.open("a") as turns:
                    turns.write(
                        json.dumps({"side": side, "cores": cores, "clock": clock, "core": core}) + "\n"
                    )


def table(turns: list[dict[str, Any]]) -> None:
    """Print a row per side: medians over its turns."""

    def median(side: str, cores: int, rate: str) -> float:
        rates = [turn[rate] for turn in turns if (turn["side"], turn["cores"]) == (side, cores)]
        return statistics.median(rates) if rates else math.nan

    rates = "images/s | images per core-second"
    print(f"| | turns | 1 core: {rates} | 2 cores: {rates} | 2 cores / 1 core | ours / this |")
    print("| --- " + "| ---: " * 7 + "|")
    for side in SIDES:
        count = sum(turn["side"] == side for turn in turns) // 2
        slow, one, fast, two = (median(side, cores, rate) for cores in (1, 2) for rate in ("clock", "core"))
        ratio = median(REFERENCE, 1, "core") / one
        cells = f"{slow:,.0f} | {one:,.0f} | {fast:,.0f} | {two:,.0f} | {fast / slow:.2f} | {ratio:.2f}"
        print(f"| {side} | {count} | {cells} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8, help="length of each turn (default: 8)")
    parser.add_argument("--rounds", type=int, default=3, help="turns per side (default: 3)")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="measure only sides whose names contain this text"
    )
    parser.add_argument(
        "--turns",
        type=Path,
        metavar="FILE",
        help="append turns to this file and include those in it (default: none)",
    )
    parser.add_argument(
        "--memory", type=int, default=0, metavar="N", help="measure memory over N batches instead"
    )
    args = parser.parse_args()
    prepare()
    if args.memory:
        print("| batches of 64 | resident MiB | seconds |\n| ---: | ---: | ---: |")
        print(run("ours, packed to 256", 2, args.memory, mode="memory"), end="")
        return
    with tempfile.TemporaryDirectory() as folder:
        file = args.turns or Path(folder, "turns.jsonl")
        take_turns([side for side in SIDES if args.only in side], args.seconds, args.rounds, file)
        table([json.loads(line) for line in file.read_text().splitlines()])


if __name__ == "__main__":
    main()
