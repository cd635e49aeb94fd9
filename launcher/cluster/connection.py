"""A connection to one API server: it logs in again, waits for a busy server, and raises what is refused."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from launcher.cluster import exchange
from launcher.cluster.credentials import login
from launcher.cluster.exchange import Request
from launcher.cluster.refusals import Refused, refusal
from launcher.cluster.replies import (
    JSON,
    NotUnderstood,
    Unreachable,
    describe,
    document,
    not_understood,
    plain,
    printable,
)
from launcher.errors import ActionError, NotKnown

BUSY_SECONDS = 30.0  # longest wait for a busy server, in all pauses of one request
PAUSES = (0.5, 1.0, 2.0)  # before a request is repeated that the server did not tell when to repeat
PASSING = (429, 500, 502, 503, 504)  # statuses that may be over in a moment
Answer = TypeVar("Answer")
KEPT_CONNECTIONS = 64  # for reuse; the streams of many hosts come on top
WARNING_HEADER = re.compile(r'\d{3} \S+ "((?:[^"\\]|\\.)*)"')  # RFC 7234, as Kubernetes sends it


def to_stderr(text: str) -> None:
    """Print a warning for a person."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


class Connection:
    """One API server, reached with the credentials of a kubeconfig context.

    Args:
      context, kubeconfig: as for Cluster.
      warn: prints a warning; each text is passed to it once.
    """

    def __init__(
        self, context: str | None, kubeconfig: str | None, warn: Callable[[str], None] = to_stderr
    ) -> None:
        import urllib3

        self._source = (context, kubeconfig)
        self._print, self._printed = warn, set[str]()
        self._renewal, self._generation = threading.Lock(), 0
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # once below, not at each request
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        self._client, self.namespace, self.context = self._login()
        self.server: str = self._client.configuration.host
        if self.server.startswith("https:") and not self._client.configuration.verify_ssl:
            self.warn(f"the certificate of {self.server} is not checked: insecure-skip-tls-verify is set")

    def warn(self, text: str) -> None:
        """Print a warning, unless the same text has been printed before."""
        if text not in self._printed:
            self._printed.add(text)
            self._print(text)

    def send(self, request: Request) -> JSON:
        """Send a request and return its answer, a JSON object.

        Raises:
          Refused: the status is 400 or more.
          Unreachable: there is no answer that can be understood, and nothing was changed.
          Unanswered: there is none, and the request may have been carried out.
          NotKnown: the credentials have expired and cannot be renewed.
        """
        return self._answer(request, lambda response: document(exchange.read(response, request), request))

    def stream(self, request: Request) -> Iterator[bytes]:
        """Yield the lines of an answer as exchange.lines does. Raises as `send` does."""
        yield from self._answer(request, lambda response: exchange.lines(response, request))

    def _answer(self, request: Request, take: Callable[[Any], Answer]) -> Answer:
        """Return what `take` makes of a response of status 200 or 201."""
        deadline = time.monotonic() + BUSY_SECONDS
        attempt, renewed = 0, False
        while True:
            generation = self._generation
            try:
                response = exchange.send(self._client, request)
                if response.status < 300:
                    self._pass_on_warnings(response)
                    return take(response)
                data = exchange.read(response, request)
            except Unreachable as error:
                error.hint = error.hint or (
                    f"is {self.context!r} the right context, and can this machine reach its network?"
                )
                # A page that is no answer of the API server is rarely another one a second later.
                attempts = 1 if isinstance(error, NotUnderstood) else len(PAUSES)
                if attempt >= attempts or time.monotonic() > deadline or not request.repeatable:
                    raise
                pause: float | None = PAUSES[attempt]
            else:
                if response.status == 401 and not renewed:
                    renewed = True
                    self._renew(generation)
                    continue
                pause = _pause(response, request, attempt)
                if pause is None or time.monotonic() + pause > deadline:
                    raise self._refusal(response, data, request)
            attempt += 1
            time.sleep(pause)

    def _pass_on_warnings(self, response: Any) -> None:
        for header in response.headers.getlist("Warning"):
            for text in WARNING_HEADER.findall(header) or [header]:
                self.warn("the cluster says: " + plain(re.sub(r"\\(.)", r"\1", text)))

    def _refusal(self, response: Any, data: bytes, request: Request) -> ActionError:
        """Return the error for a status of 300 or more."""
        status: int = response.status
        if status < 400:
            place = printable(str(response.headers.get("Location", "nowhere")))
            moved = not_understood(str(request), request.expected, f"a redirect ({status}) to {place}")
            return moved if request.repeatable else Refused(status, str(moved), moved.hint)
        body = _status(data)
        error = refusal(status, body, f"{request.method.lower()} {request.path}")
        if not request.repeatable and _is_undecided(status, body):
            return request.broken(f"the cluster at {self.server} replies with status {status}: {error}")
        if error.about or status == 404:
            return error
        if status in (429, 503):
            message = f"the cluster at {self.server} is busy ({status}): {error}"
            return Refused(status, message, "the request is not at fault: try again in a minute", "busy")
        if status >= 500 or body.get("kind") != "Status":
            return Refused(
                status, f"the cluster at {self.server} replies with status {status}: {error}", error.hint
            )
        return error

    def _login(self) -> tuple[Any, str, str]:
        client, namespace, context = login(*self._source)
        options = client.rest_client.pool_manager.connection_pool_kw
        options["socket_options"] = options.get("socket_options") or exchange.keepalive()
        options["maxsize"] = KEPT_CONNECTIONS
        return client, namespace, context

    def _renew(self, generation: int) -> None:
        """Log in again, once for all threads whose requests were answered with 401."""
        with self._renewal:
            if self._generation != generation:
                return
            try:
                self._client, _, _ = self._login()
            except ActionError as error:
                raise NotKnown(f"the credentials could not be renewed: {error}", error.hint) from None
            self._generation += 1


def _pause(response: Any, request: Request, attempt: int) -> float | None:
    """Return the seconds until a refused request is repeated; None where it must not or need not be."""
    wait = exchange.retry_after(response)
    if wait is not None and (response.status == 429 or response.status >= 500):
        return max(wait, PAUSES[0])
    passes = response.status == 429 or (request.repeatable and response.status in PASSING)
    return PAUSES[attempt] if passes and attempt < len(PAUSES) else None


def _is_undecided(status: int, body: JSON) -> bool:
    """Return whether a request may have been carried out although it was answered with an error.

    A gateway gave up (502, 504, and 503 in words of its own), or the server did while it wrote.
    """
    if status == 500:
        text = str(body.get("message"))
        return "webhook" not in text and re.search("timed out|timeout|leader changed", text) is not None
    return status in (502, 504) or (status == 503 and body.get("kind") != "Status")


def _status(data: bytes) -> JSON:
    """Return the Status object of a refusal; one with the words of the body where it is none."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, dict) and (body.get("message") or body.get("reason")):
        return body
    text = describe(data)
    words = text.removeprefix("text: ")
    return {"message": words}
