"""What the README promises first: the command of `make demo` reaches 97 % on images it has not seen."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = "resnet-launch local --slice cpu-2x1 --arch resnet18 --data digits"


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_demo_reaches_its_accuracy(tmp_path):
    makefile = Path(__file__).parents[2] / "Makefile"
    assert f"\t$(BIN)/{COMMAND}\n" in makefile.read_text()
    words = [sys.executable, "-m", "launcher", *shlex.split(COMMAND)[1:], "--set", "log.wandb=off"]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RESNET_", "JAX_", "XLA_"))}
    done = subprocess.run(words, cwd=tmp_path, env=inherited, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    run_dir = tmp_path / "runs" / "resnet18-cpu-2x1-digits"
    last = json.loads((run_dir / "events.jsonl").read_text().splitlines()[-1])
    assert last["name"] == "end"
    assert last["accuracy"] >= 0.97
    assert f"accuracy {last['accuracy']:.2%} after {last['step']} steps" in done.stderr
    assert f"its page, for a browser: {(run_dir / 'report.html').as_uri()}" in done.stderr
    again = subprocess.run(words, cwd=tmp_path, env=inherited, capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert f"resnet18-cpu-2x1-digits was already finished: accuracy {last['accuracy']:.2%}" in again.stderr
