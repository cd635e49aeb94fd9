"""Each program is compiled once: not again by epochs, evaluations or a restart."""

import collections
import re
import signal
import subprocess
import sys

import pytest
from train_runs import environment, finish

RUN = ["--arch", "resnet-tiny", "--data", "digits", "--steps", "120", "--set", "model.width=8"]
RUN += ["--set", "log.every_steps=1", "--set", "log.wandb=off", "--set", "optim.ema=0.9"]
FINISHED = re.compile(r"Finished XLA compilation of jit\((\w+)\)")
SMALL = {
    "_threefry_seed",
    "stage",
}  # programs without layers, one of JAX itself, that compile in milliseconds


def start(run_dir):
    command = [sys.executable, "-m", "trainer", "--run-dir", str(run_dir), *RUN]
    env = environment() | {"JAX_LOG_COMPILES": "1"}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def compiled(log):
    """Count the compilations of each program by its name."""
    return collections.Counter(FINISHED.findall(log))


@pytest.mark.slow
def test_each_program_is_compiled_once_in_the_life_of_a_run(tmp_path):
    process = start(tmp_path)
    for line in process.stdout:
        if line.startswith("progress step=100 "):  # after two epochs and their evaluations
            process.send_signal(signal.SIGTERM)
            break
    code, _, log = finish(process)
    assert code == 42, log
    first = compiled(log)
    assert {"train_step", "eval_step", "init_state"} <= first.keys()
    assert set(first.values()) == {1}
    code, out, log = finish(start(tmp_path))
    assert code == 0, log
    assert out.count("\nevaluate ") == 1  # at the end
    assert set(compiled(log)) <= SMALL
