"""Rendering stays quick: processor time of the whole command, the least of a few runs."""

import os
import resource
import subprocess
import sys

RENDER = ["render", "--slice", "v5e-256", "--arch", "resnet50", "--bucket", "b-1"]
START = "import sys; from launcher.cli import main; sys.exit(main(sys.argv[1:]))"


def cpu_seconds(words, folder, runs=4):
    """Least user and system seconds of a run, its bytecode cached."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }
    taken = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", START, *words]
        subprocess.run(command, env=environ, cwd=folder, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken[1:])


def test_render_is_quick_and_1000_slices_cost_no_more(tmp_path):
    one = cpu_seconds(RENDER, tmp_path)
    many = cpu_seconds([*RENDER, "--num-slices", "1000"], tmp_path)
    assert one < 0.3  # measured: 0.11 s; the bound leaves room for slower machines
    assert many < 2 * one
