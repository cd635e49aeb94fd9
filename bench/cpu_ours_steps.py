"""Seconds of our training steps: `cpu_ours_steps.py ARCH PIXELS BATCH`, asked for as of `cpu_timm.py`."""

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


def main(arch: str, side: int, batch: int) -> None:
    config = resolve("bench", "/unused", "", {"model.arch": arch, "train.batch": batch})
    data = datasets.load(dataclasses.replace(config.data, image_size=side), "train")
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
    print("ready", flush=True)
    for line in sys.stdin:
        started, used = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            leaves, metrics = compiled(leaves, placer.place(local))
            jax.block_until_ready(metrics)
        print(time.perf_counter() - started, time.process_time() - used, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
