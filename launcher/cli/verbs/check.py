"""`resnet-launch check`: the truth before the launch."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import click

from launcher.check import assessment, batch_search, preflight, report
from launcher.check.plot import svg
from launcher.cli import options, table, target
from launcher.cli.spinner import Spinner
from launcher.cluster.kubeconfig import is_configured
from launcher.errors import Problem, RequestError
from launcher.request.job import TrainingJob
from launcher.runs import submission

OWN = [
    click.Option(["--estimate"], is_flag=True, help="count operations, without a compiler"),
    click.Option(["--code"], is_flag=True, help="have the compiler generate the code too: minutes"),
    click.Option(["--no-compile"], is_flag=True, help="ask the cluster alone"),
    click.Option(["--no-cluster"], is_flag=True, help="ask the compiler alone"),
    click.Option(["--compare"], metavar="SLICE,…", help="compile for several slices and list them by time"),
    click.Option(["--plot"], metavar="FILE", help="with --batch auto: rate and memory against batch, SVG"),
    click.Option(["--price"], type=float, metavar="MONEY", help="of a chip and hour: adds the cost"),
]


@click.command(
    "check",
    cls=options.Command,
    params=[*options.flags(options.ALL), *target.flags(namespace=False), *OWN, target.as_json()],
    example="resnet-launch check --slice v4-32 --arch resnet152",
)
def command(
    context: str | None,
    kubeconfig: str | None,
    estimate: bool,
    code: bool,
    no_compile: bool,
    no_cluster: bool,
    compare: str | None,
    price: float | None,
    plot: str | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Compile a run for its slice on this machine, predict its speed, and ask the cluster what it lacks.

    The compiler is the TPU's own (pip install 'resnet-launch[check]'): no TPU is needed, answers are kept.
    It fuses, schedules and lays out the memory; the code, nearly all of its time, it generates with --code.
    What is not a TPU slice is estimated. --batch auto finds the batch with the best predicted rate. Exit
    code 1: the cluster lacks something; 2: it does not fit, and the largest batch that does is named.
    """
    if price is not None and not 0 < price < 1e6:
        raise RequestError(Problem("price", f"must be a number above zero, got {price:g}", "--price 3.22"))
    chosen = given["batch"] == "auto"
    if plot and not (chosen and plot.endswith(".svg") and not no_compile):
        raise RequestError(
            Problem(
                "plot",
                f"must be a file .svg, with --batch auto, got {plot!r}",
                "--batch auto --plot batch.svg",
            )
        )
    if chosen and compare:
        raise RequestError(Problem("batch", "must be a number with --compare, got 'auto'"))
    if code and (chosen or estimate):
        other = "--batch auto" if chosen else "--estimate"
        raise RequestError(Problem("code", f"must be without {other}", "ask for the batch that it finds"))
    if chosen:
        given["batch"] = None
    if compare:
        return _compare(compare, given, price, estimate, code, as_json)
    cluster = None
    if not no_cluster and (context or kubeconfig or is_configured(os.environ)):
        cluster = target.cluster(context, kubeconfig, options.values(given).get("namespace"))
    job = options.job(given, *([submission.defaults(cluster)] if cluster else []))
    shown: dict[str, Any] = {}
    lines: list[str] = []
    findings: list[preflight.Finding] = []
    with Spinner() as progress:
        if not no_compile:
            answers = compiled(job, chosen, estimate, progress, code)
            shown |= report.document(answers[0], price)
            lines += report.lines(answers[0], price)
            if plot:
                write(Path(plot), svg(answers))
            if chosen:
                lines += ["", *table.lines(report.COLUMNS, (report.row(answer, price) for answer in answers))]
        if cluster:
            progress.show("asking the cluster")
            findings = [*preflight.findings(job, cluster)]
    if cluster:
        shown["cluster"] = [dataclasses.asdict(finding) for finding in findings]
        lines += ["", *(line for finding in findings for line in finding.lines())]
    click.echo(json.dumps(shown, indent=2) if as_json else "\n".join(lines).strip("\n"))
    return int(any(finding.level == "error" for finding in findings))


def compiled(
    job: TrainingJob, choose: bool, estimate: bool, progress: Spinner, code: bool = False
) -> list[assessment.Answer]:
    """The answer for the job's batch, or those for a few batches, the best first; it fits."""
    if choose:
        answers = batch_search.choose(job, progress.show, estimate)
    else:
        answers = [assessment.ask(job, progress.show, estimate=estimate, code=code)]
    if not answers[0].fits:
        until = time.monotonic() + batch_search.SEARCH_SECONDS
        most = batch_search.largest(answers, progress.show, until, answers[0].per_device)
        raise assessment.refusal(answers[0], most)
    return answers


def write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RequestError(Problem("plot", f"must be a file that can be written, {path}: {error}")) from None


def _compare(
    names: str, given: dict[str, Any], price: float | None, estimate: bool, code: bool, as_json: bool
) -> int:
    """A table of slices; one that does not fit is listed so."""
    jobs = [options.job(given | {"slice": name}) for name in names.split(",") if name.strip()]
    with Spinner() as progress:
        answers = assessment.compare(jobs, progress.show, estimate, code)
    if as_json:
        click.echo(json.dumps([report.document(answer, price) for answer in answers], indent=2))
    else:
        click.echo("\n".join(table.lines(report.COLUMNS, (report.row(answer, price) for answer in answers))))
    return 0
