"""Submit a training job to a TPU or GPU slice of a Kubernetes cluster, and follow it."""

from typing import TYPE_CHECKING, Any

from launcher.version import __version__

__all__ = ["Cluster", "TrainingJob", "__version__", "pack", "render", "submit"]

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster
    from launcher.code.archive import pack
    from launcher.rendering.jobset import render
    from launcher.request.job import TrainingJob
    from launcher.runs.submission import submit

HOMES = {
    "Cluster": "launcher.cluster.api",
    "TrainingJob": "launcher.request.job",
    "pack": "launcher.code.archive",
    "render": "launcher.rendering.jobset",
    "submit": "launcher.runs.submission",
}


def __getattr__(name: str) -> Any:
    """Import a name from its module at first use, so that `import launcher` alone stays cheap."""
    if name not in HOMES:
        raise AttributeError(f"module 'launcher' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(HOMES[name]), name)
