"""Compile a program for each case on the hosts that run this; each prints whether it compiled it itself."""

import json
import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from trainer.devices import compilation, cpu_cache
from trainer.runtime import join
from trainer.runtime.agreement import agreed

COMPILED = "/jax/core/compile/backend_compile_duration"


def compile_sum(folder, times):
    """What the program returns for its first rows, 0 to n - 1, and how many programs were compiled for it."""
    executables = compilation.use_cache(str(folder), "", "cpu")
    mesh = Mesh(np.asarray(jax.devices()), "data")
    rows = NamedSharding(mesh, PartitionSpec("data"))
    array = jax.make_array_from_callback((jax.device_count(),), rows, lambda at: np.arange(8.0)[at])
    jitted = jax.jit(lambda x: jnp.sum(x) * times, out_shardings=NamedSharding(mesh, PartitionSpec()))
    lowered = jitted.lower(array)
    before = len(compilations)
    program = executables.compile(lowered, "sum")
    mine = len(compilations) - before
    executables.keep()
    return [float(program(array)), mine]


if __name__ == "__main__":
    compilations = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compilations.append(name) if name == COMPILED else None
    )
    place = join()
    with agreed():  # sets up the transport between the hosts
        shared, own = Path(sys.argv[1]) / "shared", Path(sys.argv[1]) / f"host-{place.process_id}"
    answer = {"first start": compile_sum(shared, 2), "restart": compile_sum(shared, 2)}
    answer["a folder for each host"] = compile_sum(own, 3)
    if place.process_id == 1:
        shutil.rmtree(own)
    answer["the second host lost it"] = compile_sum(own, 3)
    answer["a folder that nobody can write"] = compile_sum("/dev/null/programs", 4)
    if place.process_id == 1:
        cpu_cache._processor = lambda: "another processor"
    answer["two processors"] = compile_sum(shared, 5)
    print(json.dumps(answer))
