"""A registry that is read from and pushed to: manifests and blobs, with credentials.

The protocol is that of the OCI distribution specification 1.1:
https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from launcher.check.image_registry import (
    CHALLENGE,
    DIGEST,
    INDEXES,
    MANIFESTS,
    MAX_MANIFEST_BYTES,
    Closed,
    Image,
    is_allowed,
    within,
)
from launcher.errors import ActionError, printable
from launcher.image.credentials import Credential

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
DOCUMENT_SECONDS = 60.0  # longest wait for a whole manifest, token or other small reply
TRIES = 4  # of a request that fails in a way that may pass
PAUSE_SECONDS = 1.0  # before the second try, then twice as long each time
BUSY = (429, 500, 502, 503, 504)
BLOCK = 1 << 20
REDIRECTS = 5
SHA256 = re.compile(r"sha256:[0-9a-f]{64}")

Count = Callable[[int], None]


class Refused(ActionError):
    """The registry does not let this user do it."""


class Missing(ActionError):
    """The registry has no such image."""


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
        self.image, self._credential, self._scopes, self._tries = image, credential, scopes, tries
        self._session: requests.Session | None = None
        self._authorization = ""

    # ---- reading

    def manifest(self, version: str) -> Manifest:
        """Return a manifest or an index by its tag or digest.

        Raises:
          Missing: there is none.
          ActionError: the registry refuses, does not answer, or sends something else.
        """
        url = f"{self.image.url}/manifests/{version}"
        kinds = {"Accept": ", ".join((*INDEXES, *MANIFESTS))}
        reply = self._document("GET", url, "read", headers=kinds)
        if reply.status_code == 404:
            raise Missing(f"{self.image.host} has no {self.image.repository}{_shown(version)}")
        self._expect(reply, 200)
        return self._parsed(reply.content, reply.headers.get("Content-Type", ""), version)

    def _parsed(self, body: bytes, media_type: str, version: str) -> Manifest:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if version.startswith("sha256:") and digest != version:
            raise self._nonsense(f"a manifest whose digest is not {version}")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise self._nonsense("something that is no manifest of an image")
        named = content.get("mediaType")
        kind = named if isinstance(named, str) else media_type.partition(";")[0].strip()
        return Manifest(content=content, digest=digest, media_type=kind)

    def blob(self, digest: str, count: Count = lambda n: None) -> Iterator[bytes]:
        """Yield the bytes of a blob; whoever keeps them compares their digest.

        Raises:
          Missing: there is none.
          ActionError: as for `manifest`.
        """
        reply = self._request("GET", f"{self.image.url}/blobs/{digest}", "read", stream=True)
        try:
            if reply.status_code == 404:
                raise Missing(f"{self.image.host} has no blob {digest} in {self.image.repository}")
            self._expect(reply, 200)
            with self._errors():
                for block in reply.iter_content(BLOCK):
                    count(len(block))
                    yield block
        finally:
            reply.close()

    def has_blob(self, digest: str) -> bool:
        """Return whether the repository has a blob."""
        reply = self._document("HEAD", f"{self.image.url}/blobs/{digest}", "push to")
        if reply.status_code != 404:
            self._expect(reply, 200)
        return reply.status_code == 200

    # ---- writing

    def require_push(self) -> None:
        """Begin an upload and give it up, so that a refusal comes before any work.

        Raises:
          Refused: this user may not push here.
        """
        location = self._begin()
        with contextlib.suppress(ActionError):  # registries delete uploads that are not finished
            self._document("DELETE", location, "push to").close()

    def mount(self, digest: str, source: str) -> bool:
        """Let the repository have a blob of another one of the same registry; return whether it now does."""
        query = urllib.parse.urlencode({"mount": digest, "from": source})
        try:
            reply = self._document("POST", f"{self.image.url}/blobs/uploads/?{query}", "push to", body=b"")
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
            sent = 0

            def sending(amount: int) -> None:
                nonlocal sent
                sent += amount
                count(amount)

            location = self._begin()
            url = f"{location}{'&' if urllib.parse.urlsplit(location).query else '?'}digest={digest}"
            kind = {"Content-Type": "application/octet-stream"}
            with open_() as file:
                body = _Body(file, size, sending)
                try:
                    reply = self._send("PUT", url, body, False, kind)
                    if reply.status_code in (401, 403):
                        # A token is valid for minutes, and an upload before this one may have taken longer.
                        if number or reply.status_code == 403 or not self._authenticate(reply):
                            raise self._refused(reply, "push to")
                    elif reply.status_code not in BUSY or number == TRIES - 1:
                        self._expect(reply, 201, 204)
                        return
                except Refused:
                    raise
                except ActionError:
                    if number == TRIES - 1:
                        raise
            count(-sent)
            time.sleep(PAUSE_SECONDS * 2**number)

    def put_manifest(self, version: str, body: bytes, media_type: str) -> None:
        """Store a manifest under a tag or its digest; from then on the image can be pulled."""
        url = f"{self.image.url}/manifests/{version}"
        reply = self._document("PUT", url, "push to", body=body, headers={"Content-Type": media_type})
        self._expect(reply, 201, 200)
        stored = reply.headers.get("Docker-Content-Digest", "")
        if SHA256.fullmatch(stored) and stored != f"sha256:{hashlib.sha256(body).hexdigest()}":
            raise self._nonsense("another digest than that of the manifest that was sent")

    def _begin(self) -> str:
        """Begin an upload and return its address."""
        reply = self._document("POST", f"{self.image.url}/blobs/uploads/", "push to", body=b"")
        if reply.status_code == 404:
            problem = (
                f"{self.image.host} has no repository {self.image.repository} to push to{_reason(reply)}"
            )
            raise Missing(problem, "the registry's team creates it first, or another name in --push")
        self._expect(reply, 202)
        named = reply.headers.get("Location", "")
        location = _joined(self.image.url + "/", named)
        if not named or not is_allowed(location, self.image.url):
            raise self._nonsense(f"an upload to {printable(named)[:100]!r}")
        return location

    # ---- requests

    def _document(self, method: str, url: str, doing: str, **more: Any) -> requests.Response:
        """Return a small reply with its body read; as `_request` otherwise."""

        def ask() -> requests.Response:
            reply = self._request(method, url, doing, stream=True, **more)
            with reply, self._errors():
                body = bytearray()
                for block in reply.iter_content(1 << 16):
                    body += block
                    if len(body) > MAX_MANIFEST_BYTES:
                        raise self._nonsense(f"more than {MAX_MANIFEST_BYTES >> 20} MiB")
                reply._content = bytes(body)  # as requests itself keeps it
            return reply

        try:
            return within(DOCUMENT_SECONDS, ask)
        except TimeoutError:
            text = f"{self.image.host} has not replied in full after {DOCUMENT_SECONDS:.0f} s"
            raise ActionError(text) from None

    def _request(
        self,
        method: str,
        url: str,
        doing: str,
        *,
        body: Any = None,
        stream: bool = False,
        headers: Mapping[str, str] = {},
    ) -> requests.Response:
        """Send a request, with a token where the registry asks for one, and return its reply.

        Raises:
          Refused: the registry does not let this user do it.
          ActionError: it does not answer.
        """
        for number in range(self._tries):
            last = number == self._tries - 1
            try:
                reply = self._send(method, url, body, stream, headers)
                if reply.status_code == 401 and self._authenticate(reply):
                    reply = self._send(method, url, body, stream, headers)
            except _Passing:
                if last:
                    raise
            else:
                if reply.status_code in (401, 403):
                    raise self._refused(reply, doing)
                if reply.status_code not in BUSY or last:
                    return reply
                reply.close()
            time.sleep(PAUSE_SECONDS * 2**number)
        raise AssertionError("the last try returns or raises")

    def _send(
        self, method: str, url: str, body: Any, stream: bool, headers: Mapping[str, str]
    ) -> requests.Response:
        session = self._open()
        for _ in range(REDIRECTS):
            own = _origin(url) == _origin(self.image.url)
            sent = {**headers} | (
                {"Authorization": self._authorization} if own and self._authorization else {}
            )
            with self._errors():
                reply = session.request(
                    method, url, data=body, headers=sent, stream=stream, allow_redirects=False,
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                )  # fmt: skip
            if method not in ("GET", "HEAD") or reply.status_code not in (301, 302, 303, 307, 308):
                return reply
            target = _joined(url, reply.headers.get("Location", ""))
            reply.close()
            if not is_allowed(target, url):
                raise self._nonsense(f"a redirect to {printable(target)[:100]!r}")
            url = target
        raise self._nonsense(f"more than {REDIRECTS} redirects")

    def _open(self) -> requests.Session:
        if self._session is None:
            import requests
            from requests.adapters import HTTPAdapter

            class Adapter(HTTPAdapter):
                """Trusts the authorities of this system beside those that requests brings."""

                def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
                    super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **kwargs)

            self._session = requests.Session()
            self._session.mount("https://", Adapter())
            self._session.auth = lambda request: request  # ~/.netrc is not for registries
        return self._session

    def _authenticate(self, reply: requests.Response) -> bool:
        """Answer a challenge; return whether there is something to show."""
        challenge = reply.headers.get("WWW-Authenticate", "")
        reply.close()
        basic = f"{self._credential.user}:{self._credential.password}".encode()
        encoded = f"Basic {base64.b64encode(basic).decode()}"
        if challenge.lower().startswith("basic"):
            self._authorization = "" if self._credential.anonymous else encoded
            return bool(self._authorization)
        parameters = dict(CHALLENGE.findall(challenge))
        realm = parameters.get("realm", "")
        if not challenge.lower().startswith("bearer") or not is_allowed(realm, self.image.url):
            return False
        token = self._token(realm, parameters.get("service", ""), encoded)
        self._authorization = f"Bearer {token}" if token else ""
        return bool(token)

    def _token(self, realm: str, service: str, basic: str) -> str:
        session, login = self._open(), self._credential
        query = [("service", service), *(("scope", scope) for scope in self._scopes)]
        with self._errors():
            if login.refresh_token:
                form = {"grant_type": "refresh_token", "refresh_token": login.refresh_token}
                form |= {"service": service, "scope": " ".join(self._scopes), "client_id": "resnet-launch"}
                reply = session.post(realm, data=form, timeout=CONNECT_SECONDS, allow_redirects=False)
            else:
                headers = {} if login.anonymous else {"Authorization": basic}
                reply = session.get(
                    realm, params=query, headers=headers, timeout=CONNECT_SECONDS, allow_redirects=False
                )
        if reply.status_code != 200:
            return ""
        try:
            document = reply.json()
        except (ValueError, RecursionError):
            document = None
        document = document if isinstance(document, dict) else {}
        token = document.get("token") or document.get("access_token")
        return token if isinstance(token, str) and token.isascii() and token.isprintable() else ""

    # ---- errors

    def _errors(self) -> _Errors:
        return _Errors(self.image.host)

    def _expect(self, reply: requests.Response, *statuses: int) -> None:
        if reply.status_code not in statuses:
            raise ActionError(
                f"{self.image.host} replies with status {reply.status_code} for {self.image.repository}"
                f"{_reason(reply)}"
            )

    def _refused(self, reply: requests.Response, doing: str) -> Refused:
        text = f"{self.image.host} refuses to {doing} {self.image.repository} (status {reply.status_code}"
        text += f"{_reason(reply)}), tried with {self._credential.origin}"
        return Refused(text, _remedy(self.image.host))

    def _nonsense(self, what: str) -> ActionError:
        return ActionError(f"{self.image.host} does not reply as a registry does: it sent {what}")


def _remedy(host: str) -> str:
    if host.endswith(("pkg.dev", "gcr.io")):
        return f"gcloud auth configure-docker {host}, or gcloud auth application-default login"
    return f"docker login {host}"


class _Passing(ActionError):
    """The registry does not answer, which may pass by itself."""


class _Errors:
    """Turn what requests raises into one line."""

    def __init__(self, host: str) -> None:
        self.host = host

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, ActionError):
            return
        import http.client

        import requests
        import urllib3

        if isinstance(error, requests.exceptions.SSLError):
            hint = "SSL_CERT_FILE names a file with the certificate of your registry's authority"
            raise ActionError(f"{self.host} shows no certificate to trust: {_cause(error)}", hint) from None
        passing = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError)
        if isinstance(error, (*passing, http.client.HTTPException, OSError, ValueError)):
            raise _Passing(f"{self.host} does not answer: {_cause(error)}") from None


def _cause(error: BaseException) -> str:
    """Return the innermost reason of an error of requests, on one line."""
    inner: Any = error
    while True:
        deeper = getattr(inner, "reason", None) or next(
            (part for part in getattr(inner, "args", ()) if isinstance(part, BaseException)), None
        )
        if not isinstance(deeper, BaseException) or deeper is inner:
            break
        inner = deeper
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return printable(" ".join(str(text).split()))[:200]


def _reason(reply: Any) -> str:
    """Return what a registry says of an error, as `: DENIED, …`; an empty string where it says nothing."""
    try:
        [first, *_] = json.loads(reply.content[: 1 << 16])["errors"]
        text = ", ".join(str(first[key]) for key in ("code", "message") if first.get(key))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, RuntimeError):
        return ""
    return f": {printable(' '.join(text.split()))[:200]}" if text else ""


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _joined(url: str, reference: str) -> str:
    """Return what a reference of a reply means; an empty string for what is no reference."""
    try:
        return urllib.parse.urljoin(url, reference)
    except ValueError:
        return ""


def _shown(version: str) -> str:
    return f"@{version}" if DIGEST.fullmatch(version) else f":{version}"


class _Body:
    """The body of an upload, which counts what is read of it."""

    def __init__(self, file: BinaryIO, size: int, count: Count) -> None:
        self._file, self._size, self._count = file, size, count

    def __len__(self) -> int:
        return self._size

    def read(self, amount: int = -1) -> bytes:
        data = self._file.read(max(amount, BLOCK) if amount >= 0 else -1)
        self._count(len(data))
        return data


__all__ = ["Closed", "Manifest", "Missing", "Refused", "Registry"]
