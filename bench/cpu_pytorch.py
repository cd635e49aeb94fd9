"""Training on this CPU beside PyTorch: the same network, batch, precision and optimizer, in turn.

    python bench/cpu_pytorch.py [--seconds 20] [--rounds 3]

PyTorch gets an environment of its own in the cache folder (pins in bench/requirements-torch.txt), channels
last, eager. Both sides run in processes of their own, in turn. A core-second is a second of one core's work:
it leaves out the time in which other programs had the cores, and so is the figure to read on a busy machine.
Only the ratios mean anything on another machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("RESNET_CACHE") or Path.home() / ".cache" / "resnet-launch")
CASES = [("resnet18", 8, 64), ("resnet18", 32, 32), ("resnet50", 32, 16)]  # network, pixels, batch


def torch_python() -> Path:
    """The interpreter of the environment that has PyTorch; makes it where it is missing."""
    place = CACHE / "torch-bench"
    if not (place / "ready").exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "--quiet", "--clear", place], check=True)
        environment = {**os.environ, "VIRTUAL_ENV": str(place)}
        pins = HERE / "requirements-torch.txt"
        subprocess.run([uv, "pip", "install", "--quiet", "-r", pins], env=environment, check=True)
        (place / "ready").touch()
    return place / "bin" / "python"


def rates(python: Path | str, script: str, case: tuple[str, int, int], seconds: float) -> list[float]:
    """Examples a second and a core-second, as the child process prints them."""
    words = [str(python), str(HERE / script), *map(str, case), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "JAX_PLATFORMS": "cpu"}
    # OpenMP's threads spin while they wait: on a shared core that is neither work nor rest.
    environment["OMP_WAIT_POLICY"] = "PASSIVE"
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return [float(word) for word in done.stdout.split()[-2:]]


def row(torch: Path, case: tuple[str, int, int], seconds: float, rounds: int) -> str:
    """One line of the table: medians of both sides and their ratio, by the clock and by the work."""
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
    parser.add_argument("--seconds", type=float, default=20, help="of steps in each turn (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default: 3)")
    given = parser.parse_args()
    torch = torch_python()
    print(f"float32, SGD with momentum, {os.cpu_count()} cores, median of {given.rounds} turns\n")
    print(
        "| network | pixels | batch | ours, second | PyTorch | ratio | ours, core-second | PyTorch | ratio |"
    )
    print("| --- " + "| ---: " * 8 + "|")
    for case in CASES:
        print(row(torch, case, given.seconds, given.rounds), flush=True)


if __name__ == "__main__":
    main()
