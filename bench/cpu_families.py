"""Training steps of ViT, EfficientNet and ConvNeXt on this CPU beside timm's: the same network and batch.

    python bench/cpu_families.py [--steps 2] [--rounds 3] [--batch 8]

Optimizer and precision are equal too. timm runs on PyTorch, eager and compiled, in the environment of
tools/parity_goldens.py. All three processes of a network are made first and then asked in turn, round by
round, so that a busy machine slows each alike. A core-second is one second of work on one core. Only the
ratios carry over to another machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from tools.parity_goldens import torch_python  # noqa: E402

# ours, timm's name, pixels
CASES = [
    ("vit-s16", "vit_small_patch16_224", 224),
    ("efficientnet-b0", "tf_efficientnet_b0", 224),
    ("convnext-t", "convnext_tiny", 224),
]


def started(command: list[str]) -> subprocess.Popen[str]:
    """Return a process that will be asked for steps; it says when it is ready."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "JAX_PLATFORMS": "cpu"}
    # OpenMP's threads spin while they wait, which would count as work.
    environment["OMP_WAIT_POLICY"] = "PASSIVE"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=environment, text=True, **pipes)


def wait_for(process: subprocess.Popen[str]) -> None:
    """Return once a process has compiled its step and is warm."""
    assert process.stdout
    if not any(line == "ready\n" for line in process.stdout):
        raise SystemExit(f"{process.args} failed")


def steps_of(process: subprocess.Popen[str], steps: int) -> list[float]:
    """Return seconds and core-seconds of these many steps."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    return [float(word) for word in process.stdout.readline().split()]


def rows(case: tuple[str, str, int], batch: int, steps: int, rounds: int) -> list[str]:
    """Return rows of the table: medians per step of ours and of timm's, and their ratios."""
    arch, name, side = case
    sizes = [str(side), str(batch)]
    commands = {"ours": [sys.executable, str(HERE / "cpu_ours_steps.py"), arch, *sizes]}
    for mode in ("eager", "compile"):
        commands[mode] = [str(torch_python()), str(HERE / "cpu_timm.py"), name, *sizes, mode]
    processes = {way: started(command) for way, command in commands.items()}
    for process in processes.values():
        wait_for(process)
    turns = [{way: steps_of(each, steps) for way, each in processes.items()} for _ in range(rounds)]
    for process in processes.values():
        assert process.stdin
        process.stdin.close()
        process.wait(60)
    medians = {
        way: [statistics.median(turn[way][figure] for turn in turns) / steps for figure in range(2)]
        for way in processes
    }
    lines = []
    for way, (clock, cores) in medians.items():
        ratios = [theirs / ours for theirs, ours in zip((clock, cores), medians["ours"], strict=True)]
        cells = [arch, way if way == "ours" else f"timm, {way}", f"{clock:.2f}", f"{cores:.2f}"]
        lines.append(f"| {' | '.join([*cells, *(f'{ratio:.2f}' for ratio in ratios)])} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2, help="steps of each turn (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way (default: 3)")
    parser.add_argument("--batch", type=int, default=8, help="images of a step (default: 8)")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"float32, SGD with momentum, batch {args.batch}, {os.cpu_count()} cores, load {load:.0f}\n")
    print("| network | way | seconds per step | core-seconds per step | ours is faster by, clock | cores |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for case in CASES:
        print("\n".join(rows(case, args.batch, args.steps, args.rounds)), flush=True)


if __name__ == "__main__":
    main()
