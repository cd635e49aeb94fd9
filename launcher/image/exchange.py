"""Requests to one registry: tokens, tries, redirects, and each failure as one line."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from launcher.check.image_registry import CHALLENGE, MAX_MANIFEST_BYTES, Image, is_allowed, within
from launcher.errors import ActionError, printable
from launcher.image.credentials import Credential

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
DOCUMENT_SECONDS = 60.0  # longest wait for a whole manifest, token or other small reply
TRIES = 4  # of a request that fails in a way that may pass
PAUSE_SECONDS = 1.0  # before the second try, then twice as long each time
BUSY = (429, 500, 502, 503, 504)
REDIRECTS = 5


class Refused(ActionError):
    """The registry does not let this user do it."""


class Missing(ActionError):
    """The registry has no such image."""


class Passing(ActionError):
    """The registry does not answer, which may pass by itself."""


class Exchange:
    """Requests about one repository of a registry.

    Args:
      image: the repository; its tag or digest is not used.
      credential: what to show where the registry asks for it.
      scopes: rights to ask for, such as `repository:team/resnet:pull,push`.
      tries: how often a request is sent that fails in a way that may pass.
    """

    def __init__(self, image: Image, credential: Credential, scopes: tuple[str, ...], tries: int) -> None:
        self.image, self._credential, self._scopes, self._tries = image, credential, scopes, tries
        self._session: requests.Session | None = None
        self._authorization = ""

    def document(self, method: str, url: str, doing: str, **more: Any) -> requests.Response:
        """Return a small reply with its body read; as `request` otherwise."""
        try:
            return within(DOCUMENT_SECONDS, lambda: self.whole(self.request(method, url, doing, **more)))
        except TimeoutError:
            text = f"{self.image.host} has not replied in full after {DOCUMENT_SECONDS:.0f} s"
            raise ActionError(text) from None

    def whole(self, reply: requests.Response) -> requests.Response:
        """Read the body of a reply, whatever its length is said to be, and return the reply.

        Raises:
          ActionError: it is longer than a manifest may be, or breaks off.
        """
        if reply.raw is None or reply.raw.closed:
            return reply
        with reply, self.errors():
            body = bytearray()
            for block in reply.iter_content(1 << 16):
                body += block
                if len(body) > MAX_MANIFEST_BYTES:
                    raise self.nonsense(f"more than {MAX_MANIFEST_BYTES >> 20} MiB")
            reply._content = bytes(body)  # as requests itself keeps it
        return reply

    def request(
        self, method: str, url: str, doing: str, *, body: Any = None, headers: Mapping[str, str] = {}
    ) -> requests.Response:
        """Send a request, with a token where the registry asks for one; return its reply, not yet read.

        Args:
          doing: completes "refuses to …".

        Raises:
          Refused: the registry does not let this user do it.
          ActionError: it does not answer.
        """
        for number in range(self._tries):
            last = number == self._tries - 1
            try:
                reply = self.send(method, url, body, headers)
                if reply.status_code == 401 and self.authenticate(reply):
                    reply = self.send(method, url, body, headers)
            except Passing:
                if last:
                    raise
            else:
                if reply.status_code in (401, 403):
                    raise self.refused(reply, doing)
                if reply.status_code not in BUSY or last:
                    return reply
                reply.close()
            time.sleep(PAUSE_SECONDS * 2**number)
        raise AssertionError("the last try returns or raises")

    def send(self, method: str, url: str, body: Any, headers: Mapping[str, str]) -> requests.Response:
        """Send a request once, follow its redirects, and return the reply, not yet read.

        Raises:
          Passing: the registry does not answer.
          ActionError: a redirect leads where a registry may not send us, or a certificate is not trusted.
        """
        session = self._open()
        for _ in range(REDIRECTS):
            own = _origin(url) == _origin(self.image.url)
            sent = {**headers}
            if own and self._authorization:
                sent["Authorization"] = self._authorization
            with self.errors():
                reply = session.request(
                    method, url, data=body, headers=sent, stream=True, allow_redirects=False,
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                )  # fmt: skip
            if method not in ("GET", "HEAD") or reply.status_code not in (301, 302, 303, 307, 308):
                return reply
            target = joined(url, reply.headers.get("Location", ""))
            reply.close()
            if not is_allowed(target, url):
                raise self.nonsense(f"a redirect to {printable(target)[:100]!r}")
            url = target
        raise self.nonsense(f"more than {REDIRECTS} redirects")

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

    def authenticate(self, reply: requests.Response) -> bool:
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
        with self.errors():
            if login.refresh_token:
                form = {"grant_type": "refresh_token", "refresh_token": login.refresh_token}
                form |= {"service": service, "scope": " ".join(self._scopes), "client_id": "resnet-launch"}
                arguments: dict[str, Any] = {"method": "POST", "data": form}
            else:
                headers = {} if login.anonymous else {"Authorization": basic}
                arguments = {"method": "GET", "params": query, "headers": headers}
            reply = session.request(
                url=realm, timeout=CONNECT_SECONDS, allow_redirects=False, stream=True, **arguments
            )
        self.whole(reply)
        if reply.status_code != 200:
            return ""
        try:
            document = reply.json()
        except (ValueError, RecursionError):
            document = None
        document = document if isinstance(document, dict) else {}
        token = document.get("token") or document.get("access_token")
        return token if isinstance(token, str) and token.isascii() and token.isprintable() else ""

    def errors(self) -> _Errors:
        """Turn what requests raises in a block into ActionError with one line."""
        return _Errors(self.image.host)

    def expect(self, reply: requests.Response, *statuses: int) -> None:
        """Raise ActionError for a reply with another status than these."""
        if reply.status_code not in statuses:
            raise ActionError(
                f"{self.image.host} replies with status {reply.status_code} for {self.image.repository}"
                f"{reason(self.whole(reply))}"
            )

    def refused(self, reply: requests.Response, doing: str) -> Refused:
        """Return the error of a refusal: what the registry says, and with which credential it was tried."""
        text = f"{self.image.host} refuses to {doing} {self.image.repository} (status {reply.status_code}"
        text += f"{reason(self.whole(reply))}), tried with {self._credential.origin}"
        return Refused(text, _remedy(self.image.host))

    def nonsense(self, what: str) -> ActionError:
        """Return the error of a registry that sent something else than a registry does."""
        return ActionError(f"{self.image.host} does not reply as a registry does: it sent {what}")


def _remedy(host: str) -> str:
    if host.endswith(("pkg.dev", "gcr.io")):
        return f"gcloud auth configure-docker {host}, or gcloud auth application-default login"
    return f"docker login {host}"


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
            raise Passing(f"{self.host} does not answer: {_cause(error)}") from None


def _cause(error: BaseException) -> str:
    """Return the innermost reason of an error of requests, on one line."""
    inner: Any = error
    while True:
        parts = (getattr(inner, "reason", None), *getattr(inner, "args", ()), inner.__cause__)
        deeper = next((part for part in parts if isinstance(part, BaseException)), None)
        if not isinstance(deeper, BaseException) or deeper is inner:
            break
        inner = deeper
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return printable(" ".join(str(text).split()))[:200]


def reason(reply: Any) -> str:
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


def joined(url: str, reference: str) -> str:
    """Return what a reference of a reply means; an empty string for what is no reference."""
    try:
        return urllib.parse.urljoin(url, reference)
    except ValueError:
        return ""
