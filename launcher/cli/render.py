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
    params=[
        *options.flags(options.ALL),
        click.Option(["--explain"], is_flag=True, help="say in comments why each field is there"),
    ],
    example="resnet-launch render --slice v4-32 --arch resnet152 > job.yaml",
)
def command(explain: bool, **given: Any) -> None:
    """Print the manifests of a run; needs no cluster and changes nothing.

    The same flags give the same bytes. Arguments of the trainer may follow after --.
    """
    manifest = to_yaml(render(options.job(given)))
    if explain:
        from launcher import explain as reasons

        manifest = reasons.explain(manifest)
    click.echo(manifest, nl=False)
