"""Credentials as `docker login` and its helpers keep them; errors name what is wrong, never a secret."""

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from launcher.errors import LauncherError
from launcher.image.credentials import Credential, credential

SECRET = "pa:ss"
ENCODED = base64.b64encode(f"me:{SECRET}".encode()).decode()


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that writes Docker's configuration and helpers, which are programs on PATH."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def write(config: Any, **helpers: str) -> None:
        text = config if isinstance(config, str) else json.dumps(config)
        (tmp_path / "config.json").write_text(text)
        for name, script in helpers.items():
            program = tmp_path / f"docker-credential-{name}"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return write


def helper(user: str = "me", secret: str = SECRET) -> str:
    reply = json.dumps({"ServerURL": "r.example", "Username": user, "Secret": secret})
    return f'read server; [ "$1" = get ] && [ "$server" = r.example ] && echo \'{reply}\''


@pytest.mark.parametrize(
    ("host", "config"),
    [
        ("r.example", {"auths": {"r.example": {"auth": ENCODED}}}),
        ("r.example", {"auths": {"https://r.example": {"auth": ENCODED}}}),
        ("r.example", {"auths": {"https://r.example/v2/": {"auth": ENCODED}}}),
        ("r.example", {"auths": {"r.example": {"username": "me", "password": SECRET}}}),
        ("docker.io", {"auths": {"https://index.docker.io/v1/": {"auth": ENCODED}}}),
        ("127.0.0.1:5000", {"auths": {"127.0.0.1:5000": {"auth": ENCODED}}, "credHelpers": None}),
    ],
)
def test_a_login_of_the_file(docker: Any, host: str, config: Any) -> None:
    docker(config)
    chosen = credential(host)
    assert (chosen.user, chosen.password) == ("me", SECRET)
    assert chosen.origin.startswith("user me of ")
    assert chosen.origin.endswith("config.json, auths")
    assert SECRET not in repr(chosen)


@pytest.mark.parametrize(
    ("config", "origin"),
    [
        ({"credHelpers": {"r.example": "own"}, "credsStore": "broken"}, "credHelpers)"),
        ({"credsStore": "own", "auths": {"r.example": {}}}, "credsStore)"),
        ({"credHelpers": {"other.example": "broken"}, "credsStore": "own"}, "credsStore)"),
    ],
)
def test_a_helper(docker: Any, config: Any, origin: str) -> None:
    docker(config, own=helper(), broken="exit 1")
    chosen = credential("r.example")
    assert (chosen.user, chosen.password) == ("me", SECRET)
    assert chosen.origin.startswith("user me of docker-credential-own (")
    assert chosen.origin.endswith(origin)


def test_a_token(docker: Any) -> None:
    docker({"credsStore": "own"}, own=helper("<token>", "refresh"))
    assert credential("r.example").refresh_token == "refresh"
    docker({"auths": {"r.example": {"auth": ENCODED, "identitytoken": "identity"}}})
    assert credential("r.example").refresh_token == "identity"


@pytest.mark.parametrize(
    ("config", "script"),
    [
        ({}, ""),
        ({"auths": {}}, ""),
        ({"auths": {"r.example": {}}}, ""),
        ({"auths": {"r.example.evil": {"auth": ENCODED}}}, ""),
        ({"credsStore": "own"}, "echo credentials not found in native keychain; exit 1"),
        ({"credsStore": "own"}, helper(secret="")),
    ],
)
def test_nothing_is_known(docker: Any, config: Any, script: str) -> None:
    docker(config, own=script)
    chosen = credential("r.example")
    assert chosen.anonymous
    assert chosen.origin.endswith("config.json has none for r.example")


def test_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    assert credential("r.example").anonymous


@pytest.mark.parametrize(
    ("config", "script", "message"),
    [
        ("{", "", "must be JSON"),
        ("[]", "", "must be a JSON object with credHelpers as an object"),
        ("[" * 100_000, "", "must be JSON"),
        ({"auths": [1]}, "", "must be a JSON object with auths as an object"),
        ({"auths": {"r.example": "x"}}, "", "must be an object in auths for r.example"),
        ({"auths": {"r.example": {"auth": "?"}}}, "", "must be base64 of USER:PASSWORD"),
        ({"credsStore": "../../bin/sh"}, "", "must be names of helpers"),
        ({"credsStore": ["own"]}, "", "must be names of helpers"),
        ({"credsStore": "absent"}, "", "docker-credential-absent is not installed"),
        (
            {"credsStore": "own"},
            "echo locked keychain >&2; exit 2",
            "has failed for r.example: locked keychain",
        ),
        ({"credsStore": "own"}, "echo '<html>'", "replies with no credential"),
        ({"credsStore": "own"}, "echo '[]'", "replies with no Username and Secret"),
        ({"credsStore": "own"}, "echo '{\"Username\": 1}'", "replies with no Username and Secret"),
    ],
)
def test_what_is_wrong_is_one_line(docker: Any, config: Any, script: str, message: str) -> None:
    docker(config, own=script)
    with pytest.raises(LauncherError) as caught:
        credential("r.example")
    [(text, _)] = caught.value.messages()
    assert message in text
    assert "config.json" in text
    assert text.isprintable()


def test_google_is_asked_only_for_its_registries(
    docker: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    docker({})
    for name in ("GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"):
        monkeypatch.setenv(name, "127.0.0.1:1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    for host in ("us-docker.pkg.dev", "europe-west4-docker.pkg.dev", "gcr.io", "eu.gcr.io"):
        chosen = credential(host)
        assert chosen.anonymous
        assert "and Google's default credentials fail: " in chosen.origin
    for host in ("pkg.dev.example", "notgcr.io", "r.example"):
        assert "Google" not in credential(host).origin


def test_a_credential_shows_no_secret() -> None:
    shown = repr(Credential(origin="o", user="me", password=SECRET, refresh_token="refresh"))
    assert SECRET not in shown
    assert "refresh_token=" not in shown
