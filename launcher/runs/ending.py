"""How a run has ended, in a few lines for people: accuracy, duration, run directory, the next command."""

from __future__ import annotations

import shlex
from typing import Any

from launcher.cluster.api import Cluster
from launcher.errors import ActionError
from launcher.request.mounts import SCRATCH
from launcher.runs import status
from launcher.runs.sentences import duration, percent


def lines(cluster: Cluster, name: str) -> list[str]:
    """Return the lines about a run that is over; none where it cannot be read any more."""
    try:
        return describe(status.status(cluster, name))
    except ActionError:
        return []


def describe(run: dict[str, Any]) -> list[str]:
    """Return the lines about a run that is over.

    Args:
      run: what `resnet-launch status --json` prints.
    """
    last, best, name = run["evaluation"], run["best"], run["name"]
    accuracy = f"accuracy {_accuracy(last)}" if "accuracy" in last else ""
    better = f"best {_accuracy(best)}" if best and best.get("step") != last.get("step") else ""
    took = "" if run["seconds"] is None else f"{duration(run['seconds'])} after its submission"
    if run["phase"] == "Completed" and not (accuracy or run["run_dir"]):
        return []
    figures = ", ".join(filter(None, (accuracy, better, took)))
    unkept = (run["run_dir"] or "").startswith(f"{SCRATCH}/")
    following = ""
    if run["phase"] != "Completed":
        following = f"resnet-launch status {name}   # why, and the last lines of the host that failed"
    elif run["run_dir"] and run["arch"] and not unkept:  # no other program leaves what a report is made of
        following = f"resnet-train report {shlex.quote(run['run_dir'])} --out {name}.html"
    directory = f"run directory {run['run_dir']}" if run["run_dir"] else ""
    directory += ", gone with its pods: the run had no --bucket" if unkept else ""
    return [line for line in (figures, directory, f"next: {following}" if following else "") if line]


def _accuracy(evaluation: Any) -> str:
    return f"{percent(evaluation.get('accuracy'), 2)} at step {evaluation.get('step')}"
