"""`resnet-launch pull RUN OUT`: a run's small files, or a checkpoint, on this machine."""

from __future__ import annotations

import os

import click

from launcher import extras
from launcher.cli import options, target, trainer_program
from launcher.errors import ActionError, Problem, RequestError
from launcher.request import kubernetes_names

CHOICES = ("best", "newest")
PARAMS = [
    click.Argument(["run"], metavar="RUN"),
    click.Argument(["out"], metavar="OUT"),
    click.Option(
        ["--checkpoint"],
        metavar="|".join(CHOICES),
        help="also copy the checkpoint of the best accuracy, or the newest one, and verify its checksums",
    ),
    *target.flags(),
]


@click.command(
    "pull",
    cls=options.Command,
    params=PARAMS,
    example="resnet-launch pull gs://my-bucket/first first --checkpoint best",
)
def command(
    run: str,
    out: str,
    checkpoint: str | None,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
) -> int:
    """Copy a run to a folder: settings, metrics, events and report, and a checkpoint if asked for.

    RUN is gs://…, a folder, or the name of a run on the cluster. A word with a slash is a folder. OUT is a
    new folder, or an earlier copy of the same run: the same command goes on with what a stopped one left,
    and brings what is new since.
    """
    if checkpoint not in (None, *CHOICES):
        problem = f"must be {' or '.join(CHOICES)}, got {checkpoint!r}"
        raise RequestError(Problem("checkpoint", problem))
    extras.require("train", "`pull`")
    address = run if is_address(run) else _of_cluster(run, context, kubeconfig, namespace)
    flags = ["--checkpoint", checkpoint] if checkpoint else []
    return trainer_program.run("pull", "trainer.pull", [*flags, "--", address, out])


def is_address(run: str) -> bool:
    """Return whether a run is named by its directory: gs://…, a path with a slash, or an existing folder."""
    return "/" in run or run in (".", "..") or os.path.isdir(run)


def _of_cluster(name: str, context: str | None, kubeconfig: str | None, namespace: str | None) -> str:
    """Return the run directory of a run on the cluster.

    Raises:
      ActionError: the cluster has no such run, or its directory is in a volume of its pods.
    """
    from launcher import keys
    from launcher.runs import lookup, objects, ownership

    options.check("run", kubernetes_names.run, name)
    jobset = lookup.find(target.cluster(context, kubeconfig, namespace), name)
    ownership.require_ours(jobset)
    run_dir = objects.text(objects.annotations_of(jobset), keys.RUN_DIR)
    if not run_dir.startswith("gs://"):
        raise ActionError(
            f"run {name!r} must be in a bucket to be copied from here, got {run_dir or 'no run directory'}",
            "a directory of a volume: copy it with kubectl cp from a pod that mounts the volume",
        )
    return run_dir
