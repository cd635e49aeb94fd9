"""`resnet-launch diff NAME`: what a new render would change."""

from __future__ import annotations

from typing import Any

import click

from launcher.cli import options, target
from launcher.errors import Problem, RequestError
from launcher.request import kubernetes_names

PARAMS = [
    click.Argument(["run"], required=False, metavar="[NAME]", type=options.Checked(kubernetes_names.run)),
    *options.flags(options.ALL),
    *target.flags(namespace=False),
]


@click.command(
    "diff",
    cls=options.Command,
    params=PARAMS,
    example="resnet-launch diff resnet152-v4-32 --slice v4-64 --arch resnet152",
)
def command(run: str | None, context: str | None, kubeconfig: str | None, **flags: Any) -> int:
    """Show what a new render would change in a run. Exit code 0: nothing, 1: something.

    The run is NAME or --name, or else ARCH-SLICE, as for submit.
    """
    from launcher.cluster.api import MANAGER
    from launcher.rendering.jobset import render
    from launcher.runs import diff, lookup, submission

    cluster = target.cluster(context, kubeconfig, options.values(flags).get("namespace"))
    if run and flags["name"] not in (None, run):
        raise RequestError(
            Problem("name", f"must be {run!r} here, got {flags['name']!r}", "leave out one of them")
        )
    job = options.job(flags | {"name": run or flags["name"]}, submission.defaults(cluster))
    live = lookup.find(cluster, job.name)
    text = diff.unified(live, render(job)[-1], MANAGER)
    click.echo(text, nl=False)
    return 1 if text else 0
