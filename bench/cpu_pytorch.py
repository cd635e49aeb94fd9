"""Training on this CPU beside PyTorch, in turn: the same network, batch, precision and optimizer.

    python bench/cpu_pytorch.py [--seconds 20] [--rounds 3]

PyTorch runs eagerly with the layout channels last, in the environment of tools/parity_goldens.py. Both sides
run in processes of their own, in turn, with the settings of the C library's allocator that `resnet-launch
local` gives a trainer. A core-second is one second of work on one core. It excludes the time that other
programs take, so read it on a busy machine. Only the ratios carry over to another machine.
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

from launcher.local.attempts import ALLOCATOR  # noqa: E402
from tools.parity_goldens import torch_python  # noqa: E402

# network, pixels, batch
CASES = [("resnet18", 8, 64), ("resnet18", 32, 32), ("resnet50", 32, 16), ("vit-ti16", 32, 64)]


def rates(python: Path | str, script: str, case: tuple[str, int, int], seconds: float) -> list[float]:
    """Return examples per second and per core-second, as the child process prints them."""
    command = [str(python), str(HERE / script), *map(str, case), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "JAX_PLATFORMS": "cpu"}
    # OpenMP's threads spin while they wait, which would count as work.
    environment["OMP_WAIT_POLICY"] = "PASSIVE"
    environment |= ALLOCATOR  # both sides have it
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return [float(word) for word in done.stdout.split()[-2:]]


def row(torch: Path, case: tuple[str, int, int], seconds: float, rounds: int) -> str:
    """Return a row of the table: medians of both sides and their ratio, per second and per core-second."""
    turns = [
        (rates(sys.executable, "cpu_ours.py", case, seconds), rates(torch, "cpu_torch.py", case, seconds))
        for _ in range(rounds)
    ]
    cells = list(map(str, case))
    for figure in range(2):
        ours, theirs = (statistics.median(turn[side][figure] for turn in turns) for side in range(2))
        cells += [f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=20, help="seconds of training in each turn (default: 20)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns per side (default: 3)")
    args = parser.parse_args()
    torch = torch_python()
    print(f"float32, SGD with momentum, {os.cpu_count()} cores, median of {args.rounds} turns\n")
    print(
        "| network | pixels | batch | ours, examples/s | PyTorch | ratio "
        "| ours, examples per core-second | PyTorch | ratio |"
    )
    print("| --- " + "| ---: " * 8 + "|")
    for case in CASES:
        print(row(torch, case, args.seconds, args.rounds), flush=True)


if __name__ == "__main__":
    main()
