"""`resnet-launch --slice … --arch …` without a verb: submit, or print the manifests without a cluster."""

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
def command(ctx: click.Context, **flags: Any) -> Any:
    """Submit a run to the current context, or print its manifests where no context is configured."""
    if flags["context"] or flags["kubeconfig"] or kubeconfig.is_configured(os.environ):
        return ctx.invoke(submit.command, **flags)
    fields = {name: value for name, value in flags.items() if name in options.ALL}
    click.echo(to_yaml(render(options.job(fields))), nl=False)
    print("nothing was submitted: no Kubernetes context is configured", file=sys.stderr)
    return None
