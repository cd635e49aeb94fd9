"""`resnet-launch delete NAME`: delete a run and wait until its pods are gone."""

from __future__ import annotations

import json
import sys

import click

from launcher import keys
from launcher.cli import options, target


@click.command(
    "delete",
    cls=options.Command,
    params=[
        target.optional_name(),
        target.yes_name(),
        target.timeout("15m"),
        *target.flags(),
        target.as_json(),
    ],
    example="resnet-launch delete resnet152-v4-32",
)
def command(
    name: str | None,
    yes: str | None,
    timeout: int,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Delete a run's objects and wait until its pods are gone. The run directory is not deleted.

    Asks for confirmation on a terminal; elsewhere --yes is required. Another person's run needs its name
    after --yes.
    """
    from launcher.errors import Problem, RequestError
    from launcher.runs import deletion, diagnosis, lookup, objects, ownership

    name, yes = target.name_and_yes(name, yes)
    cluster = target.cluster(context, kubeconfig, namespace)
    jobset = lookup.find(cluster, name)
    ownership.require_ours(jobset)
    if yes is None and not sys.stdin.isatty():
        raise RequestError(Problem("yes", "must be given when stdin is not a terminal", f"--yes {name}"))
    if not target.require_own(cluster, jobset, yes, "delete") and yes is None:
        click.confirm(
            f"delete run {name} ({diagnosis.hosts(jobset)} pods) in {cluster.namespace}?", abort=True
        )
    lookup.delete(cluster, jobset)
    deletion.until_gone(cluster, jobset, timeout)
    run_dir = objects.text(objects.annotations_of(jobset), keys.RUN_DIR)
    if as_json:
        click.echo(json.dumps({"name": name, "deleted": True, "run_dir": run_dir}, indent=2))
    else:
        click.echo(f"{name} deleted")
        if run_dir.startswith("gs://"):
            print(f"its checkpoints and metrics stay in {run_dir}", file=sys.stderr)
