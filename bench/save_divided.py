"""A save and a restore of a divided state: each host its part, beside the first host that moves all.

    python bench/save_divided.py [--arch vit-l16]

Two processes with one CPU device each hold the state of a network with AdamW, divided as by train.shard=all.
Each way is measured once: two new processes save, after the program that gathers is compiled, and two more
restore. "Stands still" is the time for which the loop waits. Memory is the most that a process had meanwhile,
less what it had before: after a restore it includes the restored part itself. "Read" is what each process got
from files. Bytes between hosts are those that went over the loopback device of a network namespace of their
own, which needs root on Linux. The old way needs five times the state as memory, and is left out where there
is less.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

INSIDE = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
HOSTS = 2
WAYS = {"gathered": "first host alone", "joint": "each host its part"}


def worker(way: str, action: str, arch: str, folder: str) -> None:
    """One host: save or restore, and print what it took as JSON."""
    from trainer.runtime import join

    Path("/proc/self/oom_score_adj").write_text("1000")  # where memory runs out, this is what ends
    join()
    import jax

    from trainer.config import CheckpointConfig
    from trainer.devices import mesh, state_sharding
    from trainer.rundir.checkpoints import Checkpoints

    shapes = state_of(arch)
    devices = mesh.make_mesh(1)
    where = state_sharding.of_state(devices, shapes, "all")
    gather = state_sharding.gatherer(devices, "all")
    assert gather
    checkpoints = Checkpoints(folder, CheckpointConfig(keep=1), gather=gather)
    checkpoints._joint = way == "joint"
    if action == "save":
        state = jax.tree.map(filled, shapes, where)
        if way == "gathered":
            jax.block_until_ready(gather(state))
    before, crossed, read = memory(), loopback_bytes(), read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    begun = time.perf_counter()
    if action == "save":
        checkpoints.save(state, 1, None)
    else:
        restored = checkpoints.newest(shapes, where)
        assert restored
        jax.block_until_ready(restored.state)
    blocked = time.perf_counter() - begun
    checkpoints.wait()
    figures = {
        "blocked": blocked,
        "seconds": time.perf_counter() - begun,
        "memory": memory("VmHWM") - before,
        "crossed": loopback_bytes() - crossed,
        "read": read_bytes() - read,
    }
    checkpoints.close()
    print("figures " + json.dumps(figures), flush=True)


def filled(shape, sharding):
    """Return an array of random numbers on the devices."""
    import jax
    import numpy as np

    rng = np.random.default_rng(0)

    def part(index):
        sizes = [len(range(*s.indices(n))) for s, n in zip(index, shape.shape, strict=True)]
        return rng.standard_normal(sizes, np.float32).astype(shape.dtype)

    return jax.make_array_from_callback(shape.shape, sharding, part)


def state_of(arch: str):
    """Return the state of a network with AdamW as shapes."""
    import jax

    from trainer.config import resolve
    from trainer.learning import optimizers, step
    from trainer.models import network

    config = resolve("bench", "/run", "", {"model.arch": arch, "optim.name": "adamw"})
    _, init = network.build(config.model, 1000, 3, 224, "cpu")
    optimizer = optimizers.make_optimizer(config.optim, lambda step: 0.1)
    return jax.eval_shape(step.make_init(init, optimizer, config.optim), jax.random.key(0))


def memory(field: str = "VmRSS") -> int:
    """Return bytes of this process: VmRSS, what it has now, or VmHWM, the most since the peak was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def loopback_bytes() -> int:
    lines = Path("/proc/net/dev").read_text().splitlines()
    return next(int(line.split(":")[1].split()[0]) for line in lines if line.strip().startswith("lo:"))


def read_bytes() -> int:
    """Return the bytes that this process has read from files and other sources of its kernel."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar"))


def measure(way: str, action: str, arch: str, folder: str) -> list[dict[str, float]]:
    """Return the figures of each host."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    common = {"JAX_NUM_CPU_DEVICES": "1", "RESNET_PLATFORM": "cpu"}
    common |= {"RESNET_HOSTS": str(HOSTS), "RESNET_HOSTS_PER_SLICE": str(HOSTS), "RESNET_SLICES": "1"}
    common |= {
        "RESNET_SLICE_INDEX": "0",
        "RESNET_DEVICES": str(HOSTS),
        "RESNET_COORDINATOR": f"127.0.0.1:{port}",
    }
    command = [
        sys.executable,
        __file__,
        "--worker",
        way,
        "--action",
        action,
        "--arch",
        arch,
        "--folder",
        folder,
    ]
    processes = [
        subprocess.Popen(
            command,
            env=os.environ | common | {"JOB_COMPLETION_INDEX": str(i)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(HOSTS)
    ]
    try:
        outputs = [process.communicate()[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    lines = [line for out in outputs for line in out.splitlines() if line.startswith("figures ")]
    if len(lines) != HOSTS:
        sys.exit(f"error: a host failed: {action}, {WAYS[way]}")
    return [json.loads(line.removeprefix("figures ")) for line in lines]


def available_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def compare(arch: str, alone: bool) -> None:
    """Print one table; ``alone``: nothing else uses the loopback device."""
    import jax

    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state_of(arch)))
    print(f"jax {jax.__version__}, {os.cpu_count()} cores, {arch} with AdamW, {size / 1e9:.2f} GB\n")
    columns = ["", "s", "loop stands still, s", "memory on host 0, GB", "on host 1, GB", "read by each, GB"]
    print("| " + " | ".join([*columns, "between hosts, MB"]) + " |")
    print("| --- " + "| ---: " * 6 + "|")
    for way, name in WAYS.items():
        if way == "gathered" and available_bytes() < 5.5 * size:
            print(f"| {name} | not measured: needs {5.5 * size / 1e9:.0f} GB of memory | | | | | |")
            continue
        folder = tempfile.mkdtemp(prefix="save-divided-")
        try:
            for action in ("save", "restore"):
                first, second = measure(way, action, arch, folder)
                crossed = f"{first['crossed'] / 1e6:,.1f}" if alone else "not measured"
                values = [first["seconds"], first["blocked"], first["memory"] / 1e9, second["memory"] / 1e9]
                cells = " | ".join(f"{value:.2f}" for value in values)
                read = f"{first['read'] / 1e9:.2f}, {second['read'] / 1e9:.2f}"
                print(f"| {action}, {name} | {cells} | {read} | {crossed} |", flush=True)
        finally:
            shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="vit-l16", help="network (default: vit-l16)")
    parser.add_argument("--worker", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--action", choices=("save", "restore"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.action, args.arch, args.folder)
    elif args.alone or subprocess.run([*INSIDE, "true"], capture_output=True, check=False).returncode:
        compare(args.arch, args.alone)
    else:
        os.execvp(INSIDE[0], [*INSIDE, sys.executable, __file__, "--alone", "--arch", args.arch])


if __name__ == "__main__":
    main()
