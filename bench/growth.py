"""How the launcher's work grows with the hosts of a run: CPU seconds, peak memory, and the exponent of each.

    python bench/growth.py [--rounds 3]

Each figure is that of a whole process less that of `--help`, the smallest of the rounds, so that the start of
Python does not hide the growth. `status`, `list` and `logs` read a run of so many pods from a small server in
this process (tests/launcher/api_server.py), whose work is not counted. The exponent is the slope between
the two largest sizes on logarithmic scales: 1 is linear, 0 does not grow.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "launcher"))

import api_server  # noqa: E402

# slice -> hosts, each of 4 chips but the first
SLICES = {"v4-8": 1, "v4-64": 8, "v4-512": 64, "v4-4096": 512, "tpu7x-18432": 2304}
REQUEST = ["--arch", "resnet50", "--bucket", "b-1", "--image", "r/i:1"]
NOISE_SECONDS, NOISE_MIB = 0.02, 1.0  # smaller differences between processes say nothing


def used(arguments: list[str], environment: dict[str, str] | None = None) -> tuple[float, float]:
    """Run Python; return the CPU seconds and the largest peak memory in MiB of it and its children."""
    command = [sys.executable, *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    cause = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: {cause[-2000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def smallest(arguments: list[str], rounds: int) -> tuple[float, float]:
    """Return the smallest CPU seconds and MiB of so many runs."""
    seconds, memory = zip(*(used(["-m", "launcher", *arguments]) for _ in range(rounds)), strict=True)
    return min(seconds), min(memory)


def exponent(sizes: list[int], values: list[float], noise: float) -> float:
    """Return the slope between the two largest sizes on logarithmic scales; differences below noise are 0."""
    before, after = (max(value, noise) for value in values[-2:])
    return math.log(after / before) / math.log(sizes[-1] / sizes[-2])


def commands(slice_name: str) -> dict[str, list[str]]:
    """Return verb -> arguments, for one slice."""
    policy = ["--placement-policy", "p"] if slice_name.startswith("tpu7x") else []
    request = ["--slice", slice_name, *REQUEST, *policy]
    return {
        "render": ["render", *request],
        "render as Helm values": ["render", *request, "--format", "helm-values"],
        "slices NAME": ["slices", slice_name],
    }


def run_of(hosts: int) -> api_server.ApiServer:
    """Return a server with one run whose pods have printed a line each."""
    pods = [api_server.pod(host) for host in range(hosts)]
    server = api_server.ApiServer(jobsets=[api_server.jobset(hosts=hosts)], pods=pods)
    line = f"{api_server.now()} progress step=10 steps=100 loss=2.5\n"
    server.logs = {pod["metadata"]["name"]: line for pod in pods}
    return server


READING = {
    "status": ["status", "run"],
    "list": ["list"],
    "logs of all hosts": ["logs", "run"],
}


def reading(arguments: list[str], hosts: int, rounds: int) -> tuple[float, float]:
    """Return CPU seconds and MiB of a command that reads a run of so many hosts."""
    with run_of(hosts) as server, tempfile.TemporaryDirectory() as folder:
        kubeconfig = server.kubeconfig(Path(folder))
        return smallest([*arguments, "--kubeconfig", str(kubeconfig)], rounds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs per figure (default: 3)")
    args = parser.parse_args()
    start_seconds, start_memory = smallest(["--help"], args.rounds)
    print(f"the start alone: {start_seconds:.2f} CPU s, {start_memory:.0f} MiB\n")
    sizes = list(SLICES.values())
    print(f"| what | {' | '.join(f'{hosts:,} hosts' for hosts in sizes)} | exponent |")
    print("| --- " + "| ---: " * (len(sizes) + 1) + "|")
    rows = {
        verb: [smallest(commands(name)[verb], args.rounds) for name in SLICES] for verb in commands("v4-8")
    }
    rows |= {verb: [reading(words, hosts, args.rounds) for hosts in sizes] for verb, words in READING.items()}
    for verb, figures in rows.items():
        for index, (unit, start, noise) in enumerate(
            [("CPU s", start_seconds, NOISE_SECONDS), ("MiB", start_memory, NOISE_MIB)]
        ):
            values = [figure[index] - start for figure in figures]
            cells = [f"{value:.2f}" if unit == "CPU s" else f"{value:.1f}" for value in values]
            print(
                f"| {verb}, {unit} | {' | '.join(cells)} | {exponent(sizes, values, noise):.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
