"""Programs in processes of their own that find the networks of `models.families`."""

import subprocess
import sys
from pathlib import Path

from train_runs import environment

OWN = str(Path(__file__).parents[1])  # holds the package own_code


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m program`` to its end."""
    command = [sys.executable, "-P", "-m", program, *arguments]
    env = environment() | {"PYTHONPATH": OWN}
    return subprocess.run(command, capture_output=True, text=True, timeout=400, env=env)
