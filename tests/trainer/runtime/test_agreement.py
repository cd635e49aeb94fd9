"""Two hosts, one of which fails before the run begins: both end with its code and its reason."""

import os
import subprocess
import sys


def test_every_host_ends_with_the_failure_of_one(tmp_path):
    """Only the first host looks at the run directory, which holds a run of another network."""
    (tmp_path / "config.json").write_text('{"model": {"arch": "resnet50"}}')
    command = [sys.executable, "-m", "launcher", "local", "--slice", "cpu-2x1", "--arch", "resnet-tiny"]
    command += ["--data", "digits", "--run-dir", str(tmp_path), "--set", "log.wandb=off"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RESNET_", "JAX_"))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    output = done.stdout + done.stderr
    reason = f"run directory {tmp_path} holds a run with model.arch 'resnet50', got 'resnet-tiny'"
    assert f"slice-0-0 | error: {reason}" in output
    assert f"slice-0-1 | error: process 0 failed: {reason}" in output
    assert output.count("hint: use another --name or --run-dir") == 2
    assert "ended with exit code 44, which no restart can fix" in output
