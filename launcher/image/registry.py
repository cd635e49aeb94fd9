"""A registry that is read from and pushed to: manifests and blobs, with credentials.

The protocol is that of the OCI distribution specification 1.1:
https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from launcher.check.image_registry import DIGEST, INDEXES, MANIFESTS, Image, is_allowed
from launcher.errors import ActionError, printable
from launcher.image import exchange
from launcher.image.credentials import Credential
from launcher.image.exchange import BUSY, TRIES, Exchange, Missing, Passing, Refused

BLOCK = 1 << 20
SHA256 = re.compile(r"sha256:[0-9a-f]{64}")

Count = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest or index as the registry sent it."""

    content: dict[str, Any]
    digest: str
    media_type: str


class Registry:
    """One repository of a registry.

    Args:
      image: the repository; its tag or digest is not used.
      credential: what to show where the registry asks for it.
      scopes: rights to ask for, such as `repository:team/resnet:pull,push`.
      tries: how often a request is sent that fails in a way that may pass.
    """

    def __init__(
        self, image: Image, credential: Credential, scopes: tuple[str, ...], tries: int = TRIES
    ) -> None:
        self.image, self._exchange = image, Exchange(image, credential, scopes, tries)

    # ---- reading

    def manifest(self, version: str) -> Manifest:
        """Return a manifest or an index by its tag or digest.

        Raises:
          Missing: there is none.
          ActionError: the registry refuses, does not answer, or sends something else.
        """
        url = f"{self.image.url}/manifests/{version}"
        kinds = {"Accept": ", ".join((*INDEXES, *MANIFESTS))}
        reply = self._exchange.document("GET", url, "read", headers=kinds)
        if reply.status_code == 404:
            raise Missing(f"{self.image.host} has no {self.image.repository}{_shown(version)}")
        self._exchange.expect(reply, 200)
        return self._parsed(reply.content, reply.headers.get("Content-Type", ""), version)

    def _parsed(self, body: bytes, media_type: str, version: str) -> Manifest:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if version.startswith("sha256:") and digest != version:
            raise self._exchange.nonsense(f"a manifest whose digest is not {version}")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise self._exchange.nonsense("something that is no manifest of an image")
        named = content.get("mediaType")
        kind = named if isinstance(named, str) else media_type.partition(";")[0].strip()
        return Manifest(content=content, digest=digest, media_type=kind)

    def blob(self, digest: str, count: Count = lambda n: None) -> Iterator[bytes]:
        """Yield the bytes of a blob; whoever keeps them compares their digest.

        Raises:
          Missing: there is none.
          ActionError: as for `manifest`.
        """
        reply = self._exchange.request("GET", f"{self.image.url}/blobs/{digest}", "read")
        try:
            if reply.status_code == 404:
                raise Missing(f"{self.image.host} has no blob {digest} in {self.image.repository}")
            self._exchange.expect(reply, 200)
            with self._exchange.errors():
                for block in reply.iter_content(BLOCK):
                    count(len(block))
                    yield block
        finally:
            reply.close()

    def has_blob(self, digest: str) -> bool:
        """Return whether the repository has a blob."""
        reply = self._exchange.document("HEAD", f"{self.image.url}/blobs/{digest}", "push to")
        if reply.status_code != 404:
            self._exchange.expect(reply, 200)
        return reply.status_code == 200

    # ---- writing

    def require_push(self) -> None:
        """Begin an upload and give it up, so that a refusal comes before any work.

        Raises:
          Refused: this user may not push here.
        """
        location = self._begin()
        with contextlib.suppress(ActionError):  # registries delete uploads that are not finished
            self._exchange.document("DELETE", location, "push to").close()

    def mount(self, digest: str, source: str) -> bool:
        """Let the repository have a blob of another one of the same registry; return whether it now does."""
        query = urllib.parse.urlencode({"mount": digest, "from": source})
        try:
            reply = self._exchange.document(
                "POST", f"{self.image.url}/blobs/uploads/?{query}", "push to", body=b""
            )
        except Refused:  # the right to push here is no right to read there
            return False
        return reply.status_code == 201  # 202: the registry offers an upload instead

    def upload(self, digest: str, size: int, open_: Callable[[], BinaryIO], count: Count) -> None:
        """Upload a blob in one request; a connection that breaks is tried again from the start.

        Args:
          open_: opens the content.
          count: is called with the number of bytes as they are sent; with a negative one for a new try.
        """
        for number in range(TRIES):
            location = self._begin()
            url = f"{location}{'&' if urllib.parse.urlsplit(location).query else '?'}digest={digest}"
            with open_() as file:
                body = _Body(file, size, count)
                if self._is_uploaded(url, body, number):
                    return
            count(-body.sent)
            time.sleep(exchange.PAUSE_SECONDS * 2**number)

    def _is_uploaded(self, url: str, body: _Body, number: int) -> bool:
        """Send a blob once; return False where another try may do.

        Raises:
          Refused: this user may not push, also with a new token.
          ActionError: the registry fails otherwise, or at the last try.
        """
        last = number == TRIES - 1
        kind = {"Content-Type": "application/octet-stream"}
        try:
            reply = self._exchange.send("PUT", url, body, kind)
        except Passing:
            if last:
                raise
            return False
        if reply.status_code == 401 and not number and self._exchange.authenticate(reply):
            return False  # a token is valid for minutes, and an upload before this one may have taken longer
        if reply.status_code in (401, 403):
            raise self._exchange.refused(reply, "push to")
        if reply.status_code in BUSY and not last:
            reply.close()
            return False
        self._exchange.expect(reply, 201, 204)
        reply.close()
        return True

    def put_manifest(self, version: str, body: bytes, media_type: str) -> None:
        """Store a manifest under a tag or its digest; from then on the image can be pulled."""
        url = f"{self.image.url}/manifests/{version}"
        reply = self._exchange.document(
            "PUT", url, "push to", body=body, headers={"Content-Type": media_type}
        )
        self._exchange.expect(reply, 201, 200)
        stored = reply.headers.get("Docker-Content-Digest", "")
        if SHA256.fullmatch(stored) and stored != f"sha256:{hashlib.sha256(body).hexdigest()}":
            raise self._exchange.nonsense("another digest than that of the manifest that was sent")

    def _begin(self) -> str:
        """Begin an upload and return its address."""
        reply = self._exchange.document("POST", f"{self.image.url}/blobs/uploads/", "push to", body=b"")
        if reply.status_code == 404:
            name, why = self.image.repository, exchange.reason(reply)
            problem = f"{self.image.host} has no repository {name} to push to{why}"
            raise Missing(problem, "the registry's team creates it first, or another name in --push")
        self._exchange.expect(reply, 202)
        named = reply.headers.get("Location", "")
        location = exchange.joined(self.image.url + "/", named)
        if not named or not is_allowed(location, self.image.url):
            raise self._exchange.nonsense(f"an upload to {printable(named)[:100]!r}")
        return location


def _shown(version: str) -> str:
    return f"@{version}" if DIGEST.fullmatch(version) else f":{version}"


class _Body:
    """The body of an upload, which counts what is read of it."""

    def __init__(self, file: BinaryIO, size: int, count: Count) -> None:
        self._file, self._size, self._count = file, size, count
        self.sent = 0

    def __len__(self) -> int:
        return self._size

    def read(self, amount: int = -1) -> bytes:
        data = self._file.read(max(amount, BLOCK) if amount >= 0 else -1)
        self.sent += len(data)
        self._count(len(data))
        return data
