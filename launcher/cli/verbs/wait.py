"""`resnet-launch wait NAME`: wait until a run is over; go on with fewer slices where asked to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from launcher.cli import options, target
from launcher.errors import Problem, RequestError
from launcher.request import readers

if TYPE_CHECKING:
    from launcher.cluster.api import JSON, Cluster
    from launcher.runs.shrinking import Shrinking

LOSS_SECONDS = 600  # for which a slice may be missing, if not given
LEAST_LOSS_SECONDS = 30  # three looks at the pods

PARAMS = [
    target.optional_name(),
    target.timeout("7d"),
    click.Option(
        ["--on-loss"],
        metavar="N",
        help="where a slice of a run that has trained does not come back, go on with fewer, N at least",
    ),
    click.Option(
        ["--loss-after"],
        metavar="DURATION",
        help="with --on-loss: for how long a slice may be missing; 10m if not given",
    ),
    target.yes_name(),
    *target.flags(),
    target.as_json(),
]


@click.command(
    "wait", cls=options.Command, params=PARAMS, example="resnet-launch wait resnet152-v4-32 --timeout 2h"
)
def command(
    name: str | None,
    timeout: int,
    on_loss: str | None,
    loss_after: str | None,
    yes: str | None,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
    as_json: bool,
) -> int:
    """Wait until a run is over, and say on stderr what it waits for.

    A run that cannot start until somebody changes something, such as an image that does not exist, is not
    waited for. Exit code 0: completed, 1: failed, deleted, no such run, or it cannot start, 3: not over in
    time, 4: not known.

    With --on-loss, a run of several slices goes on with those that are left, as `resize` does it.
    """
    from launcher.errors import ActionError
    from launcher.runs import diagnosis, ending, lookup, waiting, watch

    name, yes = target.name_and_yes(name, yes)
    least, after = _loss(on_loss, loss_after)
    with watch.end_not_known(name, ActionError):
        cluster = target.cluster(context, kubeconfig, namespace)
    with watch.end_not_known(name):
        live = lookup.find(cluster, name)
        shrinking = None if least is None else _shrinking(cluster, live, least, after, yes)
        looks = [waiting.Waiting(cluster, name, _note).update]
        looks += [shrinking.update] if shrinking else []

        def update(jobset: JSON) -> None:
            for look in looks:
                look(jobset)

        is_gone = shrinking.is_gone if shrinking else lambda: True
        try:
            jobset = watch.until_over(cluster, name, timeout, update, is_gone)
        except watch.TimedOutError as error:
            if shrinking and shrinking.moving:
                error.hint = shrinking.hint(shrinking.moving)
            raise
    failed = diagnosis.condition(jobset, "Failed")
    phase = "Failed" if failed else "Completed"
    if as_json:
        document: dict[str, Any] = {"name": name, "phase": phase, "restarts": lookup.restarts(jobset)}
        if shrinking:
            document |= {"slices": diagnosis.slices(jobset), "moves": shrinking.moves}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(f"{name} {phase.lower()}" + (f": {diagnosis.failure(jobset)}" if failed else ""))
        for line in ending.lines(cluster, name):
            click.echo(line, err=True)
    return 1 if failed else 0


def _note(text: str) -> None:
    click.echo(text, err=True)


def _loss(on_loss: str | None, loss_after: str | None) -> tuple[int | None, int]:
    """Return the smallest number of slices, and the seconds for which one may be missing.

    Raises:
      RequestError: a value is wrong, or the time is given without the number.
    """
    if on_loss is None:
        if loss_after is not None:
            raise RequestError(Problem("loss-after", "must come with --on-loss", "--on-loss 1"))
        return None, LOSS_SECONDS
    least = options.check("on-loss", readers.integer(1), on_loss)
    if loss_after is None:
        return least, LOSS_SECONDS
    after = options.check("loss-after", readers.seconds, loss_after)
    if after < LEAST_LOSS_SECONDS:
        problem = f"must be at least {LEAST_LOSS_SECONDS}s, got {loss_after!r}"
        raise RequestError(Problem("loss-after", problem, f"--loss-after {LEAST_LOSS_SECONDS}s"))
    return least, after


def _shrinking(cluster: Cluster, live: JSON, least: int, after: int, yes: str | None) -> Shrinking | None:
    """Return what moves a run that has lost slices; None for a run that is over.

    Raises:
      RequestError: it is another person's, or cannot go on with fewer slices.
    """
    from launcher.runs import diagnosis, objects
    from launcher.runs.shrinking import Shrinking

    if diagnosis.is_over(live):
        return None
    typed = target.require_own(cluster, live, yes, "resize")
    return Shrinking(cluster, live, least, after, _note, objects.name(live) if typed else yes or "")
