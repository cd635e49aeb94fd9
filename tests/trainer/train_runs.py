"""Single-process training runs for tests, and readers of the files that they write."""

import json
import os
import subprocess
import sys

COMPILED = os.environ["TEST_PROGRAMS"]  # a compile cache that all runs share (tests/conftest.py)
SMALL = ["--arch", "resnet-tiny", "--data", "digits", "--steps", "6", "--set", "model.width=8"]
SMALL += ["--set", f"train.compile_cache={COMPILED}"]
QUICK = [*SMALL, "--set", "log.every_steps=1", "--set", "log.wandb=off", "--set", "train.eval_every_epochs=0"]


def environment():
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("RESNET_", "JAX_", "WANDB_"))}
    return inherited | {"JAX_PLATFORMS": "cpu"}


def start(run_dir, *arguments):
    command = [sys.executable, "-m", "trainer", "--run-dir", str(run_dir), *arguments]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process, seconds=200):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def train(run_dir, *arguments):
    return finish(start(run_dir, *QUICK, *arguments))


def rows(run_dir, name="metrics.jsonl"):
    return [json.loads(line) for line in (run_dir / name).read_text().splitlines()]


def losses(run_dir):
    return {row["step"]: row["loss"] for row in rows(run_dir) if row["kind"] == "train"}
