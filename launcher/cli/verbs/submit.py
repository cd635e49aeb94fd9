"""`resnet-launch submit`: a run on a cluster."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from launcher.cli import options, target
from launcher.errors import ActionError
from launcher.request import summary

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster
    from launcher.request.job import TrainingJob

REPLACE = click.Option(["--replace"], is_flag=True, help="delete a run of the same name first")
CHECK = click.Option(["--check"], is_flag=True, help="check first, as `resnet-launch check` does, and refuse")
PARAMS = [*options.flags(options.ALL), *target.flags(namespace=False), REPLACE, CHECK, target.as_json()]


@click.command(
    "submit",
    cls=options.Command,
    params=PARAMS,
    example="resnet-launch submit --slice v4-32 --arch resnet152",
)
def command(
    context: str | None, kubeconfig: str | None, replace: bool, check: bool, as_json: bool, **given: Any
) -> None:
    """Submit a run: checked by the server first, then applied whole.

    Values that are not given come from the environment, resnet-launch.yaml and the ConfigMap
    resnet-launch-defaults of the namespace. Prints the run's name; a name in use is refused.
    """
    from launcher.runs import submission

    values = options.values(given)
    cluster = target.cluster(context, kubeconfig, values.get("namespace"))
    job = options.job(given, submission.defaults(cluster))
    if check:
        _check(job, cluster, replace)
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


def _check(job: TrainingJob, cluster: Cluster, replace: bool) -> None:
    """Shows what a check finds. Raises RequestError or ActionError where the run would fail."""
    from launcher.check import preflight, report
    from launcher.cli.spinner import Progress
    from launcher.cli.verbs.check import compiled

    with Progress() as progress:
        lines = [*report.lines(compiled(job, False, False, progress)[0], None), ""]
        progress.show("asking the cluster")
        found = [f for f in preflight.findings(job, cluster) if not (replace and f.about == "name")]
    lines += [line for finding in found for line in finding.lines()]
    print(*lines, sep="\n", file=sys.stderr)
    if wrong := [finding for finding in found if finding.level == "error"]:
        about = ", ".join(finding.about for finding in wrong)
        count = f"{len(wrong)} thing{'s' * (len(wrong) != 1)}"
        raise ActionError(f"the check found {count} wrong: {about}; nothing was submitted")
