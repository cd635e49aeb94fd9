"""JSON documents sent to a URL that is a secret: in a thread, retried, within a bounded time."""

import http.client
import json
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.runtime.messages import warn

PAUSES = (1.0, 2.0)  # seconds before the second and the third attempt
ATTEMPT_SECONDS = 5.0
LONGEST_SECONDS = 20.0  # 3 attempts of 5 s, their pauses, and a name that resolves slowly
TRY_AGAIN = (408, 425, 429)  # statuses below 500 that may be another one later
SLACK = "hooks.slack.com"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Take a redirection for an answer: a POST that follows one becomes a GET without its document."""

    def redirect_request(self, req, fp, code, msg, headers, newurl) -> None:
        return None


class Webhook:
    """Send documents one after the other, in a thread of its own.

    No message, exception or argument of a process shows the URL, which lets everyone write who knows it. A
    document that cannot be delivered is a warning and nothing else.

    Args:
      url: http:// or https:// address.
      attempt_seconds: limit for a connection, and for each part of an answer.
      pauses: seconds between attempts, which are one more than the pauses.
    """

    def __init__(self, url: str, attempt_seconds: float = ATTEMPT_SECONDS, pauses: Sequence[float] = PAUSES):
        self._url, self._attempt_seconds, self._pauses = url, attempt_seconds, pauses
        self._documents: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._opener = urllib.request.build_opener(NoRedirect)
        self._thread.start()

    def send(self, document: Mapping[str, Any]) -> None:
        """Begin to send a document; returns at once."""
        self._documents.put(json.dumps(document).encode())

    def close(self, seconds: float = LONGEST_SECONDS) -> None:
        """Return once everything is sent or given up, at the latest after so many seconds."""
        self._documents.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            warn(f"notify: not everything was sent within {seconds:g} s")

    def _run(self) -> None:
        while (document := self._documents.get()) is not None:
            for pause in (*self._pauses, None):
                problem, again = self._post(document)
                if not problem:
                    break
                if not again or pause is None:
                    warn(f"notify: a message was not sent: {problem}")
                    break
                time.sleep(pause)

    def _post(self, document: bytes) -> tuple[str, bool]:
        """Return why an attempt failed, and whether another one may succeed; empty: it succeeded."""
        headers = {"Content-Type": "application/json", "User-Agent": "resnet-launch"}
        request = urllib.request.Request(self._url, document, headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._attempt_seconds):
                return "", False
        except urllib.error.HTTPError as error:
            error.close()
            return f"the server answered {error.code}", error.code >= 500 or error.code in TRY_AGAIN
        except Exception as error:  # whatever it is, the run goes on; its own text might quote the URL
            return self._reason(error), isinstance(error, (OSError, http.client.HTTPException))

    def _reason(self, error: BaseException) -> str:
        """Return what is wrong without the error's own text, which might quote the URL."""
        if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
            error = error.reason
        if isinstance(error, TimeoutError):
            return f"no answer within {self._attempt_seconds:g} s"
        return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def valid(url: str) -> bool:
    """Return whether a URL can be sent to: http:// or https:// with a host, and no space in it."""
    try:
        parts = urllib.parse.urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https") and named and url.isascii() and url.isprintable() and " " not in url
    )


def is_slack(url: str) -> bool:
    """Return whether a URL is an incoming webhook of Slack."""
    return urllib.parse.urlsplit(url).hostname == SLACK
