"""`resnet-launch render`: the manifests of a run on stdout."""

from __future__ import annotations

from typing import Any

import click

from launcher.cli import options
from launcher.jobset import render
from launcher.manifest import to_yaml


@click.command(
    "render",
    cls=options.Command,
    params=options.flags(options.ALL),
    example="resnet-launch render --slice v4-32 --arch resnet152 > job.yaml",
)
def command(**given: Any) -> None:
    """Print the manifests of a run; needs no cluster and changes nothing."""
    click.echo(to_yaml(render(options.job(given))), nl=False)
