"""The archive of a run's code in the run's directory: put there once, never overwritten."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from launcher import files
from launcher.errors import ActionError
from launcher.request.packed_code import PackedCode

SECONDS = 60.0  # longest wait for one reply


def keep(code: PackedCode, run_dir: str) -> int | None:
    """Put an archive into a run directory of a bucket, unless it is there.

    Returns:
      The generation of the object that was created, for `take_back`; None where it was there already.

    Raises:
      ActionError: the bucket does not take it, or what is there is something else.
    """
    from google.api_core import exceptions

    url = code.place(run_dir)
    with _errors(url):
        blob = _blob(url)
        blob.metadata = {"commit": code.revision} if code.revision else {}
        try:
            blob.upload_from_string(
                code.archive, "application/gzip", if_generation_match=0, timeout=SECONDS, checksum="md5"
            )
            return blob.generation
        except exceptions.PreconditionFailed:
            blob.reload(timeout=SECONDS)
    _require_same(url, blob.size, blob.md5_hash, code.archive)
    return None


def take_back(code: PackedCode, run_dir: str, generation: int) -> None:
    """Delete the object that `keep` created, if it is still that one.

    Raises:
      ActionError: it could not be deleted.
    """
    from google.api_core import exceptions

    url = code.place(run_dir)
    with _errors(url, "it could not be deleted"):
        try:
            _blob(url).delete(if_generation_match=generation, timeout=SECONDS)
        except (exceptions.NotFound, exceptions.PreconditionFailed):
            return


def keep_here(code: PackedCode, run_dir: str) -> Path:
    """Put an archive into a run directory of this machine and return its path.

    Raises:
      ActionError: it cannot be written, or what is there is something else.
    """
    path = Path(code.place(run_dir))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            content = path.read_bytes()
            _require_same(str(path), len(content), _md5(content), code.archive)
            return path
        files.write(path, code.archive)
    except OSError as error:
        raise ActionError(f"cannot write {path}: {error.strerror}", "--run-dir DIR") from None
    return path


def _require_same(place: str, size: int | None, md5: str | None, archive: bytes) -> None:
    if size == len(archive) and md5 == _md5(archive):
        return
    command = "gcloud storage rm" if place.startswith("gs://") else "rm"
    raise ActionError(
        f"{place} was changed: it has {size} bytes with the MD5 {md5}, the code has {len(archive)} bytes "
        f"with {_md5(archive)}; nothing was submitted",
        f"{command} {place}, then the same command again",
    )


def _md5(data: bytes) -> str:
    """Return the MD5 as Cloud Storage writes it; it tells damage from content, not friend from foe."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _blob(url: str) -> Any:
    from google.cloud import storage

    bucket, _, name = url.removeprefix("gs://").partition("/")
    return storage.Client(project="-").bucket(bucket).blob(name)


@contextmanager
def _errors(url: str, failed: str = "") -> Iterator[None]:
    """Raise what the bucket's client raises as one sentence with the next step.

    Args:
      failed: what it means; that the code was not kept, and nothing submitted, if not given.
    """
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    bucket = url.removeprefix("gs://").partition("/")[0]
    subject, end = failed or f"the code was not kept in {url}", "" if failed else "; nothing was submitted"
    try:
        yield
    except exceptions.NotFound:
        hint = f"gcloud storage buckets create gs://{bucket}, or choose another --bucket"
        raise ActionError(f"{subject}: gs://{bucket} does not exist{end}", hint) from None
    except exceptions.Forbidden as error:
        hint = f"roles/storage.objectUser on gs://{bucket} allows it"
        raise ActionError(f"{subject}: {_line(error)}{end}", hint) from None
    except GoogleAuthError as error:
        hint = "gcloud auth application-default login"
        raise ActionError(f"{subject}: {_line(error)}{end}", hint) from None
    except (exceptions.GoogleAPIError, requests.RequestException) as error:
        raise ActionError(f"{subject}: {_line(error)}{end}") from None


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
