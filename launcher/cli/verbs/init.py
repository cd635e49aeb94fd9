"""`resnet-launch init`: write resnet-launch.yaml, and print the commands that a first run still needs."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from launcher import files, keys
from launcher.cli import options, target
from launcher.cluster.kubeconfig import is_configured
from launcher.errors import ActionError, Problem, RequestError
from launcher.hardware import slices
from launcher.request import discovery, kubernetes_names, readers
from launcher.request.job import TrainingJob
from launcher.request.readers import Wrong
from launcher.version import __version__

if TYPE_CHECKING:
    from launcher.check.first_steps import Step
    from launcher.cluster.api import Cluster


def _registry(value: Any) -> str:
    """Read a registry with its repository: europe-docker.pkg.dev/PROJECT/REPOSITORY."""
    text = readers.text(value).rstrip("/")
    try:
        kubernetes_names.image(f"{text}/{keys.APP}:x")
    except Wrong:
        text = ""
    if not text or (":" in text.rpartition("/")[2] and "/" in text) or "@" in text:
        raise Wrong("must be a registry and a repository such as europe-docker.pkg.dev/PROJECT/team", value)
    return text


def _slice(value: Any) -> str:
    try:
        return slices.parse(readers.text(value)).name
    except RequestError as error:
        problem = error.problems[0]
        wrong = Wrong("", value, problem.hint)
        wrong.args = (problem.message,)
        raise wrong from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One value: its flag, the reader that checks it, the text that asks for it, its metavar."""

    name: str
    read: readers.Reader
    text: str
    metavar: str

    @property
    def flag(self) -> str:
        """The flag that answers the question."""
        return f"--{self.name.replace('_', '-')}"


QUESTIONS = [
    Question(
        name="slice",
        read=_slice,
        text="hardware of a run, for its node pool: v5e-16, h100-8, cpu-2x1 …",
        metavar="SLICE",
    ),
    Question(
        name="bucket", read=kubernetes_names.bucket, text="bucket that keeps the runs", metavar="BUCKET"
    ),
    Question(
        name="registry",
        read=_registry,
        text="registry and repository of the image, without its name",
        metavar="REGISTRY",
    ),
    Question(name="namespace", read=kubernetes_names.namespace, text="namespace of the runs", metavar="NAME"),
    Question(name="queue", read=kubernetes_names.short, text="local queue of Kueue", metavar="NAME"),
    Question(
        name="service_account",
        read=kubernetes_names.subdomain,
        text="Kubernetes service account of the pods",
        metavar="NAME",
    ),
]


@click.command(
    "init",
    cls=options.Command,
    params=[
        *(
            click.Option([question.flag], metavar=question.metavar, help=question.text)
            for question in QUESTIONS
        ),
        *target.flags(namespace=False),
        click.Option(["--yes", "-y"], is_flag=True, help="do not ask; what is not given is left out"),
        click.Option(["--force"], is_flag=True, help="replace an existing resnet-launch.yaml"),
    ],
    example="resnet-launch init --bucket my-bucket --slice v5e-16",
)
def command(context: str | None, kubeconfig: str | None, yes: bool, force: bool, **flags: str | None) -> None:
    """Ask for bucket, registry, namespace, queue and service account, and write resnet-launch.yaml here.

    Each is tried as `check` tries it. What is missing is printed on stdout as commands to copy, with
    comments. No command is run, and neither the cluster nor Google Cloud is changed. Words in capitals are
    for you to replace.
    """
    path = _folder() / discovery.FILE
    if not force and os.path.lexists(path):
        problem = f"must not exist yet, got {path}"
        raise RequestError(Problem(discovery.FILE, problem, "--force replaces it"))
    answers = _answers(flags, yes)
    cluster = _cluster(context, kubeconfig, answers)
    steps = _steps(answers, cluster)
    for step in steps:
        print(*step.finding.lines(), sep="\n", file=sys.stderr)
    text = _text(answers)
    if not yes and _is_terminal():
        print(f"\n{text}", file=sys.stderr)
        click.confirm(f"write this to {path}?", default=True, abort=True, err=True)
    _write(path, text, force)
    print(f"wrote {path}", file=sys.stderr)
    _print_commands(steps)
    name = answers.get("slice") or "v5e-16"
    print(f"next: resnet-launch check --slice {name} --arch resnet50", file=sys.stderr)


def _folder() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise ActionError(
            f"cannot write {discovery.FILE} into the current folder: {error.strerror}"
        ) from None


