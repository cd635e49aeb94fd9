"""A plain JAX program: data parallel over all hosts, saved, resumed, and followed by its lines.

Nothing of resnet-launch is imported. The first three lines of `main` are all that several hosts take.
"""

import os
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from sklearn.datasets import load_digits

STEPS, BATCH, RATE, PREEMPTED = int(os.environ.get("STEPS", "200")), 64, 0.2, 42


def main() -> int:
    jax.distributed.initialize()
    mesh = Mesh(np.array(jax.devices()), ("data",))
    split, same = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())

    images, labels = load_digits(return_X_y=True)
    images, labels = (images / 16).astype(np.float32), labels.astype(np.int32)
    train, test = slice(0, 1500), slice(1500, None)
    first = jax.process_index() == 0
    step, weights = load()
    weights = jax.device_put(weights, same)
    began = time.monotonic()
    done = step
    while step < STEPS:
        rows = np.random.default_rng(step).integers(0, 1500, BATCH)  # the same on every host
        batch = [
            jax.make_array_from_callback(part.shape, split, part.__getitem__)
            for part in (images[train][rows], labels[train][rows])
        ]
        weights, loss = update(weights, *batch)
        step += 1
        if multihost_utils.reached_preemption_sync_point(step):  # true on all hosts at the same step
            save(step, weights)
            return PREEMPTED
        if step % 20 == 0:
            save(step, weights)
            if first:
                left = (time.monotonic() - began) / (step - done) * (STEPS - step)
                print(
                    f"progress step={step} steps={STEPS} loss={float(loss):.4f} eta_seconds={left:.0f}",
                    flush=True,
                )
    if first:
        accuracy = float((logits(weights, images[test]).argmax(-1) == labels[test]).mean())
        print(f"evaluate step={step} accuracy={accuracy:.4f}", flush=True)
    return 0


def logits(weights: dict[str, jax.Array], images: jax.Array) -> jax.Array:
    """Return [B, 10] float32. images: [B, 64] float32, 0..1."""
    return jax.nn.relu(images @ weights["w1"]) @ weights["w2"]


@jax.jit
def update(weights: dict[str, jax.Array], images: jax.Array, labels: jax.Array):
    """Return the weights after a step of gradient descent, and the loss before it."""

    def loss(weights):
        chosen = jax.nn.log_softmax(logits(weights, images))[jnp.arange(len(labels)), labels]
        return -chosen.mean()

    value, gradients = jax.value_and_grad(loss)(weights)
    return jax.tree.map(lambda w, g: w - RATE * g, weights, gradients), value


def checkpoint() -> pathlib.Path:
    return pathlib.Path(os.environ["RESNET_RUN_DIR"]) / "weights.npz"


def load() -> tuple[int, dict[str, np.ndarray]]:
    """Return the step and the weights of the checkpoint, or those of a start."""
    if checkpoint().exists():
        arrays = dict(np.load(checkpoint()))
        return int(arrays.pop("step")), arrays
    draw = np.random.default_rng(0).standard_normal
    return 0, {
        "w1": (draw((64, 128)) / 8).astype(np.float32),
        "w2": (draw((128, 10)) / 11).astype(np.float32),
    }


def save(step: int, weights: dict[str, jax.Array]) -> None:
    """Write the checkpoint; the first host does, and a reader sees the old one or the new one."""
    if jax.process_index() == 0:
        new = checkpoint().with_suffix(".new.npz")
        new.parent.mkdir(parents=True, exist_ok=True)
        np.savez(new, step=step, **jax.device_get(weights))
        new.replace(checkpoint())


if __name__ == "__main__":
    raise SystemExit(main())
