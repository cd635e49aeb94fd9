"""`resnet-launch submit`: a run on a cluster."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from launcher import summary
from launcher.cli import options, target

REPLACE = click.Option(["--replace"], is_flag=True, help="delete a run of the same name first")
PARAMS = [*options.flags(options.ALL), *target.flags(namespace=False), REPLACE, target.as_json()]


@click.command(
    "submit",
    cls=options.Command,
    params=PARAMS,
    example="resnet-launch submit --slice v4-32 --arch resnet152",
)
def command(context: str | None, kubeconfig: str | None, replace: bool, as_json: bool, **given: Any) -> None:
    """Submit a run: checked by the server first, then applied whole.

    Values that are not given come from the environment, resnet-launch.yaml and the ConfigMap
    resnet-launch-defaults of the namespace. Prints the run's name; a name in use is refused.
    """
    from launcher import submission

    values = options.values(given)
    cluster = target.cluster(context, kubeconfig, values.get("namespace"))
    job = options.job(given, submission.defaults(cluster))
    stored = submission.submit(job, cluster, replace)
    if as_json:
        found = {"name": job.name, "namespace": cluster.namespace, "context": cluster.context}
        found |= {"run_dir": job.run_dir, "uid": stored["metadata"]["uid"]}
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(job.name)
    queue = f", queue {job.queue}" if job.queue else ""
    place = f"context {cluster.context}, namespace {cluster.namespace}{queue}"
    print(*summary.lines(job), place, sep="\n", file=sys.stderr)
    flags = target.again(context, kubeconfig, values.get("namespace"))
    print("next:", file=sys.stderr)
    for verb in ("status", "logs -f", "delete"):
        print(f"  resnet-launch {verb} {job.name}{flags}", file=sys.stderr)
