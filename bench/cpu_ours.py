"""Examples per second and per core-second of our training step: `cpu_ours.py ARCH PIXELS BATCH SECONDS`."""

import dataclasses
import sys
import time

import jax
import numpy as np

from trainer.config import resolve
from trainer.data import datasets
from trainer.devices import compilation, mesh
from trainer.devices.batches import BatchPlacer
from trainer.learning import optimizers, step
from trainer.models import network


def main(arch: str, side: int, batch: int, seconds: float) -> tuple[float, float]:
    """Compile, warm up and train for this many seconds; return examples per second and per core-second."""
    config = resolve("bench", "/unused", "", {"model.arch": arch, "train.batch": batch})
    data = datasets.load(dataclasses.replace(config.data, image_size=max(side, 8)), "train")
    net, init = network.build(config.model, 1000, 3, side, "cpu")
    schedule = optimizers.make_schedule(config.optim, batch, 1000, 100)
    optimizer = optimizers.make_optimizer(config.optim, schedule)
    init_state = step.make_init(init, optimizer)
    train = step.make_train_step(net, optimizer, schedule, data, config)
    devices = mesh.make_mesh()
    placer = BatchPlacer(devices, batch)
    images, labels = data.gather(np.arange(batch))
    local = {"image": images, "label": labels, "epoch": np.zeros(batch, np.int32)}
    local["index"] = np.arange(batch, dtype=np.int32)
    shapes = jax.eval_shape(init_state, jax.random.key(0))
    compiled = compilation.compile_train(train, shapes, compilation.batch_shapes(local, batch), devices)
    leaves = tuple(jax.tree.leaves(jax.jit(init_state)(jax.random.key(0))))
    for _ in range(2):
        leaves, metrics = compiled(leaves, placer.place(local))
    jax.block_until_ready(metrics)
    started, used, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < seconds:
        leaves, metrics = compiled(leaves, placer.place(local))
        jax.block_until_ready(metrics)
        steps += 1
    examples = steps * batch
    return examples / (time.perf_counter() - started), examples / (time.process_time() - used)


if __name__ == "__main__":
    print(*main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
