"""`resnet-launch status NAME`: the state of a run, and why it waits or failed."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from launcher import contract
from launcher.cli import options, table, target, terminal
from launcher.errors import printable

if TYPE_CHECKING:
    from launcher.cluster.api import Cluster

FIGURES = 3  # numbers of a kind that are shown of one line
LONGEST = 80  # characters of a value, which any program may have printed
LARGEST = 1e300  # a larger integer cannot be formatted; notes on a run may hold anything
RATE = "_per_second"
LAST_LINES = 12  # shown of the message of the pod that failed first
WATCH_SECONDS = 2.0  # between two looks with --watch
CLEAR = "\x1b[H\x1b[2J"  # moves to the top of a terminal and clears it
WATCH = click.Option(["--watch", "-w"], is_flag=True, help="show every change until the run is over")


@click.command(
    "status",
    cls=options.Command,
    params=[target.name(), WATCH, *target.flags(), target.as_json()],
    example="resnet-launch status resnet152-v4-32",
)
def command(
    name: str, watch: bool, context: str | None, kubeconfig: str | None, namespace: str | None, as_json: bool
) -> None:
    """Show a run's phase, pods, restarts, step, throughput and time left, and why it waits or failed.

    With --watch and --json it prints one document per line and change.
    """
    from launcher.runs.status import status

    cluster = target.cluster(context, kubeconfig, namespace)
    if watch:
        _watch(cluster, name, as_json)
        return
    run = status(cluster, name)
    click.echo(json.dumps(run, indent=2) if as_json else "\n".join(page(run)))


def _watch(cluster: Cluster, name: str, as_json: bool) -> None:
    """Print a run's status at each change, until the run is over or the reader interrupts."""
    from launcher.runs.status import status

    shown, in_place = "", sys.stdout.isatty() and not as_json
    try:
        while True:
            run = status(cluster, name)
            changing = {"seconds": None} if as_json else {}  # grows at each look, which is no change
            text = json.dumps(run | changing) if as_json else "\n".join(page(run))
            if text != shown:
                if in_place:
                    terminal.raw(sys.stdout).write(CLEAR)
                click.echo(("\n" if shown and not as_json and not in_place else "") + text)
                shown = text
            if run["phase"] in ("Completed", "Failed"):
                return
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return


def page(run: dict[str, Any]) -> list[str]:
    """Return the lines to print for a run's status."""
    restarts, pods = run["restarts"], run["pods"]
    slices = f"{run['slices']} x {run['slice']}" if run["slices"] > 1 else run["slice"]
    hosts = f"{run['hosts']} host{'s' * (run['hosts'] != 1)}"
    rows = [
        ("phase", run["phase"]),
        ("slice", ", ".join(filter(None, (slices, hosts, run["arch"])))),
        ("command", _short(shlex.join(run["command"]))),
        ("pods", ", ".join(f"{count} {phase}" for phase, count in pods.items()) or "none"),
        ("restarts", _restarts(restarts, run["rejected"]["restarts"])),
        *_times(run),
        ("run dir", run["run_dir"]),
        ("code", _code(run.get("code", {}))),
        ("submitted by", run["submitted_by"]),
    ]
    rows += [("why", text) for text in run["why"]]
    if failed := run["failed"]:
        code = "" if failed["exit_code"] is None else f"exit code {failed['exit_code']}, "
        rows.append(("failed first", f"{_subject(failed)}: {code}{failed['meaning']}"))
        rows += [("", f"  {line}") for line in failed["message"].splitlines()[-LAST_LINES:]]
    elif failure := run["last_failure"]:
        rows.append(("last failure", f"{_ago(failure['at'])}{failure['message']}"))
    if moved := run["last_preemption"]:
        rows.append(("preempted", f"{_ago(moved['at'])}{moved['message']}"))
    rows += _training(run)
    if run["startup_seconds"]:
        milestones = ", ".join(
            f"{name.replace('_', ' ')} {seconds:g} s" for name, seconds in run["startup_seconds"].items()
        )
        rows.append(("start-up", milestones))
    return [printable(run["name"]), *(f"  {key:13} {printable(text)}" for key, text in rows if text)]


def _restarts(restarts: Mapping[str, int], rejected: int) -> str:
    """Return `5 (1 of 10 used; 4 not counted, at least 3 of them after rejected pods)`."""
    uncounted = restarts["total"] - restarts["counted"]
    text = f"{restarts['total']} ({restarts['counted']} of {restarts['max']} used"
    if rejected:  # as far as events show: they expire
        share = "" if rejected == uncounted else f"at least {rejected} of them "
        text += f"; {uncounted} not counted, {share}after rejected pods"
    return f"{text})"


