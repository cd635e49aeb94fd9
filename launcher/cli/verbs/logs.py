"""`resnet-launch logs NAME`: what the hosts print."""

from __future__ import annotations

import dataclasses
import json

import click

from launcher.cli import options, target
from launcher.request import readers

PARAMS = [
    target.name(),
    click.Option(["--follow", "-f"], is_flag=True, help="go on until the run is over, across restarts"),
    click.Option(["--host"], metavar="[SLICE-]HOST", help="of one host, such as 0 or 1-3; all if not given"),
    click.Option(["--tail"], type=click.IntRange(min=0), metavar="N", help="the last N lines of each host"),
    click.Option(
        ["--since"],
        type=options.Checked(readers.seconds),
        metavar="DURATION",
        help="only what is newer, such as 10m",
    ),
    *target.flags(),
    click.Option(["--json", "as_json"], is_flag=True, help="print a JSON object for each line"),
]


@click.command("logs", cls=options.Command, params=PARAMS, example="resnet-launch logs -f resnet152-v4-32")
def command(
    name: str,
    follow: bool,
    host: str | None,
    tail: int | None,
    since: int | None,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Print what the hosts print, each line prefixed by its pod: slice-0-1 is slice 0, host 1.

    After a restart the prefix also has its number: slice-0-1.r2.
    """
    from launcher.runs import logs, lookup

    place = parse_host(host)
    cluster = target.cluster(context, kubeconfig, namespace)
    lookup.find(cluster, name)
    query = {"tailLines": tail, "sinceSeconds": None if since is None else max(since, 1)}
    query = {key: value for key, value in query.items() if value is not None}
    for line in (logs.Follower if follow else logs.snapshot)(cluster, name, place, **query):
        click.echo(json.dumps(dataclasses.asdict(line)) if as_json else str(line))


def parse_host(text: str | None) -> tuple[int, int] | None:
    """`3` -> (0, 3), `1-3` -> (1, 3)."""
    if text is None:
        return None
    parts = text.split("-")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise click.UsageError(f"--host: must be HOST or SLICE-HOST such as 0 or 1-3, got {text!r}")
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 else (0, int(parts[0]))
