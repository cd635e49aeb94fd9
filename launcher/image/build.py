"""An image from a request to its registry or archive."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from launcher.check import image_registry
from launcher.errors import Problem, RequestError
from launcher.image import archive, base, bytecode, code, document, packages, push
from launcher.image.cache import Cache, Damaged, open_cache
from launcher.image.credentials import credential
from launcher.image.progress import Progress
from launcher.image.registry import Registry
from launcher.image.target import BASE, Target

CODE, PACKAGES = "code", "packages"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to build and where it goes.

    Attributes:
      target: kind of slice and processor.
      base: reference of the image below.
      add: directory of code beside the trainer.
      requirements: file of further packages.
      push: repository and tag to push to.
      output: file for an OCI archive.
    """

    target: Target
    base: str = BASE
    add: Path | None = None
    requirements: Path | None = None
    push: image_registry.Image | None = None
    output: Path | None = None

    def __post_init__(self) -> None:
        if self.push is None and self.output is None:
            problem = "must be used where no --output is, got neither"
            raise RequestError(Problem("push", problem, "--push REGISTRY/REPOSITORY, or --output image.tar"))


@dataclass(frozen=True, kw_only=True)
class Built:
    """What came of a request.

    Attributes:
      name: reference with its digest where it was pushed, else the name that the archive gives it.
      digest: of the manifest.
      layer_bytes: compressed bytes of each of our layers.
      sent: what the push sent; None where nothing was pushed.
      archive_bytes: of the archive; 0 where none was written.
      notes: what a person should know.
    """

    name: str
    digest: str
    layer_bytes: dict[str, int]
    sent: push.Sent | None = None
    archive_bytes: int = 0
    notes: tuple[str, ...] = field(default=())


def push_target(reference: str, target: Target) -> image_registry.Image:
    """Return repository and tag of `--push`; a tag that is missing is that of the version and the kind.

    Raises:
      RequestError: it names no registry, or a digest.
    """
    image = base.parse("push", reference)
    named = image_registry.parse(reference)
    example = f"--push REGISTRY/{reference}" if len(reference) < 200 else ""
    if named is None:
        problem = f"must name a registry, as in REGISTRY/REPOSITORY, got {reference!r}"
        raise RequestError(Problem("push", problem, example))
    if "@" in reference:
        problem = f"must end with a tag or nothing, got {reference!r}"
        raise RequestError(Problem("push", problem, f"--push {reference.partition('@')[0]}"))
    if ":" not in reference.rpartition("/")[2]:
        return image_registry.Image(host=image.host, repository=image.repository, version=target.tag)
    return image


def build(request: Request, progress: Progress, cache: Cache | None = None) -> Built:
    """Build an image, push it and write its archive.

    Args:
      cache: where layers are kept; this user's own if not given.

    Raises:
      RequestError: a part of the request is wrong; nothing was pushed or written.
      ActionError: a registry or the package index refuses or does not answer, or the disk is full; the tag
        names what it named before.
    """
    base.parse("base", request.base)
    if request.output:
        archive.require_writable(request.output)
    members = code.trainer()
    added = code.added(request.add) if request.add else ()
    cache = cache or open_cache()
    target = _registry(request)
    if target:
        progress.stage(f"asking {target.image.host} whether you may push")
        target.require_push()
    progress.stage(f"reading the base image {request.base}")
    below = base.read(request.base, request.target, cache)
    progress.stage(f"resolving packages for {request.target.platform}")
    resolution = packages.resolve(request.target, request.requirements, cache)
    try:
        built = _deliver(request, below, resolution, (*members, *added), target, cache, progress)
    except Damaged:  # it has been deleted: what is lost is made again
        progress.stage("a layer of the cache is damaged and is made again")
        built = _deliver(request, below, resolution, (*members, *added), target, cache, progress)
    cache.forget_unused()
    return built


def _registry(request: Request) -> Registry | None:
    """Return the repository to push to, with the right to read the base where it is beside it."""
    if request.push is None:
        return None
    below = base.parse("base", request.base)
    scopes = [f"repository:{request.push.repository}:pull,push"]
    if below.host == request.push.host and below.repository != request.push.repository:
        scopes.append(f"repository:{below.repository}:pull")
    return Registry(request.push, credential(request.push.host), tuple(scopes))


def _deliver(
    request: Request,
    below: base.Base,
    resolution: packages.Resolution,
    members: tuple[code.Member, ...],
    target: Registry | None,
    cache: Cache,
    progress: Progress,
) -> Built:
    image, notes = _image(request, below, resolution, members, cache, progress)
    sent = push.push(image, target, cache, progress) if target else None
    name, size = request.target.default_name, 0
    if target:
        name = f"{target.image.host}/{target.image.repository}:{target.image.version}"
    if request.output:
        size = archive.write(image, name, request.output, cache, progress)
    return Built(
        name=f"{name}@{image.manifest.digest}" if target else name,
        digest=image.manifest.digest,
        layer_bytes={image.name(layer): layer.size for layer in image.layers if image.name(layer) != "base"},
        sent=sent,
        archive_bytes=size,
        notes=notes,
    )


def _image(
    request: Request,
    below: base.Base,
    resolution: packages.Resolution,
    members: tuple[code.Member, ...],
    cache: Cache,
    progress: Progress,
) -> tuple[push.Image, tuple[str, ...]]:
    def begin() -> None:
        progress.stage(f"packing {resolution.count} packages")

    def wait() -> None:
        progress.stage("waiting for another build of the same packages")

    layers = {
        PACKAGES: packages.packages_layer(
            resolution, request.target, cache, progress.advance, wait, begin
        ),
        CODE: code.code_layer(members, cache),
    }  # fmt: skip
    _, compiler = bytecode.compiler()
    labels = {document.CODE: code.digest(code.trainer()), document.BYTECODE: compiler or "none"}
    config = document.config(below, request.target, layers, labels)
    every = (*below.layers, *layers.values())
    notes = []
    if resolution.unpinned:
        notes.append(f"not pinned by constraints.txt: {', '.join(resolution.unpinned)}")
    if not compiler:
        notes.append(
            "no Python 3.13 here to compile modules with: pods start slower (uv python install 3.13)"
        )
    image = push.Image(
        base=below,
        config=config,
        manifest=document.manifest(below, config, every),
        layers=every,
        names={layer.digest: name for name, layer in layers.items()},
    )
    return image, tuple(notes)
