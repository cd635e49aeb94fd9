"""The loop moves nothing between host and devices by accident: a number of the host ends the run."""

import subprocess
import sys

import pytest
from train_runs import QUICK, environment

# The trainer with a step that adds a number to an array of the devices, after the real step.
SCRIPT = """
import jax
import numpy as np

from trainer.__main__ import main
from trainer.devices import compilation

compile_step, add = compilation.{compile}, jax.jit(lambda array, number: array + number)


def compile_and_add(*arguments):
    program = compile_step(*arguments)

    def step(leaves, batch):
        results = program(leaves, batch)
        add(jax.tree.leaves(results)[0], {number})
        return results

    return step


compilation.{compile} = compile_and_add
main()
"""


def run(run_dir, **parts):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(**parts), "--run-dir", str(run_dir), *QUICK],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.parametrize("compile", ["compile_train", "compile_eval"])
def test_a_number_of_the_host_ends_the_run(tmp_path, compile):
    done = run(tmp_path, compile=compile, number="np.int32(1)")
    assert done.returncode == 43, done.stderr
    assert "Disallowed host-to-device transfer" in done.stderr


def test_a_number_that_is_placed_does_not(tmp_path):
    done = run(tmp_path, compile="compile_train", number="jax.device_put(np.int32(1))")
    assert done.returncode == 0, done.stderr
