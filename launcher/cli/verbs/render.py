"""`resnet-launch render`: print the manifests of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from launcher.cli import options
from launcher.errors import ActionError, Problem, RequestError, closest
from launcher.rendering import code
from launcher.rendering.jobset import render
from launcher.rendering.manifest import to_yaml
from launcher.request import tuning
from launcher.request.job import TrainingJob

FORMATS = {
    "jobset": "the objects",
    "helm-values": "values for the chart helm/resnet-train, which renders the same objects",
    "kustomize": "the objects as a base in the directory DIR",
}

KUSTOMIZE = "resnet-launch render DIR --format kustomize --slice v4-32 --arch resnet152"


@click.command(
    "render",
    cls=options.Command,
    params=[
        click.Argument(["directory"], required=False, metavar="[DIR]"),
        *options.flags(options.ALL),
        click.Option(
            ["--explain"], is_flag=True, help="add a comment to each field that says why it is there"
        ),
        click.Option(
            ["--format", "form"],
            metavar="FORMAT",
            default="jobset",
            help=f"{', '.join(f'{name}: {text}' for name, text in FORMATS.items())}; jobset if not given",
        ),
        click.Option(
            ["--save-code"], metavar="FILE", help="with --code: write the archive of the code to FILE"
        ),
    ],
    example="resnet-launch render --slice v4-32 --arch resnet152 > job.yaml",
)
def command(form: str, directory: str | None, explain: bool, save_code: str | None, **flags: Any) -> None:
    """Print the manifests of a run; needs no cluster and changes nothing.

    The same flags give the same bytes. Arguments for the trainer may follow after --.
    """
    _check(form, directory, explain)
    job = options.job(flags)
    if save_code is not None and not save_code.strip():
        raise RequestError(Problem("save-code", f"must be a file, got {save_code!r}"))
    if save_code and not job.code:
        raise RequestError(Problem("save-code", "must be used with --code", "--code DIR"))
    if job.code:
        _code(job, save_code)
    if form == "kustomize":
        _write(Path(directory or ""), job)
    elif form == "helm-values":
        from launcher.rendering import helm_values

        click.echo(to_yaml([helm_values.values(job, named_by_release=True)]), nl=False)
    else:
        click.echo(_manifest(job, explain), nl=False)


def _manifest(job: TrainingJob, explain: bool) -> str:
    manifest = to_yaml(render(job))
    if explain:
        from launcher.rendering import comments

        published = "".join(f"# {line}\n" for line in tuning.lines(job))
        manifest = published + comments.explain(manifest)
    return manifest


def _code(job: TrainingJob, file: str | None) -> None:
    """Print on stderr where the pods expect the code, and write its archive to a file if one is given."""
    assert job.code
    if file:
        try:
            Path(file).write_bytes(job.code.archive)
        except OSError as error:
            raise ActionError(f"cannot write {file}: {error.strerror}") from None
    if code.in_bucket(job):
        place = job.code.place(job.run_dir)
        print(f"the pods expect the code at {place}: `submit` puts it there, and so does", file=sys.stderr)
        first = "" if file else "the same command with --save-code FILE, then "
        print(f"  {first}gcloud storage cp {file or 'FILE'} {place}", file=sys.stderr)
    else:
        name = code.config_map(job.name, job.code)
        print(f"the pods expect the code in the ConfigMap {name}, which is rendered too", file=sys.stderr)


def _check(form: str, directory: str | None, explain: bool) -> None:
    if form not in FORMATS:
        raise RequestError(
            Problem("format", f"must be {', '.join(FORMATS)}, got {form!r}", closest(form, FORMATS))
        )
    if form == "kustomize" and not directory:
        raise RequestError(Problem("DIR", "must be given with --format kustomize", KUSTOMIZE))
    if form != "kustomize" and directory:
        text = f"must be left out unless --format is kustomize, got {directory!r}"
        raise RequestError(Problem("DIR", text, KUSTOMIZE))
    if form != "jobset" and explain:
        raise RequestError(Problem("explain", f"must be used with --format jobset, got {form}"))


def _write(folder: Path, job: TrainingJob) -> None:
    """Write a base for Kustomize, Argo CD or Flux; only the files of this run are replaced."""
    base = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{job.name}.yaml"],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{job.name}.yaml").write_text(to_yaml(render(job)), encoding="utf-8")
        (folder / "kustomization.yaml").write_text(to_yaml([base]), encoding="utf-8")
    except OSError as error:
        raise ActionError(f"cannot write {folder}: {error.strerror}") from None
