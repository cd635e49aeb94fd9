"""Cost of asynchronous saves: steps after a save beside steps after none, in turn, in one run.

    python bench/save_overhead.py [--rounds 5]

The trainer runs as always, with ResNet-18 on images of 8 pixels. A hundred steps take about twenty seconds on
two cores, and a save has 89 MB. Of every two hundred steps, the first hundred follow a save and the others do
not. A thread records when each step is done and the process's CPU time until then. On a machine without a
spare core the writing slows the steps, and its CPU time is what more cores would take off them. "Blocked" is
the time that the loop spends in the call that saves. Where the machine's speed changes between two hundreds,
their difference means little. A save by itself, with nothing beside it, then shows all of its work.

What a state costs that is divided over hosts: bench/save_divided.py.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import queue
import statistics
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

from trainer.__main__ import run
from trainer.config import CheckpointConfig
from trainer.devices import compilation
from trainer.metrics.notification import Notifier
from trainer.rundir.checkpoints import Checkpoints
from trainer.state import State

WINDOW = 100  # steps
SETTINGS = {
    "data.name": "digits",
    "train.batch": "64",
    "train.eval_every_epochs": "0",
    "checkpoint.every_steps": str(2 * WINDOW),
    "log.wandb": "off",
}


class Watched:
    """A compiled step whose results a thread waits for, so that the loop does not."""

    def __init__(self, compiled):
        self._compiled = compiled
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        self.done: list[tuple[float, float]] = []  # per step: wall seconds, CPU seconds of the process
        threading.Thread(target=self._watch, daemon=True).start()

    def __call__(self, leaves, batch):
        leaves, metrics = self._compiled(leaves, batch)
        self._results.put(metrics["loss"])
        return leaves, metrics

    def cost_analysis(self):
        return self._compiled.cost_analysis()

    def _watch(self) -> None:
        while True:
            self._results.get().block_until_ready()
            self.done.append((time.perf_counter(), time.process_time()))


def measure(rounds: int) -> tuple[list[tuple[float, float]], list[float], State]:
    """Train; return when each step was done, how long each save blocked the loop, the state's shapes."""
    watched, shapes, original = [], [], compilation.compile_train

    def compile_train(*arguments):
        shapes.append(arguments[1])
        watched.append(Watched(original(*arguments)))
        return watched[0]

    compilation.compile_train = compile_train
    steps = 2 * WINDOW * (rounds + 1)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        arguments = ["--run-dir", folder, "--arch", "resnet18", "--steps", str(steps)]
        for field, value in SETTINGS.items():
            arguments += ["--set", f"{field}={value}"]
        run(arguments, Notifier({}, arguments))
        events = [json.loads(line) for line in (Path(folder) / "events.jsonl").read_text().splitlines()]
    blocked = [event["seconds"] for event in events if event["name"] == "save" and event["step"] < steps]
    return watched[0].done, blocked, shapes[0]


def alone(shapes: State, rounds: int) -> list[float]:
    """Return the core-seconds of each save with nothing beside it, without the first."""
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda s: jnp.asarray(rng.standard_normal(s.shape), s.dtype), shapes)
    used = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(folder, CheckpointConfig())
        for step in range(rounds + 1):
            started = time.process_time()
            checkpoints.save(state, step, accuracy=None, wait=True)
            used.append(time.process_time() - started)
        checkpoints.close()
    return used[1:]


def spread(values: list[float], scale: float = 1) -> str:
    """Return scaled values as text: median (least … most)."""
    low, middle, high = (f"{scale * f(values):.2f}" for f in (min, statistics.median, max))
    return f"{middle} ({low} … {high})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="number of saves measured (default: 5)")
    rounds = parser.parse_args().rounds
    done, blocked, shapes = measure(rounds)
    saves = alone(shapes, rounds)
    ends = range(2 * WINDOW, 2 * WINDOW * (rounds + 1), 2 * WINDOW)  # steps with a save after them
    columns = []
    for i in (0, 1):  # wall seconds, CPU seconds
        at = [moments[i] for moments in done]
        after = [at[end + WINDOW - 1] - at[end - 1] for end in ends]
        without = [at[end + 2 * WINDOW - 1] - at[end + WINDOW - 1] for end in ends]
        added = [a - b for a, b in zip(after, without, strict=True)]
        columns.append((after, without, added, [100 * a / b for a, b in zip(added, without, strict=True)]))
    print(f"jax {jax.__version__}, {os.cpu_count()} cores, {rounds} saves: median (least … most)\n")
    print("| | seconds | core-seconds |\n| --- | ---: | ---: |")
    names = [f"{WINDOW} steps after a save", f"{WINDOW} steps after none", "difference", "difference, %"]
    for name, clock, work in zip(names, *columns, strict=True):
        print(f"| {name} | {spread(clock)} | {spread(work)} |")
    share = [100 * save / statistics.median(columns[1][1]) for save in saves]
    print(f"| a save by itself | | {spread(saves)} |\n| share of {WINDOW} steps, % | | {spread(share)} |")
    print(f"| loop blocked, ms per save | {spread(blocked, 1e3)} | |")


if __name__ == "__main__":
    main()
