"""From two words to a running, watched, restartable slice job on Kubernetes."""

from typing import TYPE_CHECKING, Any

from launcher.version import __version__

__all__ = ["Cluster", "TrainingJob", "__version__", "render", "submit"]

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster
    from launcher.rendering.jobset import render
    from launcher.request.job import TrainingJob
    from launcher.runs.submission import submit

HOMES = {
    "Cluster": "launcher.cluster.api",
    "TrainingJob": "launcher.request.job",
    "render": "launcher.rendering.jobset",
    "submit": "launcher.runs.submission",
}


def __getattr__(name: str) -> Any:
    """Loads a name from its module at first use: `import launcher` alone stays free."""
    if name not in HOMES:
        raise AttributeError(f"module 'launcher' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(HOMES[name]), name)
