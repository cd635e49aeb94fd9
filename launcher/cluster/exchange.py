"""One HTTP request and its answer; one that breaks off is an error that says whether anything was sent."""

from __future__ import annotations

import datetime
import email.utils
import socket
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from launcher.cluster.credentials import headers
from launcher.cluster.replies import Unanswered, Unreachable, describe, not_understood

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
ANSWER_SECONDS = 120.0  # longest time for a whole answer, however steadily it arrives
KEEPALIVE_SECONDS = 20  # a connection whose other end is gone breaks after about four times this
BLOCK_BYTES = 1 << 16
SHOWN_BYTES = 1 << 12  # read of a page that came instead of a stream


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request to an API server.

    Attributes:
      path: path on the server, without the query.
      body: JSON text; None for no body.
      repeatable: nothing changes if the request is carried out twice.
      read_seconds: longest wait for the next bytes; None waits for ever.
      expected: what the answer should be, in words, for errors.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: str | None = None
    media_type: str = "application/json"
    repeatable: bool = True
    stream: bool = False
    read_seconds: float | None = READ_SECONDS
    expected: str = "JSON"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def broken(self, message: str, hint: str = "") -> Unreachable | Unanswered:
        """Return the error for a request that was sent and not answered."""
        return Unreachable(message, hint) if self.repeatable else Unanswered(str(self), message, hint)


def send(client: Any, request: Request) -> Any:
    """Send a request and return urllib3's response, its body unread.

    Raises:
      Unreachable: there is no answer, and nothing was changed.
      Unanswered: there is no answer, and the request may have been carried out.
    """
    import urllib3

    # 512 pods are megabytes of JSON, compressed a tenth of that. Lines of a stream must not wait for a block.
    fields = {"Accept": "application/json"} | ({} if request.stream else {"Accept-Encoding": "gzip"})
    if request.body is not None:
        fields["Content-Type"] = request.media_type
    server = client.configuration.host
    query = f"?{urllib.parse.urlencode(request.query)}" if request.query else ""
    try:
        return client.rest_client.pool_manager.request(
            request.method,
            f"{server}{request.path}{query}",
            headers=urllib3.HTTPHeaderDict([*fields.items(), *headers(client)]),
            body=request.body,
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=request.read_seconds),
        )
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        if _is_unsent(error):
            raise Unreachable(f"the cluster at {server} cannot be reached: {cause(error)}") from None
        raise request.broken(f"the cluster at {server} does not answer: {cause(error)}") from None


def read(response: Any, request: Request) -> bytes:
    """Return the whole body of a response. Raises Unreachable or Unanswered where it breaks off."""
    import urllib3

    deadline = time.monotonic() + ANSWER_SECONDS
    chunks = []
    try:
        for chunk in response.stream(BLOCK_BYTES, decode_content=True):
            chunks.append(chunk)
            if time.monotonic() > deadline:
                raise TimeoutError(f"it is not complete after {ANSWER_SECONDS:.0f} s")
        response.release_conn()
        return b"".join(chunks)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        response.close()
        raise request.broken(f"the cluster's answer is damaged: {cause(error)}") from None


def lines(response: Any, request: Request) -> Iterator[bytes]:
    """Yield the lines of a body as they arrive, each with its line break; the last one may lack it.

    Raises:
      NotUnderstood: the body is an HTML page.
      Unreachable: the connection breaks. What follows the last line break is not yielded then.
    """
    import urllib3

    unfinished = b""
    try:
        if "html" in response.headers.get("Content-Type", ""):
            page = next(response.stream(SHOWN_BYTES, decode_content=True), b"")
            raise not_understood(str(request), request.expected, describe(page))
        for chunk in response.stream(BLOCK_BYTES, decode_content=True):
            *complete, unfinished = (unfinished + chunk).split(b"\n")
            for line in complete:
                yield line + b"\n"
        if unfinished:
            yield unfinished
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(f"the connection to the cluster broke: {cause(error)}") from None
    finally:
        response.close()  # before release: a connection with a half-read reply must not be reused
        response.release_conn()


def retry_after(response: Any) -> float | None:
    """Return the seconds of the header Retry-After, which may be a date; None where it is absent or wrong."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text)
        return max((at - datetime.datetime.now(datetime.UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def keepalive() -> list[tuple[int, int, int]]:
    """Return socket options that end a connection whose other end is gone without a word."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    values = {"TCP_KEEPIDLE": KEEPALIVE_SECONDS, "TCP_KEEPINTVL": KEEPALIVE_SECONDS, "TCP_KEEPCNT": 3}
    return options + [
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in values.items()
        if hasattr(socket, name)
    ]


def cause(error: BaseException) -> str:
    """Return why a request failed, without the names of Python's objects."""
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, BaseException) and len(reason.args) > 1 and isinstance(reason.args[1], Exception):
        reason = reason.args[1]  # ProtocolError("Connection broken", the exception that says how)
    text = " ".join(str(reason).split())
    return text.split(": ", 1)[-1] if ">: " in text or "Pool(" in text else text


def _is_unsent(error: BaseException) -> bool:
    """Return whether a request failed before its first byte was sent."""
    import ssl

    from urllib3 import exceptions

    before = (
        exceptions.NewConnectionError,
        exceptions.ConnectTimeoutError,
        exceptions.ProxyError,
        exceptions.LocationValueError,
        ValueError,
        ssl.SSLCertVerificationError,
    )
    inner = error.args[0] if error.args else None
    return isinstance(error, before) or isinstance(inner, ssl.SSLCertVerificationError)
