"""What the training loop costs a step beside the devices' work: ResNet-152, its step replaced.

    python bench/loop.py [--arch resnet152] [--rounds 3]

The trainer runs as always (data, placing, rows and progress lines every 10 steps, looking for a preemption),
but its compiled step is replaced by a program with the same arrays in and out, all of the state's donated,
that does no arithmetic, or spins for a known time. Without work, a step takes what the host needs: calling
the program, letting go of the old state's arrays, as whoever calls it must, and the loop. With work, the
host runs ahead, and what a step takes longer than the same program called back to back is what the loop
adds. The network is one channel wide: the number of the arrays counts, not their size.
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

from trainer import __main__ as command
from trainer.devices import compilation
from trainer.devices.mesh import batch_sharding, replicated

SETTINGS = {
    "model.width": "1",
    "data.name": "digits",
    "checkpoint.enabled": "false",
    "log.wandb": "off",
    "train.eval_every_epochs": "0",
    "train.hang_seconds": "0",
    "train.first_step_seconds": "0",
}
WARM, STEPS = 50, 250  # the first are not counted
SPIN_SECONDS = 0.02  # ResNet-152 takes some 100 ms a step on an accelerator; the less, the harder


class Step:
    """A compiled step of no arithmetic but ``turns`` of a loop; notes when it is called and when it returns.

    It keeps the arrays that it was given until the next call, so that the loop does not let go of them.

    Times are pairs: of the clock, and of this thread's work, which other programs on the machine do not
    distort.
    """

    def __init__(self, shapes, batch, mesh, turns: int):
        def step(leaves, batch):
            spun = jax.lax.fori_loop(0, turns, lambda _, x: x * 0.999 + 0.5, jnp.ones(()))
            metrics = dict.fromkeys(("loss", "accuracy", "grad_norm", "lr"), spun)
            # Times one is a result of its own to JAX and nothing to XLA: the donated memory is handed on.
            return tuple(leaf * jnp.ones((), leaf.dtype) for leaf in leaves), metrics

        same = replicated(mesh)
        options = {"in_shardings": (same, batch_sharding(mesh)), "out_shardings": same}
        jitted = jax.jit(step, donate_argnums=0, keep_unused=True, **options)
        self.leaves, self.batch = tuple(jax.tree.leaves(shapes)), batch
        self.program = jitted.lower(self.leaves, batch).compile()
        self.kept = ()
        self.freed: list[tuple[float, float]] = []
        self.called: list[tuple[float, float]] = []
        self.returned: list[tuple[float, float]] = []

    def __call__(self, leaves, batch):
        self.called.append((time.perf_counter(), time.thread_time()))
        self.kept = leaves
        self.freed.append((time.perf_counter(), time.thread_time()))
        found = self.program(leaves, batch)
        self.returned.append((time.perf_counter(), time.thread_time()))
        return found

    def bare(self) -> float:
        """Seconds a step of the program called back to back, two steps ahead, on one batch."""
        zeros = [jnp.zeros(s.shape, s.dtype) for s in self.leaves], jax.tree.map(jnp.zeros_like, self.batch)
        leaves, batch = jax.device_put((tuple(zeros[0]), zeros[1]), self.program.input_shardings[0])
        ahead, begun = collections.deque(), 0.0
        for number in range(-10, STEPS):
            if not number:
                begun = time.perf_counter()
            leaves, metrics = self.program(leaves, batch)
            ahead.append(metrics["loss"])
            if len(ahead) > 2:
                ahead.popleft().block_until_ready()
        jax.block_until_ready(leaves)
        return (time.perf_counter() - begun) / STEPS

    def whole(self) -> float:
        """Seconds of the clock a step of the trainer's loop."""
        return (self.called[-1][0] - self.called[WARM][0]) / (len(self.called) - 1 - WARM)

    def parts(self) -> dict[str, tuple[float, float]]:
        """Seconds a step of the clock and of work: medians."""
        called, freed, returned = self.called[WARM:], self.freed[WARM:], self.returned[WARM:]
        spans = {
            "calling the program": list(zip(freed, returned, strict=True)),
            "letting go of the old arrays": list(zip(called, freed, strict=True)),
            "the loop": list(zip(returned, called[1:], strict=False)),
        }
        return {name: (_median(pairs, 0), _median(pairs, 1)) for name, pairs in spans.items()}


def _median(pairs, which: int) -> float:
    return statistics.median(after[which] - before[which] for before, after in pairs)


def run(arch: str, turns: int) -> Step:
    """Trains through the trainer's own command with a replaced step."""
    made = []

    def compile_train(step, shapes, batch, mesh, executables, shard):
        made.append(Step(shapes, batch, mesh, turns))
        return made[0]

    def compile_eval(step, shapes, batch, mesh, executables):
        return lambda leaves, batch: {name: jnp.ones(()) for name in ("loss", "correct", "examples")}

    compilation.compile_train, compilation.compile_eval = compile_train, compile_eval
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        words = ["--run-dir", folder, "--arch", arch, "--batch", "8", "--steps", str(STEPS + WARM)]
        for field, value in SETTINGS.items():
            words += ["--set", f"{field}={value}"]
        command.run(words)
    return made[0]


def spread(values: list[float]) -> str:
    """Milliseconds: the median, and between which the rounds lie."""
    low, middle, high = (f"{1e3 * f(values):.2f}" for f in (min, statistics.median, max))
    return f"{middle} ({low} … {high})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet152", help="network (default: resnet152)")
    parser.add_argument("--rounds", type=int, default=3, help="of each (default: 3)")
    given = parser.parse_args()
    idle = [run(given.arch, 0) for _ in range(given.rounds)]
    arrays, many = len(idle[0].leaves), f"{STEPS} steps x {given.rounds} rounds"
    print(f"jax {jax.__version__}, {given.arch}: {arrays} arrays, {len(jax.devices())} device(s), {many}\n")
    print("| without work | ms a step by the clock | of this thread's work |\n| --- | ---: | ---: |")
    for name in idle[0].parts():
        clock, work = ([step.parts()[name][i] for step in idle] for i in (0, 1))
        print(f"| {name} | {spread(clock)} | {spread(work)} |")
    turns = int(SPIN_SECONDS / turn_seconds(given.arch))
    bare, looped = [], []
    for _ in range(given.rounds):
        step = run(given.arch, turns)
        looped.append(step.whole())
        bare.append(step.bare())
    added = [a - b for a, b in zip(looped, bare, strict=True)]
    print("\n| with work | ms a step |\n| --- | ---: |")
    print(f"| the program called back to back | {spread(bare)} |\n| in the loop | {spread(looped)} |")
    print(f"| what the loop adds | {spread(added)} |")


def turn_seconds(arch: str) -> float:
    """Of the loop that stands for work."""
    few, many = (run(arch, turns).bare() for turns in (1_000_000, 5_000_000))
    return (many - few) / 4_000_000


if __name__ == "__main__":
    main()