def _answers(flags: Mapping[str, str | None], yes: bool) -> dict[str, str]:
    """Return the checked values of the flags, and of the questions where there is a terminal.

    Raises:
      RequestError: a flag is wrong, or there is no terminal to ask for one that lacks.
    """
    problems = []
    answers: dict[str, str] = {}
    for question in QUESTIONS:
        value = flags[question.name]
        if value is None:
            continue
        try:
            answers[question.name] = question.read(value)
        except Wrong as wrong:
            problems.append(Problem(question.name.replace("_", "-"), str(wrong), wrong.hint))
    if problems:
        raise RequestError(*problems)
    open_questions = [question for question in QUESTIONS if question.name not in answers]
    if yes or not open_questions:
        return answers
    if not _is_terminal():
        lacking = " ".join(f"{question.flag} {question.metavar}" for question in open_questions)
        problem = f"must be given where there is no terminal to ask on, or these: {lacking}"
        raise RequestError(Problem("yes", problem, "--yes leaves out what is not given"))
    print("An empty line leaves a value out.", file=sys.stderr)
    for question in open_questions:
        if answer := _ask(question):
            answers[question.name] = answer
    return answers


def _ask(question: Question) -> str:
    """Ask until the answer can be used; empty where there is none."""
    while True:
        typed = click.prompt(question.text, default="", show_default=False, err=True).strip()
        if not typed:
            return ""
        try:
            return question.read(typed)
        except Wrong as wrong:
            print(f"{wrong}" + (f" ({wrong.hint})" if wrong.hint else ""), file=sys.stderr)


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _cluster(context: str | None, kubeconfig: str | None, answers: Mapping[str, str]) -> Cluster | None:
    if not (context or kubeconfig or is_configured()):
        return None
    from launcher.cluster.api import Cluster

    return Cluster(context, answers.get("namespace"), kubeconfig)


def _steps(answers: Mapping[str, str], cluster: Cluster | None) -> list[Step]:
    """Return what was looked at, each with its commands."""
    from launcher.check import first_steps, installation
    from launcher.cli.spinner import Spinner

    shape = slices.parse(answers["slice"]) if "slice" in answers else None
    site = installation.Site(
        namespace=answers.get("namespace") or (cluster.namespace if cluster else "default"),
        account=answers.get("service_account", "trainer"),
        bucket=answers.get("bucket", "gs://BUCKET"),
        queue=answers.get("queue", ""),
        image=_image(answers) or f"REGISTRY/{keys.APP}",
        shape=shape,
    )
    if cluster:
        site = dataclasses.replace(site, **installation.of_context(cluster.context))
    fields: dict[str, Any] = {
        "slice": answers.get("slice", "cpu-1x1"),
        "bucket": answers.get("bucket"),
        "image": _image(answers),
        "queue": answers.get("queue"),
        "service_account": answers.get("service_account"),
        "placement_policy": "policy" if shape and shape.placement_policy else None,
    }
    job = TrainingJob(arch="resnet50", name="first", **fields)
    with Spinner() as spinner:
        spinner.show("looking at cluster, bucket and registry")
        asked = {*answers}
        try:
            return [*first_steps.steps(job, site, cluster, asked)]
        except ActionError as error:
            if cluster is None:
                raise
            outside = [*first_steps.outside(job, site, asked)]
            return [first_steps.unreachable(error), *outside]


def _image(answers: Mapping[str, str]) -> str | None:
    """Return the image of a registry, of this version and for the kind of the slice."""
    if "registry" not in answers:
        return None
    kind = slices.parse(answers["slice"]).kind if "slice" in answers else "tpu"
    return f"{answers['registry']}/{keys.APP}:{__version__}-{kind}"


def _text(answers: Mapping[str, str]) -> str:
    """Return resnet-launch.yaml; what was left out stands there as a comment."""
    from launcher.rendering.manifest import to_yaml

    values = {
        "image": _image(answers),
        "bucket": (answers.get("bucket") or "").removeprefix("gs://"),
        "namespace": answers.get("namespace"),
        "queue": answers.get("queue"),
        "service-account": answers.get("service_account"),
    }
    named = {name: value for name, value in values.items() if value}
    lines = ["# Defaults of `resnet-launch` in this folder and below it; a flag wins over them."]
    lines += [f"# {name}:" for name, value in values.items() if not value]
    return "\n".join([*lines, to_yaml([named]) if named else "{}\n"])


def _write(path: Path, text: str, force: bool) -> None:
    """Write the file whole or not at all; another one that came meanwhile stays, unless it may go.

    Raises:
      RequestError: the file has been created meanwhile.
      ActionError: it cannot be written.
    """
    try:
        files.write(path, text, 0o644, new=not force)  # a file that others can write to is not used
    except FileExistsError:
        problem = f"must not exist yet, got {path}"
        raise RequestError(Problem(discovery.FILE, problem, "--force replaces it")) from None
    except OSError as error:
        raise ActionError(f"cannot write {path}: {error.strerror}") from None


def _print_commands(steps: list[Step]) -> None:
    """Print the missing commands on stdout, each group below a comment that says what it is for."""
    missing = [step for step in steps if step.commands]
    if not missing:
        print("nothing is missing that could be looked at", file=sys.stderr)
        return
    count = "1 thing is" if len(missing) == 1 else f"{len(missing)} things are"
    print(f"{count} missing; these commands add them:\n", file=sys.stderr)
    for number, step in enumerate(missing):
        click.echo(("\n" if number else "") + f"# {step.title}")
        for line in step.commands:
            click.echo(line)
    print(file=sys.stderr)
