"""Accuracy and seconds of the recipe vit-digits with three seeds: `python bench/vit_digits.py --seeds 3`."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def run(seed: int, folder: Path) -> tuple[float, float, float]:
    """Return (accuracy, seconds of the clock, processor seconds) of a run; the seconds begin with it.

    Args:
      seed: seed of the run.
      folder: run directory.
    """
    command = [sys.executable, "-m", "trainer", "--run-dir", str(folder), "--seed", str(seed)]
    command += ["--arch", "vit-tiny", "--data", "digits", "--recipe", "vit-digits", "--set", "log.wandb=off"]
    command += ["--set", "log.every_steps=1000", "--set", "train.compile_cache=off"]
    before = os.times()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    after = os.times()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return events[-1]["accuracy"], after.elapsed - before.elapsed, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="runs, with seeds from 0")
    count = parser.parse_args().seeds
    print("| seed | accuracy, % | seconds | processor seconds |\n| --- | ---: | ---: | ---: |")
    accuracies = []
    for seed in range(count):
        with tempfile.TemporaryDirectory() as folder:
            accuracy, seconds, used = run(seed, Path(folder))
        accuracies.append(100 * accuracy)
        print(f"| {seed} | {100 * accuracy:.1f} | {seconds:.0f} | {used:.0f} |", flush=True)
    print(f"\nmean {statistics.mean(accuracies):.1f} %, {min(accuracies):.1f} to {max(accuracies):.1f} %")


if __name__ == "__main__":
    main()
