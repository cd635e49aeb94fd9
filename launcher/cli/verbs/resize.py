"""`resnet-launch resize NAME`: the same run on another number of slices, or on another slice."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from launcher.cli import options, target
from launcher.errors import Problem, RequestError
from launcher.request import sources

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

HIDDEN = "that of the run, where one slice or one host does not show it; its default if not given"
PARAMS = [
    target.optional_name(),
    click.Option(["--slice"], metavar="SLICE", help="slice to go on with; as now if not given"),
    click.Option(["--num-slices"], metavar="N", help="number of slices to go on with; as now if not given"),
    click.Option(["--tuning"], metavar="PROFILE", help=HIDDEN),
    click.Option(["--fabric"], metavar="NAME", help=HIDDEN),
    click.Option(["--estimate"], is_flag=True, help="count operations instead of compiling"),
    click.Option(["--no-compile"], is_flag=True, help="predict neither memory nor speed"),
    target.yes_name(),
    *target.flags(),
    target.as_json(),
]


@click.command(
    "resize",
    cls=options.Command,
    params=PARAMS,
    example="resnet-launch resize resnet152-v4-32 --num-slices 2",
)
def command(
    name: str | None,
    slice: str | None,
    num_slices: str | None,
    tuning: str | None,
    fabric: str | None,
    estimate: bool,
    no_compile: bool,
    yes: str | None,
    context: str | None,
    kubeconfig: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Save and end a run, and start it from its checkpoint on another shape.

    Everything else of the run stays as it is. Where batch or settings do not fit the new shape, nothing is
    stopped. The prediction for the new shape is that of `check`. Interrupted, the run is on the cluster, or
    has ended with its checkpoint saved: the same command goes on from both.
    """
    from launcher.runs import resizing

    name, yes = target.name_and_yes(name, yes)
    if slice is None and num_slices is None:
        raise RequestError(Problem("num-slices", "must be given, or slice", "--num-slices 2"))
    count, named = _read("num_slices", num_slices), _read("slice", slice)
    cluster = target.cluster(context, kubeconfig, namespace)
    hidden = {"tuning": _read("tuning", tuning), "fabric": _read("fabric", fabric)}
    planned = resizing.plan(cluster, name, named, count, hidden)
    job = planned.job
    confirmed = ""
    if planned.live is not None:
        typed = target.require_own(cluster, planned.live, yes, "resize")
        confirmed = name if typed else yes or ""
    if not planned.moves:
        _print(as_json, job, False, f"{name} has this shape already: {job.num_slices} x {job.slice}")
        return
    planned = dataclasses.replace(planned, job=_predicted(job, estimate, no_compile))
    if planned.live is not None:
        print(f"{name} saves and ends, in {job.grace} s at most; then it starts again", file=sys.stderr)
    else:
        print(f"{name} is not on the cluster; it starts with the request that was kept", file=sys.stderr)
    resizing.carry_out(cluster, planned, confirmed)
    _print(as_json, job, True, f"{name} goes on with {job.num_slices} x {job.slice}")
    again = target.again(context, kubeconfig, namespace)
    print("next:", f"  resnet-launch status {name}{again}", sep="\n", file=sys.stderr)


def _read(field: str, value: str | None) -> Any:
    """Return the value of a flag as its field reads it; None where it was not given."""
    if value is None:
        return None
    return options.check(field.replace("_", "-"), sources.FIELDS[field].metadata["read"], value)


def _predicted(job: TrainingJob, estimate: bool, no_compile: bool) -> TrainingJob:
    """Print what `check` predicts on stderr; return the job with the throughput that its trainer expects.

    Raises:
      RequestError: the run does not fit.
    """
    if no_compile or job.command:  # of another program nothing is known
        return job
    from launcher.check import assessment, report
    from launcher.check.prices import Prices
    from launcher.cli.spinner import Spinner
    from launcher.cli.verbs.check import compiled

    with Spinner() as spinner:
        result = compiled(job, False, estimate, spinner)[0]
    print(*report.lines(result, Prices()), "", sep="\n", file=sys.stderr)
    return assessment.with_prediction(job, result)


def _print(as_json: bool, job: TrainingJob, changed: bool, line: str) -> None:
    if as_json:
        document = {"name": job.name, "slice": job.slice, "slices": job.num_slices, "changed": changed}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(line)
