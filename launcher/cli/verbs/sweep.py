"""`resnet-launch sweep`: many runs that differ in their settings, on a cluster or on this machine."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from launcher.check import prices
from launcher.cli import options, table, target
from launcher.errors import ActionError, Problem, RequestError
from launcher.local import paths
from launcher.request import grid, kubernetes_names
from launcher.request.grid import Trial

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster
    from launcher.request.job import TrainingJob

OWN = [
    click.Option(
        ["--grid"],
        metavar="SETTING=VALUES",
        multiple=True,
        help="values of a setting: optim.lr=0.1,0.2 or train.seed=0..2; may be repeated",
    ),
    click.Option(["--random"], metavar="N", type=int, help="take N of the combinations only"),
    click.Option(
        ["--random-seed"], metavar="N", type=int, default=0, help="decides which ones; 0 if not given"
    ),
    click.Option(
        ["--parallel"],
        metavar="N",
        type=int,
        help="runs at a time; 1 without a queue, all with one, if not given",
    ),
    click.Option(["--local"], is_flag=True, help="run them on this machine, as `local` does"),
    click.Option(["--plan"], is_flag=True, help="print the runs and stop"),
]


@click.command(
    "sweep",
    cls=options.Command,
    params=[
        click.Argument(["words"], nargs=-1, metavar="[status NAME]"),
        *OWN,
        *options.flags(options.ALL),
        *target.flags(namespace=False),
        target.as_json(),
    ],
    example="resnet-launch sweep --name lr --slice v5e-16 --arch resnet50 --grid optim.lr=1,2",
)
def command(
    words: tuple[str, ...],
    grid: tuple[str, ...],
    random: int | None,
    random_seed: int,
    parallel: int | None,
    local: bool,
    plan: bool,
    context: str | None,
    kubeconfig: str | None,
    as_json: bool,
    **flags: Any,
) -> int:
    """Make a run of every combination of a grid, and submit them.

    Each run is called after the sweep (--name) and its values, and is kept in a folder of the sweep. Nothing
    is sent before all runs are checked. With a queue all are submitted at once. Without one --parallel are
    there at a time, and the command stays until the last is submitted; the same command goes on after Ctrl-C,
    and submits no run twice. `sweep status NAME` prints the results, with the mean over seeds.
    """
    if words:
        return _status(words, local, context, kubeconfig, flags)
    if parallel is not None and parallel < 1:
        raise RequestError(Problem("parallel", f"must be at least 1, got {parallel}"))
    sweep = flags["name"] or options.values(flags).get("name")
    if not sweep:
        raise RequestError(Problem("name", "must be given: the runs are called after it", "--name lr"))
    trials = _trials(options.check("name", kubernetes_names.run, sweep), grid, random, random_seed)
    if local:
        return _local(sweep, trials, parallel or 1, plan, as_json, flags)
    return _cluster(sweep, trials, parallel, plan, as_json, flags, context, kubeconfig)


def _trials(sweep: str, texts: Sequence[str], random: int | None, seed: int) -> list[Trial]:
    return grid.trials(sweep, grid.axes(texts), random, seed)


def _with(flags: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """Return the flags of one run: those of the sweep, its name and its settings.

    Raises:
      RequestError: a setting of the grid has a value outside it too.
    """
    result = {**flags, "name": trial.name}
    settings: list[str] = list(flags.get("set") or ())
    fixed = {text.partition("=")[0].strip() for text in settings}
    for name, value in trial.settings.items():
        field = grid.OF_FIELDS.get(name)
        if name in fixed or (field and flags.get(field) is not None):
            other = f"--set {name}" if name in fixed else f"--{field}"
            raise RequestError(Problem("grid", f"must be the only one that sets {name}, got {other} too"))
        if field:
            result[field] = value
        else:
            settings.append(f"{name}={value}")
    return result | {"set": tuple(settings)}


def _cluster(
    sweep: str,
    trials: Sequence[Trial],
    parallel: int | None,
    plan: bool,
    as_json: bool,
    flags: dict[str, Any],
    context: str | None,
    kubeconfig: str | None,
) -> int:
    from launcher.runs import submission, sweeping

    cluster = target.cluster(context, kubeconfig, options.values(flags).get("namespace"))
    defaults = submission.defaults(cluster)
    jobs = _jobs(sweep, trials, flags, defaults)
    options.announce(flags)
    options.warn(jobs[0])
    limit = parallel or (None if jobs[0].queue else 1)
    if plan:
        sweeping.existing(jobs, cluster)
        _print(trials, jobs, as_json)
        return 0
    at_once = "all at once" if limit is None else f"{limit} at a time"
    _note(f"{sweep}: {len(jobs)} runs, {at_once}; context {cluster.context}, namespace {cluster.namespace}")
    try:
        submitted = sweeping.submit(jobs, cluster, limit, _note)
    except KeyboardInterrupt:
        raise ActionError(
            f"stopped: the runs of {sweep} that were submitted go on, the others were not",
            "the same command again",
        ) from None
    if submitted < len(jobs):
        _note(f"{len(jobs) - submitted} runs were there already")
    if as_json:
        _print(trials, jobs, True)
    _note(f"next:\n  resnet-launch sweep status {sweep}{_again(context, kubeconfig, flags)}")
    return 0


def _again(context: str | None, kubeconfig: str | None, flags: Mapping[str, Any]) -> str:
    return target.again(context, kubeconfig, options.values(dict(flags)).get("namespace"))


def _jobs(sweep: str, trials: Sequence[Trial], flags: dict[str, Any], *more: Any) -> list[TrainingJob]:
    """Return the job of every run. Raises RequestError with the problems of all, each once."""
    from launcher.runs import sweeping

    jobs: list[TrainingJob] = []
    problems: dict[str, Problem] = {}
    label = (*(flags.get("label") or ()), f"{sweeping.LABEL}={sweep}")
    for trial in trials:
        try:
            job = options.request(_with(flags, trial) | {"label": label}, *more)
        except RequestError as error:
            problems |= {str(problem): problem for problem in error.problems}
            continue
        folder = job.run_dir if flags.get("run_dir") else f"{os.path.dirname(job.run_dir)}/{sweep}"
        jobs.append(dataclasses.replace(job, run_dir=f"{folder}/{trial.name}"))
    if problems:
        raise RequestError(*problems.values())
    return jobs


def _local(
    sweep: str, trials: Sequence[Trial], parallel: int, plan: bool, as_json: bool, flags: dict[str, Any]
) -> int:
    from launcher.cli.verbs import local
    from launcher.local import sweeping

    folder = Path(paths.absolute("run-dir", flags.get("run_dir") or f"runs/{sweep}"))
    unused = [
        name for name, value in flags.items() if value not in (None, (), False) and name not in local.FIELDS
    ]
    if unused:
        problems = [Problem(name.replace("_", "-"), "must be left out with --local") for name in unused]
        raise RequestError(*problems)
    jobs: list[TrainingJob] = []
    commands: dict[str, list[str]] = {}
    problems_by_text: dict[str, Problem] = {}
    after = ["--", *options.trainer_arguments()] if options.trainer_arguments() else []
    for trial in trials:
        own = _with(flags, trial) | {"run_dir": str(folder / trial.name)}
        try:
            jobs.append(local.request(own))
        except RequestError as error:
            problems_by_text |= {str(problem): problem for problem in error.problems}
        commands[trial.name] = ["local", *options.again(own), *after]
    if problems_by_text:
        raise RequestError(*problems_by_text.values())
    if plan or as_json:
        _print(trials, jobs, as_json)
    if plan:
        return 0
    options.announce(flags, local.FIELDS)
    options.warn(jobs[0])
    _note(f"{sweep}: {len(jobs)} runs on this machine, {parallel} at a time, in {folder}")
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        failed = sweeping.run(folder, commands, parallel, os.environ, _note)
    except KeyboardInterrupt:
        raise ActionError(
            "stopped: the runs have saved and ended", "the same command goes on with them"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, previous)
    if failed:
        raise ActionError(
            f"{len(failed)} of {len(jobs)} runs failed: {', '.join(failed[:5])}",
            f"their logs are in {folder}",
        )
    _note(f"next:\n  resnet-launch sweep status {sweep} --local")
    return 0


def _print(trials: Sequence[Trial], jobs: Sequence[TrainingJob], as_json: bool) -> None:
    """Print the runs: name, settings, run directory."""
    rows = [
        {"name": trial.name, "settings": dict(trial.settings), "run_dir": job.run_dir}
        for trial, job in zip(trials, jobs, strict=True)
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    shown = [
        {**row, "settings": " ".join(f"{name}={value}" for name, value in row["settings"].items())}
        for row in rows
    ]
    click.echo("\n".join(table.lines(("name", "settings", "run_dir"), shown)))


def _status(
    words: Sequence[str], local: bool, context: str | None, kubeconfig: str | None, flags: dict[str, Any]
) -> int:
    """Print the runs of a sweep on the cluster, and the results that their run directories hold."""
    from launcher.cli.verbs import board

    if len(words) != 2 or words[0] != "status":
        text = f"must be `status NAME` or flags only, got {' '.join(words)!r}"
        raise RequestError(Problem("arguments", text, "resnet-launch sweep status lr"))
    sweep = options.check("name", kubernetes_names.run, words[1])
    if local:
        folder = paths.absolute("run-dir", flags.get("run_dir") or f"runs/{sweep}")
        if not folder.startswith("gs://") and not os.path.isdir(folder):
            problem = f"no runs of a sweep {sweep!r} on this machine: there is no folder {folder}"
            raise ActionError(problem, f"resnet-launch sweep status {sweep}, for one on a cluster")
        return board.run([folder], ["--text"], prices.read(None))
    cluster = target.cluster(context, kubeconfig, options.values(flags).get("namespace"))
    rows = _rows(sweep, cluster)
    click.echo("\n".join(table.lines(("name", "phase", "step", "restarts", "reason"), rows)))
    run_dir = flags.get("run_dir") or next((row["folder"] for row in rows if row["folder"]), "")
    if not run_dir.startswith("gs://"):
        return 0
    click.echo("")
    return board.run([run_dir], ["--text"], prices.read(None))


def _rows(sweep: str, cluster: Cluster) -> list[dict[str, Any]]:
    from launcher.runs import sweeping

    rows = sweeping.rows(sweep, cluster)
    if not rows:
        problem = f"no runs of a sweep {sweep!r} in namespace {cluster.namespace}"
        raise ActionError(problem, f"resnet-launch sweep status {sweep} --local, for one of this machine")
    return rows


def _note(text: str) -> None:
    click.echo(text, err=True)
