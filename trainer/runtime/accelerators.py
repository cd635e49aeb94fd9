"""Which accelerators a machine has, as far as its device files show."""

import glob
import sys
from collections.abc import MutableMapping

# TPUs, NVIDIA's GPUs, those of WSL, AMD's: what JAX could use on Linux.
DEVICES = ("/dev/accel*", "/dev/vfio/[0-9]*", "/dev/nvidia[0-9]*", "/dev/dxg", "/dev/kfd")


def use_cpu_without_others(environ: MutableMapping[str, str]) -> None:
    """Let JAX use the CPU where nothing else is there; called before JAX is imported.

    Without it an installed libtpu looks for a TPU for seconds, and prints what it misses. A platform that
    is set already stays.
    """
    if sys.platform == "linux" and not any(map(glob.glob, DEVICES)):
        environ.setdefault("JAX_PLATFORMS", "cpu")
