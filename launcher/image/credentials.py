"""Who pushes: the credentials that `docker login` and its helpers keep, or Google's default credentials.

The configuration is that of Docker: https://docs.docker.com/reference/cli/docker/login/#credential-stores.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher.check.image_registry import HUB
from launcher.errors import ActionError, Problem, RequestError, printable
from launcher.request import documents

HELPER = re.compile(r"[A-Za-z0-9][\w.-]*")  # follows `docker-credential-`
HELPER_SECONDS = 60.0
TOKEN_USER = "<token>"  # user name by which a helper says that its secret is a refresh token
GOOGLE = re.compile(r"([\w-]+\.)?gcr\.io|[\w-]+\.pkg\.dev")
GOOGLE_USER = "oauth2accesstoken"
HUB_KEY = "https://index.docker.io/v1/"  # Docker Hub in the configuration


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A user and a password, or a refresh token, and where they come from.

    origin: completes "with …", for errors; it never holds a secret.
    """

    origin: str
    user: str = ""
    password: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)

    @property
    def anonymous(self) -> bool:
        """Nothing is known that could be sent."""
        return not (self.user or self.password or self.refresh_token)


def credential(host: str) -> Credential:
    """Return what to show a registry; an anonymous credential says where none was found.

    Raises:
      RequestError: the configuration of Docker cannot be read.
      ActionError: a helper that it names for this registry is not installed or fails.
    """
    path = _path()
    known = _docker(host, path)
    if known is None and GOOGLE.fullmatch(host):
        return _google(host, path)
    return known or Credential(origin=f"no credentials: {path} has none for {host}")


def _path() -> Path:
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    return Path(folder) / "config.json"


def _docker(host: str, path: Path) -> Credential | None:
    """Return what Docker's configuration has for a registry: its helper, the store, then the file itself."""
    if not path.exists():
        return None
    try:
        document = json.loads(documents.read("docker configuration", path))
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"JSON: {printable(str(error))}") from None
    tables = {name: _table(document, name, path) for name in ("credHelpers", "auths")}
    keys = [HUB_KEY, *HUB] if host in HUB else [host, f"https://{host}", f"http://{host}"]
    for key in keys:
        if helper := tables["credHelpers"].get(key):
            return _helped(helper, key, f"{path}, credHelpers", path)
    if store := document.get("credsStore"):
        for key in keys[:1]:
            if stored := _helped(store, key, f"{path}, credsStore", path):
                return stored
    entries = {re.sub(r"/(v[12]/?)?$", "", name): entry for name, entry in tables["auths"].items()}
    for key in keys:
        entry = tables["auths"].get(key) or entries.get(re.sub(r"/(v[12]/?)?$", "", key))
        if entry:
            return _written(entry, key, path)
    return None


def _table(document: Any, name: str, path: Path) -> dict[str, Any]:
    table = document.get(name) or {} if isinstance(document, dict) else None
    if not isinstance(table, dict):
        raise _wrong(path, f"a JSON object with {name} as an object")
    return table


def _written(entry: Any, key: str, path: Path) -> Credential | None:
    """Return the credential that stands in the file itself."""
    if not isinstance(entry, dict):
        raise _wrong(path, f"an object in auths for {key}")
    origin = f"{path}, auths"
    if isinstance(token := entry.get("identitytoken"), str) and token:
        return Credential(origin=f"the identity token of {origin}", refresh_token=token)
    user, password = entry.get("username"), entry.get("password")
    if isinstance(encoded := entry.get("auth"), str) and encoded:
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            raise _wrong(path, f"base64 of USER:PASSWORD in auths for {key}") from None
        password = password.rstrip("\0")
    if not (isinstance(user, str) and isinstance(password, str) and user):
        return None
    return Credential(origin=f"user {printable(user)} of {origin}", user=user, password=password)


def _helped(helper: Any, key: str, place: str, path: Path) -> Credential | None:
    """Ask a helper; None where it has nothing for the registry."""
    if not isinstance(helper, str) or not HELPER.fullmatch(helper):
        raise _wrong(path, "names of helpers such as gcloud or osxkeychain")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"], input=f"{key}\n", capture_output=True, text=True, timeout=HELPER_SECONDS
        )
        reply = json.loads(done.stdout) if done.returncode == 0 else None
    except FileNotFoundError:
        hint = "install it, or remove it from the file and `docker login` again"
        raise ActionError(f"{program} is not installed, and {place} names it for {key}", hint) from None
    except subprocess.TimeoutExpired:
        raise ActionError(f"{program} ({place}) has not replied after {HELPER_SECONDS:.0f} s") from None
    except (OSError, ValueError) as error:
        raise ActionError(f"{program} ({place}) replies with no credential: {type(error).__name__}") from None
    if reply is None:
        text = " ".join(f"{done.stdout} {done.stderr}".split())
        if "credentials not found" in text:
            return None
        raise ActionError(f"{program} ({place}) has failed for {key}: {printable(text)[:300] or 'no output'}")
    user, secret = (reply.get("Username"), reply.get("Secret")) if isinstance(reply, dict) else (None, None)
    if not (isinstance(user, str) and isinstance(secret, str)):
        raise ActionError(f"{program} ({place}) replies with no Username and Secret")
    if not secret:
        return None
    if user == TOKEN_USER:
        return Credential(origin=f"the token of {program} ({place})", refresh_token=secret)
    return Credential(origin=f"user {printable(user)} of {program} ({place})", user=user, password=secret)


def _google(host: str, path: Path) -> Credential:
    """Return a token of Google's default credentials."""
    import google.auth
    import google.auth.exceptions
    import google.auth.transport.requests

    try:
        account, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        account.refresh(google.auth.transport.requests.Request())
    except google.auth.exceptions.GoogleAuthError as error:
        reason = printable(" ".join(str(error).split()))[:200]
        text = f"no credentials: {path} has none for {host}, and Google's default credentials fail: {reason}"
        return Credential(origin=text)
    name = getattr(account, "service_account_email", "") or "your account"
    origin = f"Google's default credentials ({printable(name)})"
    return Credential(origin=origin, user=GOOGLE_USER, password=str(account.token))


def _wrong(path: Path, must: str) -> RequestError:
    return RequestError(
        Problem("docker configuration", f"must be {must}, in {path}", "docker login writes it")
    )
