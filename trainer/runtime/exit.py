"""How a process ends: the hosts take leave of each other, and nothing changes its exit code."""

import contextlib
import os
import sys


def part() -> None:
    """Waits for the others to be done too; a coordinator that leaves first would abort them."""
    if "jax" in sys.modules:
        import jax

        if jax.distributed.is_initialized():
            with contextlib.suppress(RuntimeError):  # a peer is gone already; the exit code stands
                jax.distributed.shutdown()


def leave(code: int) -> None:
    """Ends the process at once: JAX's exit handlers would turn an exit code of ours into 134."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
