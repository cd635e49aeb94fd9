"""Host time per step: flat leaves beside the usual ways to call an NNX network.

    python bench/dispatch.py [--steps 50]

The networks are one channel wide and the images tiny, so the time is that of calling, not of arithmetic. All
ways compute the same update of the same network. They take turns, so that a busy machine slows all alike.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from trainer.config import resolve
from trainer.data import datasets
from trainer.devices import compilation
from trainer.devices.mesh import make_mesh
from trainer.learning import optimizers, step
from trainer.learning.losses import cross_entropy
from trainer.models import network

ARCHS = ("resnet50", "resnet152")
BATCH = 2


class Case:
    """A network and four ways to run its training step."""

    def __init__(self, arch: str):
        settings = {"model.arch": arch, "model.width": 1, "data.name": "digits", "train.batch": BATCH}
        self.config = resolve("bench", "/unused", "", settings)
        self.data = datasets.load(self.config.data, "train")
        self.net, self.init = network.build(self.config.model, 10, 1, 8, "cpu")
        self.optimizer = optimizers.make_optimizer(self.config.optim, lambda count: jnp.float32(0.1))
        images, labels = self.data.gather(jnp.arange(BATCH))
        self.batch = {"image": jnp.asarray(images), "label": jnp.asarray(labels)}
        self.batch |= {"epoch": jnp.zeros(BATCH, jnp.int32), "index": jnp.arange(BATCH, dtype=jnp.int32)}

    def flat_leaves(self):
        """Ours: the compiled step on a tuple of arrays."""
        init_state = step.make_init(self.init, self.optimizer)
        train = step.make_train_step(
            self.net, self.optimizer, lambda s: jnp.float32(0.1), self.data, self.config
        )
        state = jax.jit(init_state)(jax.random.key(0))
        shapes = jax.eval_shape(init_state, jax.random.key(0))
        batch = {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in self.batch.items()}
        compiled = compilation.compile_train(train, shapes, batch, make_mesh(1, jax.devices()[:1]))
        held = [tuple(jax.tree.leaves(state))]

        def run():
            held[0], metrics = compiled(held[0], self.batch)
            return metrics["loss"]

        return run

    def nnx_jit(self):
        """The documented way: nnx.jit over the module and nnx.Optimizer."""
        module, optimizer = self._module()
        train = nnx.jit(self._update)
        return lambda: train(module, optimizer, self.batch)

    def nnx_cached_partial(self):
        """nnx.jit with its graph traversal cached."""
        module, optimizer = self._module()
        train = nnx.cached_partial(nnx.jit(self._update), module, optimizer)
        return lambda: train(self.batch)

    def jit_over_state(self):
        """jax.jit over the nnx.State of module and optimizer."""
        graphdef, state = nnx.split(self._module())
        held = [state]

        @jax.jit
        def train(state, batch):
            module, optimizer = nnx.merge(graphdef, state, copy=True)
            loss = self._update(module, optimizer, batch)
            return nnx.state((module, optimizer)), loss

        def run():
            held[0], loss = train(held[0], self.batch)
            return loss

        return run

    def _module(self):
        arrays = self.net.variables
        params, stats = self.init(jax.random.key(0))
        state = nnx.from_flat_state(
            [(path, kind.replace((params | stats)[n])) for n, (path, kind) in arrays.items()]
        )
        module = nnx.merge(self.net.graphdef, state)
        return module, nnx.Optimizer(module, optax.sgd(0.1, momentum=0.9, nesterov=True), wrt=nnx.Param)

    def _update(self, module, optimizer, batch):
        images = step.normalise(batch["image"], self.data)

        def loss_of(module):
            return jnp.mean(cross_entropy(module(images, train=True), batch["label"], 0.1))

        loss, grads = nnx.value_and_grad(loss_of)(module)
        optimizer.update(module, grads)
        return loss


WAYS = {
    "compiled step on flat leaves (ours)": Case.flat_leaves,
    "nnx.cached_partial": Case.nnx_cached_partial,
    "jax.jit over nnx.State": Case.jit_over_state,
    "nnx.jit": Case.nnx_jit,
}


def measure(arch: str, steps: int) -> dict[str, float]:
    """Return way -> median milliseconds per step."""
    case = Case(arch)
    ways = {name: make(case) for name, make in WAYS.items()}
    for run in ways.values():
        jax.block_until_ready(run())
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(steps):
        for name, run in ways.items():
            started = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) * 1e3 for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=50, help="steps per way (default: 50)")
    steps = parser.parse_args().steps
    print(f"jax {jax.__version__}, width 1, 8x8 pixels, batch {BATCH}, median of {steps} steps\n")
    print("| network | way | ms per step | / ours |\n| --- | --- | ---: | ---: |")
    for arch in ARCHS:
        times = measure(arch, steps)
        ours = next(iter(times.values()))
        for name, milliseconds in times.items():
            print(f"| {arch} | {name} | {milliseconds:.1f} | {milliseconds / ours:.1f} |")


if __name__ == "__main__":
    main()
