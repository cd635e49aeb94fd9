"""`resnet-launch diff NAME`: what a new render would change."""

from __future__ import annotations

from typing import Any

import click

from launcher.cli import options, target

PARAMS = [
    target.name(),
    *options.flags(name for name in options.ALL if name != "name"),
    *target.flags(namespace=False),
]


@click.command(
    "diff",
    cls=options.Command,
    params=PARAMS,
    example="resnet-launch diff resnet152-v4-32 --slice v4-64 --arch resnet152",
)
def command(name: str, context: str | None, kubeconfig: str | None, **flags: Any) -> int:
    """Show what a new render would change in a run. Exit code 0: nothing, 1: something."""
    from launcher.cluster.api import MANAGER
    from launcher.rendering.jobset import render
    from launcher.runs import diff, lookup, submission

    cluster = target.cluster(context, kubeconfig, options.values(flags).get("namespace"))
    live = lookup.find(cluster, name)
    job = options.job(flags | {"name": name}, submission.defaults(cluster))
    text = diff.unified(live, render(job)[-1], MANAGER)
    click.echo(text, nl=False)
    return 1 if text else 0
