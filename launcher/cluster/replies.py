"""What the API server replies: the document that was expected, or an error that names what came instead."""

from __future__ import annotations

import html
import json
import re
from typing import Any, Protocol

from launcher.errors import ActionError, NotKnown, printable

JSON = dict[str, Any]
SHOWN_CHARACTERS = 200  # of a reply that is no document of the API
HTML_PAGE = re.compile(r"^\s*(<!doctype html|<html|<head|<body|<h1|<\?xml)", re.IGNORECASE)
TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
TAG = re.compile(r"<(script|style|title)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)


class Unreachable(ActionError):
    """The API server does not respond or a connection broke; a retry may succeed."""


class NotUnderstood(Unreachable):
    """The reply does not come from a Kubernetes API server, or is damaged; a retry may succeed."""


class Unanswered(NotKnown):
    """A request that changes the cluster was sent, and no answer says whether it was carried out.

    Attributes:
      cause: what came instead of an answer.
    """

    def __init__(self, request: str, cause: str, hint: str = "") -> None:
        super().__init__(f"{request} may have been carried out: {cause}", hint)
        self.cause = cause


class Asked(Protocol):
    """A request whose reply is read: its text, such as `GET /api/v1/pods`, and what the reply should be."""

    @property
    def expected(self) -> str: ...


def document(data: bytes, request: Asked) -> JSON:
    """Return a reply that is a JSON object and no failure.

    Raises:
      NotUnderstood: the reply is something else, which the error names.
    """
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict) or (reply.get("kind") == "Status" and reply.get("status") != "Success"):
        raise not_understood(str(request), request.expected, describe(data))
    return reply


def not_understood(request: str, expected: str, came: str) -> NotUnderstood:
    """Return the error for a reply that is not what was expected."""
    return NotUnderstood(
        f"the reply to {request} must be {expected}, got {came}",
        "does a proxy or a login page stand before the cluster, and is the server of this context right?",
    )


def describe(data: bytes) -> str:
    """Return what a body is, in words: an HTML page, JSON of a kind, or its first characters."""
    text = data.decode(errors="replace").strip()
    if not text:
        return "an empty body"
    if HTML_PAGE.match(text):
        return f"an HTML page: {plain(text)}"
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        damaged = "incomplete JSON" if text[0] in "{[" else "text"
        return f"{damaged}: {plain(text)}"
    if isinstance(reply, dict):
        return named(reply)
    return {list: "a JSON list", str: "JSON text", type(None): "null"}.get(type(reply), "a JSON number")


def named(reply: JSON) -> str:
    """Return what a JSON object is: its kind and name, or the message of a Status."""
    kind = reply.get("kind")
    if kind == "Status":
        return f"a Status: {plain(str(reply.get('message') or reply.get('reason') or 'without a message'))}"
    if not isinstance(kind, str) or not kind:
        return "JSON without a kind"
    metadata = reply.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"a {printable(kind)} named {name!r}" if isinstance(name, str) else f"a {printable(kind)}"


def plain(text: str) -> str:
    """Return a body as one short line: an HTML page without its tags, its title first."""
    if HTML_PAGE.match(text):
        title = TITLE.search(text)
        words = html.unescape(f"{title[1] if title else ''} {TAG.sub(' ', text)}")
    else:
        words = text
    line = " ".join(words.split())
    return printable(line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]} …")
