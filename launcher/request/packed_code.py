"""The code of a run, packed: what `--code DIR` becomes before a job is made of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from launcher.request.readers import Wrong

DIRECTORY = "/code"  # of the pods, read-only
LARGEST_IN_CONFIGMAP = 900_000  # bytes of an archive: etcd takes 1.5 MiB, base64 and metadata included
KEYS = ("digest", "commit", "dirty", "archive")
HINT = "launcher.pack(DIR) packs a directory, as --code DIR does"


@dataclass(frozen=True, kw_only=True)
class PackedCode:
    """An archive of code, named by its content, and the commit that it comes from.

    Attributes:
      digest: SHA-256 of the archive, 64 hexadecimal digits.
      commit: commit of the repository, in hexadecimal; empty outside one, or before its first commit.
      dirty: tracked files differ from that commit.
      archive: bytes of the .tar.gz; empty where only its digest is known, as in the values of a chart.
      shadows: it has a module `trainer` that is not the project's, and would run in its place.
      largest: the largest files as text for an error; empty where they are not known.
      notes: what a person should know of the packing, such as files that were left out.
    """

    digest: str
    commit: str = ""
    dirty: bool = False
    archive: bytes = field(default=b"", repr=False)
    shadows: bool = field(default=False, compare=False, repr=False)
    largest: str = field(default="", compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def revision(self) -> str:
        """The commit, with `-dirty` where tracked files differ from it; empty without a commit."""
        return f"{self.commit}-dirty" if self.commit and self.dirty else self.commit

    @property
    def record(self) -> str:
        """Digest, commit and state as JSON, which the trainer writes down with each attempt."""
        document = {"commit": self.commit, "digest": self.digest, "dirty": self.dirty}
        return json.dumps(document, separators=(",", ":"))

    def place(self, run_dir: str) -> str:
        """Return the path or URL that the archive has in a run directory."""
        return f"{run_dir}/code/{self.digest}.tar.gz"


def read(value: Any) -> PackedCode:
    """Read packed code, or a mapping as a chart has it: digest, commit, dirty, archive in base64."""
    if isinstance(value, PackedCode):
        return value
    if not isinstance(value, Mapping) or not set(value) <= set(KEYS):
        raise Wrong("must be a directory, or packed code", value, HINT)
    digest, commit, dirty = value.get("digest"), value.get("commit", ""), value.get("dirty", False)
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise Wrong("must have a SHA-256 of 64 hexadecimal digits as digest", digest)
    if not isinstance(commit, str) or not re.fullmatch("([0-9a-f]{40}|[0-9a-f]{64})?", commit):
        raise Wrong("must have a commit of 40 or 64 hexadecimal digits", commit)
    if not isinstance(dirty, bool):
        raise Wrong("must have true or false as dirty", dirty)
    archive = _decoded(value.get("archive", ""))
    if archive and hashlib.sha256(archive).hexdigest() != digest:
        raise Wrong("must have an archive whose SHA-256 is its digest", digest)
    return PackedCode(digest=digest, commit=commit, dirty=dirty, archive=archive)


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise Wrong("must have an archive in base64", text) from None
