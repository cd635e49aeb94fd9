"""`resnet-launch --slice … --arch …`, no verb: submit, or without any cluster print the manifests."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from launcher.cli import options
from launcher.cli.verbs import submit
from launcher.cluster import kubeconfig
from launcher.rendering.jobset import render
from launcher.rendering.manifest import to_yaml


@click.command(
    "default",
    cls=options.Command,
    params=submit.PARAMS,
    example="resnet-launch --slice v4-32 --arch resnet152",
)
@click.pass_context
def command(ctx: click.Context, **given: Any) -> Any:
    """Submit a run to the current context; without any context print its manifests."""
    if given["context"] or given["kubeconfig"] or kubeconfig.is_configured(os.environ):
        return ctx.invoke(submit.command, **given)
    fields = {name: value for name, value in given.items() if name in options.ALL}
    click.echo(to_yaml(render(options.job(fields))), nl=False)
    print("nothing was submitted: no Kubernetes context is configured", file=sys.stderr)
    return None
