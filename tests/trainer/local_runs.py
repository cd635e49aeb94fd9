"""Runs of two hosts that tests start with ``resnet-launch local``, and what they leave."""

import json
import os
import subprocess
import sys

STEPS = 100  # an epoch has 44.9
COMMAND = [sys.executable, "-m", "launcher", "local", "--slice", "cpu-2x1", "--arch", "resnet-tiny"]
COMMAND += ["--data", "digits", "--batch", "32", "--steps", str(STEPS), "--set", "model.width=8"]
COMMAND += ["--set", "checkpoint.every_steps=10", "--set", "log.every_steps=1", "--set", "log.wandb=off"]
COMMAND += ["--set", f"train.compile_cache={os.environ['TEST_PROGRAMS']}"]  # all runs share it


def environment():
    return {k: v for k, v in os.environ.items() if not k.startswith(("RESNET_", "JAX_"))}


def launch(run_dir, *arguments):
    return subprocess.Popen(
        [*COMMAND, "--run-dir", str(run_dir), *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, lines=()):
    rest, _ = process.communicate(timeout=400)
    return process.returncode, "".join(lines) + rest


def until(process, text):
    """The lines that a launcher prints up to the first that holds a text."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            break
    return lines


def losses(run_dir):
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows if row["kind"] == "train"]
