"""`resnet-launch logs NAME`: what the hosts print."""

from __future__ import annotations

import click

from launcher.cli import options, target
from launcher.cli.duration import Duration

PARAMS = [
    target.name(),
    click.Option(["--follow", "-f"], is_flag=True, help="go on until the run is over, across restarts"),
    click.Option(["--host"], metavar="[SLICE-]HOST", help="of one host, such as 0 or 1-3; all if not given"),
    click.Option(["--tail"], type=int, metavar="N", help="only the last N lines of each host"),
    click.Option(["--since"], type=Duration(), metavar="DURATION", help="only what is newer, such as 10m"),
    *target.flags(),
]


@click.command("logs", cls=options.Command, params=PARAMS, example="resnet-launch logs -f resnet152-v4-32")
def command(
    name: str,
    follow: bool,
    host: str | None,
    tail: int | None,
    since: float | None,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
) -> None:
    """Print what the hosts print, each line prefixed by its pod: slice-0-1 is slice 0, host 1.

    After a restart the prefix also has its number: slice-0-1.r2.
    """
    from launcher import logs, run

    cluster = target.cluster(context, kubeconfig, namespace)
    run.find(cluster, name)
    query = {"tailLines": tail, "sinceSeconds": None if since is None else int(since)}
    query = {key: value for key, value in query.items() if value is not None}
    place = parse_host(host)
    if follow:
        lines = iter(logs.Follower(cluster, name, place, **query))
    else:
        pods, _ = cluster.list("Pod", labelSelector=logs.pod_selector(name, place))
        lines = logs.snapshot(cluster, sorted(pods, key=run.place), **query)
    for line in lines:
        click.echo(line)


def parse_host(text: str | None) -> tuple[int, int] | None:
    """`3` -> (0, 3), `1-3` -> (1, 3)."""
    if text is None:
        return None
    parts = text.split("-")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise click.UsageError(f"--host: must be HOST or SLICE-HOST such as 0 or 1-3, got {text!r}")
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 else (0, int(parts[0]))
