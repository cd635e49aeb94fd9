"""Training on this CPU beside PyTorch: the same network, batch, precision and optimizer, in turn.

    python bench/cpu_pytorch.py [--seconds 20] [--rounds 3]

PyTorch gets an environment of its own in the cache folder (pins in bench/requirements-torch.txt), channels
last, eager. Both sides run in processes of their own that report examples a second; they alternate, so that
a busy machine slows both alike. Only the ratio means anything on another machine.
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


def rate(python: Path | str, script: str, case: tuple[str, int, int], seconds: float) -> float:
    """Examples a second, as the child process prints it."""
    words = [str(python), str(HERE / script), *map(str, case), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20, help="of steps in each turn (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default: 3)")
    given = parser.parse_args()
    torch = torch_python()
    print(f"float32, SGD with momentum, {os.cpu_count()} cores, median of {given.rounds} turns\n")
    print("| network | pixels | batch | ours, examples/s | PyTorch, examples/s | ours / PyTorch |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for case in CASES:
        ours, theirs = [], []
        for _ in range(given.rounds):
            ours.append(rate(sys.executable, "cpu_ours.py", case, given.seconds))
            theirs.append(rate(torch, "cpu_torch.py", case, given.seconds))
        us, them = statistics.median(ours), statistics.median(theirs)
        print(f"| {case[0]} | {case[1]} | {case[2]} | {us:.1f} | {them:.1f} | {us / them:.2f} |", flush=True)


if __name__ == "__main__":
    main()
