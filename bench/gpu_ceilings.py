"""What this device reaches at most, for bench/gpu.py: bytes of a large copy, FLOPs of a bfloat16 product.

`gpu_ceilings.py JSON`, with the key side: rows of the square matrices. It prints one line of JSON.
"""

import json
import statistics
import sys
import time

import jax
import jax.numpy as jnp


def median_seconds(function, *arrays) -> float:
    """Return the median seconds of nine calls, after two to warm up."""
    program, seconds = jax.jit(function), []
    for number in range(11):
        started = time.perf_counter()
        jax.block_until_ready(program(*arrays))
        if number > 1:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main(side: int) -> dict:
    """Return bytes per second, read and written, and FLOP per second."""
    x = jax.random.normal(jax.random.key(0), (side, side), jnp.bfloat16)
    wide = jax.random.normal(jax.random.key(1), (4 * side, side), jnp.float32)
    return {
        "bytes_per_second": 2 * wide.nbytes / median_seconds(lambda wide: wide + 1, wide),
        "flops_per_second": 2 * side**3 / median_seconds(jnp.matmul, x, x),
        "device": jax.devices()[0].device_kind,
    }


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