def _code(code: dict[str, Any]) -> str:
    """Return `commit 1a2b3c4d5e6f with uncommitted changes, sha256:9f86d0818842`; empty without --code."""
    if not code:
        return ""
    commit = f"commit {code['commit'][:12]}" if code["commit"] else "no commit"
    changes = " with uncommitted changes" if code["dirty"] else ""
    return f"{commit}{changes}, {code['digest'][: len('sha256:') + 12]}"


def _times(run: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the age of a living run, or when one that is over ended and how long it took."""
    if not run["finished"]:
        return [("age", table.age(run["created"]) if run["created"] else "")]
    took = "" if run["seconds"] is None else f", {table.seconds(run['seconds'])} after its submission"
    return [("finished", f"{run['finished']}{took}")]


def _subject(failed: dict[str, Any]) -> str:
    container = "" if failed["container"] in ("", "trainer") else f"container {failed['container']} of "
    return f"{container}{failed['pod']}" + (f" on node {failed['node']}" if failed["node"] else "")


def _ago(at: str) -> str:
    return f"{table.age(at)} ago: " if at else ""


def _training(run: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    progress: contract.ProgressLine = run["progress"]
    evaluation: contract.EvaluateLine = run["evaluation"]
    if "step" in progress:
        total = f" of {_number(progress['steps'], '')}" if "steps" in progress else ""
        loss = f", loss {_number(progress['loss'], '.4f')}" if "loss" in progress else ""
        noted = ", when it was suspended" if run["suspended"] else ""
        rows.append(("step", f"{_number(progress['step'], '')}{total}{loss}{noted}"))
    if rates := [*_rates(progress)]:
        if "data_wait" in progress:
            rates.append(f"{_number(progress['data_wait'], '.1%')} of the time waiting for data")
        rows.append(("throughput", ", ".join(rates)))
    if text := _against_prediction(progress):
        rows.append(("as predicted", text))
    if run["phase"] == "Running" and isinstance(left := progress.get("eta_seconds"), (int, float)):
        rows.append(("time left", table.seconds(left)))
    if "accuracy" in evaluation:
        rows.append(("accuracy", _accuracy(evaluation)))
    elif figures := [*_figures(evaluation)]:
        rows.append(("evaluation", ", ".join(figures) + _at_step(evaluation)))
    best: contract.EvaluateLine = run["best"]
    if best and best.get("step") != evaluation.get("step"):
        rows.append(("best accuracy", _accuracy(best)))
    return rows


def _against_prediction(progress: contract.ProgressLine) -> str:
    """Return `62% of 1,200 images/s; waiting for data, 40% of the time`; empty without a prediction."""
    measured, predicted = progress.get("images_per_second"), progress.get("predicted")
    if not (isinstance(measured, (int, float)) and isinstance(predicted, (int, float)) and predicted > 0):
        return ""
    slow = progress.get("slow", "")
    cause = f"; likely cause: {_short(str(slow))}" if slow else ""
    return f"{_number(measured / predicted, '.0%')} of {_number(predicted, ',.0f')} images/s{cause}"


def _accuracy(evaluation: contract.EvaluateLine) -> str:
    return f"{_number(evaluation.get('accuracy'), '.2%')}{_at_step(evaluation)}"


def _at_step(evaluation: Mapping[str, Any]) -> str:
    return f" at step {_number(evaluation['step'], '')}" if "step" in evaluation else ""


def _figures(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """Yield `loss 2.31` for the first numbers of an evaluation without an accuracy."""
    numbers = [(name, value) for name, value in evaluation.items() if isinstance(value, (int, float))]
    for name, value in [row for row in numbers if row[0] not in ("step", "at")][:FIGURES]:
        yield f"{_short(name.replace('_', ' '))} {value:.5g}"


def _rates(progress: Mapping[str, Any]) -> Iterator[str]:
    """Yield `1,234 tokens/s` for values such as tokens_per_second."""
    rates = [(name, value) for name, value in progress.items() if name.endswith(RATE)]
    for name, value in rates[:FIGURES]:
        yield f"{_number(value, ',.0f')} {_short(name.removesuffix(RATE).replace('_', ' '))}/s"


def _number(value: Any, form: str) -> str:
    """Return a formatted number; a value that is no number, such as a loss of nan, as in the log."""
    if isinstance(value, (int, float)) and abs(value) < LARGEST:
        return format(value, form)
    return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
