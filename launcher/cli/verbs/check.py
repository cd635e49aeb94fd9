"""`resnet-launch check`: whether a run fits, how fast it will be, and what the cluster lacks for it."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from launcher import contract
from launcher.check import accuracy_plot, assessment, batch_search, networks, preflight, prices, report
from launcher.check.plot import svg
from launcher.check.prices import Prices
from launcher.cli import options, table, target
from launcher.cli.spinner import Spinner
from launcher.cluster.kubeconfig import is_configured
from launcher.errors import ActionError, LauncherError, Problem, RequestError
from launcher.request import tuning
from launcher.request.job import TrainingJob
from launcher.runs import submission

# What `check` knows of this project's trainer alone.
UNKNOWN = "memory and speed are known for this project's trainer only"

OWN = [
    click.Option(["--estimate"], is_flag=True, help="count operations instead of compiling"),
    click.Option(
        ["--generate-code"], is_flag=True, help="also generate the program's code, which takes minutes"
    ),
    click.Option(["--no-compile"], is_flag=True, help="check the cluster only"),
    click.Option(
        ["--no-cluster"],
        is_flag=True,
        help="check memory and speed only",
    ),
    click.Option(
        ["--compare"],
        metavar="SLICE,…",
        help="compile for these slices too, beside --slice, and list the fastest first",
    ),
    click.Option(
        ["--compare-archs"],
        metavar="ARCH[@RECIPE],…",
        help="compare networks, each with its recipe of the best published accuracy or the one after @: "
        "accuracy, memory, predicted rate, time and chip-hours",
    ),
    click.Option(
        ["--plot"],
        metavar="FILE",
        help="as SVG: with --batch auto, throughput and memory by batch; with --compare-archs, accuracy "
        "against chip-hours",
    ),
    click.Option(
        ["--price"],
        metavar="PRICE",
        help="price of one chip per hour, or one per generation: v5e=1.2,v6e=2.7; adds the cost of the run",
    ),
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
    generate_code: bool,
    no_compile: bool,
    no_cluster: bool,
    compare: str | None,
    compare_archs: str | None,
    price: str | None,
    plot: str | None,
    as_json: bool,
    **flags: Any,
) -> int:
    """Compile a run for its slice on this machine, predict its speed, and ask the cluster what it lacks.

    No TPU is needed: the TPU compiler is a package (pip install '.[check]'), and results are
    cached. The compiler fuses, schedules and lays out memory; --generate-code writes the code too. That takes
    most of the time. Slices without TPUs are estimated. --batch auto finds the batch with the best predicted
    throughput. Exit code 1: the cluster lacks something. 2: the run does not fit; the error names the
    largest batch that does.
    """
    auto = flags["batch"] == "auto"
    _check_flags(auto, plot, compare, compare_archs, estimate, generate_code, no_compile)
    chip_prices = prices.read(price)
    if auto:
        flags["batch"] = None
    if compare:
        return _compare(compare, flags, chip_prices, estimate, generate_code, as_json)
    if compare_archs is not None:
        return _compare_archs(compare_archs, flags, chip_prices, estimate, generate_code, plot, as_json)
    cluster = None
    if not no_cluster and (context or kubeconfig or is_configured()):
        cluster = target.cluster(context, kubeconfig, options.values(flags).get("namespace"))
    defaults = [submission.defaults(cluster)] if cluster else []
    job = options.job(flags, *defaults, importing=not no_compile)
    if job.command:
        compilation = {
            "batch": auto,
            "plot": plot,
            "estimate": estimate,
            "generate-code": generate_code,
            "price": price,
        }
        _refuse_with_command({**compilation, "no-cluster": no_cluster})
        print(f"not checked: {UNKNOWN}", file=sys.stderr)
    if plot and not assessment.device_memory(job):
        problem = f"must be left out for {job.slice}: the speed of its hardware is not in the catalogue"
        raise RequestError(Problem("plot", problem, "--batch auto alone prints its table"))
    document: dict[str, Any] = {"unchecked": ["memory", "speed"]} if job.command else {}
    lines: list[str] = []
    findings: list[preflight.Finding] = []
    with Spinner() as spinner:
        if not (no_compile or job.command):
            assessments = compiled(job, auto, estimate, spinner, generate_code)
            document |= report.document(assessments[0], chip_prices)
            lines += report.lines(assessments[0], chip_prices)
            if plot:
                _write(Path(plot), svg(assessments))
            if auto:
                lines += ["", *_table(assessments, chip_prices)]
        if not no_cluster:
            spinner.show("checking the cluster" if cluster else "checking bucket, data and image")
            findings = [*preflight.findings(job, cluster)]
    if published := tuning.lines(job):
        document["published"] = [dataclasses.asdict(setting) for setting in tuning.settings(job)]
        lines += ["", *published]
    if findings:
        document["cluster"] = [dataclasses.asdict(finding) for finding in findings]
        lines += ["", *(line for finding in findings for line in finding.lines())]
    click.echo(json.dumps(document, indent=2) if as_json else "\n".join(lines).strip("\n"))
    return int(any(finding.level == "error" for finding in findings))


def _refuse_with_command(flags: Mapping[str, Any]) -> None:
    """Raise RequestError for flags about the compilation of a network, or where nothing is left to check."""
    problem = f"must be left out with command: {UNKNOWN}"
    hint = "check reads the cluster, the quota, the image and the bucket"
    if problems := [Problem(name, problem, hint) for name, value in flags.items() if value]:
        raise RequestError(*problems)


def _check_flags(
    auto: bool,
    plot: str | None,
    compare: str | None,
    compare_archs: str | None,
    estimate: bool,
    generate_code: bool,
    no_compile: bool,
) -> None:
    """Raise RequestError where a flag is wrong, or does not fit the others."""
    among_archs = compare_archs is not None
    if plot and not ((auto or among_archs) and plot.endswith(".svg") and not no_compile):
        text = f"must be an .svg file, together with --batch auto or --compare-archs, got {plot!r}"
        raise RequestError(Problem("plot", text, "--batch auto --plot batch.svg"))
    if auto and (compare or among_archs):
        flag = "--compare" if compare else "--compare-archs"
        raise RequestError(Problem("batch", f"must be a number with {flag}, got 'auto'"))
    if among_archs and (compare or no_compile):
        other = "--compare" if compare else "--no-compile"
        raise RequestError(Problem(networks.FIELD, f"must be left out with {other}"))
    if generate_code and (auto or estimate):
        other = "--batch auto" if auto else "--estimate"
        hint = "first --batch auto, then --generate-code with the batch that it finds" if auto else ""
        raise RequestError(Problem("generate-code", f"must be left out with {other}", hint))


def _compare_archs(
    names: str,
    flags: dict[str, Any],
    chip_prices: Prices,
    estimate: bool,
    generate_code: bool,
    plot: str | None,
    as_json: bool,
) -> int:
    """Print a table of networks, each with its recipe; return 1 where one of them could not be compiled."""
    if options.values(flags).get("command"):
        raise RequestError(Problem(networks.FIELD, f"must be left out with command: {UNKNOWN}"))
    if flags["arch"]:
        text = f"must be left out with --compare-archs, which names the networks, got {flags['arch']!r}"
        raise RequestError(Problem("arch", text))
    choices = networks.read(names, flags["recipe"] or "")
    jobs = {choice: options.request(flags | _network(choice)) for choice in choices}
    compiles = not estimate and any(job.shape.kind == "tpu" for job in jobs.values())
    if compiles and importlib.util.find_spec("libtpu") is None:
        estimate = True
        print("estimated: the TPU compiler is not installed (pip install '.[check]')", file=sys.stderr)
    with Spinner() as spinner:

        def assess(choice: networks.Choice) -> assessment.Assessment | str:
            spinner.show(f"{choice}:")
            try:
                return assessment.assess(jobs[choice], spinner.show, estimate=estimate, code=generate_code)
            except LauncherError as error:
                return "; ".join(message for message, _ in error.messages())

        compared = networks.ordered(networks.assess_all(choices, assess))
    failures = [one.failure for one in compared if one.failure]
    if len(failures) == len(compared):
        raise ActionError(f"no network could be assessed: {failures[0]}")
    if plot:
        first = next(iter(jobs.values()))
        _write(Path(plot), accuracy_plot.svg(compared, f"one run of each recipe on {first.slice}"))
    if as_json:
        click.echo(json.dumps([networks.document(one, chip_prices) for one in compared], indent=2))
    else:
        rows = (networks.row(one, chip_prices) for one in compared)
        click.echo("\n".join([*table.lines(networks.COLUMNS, rows), "", *networks.notes(compared)]))
    return int(bool(failures))


def _network(choice: networks.Choice) -> dict[str, Any]:
    """Return the flags of a network; one without a recipe has that of images in a bucket."""
    return {"arch": choice.arch, "recipe": choice.recipe or contract.document()["path_recipe"]}


def compiled(
    job: TrainingJob, auto: bool, estimate: bool, spinner: Spinner, generate_code: bool = False
) -> list[assessment.Assessment]:
    """Return the assessment of the job's batch or, with `auto`, those of a few batches, the best first.

    Raises:
      RequestError: the job does not fit; the hint names the largest batch that does.
    """
    if auto:
        assessments = batch_search.choose(job, spinner.show, estimate)
    else:
        assessments = [assessment.assess(job, spinner.show, estimate=estimate, code=generate_code)]
    if not assessments[0].fits:
        until = time.monotonic() + batch_search.SEARCH_SECONDS
        largest = batch_search.largest(assessments, spinner.show, until, assessments[0].batch_per_device)
        raise assessment.does_not_fit(assessments[0], largest)
    return assessments


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        text = f"must be a file that can be written, got {str(path)!r}: {error.strerror}"
        raise RequestError(Problem("plot", text)) from None


def _table(assessments: Iterable[assessment.Assessment], chip_prices: Prices) -> list[str]:
    return table.lines(report.COLUMNS, (report.row(result, chip_prices) for result in assessments))


def _compare(
    names: str, flags: dict[str, Any], chip_prices: Prices, estimate: bool, generate_code: bool, as_json: bool
) -> int:
    """Print a table of the run's slice and others, including those that the run does not fit."""
    listed = [options.values(flags).get("slice", ""), *(name.strip() for name in names.split(","))]
    if options.values(flags).get("command"):
        raise RequestError(Problem("compare", f"must be left out with command: {UNKNOWN}"))
    first, *others = [name for name in dict.fromkeys(listed) if name] or [""]
    jobs = [options.job(flags | {"slice": first or None}, importing=True)]  # prints the warnings once
    jobs += [options.request(flags | {"slice": name}) for name in others]
    with Spinner() as spinner:
        assessments = assessment.compare(jobs, spinner.show, estimate, generate_code)
    if as_json:
        click.echo(json.dumps([report.document(result, chip_prices) for result in assessments], indent=2))
    else:
        click.echo("\n".join(_table(assessments, chip_prices)))
    return 0
