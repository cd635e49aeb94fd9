"""`resnet-launch resize NAME`: the same run on another number of slices, or on another slice."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from launcher.cli import options, target
from launcher.errors import ActionError, Problem, RequestError
from launcher.request import kubernetes_names, sources

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

HIDDEN = "that of the run, where one slice or one host does not show it; its default if not given"
PARAMS = [
    click.Argument(["name"], required=False, metavar="NAME"),
    click.Option(
        ["--local"], is_flag=True, help="a run of this machine: NAME is its folder, or that below runs/"
    ),
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
    local: bool,
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
    has ended with its checkpoint saved: the same command goes on from both. With --local the run of another
    terminal saves and ends, and goes on in this one.
    """
    if local:
        flags = {"num-slices": num_slices, "tuning": tuning, "fabric": fabric, "yes": yes}
        flags |= {"estimate": estimate, "no-compile": no_compile, "json": as_json}
        flags |= {"context": context, "kubeconfig": kubeconfig, "namespace": namespace}
        _local(name, slice, flags)
        return
    from launcher.runs import resizing

    if name is not None:
        options.check("name", kubernetes_names.run, name)
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


def _local(name: str | None, slice_name: str | None, unused: Mapping[str, Any]) -> None:
    """Go on with a run of this machine on another slice, in this terminal.

    Raises:
      RequestError: it does not fit the slice, so that it goes on as it was, or nothing is known of it.
      ActionError: it does not end.
    """
    from launcher.cli.verbs import local
    from launcher.local import typed
    from launcher.runs import resizing

    problems = [Problem(flag, "must be left out with --local") for flag, value in unused.items() if value]
    if not name:
        problems.append(Problem("name", "must be given", "resnet-launch watch --local"))
    if not slice_name:
        problems.append(Problem("slice", "must be given", "--slice cpu-1x1"))
    if problems:
        raise RequestError(*problems)
    assert name
    assert slice_name
    folder = next((path for path in (Path(name), Path("runs", name)) if (path / typed.FILE).is_file()), None)
    before = typed.read(folder) if folder else None
    if folder is None or before is None:
        problem = f"must be the folder of a run that `local` began on this machine, got {name!r}"
        raise RequestError(
            Problem("name", problem, "its own command with another --slice and its --name goes on with it")
        )
    folder = folder.absolute()
    arguments = [*before.arguments, "--name", before.name, "--run-dir", str(folder), "--slice", slice_name]
    with _directory(before.directory):
        command = local.command.make_context("local", arguments, obj=tuple(before.trainer_arguments))
        with command:
            job = local.request(command.params)
            resizing.require_fitting(job)
            local.rendered(job)
            if typed.is_alive(folder):
                if job.slice == before.slice:
                    click.echo(f"{before.name} has this shape already: {job.slice}")
                    return
                print(f"{before.name} saves and ends, in {before.grace} s at most", file=sys.stderr)
                try:
                    typed.end(folder, before)
                except KeyboardInterrupt:
                    text = f"interrupted; {before.name} saves and ends"
                    raise ActionError(text, "the same command goes on with it") from None
            print(f"{before.name} goes on with {job.slice}", file=sys.stderr)
            local.command.invoke(command)


@contextlib.contextmanager
def _directory(path: str) -> Iterator[None]:
    """Work in another directory, in which the run's own paths and resnet-launch.yaml have their meaning."""
    before = os.getcwd()
    try:
        os.chdir(path)
    except OSError as error:
        raise ActionError(f"the run was begun in {path}, which cannot be used: {error.strerror}") from None
    try:
        yield
    finally:
        os.chdir(before)


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
