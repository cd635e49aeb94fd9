"""Paths that people type, made the same for every verb: absolute, or gs://…

The launcher does the same for `resnet-launch local` (launcher/local/paths.py); a test compares the two.
"""

import os
import re
import urllib.parse
from collections.abc import Collection
from pathlib import Path

from trainer.errors import ConfigError

BUCKET = "gs://"
SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/", re.IGNORECASE)


def absolute(field: str, text: str) -> str:
    """Return a path without ``~``, ``.``, ``file://`` and a slash at its end; gs://… keeps its form.

    Args:
      field: flag or setting that the path is the value of, for messages.
      text: path as it was typed; a relative one starts in the current folder.

    Raises:
      ConfigError: it is empty, not printable text in UTF-8, in another kind of store, or below the home
        folder of an unknown user.
    """
    if not text.strip():
        raise ConfigError(f"{field}: must be a path or gs://…, got {text!r}")
    if not text.isprintable():  # neither are the lone surrogates that stand for bytes which are not UTF-8
        raise ConfigError(f"{field}: must be printable text in UTF-8, got {text!a}", "rename it")
    if text.startswith(BUCKET):
        bucket, _, key = text.removeprefix(BUCKET).partition("/")
        if not bucket:
            raise ConfigError(f"{field}: must name a bucket, as in gs://my-bucket/folder, got '{text}'")
        key = key.rstrip("/")
        return f"{BUCKET}{bucket}/{key}" if key else f"{BUCKET}{bucket}"
    return _local(field, _without_scheme(field, text))


def dataset(field: str, text: str, names: Collection[str]) -> str:
    """Return a known name of a dataset as it is, and anything that is a path by ``absolute``.

    A word that is no known name is a path if it has a slash or if there is a folder with this name.
    """
    if text in names or not text or ("/" not in text and text != "~" and not Path(text).is_dir()):
        return text
    return absolute(field, text)


def _without_scheme(field: str, text: str) -> str:
    """Return the local path of ``file:///…``; anything without a scheme as it is."""
    scheme = SCHEME.match(text)
    if not scheme:
        return text
    url = urllib.parse.urlsplit(text)
    if url.scheme != "file" or url.netloc not in ("", "localhost"):
        hint = "copy it to this machine or to a bucket of Google Cloud Storage, or mount it"
        raise ConfigError(f"{field}: must be a path of this machine or gs://…, got '{text}'", hint)
    return urllib.parse.unquote(url.path)


def _local(field: str, text: str) -> str:
    path = os.path.expanduser(text)
    if path.startswith("~"):
        user = text.partition("/")[0]
        raise ConfigError(
            f"{field}: must be a path, got '{text}', and {user} has no home folder here",
            f"./{text} is a folder with that name",
        )
    try:
        whole = str(Path(path).absolute())
    except FileNotFoundError:
        raise ConfigError(
            f"{field}: must be absolute where the current folder is gone, got '{text}'"
        ) from None
    shorter = os.path.normpath(whole)
    # `link/..` is the folder above the link's target, not the one that holds the link.
    return shorter if os.path.realpath(shorter) == os.path.realpath(whole) else whole
