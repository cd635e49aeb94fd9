"""Paths of this machine in the request of `resnet-launch local`, made absolute as the trainer does.

trainer/paths.py has the same rules; a test compares the two.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from pathlib import Path
from typing import Any

from launcher import contract
from launcher.errors import Problem, RequestError

SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)


def resolve(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a request with every path of this machine absolute.

    Raises:
      RequestError: a path is empty, not printable, or in a store that the trainer does not know.
    """
    changed: dict[str, Any] = {}
    if values.get("run_dir") is not None:
        changed["run_dir"] = absolute("run-dir", values["run_dir"])
    if isinstance(values.get("workdir"), str):
        changed["workdir"] = absolute("workdir", values["workdir"])
    if isinstance(values.get("data"), str):
        changed["data"] = dataset("data", values["data"])
    if isinstance(values.get("set"), (list, tuple)):
        changed["set"] = [_setting(text) for text in values["set"]]
    return values | changed


def _setting(text: Any) -> Any:
    """Return `section.field=path` with the path absolute, and any other setting as it is."""
    name, equals, value = text.partition("=") if isinstance(text, str) else ("", "", "")
    field = contract.fields().get(name.strip())
    if not equals or field is None:
        return text
    if field.get("paths"):
        return f"{name}={dataset(name.strip(), value.strip())}"
    if "local" in field and value.strip() not in field["local"]:
        return f"{name}={absolute(name.strip(), value.strip())}"
    return text


def dataset(field: str, text: str) -> str:
    """Return a known name of a dataset as it is, and a path by `absolute`."""
    is_path = "/" in text or text == "~" or (bool(text) and Path(text).is_dir())
    return absolute(field, text) if is_path and text not in contract.document()["datasets"] else text


def absolute(field: str, text: str) -> str:
    """Return a path without `~`, `.`, `file://` and a slash at its end; gs://… keeps its form."""
    if not text.strip():
        raise _wrong(field, f"must be a path or gs://…, got {text!r}")
    if not text.isprintable():  # neither are the lone surrogates that stand for bytes which are not UTF-8
        raise _wrong(field, f"must be printable text in UTF-8, got {text!a}", "rename it")
    if text.startswith("gs://"):
        bucket, _, key = text.removeprefix("gs://").partition("/")
        if not bucket:
            raise _wrong(field, f"must name a bucket, as in gs://my-bucket/folder, got '{text}'")
        return f"gs://{bucket}/{key}".rstrip("/")
    if SCHEME.match(text):
        url = urllib.parse.urlsplit(text)
        if url.scheme != "file" or url.netloc not in ("", "localhost"):
            hint = "copy it to this machine or to a bucket of Google Cloud Storage, or mount it"
            raise _wrong(field, f"must be a path of this machine or gs://…, got '{text}'", hint)
        text = urllib.parse.unquote(url.path)
    path = os.path.expanduser(text)
    if path.startswith("~"):
        user = text.partition("/")[0]
        hint = f"./{text} is a folder with that name"
        raise _wrong(field, f"must be a path, got '{text}', and {user} has no home folder here", hint)
    try:
        whole = str(Path(path).absolute())
    except FileNotFoundError:
        text = f"must be absolute where the current folder is gone, got '{text}'"
        raise _wrong(field, text) from None
    shorter = os.path.normpath(whole)
    return shorter if os.path.realpath(shorter) == os.path.realpath(whole) else whole


def _wrong(field: str, text: str, hint: str = "") -> RequestError:
    return RequestError(Problem(field, text, hint))
