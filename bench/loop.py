"""Host time per step that the training loop adds to the devices' work: ResNet-152 with a replaced step.

    python bench/loop.py [--arch resnet152] [--rounds 3]

The trainer runs as always, with data, placement, metrics and log lines every 10 steps, and checks for a
preemption. Only its compiled step is replaced by a program with the same arrays in and out, the state
donated. That program does no arithmetic or spins for a known time. Without work, a step takes the host's
time: calling the program, releasing the old state's arrays, and the loop. With work, the host runs ahead. The
loop's cost is then the difference from the same program called back to back. The network is one channel wide,
because the number of arrays counts and not their size.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import os
import statistics
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp

from trainer.__main__ import run
from trainer.devices import compilation
from trainer.devices.mesh import batch_sharding, replicated
from trainer.metrics.notification import Notifier

SETTINGS = {
    "model.width": "1",
    "data.name": "digits",
    "checkpoint.enabled": "false",
    "log.wandb": "off",
    "train.eval_every_epochs": "0",
    "train.hang_seconds": "0",
    "train.first_step_seconds": "0",
}
WARM, STEPS = 50, 250  # steps of warm-up, steps measured
SPIN_SECONDS = 0.02  # ResNet-152 takes about 100 ms per step on an accelerator; a shorter step is harder


class Step:
    """A compiled step that only spins for `turns` of a loop and records when it is called and returns.

    It holds its input arrays until the next call, so that it releases them and not the loop.

    Times are pairs of wall time and this thread's CPU time, which other programs do not distort.
    """

    def __init__(self, shapes, batch, mesh, turns: int):
        def step(leaves, batch):
            spun = jax.lax.fori_loop(0, turns, lambda _, x: x * 0.999 + 0.5, jnp.ones(()))
            metrics = dict.fromkeys(("loss", "accuracy", "grad_norm", "lr"), spun)
            # Times one is a new array for JAX but nothing for XLA, which passes the donated memory on.
            return tuple(leaf * jnp.ones((), leaf.dtype) for leaf in leaves), metrics

        same = replicated(mesh)
        options = {"in_shardings": (same, batch_sharding(mesh)), "out_shardings": same}
        jitted = jax.jit(step, donate_argnums=0, keep_unused=True, **options)
        self.leaves, self.batch = tuple(jax.tree.leaves(shapes)), batch
        self.program = jitted.lower(self.leaves, batch).compile()
        self.previous = ()
        self.freed: list[tuple[float, float]] = []
        self.called: list[tuple[float, float]] = []
        self.returned: list[tuple[float, float]] = []

    def __call__(self, leaves, batch):
        self.called.append((time.perf_counter(), time.thread_time()))
        self.previous = leaves
        self.freed.append((time.perf_counter(), time.thread_time()))
        results = self.program(leaves, batch)
        self.returned.append((time.perf_counter(), time.thread_time()))
        return results

    def bare(self) -> float:
        """Return seconds per step of the program called back to back, two steps ahead, on one batch."""
        zeros = [jnp.zeros(s.shape, s.dtype) for s in self.leaves], jax.tree.map(jnp.zeros_like, self.batch)
        leaves, batch = jax.device_put((tuple(zeros[0]), zeros[1]), self.program.input_shardings[0])
        ahead, started = collections.deque(), 0.0
        for number in range(-10, STEPS):
            if not number:
                started = time.perf_counter()
            leaves, metrics = self.program(leaves, batch)
            ahead.append(metrics["loss"])
            if len(ahead) > 2:
                ahead.popleft().block_until_ready()
        jax.block_until_ready(leaves)
        return (time.perf_counter() - started) / STEPS

    def whole(self) -> float:
        """Return wall seconds per step of the trainer's loop."""
        return (self.called[-1][0] - self.called[WARM][0]) / (len(self.called) - 1 - WARM)

    def parts(self) -> dict[str, tuple[float, float]]:
        """Return part -> median (wall seconds, CPU seconds) per step."""
        called, freed, returned = self.called[WARM:], self.freed[WARM:], self.returned[WARM:]
        spans = {
            "calling the program": list(zip(freed, returned, strict=True)),
            "releasing the old arrays": list(zip(called, freed, strict=True)),
            "the loop": list(zip(returned, called[1:], strict=False)),
        }
        return {name: (_median(pairs, 0), _median(pairs, 1)) for name, pairs in spans.items()}


def _median(pairs, clock: int) -> float:
    return statistics.median(after[clock] - before[clock] for before, after in pairs)


def trained(arch: str, turns: int) -> Step:
    """Train through the trainer's own command with a replaced step; return that step."""
    steps = []

    def compile_train(step, shapes, batch, mesh, *_):
        steps.append(Step(shapes, batch, mesh, turns))
        return steps[0]

    def compile_eval(*_):
        sums = {name: jnp.ones(()) for name in ("loss", "correct", "examples")}
        return lambda leaves, batch: sums

    compilation.compile_train, compilation.compile_eval = compile_train, compile_eval
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        arguments = ["--run-dir", folder, "--arch", arch, "--batch", "8", "--steps", str(STEPS + WARM)]
        for field, value in SETTINGS.items():
            arguments += ["--set", f"{field}={value}"]
        run(arguments, Notifier({}, arguments))
    return steps[0]


def spread(values: list[float]) -> str:
    """Return milliseconds as text: median (least … most)."""
    low, middle, high = (f"{1e3 * f(values):.2f}" for f in (min, statistics.median, max))
    return f"{middle} ({low} … {high})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet152", help="network (default: resnet152)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement (default: 3)")
    args = parser.parse_args()
    idle = [trained(args.arch, 0) for _ in range(args.rounds)]
    arrays, many = len(idle[0].leaves), f"{STEPS} steps x {args.rounds} rounds"
    print(f"jax {jax.__version__}, {args.arch}: {arrays} arrays, {len(jax.devices())} device(s), {many}\n")
    print("| without work | ms per step | CPU ms per step of this thread |\n| --- | ---: | ---: |")
    for name in idle[0].parts():
        clock, work = ([step.parts()[name][i] for step in idle] for i in (0, 1))
        print(f"| {name} | {spread(clock)} | {spread(work)} |")
    turns = int(SPIN_SECONDS / turn_seconds(args.arch))
    bare, looped = [], []
    for _ in range(args.rounds):
        step = trained(args.arch, turns)
        looped.append(step.whole())
        bare.append(step.bare())
    added = [a - b for a, b in zip(looped, bare, strict=True)]
    print("\n| with work | ms per step |\n| --- | ---: |")
    print(f"| the program called back to back | {spread(bare)} |\n| in the loop | {spread(looped)} |")
    print(f"| added by the loop | {spread(added)} |")


def turn_seconds(arch: str) -> float:
    """Return seconds per turn of the loop that stands for work."""
    few, many = (trained(arch, turns).bare() for turns in (1_000_000, 5_000_000))
    return (many - few) / 4_000_000


if __name__ == "__main__":
    main()
