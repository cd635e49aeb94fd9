"""`resnet-launch image build`: build the image of the pods without Docker."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from launcher.cli import options
from launcher.errors import Problem, RequestError
from launcher.request import readers

WHAT = ("build",)
KINDS = ("cpu", "tpu", "gpu")
PROCESSORS = ("amd64", "arm64")


def _flag(name: str, text: str, metavar: str, **more: Any) -> click.Option:
    option: Any = click.Option([f"--{name}"], help=text, metavar=metavar, **more)
    option.heading = "Image"
    return option


PARAMS = [
    click.Argument(["what"], type=options.Checked(readers.one_of("build", "build")), metavar="build"),
    _flag(
        "target", "kind of slice that the image is for", "cpu|tpu|gpu",
        type=options.Checked(readers.one_of(*KINDS)), required=True,
    ),
    _flag(
        "processor", "processor of the hosts; arm64 for gb200 and gb300; amd64 if not given", "amd64|arm64",
        type=options.Checked(readers.one_of(*PROCESSORS)), default="amd64",
    ),
    _flag(
        "base",
        "image with Python 3.13 as /usr/local/bin/python to build on; python:3.13-slim if not given; "
        "NAME@sha256:… is always the same",
        "IMAGE",
    ),
    _flag("add", "directory of your own code, put beside the trainer: what --code DIR packs", "DIR"),
    _flag("requirements", "further packages, which must agree with constraints.txt", "FILE"),
    _flag(
        "push", "where the image goes; the tag is VERSION-TARGET if not given", "REGISTRY/REPOSITORY[:TAG]"
    ),
    _flag("output", "write an OCI archive, for `kind load image-archive` and `ctr images import`", "FILE"),
    _flag(
        "write-config", "write the pushed image, with its digest, as `image` into resnet-launch.yaml", "",
        is_flag=True,
    ),
]  # fmt: skip


@click.command(
    "image",
    cls=options.Command,
    params=PARAMS,
    example="resnet-launch image build --target tpu --push us-docker.pkg.dev/my-project/ml/resnet-launch",
)
def command(
    what: str,
    target: str,
    processor: str,
    base: str | None,
    add: str | None,
    requirements: str | None,
    push: str | None,
    output: str | None,
    write_config: bool,
) -> None:
    """Build the image of the pods without Docker, and push it.

    The layers of the base are taken from its registry, the packages are those of constraints.txt, the code is
    the trainer of this launcher. The same input gives the same image, and only layers that the registry lacks
    are uploaded. Prints the image with its digest.
    """
    from launcher.cli.stages import Stages
    from launcher.image import build as building
    from launcher.image.progress import size_text
    from launcher.image.target import BASE, Target
    from launcher.request import config_file

    begun = time.monotonic()
    kind = Target(kind=target, processor=processor)
    request = building.Request(
        target=kind,
        base=base or BASE,
        add=Path(add) if add else None,
        requirements=Path(requirements) if requirements else None,
        push=building.push_target(push, kind) if push else None,
        output=Path(output) if output else None,
    )
    if write_config and not push:
        problem = "must be used with --push, got none"
        raise RequestError(Problem("write-config", problem, "--push REGISTRY/REPOSITORY"))
    settings = config_file.nearest(Path.cwd()) if write_config else None
    with Stages() as stages:
        built = building.build(request, stages)
    for note in built.notes:
        print(f"warning: {note}", file=sys.stderr)
    click.echo(built.name)
    seconds = time.monotonic() - begun
    layers = ", ".join(f"{name} {size_text(size)}" for name, size in built.layer_bytes.items())
    print(f"layers: {layers}; {built.digest}", file=sys.stderr)
    if sent := built.sent:
        uploaded = f"{size_text(sent.uploaded_bytes)} uploaded"
        parts = f" (layers of {', '.join(sent.uploaded)})" if sent.uploaded else ""
        print(f"pushed in {seconds:.1f} s: {uploaded}{parts}", file=sys.stderr)
    if output:
        print(f"wrote {output}, {size_text(built.archive_bytes)}", file=sys.stderr)
    if settings:
        config_file.set_value(settings, "image", built.name)
        print(f"wrote image into {settings}", file=sys.stderr)
