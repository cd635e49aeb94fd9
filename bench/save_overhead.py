"""What asynchronous saves cost a run: steps after a save beside steps after none, in turn, in one run.

    python bench/save_overhead.py [--rounds 5]

The trainer runs as always; ResNet-18 on images of 8 pixels, so that a hundred steps take some twenty seconds
on two cores while a save has 89 MB. Of each two hundred steps the first hundred follow a save and the other
hundred none. A thread notes when each step is done, and what the process has worked until then: on a machine
that has no core to spare, the writing takes from the steps, and its work is the part that more cores would
take off them. "Stands still" is the time that the loop spends in the call that saves. Where the machine's
speed changes from one hundred steps to the next, the difference of two hundreds says little: a save by
itself, with nothing beside it, tells all of its work.
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

from trainer import __main__ as command
from trainer.config import CheckpointConfig
from trainer.devices import compilation
from trainer.rundir import checkpoints as checkpoint
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
    """A compiled step; a thread of its own waits for each result, so that the loop does not."""

    def __init__(self, compiled):
        self._compiled = compiled
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        self.done: list[tuple[float, float]] = []  # of each step: the clock, and the process's work
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


def run(rounds: int) -> tuple[list[tuple[float, float]], list[float], State]:
    """When each step was done, the seconds that each save held the loop up, and the state's shapes."""
    made, shapes, real = [], [], compilation.compile_train

    def compile_train(*arguments):
        shapes.append(arguments[1])
        made.append(Watched(real(*arguments)))
        return made[0]

    compilation.compile_train = compile_train
    steps = 2 * WINDOW * (rounds + 1)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        words = ["--run-dir", folder, "--arch", "resnet18", "--steps", str(steps)]
        for field, value in SETTINGS.items():
            words += ["--set", f"{field}={value}"]
        command.run(words)
        events = [json.loads(line) for line in (Path(folder) / "events.jsonl").read_text().splitlines()]
    stands = [event["seconds"] for event in events if event["name"] == "save" and event["step"] < steps]
    return made[0].done, stands, shapes[0]


def alone(shapes: State, rounds: int) -> list[float]:
    """Core-seconds of each of some saves with nothing beside them."""
    rng = np.random.default_rng(0)
    state = jax.tree.map(lambda s: jnp.asarray(rng.standard_normal(s.shape), s.dtype), shapes)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = checkpoint.Checkpoints(folder, CheckpointConfig())
        for step in range(rounds + 1):
            begun = time.process_time()
            checkpoints.save(state, step, accuracy=None, wait=True)
            found.append(time.process_time() - begun)
        checkpoints.close()
    return found[1:]


def spread(values: list[float], scale: float = 1) -> str:
    low, middle, high = (f"{scale * f(values):.2f}" for f in (min, statistics.median, max))
    return f"{middle} ({low} … {high})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="saves that are looked at (default: 5)")
    rounds = parser.parse_args().rounds
    done, stands, shapes = run(rounds)
    saves = alone(shapes, rounds)
    ends = range(2 * WINDOW, 2 * WINDOW * (rounds + 1), 2 * WINDOW)  # steps with a save after them
    columns = []
    for i in (0, 1):  # the clock, the work
        at = [moments[i] for moments in done]
        after = [at[end + WINDOW - 1] - at[end - 1] for end in ends]
        without = [at[end + 2 * WINDOW - 1] - at[end + WINDOW - 1] for end in ends]
        added = [a - b for a, b in zip(after, without, strict=True)]
        columns.append((after, without, added, [100 * a / b for a, b in zip(added, without, strict=True)]))
    print(f"jax {jax.__version__}, {os.cpu_count()} cores, {rounds} saves: median (least … most)\n")
    print("| | by the clock | core-seconds |\n| --- | ---: | ---: |")
    names = [f"{WINDOW} steps after a save, s", f"{WINDOW} steps after none, s", "more, s", "more, %"]
    for name, clock, work in zip(names, *columns, strict=True):
        print(f"| {name} | {spread(clock)} | {spread(work)} |")
    share = [100 * save / statistics.median(columns[1][1]) for save in saves]
    print(f"| a save by itself, s | | {spread(saves)} |\n| of {WINDOW} steps, % | | {spread(share)} |")
    print(f"| the loop stands still, ms a save | {spread(stands, 1e3)} | |")


if __name__ == "__main__":
    main()
