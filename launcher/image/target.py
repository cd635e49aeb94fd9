"""What an image is for: the kind of slice and the processor of its hosts."""

from __future__ import annotations

from dataclasses import dataclass

from launcher.errors import Problem, RequestError
from launcher.version import __version__

KINDS = ("cpu", "tpu", "gpu")
PROCESSORS = ("amd64", "arm64")
PYTHON = (3, 13)  # of the base image
# Wheels that run on Ubuntu 22.04, Debian 12 and newer.
PLATFORMS = {"amd64": "x86_64-manylinux_2_35", "arm64": "aarch64-manylinux_2_35"}
BASE = "docker.io/library/python:3.13-slim"  # as in the Dockerfile


@dataclass(frozen=True, kw_only=True)
class Target:
    """An image of one kind for one processor."""

    kind: str
    processor: str = "amd64"

    def __post_init__(self) -> None:
        if self.kind == "tpu" and self.processor != "amd64":
            problem = f"must be amd64 with --target tpu, got {self.processor!r}"
            raise RequestError(Problem("processor", problem, "hosts of TPUs have amd64 processors"))

    @property
    def platform(self) -> str:
        """The platform in the words of registries, such as `linux/amd64`."""
        return f"linux/{self.processor}"

    @property
    def wheels(self) -> str:
        """The platform in the words of uv."""
        return PLATFORMS[self.processor]

    @property
    def extras(self) -> tuple[str, ...]:
        """The extras of this package that the image has."""
        return ({"cpu": "train"}.get(self.kind, self.kind), "tensorboard")

    @property
    def tag(self) -> str:
        """The tag of an image that has no other, as `--image` expects it by default."""
        return f"{__version__}-{self.kind}"

    @property
    def default_name(self) -> str:
        """The reference that runs use without `--image`."""
        return f"docker.io/library/resnet-launch:{self.tag}"
