"""Seconds that `resnet-launch board` takes for many runs, the first time and again.

    python bench/board.py [--runs 300] [--rows 2000]

The runs are made here: --rows lines of metrics.jsonl each, of which one in ten is an evaluation. The first
call reads them all; the second finds their rows in the cache; before the third one run has logged a line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "trainer"))


def make(folder: Path, number: int, rows: int) -> None:
    """Write one run directory with ``rows`` lines of metrics."""
    import board_runs

    run = board_runs.make(folder / f"run-{number}", f"run-{number}", 0.5, train__seed=number)
    lines = []
    for step in range(1, rows + 1):
        row = {"kind": "train", "step": step, "epoch": step / 100, "loss": 2.0 / step, "accuracy": 0.4}
        row |= {"lr": 0.1, "at": 1000.0 + step, "images_per_second": 1000.0, "grad_norm": 1.0}
        if step % 10 == 0:
            row = {"kind": "evaluate", "step": step, "epoch": step / 100, "accuracy": 0.5, "loss": 1.0}
        lines.append(row)
    board_runs.lines(run / "metrics.jsonl", lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--rows", type=int, default=2000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for number in range(args.runs):
            make(root / "runs", number, args.rows)
        command = [sys.executable, "-m", "launcher", "board", str(root / "runs"), "-o", str(root / "b.html")]
        environment = os.environ | {"RESNET_CACHE": str(root / "cache")}
        print(f"{args.runs} runs of {args.rows} lines, load {os.getloadavg()[0]:.1f}")
        print(f"{'call':<22}{'seconds':>9}{'CPU s':>9}{'page MB':>9}")
        for call in ("first", "again", "one run has gone on"):
            if call.startswith("one"):
                with open(root / "runs" / "run-0" / "metrics.jsonl", "a", encoding="utf-8") as file:
                    file.write(json.dumps({"kind": "evaluate", "step": 10**6, "accuracy": 0.9}) + "\n")
            before, begun = os.times(), time.monotonic()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            seconds, after = time.monotonic() - begun, os.times()
            cpu = sum(after[2:4]) - sum(before[2:4])
            size = (root / "b.html").stat().st_size / 1e6
            print(f"{call:<22}{seconds:>9.2f}{cpu:>9.2f}{size:>9.1f}")


if __name__ == "__main__":
    main()
