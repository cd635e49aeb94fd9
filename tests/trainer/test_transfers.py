"""The loop moves nothing between host and devices by accident, in either direction."""

import subprocess
import sys

import pytest
from train_runs import QUICK, environment, rows

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

# The trainer with the device-to-host guard of a GPU or TPU, and one more read after each step. The guard is
# emulated: on a CPU the host reads an array where it lies, which JAX counts as no transfer and never refuses.
GUARDED_SCRIPT = """
import jax
import numpy as np
from jax._src import config
from jax._src.array import ArrayImpl
from jax._src.lib import guard_lib

from trainer.__main__ import main
from trainer.metrics.pending import Pending


def guarded(read):
    def read_if_allowed(array, *arguments, **options):
        explicit = guard_lib.thread_local_state().explicit_device_get  # set while jax.device_get runs
        guard = config.transfer_guard_device_to_host.value
        if isinstance(array, ArrayImpl) and guard == "disallow" and not explicit:
            raise RuntimeError("Disallowed device-to-host transfer")
        return read(array, *arguments, **options)

    return read_if_allowed


ArrayImpl._value = property(guarded(ArrayImpl._value.fget))  # float(), item(), print() and others read it
ArrayImpl.copy_to_host_async = guarded(ArrayImpl.copy_to_host_async)
np.asarray, np.array = guarded(np.asarray), guarded(np.array)  # these read the memory itself

push = Pending.push


def push_and_read(pending, step, metrics):
    push(pending, step, metrics)
    {read}


Pending.push = push_and_read
main()
"""


def run(run_dir, script):
    return subprocess.run(
        [sys.executable, "-c", script, "--run-dir", str(run_dir), *QUICK],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.slow
@pytest.mark.parametrize("compile", ["compile_train", "compile_eval"])
def test_a_number_of_the_host_ends_the_run(tmp_path, compile):
    done = run(tmp_path, SCRIPT.format(compile=compile, number="np.int32(1)"))
    assert done.returncode == 43, done.stderr
    assert "Disallowed host-to-device transfer" in done.stderr


@pytest.mark.slow
def test_a_number_that_is_placed_does_not(tmp_path):
    done = run(tmp_path, SCRIPT.format(compile="compile_train", number="jax.device_put(np.int32(1))"))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("read", ['float(metrics["loss"])', 'np.asarray(metrics["loss"])'])
def test_a_read_that_is_not_asked_for_ends_the_run(tmp_path, read):
    done = run(tmp_path, GUARDED_SCRIPT.format(read=read))
    assert done.returncode == 43, done.stderr
    assert "Disallowed device-to-host transfer" in done.stderr


@pytest.mark.slow
def test_steps_evaluation_and_save_read_only_what_they_ask_for(tmp_path):
    done = run(tmp_path, GUARDED_SCRIPT.format(read='jax.device_get(metrics["loss"])'))
    assert done.returncode == 0, done.stderr
    assert {"evaluate", "save"} <= {event["name"] for event in rows(tmp_path, "events.jsonl")}
