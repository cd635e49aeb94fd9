"""One measurement of our training step, for bench/gpu.py: `gpu_ours.py JSON`; prints one line of JSON.

The keys are arch, side (pixels), batch, seconds and settings (of the trainer).
"""

import dataclasses
import json
import sys
import time

import jax
import numpy as np

from trainer.config import resolve
from trainer.cost.estimate import estimate
from trainer.data import datasets
from trainer.devices import compilation, mesh
from trainer.devices.batches import BatchPlacer
from trainer.learning import optimizers, step
from trainer.models import network


def main(arch: str, side: int, batch: int, seconds: float, settings: dict) -> dict:
    """Compile, warm up and train for so many seconds; return rates, memory in bytes, and cost per image."""
    platform = jax.default_backend()
    config = resolve("bench", "/unused", "", {"model.arch": arch, "train.batch": batch, **settings})
    data = datasets.load(dataclasses.replace(config.data, image_size=side), "train")
    net, init = network.build(config.model, 1000, 3, side, platform)
    schedule = optimizers.make_schedule(config.optim, batch, 1000, 100)
    optimizer = optimizers.make_optimizer(config.optim, schedule)
    init_state = step.make_init(init, optimizer)
    train = step.make_train_step(net, optimizer, schedule, data, config)
    devices = mesh.make_mesh(devices=jax.devices()[:1])
    images, labels = data.gather(np.arange(batch))
    local = {"image": images, "label": labels, "epoch": np.zeros(batch, np.int32)}
    local["index"] = np.arange(batch, dtype=np.int32)
    shapes = jax.eval_shape(init_state, jax.random.key(0))
    avals = compilation.batch_shapes(local, batch)
    started = time.perf_counter()
    compiled = compilation.compile_train(train, shapes, avals, devices)
    compile_seconds = time.perf_counter() - started
    placed = BatchPlacer(devices, batch).place(local)
    leaves = tuple(jax.tree.leaves(jax.jit(init_state)(jax.random.key(0))))
    for _ in range(3):
        leaves, metrics = compiled(leaves, placed)
    jax.block_until_ready(metrics)
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(3):  # ahead of the device, as the trainer is
            leaves, metrics = compiled(leaves, placed)
            steps += 1
        jax.block_until_ready(metrics)
    per_second = steps * batch / (time.perf_counter() - started)
    cost = compiled.cost_analysis() or {}
    memory, counted = compiled.memory_analysis(), jax.devices()[0].memory_stats() or {}
    return {
        "images_per_second": per_second,
        "compile_seconds": compile_seconds,
        "flops_per_image": estimate(platform, train, shapes, avals)["flops"] / batch,
        "bytes_per_image": cost.get("bytes accessed", 0.0) / batch,
        "counted_peak_bytes": counted.get("peak_bytes_in_use"),
        "compiler_peak_bytes": memory and memory.peak_memory_in_bytes,
        "loss": float(metrics["loss"]),
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
    }


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
