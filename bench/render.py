"""Time to print a manifest, as a whole process: this launcher beside its peers, in one run.

    python bench/render.py [--rounds 10] [--peers DIR]

Each peer is installed into an environment of its own under DIR (default: the cache folder). All commands run
in turn, so that a busy machine slows all alike. Each gets one warm-up, after which its bytecode is cached.
kubectl cannot create a JobSet offline, so it is measured on a plain Job.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent
CACHE = Path(os.environ.get("RESNET_CACHE") or Path.home() / ".cache" / "resnet-launch")
PEERS = {"xpk": "xpk==1.16.0", "torchx": "torchx[kubernetes]==0.7.0"}
XPK = "workload create --dry-run --workload w1 --tpu-type v4-32 --num-slices 1 --cluster c --project p"
XPK += " --zone us-central2-b --base-docker-image r/i:1 --command train"
# Without an empty workspace torchx asks a Docker engine for the image.
TORCHX = (
    "run --dryrun --workspace= -s kubernetes -cfg queue=q dist.ddp -j 4x4 --image r/i:1 --script train.py"
)
RENDER = "render --arch resnet152 --bucket my-bucket"


def install(name: str, requirement: str, folder: Path) -> Path:
    """Install a peer into its own environment; return the path of its command."""
    place = folder / name
    if not (place / "bin" / name).exists():
        subprocess.run([BIN / "uv", "venv", "--quiet", "--clear", place], check=True)
        target = {**os.environ, "VIRTUAL_ENV": str(place)}
        subprocess.run(
            [BIN / "uv", "pip", "install", "--quiet", requirement, "setuptools"], env=target, check=True
        )
    return place / "bin" / name


def commands(folder: Path) -> dict[str, list[str]]:
    """Return name in the table -> command to measure."""
    ours = str(BIN / "resnet-launch")
    measured = {
        "resnet-launch --help": [ours, "--help"],
        "resnet-launch render, v4-32": [ours, *RENDER.split(), "--slice", "v4-32"],
        "resnet-launch render, 1,000 slices of v5e-256": [
            *(ours, *RENDER.split(), "--slice", "v5e-256"),
            *("--num-slices", "1000"),
        ],
        "xpk workload create --dry-run, v4-32": [str(install("xpk", PEERS["xpk"], folder)), *XPK.split()],
        "torchx run --dryrun -s kubernetes, 4 pods": [
            str(install("torchx", PEERS["torchx"], folder)),
            *TORCHX.split(),
        ],
    }
    if kubectl := shutil.which("kubectl"):
        arguments = "create job j --image=r/i:1 --dry-run=client -o yaml"
        measured["kubectl create --dry-run=client, a plain Job"] = [kubectl, *arguments.split()]
    return measured


def seconds(command: list[str], environ: dict[str, str]) -> float:
    """Return the wall time of a process; SystemExit where it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=10, help="runs of each command (default: 10)")
    parser.add_argument(
        "--peers", type=Path, default=CACHE / "peers", help="folder of the peers' environments"
    )
    args = parser.parse_args()
    measured = commands(args.peers)
    times: dict[str, list[float]] = {name: [] for name in measured}
    with tempfile.TemporaryDirectory() as home:
        environ = {"PATH": os.environ["PATH"], "HOME": home, "PYTHONPYCACHEPREFIX": f"{home}/bytecode"}
        os.chdir(home)
        for round_number in range(args.rounds + 1):
            for name, command in measured.items():
                elapsed = seconds(command, environ)
                if round_number:  # the first one fills caches
                    times[name].append(elapsed)
    print(f"{args.rounds} rounds on {os.cpu_count()} cores\n")
    print("| command | median ms | least ms |\n| --- | ---: | ---: |")
    for name, values in times.items():
        print(f"| {name} | {1000 * statistics.median(values):.0f} | {1000 * min(values):.0f} |")


if __name__ == "__main__":
    main()
