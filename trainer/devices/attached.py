"""Whether this machine has an accelerator, asked without JAX."""

import sys
from collections.abc import MutableMapping
from pathlib import Path

# Device files of TPUs (of v4 and older, of newer ones), NVIDIA's and AMD's GPUs, and GPUs in WSL.
DEVICE_FILES = ("accel*", "vfio/*", "nvidia*", "kfd", "dxg")


def prefer_cpu(environ: MutableMapping[str, str], devices: Path = Path("/dev")) -> None:
    """Let JAX use the CPU on a Linux machine without accelerators; called before JAX is imported.

    JAX tries every installed plugin otherwise, and libtpu, which `check` compiles with, prints five lines of
    errors where it finds no TPU. JAX_PLATFORMS stays where it is set.
    """
    if sys.platform == "linux" and not any(next(devices.glob(name), None) for name in DEVICE_FILES):
        environ.setdefault("JAX_PLATFORMS", "cpu")
