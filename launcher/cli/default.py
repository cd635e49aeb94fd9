"""`resnet-launch --slice … --arch …`, no verb: submit, or without any cluster print the manifests."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from launcher import cli, kubeconfig
from launcher.cli import options
from launcher.errors import ActionError
from launcher.jobset import render
from launcher.manifest import to_yaml


@click.command(
    "default",
    cls=options.Command,
    params=options.flags(options.ALL),
    example="resnet-launch --slice v4-32 --arch resnet152",
)
@click.pass_context
def command(ctx: click.Context, **given: Any) -> Any:
    """Submit a run to the current context; without any context print its manifests."""
    if kubeconfig.is_configured(os.environ):
        submit = cli.group.get_command(ctx, "submit")
        if submit is None:
            raise ActionError("this version cannot submit", "resnet-launch render … | kubectl apply -f -")
        return ctx.invoke(submit, **given)
    click.echo(to_yaml(render(options.job(given))), nl=False)
    print("nothing was submitted: no Kubernetes context is configured", file=sys.stderr)
    return None
