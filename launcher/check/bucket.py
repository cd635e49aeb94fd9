"""Access to a bucket, with the credentials of this machine; code/bucket.py keeps code there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# A run writes, reads, lists and replaces its files. Orbax also reads the bucket itself, which
# roles/storage.objectAdmin alone does not allow.
NEEDED = (
    "storage.objects.create",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.delete",
    "storage.buckets.get",
)
SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket's location and the permissions that are missing, or why neither could be read.

    `unknown` tells a bucket that could not be checked from one that has a problem.
    """

    name: str
    missing: tuple[str, ...] = ()
    location: str = ""
    problem: str = ""
    hint: str = ""
    unknown: bool = False


def look(name: str) -> Bucket:
    """Return the missing permissions (`testIamPermissions`) and the location of a bucket."""
    return _asked(name, "--bucket", _permissions)


def find(address: str) -> Bucket | None:
    """Return None where an address such as gs://bucket/folder has objects, otherwise the problem."""
    name, _, prefix = address.removeprefix("gs://").partition("/")

    def first(bucket: Any) -> Bucket:
        folder = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        for start in dict.fromkeys((folder, prefix)):  # a folder, or one object
            if next(iter(bucket.list_blobs(prefix=start, max_results=1, timeout=SECONDS, retry=None)), None):
                return Bucket(name=name)
        return Bucket(
            name=name, problem=f"{address} does not exist", hint="--data names a folder of the bucket"
        )

    answer = _asked(name, "--data", first)
    return answer if answer.problem else None


def _permissions(bucket: Any) -> Bucket:
    from google.api_core import exceptions

    name = bucket.name
    try:
        granted = bucket.test_iam_permissions([*NEEDED], timeout=SECONDS, retry=None)
    except exceptions.NotFound:
        if not bucket.exists(timeout=SECONDS, retry=None):
            raise
        problem = f"gs://{name} exists, but its permissions could not be read"
        return Bucket(name=name, problem=problem, unknown=True)
    if "storage.buckets.get" in granted:
        bucket.reload(timeout=SECONDS, retry=None)
    missing = tuple(permission for permission in NEEDED if permission not in granted)
    return Bucket(name=name, missing=missing, location=bucket.location or "")


def _asked(name: str, flag: str, ask: Callable[[Any], Bucket]) -> Bucket:
    """Return what `ask` returns for a bucket, or why nothing could be asked."""
    import requests
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import storage

    try:
        return ask(storage.Client(project="-").bucket(name))
    except exceptions.NotFound:
        hint = f"gcloud storage buckets create gs://{name}, or choose another {flag}"
        return Bucket(name=name, problem=f"gs://{name} does not exist", hint=hint)
    except GoogleAuthError as error:
        hint = "gcloud auth application-default login"
        problem = f"gs://{name} was not checked: {_line(error)}"
        return Bucket(name=name, problem=problem, hint=hint, unknown=True)
    except exceptions.Forbidden as error:
        problem = f"gs://{name} was not checked: {_line(error)}"
        return Bucket(name=name, problem=problem, hint="your account may not read it", unknown=True)
    except (exceptions.GoogleAPIError, requests.RequestException) as error:
        return Bucket(name=name, problem=f"gs://{name} does not answer: {_line(error)}", unknown=True)


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
