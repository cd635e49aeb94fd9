"""Small images for tests: without JAX, so that a build moves some megabytes instead of gigabytes."""

import json
import urllib.request
from pathlib import Path
from typing import Any

from launcher.image import build
from launcher.image.cache import open_cache
from launcher.image.target import Target

ACCEPT = "application/vnd.oci.image.manifest.v1+json"


class Small(Target):
    """An image with the packages of the launcher alone."""

    @property
    def extras(self) -> tuple[str, ...]:
        """No extra."""
        return ()


class Stages:
    """What a build shows."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.bytes = 0

    def stage(self, text: str, total: int | None = None) -> None:
        self.texts.append(text)

    def advance(self, amount: int) -> None:
        self.bytes += amount


def request(reference: str, base: str, **more: Any) -> build.Request:
    """Return a request to push a small image."""
    target = Small(kind="cpu")
    return build.Request(target=target, push=build.push_target(reference, target), base=base, **more)


def built(request: build.Request, cache: Path, stages: Stages | None = None) -> build.Built:
    """Build an image with a cache of the test's own."""
    return build.build(request, stages or Stages(), open_cache(cache))


def manifest(reference: str) -> Any:
    """Return the manifest of HOST/REPOSITORY:TAG@DIGEST or HOST/REPOSITORY:TAG."""
    host, _, path = reference.partition("/")
    name, _, digest = path.partition("@")
    repository, _, tag = name.partition(":")
    url = f"http://{host}/v2/{repository}/manifests/{digest or tag}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": ACCEPT})) as reply:
        return json.load(reply)
